"""How alike a query and some Korean texts are, from their letters and a table of synonyms: nothing is downloaded, no
neural framework is loaded (docs/decisions/0010-korean-similarity.md has the measurements).

Texts are compared as n-grams of jamo (ㅁㅓㄱㅋㅓㅂ), so that particles, endings and joined compounds cost little.
A query is also asked with its words replaced by their synonyms; such an answer counts less than the words themselves.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from worker_service.domain.matching import normalise, words

SYNONYM_WEIGHT = 0.8


def similarities(query: str, texts: Sequence[str]) -> list[float]:
    """One similarity in 0..1 per text, in the texts' order; 0 where nothing is shared."""
    queries = [normalise(query), *rephrased(query)]
    scores = _cosines([_jamo(asked) for asked in queries], [_jamo(text) for text in texts])
    return [round(max(own, SYNONYM_WEIGHT * max(others, default=0.0)), 6) for own, *others in scores]


def rephrased(query: str) -> list[str]:
    """The query with each word that has synonyms, or ends in one that has, replaced by each of these in turn."""
    asked = words(query)
    joined = "".join(asked)
    found = []
    for group in synonym_groups():
        for term in group:
            others = [other for other in group if other != term]
            if joined == term:
                found += others
            elif any(_names(word, term) for word in asked):
                found += [" ".join(_replaced(word, term, other) for word in asked) for other in others]
    return list(dict.fromkeys(found))


@cache
def synonym_groups() -> tuple[tuple[str, ...], ...]:
    """The table of synonyms, data/synonyms.txt: a group of words per line."""
    lines = files("worker_service").joinpath("data/synonyms.txt").read_text(encoding="utf-8").splitlines()
    return tuple(tuple(term.strip() for term in line.split(",")) for line in lines if line and line[0] != "#")


def _names(word: str, term: str) -> bool:
    # a compound is named by its end: 캠핑의자 is a 의자; one syllable alone ends too many words by accident
    return word == term or (len(term) > 1 and word.endswith(term))


def _replaced(word: str, term: str, other: str) -> str:
    return f"{word.removesuffix(term)} {other}".strip() if _names(word, term) else word


def _jamo(text: str) -> str:
    return unicodedata.normalize("NFD", normalise(text))


def _cosines(queries: Sequence[str], texts: Sequence[str]) -> list[list[float]]:
    """Per text, its cosine with each query, by TF-IDF over the n-grams inside words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(words(text) for text in texts):
        return [[0.0] * len(queries) for _ in texts]
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 6), sublinear_tf=True, lowercase=False)
    rows: Any = vectorizer.fit_transform(texts)
    cosines: list[list[float]] = (rows @ vectorizer.transform(queries).T).toarray().tolist()
    return cosines
