"""What the engine itself waits for: times, events, people, other workflows' runs."""

from typing import Any

import pytest
from domain_house import SECOND, Story, job, out, task, workflow

from execution_service.domain.definition import FailurePolicy, Retry, TaskSpec
from execution_service.domain.run import Failure, RunState, TaskState
from execution_service.domain.waits import Kind, WrongWait, instant, matches, wait_for
from kit.payloads import INLINE_LIMIT


def wait(key: str, kind: str, *after: str, **parameters: Any) -> TaskSpec:
    return TaskSpec(key, kind, parameters=parameters, depends_on=after)


def story(*tasks: TaskSpec, **said: Any) -> Story:
    told = Story(workflow(job("main", *tasks)), **said)
    told.begin()
    return told


# --- times -----------------------------------------------------------------------------------------------------------


def test_a_wait_for_seconds_holds_no_worker_and_ends_by_itself() -> None:
    told = story(wait("rest", "wait.time", seconds=90), task("next", "rest", parameters={"x": out("rest")}))
    assert told.task("rest").state is TaskState.WAITING
    assert told.run.next_due_at() == told.now + 90 * SECOND
    assert told.after(89).changes.tasks == {}
    commands = told.after(1).commands
    assert told.task("rest").state is TaskState.SUCCESS
    assert told.named(commands) == ["+next.1"]
    assert told.input_of("next") == {"x": {"waited_until": instant(told.now)}}


def test_a_wait_until_an_instant_is_over_at_once_when_that_is_past() -> None:
    told = story(wait("rest", "wait.time", until="2020-01-01T00:00:00+09:00"))
    told.after(0)
    assert told.state is RunState.SUCCESS


def test_a_wait_until_an_instant_counts_in_its_own_zone() -> None:
    told = story(wait("rest", "wait.time", until="${{ run.input.at }}"), input={"at": "2027-01-15T18:00:00+09:00"})
    assert instant(told.run.next_due_at() or 0) == "2027-01-15T09:00:00.000Z"


def test_a_wait_that_ends_during_a_pause_lets_the_next_task_start_only_when_resumed() -> None:
    told = story(wait("rest", "wait.time", seconds=5), task("next", "rest"))
    told.pause()
    assert told.after(5).commands == []
    assert (told.task("rest").state, told.task("next").state) == (TaskState.SUCCESS, TaskState.PENDING)
    assert told.named(told.resume().commands) == ["+next.1"]


def test_a_restored_run_waits_on() -> None:
    told = story(wait("rest", "wait.time", seconds=90))
    assert told.restored().next_due_at() == told.run.next_due_at()


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameters", "command"),
    [
        ("wait.event", {"event": "paid"}, ["<it.1"]),
        ("workflow.run", {"workflow_id": "other", "input": {"n": 1}}, [">it.1"]),
        ("human.approval", {}, []),
        ("human.form", {"schema": {"type": "object"}}, []),
    ],
)
def test_who_waits_for_an_answer_goes_on_with_it(kind: str, parameters: Any, command: list[str]) -> None:
    told = Story(workflow(job("main", wait("it", kind, **parameters), task("next", "it", parameters={"x": out("it")}))))
    assert told.named(told.begin().commands) == command
    assert (told.task("it").state, told.task("it").due_at) == (TaskState.WAITING, None)
    assert told.named(told.remind(lost=True).commands) == []
    told.now += SECOND
    assert told.named(told.done("it", {"said": "yes"}).commands) == ["+next.1"]
    assert told.input_of("next") == {"x": {"said": "yes"}}
    found = told.task("it")
    assert (found.queued_at, found.started_at, found.finished_at) == (told.now - SECOND, told.now - SECOND, told.now)


def test_of_two_answers_the_first_counts() -> None:
    told = story(wait("it", "human.approval"))
    told.done("it", {"approved": True})
    assert not told.done("it", {"approved": False}).changes
    assert [len(bodies) for bodies in told.recorded.values()] == [1]


def test_an_answer_that_does_not_come_in_time_fails_the_task() -> None:
    told = story(wait("it", "wait.event", event="paid", timeout_s=60))
    told.after(60)
    assert (told.task("it").state, told.task("it").failure) == (
        TaskState.FAILED,
        Failure("wait_timeout", retryable=True),
    )
    assert not told.done("it", 1).changes


def test_a_wait_is_begun_anew_when_it_may_be_tried_again() -> None:
    spec = TaskSpec("it", "workflow.run", parameters={"workflow_id": "w"}, retry=Retry(2, delay_s=1))
    told = story(spec)
    told.fails("it", "child_failed", retryable=True)
    assert told.task("it").state is TaskState.RETRY_WAIT
    assert told.named(told.after(1).commands) == [">it.2"]
    assert told.task("it").state is TaskState.WAITING
    assert not told.done("it", 1, attempt=1).changes, "the first attempt's child comes too late"
    told.done("it", 1, attempt=2)
    assert told.state is RunState.SUCCESS


def test_what_a_second_attempt_cannot_wait_for_fails_it() -> None:
    spec = TaskSpec("it", "wait.event", parameters={"event": "${{ run.input.e }}"}, retry=Retry(2, delay_s=1))
    told = story(spec, input={"e": "paid"})
    told.fails("it", retryable=True)
    told.run.input = {"e": ""}
    told.after(1)
    assert told.task("it").failure == Failure("invalid_parameters", "event", details={"field": "event"})
    assert told.task("it").attempt == 1


