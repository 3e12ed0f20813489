"""What an article is written from: the product's facts, the text on its images and earlier articles, cut into chunks,
the most relevant ones to the keyword picked. A chunk always knows where it came from.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

LONGEST_CHUNK = 240

_SENTENCE_END = re.compile(r"(?<=[.!?。])\s+")


class SourceKind(StrEnum):
    FACT = "fact"
    IMAGE_TEXT = "image_text"
    EARLIER_ARTICLE = "earlier_article"


@dataclass(frozen=True)
class Chunk:
    """A piece of one source; `origin` is the address or path it came from, `label` what a reader calls that."""

    kind: SourceKind
    origin: str
    label: str
    text: str


@dataclass(frozen=True)
class Retrieved:
    chunk: Chunk
    score: float


def chunks(kind: SourceKind, origin: str, label: str, text: str, longest: int = LONGEST_CHUNK) -> list[Chunk]:
    """The text in pieces of whole sentences, each at most `longest` characters (a longer sentence is cut)."""
    pieces: list[str] = []
    for line in text.splitlines():
        apart = "\n"
        for sentence in (part.strip() for part in _SENTENCE_END.split(line)):
            for start in range(0, len(sentence), longest):
                part = sentence[start : start + longest]
                if pieces and len(pieces[-1]) + 1 + len(part) <= longest:
                    pieces[-1] += apart + part
                else:
                    pieces.append(part)
                apart = " "
    return [Chunk(kind, origin, label, piece) for piece in pieces]


def most_relevant(
    query: str, found: Sequence[Chunk], limit: int, similar: Callable[[str, Sequence[str]], list[float]]
) -> list[Retrieved]:
    """The `limit` chunks most like the query, best first; equal scores keep their order, equal texts count once."""
    distinct = list({chunk.text: chunk for chunk in reversed(found)}.values())[::-1]
    scores = similar(query, [chunk.text for chunk in distinct])
    ranked = sorted(zip(distinct, scores, strict=True), key=lambda pair: -pair[1])
    return [Retrieved(chunk, score) for chunk, score in ranked[:limit]]
