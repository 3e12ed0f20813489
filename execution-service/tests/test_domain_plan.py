"""What a definition means for running: order, needs, and what is refused."""

import pytest
from domain_house import job, maybe, out, reads, task, workflow

from execution_service.domain.definition import Backoff, Retry
from execution_service.domain.plan import compile_plan
from expressions import ExpressionError


def test_tasks_are_numbered_in_the_order_in_which_they_are_written() -> None:
    plan = compile_plan(workflow(job("one", task("b"), task("a", "b")), job("two", task("c"), after=("one",))))
    assert plan.by_key == {"b": 0, "a": 1, "c": 2}
    assert [step.after for step in plan.steps] == [(), (0,), ()]
    assert [step.before for step in plan.steps] == [(1,), (), ()]
    assert [(stage.steps, stage.after, stage.before) for stage in plan.stages] == [((0, 1), (), (1,)), ((2,), (0,), ())]


def test_a_reference_is_a_need_and_optional_is_none() -> None:
    mixed = task("c", "a", "b", parameters={"must": out("a"), "may": maybe("b")})
    step = compile_plan(workflow(job("main", task("a"), task("b"), mixed))).steps[2]
    assert step.needs == (0,)
    assert step.reads == (0, 1)


def test_what_a_task_reads_comes_before_it_even_when_the_order_says_so_only_by_way_of_another() -> None:
    plan = compile_plan(workflow(job("main", task("a"), task("b", "a"), task("c", "b", parameters={"x": out("a")}))))
    assert plan.steps[2].after == (0, 1)


def test_a_job_comes_after_the_jobs_whose_outputs_it_reads() -> None:
    jobs = (
        job("one", task("a")),
        job("two", task("b"), after=("one",)),
        job("three", task("c", parameters={"x": maybe("a")}), after=("two",)),
    )
    assert compile_plan(workflow(*jobs)).stages[2].after == (0, 1)


def test_a_job_after_an_empty_one_comes_after_what_is_before_that() -> None:
    jobs = (job("one", task("a")), job("none", after=("one",)), job("two", task("b"), after=("none",)))
    assert compile_plan(workflow(*jobs)).stages[2].after == (0, 1)


def test_absent_parameters_are_an_empty_object() -> None:
    step = compile_plan(workflow(job("main", task("a")))).steps[0]
    assert step.template.render(dict[tuple[str, ...], object]().__getitem__) == {}


def test_a_run_lasts_thirty_days_unless_the_definition_says_otherwise() -> None:
    assert compile_plan(workflow()).timeout_micros == 30 * 24 * 3600 * 1_000_000
    assert compile_plan(workflow(timeout_s=1.5)).timeout_micros == 1_500_000


@pytest.mark.parametrize(
    "broken",
    [
        workflow(job("main", task("a"), task("a"))),
        workflow(job("main"), job("main")),
        workflow(job("main", task("a", "nobody"))),
        workflow(job("main", task("a", parameters={"x": out("nobody")}))),
        workflow(job("main", task("a"), after=("nobody",))),
        workflow(job("main", task("a", "b"), task("b", "a"))),
        workflow(job("main", task("a", parameters={"x": out("a")}))),
        workflow(job("main", reads("b", "a"), reads("a", "b"))),
        workflow(job("one", task("a"), after=("two",)), job("two", task("b"), after=("one",))),
        workflow(job("one", task("a", parameters={"x": out("b")})), job("two", task("b"), after=("one",))),
        workflow(job("one", task("a")), job("two", task("b", "a"))),
    ],
    ids=[
        "two tasks with one key", "two jobs with one key", "after an unknown task", "reads an unknown task",
        "after an unknown job", "tasks in a circle", "reads itself", "reading in a circle", "jobs in a circle",
        "reads from a later job", "after a task of another job",
    ],
)  # fmt: skip
def test_what_could_never_run_to_its_end_is_refused(broken: object) -> None:
    with pytest.raises(ValueError):
        compile_plan(broken)  # type: ignore[arg-type]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ExpressionError):
        compile_plan(workflow(job("main", task("a", parameters={"x": "${{ secrets.key }}"}))))


def test_a_fixed_back_off_waits_the_same_each_time() -> None:
    retry = Retry(5, Backoff.FIXED, delay_s=2)
    assert [retry.delay_micros(attempt, 0.5) for attempt in (1, 2, 3)] == [2_000_000] * 3


def test_an_exponential_back_off_doubles_up_to_its_limit_however_often() -> None:
    retry = Retry(5, Backoff.EXPONENTIAL, delay_s=1, max_delay_s=5)
    assert [retry.delay_micros(attempt, 0) for attempt in (1, 2, 3, 4, 5000)] == [
        1_000_000, 2_000_000, 4_000_000, 5_000_000, 5_000_000,
    ]  # fmt: skip


def test_jitter_shortens_a_wait_by_at_most_its_part() -> None:
    retry = Retry(2, Backoff.FIXED, delay_s=10, jitter=0.5)
    assert retry.delay_micros(1, 0.0) == 10_000_000
    assert retry.delay_micros(1, 0.5) == 7_500_000
    assert 5_000_000 <= retry.delay_micros(1, 0.999) < 5_010_000
