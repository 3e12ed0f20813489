"""Data, results and work that are too much for an expression; what could crash CEL runs in a process of its own."""

import subprocess
import sys
from typing import Any

import pytest
from expression_house import NAMES, Root, refused, render

from expressions import DATA_LIMIT, INLINE, RENDERED_LIMIT, Budget, ExpressionError, compile_template


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("run.input.nul + ''", "NUL"),
        ("[run.input][0]", "CEL cannot take"),
        ("run.input.surrogate + ''", "UTF-8"),
        ("run.input.wider + 1", "64-bit"),
        ("run.input.surrogate", "UTF-8"),
        ("dyn(item) + 'a'", "No matching overloads"),
        ("tasks.trend.output.items[-1]", "Index error"),
        ("timestamp(run.input.name)", ""),
    ],
)
def test_what_cel_cannot_compute_ends_in_an_evaluation_error(text: str, reason: str) -> None:
    error = refused("${{ " + text + " }}")
    assert error.code == "evaluation"
    assert reason in error.reason


def big(root: Root) -> Any:
    return {"text": "x" * 1000, "long": "x" * 200_000, "list": list(range(5000)), "more": list(range(20_000))}


ONE, TEN = ("[{0}].map(x, {1})[0]", "[x, x, x, x, x, x, x, x, x, x]")


def nested(seed: str, body: str, times: int) -> str:
    for _ in range(times):
        seed = ONE.format(seed, body)
    return seed


@pytest.mark.parametrize(
    "text",
    [
        "item.list.map(x, item.list.map(y, y))",
        "item.more.all(x, true)",
        "item.list.all(x, item.list == item.list)",
        "item.list.map(x, item.long + item.long)",
        "item.list.all(x, item.long.matches('[가-힣]{100}'))",
        nested("item.text", "+".join(["(" + "+".join(["x"] * 12) + ")"] * 12), 3) + ".size()",
        "[[1,2,3,4,5,6,7,8,9,10]].map(a, a.map(b, item.long + item.long + item.long)).map(c, c.map(d, d + d + d + d))"
        ".map(e, e.map(f, f + f + f + f + f)).size()",
    ],
)
def test_work_beyond_the_budget_is_refused_quickly(text: str) -> None:
    template = compile_template("${{ " + text + " }}", NAMES)
    with pytest.raises(ExpressionError) as caught:
        template.render(big)
    assert caught.value.code == "too_expensive"


@pytest.mark.parametrize(
    "text",
    [
        "item.long + item.long",
        nested("item.list[0]", TEN, 6),
        nested("item.text", TEN, 3),
        "item.list.map(x, item.text)",
    ],
)
def test_a_result_that_unfolds_beyond_the_limit_is_refused(text: str) -> None:
    template = compile_template("${{ " + text + " }}", NAMES)
    with pytest.raises(ExpressionError) as caught:
        template.render(big)
    assert caught.value.code == "result_too_large"


def test_many_small_parts_count_together() -> None:
    twice = compile_template(["${{ item.long + '' }}"] * 2, NAMES)
    with pytest.raises(ExpressionError) as caught:
        twice.render(big)
    assert (caught.value.code, caught.value.path) == ("result_too_large", "[1]")
    assert [len(text) for text in twice.render(big, Budget(result=1_000_000))] == [200_000, 200_000]
    with pytest.raises(ExpressionError) as caught:
        twice.render(big, Budget(rendered=300_000, result=1_000_000))
    assert (caught.value.code, caught.value.path) == ("too_expensive", "[1]")


