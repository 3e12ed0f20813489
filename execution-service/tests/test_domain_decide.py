"""What runs and what never does, by example: order, data, failures, conditions. Times are told, nothing waits."""

import pytest
from domain_house import SECOND, T0, Story, begun, job, maybe, out, pair, reads, sequence, snapshot, task, workflow

from execution_service.domain.decide import CANCEL_GRACE, decide
from execution_service.domain.definition import Definition, FailurePolicy, Retry, TaskSpec
from execution_service.domain.draft import PayloadsNeeded
from execution_service.domain.events import Begin, Cancel, Finished, Poisoned, Remind, Started, Tick
from execution_service.domain.run import MISSING, STOPPED, Failure, JobState, RunState, TaskState
from kit.payloads import PAYLOAD_LIMIT, Stored

EVERY_POLICY = pytest.mark.parametrize("policy", list(FailurePolicy))


# --- order -----------------------------------------------------------------------------------------------------------


def test_tasks_in_order_run_one_after_the_other() -> None:
    story = Story(sequence(3))
    assert story.named(story.begin().commands) == ["+t0.1"]
    assert story.named(story.done("t0").commands) == ["+t1.1"]
    assert story.named(story.done("t1").commands) == ["+t2.1"]
    assert story.state is RunState.RUNNING
    story.done("t2")
    assert story.state is RunState.SUCCESS
    assert story.jobs() == {"main": JobState.SUCCESS}


def test_tasks_without_order_between_them_are_handed_out_at_once() -> None:
    story = Story(workflow(job("main", task("a"), task("b"), task("c", "a", "b"))))
    assert story.named(story.begin().commands) == ["+a.1", "+b.1"]
    assert story.done("b").commands == []
    assert story.named(story.done("a").commands) == ["+c.1"]


def test_a_job_begins_when_all_jobs_before_it_have_ended() -> None:
    story = begun(
        workflow(
            job("one", task("a")),
            job("two", task("b")),
            job("three", task("c"), task("d", "c"), after=("one", "two")),
        )
    )
    assert story.jobs() == {"one": "RUNNING", "two": "RUNNING", "three": "PENDING"}
    assert story.done("a").commands == []
    assert story.named(story.done("b").commands) == ["+c.1"]
    assert story.jobs() == {"one": "SUCCESS", "two": "SUCCESS", "three": "RUNNING"}


def test_a_run_without_tasks_succeeds_at_once() -> None:
    assert begun(workflow()).state is RunState.SUCCESS
    story = begun(workflow(job("one"), job("two", after=("one",))))
    assert story.state is RunState.SUCCESS
    assert story.jobs() == {"one": "SUCCESS", "two": "SUCCESS"}


def test_an_empty_job_has_its_turn() -> None:
    story = begun(workflow(job("one", task("a")), job("none", after=("one",)), job("two", task("b"), after=("none",))))
    assert story.jobs()["none"] is JobState.PENDING
    assert story.named(story.done("a").commands) == ["+b.1"]
    assert story.jobs()["none"] is JobState.SUCCESS


def test_an_empty_job_at_the_end_ends_the_run() -> None:
    story = begun(workflow(job("one", task("a")), job("none", after=("one",))))
    story.done("a")
    assert story.state is RunState.SUCCESS


# --- data ------------------------------------------------------------------------------------------------------------


def test_outputs_run_input_and_the_time_reach_a_tasks_input() -> None:
    parameters = {"n": "${{ run.input.n }}", "whole": out("a"), "text": "${{ tasks.a.output.x }} at ${{ now }}", "c": 1}
    story = begun(workflow(job("main", task("a"), task("b", "a", parameters=parameters))), {"n": 5})
    story.now += SECOND
    story.done("a", {"x": "y"})
    assert story.input_of("b") == {"n": 5, "whole": {"x": "y"}, "text": "y at 2027-01-15T08:00:01.000Z", "c": 1}


def test_a_null_output_is_an_output() -> None:
    story = begun(sequence(2))
    story.done("t0", None)
    assert story.input_of("t1") == {"t0": None}


def test_an_optional_reference_gives_its_default_when_that_task_failed() -> None:
    story = begun(workflow(job("main", task("a"), task("b", "a", parameters={"x": maybe("a")}))))
    story.fails("a")
    assert story.input_of("b") == {"x": None}
    story.done("b")
    assert story.state is RunState.FAILED


