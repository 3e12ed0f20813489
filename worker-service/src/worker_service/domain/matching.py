"""Which titles speak of a keyword: one exact rule, one by morphemes, one by plain tokens, tried in this order.

The rule this module keeps: a match is never silent about why. Every `Match` names its kind, its score in 0..1 and the
pieces of the keyword it found, so that a person can see why a product was taken.

Texts are compared in NFC and case-folded. A keyword's spacing does not matter (무선이어폰 = 무선 이어폰), but a run
that crosses a space of the title begins where a word of the title begins: 가방 is not in "저가 방수 커버".
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

MORPHEME_SHARE = 0.4
TOKEN_SHARE = 0.3
SHORTEST_PIECE = 2

_WORD = re.compile(r"[가-힣ㄱ-ㅣ]+|[a-z]+|\d+(?:[.,]\d+)*|[^\W\d_]+")
_CONTENT_TAGS = frozenset({"NNG", "NNP", "XR", "SL", "SH", "SN", "MAG", "VV", "VA", "VV-R", "VV-I", "VA-R", "VA-I"})


class Morpheme(NamedTuple):
    """A content-bearing piece of a text: its form as the analyser says it and its part-of-speech tag."""

    form: str
    tag: str


Analyser = Callable[[str], Sequence[Morpheme]]


class MatchKind(StrEnum):
    EXACT = "exact"
    MORPHEME = "morpheme"
    TOKEN = "token"  # noqa: S105 - a kind of match, no credential


@dataclass(frozen=True)
class Match:
    """How a title matched: `found` are the pieces of the keyword that stand in it, `sought` all looked for."""

    kind: MatchKind
    score: float
    found: tuple[str, ...]
    sought: tuple[str, ...]


def normalise(text: str) -> str:
    """NFC, case-folded, runs of white space made one space."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def words(text: str) -> list[str]:
    """The words of a normalised text; a change of script (LG무선) or of letters and digits begins a new one."""
    return _WORD.findall(normalise(text))


def match(keyword: str, title: str, analyse: Analyser) -> Match | None:
    """The first rule that accepts the title, or None. Raises ValueError for a keyword without a letter or digit."""
    sought = words(keyword)
    if not sought:
        raise ValueError("the keyword holds no word")
    if _stands_whole(sought, title):
        return Match(MatchKind.EXACT, 1.0, (normalise(keyword),), (normalise(keyword),))
    return _match_morphemes(keyword, title, analyse) or _match_tokens(sought, title)


def _stands_whole(sought: Sequence[str], title: str) -> bool:
    joined = "".join(sought)
    title_words = words(title)
    if len(joined) < SHORTEST_PIECE:
        return joined in title_words
    if not joined.isdecimal() and any(joined in word for word in title_words):
        return True
    squeezed = "".join(title_words)
    start = 0
    for word in title_words:
        if squeezed.startswith(joined, start):
            return True
        start += len(word)
    return False


def _match_morphemes(keyword: str, title: str, analyse: Analyser) -> Match | None:
    sought = _distinct(piece.form for piece in analyse(keyword) if len(piece.form) >= SHORTEST_PIECE)
    present = {piece.form for piece in analyse(title)}
    return _accept(MatchKind.MORPHEME, sought, [form for form in sought if form in present], MORPHEME_SHARE)


def _match_tokens(sought_words: Sequence[str], title: str) -> Match | None:
    sought = _distinct(word for word in sought_words if len(word) >= SHORTEST_PIECE)
    present = [word for word in words(title) if len(word) >= SHORTEST_PIECE]
    found = [token for token in sought if any(token in word or word in token for word in present)]
    return _accept(MatchKind.TOKEN, sought, found, TOKEN_SHARE)


def _accept(kind: MatchKind, sought: Sequence[str], found: Sequence[str], share: float) -> Match | None:
    if not found or len(found) / len(sought) < share:
        return None
    return Match(kind, round(len(found) / len(sought), 4), tuple(found), tuple(sought))


def _distinct(pieces: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(pieces))


@cache
def kiwi() -> Any:
    """The Korean analyser of this process, loaded on first use (about 1 s and 320 MB: only in a process that ends)."""
    from kiwipiepy import Kiwi

    return Kiwi(load_multi_dict=False, num_workers=1)


def analyse_korean(text: str) -> list[Morpheme]:
    """The content morphemes of a text (nouns, roots, stems, foreign words, numbers), in order; particles fall away."""
    return [Morpheme(t.form, t.tag) for t in kiwi().tokenize(normalise(text)) if t.tag in _CONTENT_TAGS]
