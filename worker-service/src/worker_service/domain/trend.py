"""Which keyword a run takes. The rule this module keeps: a keyword is used again only when every one has been used, and
then it is the one used longest ago, said aloud as `reused`.

Choosing is a function of its arguments alone: chance comes from a seed, so the same task run always chooses the same.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """How one of the unused keywords is chosen: by rank, evenly by chance, or by chance in proportion to its weight."""

    FIRST_UNUSED = "first_unused"
    RANDOM = "random"
    WEIGHTED = "weighted"


@dataclass(frozen=True)
class RankedKeyword:
    """A keyword at its place in the ranking (1 = strongest); `weight` > 0 in the source's own unit."""

    rank: int
    keyword: str
    weight: float


@dataclass(frozen=True)
class Pick:
    keyword: str
    reused: bool


def rank(weights: Mapping[str, float]) -> list[RankedKeyword]:
    """The keywords by weight, strongest first; equal weights keep the source's order."""
    ordered = sorted(weights.items(), key=lambda item: -item[1])
    return [RankedKeyword(place, keyword, weight) for place, (keyword, weight) in enumerate(ordered, start=1)]


def pick(ranked: Sequence[RankedKeyword], last_used: Mapping[str, float], rule: Rule, seed: str) -> Pick:
    """The keyword to take. `last_used` gives when each used keyword was last taken (any growing number).

    Raises ValueError when nothing is ranked.
    """
    if not ranked:
        raise ValueError("nothing is ranked")
    unused = [entry for entry in ranked if entry.keyword not in last_used]
    if not unused:
        return Pick(min(ranked, key=lambda entry: (last_used[entry.keyword], entry.rank)).keyword, reused=True)
    match rule:
        case Rule.FIRST_UNUSED:
            return Pick(unused[0].keyword, reused=False)
        case Rule.RANDOM:
            return Pick(unused[int(_fraction(seed) * len(unused))].keyword, reused=False)
        case Rule.WEIGHTED:
            return Pick(_weighted(unused, _fraction(seed)), reused=False)


def _weighted(entries: Sequence[RankedKeyword], fraction: float) -> str:
    left = fraction * sum(entry.weight for entry in entries)
    for entry in entries:
        left -= entry.weight
        if left < 0:
            return entry.keyword
    return entries[-1].keyword


def _fraction(seed: str) -> float:
    """A number in [0, 1) that depends on the seed alone, on every machine and in every Python."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:6]) / 2**48
