"""Some placements of a workflow by themselves: which they are, their order without the rest, whether they can be one.

A *place* is a job's and a task's position in the composition.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from workflow_service.domain import order
from workflow_service.domain.model import Composition, TaskPlacement

Place: TypeAlias = tuple[int, int]
SHOWN = 20


class NotComposable(Exception):
    """These placements cannot be one task. `code` and `params` say why, `field` whose fault it is."""

    def __init__(self, field_: str, code: str, **params: Any) -> None:
        super().__init__(field_, code, params)
        self.field, self.code, self.params = field_, code, params


@dataclass
class Group:
    """`keys`: every placement's key in the workflow, by job and task; `wanted`: those of the group.

    Raises NotComposable for a key that is none.
    """

    composition: Composition
    keys: Sequence[Sequence[str]]
    wanted: Sequence[str]
    places: dict[str, Place] = field(init=False)
    chosen: frozenset[Place] = field(init=False)

    def __post_init__(self) -> None:
        jobs = self.composition.jobs
        self.places = {key: (j, t) for j, row in enumerate(self.keys) for t, key in enumerate(row)}
        for index, key in enumerate(self.wanted):
            if key not in self.places:
                known = ", ".join(list(self.places)[:SHOWN]) or "–"
                raise NotComposable(f"body.keys[{index}]", "composite_key_unknown", key=key, known=known)
        self.chosen = frozenset(self.places[key] for key in self.wanted)
        self.job_edges = order.after([job.key for job in jobs], [job.depends_on for job in jobs])
        self.job_masks = order.ancestors(self.job_edges)
        self.edges = [
            order.after([task.key for task in job.tasks], [task.depends_on for task in job.tasks]) for job in jobs
        ]
        self.masks = [order.ancestors(edges) for edges in self.edges]
        self.jobs = sorted({job for job, _ in self.chosen})

    def placement(self, place: Place) -> TaskPlacement:
        return self.composition.jobs[place[0]].tasks[place[1]]

    def key(self, place: Place) -> str:
        return self.keys[place[0]][place[1]]

    def is_before(self, first: Place, second: Place) -> bool:
        if first[0] == second[0]:
            return bool(self.masks[second[0]][second[1]] >> first[1] & 1)
        return bool(self.job_masks[second[0]] >> first[0] & 1)

    def named(self, place: Place, name: str) -> Place | None:
        """Whom `tasks.<name>` means there: the job's own task before it hides another job's of the same key."""
        job, number = place
        for other, task in enumerate(self.composition.jobs[job].tasks):
            if task.key == name and self.masks[job][number] >> other & 1:
                return job, other
        return self.places.get(name)

    def name_for(self, place: Place, job: int) -> str:
        """What a job's expressions call it. Raises NotComposable when a task of the job hides it."""
        if place[0] == job:
            return self.placement(place).key
        key = self.key(place)
        if any(task.key == key for task in self.composition.jobs[job].tasks):
            raise NotComposable("body.keys", "composite_name_hidden", key=key)
        return key

    def tasks_of(self, job: int) -> list[int]:
        """The chosen tasks of a job, in its order."""
        return sorted(number for at, number in self.chosen if at == job)

    def ends(self) -> list[Place]:
        """Those that no other of them comes after."""
        return [
            place
            for place in sorted(self.chosen)
            if not any(self.is_before(place, other) for other in self.chosen if other != place)
        ]

    def order_within(self, job: int) -> dict[int, tuple[str, ...] | None]:
        """For each chosen task of a job its `depends_on` among them: also what came through others stays an order."""
        chosen = self.tasks_of(job)
        keys = {number: self.key((job, number)) for number in chosen}
        return _without_the_rest(chosen, self.edges[job], keys)

    def order_of_jobs(self) -> dict[int, tuple[str, ...] | None]:
        keys = {index: self.composition.jobs[index].key for index in self.jobs}
        return _without_the_rest(self.jobs, self.job_edges, keys)

    def check_replaceable(self) -> int:
        """The one job that the group stands in. Raises NotComposable, for what would be a cycle too."""
        if len(self.jobs) > 1:
            names = ", ".join(self.composition.jobs[job].job.body.name for job in self.jobs)
            raise NotComposable("body.keys", "composite_across_jobs", jobs=names)
        [job] = self.jobs
        for number in range(len(self.edges[job])):
            between = (job, number)
            if between in self.chosen:
                continue
            before = next((place for place in sorted(self.chosen) if self.is_before(place, between)), None)
            after = next((place for place in sorted(self.chosen) if self.is_before(between, place)), None)
            if before and after:
                path = " → ".join(map(self.key, (before, between, after)))
                raise NotComposable("body.keys", "composite_not_convex", path=path, key=self.key(between))
        return job


def _without_the_rest(
    chosen: Sequence[int], edges: Sequence[tuple[int, ...]], keys: dict[int, str]
) -> dict[int, tuple[str, ...] | None]:
    """`depends_on` of each when the others are gone; None where the one before it says the same."""
    nearest: dict[int, tuple[int, ...]] = {}
    for index in order.topological(edges):
        found: set[int] = set()
        for other in edges[index]:
            found.update((other,) if other in keys else nearest[other])
        nearest[index] = tuple(sorted(found))
    said: dict[int, tuple[str, ...] | None] = {}
    for number, index in enumerate(chosen):
        plain = (chosen[number - 1],) if number else ()
        said[index] = None if nearest[index] == plain else tuple(keys[other] for other in nearest[index])
    return said
