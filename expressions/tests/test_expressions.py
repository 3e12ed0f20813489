"""Expressions by example, one test per rule: what they give, and what is refused when it is saved."""

from typing import Any

import pytest
from expression_house import DATA, NAMES, Root, lookup, refused, render

from expressions import TEXT_LIMIT, ExpressionError, Names, compile_condition, compile_list, compile_template


def expression(text: str) -> Any:
    return render("${{ " + text + " }}")


def refused_at_compile(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        compile_template("${{ " + text + " }}", NAMES)
    return caught.value


# --- text and types


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("run.input.n", 3),
        ("run.input.half", 0.5),
        ("run.input.none", None),
        ("run.input.yes", True),
        ("tasks.trend.output", {"keyword": "봄", "items": [1, 2, 3]}),
        ('run.input["k-1"].list[1]', 20),
        (".run.input.n", 3),
        ("item", 7),
        ("event.type", "order.paid"),
        ("now", "2026-03-01T12:00:00.250Z"),
        ("run.input.nul", "a\0b"),
        ("run.input.wide", 2**63),
        ("run.input.rows[99].name", "상품 99"),
    ],
)
def test_a_path_alone_keeps_the_type_of_its_value_and_needs_no_cel(text: str, value: Any) -> None:
    template = compile_template("${{" + text + "}}", NAMES)
    assert template.plain
    assert not template.constant
    assert template.render(lookup) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("run.input.n + 1", 4),
        ("run.input.name + '!'", "한글!"),
        ("size(run.input.name)", 2),
        ("tasks.trend.output.items.map(x, x * 2)", [2, 4, 6]),
        ("tasks.trend.output.items.map(x, x > 1, x * 2)", [4, 6]),
        ("tasks.trend.output.items.exists_one(x, x == 2)", True),
        ("run.input.rows.filter(r, r.id > 97).map(r, r.name)", ["상품 98", "상품 99"]),
        ("run.input.rows.filter(r, tasks.trend.output.items.exists(i, i == r.id)).size()", 3),
        ("run.input['k-1'].map(key, key)", ["list"]),
        ("run.input['k-1']['list'].map(x, [x]['0' == '0' ? 0 : 1])", [10, 20]),
        ("{'b': 1, 'a': run.input.n, 'c': [null, 1.5]}", {"a": 3, "b": 1, "c": [None, 1.5]}),
        ("now + duration('1h')", "2026-03-01T13:00:00.250Z"),
        ("now - timestamp('2026-03-01T11:59:00Z')", "60.25s"),
        ("now - timestamp('2026-03-01T11:00:00.250Z')", "3600s"),
        ("type(run.input.n) == int", True),
        ("run.input.backslash + ''", "a\\u0000b"),
        ("[run.input.wide][0]", 2**63),
        ("run.input.name.matches('^[가-힣]+$')", True),
        ("item > 5 && run.input.yes ? 'big' : 'small'", "big"),
    ],
)
def test_an_expression_gives_a_json_value(text: str, value: Any) -> None:
    result = expression(text)
    assert result == value
    assert type(result) is type(value)


def test_the_keys_of_a_made_object_are_sorted_so_that_the_same_input_gives_the_same_bytes() -> None:
    assert list(expression("{'c': item, 'a': 1, 'b': 2}")) == ["a", "b", "c"]


def test_expressions_within_text_are_written_into_it() -> None:
    text = "${{ run.input.name }} ${{item}}/${{ run.input.yes }}/${{ run.input.none }}/${{ tasks.trend.output.items }}."
    assert render(text) == "한글 7/true//[1,2,3]."
    assert render("a${{ null }}b${{ 1 + 1 }}") == "ab2"


def test_dollar_escapes_an_expression() -> None:
    assert render("$${{ item }}") == "${{ item }}"
    assert render("$${{ item }} is ${{ item }}") == "${{ item }} is 7"
    assert render("a $${{") == "a ${{"


@pytest.mark.parametrize("text", ["'}}'", '"}}"', "r'}}'", "'''}}'''", '"""}}"""', "'\\'}}'"])
def test_braces_in_a_string_do_not_end_an_expression(text: str) -> None:
    assert expression(text).endswith("}}")


def test_braces_of_an_object_do_not_end_an_expression() -> None:
    assert render("${{ {'a': {'b': 1}}}}") == {"a": {"b": 1}}


def test_values_around_expressions_stay_as_they_are() -> None:
    value = {"a": [1, None, {"b": "${{ item }}"}], "c": {"d": "$", "e": "}}"}, "f": "${{ 1 + 1 }}"}
    assert render(value) == {"a": [1, None, {"b": 7}], "c": {"d": "$", "e": "}}"}, "f": 2}


def test_a_template_without_references_is_constant() -> None:
    template = compile_template({"a": [1, "x${{ 'y' }}"], "b": "${{ [1].map(x, x + 1) }}"}, NAMES)
    assert template.constant
    assert template.plain
    assert template.render(lookup) == {"a": [1, "xy"], "b": [2]}


