"""Keys are derived, unique, and stay with what had them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_service.domain.keys import LENGTH, Placed, Taken, Wanted, is_key, job_key, rematch, slug, task_key
from workflow_service.domain.model import PlacementId


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("keyword.trend", "keyword_trend"),
        ("Blog  Content!", "blog_content"),
        ("3d.render", "d_render"),
        ("상품 검색", None),
        ("---", None),
        ("in", None),
    ],
)
def test_a_text_suggests_a_key(text: str, key: str | None) -> None:
    assert slug(text) == key


def test_a_task_is_called_after_its_type_and_http_after_its_name() -> None:
    assert task_key("트렌드 키워드", "keyword.trend") == "keyword_trend"
    assert task_key("Search keywords", "http") == "search_keywords"
    assert task_key("키워드 검색", "http") == "http"
    assert task_key("null", "null") == "task"
    assert (job_key("Publish"), job_key("발행")) == ("publish", "job")


@pytest.mark.parametrize(
    ("key", "good"), [("a", True), ("a" * 63, True), ("a" * 64, False), ("A", False), ("1a", False)]
)
def test_the_form_of_a_key(key: str, good: bool) -> None:
    assert is_key(key) is good


def test_words_of_the_expression_language_are_no_keys() -> None:
    assert not any(map(is_key, ("true", "in", "null", "for")))


@given(st.text("ab_", min_size=1, max_size=LENGTH).filter(is_key), st.integers(0, 30))
def test_a_taken_key_gets_a_number_and_stays_a_key(wanted: str, rounds: int) -> None:
    taken = Taken()
    keys = [taken.free(wanted) for _ in range(rounds)]
    assert len(set(keys)) == rounds
    assert all(map(is_key, keys))
    assert keys[:1] == [wanted][:rounds]


def test_a_number_that_somebody_said_is_passed_over() -> None:
    taken = Taken(["a", "a_2", "a_4"])
    assert [taken.free("a") for _ in range(3)] == ["a_3", "a_5", "a_6"]


def placed(*said: tuple[str, str]) -> list[Placed]:
    return [Placed(PlacementId(f"p-{key}"), key, ref) for key, ref in said]


def wanted(*said: tuple[str, str | None]) -> list[Wanted]:
    return [Wanted(ref, key, ref) for ref, key in said]


def test_the_same_task_twice_gets_numbers() -> None:
    assert rematch([], wanted(("a", None), ("a", None), ("b", None))) == [(None, "a"), (None, "a_2"), (None, "b")]


def test_a_placement_keeps_its_key_when_others_come_go_and_change_places() -> None:
    before = placed(("a", "a"), ("a_2", "a"), ("b", "b"))
    assert rematch(before, wanted(("b", None), ("c", None), ("a", None))) == [
        ("p-b", "b"),
        (None, "c"),
        ("p-a", "a"),
    ]


def test_a_said_key_wins_over_one_that_would_be_derived_or_kept() -> None:
    before = placed(("a", "a"), ("b", "b"))
    assert rematch(before, wanted(("a", None), ("b", "a"))) == [(None, "a_2"), (None, "a")]
    assert rematch(before, wanted(("a", "a"), ("b", "renamed"))) == [("p-a", "a"), (None, "renamed")]


@given(
    st.lists(st.sampled_from("abc"), max_size=8),
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, "a", "a_2", "x"])), max_size=8),
)
def test_keys_are_always_distinct_and_no_placement_is_continued_twice(
    first: list[str], second: list[tuple[str, str | None]]
) -> None:
    seen: set[str] = set()
    distinct: list[tuple[str, str | None]] = []
    for ref, key in second:
        distinct.append((ref, None if key in seen else key))
        seen.update([key] if key else [])
    keys = [key for _, key in rematch([], wanted(*((ref, None) for ref in first)))]
    before = [Placed(PlacementId(f"p-{key}"), key, ref) for key, ref in zip(keys, first, strict=True)]
    after = rematch(before, wanted(*distinct))
    assert len({key for _, key in after}) == len(after)
    kept = [old for old, _ in after if old is not None]
    assert len(set(kept)) == len(kept)
