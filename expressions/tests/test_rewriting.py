"""Paths exchanged in expressions, by the tree: everything around them stays as it was written."""

from typing import Any

import pytest

from expressions import ExpressionError, Reference, rewrite, written

ROOTS = frozenset({("run", "input"), ("tasks", "*", "output"), ("now",), ("item",)})


def moved(reference: Reference) -> str | None:
    """What tasks give and a run gets stands in one input now."""
    if reference.root[0] == "tasks":
        return reference.below("run", "input", reference.root[1])
    return reference.below("run", "input", "all") if reference.root[0] == "run" else None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tasks.a.output", "run.input.a"),
        ("tasks.a.output.x[0].y", "run.input.a.x[0].y"),
        ('tasks["a"].output["two words"]', 'run.input.a["two words"]'),
        ("tasks . a // so\n . output . x", "run.input.a.x"),
        ("(tasks.a).output.x", "run.input.a.x"),
        ("((tasks.a.output))[0] == -1", "run.input.a[0] == -1"),
        (".run.input.n", ".run.input.all.n"),
        ("run.input", "run.input.all"),
        ("run.input[tasks.a.output.name]", "run.input.all[run.input.a.name]"),
        ("has(tasks.a.output.x.y) ? tasks.a.output.x : 1", "has(run.input.a.x.y) ? run.input.a.x : 1"),
        ("has ( (run.input).x )", "has(run.input.all.x)"),
        ('optional( tasks.a.output.x , {"k": [1, null]} )', 'optional(run.input.a.x, {"k":[1,null]})'),
        ("'tasks.a.output' + tasks.a.output + r'\\d run.input'", "'tasks.a.output' + run.input.a + r'\\d run.input'"),
        ("'한글😀}}' + tasks.a.output + \"}\"", "'한글😀}}' + run.input.a + \"}\""),
        (
            "run.input.xs.map(x, x + tasks.a.output.n).filter(z, has(z.q))",
            "run.input.all.xs.map(x, x + run.input.a.n).filter(z, has(z.q))",
        ),
        ('{"n": tasks.a.output, "in": {"m": item}}.n', '{"n": run.input.a, "in": {"m": item}}.n'),
        ("now", "now"),
        ("item.tasks.a.output", "item.tasks.a.output"),
        ("size(tasks.a.output) > 1 && tasks.b.output", "size(run.input.a) > 1 && run.input.b"),
    ],
)
def test_paths_are_exchanged_and_nothing_else(before: str, after: str) -> None:
    assert rewrite(f"${{{{ {before} }}}}", ROOTS, moved) == f"${{{{ {after} }}}}"


def test_a_value_is_rewritten_wherever_it_holds_expressions_and_escapes_stay() -> None:
    value = {"a": ["${{ tasks.a.output }}", "no tasks.a.output", 7], "b": "x ${{ tasks.b.output.n }} $${{ tasks.a }} y"}
    wanted = {"a": ["${{ run.input.a }}", "no tasks.a.output", 7], "b": "x ${{ run.input.b.n }} $${{ tasks.a }} y"}
    assert rewrite(value, ROOTS, moved) == wanted


def test_what_nothing_is_said_about_stays_as_it_was_written() -> None:
    text = "${{   tasks . a . output\n + run.input.x }}"
    assert rewrite(text, ROOTS, lambda reference: None) == text


def test_a_choice_is_put_into_brackets_within_more() -> None:
    def choice(reference: Reference) -> str:
        return "run.input.a == null ? 1 : run.input.a"

    assert rewrite("${{ tasks.a.output * 2 }}", ROOTS, choice) == "${{ (run.input.a == null ? 1 : run.input.a) * 2 }}"
    assert rewrite("${{ tasks.a.output }}", ROOTS, choice) == "${{ run.input.a == null ? 1 : run.input.a }}"


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("tasks.a.output.x", Reference(("tasks", "a", "output"), "a", ("x",), None, None, True, False)),
        ("tasks.a.output.x + 1", Reference(("tasks", "a", "output"), "a", ("x",), None, None, False, False)),
        ("true && run.input.x", Reference(("run", "input"), None, ("x",), None, None, False, True)),
        ("true ? run.input.x : 1", Reference(("run", "input"), None, ("x",), None, None, False, True)),
        ("[1].map(i, i + run.input.x)", Reference(("run", "input"), None, ("x",), None, None, False, True)),
        ("run.input.x.map(i, i)", Reference(("run", "input"), None, ("x",), None, None, False, False)),
        ("has(run.input.x)", Reference(("run", "input"), None, (), None, "x", True, True)),
        ("optional(run.input.x, [1])", Reference(("run", "input"), None, ("x",), "[1]", None, True, False)),
    ],
)
def test_it_says_what_is_read_and_whether_it_must_be_there(text: str, reference: Reference) -> None:
    seen: list[Reference] = []
    rewrite(f"${{{{ {text} }}}}", ROOTS, seen.append)  # type: ignore[arg-type]
    assert seen == [reference]


def test_a_path_is_written_as_cel_reads_it() -> None:
    assert written(("tasks", "a", "if", "b c", 3, "한", "d")) == 'tasks.a["if"]["b c"][3]["한"].d'


@pytest.mark.parametrize("text", ["${{ tasks.a.output + }}", "${{ tasks.a.output", "${{ tasks.a.error }}"])
def test_what_is_malformed_is_refused(text: Any) -> None:
    with pytest.raises(ExpressionError):
        rewrite(text, ROOTS, moved)
