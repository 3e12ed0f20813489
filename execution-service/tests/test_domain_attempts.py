"""An attempt from its start to its last repeat: retries, late and doubled news, deadlines, reminders."""

from domain_house import SECOND, T0, Story, begun, job, pair, sequence, snapshot, task, workflow

from execution_service.domain.decide import DEADLINE_GRACE, DEFAULT_TIMEOUT_S
from execution_service.domain.definition import Backoff, Retry
from execution_service.domain.events import Dispatch, Finished, Poisoned, Started
from execution_service.domain.run import Failure, RunState, TaskState

# --- retries ---------------------------------------------------------------------------------------------------------


def test_a_retryable_failure_is_tried_again_after_its_back_off() -> None:
    story = pair(retry=Retry(3, Backoff.EXPONENTIAL, delay_s=10))
    assert story.fails("a", retryable=True).commands == []
    assert story.task("a").state is TaskState.RETRY_WAIT
    assert story.after(9.9).commands == []
    assert story.named(story.after(0.2).commands) == ["+a.2"]
    assert story.fails("a", retryable=True, attempt=2).commands == []
    assert story.after(19.9).commands == []
    assert story.named(story.after(0.2).commands) == ["+a.3"]
    story.fails("a", "last", retryable=True, attempt=3)
    assert story.task("a").state is TaskState.FAILED


def test_every_failed_attempt_is_kept_with_its_error() -> None:
    story = pair(retry=Retry(3, Backoff.FIXED, delay_s=1))
    story.fails("a", "first", retryable=True, worker="w1")
    story.after(1)
    story.fails("a", "second", retryable=True, attempt=2, worker="w2")
    story.after(1)
    story.done("a", attempt=3)
    kept = [(attempt.attempt, attempt.failure.code, attempt.worker) for _, attempt in story.attempts if attempt.failure]
    assert kept == [(1, "first", "w1"), (2, "second", "w2")]
    assert story.task("a").failure is None


def test_a_next_attempt_has_the_input_of_the_first() -> None:
    story = begun(workflow(job("main", task("a", parameters={"at": "${{ now }}"}, retry=Retry(2, delay_s=1)))))
    story.fails("a", retryable=True)
    decision = story.after(5)
    assert decision.commands == [Dispatch(0, 2)]
    assert decision.changes.inputs == {}
    assert story.run.inputs[0] == story.inputs[0]


def test_a_failure_that_is_not_retryable_ends_the_task() -> None:
    story = pair(retry=Retry(3))
    story.fails("a", retryable=False)
    assert story.task("a").state is TaskState.FAILED


def test_where_in_the_jitter_a_wait_falls_follows_from_the_attempt_alone() -> None:
    def wait(run_id: str) -> int:
        story = Story(sequence(1, retry=Retry(2, Backoff.FIXED, delay_s=100, jitter=1.0)), run_id=run_id)
        story.begin()
        story.fails("t0", retryable=True)
        due_at = story.task("t0").due_at
        assert due_at is not None
        return due_at - T0

    waits = {wait(f"run{number}") for number in range(20)}
    assert len(waits) == 20
    assert all(0 < each <= 100 * SECOND for each in waits)
    assert wait("run1") == wait("run1")


# --- fencing and duplicates ------------------------------------------------------------------------------------------


def test_a_stale_attempts_result_changes_nothing() -> None:
    story = pair(retry=Retry(2, delay_s=1))
    story.fails("a", retryable=True)
    story.after(2)
    before = snapshot(story.run)
    decision = story.done("a", "late", attempt=1)
    assert not decision.changes
    assert story.named(decision.commands) == ["+a.2"]
    assert snapshot(story.run) == before
    story.done("a", "current", attempt=2)
    assert story.recorded[0] == [b'"current"']


def test_a_result_of_an_attempt_that_does_not_exist_yet_changes_nothing() -> None:
    story = pair()
    assert not story.done("a", attempt=2).changes
    assert not story.done("b", attempt=0).changes
    assert story.states() == {"a": "QUEUED", "b": "PENDING"}


