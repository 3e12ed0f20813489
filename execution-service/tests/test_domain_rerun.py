"""Which tasks of an ended run run again."""

import pytest
from domain_house import Story, job, maybe, out, reads, task, workflow

from execution_service.domain.plan import Plan, compile_plan
from execution_service.domain.rerun import EmptyRange, chosen_tasks, range_of_tasks, tasks_to_run
from execution_service.domain.run import RunState, TaskState

DEFINITION = workflow(
    job("one", task("a"), reads("b", "a"), task("side")),
    job("two", task("c", parameters={"x": out("b")}), task("d"), after=("one",)),
    job("three", task("e"), after=("two",)),
)


def ended(*failing: str) -> Story:
    story = Story(DEFINITION)
    story.begin()
    while not story.state.terminal:
        for key, state in story.states().items():
            if state is TaskState.QUEUED:
                (story.fails if key in failing else story.done)(key)
    return story


def chosen(story: Story, **said: object) -> set[str]:
    again = tasks_to_run(story.run, story.plan, **said)  # type: ignore[arg-type]
    return {story.plan.steps[index].spec.key for index in again}


def test_from_the_start_everything_runs_again() -> None:
    assert chosen(ended()) == {"a", "b", "side", "c", "d", "e"}


def test_from_the_failed_tasks_only_what_did_not_succeed_runs_again() -> None:
    assert chosen(ended("side"), failed=True) == {"side"}


def test_what_reads_the_output_of_one_that_runs_again_runs_again() -> None:
    definition = workflow(job("main", task("a"), task("b", "a", parameters={"x": maybe("a")})))
    story = Story(definition)
    story.begin()
    story.fails("a")
    story.done("b")
    assert chosen(story, failed=True) == {"a", "b"}


def test_reading_is_followed_over_several_tasks_in_whatever_order_they_are_written() -> None:
    definition = workflow(
        job("main", task("c", "b", parameters={"x": out("b")}), task("b", "a", parameters={"x": maybe("a")}), task("a"))
    )
    story = Story(definition)
    story.begin()
    story.fails("a")
    story.done("b")
    story.done("c")
    assert chosen(story, failed=True) == {"a", "b", "c"}


def test_from_a_task_on_it_and_all_that_is_ordered_after_it_run_again() -> None:
    assert chosen(ended(), from_task="a") == {"a", "b", "c", "d", "e"}
    assert chosen(ended(), from_task="d") == {"d", "e"}
    assert chosen(ended(), from_task="e") == {"e"}


def test_from_a_task_on_two_ways_to_one_task_count_once() -> None:
    definition = workflow(
        job("one", task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c")),
        job("two", task("e"), after=("one",)),
        job("three", task("f"), after=("one",)),
        job("four", task("g"), after=("two", "three")),
    )
    story = Story(definition)
    assert tasks_to_run(story.run, story.plan, from_task="a") == set(range(7))


def test_from_a_task_on_what_failed_before_it_runs_again_too() -> None:
    assert chosen(ended("side"), from_task="e") == {"side", "e"}


def test_a_task_that_the_newer_version_brings_runs() -> None:
    newer = compile_plan(workflow(*DEFINITION.jobs, job("four", task("f"), after=("three",))))
    assert {newer.steps[index].spec.key for index in tasks_to_run(ended().run, newer, failed=True)} == {"f"}


def test_an_unknown_task_is_a_key_error() -> None:
    story = ended()
    with pytest.raises(KeyError):
        tasks_to_run(story.run, story.plan, from_task="nobody")


def test_a_rerun_of_one_failed_task_waits_for_what_it_reads_past_reused_tasks() -> None:
    """`c` reads `a`; `b` stands between them in order and is reused: `c` must not find `a` missing."""
    definition = workflow(job("main", task("a"), task("b", "a"), task("c", "b", parameters={"x": out("a")})))
    story = Story(definition)
    story.begin()
    story.fails("a")
    story.done("b")
    assert story.state is RunState.FAILED
    again = tasks_to_run(story.run, story.plan, failed=True)
    assert again == {0, 2}
    rerun = Story(definition, run_id="rerun")
    rerun.begin(b="kept")
    assert rerun.states() == {"a": "QUEUED", "b": "SUCCESS", "c": "PENDING"}
    rerun.done("a", 7)
    assert rerun.input_of("c") == {"x": 7}
    rerun.done("c")
    assert rerun.state is RunState.SUCCESS


def test_a_rerun_waits_for_what_it_reads_past_reused_jobs() -> None:
    definition = workflow(
        job("one", task("a")),
        job("two", task("b"), after=("one",)),
        job("three", task("c", parameters={"x": out("a")}), after=("two",)),
    )
    rerun = Story(definition)
    rerun.begin(b="kept")
    assert rerun.states() == {"a": "QUEUED", "b": "SUCCESS", "c": "PENDING"}
    rerun.done("a", 7)
    assert rerun.input_of("c") == {"x": 7}


def names(plan: Plan, indexes: set[int]) -> set[str]:
    return {plan.steps[index].spec.key for index in indexes}


@pytest.mark.parametrize(
    ("first", "last", "between"),
    [
        ("a", "b", {"a", "b"}),
        ("a", "a", {"a"}),
        ("b", "c", {"b", "c"}),
        ("a", "e", {"a", "b", "c", "d", "e"}),
        ("side", "d", {"side", "d"}),
    ],
)
def test_a_range_is_what_is_ordered_between_two_tasks(first: str, last: str, between: set[str]) -> None:
    plan = compile_plan(DEFINITION)
    assert names(plan, range_of_tasks(plan, first, last)) == between


@pytest.mark.parametrize(("first", "last"), [("b", "a"), ("a", "side"), ("e", "a")])
def test_a_range_against_the_order_is_refused(first: str, last: str) -> None:
    with pytest.raises(EmptyRange):
        range_of_tasks(compile_plan(DEFINITION), first, last)


def test_chosen_tasks_are_these_and_no_other() -> None:
    plan = compile_plan(DEFINITION)
    assert names(plan, chosen_tasks(plan, ["c", "a"])) == {"a", "c"}
    with pytest.raises(KeyError, match="nobody"):
        chosen_tasks(plan, ["a", "nobody"])


def test_of_tasks_that_nothing_follows_and_nothing_reads_a_run_has_its_output() -> None:
    definition = workflow(
        job("one", task("a"), task("b", "a"), task("c")),
        job("two", task("d", parameters={"x": out("b")}), after=("one",)),
    )
    plan = compile_plan(definition)
    assert names(plan, set(plan.ends)) == {"d"}
    assert names(compile_plan(DEFINITION), set(compile_plan(DEFINITION).ends)) == {"e"}
