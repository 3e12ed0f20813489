"""Keys: `[a-z][a-z0-9_]{0,62}`, derived from what is placed, unique, and the same again after an edit.

A key addresses a placement in expressions and in default_config, so a key that moved to another placement would
silently hand it the other's values: what had a key keeps it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from expressions import RESERVED
from workflow_service.domain.model import Composition, Definition, PlacementId

KEY = re.compile(r"[a-z][a-z0-9_]{0,62}")
LENGTH = 63
GENERIC_TYPES = frozenset({"http"})

Id = TypeVar("Id", bound=str)


def is_key(text: str) -> bool:
    return KEY.fullmatch(text) is not None and text not in RESERVED


def slug(text: str) -> str | None:
    """The key that a text suggests: `keyword.trend` → `keyword_trend`; None when it holds other than ASCII."""
    if not text.isascii():
        return None
    plain = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    plain = re.sub(r"^[0-9_]+", "", plain)[:LENGTH].rstrip("_")
    return plain if is_key(plain) else None


def task_key(name: str, type_: str) -> str:
    """A placement's key when none is said: its type's; for a type that says nothing (`http`) its name's, if ASCII."""
    by_name = slug(name) if type_ in GENERIC_TYPES else None
    return by_name or slug(type_) or slug(name) or "task"


def job_key(name: str) -> str:
    return slug(name) or "job"


class Taken:
    """Keys in use at one level. `free` counts on from the last number it gave: ten thousand of a kind are no burden."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys = set(keys)
        self._numbers: dict[str, int] = {}

    def add(self, key: str) -> None:
        self._keys.add(key)

    def free(self, wanted: str) -> str:
        """`wanted`, or `wanted_2`, `wanted_3`, …: the first that is not in use, which it is from then on."""
        number, key = self._numbers.get(wanted, 1), wanted
        while key in self._keys:
            number += 1
            suffix = f"_{number}"
            key = wanted[: LENGTH - len(suffix)] + suffix
        self._numbers[wanted] = number
        self._keys.add(key)
        return key


@dataclass(frozen=True)
class Placed:
    """What stood at a level before an edit: `ref` is the id of the job or task."""

    placement_id: PlacementId
    key: str
    ref: str


@dataclass(frozen=True)
class Wanted:
    """What shall stand there: `key` None asks for one; `suggestion` is what to derive it from."""

    ref: str
    key: str | None
    suggestion: str


def rematch(before: Sequence[Placed], wanted: Sequence[Wanted]) -> list[tuple[PlacementId | None, str]]:
    """For each wanted placement the one it continues (None: it is new) and its key. Said keys must be distinct."""
    said = {item.key for item in wanted if item.key}
    by_key = {(old.key, old.ref): old for old in before}
    left: dict[str, list[Placed]] = {}
    for old in reversed(before):
        if old.key not in said:
            left.setdefault(old.ref, []).append(old)
    taken = Taken(said)
    answer: list[tuple[PlacementId | None, str] | None] = []
    for item in wanted:
        if item.key:
            same = by_key.get((item.key, item.ref))
            answer.append((same.placement_id if same else None, item.key))
        elif left.get(item.ref):
            kept = left[item.ref].pop()
            taken.add(kept.key)
            answer.append((kept.placement_id, kept.key))
        else:
            answer.append(None)
    return [found or (None, taken.free(item.suggestion)) for found, item in zip(answer, wanted, strict=True)]


Remembered = dict[tuple[PlacementId, PlacementId, str], str]


def remember(latest: Definition | None) -> Remembered:
    """The key that each placement has in a definition, by job placement, task placement and local key."""
    if latest is None:
        return {}
    return {
        (job.placement_id, task.placement_id, task.local_key): task.key for job in latest.jobs for task in job.tasks
    }


def workflow_keys(composition: Composition, remembered: Remembered) -> list[list[str]]:
    """The key of every task placement, by job and task: the one it had, else its local key, else with a number."""
    kept = [
        [remembered.get((job.placement_id, task.placement_id, task.key)) for task in job.tasks]
        for job in composition.jobs
    ]
    taken = Taken(key for row in kept for key in row if key)
    return [
        [key or taken.free(task.key) for task, key in zip(job.tasks, row, strict=True)]
        for job, row in zip(composition.jobs, kept, strict=True)
    ]