def test_the_first_of_two_results_wins_and_the_second_brings_back_what_is_outstanding() -> None:
    story = pair()
    story.done("a", "first")
    decision = story.done("a", "second")
    assert not decision.changes
    assert story.named(decision.commands) == ["+b.1"]
    assert story.recorded[0] == [b'"first"']


def test_a_start_told_twice_brings_back_what_is_outstanding() -> None:
    story = begun(workflow(job("main", task("a"), task("b"))))
    decision = story.begin()
    assert not decision.changes
    assert story.named(decision.commands) == ["+a.1", "+b.1"]


def test_events_of_tasks_that_do_not_exist_change_nothing() -> None:
    story = pair()
    for index in (-1, 2, 999_999):
        for event in (Finished(T0, index, 1, output=b"1"), Started(T0, index, 1, "w", T0)):
            decision = story.tell(event)
            assert not decision.changes
            assert decision.commands == []


def test_an_ended_run_changes_no_more() -> None:
    story = begun(sequence(1))
    story.done("t0")
    story.now += 10**15
    for decision in (
        story.begin(), story.done("t0"), story.fails("t0"), story.started("t0"), story.after(1), story.cancel(),
        story.pause(), story.resume(), story.remind(lost=True), story.tell(Poisoned(story.now, "x")),
    ):  # fmt: skip
        assert not decision.changes
        assert decision.commands == []


# --- started ---------------------------------------------------------------------------------------------------------


def test_a_long_task_is_running_with_a_deadline_past_its_time_out() -> None:
    story = pair(timeout_s=20)
    decision = story.started("a", worker="w7", timeout_s=99.0)
    assert decision.commands == []
    running = story.task("a")
    assert (running.state, running.worker, running.started_at) == (TaskState.RUNNING, "w7", T0)
    assert running.due_at == T0 + 20 * SECOND + DEADLINE_GRACE


def test_a_task_without_a_time_out_has_its_types_and_else_an_hour() -> None:
    story = begun(workflow(job("main", task("a"), task("b"))))
    story.started("a", timeout_s=7.0)
    story.started("b")
    assert story.task("a").due_at == T0 + 7 * SECOND + DEADLINE_GRACE
    assert story.task("b").due_at == T0 + int(DEFAULT_TIMEOUT_S) * SECOND + DEADLINE_GRACE


def test_a_redelivery_extends_the_deadline_and_the_same_delivery_does_not() -> None:
    story = pair(timeout_s=20)
    story.started("a", worker="w1")
    story.now += 10 * SECOND
    assert not story.started("a", worker="w1").changes
    story.started("a", worker="w2", delivery=2)
    assert story.task("a").worker == "w2"
    assert story.task("a").due_at == T0 + 30 * SECOND + DEADLINE_GRACE
    assert not story.started("a", worker="w1", delivery=1).changes


def test_a_start_of_an_older_attempt_is_told_to_stop() -> None:
    story = pair(retry=Retry(2, delay_s=1))
    story.fails("a", retryable=True)
    assert story.started("a").commands == []  # it has just ended: nothing to stop
    story.after(2)
    decision = story.started("a", attempt=1)
    assert not decision.changes
    assert story.named(decision.commands) == ["-a.1"]


def test_a_start_of_a_cancelled_task_is_told_to_stop() -> None:
    story = begun(workflow(job("main", task("a"), task("b"))))
    story.started("b")
    story.cancel()
    decision = story.started("a")
    assert not decision.changes
    assert story.named(decision.commands) == ["-a.1"]


def test_a_start_after_the_end_changes_nothing() -> None:
    story = pair()
    story.done("a")
    decision = story.started("a")
    assert not decision.changes
    assert decision.commands == []


def test_a_workers_clock_can_neither_turn_time_back_nor_run_ahead() -> None:
    story = begun(workflow(job("main", task("a"), task("b"), task("c"))))
    story.now += SECOND
    story.started("a", started_at=T0 - 99 * SECOND)
    assert story.task("a").started_at == T0
    story.started("b", started_at=10**30)
    assert story.task("b").started_at == T0 + SECOND
    story.done("b", started_at=10**30, finished_at=10**30)
    assert (story.task("b").started_at, story.task("b").finished_at) == (T0 + SECOND, T0 + SECOND)
    story.done("c", started_at=T0 + 20, finished_at=T0 + 10)
    assert (story.task("c").started_at, story.task("c").finished_at) == (T0 + 20, T0 + 20)


