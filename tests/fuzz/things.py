"""Real things by the name of their id, learned from what the API answers, so that requests find something there."""

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

# per name, the newest
KEPT = 40
# of a list, that many are learned from
LOOKED_AT = 20


class Things:
    """A thing is the ids that stood together: a schedule comes with its workflow, a task run with its run.

    Pinned things are never offered to what changes or deletes; there is always one of each left.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._pinned: dict[str, list[dict[str, str]]] = defaultdict(list)
        self._learned: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
        self._out_of_bounds: set[str] = set()

    def pin(self, name: str, **ids: str) -> None:
        """Keeps a thing for good; `name` is that of its own id, `ids` are it and those that belong to it."""
        self._pinned[name].append(ids)
        self._learned[name].pop(ids[name], None)

    def protect(self, value: str) -> None:
        """Never offers what has that id for a change."""
        self._out_of_bounds.add(value)

    def learn(self, answer: Any) -> None:
        for ids in _things(answer, {}):
            for name, value in ids.items():
                self._remember(name, value, ids)

    def _remember(self, name: str, value: str, ids: dict[str, str]) -> None:
        if value in self._out_of_bounds or any(ids_[name] == value for ids_ in self._pinned[name]):
            return
        known = self._learned[name]
        # what is met again with less around it keeps what belonged to it
        known[value] = {**known.pop(value, {}), **ids}
        while len(known) > KEPT:
            del known[next(iter(known))]

    def forget(self, value: str) -> None:
        """It was deleted."""
        for known in self._learned.values():
            for other in [other for other, ids in known.items() if value in ids.values()]:
                del known[other]
        self._out_of_bounds.add(value)

    def offer(self, names: list[str], *, changes: bool) -> dict[str, str]:
        """Ids of real things for `names`, all of one thing where there is one; a name that nothing has is left out.

        For what changes its thing, the pinned ones are not offered.
        """
        if not names:
            return {}
        # the last one is the thing itself, those before it are what it belongs to
        own = names[-1]
        pinned = [] if changes else [ids for ids in self._pinned[own] if ids.keys() >= set(names)]
        learned = [ids for ids in self._learned[own].values() if ids.keys() >= set(names)]
        found = pinned if pinned and (not learned or self._rng.random() < 0.6) else learned
        if not found:
            return self.offer(names[:-1], changes=changes)
        ids = self._rng.choice(found)
        return {name: ids[name] for name in names}


def _things(value: Any, around: dict[str, str]) -> Iterator[dict[str, str]]:
    """The ids of each object of an answer, with those of the objects around it."""
    if isinstance(value, dict):
        own = {
            name: inner for name, inner in value.items() if name.endswith("_id") and isinstance(inner, str) and inner
        }
        ids = {**around, **own}
        if own:
            yield ids
        for inner in value.values():
            if isinstance(inner, (dict, list)):
                yield from _things(inner, ids)
    elif isinstance(value, list):
        for inner in value[:LOOKED_AT]:
            yield from _things(inner, around)
