"""A run that people cancel, pause and resume: what ends, what goes on, what waits."""

from domain_house import SECOND, begun, job, pair, sequence, task, workflow

from execution_service.domain.decide import CANCEL_GRACE
from execution_service.domain.definition import Backoff, Retry
from execution_service.domain.run import Failure, RunState, TaskState

# --- cancel ----------------------------------------------------------------------------------------------------------


def test_a_cancel_ends_what_does_not_run_at_once_and_asks_the_rest_to_end() -> None:
    story = begun(
        workflow(
            job(
                "one",
                task("ended"),
                task("running"),
                task("queued"),
                task("waiting", retry=Retry(2)),
                task("pending", "running"),
            ),
            job("two", task("later"), after=("one",)),
        )
    )
    story.done("ended")
    story.started("running")
    story.fails("waiting", retryable=True)
    decision = story.cancel()
    assert story.named(decision.commands) == ["-running.1", "-queued.1"]
    assert story.states() == {
        "ended": "SUCCESS", "running": "RUNNING", "queued": "CANCELLED", "waiting": "CANCELLED", "pending": "CANCELLED",
        "later": "CANCELLED",
    }  # fmt: skip
    assert story.state is RunState.CANCELLING
    assert story.stops("running").commands == []
    assert story.state is RunState.CANCELLED
    assert story.jobs() == {"one": "CANCELLED", "two": "CANCELLED"}


def test_a_cancel_of_a_run_in_which_nothing_runs_ends_it_at_once() -> None:
    story = begun(sequence(3))
    story.cancel()
    assert story.state is RunState.CANCELLED


def test_a_cancelled_run_ends_at_its_deadline_when_its_worker_is_gone() -> None:
    story = begun(sequence(2))
    story.started("t0")
    story.cancel()
    assert not story.after(CANCEL_GRACE / SECOND - 0.1).changes
    assert story.named(story.after(0.2).commands) == ["-t0.1"]
    assert story.state is RunState.CANCELLED
    assert story.run.head.failure is None
    assert story.run.head.cancel_due is None


def test_a_cancel_told_twice_withdraws_again_what_runs() -> None:
    story = begun(sequence(2))
    story.started("t0")
    story.cancel()
    decision = story.cancel()
    assert not decision.changes
    assert story.named(decision.commands) == ["-t0.1"]


def test_an_output_that_comes_while_cancelling_is_recorded() -> None:
    story = begun(sequence(2))
    story.started("t0")
    story.cancel()
    assert story.done("t0", "made it").commands == []
    assert story.states() == {"t0": "SUCCESS", "t1": "CANCELLED"}
    assert story.state is RunState.CANCELLED


def test_a_failure_while_cancelling_is_not_tried_again() -> None:
    story = begun(sequence(1, retry=Retry(5)))
    story.started("t0")
    story.cancel()
    story.fails("t0", "broken", retryable=True)
    assert story.task("t0").state is TaskState.CANCELLED
    assert story.task("t0").failure == Failure("broken", "it broke", True)
    assert story.state is RunState.CANCELLED


def test_a_cancelled_result_that_nobody_asked_for_is_a_failure() -> None:
    story = begun(sequence(1))
    story.stops("t0")
    assert story.task("t0").failure == Failure("cancelled")
    assert story.state is RunState.FAILED


# --- pause and resume ------------------------------------------------------------------------------------------------


def test_a_paused_run_hands_out_nothing_and_goes_on_when_resumed() -> None:
    story = begun(workflow(job("one", task("a"), task("b", "a")), job("two", task("c"), after=("one",))))
    story.pause()
    assert story.state is RunState.PAUSED
    assert story.done("a").commands == []
    assert story.states()["b"] is TaskState.PENDING
    assert story.named(story.resume().commands) == ["+b.1"]
    story.pause()
    assert story.done("b").commands == []
    assert story.named(story.resume().commands) == ["+c.1"]
    assert story.state is RunState.RUNNING


def test_a_retry_whose_time_passes_during_a_pause_is_handed_out_at_the_resume() -> None:
    story = pair(retry=Retry(2, Backoff.FIXED, delay_s=10))
    story.fails("a", retryable=True)
    story.pause()
    assert story.after(11).commands == []
    assert story.task("a").state is TaskState.RETRY_WAIT
    assert story.run.next_due_at() == story.run.head.deadline
    assert story.named(story.resume().commands) == ["+a.2"]


def test_a_retry_whose_time_has_not_come_at_the_resume_waits_on() -> None:
    story = pair(retry=Retry(2, Backoff.FIXED, delay_s=10))
    story.fails("a", retryable=True)
    story.pause()
    story.after(5)
    assert story.resume().commands == []
    assert story.named(story.after(6).commands) == ["+a.2"]


def test_a_task_that_must_not_run_ends_even_in_a_paused_run() -> None:
    story = begun(sequence(2))
    story.pause()
    story.fails("t0")
    assert story.state is RunState.FAILED


def test_a_paused_run_can_be_cancelled() -> None:
    story = begun(sequence(2))
    story.pause()
    story.cancel()
    assert story.state is RunState.CANCELLED


def test_pause_and_resume_elsewhere_change_nothing() -> None:
    story = begun(sequence(1))
    assert not story.resume().changes
    story.started("t0")
    story.cancel()
    assert not story.pause().changes
    assert not story.resume().changes
