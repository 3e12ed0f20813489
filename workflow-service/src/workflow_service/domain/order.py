"""Who comes before whom, at either level: after the one before it unless `depends_on` says otherwise."""

from collections.abc import Sequence


class UnknownKey(Exception):
    """A `depends_on` names what is not there. `index`: whose; `position`: which entry of its list."""

    def __init__(self, index: int, position: int, key: str) -> None:
        super().__init__(index, position, key)
        self.index, self.position, self.key = index, position, key


def after(keys: Sequence[str], said: Sequence[Sequence[str] | None]) -> list[tuple[int, ...]]:
    """For each item the indexes of those it directly follows. Raises UnknownKey."""
    index_of = {key: index for index, key in enumerate(keys)}
    edges: list[tuple[int, ...]] = []
    for index, names in enumerate(said):
        if names is None:
            edges.append((index - 1,) if index else ())
            continue
        for position, name in enumerate(names):
            if name not in index_of:
                raise UnknownKey(index, position, name)
        edges.append(tuple(sorted({index_of[name] for name in names})))
    return edges


def topological(edges: Sequence[tuple[int, ...]]) -> list[int]:
    """Indexes in an order in which each follows its predecessors; those on or behind a cycle are left out."""
    waiting = [len(before) for before in edges]
    followers: list[list[int]] = [[] for _ in edges]
    for index, before in enumerate(edges):
        for other in before:
            followers[other].append(index)
    ready = [index for index, count in enumerate(waiting) if count == 0]
    for index in ready:
        for follower in followers[index]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                ready.append(follower)
    return ready


def cycle(edges: Sequence[tuple[int, ...]]) -> list[int] | None:
    """Indexes around a cycle, each directly before the next, the first one repeated at the end; None without one."""
    sorted_out = set(topological(edges))
    stuck = next((index for index in range(len(edges)) if index not in sorted_out), None)
    if stuck is None:
        return None
    path: list[int] = []
    seen: dict[int, int] = {}
    while stuck not in seen:
        seen[stuck] = len(path)
        path.append(stuck)
        stuck = next(other for other in edges[stuck] if other not in sorted_out)
    loop = [*path[seen[stuck] :], stuck]
    return loop[::-1]


def ancestors(edges: Sequence[tuple[int, ...]]) -> list[int]:
    """For each item everything before it, directly or not, as a bit mask (10,000 items in a row: 12 MB). No cycles."""
    masks = [0] * len(edges)
    for index in topological(edges):
        for other in edges[index]:
            masks[index] |= masks[other] | 1 << other
    return masks
