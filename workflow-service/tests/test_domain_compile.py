"""compile(): what a composition becomes, and every way in which it can be wrong."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from workflow_service.domain.compile import compile_definition
from workflow_service.domain.keys import remember
from workflow_service.domain.model import (
    Composition,
    Definition,
    FailurePolicy,
    Job,
    JobBody,
    JobId,
    JobPlacement,
    PlacementId,
    Problem,
    Retry,
    Stamp,
    Task,
    TaskBody,
    TaskId,
    TaskPlacement,
    TaskType,
    Workflow,
    WorkflowBody,
    WorkflowId,
    path_text,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = Stamp(1, NOW, "u", NOW, "u")


def task(task_id: str, type_: str = "test.increment", **body: Any) -> Task:
    return Task(TaskId(task_id), TaskBody(name=body.pop("name", task_id), type=type_, **body), STAMP)


def at(key: str, placed: Task | None = None, **said: Any) -> TaskPlacement:
    return TaskPlacement(PlacementId(f"place-{key}"), key, placed or task(f"id-{key}"), **said)


def job(key: str, *tasks: TaskPlacement, depends_on: Any = None, **body: Any) -> JobPlacement:
    placed = Job(JobId(f"job-{key}"), JobBody(name=key, **body), STAMP)
    return JobPlacement(PlacementId(f"place-{key}"), key, placed, depends_on, tasks)


def composition(*jobs: JobPlacement, **body: Any) -> Composition:
    workflow = Workflow(WorkflowId("w"), "o", WorkflowBody(name="w", **body), True, 0, (), STAMP)
    return Composition(workflow, jobs)


def reading(*keys: str, task_id: str = "reader") -> Task:
    parameters = {key: f"${{{{ tasks.{key}.output.n }}}}" for key in keys}
    return task(task_id, parameters=parameters)


def compiled(*jobs: JobPlacement, types: Any = None, before: Definition | None = None, **body: Any) -> Definition:
    definition, problems = compile_definition(composition(*jobs, **body), types or {}, remember(before))
    assert problems == ()
    return definition


def problems(*jobs: JobPlacement, types: Any = None, part: bool = False, **body: Any) -> dict[str, Problem]:
    """By field."""
    found = compile_definition(composition(*jobs, **body), types or {}, {}, part=part)[1]
    return {problem.field: problem for problem in found}


def keys(definition: Definition) -> list[list[str]]:
    return [[spec.key for spec in one.tasks] for one in definition.jobs]


# --- order and keys ---------------------------------------------------------------------------------------------------


def test_tasks_and_jobs_run_one_after_the_other_unless_they_say_otherwise() -> None:
    definition = compiled(
        job("a", at("x"), at("y"), at("z", depends_on=("x",))), job("b", at("v")), job("c", at("w"), depends_on=())
    )
    assert [one.depends_on for one in definition.jobs] == [(), ("a",), ()]
    assert [spec.depends_on for spec in definition.jobs[0].tasks] == [(), ("x",), ("x",)]


def test_the_same_task_and_the_same_job_may_be_placed_twice() -> None:
    twice = task("t")
    first = job("a", at("x", twice), at("x_2", twice, parameters={"n": "${{ tasks.x.output.n }}"}))
    second = replace(first, placement_id=PlacementId("other"), key="a_2")
    definition = compiled(first, second)
    assert keys(definition) == [["x", "x_2"], ["x_3", "x_2_2"]]
    # each means its own job's task
    assert definition.jobs[0].tasks[1].parameters == {"n": "${{ tasks.x.output.n }}"}
    assert definition.jobs[1].tasks[1].parameters == {"n": "${{ tasks.x_3.output.n }}"}
    assert definition.jobs[1].tasks[1].depends_on == ("x_3",)


def test_a_name_that_its_own_job_does_not_bear_before_it_means_an_earlier_jobs_task() -> None:
    own = at("n", task("second", parameters={"n": "${{ tasks.n.output.n }}"}))
    definition = compiled(job("a", at("n")), job("b", own))
    assert keys(definition) == [["n"], ["n_2"]]
    assert definition.jobs[1].tasks[0].parameters == {"n": "${{ tasks.n.output.n }}"}


def test_a_placement_keeps_its_key_when_another_of_that_name_comes_before_it() -> None:
    old = job("b", at("x"))
    before = compiled(old)
    new = job("a", replace(at("x"), placement_id=PlacementId("new")))
    after = compiled(new, old, before=before, default_config={"x": {"n": 1}})
    assert keys(after) == [["x_2"], ["x"]]
    assert after.jobs[1].tasks[0].parameters == {"n": 1}
    # unless it was itself given another
    renamed = job("b", replace(at("y"), placement_id=PlacementId("place-x")))
    assert keys(compiled(new, renamed, before=before)) == [["x"], ["y"]]


def test_a_cycle_is_named() -> None:
    found = problems(job("a", at("x", depends_on=("y",)), at("y")))
    assert [(problem.field, problem.code) for problem in found.values()] == [("tasks.x.depends_on", "cycle")]
    assert dict(found["tasks.x.depends_on"].params)["cycle"] == "x → y → x"
    assert found["tasks.x.depends_on"].where == ("placement", "job-a", 0, "depends_on")
    found = problems(job("a", at("x"), depends_on=("b",)), job("b", at("y")))
    assert found["jobs.a.depends_on"].where == ("jobs", 0, "depends_on")


def test_what_depends_on_something_unknown_is_named() -> None:
    found = problems(job("a", at("x", depends_on=("y",))), job("b", at("z"), depends_on=("a", "nobody")))
    assert found["tasks.x.depends_on[0]"].code == "depends_on_unknown"
    assert found["jobs.b.depends_on[1]"].where == ("jobs", 1, "depends_on", 1)


# --- expressions ------------------------------------------------------------------------------------------------------


def test_outputs_of_what_came_before_may_be_read() -> None:
    compiled(job("a", at("x"), at("y")), job("b", at("z", reading("x", "y"))))
    compiled(job("a", at("x"), at("y", depends_on=()), at("z", reading("x", "y"), depends_on=("x", "y"))))


def test_a_task_reads_neither_itself_nor_what_may_run_later_or_beside_it() -> None:
    itself = problems(job("a", at("x", reading("x"))))
    later = problems(job("a", at("x", reading("y")), at("y")))
    beside = problems(job("a", at("x"), at("y", reading("x"), depends_on=())))
    other = problems(job("a", at("x")), job("b", at("y", reading("x")), depends_on=()))
    for found in (itself, later, beside, other):
        (problem,) = found.values()
        assert problem.code == "task_not_before"
        assert problem.where[:3] == ("task", "reader", "parameters")
        assert problem.blocking


def test_an_optional_reference_must_come_before_too() -> None:
    hopeful = task("t", parameters={"n": "${{ optional(tasks.y.output.n, null) }}"})
    assert problems(job("a", at("x", hopeful), at("y")))["tasks.x.parameters.n"].code == "task_not_before"
    compiled(job("a", at("y"), at("x", hopeful)))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("${{ tasks.nobody.output.n }}", "task_unknown"),
        ("${{ secrets.password }}", "expression_unknown_name"),
        ("${{ item.x }}", "expression_unknown_name"),
        ("${{ 1 + }}", "expression_syntax"),
        ("${{ run.input.n", "expression_syntax"),
        ("${{ '" + "x" * 5000 + "' }}", "expression_too_long"),
        ("${{ 1 / 0 }}", "expression_evaluation"),
    ],
)
def test_an_expression_that_cannot_be_is_refused_where_it_stands(text: str, code: str) -> None:
    found = problems(job("a", at("x"), at("y", task("t", parameters={"list": [{"n": text}]}))))
    (problem,) = found.values()
    assert (problem.code, problem.field) == (code, "tasks.y.parameters.list[0].n")
    assert problem.where == ("task", "t", "parameters", "list", 0, "n")


def test_a_condition_means_the_jobs_own_tasks_wherever_it_is_placed() -> None:
    placed = job("one", at("a"), at("b", when="${{ tasks.a.output.n > 1 }}"))
    again = job("two", at("a"), at("b", when="${{ tasks.a.output.n > 1 }}"))
    definition = compiled(placed, again)
    [[_, first], [renamed, second]] = keys(definition)
    assert (first, second) == ("b", definition.jobs[1].tasks[1].key)
    assert [task.when for one in definition.jobs for task in one.tasks] == [
        None, "${{ tasks.a.output.n > 1 }}", None, f"${{{{ tasks.{renamed}.output.n > 1 }}}}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("${{ tasks.b.output.n > 1 }}", "task_not_before"),
        ("${{ tasks.nobody.output }}", "task_unknown"),
        ("${{ run.secret }}", "expression_unknown_name"),
        ("${{ 1 + 1 }}", "expression_syntax"),
        ("yes ${{ true }}", "expression_syntax"),
        ("${{ ", "expression_syntax"),
    ],
)
def test_a_condition_that_cannot_be_is_refused_where_it_stands(condition: str, code: str) -> None:
    (problem,) = problems(job("one", at("a"), at("b", when=condition))).values()
    assert (problem.code, problem.field, problem.blocking) == (code, "tasks.b.when", True)
    assert problem.where == ("placement", "job-one", 1, "when")


# --- for_each ---------------------------------------------------------------------------------------------------------


def fanned(for_each: Any, parameters: Any = None, **said: Any) -> TaskPlacement:
    return at("each", task("t", parameters=parameters or {"n": "${{ item.n }}"}), for_each=for_each, **said)


def test_a_task_may_run_once_per_item_and_read_the_item() -> None:
    listed = fanned([{"n": 1}, {"n": "${{ run.input.n }}"}], max_parallel=2)
    found = fanned("${{ tasks.x.output.rows }}", {"a": [{"b": "${{ item }} of ${{ tasks.x.output.n }}"}]})
    first = compiled(job("a", listed)).jobs[0].tasks[0]
    second = compiled(job("a", at("x"), found)).jobs[0].tasks[1]
    assert (first.for_each, first.max_parallel) == ([{"n": 1}, {"n": "${{ run.input.n }}"}], 2)
    assert (second.for_each, second.max_parallel) == ("${{ tasks.x.output.rows }}", 0)
    assert compiled(job("a", at("x"))).jobs[0].tasks[0].for_each is None


def test_what_a_workflow_says_of_a_fanned_out_task_may_name_the_item_too() -> None:
    definition = compiled(
        job("a", fanned("${{ run.input.rows }}", parameters={"n": 0, "m": 1})),
        default_config={"each": {"m": "${{ item.m }}"}},
    )
    assert definition.jobs[0].tasks[0].parameters == {"n": 0, "m": "${{ item.m }}"}


def test_the_seeds_blueprint_takes_the_item_as_a_value() -> None:
    definition = compiled(
        job("a", at("http", HTTP, for_each="${{ run.input.tags }}")), default_config={"http": {"tag": "${{ item }}"}}
    )
    assert definition.jobs[0].tasks[0].parameters["values"] == {"tag": "${{ item }}"}
    (problem,) = problems(job("a", at("http", HTTP)), default_config={"http": {"tag": "${{ item }}"}}).values()
    assert problem.where == ("default_config", "http", "tag")


def test_a_list_means_the_jobs_own_tasks_wherever_it_is_placed() -> None:
    one, two = (
        job(key, at("x"), fanned("${{ tasks.x.output }}"), at("y", for_each=["${{ tasks.x.output.n }}"]))
        for key in ("one", "two")
    )
    (_, first, second), (_, third, fourth) = (found.tasks for found in compiled(one, two).jobs)
    assert (first.for_each, second.for_each) == ("${{ tasks.x.output }}", ["${{ tasks.x.output.n }}"])
    assert (third.for_each, fourth.for_each) == ("${{ tasks.x_2.output }}", ["${{ tasks.x_2.output.n }}"])


@pytest.mark.parametrize(
    ("for_each", "code", "path"),
    [
        ("${{ tasks.each.output }}", "task_not_before", ()),
        ("${{ tasks.nobody.output.rows }}", "task_unknown", ()),
        ("${{ optional(tasks.later.output.rows, []) }}", "task_not_before", ()),
        ("${{ item.rows }}", "expression_unknown_name", ()),
        ("${{ 'text' }}", "expression_syntax", ()),
        ("${{ dyn({}) }}", "expression_evaluation", ()),
        ("rows: ${{ run.input.rows }}", "expression_syntax", ()),
        ([{"n": 1}, {"n": ["${{ item }}"]}], "expression_unknown_name", (1, "n", 0)),
        (["${{ tasks.later.output }}"], "task_not_before", (0,)),
        ([{"${{ now }}": 1}], "expression_syntax", ()),
    ],
)
def test_a_list_that_cannot_be_is_refused_where_it_stands(for_each: Any, code: str, path: Any) -> None:
    (problem,) = problems(job("one", at("x"), fanned(for_each, {"n": 1}), at("later"))).values()
    assert (problem.code, problem.field, problem.blocking) == (
        code,
        path_text(("tasks", "each", "for_each", *path)),
        True,
    )
    assert problem.where == ("placement", "job-one", 1, "for_each", *path)


def test_the_item_is_known_in_the_parameters_of_its_own_task_alone() -> None:
    condition = fanned(["a"], {"n": 1}, when="${{ item == 'a' }}")
    after = at("after", task("other", parameters={"n": "${{ item.n }}"}))
    found = problems(job("a", condition, after))
    assert {field: problem.code for field, problem in found.items()} == {
        "tasks.each.when": "expression_unknown_name",
        "tasks.after.parameters.n": "expression_unknown_name",
    }


def test_a_written_list_counts_towards_the_size_of_the_whole() -> None:
    large = [fanned(["x" * 200_000]) for _ in range(16)]
    (problem,) = problems(
        job("a", *(replace(placed, key=f"x{number}") for number, placed in enumerate(large)))
    ).values()
    assert problem.code == "definition_too_large"


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_key_is_text_or_what_expressions_make_of_it() -> None:
    plain = at("a", concurrency_key="naver")
    made = at("b", concurrency_key="shop-${{ tasks.a.output.shop }}", concurrency_limit=9)
    each = at("c", for_each=[1], concurrency_key="${{ item }}")
    tasks = compiled(job("j", plain, made, each, at("d"))).jobs[0].tasks
    assert [(spec.concurrency_key, spec.concurrency_limit) for spec in tasks] == [
        ("naver", 1),
        ("shop-${{ tasks.a.output.shop }}", 9),
        ("${{ item }}", 1),
        (None, None),
    ]


def test_a_key_means_the_jobs_own_tasks_wherever_it_is_placed() -> None:
    one, two = (job(key, at("x"), at("y", concurrency_key="tasks.x ${{ tasks.x.output }}")) for key in ("one", "two"))
    found = [spec.concurrency_key for part in compiled(one, two).jobs for spec in part.tasks]
    assert found == [None, "tasks.x ${{ tasks.x.output }}", None, "tasks.x ${{ tasks.x_2.output }}"]


@pytest.mark.parametrize("key", ["k" * 128, "${{ 7 }}", "${{ 'k' }}", "$${{ k }}", "가", "${{ dyn(run.input.k) }}"])
def test_what_comes_to_a_short_text_or_a_number_may_be_a_key(key: str) -> None:
    assert compiled(job("j", at("a", concurrency_key=key))).jobs[0].tasks[0].concurrency_key == key


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("k" * 129, "concurrency_key_invalid"),
        ("${{ '' }}", "concurrency_key_invalid"),
        ("${{ true }}", "concurrency_key_invalid"),
        ("${{ 1.5 }}", "concurrency_key_invalid"),
        ("${{ ['a'] }}", "concurrency_key_invalid"),
        ("${{ null }}", "concurrency_key_invalid"),
        ("${{ item }}", "expression_unknown_name"),
        ("${{ tasks.later.output }}", "task_not_before"),
        ("${{ tasks.nobody.output }}", "task_unknown"),
        ("${{ run.input.", "expression_syntax"),
        ("${{ 1 / 0 }}", "expression_evaluation"),
    ],
)
def test_a_key_that_cannot_be_is_refused_where_it_stands(key: str, code: str) -> None:
    (problem,) = problems(job("one", at("x"), at("a", concurrency_key=key), at("later"))).values()
    assert (problem.code, problem.field, problem.blocking) == (code, "tasks.a.concurrency_key", True)
    assert problem.where == ("placement", "job-one", 1, "concurrency_key")


def test_what_the_engine_itself_waits_for_takes_no_place() -> None:
    waits = task("t", "wait.time", parameters={"seconds": 1})
    (problem,) = problems(job("one", at("a", waits, concurrency_key="k"))).values()
    assert (problem.code, problem.field) == ("concurrency_key_of_wait", "tasks.a.concurrency_key")


def test_keys_count_towards_the_size_of_the_whole() -> None:
    long = "k" * 4000 + "${{ now }}"
    placed = [at(f"x{number}", concurrency_key=long) for number in range(800)]
    assert [problem.code for problem in problems(job("a", *placed)).values()] == ["definition_too_large"]


@pytest.mark.parametrize("value", [{"${{ now }}": 1}, {"a": []}])
def test_parameters_that_the_engine_could_not_take_are_refused(value: Any) -> None:
    for _ in range(70 if "a" in value else 0):
        value = {"a": [value]}
    (problem,) = problems(job("a", at("x", task("t", parameters=value)))).values()
    assert (problem.field, problem.blocking) == ("tasks.x.parameters", True)


def test_input_and_the_time_may_be_read() -> None:
    compiled(job("a", at("x", task("t", parameters={"a": "${{ run.input.n }}", "b": "${{ now }}"}))))


# --- values -----------------------------------------------------------------------------------------------------------


def test_values_come_from_the_task_its_placement_and_the_workflow_in_this_order() -> None:
    blueprint = task("t", parameters={"a": 1, "b": {"x": 1, "y": 1}, "c": 1, "d": 1})
    definition = compiled(
        job("a", at("k", blueprint, parameters={"b": {"x": 2}, "d": None}), at("other", blueprint)),
        default_config={"t": {"c": 3}, "k": {"b": {"y": 4}, "c": 4}},
    )
    assert [spec.parameters for spec in definition.jobs[0].tasks] == [
        {"a": 1, "b": {"x": 2, "y": 4}, "c": 4},
        {"a": 1, "b": {"x": 1, "y": 1}, "c": 3, "d": 1},
    ]


def test_settings_come_from_the_nearest_that_says_them() -> None:
    patient = Retry(max_attempts=5)
    said = task("t", retry=patient, timeout_s=5.0, queue="slow", priority=1, failure_policy=FailurePolicy.ISOLATE)
    definition = compiled(
        job("a", at("w"), at("x", said), at("y", said, retry=Retry(2), timeout_s=9.0, name="다른 이름")),
        job("b", at("z", failure_policy=FailurePolicy.CONTINUE), at("v"), failure_policy=FailurePolicy.STOP),
        failure_policy=FailurePolicy.ISOLATE,
        timeout_s=60.0,
        types={"test.increment": TaskType("test.increment", {}, {}, queue="types-own")},
    )
    (w, x, y), (z, v) = (one.tasks for one in definition.jobs)
    assert (w.retry, w.timeout_s, w.queue, w.priority) == (Retry(), 0.0, "types-own", 3)
    assert (x.retry, x.timeout_s, x.queue, x.priority) == (patient, 5.0, "slow", 1)
    assert (y.retry, y.timeout_s, y.name) == (Retry(2), 9.0, "다른 이름")
    assert [spec.failure_policy for spec in (w, x, z, v)] == ["isolate", "isolate", "continue", "stop"]
    assert definition.timeout_s == 60.0


def test_default_config_for_nobody_is_refused_once_there_is_somebody() -> None:
    config = {"nobody": {"n": 1}}
    found = problems(job("a", at("x")), default_config=config)["default_config.nobody"]
    assert (found.code, found.where, found.blocking) == ("placement_unknown", ("default_config", "nobody"), True)
    open_ = problems(default_config=config)
    assert {problem.code: problem.blocking for problem in open_.values()} == {
        "workflow_empty": False,
        "placement_unknown": False,
    }


def test_a_job_without_tasks_can_be_saved_but_not_run() -> None:
    found = problems(job("a", at("x", reading("later"))), job("b"))
    assert {problem.code: problem.blocking for problem in found.values()} == {"job_empty": False, "task_unknown": False}


TYPES = {
    "test.increment": TaskType("test.increment", {}, {}),
    "keyword.trend": TaskType(
        "keyword.trend",
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["source"],
            "properties": {"source": {"enum": ["list", "naver"]}, "seed": {"type": "integer"}},
        },
        {},
    ),
}


def test_constants_are_held_against_the_types_schema_and_blamed_on_who_said_them() -> None:
    trend = task("t", "keyword.trend", parameters={"seed": "one"})
    found = problems(
        job("a", at("x", trend, parameters={"sort": 1})), types=TYPES, default_config={"x": {"source": "google"}}
    )
    assert {field: problem.where for field, problem in found.items()} == {
        "tasks.x.parameters.seed": ("task", "t", "parameters", "seed"),
        "tasks.x.parameters.sort": ("placement", "job-a", 0, "parameters", "sort"),
        "tasks.x.parameters.source": ("default_config", "x", "source"),
    }


def test_what_is_still_missing_does_not_stop_a_save_but_a_run() -> None:
    (problem,) = problems(job("a", at("x", task("t", "keyword.trend"))), types=TYPES).values()
    assert (problem.code, problem.field, problem.blocking) == ("missing", "tasks.x.parameters.source", False)


def test_a_type_nobody_runs_is_refused_as_soon_as_any_is_known() -> None:
    unknown = job("a", at("x", task("t", "no.such")))
    assert problems(unknown) == {}
    (problem,) = problems(unknown, types=TYPES).values()
    assert (problem.code, problem.where) == ("task_type_unknown", ("task", "t", "type"))


HTTP = task("h", "http", parameters={"endpoint": "/keywords/search", "method": "POST", "body": {"tag": "String"}})


def test_the_seeds_blueprint_compiles_with_the_workflows_value() -> None:
    definition = compiled(job("a", at("http", HTTP)), default_config={"http": {"tag": "naver"}})
    assert definition.jobs[0].tasks[0].parameters == {
        "endpoint": "/keywords/search",
        "method": "POST",
        "body": {"tag": "String"},
        "values": {"tag": "naver"},
    }


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"tag": "${{ nobody }}"}, ("tag",)),
        ({"values": {"tag": "${{ nobody }}"}}, ("values", "tag")),
        ({"body": {"tag": "${{ nobody }}"}}, ("body", "tag")),
        ({"tags": "x"}, ("tags",)),
    ],
)
def test_a_wrong_value_of_an_http_field_is_blamed_on_default_config(config: Any, where: Any) -> None:
    (problem,) = problems(job("a", at("http", HTTP)), default_config={"http": config}).values()
    assert problem.where == ("default_config", "http", *where)


def test_a_wrong_blueprint_is_blamed_on_its_task() -> None:
    wrong = task("h", "http", parameters={"endpoint": "/", "body": {"tag": "Text"}})
    (problem,) = problems(job("a", at("http", wrong))).values()
    assert problem.where == ("task", "h", "parameters", "body", "tag")
    bad_value = replace(HTTP, body=replace(HTTP.body, parameters={"body": {"tag": "String"}, "values": {"x": 1}}))
    (problem,) = problems(job("a", at("http", bad_value))).values()
    assert problem.where == ("task", "h", "parameters", "values", "x")


# --- parts and bounds -------------------------------------------------------------------------------------------------


def test_a_job_by_itself_may_read_what_stands_elsewhere() -> None:
    (elsewhere,) = problems(job("a", at("x", reading("elsewhere"))), part=True).values()
    (hidden,) = problems(job("a", at("x", reading("x"))), part=True).values()
    assert (elsewhere.blocking, hidden.blocking) == (False, False)
    (wrong,) = problems(job("a", at("x", task("t", parameters={"n": "${{ run.x }}"}))), part=True).values()
    assert wrong.blocking


def test_merged_parameters_and_whole_definitions_are_bounded() -> None:
    large = task("t", parameters={"a": "x" * 40_000})
    (problem,) = problems(job("a", at("x", large)), default_config={"x": {"b": "x" * 40_000}}).values()
    assert problem.code == "parameters_too_large"
    (problem,) = problems(job("a", *(at(f"x{number}", large) for number in range(80)))).values()
    assert problem.code == "definition_too_large"


def test_ten_thousand_tasks_are_a_workflow_and_one_more_is_none() -> None:
    small = task("t")
    many = [at(f"x{number}", small) for number in range(10_000)]
    assert len(compiled(job("a", *many)).jobs[0].tasks) == 10_000
    found = problems(job("a", *many), job("b", at("y")))
    assert [problem.code for problem in found.values()] == ["too_many_placements"]


def test_a_path_reads_like_one() -> None:
    assert path_text(("tasks", "a", "list", 0, "x")) == "tasks.a.list[0].x"
