"""Some placements of a workflow as one task: the workflow that holds them, the task that runs it, what stays behind.

The rule kept here: in the place of the group the composite does what the group did. What the group's expressions read
of others becomes the input of the inner workflow, so that each is rewritten (`expressions.rewrite`) and none guessed:

- a path that is surely read is handed on by itself (`run.input.search_items`);
- `optional(path, default)` is decided outside, where alone it is known whether the task ran;
- what may never be read (behind a `when`, in a choice, in has()) comes with all that its task gave, because a part of
  it that is missing would fail the composite though nobody asked for it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from expressions import Reference, rewrite, written
from workflow_service.domain import keys as naming
from workflow_service.domain.compile import ITEM_ROOTS
from workflow_service.domain.group import Group, NotComposable, Place
from workflow_service.domain.model import (
    Composition,
    FailurePolicy,
    JobBody,
    JobId,
    JsonObject,
    PlacementId,
    Task,
    TaskBody,
    TaskId,
    TaskPlacement,
    WorkflowBody,
)

COMPOSITE = TaskId("")
"""Stands for the composite until it has an id."""
TYPE = "workflow.run"
_STRICTEST = (FailurePolicy.STOP, FailurePolicy.ISOLATE, FailurePolicy.CONTINUE)
_Change: TypeAlias = Callable[[Reference], str | None]


@dataclass(frozen=True)
class Wanted:
    """What is asked for. `key`: of the composite in the workflow; None: one is derived from its name."""

    name: str
    keys: tuple[str, ...]
    description: str = ""
    key: str | None = None
    replace: bool = False


@dataclass(frozen=True)
class InnerJob:
    key: str
    body: JobBody
    depends_on: tuple[str, ...] | None
    tasks: tuple[TaskPlacement, ...]


@dataclass(frozen=True)
class Replaced:
    """The workflow with the composite in the group's place: only the jobs that change. `key`: the composite's."""

    key: str
    body: WorkflowBody
    jobs: Mapping[JobId, tuple[TaskPlacement, ...]]


@dataclass(frozen=True)
class Composite:
    """`task`: its parameters lack the `workflow_id`, which is known when `inner` and `jobs` are saved."""

    inner: WorkflowBody
    jobs: tuple[InnerJob, ...]
    task: TaskBody
    replaced: Replaced | None


@dataclass(frozen=True)
class _Input:
    """What the inner workflow is given: of whom (None: the run's input), which part; with a default it is optional."""

    of: Place | None
    steps: tuple[str | int, ...] = ()
    default: str | None = None


def compose(composition: Composition, keys: list[list[str]], wanted: Wanted) -> Composite:
    """The composite of placements that `wanted` names by their keys in the workflow (`keys`, by job and task).

    Raises NotComposable, and ExpressionError for what cannot be rewritten.
    """
    group = Group(composition, keys, wanted.keys)
    if wanted.replace:
        group.check_replaceable()
    return _Composer(group, wanted).compose()


class _Composer:
    def __init__(self, group: Group, wanted: Wanted) -> None:
        self.group, self.wanted = group, wanted
        self.body = group.composition.workflow.body
        self.whole: set[Place | None] = set()
        self.inputs: dict[_Input, str] = {}
        self.read: set[Place] = set()

    def compose(self) -> Composite:
        self._find_inputs()
        jobs = tuple(self._inner_jobs())
        config = dict(self._inner_config())
        # what others read of the group is known when they are rewritten
        replaced = self._replaced()
        inner = WorkflowBody(
            name=self.wanted.name,
            description=self.wanted.description,
            default_config=config,
            input_schema=self._input_schema(),
            failure_policy=self.body.failure_policy,
            retention_days=self.body.retention_days,
        )
        return Composite(inner, jobs, self._task(), replaced)

    # --- what goes in ------------------------------------------------------------------------------------------------

    def _find_inputs(self) -> None:
        """Looks at all that the group reads before anything is rewritten: one lazy look decides for all of a task."""
        found: list[tuple[Reference, Place | None, bool]] = []

        def looking(place: Place, config: bool, lazy: bool) -> _Change:
            def look(reference: Reference) -> None:
                if (of := self._source(place, config, reference)) not in self.group.chosen and of != _NOBODY:
                    found.append((reference, of, reference.lazy or lazy))

            return look

        for place in sorted(self.group.chosen):
            _moved(self.group.placement(place), looking(place, False, False), looking(place, False, True))
            for _, values in self._configs(place):
                rewrite(values, ITEM_ROOTS, looking(place, True, _is_lazy(self.group.placement(place))))
        for reference, of, lazy in found:
            surely = not lazy or (of is None and _is_required(self.body.input_schema, reference.steps))
            if reference.default is None and not (surely and reference.steps):
                self.whole.add(of)
        taken = naming.Taken()
        for reference, of, _ in found:
            wanted = self._input(reference, of)
            if wanted not in self.inputs:
                self.inputs[wanted] = taken.free(self._suggested(wanted))

    def _source(self, place: Place, config: bool, reference: Reference) -> Place | None:
        """Whose value a reference reads: a task's place, None the run's input; `_NOBODY` for `item` and `now`."""
        if reference.root == ("run", "input"):
            return None
        if reference.key is None:
            return _NOBODY
        found = self.group.places.get(reference.key) if config else self.group.named(place, reference.key)
        return found or _NOBODY

    def _input(self, reference: Reference, of: Place | None) -> _Input:
        if reference.default is not None:
            return _Input(of, reference.steps, reference.default)
        return _Input(of) if of in self.whole else _Input(of, reference.steps)

    def _suggested(self, wanted: _Input) -> str:
        words = [str(step) for step in wanted.steps]
        if wanted.of is not None:
            words.insert(0, self.group.key(wanted.of))
        return naming.slug("_".join(words)) or "input"

    def _outside(self, wanted: _Input, job: int) -> str:
        """The expression that gives an input, as a job's tasks write it."""
        name = () if wanted.of is None else (self.group.name_for(wanted.of, job),)
        root = ("run", "input") if wanted.of is None else ("tasks", *name, "output")
        path = written((*root, *wanted.steps))
        return f"${{{{ {path if wanted.default is None else f'optional({path}, {wanted.default})'} }}}}"

    def _input_schema(self) -> JsonObject:
        home = self.group.jobs[0]
        properties = {
            name: {"description": self._outside(wanted, home)[4:-3], **self._known_schema(wanted)}
            for wanted, name in self.inputs.items()
        }
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": list(properties)} if properties else schema

    def _known_schema(self, wanted: _Input) -> JsonObject:
        """What the workflow's own schema says of a part of its input, if that stands by itself."""
        if wanted.of is not None or wanted.default is not None or not wanted.steps:
            return {}
        schema: Any = self.body.input_schema
        for step in wanted.steps:
            schema = schema.get("properties", {}).get(step) if isinstance(schema, dict) else None
        return schema if isinstance(schema, dict) and "$" not in str(schema) else {}

    # --- the inner workflow ------------------------------------------------------------------------------------------

    def _inner_jobs(self) -> Iterator[InnerJob]:
        order = self.group.order_of_jobs()
        for index in self.group.jobs:
            job = self.group.composition.jobs[index]
            within = self.group.order_within(index)
            tasks = tuple(
                replace(
                    _moved(job.tasks[number], self._inward((index, number))),
                    placement_id=PlacementId(""),
                    key=self.group.key((index, number)),
                    depends_on=within[number],
                )
                for number in self.group.tasks_of(index)
            )
            yield InnerJob(job.key, job.job.body, order[index], tasks)

    def _inward(self, place: Place, config: bool = False) -> _Change:
        def change(reference: Reference) -> str | None:
            of = self._source(place, config, reference)
            if of == _NOBODY:
                return None
            if of in self.group.chosen and of is not None:
                key = self.group.key(of)
                return None if key == reference.key else reference.below("tasks", key, "output")
            wanted = self._input(reference, of)
            path = ("run", "input", self.inputs[wanted])
            return written(path) if wanted.steps or wanted.default is not None else reference.below(*path)

        return change

    def _configs(self, place: Place) -> Iterator[tuple[str, JsonObject]]:
        """What default_config says of a placement, by its key or by its task's id."""
        for name in (self.group.placement(place).task.task_id, self.group.key(place)):
            if name in self.body.default_config:
                yield name, self.body.default_config[name]

    def _inner_config(self) -> Iterator[tuple[str, JsonObject]]:
        for place in sorted(self.group.chosen):
            for name, values in self._configs(place):
                yield name, rewrite(values, ITEM_ROOTS, self._inward(place, config=True))

    # --- the task ----------------------------------------------------------------------------------------------------

    def _task(self) -> TaskBody:
        home = self.group.jobs[0]
        outputs = sorted({*self.group.ends(), *self.read})
        return TaskBody(
            name=self.wanted.name,
            type=TYPE,
            description=self.wanted.description,
            parameters={
                "input": {name: self._outside(wanted, home) for wanted, name in self.inputs.items()},
                "outputs": [self.group.key(place) for place in outputs],
            },
            failure_policy=self._policy(),
        )

    def _policy(self) -> FailurePolicy:
        """The strictest of the group: what one of them would have stopped, the composite stops."""
        found = set()
        for place in self.group.chosen:
            placed, job = self.group.placement(place), self.group.composition.jobs[place[0]].job.body
            said = placed.failure_policy or placed.task.body.failure_policy or job.failure_policy
            found.add(said or self.body.failure_policy)
        return next(policy for policy in _STRICTEST if policy in found)

    # --- the workflow around it --------------------------------------------------------------------------------------

    def _replaced(self) -> Replaced | None:
        """Also without `replace` it is found out what the others read, so that the composite gives it."""
        key = self._own_key()
        jobs: dict[JobId, tuple[TaskPlacement, ...]] = {}
        for index, job in enumerate(self.group.composition.jobs):
            tasks = self._tasks_around(index, key)
            if tasks != job.tasks:
                jobs[job.job.job_id] = tasks
        config = dict(self._config_around(key))
        if not self.wanted.replace:
            return None
        for job_id in jobs:
            self._check_placed_once(job_id)
        return Replaced(key, replace(self.body, default_config=config), jobs)

    def _check_placed_once(self, job_id: JobId) -> None:
        places = [job for job in self.group.composition.jobs if job.job.job_id == job_id]
        if len(places) > 1:
            raise NotComposable("body.keys", "composite_job_twice", job=places[0].job.body.name)

    def _own_key(self) -> str:
        taken = naming.Taken(self.group.places)
        for job in self.group.composition.jobs:
            for task in job.tasks:
                taken.add(task.key)
        if self.wanted.key is None:
            return taken.free(naming.slug(self.wanted.name) or "composite")
        if not naming.is_key(self.wanted.key):
            raise NotComposable("body.key", "key_invalid")
        if taken.free(self.wanted.key) != self.wanted.key:
            raise NotComposable("body.key", "key_taken", key=self.wanted.key)
        return self.wanted.key

    def _tasks_around(self, job: int, key: str) -> tuple[TaskPlacement, ...]:
        group, tasks = self.group, self.group.composition.jobs[job].tasks
        chosen = group.tasks_of(job)
        around: list[TaskPlacement] = []
        for number, placed in enumerate(tasks):
            place = (job, number)
            if place not in group.chosen:
                moved = _moved(placed, self._outward(place, key))
                around.append(self._ordered(moved, [number], job, key, around))
            elif number == chosen[0]:
                one = TaskPlacement(PlacementId(""), key, self._placeholder(placed))
                around.append(self._ordered(one, chosen, job, key, around))
        return tuple(around)

    def _placeholder(self, placed: TaskPlacement) -> Task:
        return Task(COMPOSITE, TaskBody(self.wanted.name, TYPE), placed.task.stamp)

    def _ordered(
        self, placed: TaskPlacement, numbers: list[int], job: int, key: str, before: list[TaskPlacement]
    ) -> TaskPlacement:
        """With the edges that these had, those to and from the group being the composite's."""
        found: list[str] = []
        for number in numbers:
            for other in self.group.edges[job][number]:
                within = (job, other) in self.group.chosen
                found.append(key if within else self.group.composition.jobs[job].tasks[other].key)
        edges = tuple(dict.fromkeys(name for name in found if name != placed.key))
        plain = (before[-1].key,) if before else ()
        if placed.depends_on is not None and set(edges) == set(placed.depends_on):
            return placed
        return replace(placed, depends_on=None if edges == plain and placed.depends_on is None else edges)

    def _outward(self, place: Place, key: str, config: bool = False) -> _Change:
        def change(reference: Reference) -> str | None:
            of = self._source(place, config, reference)
            if of is None or of not in self.group.chosen:
                return None
            self.read.add(of)
            path = ("tasks", key, "output", "output", self.group.key(of))
            text = reference.below(*path)
            if reference.default is None or reference.steps or self.group.placement(of).when is None:
                return text
            # a task that was skipped gives null, which is no output; within the composite's it would be one
            return f"optional({written(path)}, null) == null ? {reference.default} : {text}"

        return change

    def _config_around(self, key: str) -> Iterator[tuple[str, JsonObject]]:
        group = self.group
        outside = {place for place in group.places.values() if place not in group.chosen}
        left = {group.key(place) for place in outside} | {group.placement(place).task.task_id for place in outside}
        for name, values in self.body.default_config.items():
            if name in left:
                yield name, rewrite(values, ITEM_ROOTS, self._outward(_NOWHERE, key, config=True))


_NOBODY: Place = (-1, -1)
_NOWHERE: Place = (0, 0)


# --- values --------------------------------------------------------------------------------------------------------


def _is_lazy(placed: TaskPlacement) -> bool:
    """Whether its parameters may never be resolved."""
    return placed.when is not None or placed.for_each is not None


def _moved(placed: TaskPlacement, change: _Change, lazily: _Change | None = None) -> TaskPlacement:
    """A placement with its expressions rewritten: by `lazily` those that may never be evaluated, if it is given.

    The blueprint belongs to others too: what it reads is said anew by the placement.
    """

    def moved(value: Any, lazy: bool) -> Any:
        return rewrite(value, ITEM_ROOTS, lazily if lazy and lazily else change)

    lazy, own = _is_lazy(placed), placed.task.body.parameters
    return replace(
        placed,
        parameters=_stacked(_difference(own, moved(own, lazy)), moved(placed.parameters, lazy)),
        when=moved(placed.when, False),
        for_each=moved(placed.for_each, placed.when is not None),
        concurrency_key=moved(placed.concurrency_key, lazy),
    )


def _difference(before: Any, after: Any) -> Any:
    """The merge patch (RFC 7396) that makes `after` of `before`; both have the same members."""
    if not isinstance(before, dict):
        return after
    return {name: _difference(before[name], after[name]) for name in before if before[name] != after[name]}


def _stacked(under: Any, over: Any) -> Any:
    """One merge patch that does what two do, one after the other."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return {**under, **{name: _stacked(under.get(name), value) for name, value in over.items()}}


def _is_required(schema: Any, steps: tuple[str | int, ...]) -> bool:
    """Whether a sound input has something at `steps`."""
    for step in steps:
        if not isinstance(schema, dict) or step not in schema.get("required", ()):
            return False
        schema = schema.get("properties", {}).get(step)
    return bool(steps)
