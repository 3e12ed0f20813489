"""The similarity methods measured against each other, and the floor under the chosen one.

`python worker-service/tests/test_similarity.py` prints recall@10 of each, whole and per kind of query;
docs/decisions/0010-korean-similarity.md records the figures.
"""

import json
import time
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from worker_service.domain.matching import Morpheme, analyse_korean, kiwi, normalise, words
from worker_service.domain.similarity import rephrased, similarities

HERE = Path(__file__).parent
PRODUCTS = HERE.parents[1] / "demo-shop" / "src" / "demo_shop" / "products.json"
Method = Callable[[str, Sequence[str]], Sequence[float]]


def labelled_queries() -> list[tuple[str, str, frozenset[str]]]:
    """Each query as (kind, query, relevant product ids)."""
    found, kind = [], ""
    for line in (HERE / "data" / "similarity_queries.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            kind = line.strip("[]")
        elif "|" in line and not line.startswith("#"):
            query, _, ids = line.partition("|")
            found.append((kind, query.strip(), frozenset(ids.split())))
    return found


def shop_titles() -> dict[str, str]:
    return {product["id"]: product["name"] for product in json.loads(PRODUCTS.read_text(encoding="utf-8"))}


def recall_at_10(method: Method, only: str | None = None) -> dict[str, float]:
    """Mean share of the relevant products among the ten most similar, per kind of query (or of one) and for `all`."""
    titles = shop_titles()
    ids = list(titles)
    shares: dict[str, list[float]] = {"all": []}
    for kind, query, relevant in labelled_queries():
        if only not in (None, kind):
            continue
        scores = np.asarray(method(query, list(titles.values())))
        top = {ids[place] for place in np.argsort(-scores, kind="stable")[:10] if scores[place] > 0}
        share = len(top & relevant) / len(relevant)
        shares["all"].append(share)
        shares.setdefault(kind, []).append(share)
    return {kind: float(np.mean(values)) for kind, values in shares.items()}


@cache
def analyse(text: str) -> tuple[Morpheme, ...]:
    return tuple(analyse_korean(text))


@cache
def closeness(one: Morpheme, other: Morpheme) -> float:
    """Cosine in the embeddings of kiwi's own language model; 0 where it does not know a word or takes two for one."""
    try:
        cosine = float(kiwi().morpheme_similarity((one.form, one.tag), (other.form, other.tag)))
    except ValueError:
        return 0.0
    return cosine if cosine < 0.99 else 0.0


def tfidf(vectorizer: TfidfVectorizer, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
    rows = vectorizer.fit_transform([*texts, query])
    return np.asarray((rows[:-1] @ rows[-1].T).toarray()).ravel()


def char_wb(query: str, texts: Sequence[str]) -> NDArray[np.float64]:
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    return tfidf(vectorizer, normalise(query), [normalise(text) for text in texts])


def unspaced(query: str, texts: Sequence[str]) -> NDArray[np.float64]:
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(2, 4), sublinear_tf=True)
    return tfidf(vectorizer, "".join(words(query)), ["".join(words(text)) for text in texts])


def jamo(query: str, texts: Sequence[str]) -> NDArray[np.float64]:
    def spell(text: str) -> str:
        return unicodedata.normalize("NFD", normalise(text))

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 6), sublinear_tf=True)
    return tfidf(vectorizer, spell(query), [spell(text) for text in texts])


def morphemes(query: str, texts: Sequence[str]) -> NDArray[np.float64]:
    vectorizer = TfidfVectorizer(analyzer=lambda text: [piece.form for piece in analyse(text)], sublinear_tf=True)
    return tfidf(vectorizer, query, texts)


def embeddings(query: str, texts: Sequence[str]) -> NDArray[np.float64]:
    """How much of the query's morphemes a text covers, near ones in part, rare ones weighing more."""
    sought = list(dict.fromkeys(analyse(query)))
    if not sought:
        return np.zeros(len(texts))
    best = np.array([[nearest(piece, analyse(text)) for piece in sought] for text in texts])
    weights = np.log((1 + len(texts)) / (1 + best.sum(axis=0))) + 1
    return np.asarray(best @ (weights / weights.sum()))


def nearest(piece: Morpheme, others: Sequence[Morpheme], unrelated: float = 0.6) -> float:
    if any(other.form == piece.form for other in others):
        return 1.0
    return max(0.0, (max((closeness(piece, other) for other in others), default=0.0) - unrelated) / (1 - unrelated))


CANDIDATES: dict[str, Method] = {
    "char_wb 2-4 TF-IDF": char_wb,
    "char 2-4 TF-IDF, spaces removed": unspaced,
    "jamo char_wb 3-6 TF-IDF": jamo,
    "kiwi morpheme TF-IDF": morphemes,
    "char_wb + morpheme TF-IDF": lambda q, t: 0.5 * char_wb(q, t) + 0.5 * morphemes(q, t),
    "kiwi morpheme embeddings": embeddings,
    "jamo 0.7 + morpheme embeddings 0.3": lambda q, t: 0.7 * jamo(q, t) + 0.3 * embeddings(q, t),
    "jamo + synonyms (chosen)": similarities,
}


@pytest.fixture(scope="module")
def chosen() -> dict[str, float]:
    return recall_at_10(similarities)


def test_the_queries_name_real_products_and_are_enough() -> None:
    queries = labelled_queries()
    assert len(queries) >= 60
    assert len({query for _, query, _ in queries}) == len(queries)
    assert all(1 <= len(ids) <= 10 and ids <= shop_titles().keys() for _, _, ids in queries)


@pytest.mark.parametrize(
    ("kind", "floor"),
    [("all", 0.94), ("plain", 0.97), ("spacing", 0.97), ("particle", 0.95), ("synonym", 0.95), ("held_out", 0.83)],
)
def test_recall_at_10_stays_above_its_floor(chosen: dict[str, float], kind: str, floor: float) -> None:
    assert chosen[kind] >= floor


def test_the_chosen_method_beats_every_candidate_on_queries_it_was_not_made_with(chosen: dict[str, float]) -> None:
    for name, method in CANDIDATES.items():
        if method is not similarities:
            assert recall_at_10(method, "held_out")["held_out"] < chosen["held_out"], name


def test_similarities_keep_the_order_of_the_texts_and_lie_between_0_and_1() -> None:
    scores = similarities("무선이어폰", ["접이식 의자", "무선 이어폰 화이트", "무선이어폰"])
    assert scores[0] == 0.0
    assert scores[0] < scores[1] < scores[2] <= 1.0


def test_a_synonym_counts_less_than_the_word_itself() -> None:
    own, synonym, neither = similarities("보온병", ["보온병", "텀블러", "우산"])
    assert own > synonym > neither == 0.0


def test_nothing_to_compare_gives_nothing() -> None:
    assert similarities("우산", []) == []
    assert similarities("우산", ["", "!!"]) == [0.0, 0.0]
    assert similarities("", ["우산"]) == [0.0]


def test_a_compound_is_rephrased_by_its_end_and_one_syllable_only_as_a_whole_word() -> None:
    assert "캠핑 체어" in rephrased("캠핑의자")
    assert rephrased("비디오게임팬") == []


def main() -> None:
    for name, method in CANDIDATES.items():
        began = time.perf_counter()
        row = recall_at_10(method)
        spent = time.perf_counter() - began
        print(f"{name:36}", *(f"{kind} {value:.3f}" for kind, value in row.items()), f"{spent:.1f} s")


if __name__ == "__main__":
    main()