def test_a_result_without_times_keeps_the_start_that_was_announced() -> None:
    story = pair()
    story.started("a")
    story.now += SECOND
    story.done("a")
    assert (story.task("a").started_at, story.task("a").finished_at) == (T0, T0 + SECOND)


# --- time ------------------------------------------------------------------------------------------------------------


def test_an_attempt_past_its_deadline_is_withdrawn_and_tried_again() -> None:
    story = pair(timeout_s=20, retry=Retry(2, Backoff.FIXED, delay_s=1))
    story.started("a")
    assert story.after(34.9).commands == []
    assert story.named(story.after(0.2).commands) == ["-a.1"]
    assert story.task("a").state is TaskState.RETRY_WAIT
    assert story.task("a").failure == Failure("timeout", retryable=True)
    assert story.named(story.after(1).commands) == ["+a.2"]
    assert not story.done("a", "late", attempt=1).changes


def test_the_last_attempt_past_its_deadline_fails_its_task() -> None:
    story = pair(timeout_s=20)
    story.started("a")
    assert story.named(story.after(36).commands) == ["-a.1", "+b.1"]
    assert story.task("a").state is TaskState.FAILED


def test_a_run_past_its_time_out_fails_with_all_that_is_open() -> None:
    story = begun(
        workflow(
            job("one", task("a"), task("b"), task("r", retry=Retry(2, delay_s=3000)), task("c", "a")),
            job("none", after=("one",)),
            job("two", task("d"), after=("none",)),
            timeout_s=60,
        )
    )
    story.started("a")
    story.fails("r", retryable=True)
    decision = story.after(60)
    assert story.named(decision.commands) == ["-a.1", "-b.1"]
    assert story.state is RunState.FAILED
    assert story.run.head.failure == Failure("run_timeout")
    assert set(story.states().values()) == {TaskState.CANCELLED}
    assert story.task("c").failure == Failure("run_timeout")
    assert all(state.terminal for state in story.jobs().values())
    assert story.run.head.open_jobs == 0


def test_a_queued_task_is_handed_out_again_at_growing_distances() -> None:
    story = pair()
    handed_out = []
    for second in range(1, 130):
        if story.named(story.after(1).commands) == ["+a.1"]:
            handed_out.append(second)
    assert handed_out == [2, 4, 8, 16, 32, 62, 92, 122]


def test_a_tick_before_anything_is_due_changes_nothing() -> None:
    story = pair()
    decision = story.after(1)
    assert not decision.changes
    assert decision.commands == []


def test_time_never_runs_backwards_within_a_run() -> None:
    story = begun(sequence(3))
    story.now += 60 * SECOND
    story.done("t0")
    story.now -= 3600 * SECOND
    story.done("t1")
    assert story.run.head.clock == T0 + 60 * SECOND
    assert story.task("t1").finished_at == T0 + 60 * SECOND
    assert story.task("t2").queued_at == T0 + 60 * SECOND


# --- reminders -------------------------------------------------------------------------------------------------------


def test_a_reminder_brings_back_what_is_queued_in_order() -> None:
    story = begun(workflow(job("main", *(task(f"t{i}") for i in range(12)))))
    story.started("t3")
    decision = story.remind()
    assert not decision.changes
    assert story.named(decision.commands) == [f"+t{i}.1" for i in range(12) if i != 3]


def test_after_the_broker_forgot_running_tasks_are_handed_out_too() -> None:
    story = begun(workflow(job("main", task("a"), task("b"))))
    story.started("a")
    decision = story.remind(lost=True)
    assert not decision.changes
    assert sorted(story.named(decision.commands)) == ["+a.1", "+b.1"]


def test_while_cancelling_a_reminder_withdraws_even_when_the_broker_forgot() -> None:
    story = begun(workflow(job("main", task("a"), task("b"))))
    story.started("a")
    story.cancel()
    assert story.named(story.remind(lost=True).commands) == ["-a.1"]
    assert story.named(story.remind().commands) == ["-a.1"]
