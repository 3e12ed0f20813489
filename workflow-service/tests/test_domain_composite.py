"""compose(): what is handed in and out, what is rewritten, what stays in order, and every reason against it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from workflow_service.domain.compile import compile_definition
from workflow_service.domain.composite import COMPOSITE, Composite, Wanted, compose
from workflow_service.domain.group import NotComposable
from workflow_service.domain.keys import workflow_keys
from workflow_service.domain.model import (
    Composition,
    FailurePolicy,
    Job,
    JobBody,
    JobId,
    JobPlacement,
    PlacementId,
    Retry,
    Stamp,
    Task,
    TaskBody,
    TaskId,
    TaskPlacement,
    Workflow,
    WorkflowBody,
    WorkflowId,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = Stamp(1, NOW, "u", NOW, "u")


def at(key: str, parameters: Any = None, task_id: str | None = None, **said: Any) -> TaskPlacement:
    """A placement; its parameters are those of its blueprint."""
    body = TaskBody(name=key, type="test.increment", parameters=parameters or {})
    return TaskPlacement(PlacementId(f"place-{key}"), key, Task(TaskId(task_id or f"id-{key}"), body, STAMP), **said)


def job(key: str, *tasks: TaskPlacement, depends_on: Any = None, **body: Any) -> JobPlacement:
    placed = Job(JobId(f"job-{key}"), JobBody(name=key, **body), STAMP)
    return JobPlacement(PlacementId(f"place-{key}"), key, placed, depends_on, tasks)


def composed(jobs: list[JobPlacement], *keys: str, put: bool = True, key: str | None = None, **body: Any) -> Composite:
    workflow = Workflow(WorkflowId("w"), "o", WorkflowBody(name="w", **body), True, 0, (), STAMP)
    whole = Composition(workflow, tuple(jobs))
    assert not [problem for problem in compile_definition(whole, {}, {})[1] if problem.blocking]
    made = compose(whole, workflow_keys(whole, {}), Wanted("Both", keys, key=key, replace=put))
    _compiles(whole, made)
    return made


def _compiles(whole: Composition, made: Composite) -> None:
    """What comes of it can be saved: the inner workflow, and the one around it."""
    jobs = [
        JobPlacement(PlacementId(""), each.key, Job(JobId(each.key), each.body, STAMP), each.depends_on, each.tasks)
        for each in made.jobs
    ]
    inner = replace(whole.workflow, body=made.inner)
    assert compile_definition(Composition(inner, tuple(jobs)), {}, {})[1] == ()
    if made.replaced is None:
        return
    task = Task(TaskId("composite"), made.task, STAMP)
    around = []
    for placed in whole.jobs:
        tasks = made.replaced.jobs.get(placed.job.job_id, placed.tasks)
        known = [replace(each, task=task) if each.task.task_id == COMPOSITE else each for each in tasks]
        around.append(replace(placed, tasks=tuple(known)))
    outer = replace(whole.workflow, body=made.replaced.body)
    assert compile_definition(Composition(outer, tuple(around)), {}, {})[1] == ()


def inner(made: Composite, key: str) -> TaskPlacement:
    return next(task for each in made.jobs for task in each.tasks if task.key == key)


def around(made: Composite, name: str = "j") -> dict[str, TaskPlacement]:
    assert made.replaced is not None
    return {task.key: task for task in made.replaced.jobs[JobId(f"job-{name}")]}


# --- what goes in ---


@pytest.mark.parametrize(
    ("said", "within", "outside"),
    [
        ("${{ run.input.shop }}", "${{ run.input.shop }}", {"shop": "${{ run.input.shop }}"}),
        ("${{ tasks.a.output.rows[0] }}", "${{ run.input.a_rows_0 }}", {"a_rows_0": "${{ tasks.a.output.rows[0] }}"}),
        ("${{ tasks.a.output }}", "${{ run.input.a }}", {"a": "${{ tasks.a.output }}"}),
        ("n ${{ tasks.a.output.n + 1 }}!", "n ${{ run.input.a_n + 1 }}!", {"a_n": "${{ tasks.a.output.n }}"}),
        (
            "${{ optional(tasks.a.output.n, 7) }}",
            "${{ run.input.a_n }}",
            {"a_n": "${{ optional(tasks.a.output.n, 7) }}"},
        ),
        (
            "${{ has(run.input.x) ? run.input.x : 1 }}",
            "${{ has(run.input.input.x) ? run.input.input.x : 1 }}",
            {"input": "${{ run.input }}"},
        ),
        ("${{ tasks.a.output['한글'] }}", "${{ run.input.input }}", {"input": '${{ tasks.a.output["한글"] }}'}),
        ("${{ now }}", "${{ now }}", {}),
        ("tasks.a.output", "tasks.a.output", {}),
    ],
)
def test_what_the_group_reads_of_others_is_its_input(said: str, within: str, outside: dict[str, str]) -> None:
    made = composed([job("j", at("a"), at("b", {"v": said}))], "b")
    assert inner(made, "b").parameters == ({"v": within} if within != said else {})
    assert made.task.parameters["input"] == outside
    schema = made.inner.input_schema
    assert schema is not None
    assert list(schema["properties"]) == list(outside)


def test_two_reads_of_one_thing_are_one_input_and_two_things_never_share_a_name() -> None:
    said = {"x": "${{ run.input.a.b }}", "y": "${{ run.input.a.b }}", "z": "${{ run.input.a_b }}"}
    made = composed([job("j", at("b", said))], "b")
    assert made.task.parameters["input"] == {"a_b": "${{ run.input.a.b }}", "a_b_2": "${{ run.input.a_b }}"}
    assert inner(made, "b").parameters["z"] == "${{ run.input.a_b_2 }}"


@pytest.mark.parametrize("said", [{"when": "${{ tasks.a.output.yes }}"}, {"for_each": "${{ tasks.a.output.list }}"}])
def test_what_may_never_be_read_comes_with_all_that_its_task_gave(said: dict[str, str]) -> None:
    """Else a part that is missing would fail the composite, though the group would never have asked for it."""
    made = composed([job("j", at("a"), at("b", {"v": "${{ tasks.a.output.only.then }}"}, **said))], "b")
    assert made.task.parameters["input"] == {"a": "${{ tasks.a.output }}"}
    assert inner(made, "b").parameters == {"v": "${{ run.input.a.only.then }}"}


def test_what_the_inputs_schema_requires_is_surely_there() -> None:
    number = {"type": "integer", "minimum": 1}
    schema = {"type": "object", "properties": {"n": number}, "required": ["n"]}
    made = composed([job("j", at("b", {"v": "${{ run.input.n }}"}, when="${{ true }}"))], "b", input_schema=schema)
    assert made.task.parameters["input"] == {"n": "${{ run.input.n }}"}
    assert made.inner.input_schema == {
        "type": "object",
        "properties": {"n": {"description": "run.input.n", **number}},
        "additionalProperties": False,
        "required": ["n"],
    }


def test_conditions_lists_and_limits_are_rewritten_and_the_rest_is_kept() -> None:
    said: dict[str, Any] = {
        "when": "${{ tasks.a.output.n > 1 }}",
        "for_each": ["${{ tasks.a.output }}"],
        "concurrency_key": "k-${{ tasks.a.output.n }}-${{ item }}",
        "retry": Retry(3),
        "timeout_s": 5.0,
        "failure_policy": FailurePolicy.ISOLATE,
        "max_parallel": 2,
        "name": "B",
    }
    placed = at("b", {"v": "${{ item }}", "kept": 1}, **said)
    found = inner(composed([job("j", at("a"), placed)], "b"), "b")
    assert (found.when, found.for_each) == ("${{ run.input.a.n > 1 }}", ["${{ run.input.a }}"])
    assert found.concurrency_key == "k-${{ run.input.a.n }}-${{ item }}"
    assert found.parameters == {}
    assert (found.task, found.retry, found.timeout_s, found.max_parallel) == (placed.task, placed.retry, 5.0, 2)
    assert (found.failure_policy, found.name, found.placement_id) == (FailurePolicy.ISOLATE, "B", "")


def test_the_blueprint_stays_and_the_placement_says_what_it_reads_anew() -> None:
    blueprint = {"deep": {"v": "${{ tasks.a.output.n }}", "kept": 1}, "list": ["${{ run.input.x }}", 2], "gone": 1}
    own = {"gone": None, "deep": {"more": "${{ tasks.a.output.m }}"}}
    placed = replace(at("b", blueprint), parameters=own)
    found = inner(composed([job("j", at("a"), placed)], "b"), "b")
    assert found.task is placed.task
    # the list needs nothing said: its input is called as it was
    assert found.parameters == {
        "deep": {"v": "${{ run.input.a_n }}", "more": "${{ run.input.a_m }}"},
        "gone": None,
    }


def test_default_config_goes_with_its_tasks() -> None:
    config = {
        "b": {"v": "${{ tasks.a.output.n }}"},
        "shared": {"w": "${{ run.input.w }}"},
        "c": {"u": "${{ tasks.b.output.n }}"},
    }
    jobs = [job("j", at("a"), at("b", task_id="shared"), at("c"), at("d", task_id="shared"))]
    made = composed(jobs, "b", default_config=config)
    assert made.inner.default_config == {"b": {"v": "${{ run.input.a_n }}"}, "shared": {"w": "${{ run.input.w }}"}}
    assert made.replaced is not None
    assert made.replaced.body.default_config == {
        "shared": config["shared"],
        "c": {"u": "${{ tasks.both.output.output.b.n }}"},
    }


# --- what comes out ---


def test_its_output_is_what_comes_last_and_what_others_read() -> None:
    reads = at("d", {"v": "${{ tasks.a.output.n }}"})
    made = composed([job("j", at("a"), at("b"), at("c"), reads)], "a", "b", "c")
    assert made.task.parameters["outputs"] == ["a", "c"]
    assert around(made)["d"].parameters == {"v": "${{ tasks.both.output.output.a.n }}"}


@pytest.mark.parametrize(
    ("said", "becomes"),
    [
        ("${{ tasks.a.output }}", "${{ tasks.both.output.output.a }}"),
        ("${{ has(tasks.a.output.n) }}", "${{ has(tasks.both.output.output.a.n) }}"),
        ("${{ optional(tasks.a.output.n, 1) }}", "${{ optional(tasks.both.output.output.a.n, 1) }}"),
        (
            "${{ optional(tasks.a.output, 1) }}",
            "${{ optional(tasks.both.output.output.a, null) == null ? 1 : optional(tasks.both.output.output.a, 1) }}",
        ),
    ],
)
def test_others_read_the_composite_as_they_read_the_group(said: str, becomes: str) -> None:
    made = composed([job("j", at("a", when="${{ run.input.yes }}"), at("b", {"v": said}))], "a")
    assert around(made)["b"].parameters == {"v": becomes}


def test_other_jobs_read_it_too() -> None:
    jobs = [
        job("j", at("a")),
        job("k", at("a", {"v": 1}), at("b", {"v": "${{ tasks.a.output.n }}"})),
        job("l", at("c")),
    ]
    jobs[2] = job("l", at("c", {"v": "${{ tasks.a.output.n }}", "w": "${{ tasks.a_2.output.n }}"}))
    made = composed(jobs, "a_2")
    assert set(made.replaced.jobs) == {JobId("job-k"), JobId("job-l")}  # type: ignore[union-attr]
    assert around(made, "k")["b"].parameters == {"v": "${{ tasks.both.output.output.a_2.n }}"}
    assert around(made, "l")["c"].parameters == {"w": "${{ tasks.both.output.output.a_2.n }}"}
    assert [task.key for task in made.jobs[0].tasks] == ["a_2"]


def test_a_name_of_the_jobs_own_becomes_the_workflows_inside() -> None:
    jobs = [job("j", at("a")), job("k", at("a"), at("b", {"v": "${{ tasks.a.output.n }}"}))]
    made = composed(jobs, "a_2", "b")
    assert inner(made, "b").parameters == {"v": "${{ tasks.a_2.output.n }}"}
    assert composed(jobs, "b").task.parameters["input"] == {"a_2_n": "${{ tasks.a.output.n }}"}


# --- order ---


def test_edges_to_and_from_the_group_are_the_composites() -> None:
    tasks = [
        at("a"), at("b", depends_on=()), at("c", depends_on=("a",)), at("d", depends_on=("c",)),
        at("e", depends_on=("b", "d")), at("f", depends_on=("c",)), at("g"),
    ]  # fmt: skip
    found = around(composed([job("j", *tasks)], "c", "d"))
    assert list(found) == ["a", "b", "both", "e", "f", "g"]
    assert {key: task.depends_on for key, task in found.items()} == {
        "a": None, "b": (), "both": ("a",), "e": ("b", "both"), "f": ("both",), "g": None,
    }  # fmt: skip


def test_in_plain_order_nothing_needs_to_be_said() -> None:
    made = composed([job("j", at("a"), at("b"), at("c"), at("d"))], "b", "c")
    assert [(task.key, task.depends_on) for task in made.jobs[0].tasks] == [("b", None), ("c", None)]
    assert [(key, task.depends_on) for key, task in around(made).items()] == [("a", None), ("both", None), ("d", None)]


def test_an_order_through_others_stays_an_order() -> None:
    jobs = [job("j", at("a"), at("b"), at("c", {"v": "${{ tasks.a.output }}"})), job("k", at("d")), job("l", at("e"))]
    made = composed(jobs, "a", "c", "e", put=False)
    assert [(each.key, each.depends_on) for each in made.jobs] == [("j", None), ("l", None)]
    assert [(task.key, task.depends_on) for task in made.jobs[0].tasks] == [("a", None), ("c", None)]
    beside = [job("j", at("a"), at("b", depends_on=()), at("c", depends_on=("b",)))]
    made = composed(beside, "a", "c", put=False)
    assert [task.depends_on for task in made.jobs[0].tasks] == [None, ()]


def test_the_strictest_policy_of_the_group_is_the_composites() -> None:
    tasks = [at("a", failure_policy=FailurePolicy.ISOLATE), at("b"), at("c", failure_policy=FailurePolicy.STOP)]
    assert composed([job("j", *tasks)], "a", "b").task.failure_policy is FailurePolicy.ISOLATE
    assert composed([job("j", *tasks)], "b", "c").task.failure_policy is FailurePolicy.STOP
    assert composed([job("j", *tasks)], "b").task.failure_policy is FailurePolicy.CONTINUE
    of_job = composed([job("j", *tasks, failure_policy=FailurePolicy.STOP)], "b")
    assert of_job.task.failure_policy is of_job.jobs[0].body.failure_policy is FailurePolicy.STOP


# --- what cannot be ---


def refused(jobs: list[JobPlacement], *keys: str, **said: Any) -> tuple[str, str]:
    with pytest.raises(NotComposable) as error:
        composed(jobs, *keys, **said)
    return error.value.field, error.value.code


def test_what_would_go_in_a_circle_is_refused_in_place_and_only_there() -> None:
    jobs = [job("j", at("a"), at("b"), at("c"))]
    with pytest.raises(NotComposable) as error:
        composed(jobs, "c", "a")
    assert (error.value.code, error.value.params) == ("composite_not_convex", {"path": "a → b → c", "key": "b"})
    assert composed(jobs, "a", "c", put=False).replaced is None
    assert composed([job("j", at("a"), at("b", depends_on=()), at("c", depends_on=("a",)))], "a", "c").replaced


def test_keys_that_are_none_taken_or_of_several_jobs_are_refused() -> None:
    jobs = [job("j", at("a"), at("b")), job("k", at("c"))]
    assert refused(jobs, "a", "nobody") == ("body.keys[1]", "composite_key_unknown")
    assert refused(jobs, "b", "c") == ("body.keys", "composite_across_jobs")
    assert refused(jobs, "a", key="c") == ("body.key", "key_taken")
    assert refused(jobs, "a", key="While") == ("body.key", "key_invalid")
    assert composed(jobs, "a", key="one").replaced.key == "one"  # type: ignore[union-attr]


def test_a_job_that_stands_in_the_workflow_twice_is_left_alone() -> None:
    once = job("j", at("a"), at("b"))
    again = replace(once, key="j_2", placement_id=PlacementId("again"))
    assert refused([once, again], "a") == ("body.keys", "composite_job_twice")
    assert composed([once, again], "a", put=False).replaced is None


def test_a_name_that_another_hides_is_refused() -> None:
    jobs = [job("j", at("a")), job("k", at("b", {"v": "${{ tasks.a.output.n }}"}), at("a"))]
    assert refused(jobs, "b") == ("body.keys", "composite_name_hidden")
