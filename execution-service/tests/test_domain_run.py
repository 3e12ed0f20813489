"""The aggregate: how changes are applied, what is due, and that rows bring back the same run."""

from dataclasses import replace

from domain_house import SECOND, T0, Story, job, out, reads, sequence, snapshot, task, workflow

from execution_service.domain.decide import CANCEL_GRACE
from execution_service.domain.definition import FailurePolicy, Retry
from execution_service.domain.draft import REMIND_AFTER
from execution_service.domain.run import Changes, Failure, JobState, RunState, TaskRun, TaskState


def test_terminal_states_are_terminal() -> None:
    assert {state for state in RunState if state.terminal} == {"SUCCESS", "FAILED", "CANCELLED"}
    assert {state for state in TaskState if not state.terminal} == {
        "PENDING", "QUEUED", "RUNNING", "RETRY_WAIT", "WAITING",
    }  # fmt: skip
    assert {state for state in JobState if state.terminal} == {"SUCCESS", "FAILED", "CANCELLED"}


def test_no_changes_are_false() -> None:
    assert not Changes()
    assert Changes(tasks={0: TaskRun()})


def test_a_failure_shows_its_details_only_when_it_has_some() -> None:
    assert Failure("timeout").to_json() == {"code": "timeout", "message": "", "retryable": False}
    assert Failure("http", "no", True, {"status": 503}).to_json()["details"] == {"status": 503}


def test_the_id_of_a_task_run_is_the_same_for_every_attempt() -> None:
    story = Story(sequence(2, retry=Retry(2, delay_s=1)))
    story.begin()
    before = story.run.task_run_id(0)
    story.fails("t0", retryable=True)
    story.after(2)
    assert story.task("t0").attempt == 2
    assert story.run.task_run_id(0) == before == "run-0"


def test_a_new_run_is_due_at_its_deadline_and_an_ended_one_never() -> None:
    story = Story(workflow(job("main", task("a")), timeout_s=60))
    assert story.run.next_due_at() == T0 + 60 * SECOND
    story.begin()
    assert story.run.next_due_at() == T0 + REMIND_AFTER
    story.done("a")
    assert story.run.next_due_at() is None


def test_a_run_being_cancelled_is_due_when_its_grace_ends() -> None:
    story = Story(sequence(2))
    story.begin()
    story.started("t0")
    story.cancel()
    assert story.run.next_due_at() == T0 + CANCEL_GRACE


def test_due_tasks_come_in_the_order_of_their_times_and_once() -> None:
    story = Story(workflow(job("main", task("a"), task("b"), task("c"))))
    run = story.run
    waiting = TaskRun(TaskState.RETRY_WAIT, attempt=1)
    for index, due_at in ((0, 30), (1, 10), (2, 50), (0, 20), (0, 30)):
        run.set_task(index, replace(waiting, due_at=due_at))
    assert run.due(5) == []
    assert run.due(40) == [1, 0]
    assert run.due(40) == [1, 0]
    assert run.due(60) == [1, 0, 2]


def test_the_bytes_a_run_holds_grow_with_its_payloads_and_shrink_when_inputs_go() -> None:
    story = Story(sequence(2))
    empty = story.run.size()
    story.begin()
    story.done("t0", "x" * 10_000)
    held = story.run.size()
    assert held >= empty + 2 * 10_000
    story.run.hold(outputs={0: b'"y"'})
    assert held - story.run.size() >= 10_000
    story.run.hold(outputs={0: story.recorded[0][0]})
    assert story.run.size() == held
    story.done("t1", 1)
    assert empty < story.run.size() <= held - 10_000


def test_rows_bring_back_a_run_that_has_not_begun() -> None:
    story = Story(workflow(job("one", task("a"), reads("b", "a")), job("none", after=("one",))))
    assert snapshot(story.restored()) == snapshot(story.run)


def test_rows_bring_back_a_run_in_the_middle() -> None:
    story = Story(sequence(4))
    story.begin()
    story.done("t0")
    story.started("t1")
    assert snapshot(story.restored()) == snapshot(story.run)


def test_rows_bring_back_a_failure_in_a_job_that_still_runs() -> None:
    story = Story(workflow(job("main", task("a"), task("b")), job("next", task("c"), after=("main",))))
    story.begin()
    story.fails("a")
    assert not story.run.head.failed
    assert snapshot(story.restored()) == snapshot(story.run)
    story.done("b")
    assert story.run.head.failed
    assert snapshot(story.restored()) == snapshot(story.run)


def test_a_restored_run_goes_on_past_a_job_without_tasks() -> None:
    story = Story(workflow(job("one", task("a")), job("none", after=("one",)), job("two", task("b"), after=("none",))))
    story.begin()
    assert snapshot(story.restored()) == snapshot(story.run)
    story.run = story.restored()
    story.done("a")
    assert story.states()["b"] is TaskState.QUEUED
    assert story.jobs() == {"one": "SUCCESS", "none": "SUCCESS", "two": "RUNNING"}
    assert snapshot(story.restored()) == snapshot(story.run)
    story.done("b")
    assert story.state is RunState.SUCCESS


def test_a_restored_run_knows_which_job_a_stop_ended() -> None:
    story = Story(
        workflow(
            job("one", task("a", failure_policy=FailurePolicy.STOP), task("b")),
            job("two", task("c"), after=("one",)),
        )
    )
    story.begin()
    story.fails("a")
    assert snapshot(story.restored()) == snapshot(story.run)
    story.run = story.restored()
    story.done("b")
    assert story.states()["c"] is TaskState.UPSTREAM_FAILED


def test_a_restored_run_asks_for_the_outputs_it_reads() -> None:
    story = Story(workflow(job("main", task("a"), task("b"), task("c", "a", "b", parameters=[out("a"), out("b")]))))
    story.begin()
    story.done("a", "one")
    story.run = story.restored()
    story.done("b", "two")
    assert story.input_of("c") == ["one", "two"]