# --- references, needs and optional


def test_references_and_needs_are_told_without_rendering() -> None:
    template = compile_template(
        {"a": "${{ tasks.trend.output.items[0] }}", "b": "${{ size(optional(tasks.ocr.output.x, [])) + run.input.n }}"},
        NAMES,
    )
    assert template.references == {
        ("tasks", "trend", "output", "items", "0"),
        ("tasks", "ocr", "output", "x"),
        ("run", "input", "n"),
    }
    assert template.roots == {("tasks", "trend", "output"), ("tasks", "ocr", "output"), ("run", "input")}
    assert template.needs == {"trend"}
    assert not template.plain


def test_a_key_read_both_ways_is_needed() -> None:
    assert compile_template("${{ optional(tasks.a.output, 1) }} ${{ tasks.a.output }}", NAMES).needs == {"a"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("optional(tasks.gone.output, null)", None),
        ("optional(tasks.gone.output.x[3].y, {'a': [1, 1 + 1]})", {"a": [1, 2]}),
        ("optional(tasks.empty.output, 5)", 5),
        ("optional(tasks.trend.output.nothing, 'd')", "d"),
        ("optional(tasks.trend.output.items[9], 'd')", "d"),
        ("optional(tasks.trend.output.keyword, 'd')", "봄"),
        ("optional(run.input.none, 'd')", None),
        ("size(optional(tasks.gone.output.items, [])) > 0", False),
        ("size(optional(tasks.trend.output.items, [])) > 0", True),
    ],
)
def test_optional_gives_its_default_only_where_nothing_is(text: str, value: Any) -> None:
    assert compile_template("${{" + text + "}}", NAMES).needs == frozenset()
    assert expression(text) == value


def test_a_default_given_out_is_never_shared() -> None:
    template = compile_template("${{ optional(tasks.gone.output, []) }}", NAMES)
    template.render(lookup).append(1)
    assert template.render(lookup) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("optional(tasks.gone.output, run.input.n)", "must be constant"),
        ("run.input.rows.map(r, optional(tasks.gone.output, r))", "the default"),
        ("optional(tasks.gone.output, 1 / 0)", "divide by zero"),
        ("optional(1 + 1, 2)", "begins with a plain path"),
        ("optional(tasks.gone.output)", "optional"),
    ],
)
def test_optional_takes_a_path_and_a_constant(text: str, reason: str) -> None:
    assert reason in refused_at_compile(text).reason


def test_a_missing_path_is_an_error_which_names_it() -> None:
    error = refused({"body": {"items": [{"name": "${{ tasks.trend.output.none.x }}"}]}})
    assert (error.code, error.path) == ("evaluation", "body.items[0].name")
    assert error.reason == "tasks.trend.output.none.x is missing"
    assert str(error) == "body.items[0].name: tasks.trend.output.none.x is missing"


@pytest.mark.parametrize(
    "text",
    ["tasks.gone.output", "run.input.n.x", "run.input.name[0]", "run.input['k-1'][0]", "run.input['k-1'].list[2]"],
)
def test_what_is_not_there_is_missing_by_path_and_by_cel_alike(text: str) -> None:
    assert refused("${{ " + text + " }}").reason.endswith("is missing")
    assert refused("${{ " + text + " == 1 }}").reason.endswith("is missing")


def test_a_missing_path_is_no_error_where_cel_does_not_read_it() -> None:
    assert expression("has(run.input.gone) ? run.input.gone : 5") == 5
    assert expression("has(run.input.n) ? run.input.n : 5") == 3
    assert expression("run.input.yes || run.input.gone") is True
    assert refused("${{ has(run.input.gone.x) }}").reason == "run.input.gone is missing"


def test_only_what_is_referenced_is_looked_up() -> None:
    asked: list[Root] = []

    def find(root: Root) -> Any:
        asked.append(root)
        return DATA[root]

    assert render("${{ tasks.trend.output.items.size() + run.input.n }}", find) == 6
    assert sorted(asked) == [("run", "input"), ("tasks", "trend", "output")]