def test_what_plain_paths_give_may_be_as_large_as_a_payload() -> None:
    half = {"text": "한" * (RENDERED_LIMIT // 8), "n": 1}
    twice = compile_template({"a": "${{ item }}", "b": "${{ item.text }}"}, NAMES)
    # what CEL gives beside them is counted apart
    mixed = compile_template(["${{ item.text }}", "${{ item.n + 1 }}"], NAMES)
    assert twice.render(lambda root: half) == {"a": half, "b": half["text"]}
    assert mixed.render(lambda root: half) == [half["text"], 2]
    more = compile_template(["${{ item }}", "${{ item.text }}", "${{ item.text }}"], NAMES)
    with pytest.raises(ExpressionError) as caught:
        more.render(lambda root: half)
    assert (caught.value.code, caught.value.path) == ("result_too_large", "[2]")
    with pytest.raises(ExpressionError) as caught:
        twice.render(lambda root: half, INLINE)
    assert caught.value.code == "too_expensive"


def test_cel_reads_no_large_values_but_parts_of_them() -> None:
    large = {"rows": [{"id": i, "name": "x" * 100} for i in range(20_000)], "n": 1}
    for text in ("item.rows.map(r, r.id)", "item.rows.size()", "item.rows[0] in item.rows", "item == 1"):
        template = compile_template("${{ " + text + " }}", NAMES)
        with pytest.raises(ExpressionError) as caught:
            template.render(lambda root: large)
        assert caught.value.code == "data_too_large", text
        assert str(DATA_LIMIT) in caught.value.reason
    few = compile_template("${{ item.rows[19999].id + size(item.rows[7].name) + item.n }}", NAMES)
    assert few.render(lambda root: large) == 19999 + 100 + 1


def test_an_ordinary_expression_over_a_large_list_stays_within_the_budget() -> None:
    rows = [{"id": i, "name": f"상품 {i}", "tags": ["a", "b"]} for i in range(4000)]
    kept = compile_template("${{ item.filter(r, r.id % 1000 == 0).map(r, r.name + '!') }}", NAMES)
    assert kept.render(lambda root: rows) == ["상품 0!", "상품 1000!", "상품 2000!", "상품 3000!"]
    tags = compile_template("${{ item.map(r, r.tags.map(t, r.name + t)).size() }}", NAMES)
    assert tags.render(lambda root: rows[:1000]) == 1000
    numbers = compile_template("${{ item.map(r, r.id) }}", NAMES)
    assert numbers.render(lambda root: rows) == list(range(4000))


def test_the_inline_budget_sends_heavy_work_elsewhere() -> None:
    template = compile_template("${{ item.list.filter(x, x < 3) }}", NAMES)
    assert template.render(big) == [0, 1, 2]
    with pytest.raises(ExpressionError) as caught:
        template.render(big, INLINE)
    assert caught.value.code == "too_expensive"
    assert render("${{ tasks.trend.output.items.map(x, x + 1) }}", budget=INLINE) == [2, 3, 4]


def test_data_beyond_the_budget_never_reach_cel() -> None:
    template = compile_template("${{ item.long.size() }}", NAMES)
    assert template.render(big) == 200_000
    with pytest.raises(ExpressionError) as caught:
        template.render(big, Budget(data=100_000))
    assert caught.value.code == "too_expensive"


CRASHERS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from expressions import *
names = Names(frozenset({("item",)}))
deep = 1
for _ in range(100_000): deep = [deep]
ring = []; ring.append(ring)
wide = "x" * 10_000_000
texts = ["item == item", "size(item)", "[item, item]", "item.map(x, [x, x])", "item + item", "item.matches('(x+x+)+y')",
         "[item].map(x, x+x+x+x+x+x+x+x).map(x, x+x+x+x+x+x+x+x).map(x, x+x+x+x+x+x+x+x)", "'\\\\ud800' + item",
         "{'a': item}.a", "item.all(x, item.all(y, x == y))", "-" * 4000 + "item", "[" * 2000 + "item" + "]" * 2000,
         "item" + ".a" * 1500, "||".join(["item"] * 600), "item" + ".map(x, x)" * 25, "\\0", "'\\0' + item"]
data = [deep, ring, wide, {"\\0": 1}, {"\\ud800": 1}, {1: 2}, object(), b"", float("nan"), 2**70, [[2**64]], (1,), None]
outcomes = 0
for text in texts:
    for value in data:
        try:
            compile_template("${{ " + text + " }}", names).render(lambda root: value)
        except ExpressionError:
            outcomes += 1
print("ended", outcomes)
"""


def test_nothing_crashes_the_process() -> None:
    ended = subprocess.run(  # a segmentation fault must fail this test, not the whole run
        [sys.executable, "-c", CRASHERS], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout.split()[1]) > 150