def test_an_expression_that_fails_fails_its_task_and_not_the_engine() -> None:
    story = begun(
        workflow(job("main", task("a"), task("b", "a", parameters={"deep": {"x": "${{ tasks.a.output.no }}"}})))
    )
    decision = story.done("a", {})
    assert decision.commands == []
    ended = story.task("b")
    assert ended.state is TaskState.FAILED
    assert ended.failure is not None
    assert ended.failure.code == "expression_evaluation"
    assert ended.failure.details == {"path": "deep.x"}
    assert ended.attempt == 0
    assert story.state is RunState.FAILED


def test_an_input_above_the_limit_fails_its_task() -> None:
    story = begun(workflow(job("main", task("a"), task("b", "a", parameters=["x" * 200_000, out("a")]))))
    story.done("a", "x" * (PAYLOAD_LIMIT - 200_000))
    assert story.task("b").failure == Failure("input_too_large", f"{PAYLOAD_LIMIT + 7} > {PAYLOAD_LIMIT}")
    assert story.state is RunState.FAILED


def test_an_expression_whose_result_is_above_the_limit_fails_its_task() -> None:
    story = begun(workflow(job("main", task("a"), task("b", "a", parameters=[out("a"), out("a")]))))
    story.done("a", "x" * (PAYLOAD_LIMIT // 2))
    failure = story.task("b").failure
    assert failure is not None
    assert failure.code == "expression_result_too_large"


def test_an_output_that_is_kept_apart_is_recorded_by_its_reference_and_asked_for_when_it_is_read() -> None:
    story = begun(workflow(job("main", task("a"), task("b", "a"), reads("c", "a"))))
    kept = Stored("org1/run/0", PAYLOAD_LIMIT)
    event = Finished(T0, 0, 1, stored=kept)
    with pytest.raises(PayloadsNeeded) as needed:
        decide(story.run, event)
    assert (needed.value.direction, needed.value.indexes) == ("out", [0])
    story.run.hold(outputs={0: b"7"})
    decision = story.tell(event)
    assert (decision.changes.stored, decision.changes.outputs) == ({0: kept}, {})
    assert story.input_of("c") == {"a": 7}


def test_an_output_that_is_kept_apart_may_be_too_large_too() -> None:
    story = begun(sequence(1))
    story.tell(Finished(T0, 0, 1, stored=Stored("org1/run/0", PAYLOAD_LIMIT + 1)))
    failure = story.task("t0").failure
    assert failure is not None
    assert failure.code == "output_too_large"


def test_a_rerun_may_reuse_what_is_kept_apart() -> None:
    story = Story(workflow(job("main", task("a"), task("b", "a"))))
    kept = Stored("org1/first/0", 300_000)
    decision = story.tell(Begin(T0, reused={0: kept}))
    assert decision.changes.stored == {0: kept}
    assert story.named(decision.commands) == ["+b.1"]


def test_an_output_above_the_limit_fails_its_task_without_a_retry() -> None:
    story = begun(sequence(2, retry=Retry(3)))
    story.done("t0", "x" * (PAYLOAD_LIMIT - 1))
    failure = story.task("t0").failure
    assert failure is not None
    assert failure.code == "output_too_large"
    assert story.recorded == {}
    assert story.states() == {"t0": "FAILED", "t1": "UPSTREAM_FAILED"}


def test_an_output_of_exactly_the_limit_is_taken() -> None:
    story = begun(sequence(1))
    story.done("t0", "x" * (PAYLOAD_LIMIT - 2))
    assert story.state is RunState.SUCCESS


def test_outputs_that_this_copy_does_not_hold_are_asked_for() -> None:
    story = begun(workflow(job("main", task("a"), task("b"), task("c", "a", "b", parameters=[out("a"), maybe("b")]))))
    story.done("a")
    fresh = story.restored()
    with pytest.raises(PayloadsNeeded) as needed:
        decide(fresh, Finished(T0, 1, 1, output=b"2"))
    assert needed.value.indexes == [0]


# --- failures --------------------------------------------------------------------------------------------------------


@EVERY_POLICY
def test_a_task_whose_needed_input_is_missing_never_runs(policy: FailurePolicy) -> None:
    story = begun(workflow(job("main", task("a", failure_policy=policy), reads("b", "a"), reads("c", "b"))))
    assert story.fails("a").commands == []
    assert story.states() == {"a": "FAILED", "b": "UPSTREAM_FAILED", "c": "UPSTREAM_FAILED"}
    assert story.state is RunState.FAILED


def test_a_missing_input_says_whose_it_is() -> None:
    story = begun(workflow(job("main", task("a"), task("b"), reads("c", "a", "b"))))
    story.fails("a")
    story.fails("b")
    assert story.task("c").failure == Failure(MISSING, "a, b")


def test_continue_lets_later_tasks_run_and_the_run_fail() -> None:
    story = pair()
    assert story.named(story.fails("a").commands) == ["+b.1"]
    story.done("b")
    assert story.state is RunState.FAILED
    assert story.jobs() == {"main": JobState.FAILED}


@pytest.mark.parametrize("policy", [FailurePolicy.STOP, FailurePolicy.ISOLATE])
def test_stop_and_isolate_keep_what_is_ordered_after_from_running(policy: FailurePolicy) -> None:
    story = begun(
        workflow(
            job("one", task("a", failure_policy=policy), task("b", "a"), task("c", "b"), task("sibling")),
            job("two", task("d"), after=("one",)),
            job("three", task("e"), after=("two",)),
        )
    )
    story.fails("a")
    assert story.states()["sibling"] is TaskState.QUEUED
    story.done("sibling")
    assert story.task("b").failure == Failure(STOPPED)
    assert set(story.states().values()) == {"FAILED", "UPSTREAM_FAILED", "SUCCESS"}
    assert story.state is RunState.FAILED


def test_a_stop_reaches_past_a_job_without_tasks() -> None:
    story = begun(
        workflow(
            job("one", task("a", failure_policy=FailurePolicy.STOP)),
            job("none", after=("one",)),
            job("two", task("b"), after=("none",)),
        )
    )
    story.fails("a")
    assert story.states() == {"a": "FAILED", "b": "UPSTREAM_FAILED"}


def test_a_job_beside_the_stopped_one_goes_on() -> None:
    story = begun(workflow(job("one", task("a", failure_policy=FailurePolicy.STOP)), job("two", task("b"))))
    story.fails("a")
    assert story.states() == {"a": "FAILED", "b": "QUEUED"}


def test_a_failure_without_a_reason_is_internal() -> None:
    story = begun(sequence(1))
    story.tell(Finished(story.now, 0, 1))
    assert story.task("t0").failure == Failure("internal")


# --- conditions ------------------------------------------------------------------------------------------------------


def branching(*then: TaskSpec) -> Definition:
    """`ask`, then `act` under the condition that it answered yes, and what comes after."""
    return workflow(job("main", task("ask"), task("act", "ask", when="${{ tasks.ask.output.yes }}"), *then))


def test_a_task_whose_condition_is_true_runs() -> None:
    story = begun(branching())
    story.done("ask", {"yes": True})
    assert story.states()["act"] == "QUEUED"
    story.done("act")
    assert story.state is RunState.SUCCESS


def test_a_task_whose_condition_is_false_is_skipped_and_who_comes_after_decides_for_itself() -> None:
    after = task("after", "act", parameters={"act": maybe("act")})
    story = begun(branching(after))
    story.done("ask", {"yes": False})
    assert story.states() == {"ask": "SUCCESS", "act": "SKIPPED", "after": "QUEUED"}
    assert story.input_of("after") == {"act": None}
    story.done("after")
    assert story.state is RunState.SUCCESS
    assert story.jobs() == {"main": JobState.SUCCESS}


def test_who_needs_the_output_of_a_skipped_task_never_runs() -> None:
    story = begun(branching(reads("after", "act")))
    story.done("ask", {"yes": False})
    assert story.states()["after"] == "UPSTREAM_FAILED"
    assert story.task("after").failure == Failure(MISSING, "act")
    assert story.state is RunState.FAILED


def test_a_condition_that_cannot_be_judged_is_as_a_needed_input_that_is_missing() -> None:
    story = begun(branching())
    story.fails("ask")
    assert story.states()["act"] == "UPSTREAM_FAILED"


def test_a_false_condition_goes_before_a_needed_input_that_is_missing() -> None:
    definition = workflow(
        job(
            "main",
            task("a"),
            reads("b", "a", when="optional(tasks.a.output, null) != null"),
            reads("c", "a", when="true"),
        )
    )
    story = begun(definition)
    story.fails("a")
    assert story.states() == {"a": "FAILED", "b": "SKIPPED", "c": "UPSTREAM_FAILED"}


def test_a_condition_that_is_no_answer_fails_its_task() -> None:
    story = begun(branching())
    story.done("ask", {"yes": "perhaps"})
    assert story.states()["act"] == "FAILED"
    failure = story.task("act").failure
    assert failure is not None
    assert failure.code == "expression_evaluation"


def test_a_paused_run_judges_no_condition_until_it_goes_on() -> None:
    story = begun(branching())
    story.pause()
    story.done("ask", {"yes": False})
    assert story.states()["act"] == "PENDING"
    story.resume()
    assert story.states()["act"] == "SKIPPED"
    assert story.state is RunState.SUCCESS


def test_what_was_skipped_stays_so_in_a_rerun_of_what_failed() -> None:
    definition = branching(task("after", "act", parameters={"act": maybe("act"), "ask": out("ask")}))
    story = Story(definition)
    story.tell(Begin(story.now, {0: b'{"yes":false}'}, (1,)))
    assert story.states() == {"ask": "SUCCESS", "act": "SKIPPED", "after": "QUEUED"}


# --- reruns ----------------------------------------------------------------------------------------------------------


def test_reused_outputs_are_recorded_and_read_as_if_they_had_been_made_here() -> None:
    story = Story(sequence(3))
    decision = story.begin(t0={"x": 1})
    assert story.named(decision.commands) == ["+t1.1"]
    assert story.input_of("t1") == {"t0": {"x": 1}}
    assert story.recorded == {0: [b'{"x":1}']}
    assert story.task("t0").attempt == 0


def test_a_run_of_reused_outputs_alone_succeeds_at_once() -> None:
    story = Story(workflow(job("one", task("a")), job("two", task("b"), after=("one",))))
    assert story.begin(a=1, b=2).commands == []
    assert story.state is RunState.SUCCESS
    assert story.jobs() == {"one": "SUCCESS", "two": "SUCCESS"}


def test_a_reused_output_lets_nothing_run_before_its_jobs_turn() -> None:
    story = Story(workflow(job("one", task("a")), job("two", task("b"), task("c", "b"), after=("one",))))
    assert story.named(story.begin(b="kept").commands) == ["+a.1"]
    assert story.named(story.done("a").commands) == ["+c.1"]


# --- poison ----------------------------------------------------------------------------------------------------------


def test_a_poisoned_run_fails_at_once_with_the_reason() -> None:
    story = begun(sequence(3))
    decision = story.tell(Poisoned(story.now, "KeyError('x')"))
    assert story.named(decision.commands) == ["-t0.1"]
    assert story.state is RunState.FAILED
    assert story.run.head.failure == Failure("internal", "KeyError('x')")
    assert set(story.states().values()) == {TaskState.CANCELLED}


# --- what decide is --------------------------------------------------------------------------------------------------


def test_deciding_changes_nothing_in_the_run() -> None:
    story = begun(sequence(3, retry=Retry(2)))
    story.started("t0")
    before = snapshot(story.run)
    for event in (
        Begin(T0), Started(T0, 0, 1, "w", T0, 2), Finished(T0, 0, 1, output=b"1"), Finished(T0, 0, 1),
        Tick(T0 + 10**14), Cancel(T0), Remind(T0), Poisoned(T0, "x"),
    ):  # fmt: skip
        first, second = decide(story.run, event), decide(story.run, event)
        assert first == second
        assert snapshot(story.run) == before


def test_a_run_that_ends_before_it_began_leaves_no_job_open() -> None:
    story = Story(workflow(job("one", task("a")), job("empty"), job("last", after=("empty",))))
    story.cancel()
    story.after(CANCEL_GRACE / SECOND)
    assert story.state is RunState.CANCELLED
    assert story.jobs() == {"one": JobState.CANCELLED, "empty": JobState.SUCCESS, "last": JobState.SUCCESS}