# --- what is refused when it is saved


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("nothing", "unknown_name", "undeclared reference to 'nothing' (line 1, column 1)"),
        ("1 +\n nothing", "unknown_name", "(line 2, column 2)"),
        ("shout(1)", "unknown_name", "undeclared reference to 'shout'"),
        ("1 + run.inputs.x", "unknown_name", "'run.inputs.x' is not known here (line 1, column"),
        ("tasks.trend.result", "unknown_name", "known: event, item, now, run.input, tasks.<key>.output"),
        ("tasks.map(t, t)", "unknown_name", "'tasks' is not known here"),
        ("tasks[run.input.name].output", "unknown_name", "'tasks' is not known here"),
        ("tasks.later.output.x", "unknown_name", "tasks.later.output.x: it does not come before this task"),
        ("google.protobuf.Int32Value{value: 5}", "unknown_name", "'google.protobuf.Int32Value' is not known"),
        ("1 +", "syntax", "(line 1, column 4)"),
        ("", "syntax", "<EOF>"),
        ("1 + 'a'", "syntax", "no matching overload"),
        ("run.input['k-1'].map(key, shout(key))", "unknown_name", "undeclared reference to 'shout' (line 1"),
        ("'a'.map(x, x)", "syntax", "cannot be the range"),
        ("[1].map(run, 1)", "syntax", "'run' cannot name a loop variable"),
        ("(" * 100 + "1" + ")" * 100, "syntax", "recursion"),
        ("1" + ".size()" * 100, "syntax", ""),
        ("'" + "a" * TEXT_LIMIT + "'", "too_long", ""),
        ("'" + "한" * (TEXT_LIMIT // 2) + "'", "too_long", f"{TEXT_LIMIT} bytes"),
        ("[1].map(a, [1].map(b, [1].map(c, 1)))", "too_expensive", "2 deep"),
        ("run.input.name.matches(run.input.name)", "too_expensive", "written out"),
        ("run.input.name.matches('\\\\pL{200}')", "too_expensive", "short"),
        ("run.input.name.matches('(x{1,30}){30}[a-z]{50}')", "too_expensive", "short"),
        ("b'bytes'", "evaluation", "not JSON"),
        ("type(1)", "evaluation", "not JSON"),
        ("{1: 2}", "evaluation", "not JSON"),
        ("1e300 * 1e300", "evaluation", "not JSON"),
        ("1 / 0", "evaluation", "divide by zero"),
    ],
)
def test_what_cannot_be_known_or_bounded_is_refused_with_its_reason(text: str, code: str, reason: str) -> None:
    error = refused_at_compile(text)
    assert error.code == code
    assert reason in error.reason


def test_a_root_that_is_not_given_is_not_known() -> None:
    with pytest.raises(ExpressionError, match=r"undeclared reference to 'item'"):
        compile_template("${{ item }}", Names(frozenset({("now",)})))


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("${{ item", "syntax"),
        ("${{ item }", "syntax"),
        ("${{ 'a }}", "syntax"),
        ("${{ " + "1" * (TEXT_LIMIT * 2) + " }}", "too_long"),
        ({"${{ item }}": 1}, "syntax"),
        ("\ud800", "syntax"),
        (2**64, "syntax"),
        (object(), "syntax"),
        ({1: 2}, "syntax"),
        (deep(65), "too_long"),
        (deep(5000), "syntax"),
        ("a" * 300_000, "too_long"),
    ],
)
def test_a_template_that_is_no_bounded_json_value_is_refused(value: Any, code: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_template(value, NAMES)
    assert caught.value.code == code


# --- conditions


@pytest.mark.parametrize("text", ["item > 5", "${{ item > 5 }}", " ${{ run.input.yes }} ", "run.input.yes", "true"])
def test_a_condition_may_be_written_with_or_without_braces(text: str) -> None:
    assert compile_condition(text, NAMES).render(lookup) is True


@pytest.mark.parametrize(
    "text", ["item + 1 > 2 && 'a' + 'b'", "'a' + 'b'", "size(run.input.rows)", "x ${{ true }}", ""]
)
def test_a_condition_that_cannot_be_a_bool_is_refused_when_it_is_saved(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_condition(text, NAMES)
    assert caught.value.code == "syntax"


def test_a_condition_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ExpressionError, match="UTF-8"):
        compile_condition("item == '\ud800'", NAMES)


@pytest.mark.parametrize("text", ["run.input.n", "run.input.none", "item + 1", "dyn(1)"])
def test_a_condition_that_gives_no_bool_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError, match="true or false"):
        compile_condition(text, NAMES).render(lookup)


# --- lists


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("${{ run.input['k-1'].list }}", [10, 20]),
        (" run.input['k-1'].list ", [10, 20]),
        ("${{ run.input.rows.filter(row, row.id < 2).map(row, row.id) }}", [0, 1]),
        ("['a', 'b']", ["a", "b"]),
        ("optional(tasks.nobody.output.items, [])", []),
    ],
)
def test_one_expression_may_give_the_items_of_a_list(text: str, items: list[Any]) -> None:
    assert compile_list(text, NAMES).render(lookup) == items


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("'a'", "syntax"),
        ("size(run.input.rows)", "syntax"),
        ("", "syntax"),
        ("urls: ${{ run.input.rows }}", "syntax"),
        ("dyn(1)", "evaluation"),
    ],
)
def test_what_cannot_be_a_list_is_refused_when_it_is_saved(text: str, code: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_list(text, NAMES)
    assert caught.value.code == code


@pytest.mark.parametrize("text", ["run.input.name", "run.input.none", "run.input['k-1']"])
def test_what_gives_no_list_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError, match="must give a list"):
        compile_list(text, NAMES).render(lookup)