# --- letting go ------------------------------------------------------------------------------------------------------


def test_a_cancel_ends_what_waits_and_its_child() -> None:
    told = story(
        wait("child", "workflow.run", workflow_id="w"),
        TaskSpec("person", "human.form"),
    )
    assert told.named(told.cancel().commands) == ["xchild.1"]
    assert told.state is RunState.CANCELLED
    assert told.states() == {"child": TaskState.CANCELLED, "person": TaskState.CANCELLED}


def test_a_child_is_cancelled_when_nobody_waits_for_it_any_more() -> None:
    told = story(wait("child", "workflow.run", workflow_id="w", timeout_s=5))
    assert told.named(told.after(5).commands) == ["xchild.1"]


def test_the_runs_own_time_out_ends_a_wait() -> None:
    told = Story(workflow(job("main", wait("it", "human.approval")), timeout_s=10))
    told.begin()
    told.after(10)
    assert (told.state, told.task("it").state) == (RunState.FAILED, TaskState.CANCELLED)


def test_a_run_that_passes_its_time_out_while_it_is_cancelled_was_cancelled() -> None:
    told = Story(workflow(job("main", task("a")), timeout_s=3))
    told.begin()
    told.started("a")
    told.cancel()
    told.after(3)
    assert (told.state, told.run.head.failure) == (RunState.CANCELLED, None)


# --- how long an attempt waits for a worker --------------------------------------------------------------------------


def test_who_waits_too_long_for_a_worker_fails() -> None:
    told = story(task("a", queue_timeout_s=7), task("b", "a", failure_policy=FailurePolicy.CONTINUE))
    assert told.named(told.after(2).commands) == ["+a.1"], "it is handed out again until then"
    assert told.named(told.after(4).commands) == ["+a.1"]
    assert told.run.next_due_at() == told.now + SECOND
    assert told.named(told.after(1).commands) == ["-a.1", "+b.1"]
    assert told.task("a").failure == Failure("queue_timeout")


def test_who_is_taken_in_time_is_not_asked_how_long_it_waited() -> None:
    told = story(task("a", queue_timeout_s=1))
    assert told.run.next_due_at() == told.now + SECOND
    told.started("a")
    told.after(1)
    assert told.task("a").state is TaskState.RUNNING


# --- what can be waited for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameters", "field"),
    [
        (Kind.TIME, {}, "until"),
        (Kind.TIME, {"until": "2027-01-01T00:00:00Z", "seconds": 1}, "until"),
        (Kind.TIME, {"until": "tomorrow"}, "until"),
        (Kind.TIME, {"until": 5}, "until"),
        (Kind.TIME, {"until": "2027-01-01T00:00:00"}, "until"),
        (Kind.TIME, {"seconds": -1}, "seconds"),
        (Kind.TIME, {"seconds": True}, "seconds"),
        (Kind.TIME, {"seconds": "5"}, "seconds"),
        (Kind.TIME, {"seconds": 1e12}, "seconds"),
        (Kind.EVENT, {}, "event"),
        (Kind.EVENT, {"event": "x" * 129}, "event"),
        (Kind.EVENT, {"event": "x", "match": []}, "match"),
        (Kind.EVENT, {"event": "x", "timeout_s": -1}, "timeout_s"),
        (Kind.CHILD, {}, "workflow_id"),
        (Kind.CHILD, {"workflow_id": "w", "input": 1}, "input"),
        (Kind.CHILD, {"workflow_id": "w", "outputs": "one"}, "outputs"),
        (Kind.CHILD, {"workflow_id": "w", "outputs": ["one", 2]}, "outputs"),
        (Kind.FORM, {"schema": 1}, "schema"),
        (Kind.APPROVAL, {"on_reject": "shrug"}, "on_reject"),
        (Kind.APPROVAL, None, "parameters"),
    ],
)
def test_what_cannot_be_waited_for_names_its_field(kind: Kind, parameters: Any, field: str) -> None:
    with pytest.raises(WrongWait) as wrong:
        wait_for(kind, parameters, 0)
    assert wrong.value.field == field


def test_what_is_waited_for_must_fit_into_a_row() -> None:
    given = {"workflow_id": "w", "input": {"text": "${{ run.input.text }}"}}
    told = story(wait("a", "workflow.run", **given), input={"text": "x" * INLINE_LIMIT})
    failure = told.task("a").failure
    assert failure is not None
    assert failure.code == "input_too_large"


def test_a_wait_that_cannot_be_fails_its_task_and_says_why() -> None:
    told = story(wait("it", "wait.time", seconds="${{ run.input.s }}"), input={"s": "soon"})
    assert told.task("it").failure == Failure("invalid_parameters", "seconds", details={"field": "seconds"})
    assert told.state is RunState.FAILED


@pytest.mark.parametrize(
    ("wanted", "data", "fits"),
    [
        ({}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 2], "c": 3}}, True),
        ({"a": {"b": [1]}}, {"a": {"b": [1, 2]}}, False),
        ({"a": 1}, {"b": 1}, False),
        ({"a": {"b": 1}}, {"a": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": None}, {"a": None}, True),
        ({"a": 1}, {"a": 1.0}, True),
    ],
)
def test_an_event_fits_when_it_says_all_that_is_wanted(wanted: Any, data: Any, fits: bool) -> None:
    assert matches(wanted, data) is fits
