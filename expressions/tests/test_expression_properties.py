"""Expressions on whatever Hypothesis makes up, in many threads, and against a clock."""

import threading
import timeit
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from expression_house import NAMES, lookup, render
from hypothesis import given, settings
from hypothesis import strategies as st

from expressions import ExpressionError, compile_template

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(words.filter(lambda key: "${{" not in key), inner, max_size=4)
    ),
    max_leaves=12,
)


def escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("${{", "$${{")
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return {key: escaped(item) for key, item in value.items()} if isinstance(value, dict) else value


@given(json_values)
@settings(deadline=None)
def test_an_escaped_value_renders_to_itself(value: Any) -> None:
    assert render(escaped(value)) == value


@given(st.text(alphabet="${} a'", max_size=30))
@settings(deadline=None)
def test_any_text_escaped_renders_to_itself(text: str) -> None:
    assert render(escaped(text)) == text


@given(json_values)
@settings(deadline=None)
def test_a_value_comes_through_a_path_and_through_cel_unchanged(value: Any) -> None:
    for text in ("item", "[item][0]", "{'k': item}.k", "[1].map(x, item)[0]"):
        assert render("${{ " + text + " }}", lambda root: value) == value


@given(st.lists(st.integers(0, 1000), max_size=300))
@settings(deadline=None, max_examples=30)
def test_loops_keep_every_item_in_order(values: list[int]) -> None:
    assert render("${{ item.map(x, x + 1) }}", lambda root: values) == [x + 1 for x in values]
    assert render("${{ item.filter(x, x % 3 == 0) }}", lambda root: values) == [x for x in values if x % 3 == 0]


@given(st.text(alphabet="run.input tasks[]()'\"0+-*?:{}|&!,xn\\/", max_size=40))
@settings(deadline=None)
def test_any_text_ends_in_a_value_or_an_expression_error(text: str) -> None:
    ended = ""
    try:
        render("${{ " + text + " }}")
    except ExpressionError as error:
        ended = error.code
    assert ended in {"", "syntax", "unknown_name", "too_long", "too_expensive", "evaluation", "result_too_large"}


@given(st.datetimes(timezones=st.just(UTC)) | st.just(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=9)))))
@settings(deadline=None)
def test_a_time_is_the_same_by_path_and_by_cel(now: datetime) -> None:
    assert render("${{ now }}", lambda root: now) == render("${{ now + duration('0s') }}", lambda root: now)


def test_one_template_renders_in_many_threads_at_once() -> None:
    results: list[Any] = []

    def work(n: int) -> None:
        for i in range(50):
            text = "${{ item.map(x, x + " + str(i) + ") }}"
            results.append(compile_template(text, NAMES).render(lambda root: [n]) == [n + i])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 200


def test_a_plain_path_is_at_least_five_times_faster_than_cel_on_the_same_list() -> None:
    path = compile_template("${{ run.input.rows[0].id }}", NAMES)
    cel = compile_template("${{ run.input.rows.exists(r, r.id == 0) }}", NAMES)
    fast, slow = (min(timeit.repeat(lambda t=t: t.render(lookup), number=100, repeat=20)) for t in (path, cel))
    assert slow > 5 * fast
