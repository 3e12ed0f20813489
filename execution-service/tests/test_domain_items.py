"""A task with `for_each`: its items are task runs of their own, its output is the list of theirs."""

from typing import Any

import orjson
import pytest
from domain_house import T0, Story, job, out, reads, snapshot, task, workflow

from execution_service.domain.decide import REMIND_FEW, decide
from execution_service.domain.definition import FailurePolicy, Retry, TaskSpec
from execution_service.domain.draft import MOST_ITEMS, REMIND_AFTER, PayloadsNeeded
from execution_service.domain.events import Begin, Finished, Poisoned, Started, Tick
from execution_service.domain.plan import MOST_PARALLEL, STRIDE, compile_plan
from execution_service.domain.rerun import succeeded_items
from execution_service.domain.run import RunState, TaskState, items_of
from kit.payloads import PAYLOAD_LIMIT

ITEM = "${{ item }}"


def each(items: Any, key: str = "a", **said: Any) -> TaskSpec:
    return task(key, parameters={"n": ITEM}, for_each=items, **said)


def begun(*tasks: TaskSpec, **said: Any) -> Story:
    story = Story(workflow(job("main", *tasks)), **said)
    story.begin()
    return story


def test_each_item_is_handed_out_with_its_own_input_and_the_outputs_come_back_in_order() -> None:
    story = Story(workflow(job("main", each([10, 20, 30]), reads("b", "a"))))
    assert story.named(story.begin().commands) == ["+a[0].1", "+a[1].1", "+a[2].1"]
    assert [story.input_of(f"a[{n}]") for n in range(3)] == [{"n": 10}, {"n": 20}, {"n": 30}]
    assert story.input_of("a") == [10, 20, 30]
    assert story.task("a").items == 3
    story.done("a[2]", "third")
    story.done("a[0]", "first")
    assert story.states() == {
        "a": "RUNNING", "b": "PENDING", "a[0]": "SUCCESS", "a[1]": "QUEUED", "a[2]": "SUCCESS",
    }  # fmt: skip
    assert story.named(story.done("a[1]", None).commands) == ["+b.1"]
    assert orjson.loads(story.recorded[0][0]) == ["first", None, "third"]
    assert story.task("a").state is TaskState.SUCCESS
    # what is read from now on is the list
    assert set(story.run.outputs) == {0}


def test_a_repeated_result_brings_back_a_few_of_many_open_items_and_time_brings_all() -> None:
    story = begun(each(list(range(300))))
    story.done("a[0]", 1)
    repeated = Finished(story.now, story.index("a[0]"), 1, output=b"1")
    decision = decide(story.run, repeated)
    assert not decision.changes
    assert story.named(decision.commands) == [f"+a[{n}].1" for n in range(1, 1 + REMIND_FEW)]
    later = decide(story.run, Tick(story.now + REMIND_AFTER + 1))
    assert len(later.commands) == 299


def test_a_list_may_come_from_the_input_or_another_task_and_hold_anything() -> None:
    story = begun(
        task("first"),
        task("a", "first", for_each=out("first"), parameters={"who": "${{ item.name }}", "of": "${{ run.input.of }}"}),
        input={"of": 7},
    )
    story.done("first", [{"name": "x"}, {"name": "y"}])
    assert story.input_of("a[1]") == {"who": "y", "of": 7}


def test_an_empty_list_gives_an_empty_list_at_once() -> None:
    story = Story(workflow(job("main", each([]), reads("b", "a"))))
    assert story.named(story.begin().commands) == ["+b.1"]
    assert orjson.loads(story.recorded[0][0]) == []


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("text", "for_each_no_list"),
        (None, "for_each_no_list"),
        (list(range(MOST_ITEMS + 1)), "for_each_too_long"),
        (["x" * PAYLOAD_LIMIT], "expression_result_too_large"),
    ],
)
def test_what_is_no_list_to_run_over_fails_the_task(value: Any, code: str) -> None:
    story = begun(each("${{ run.input.list }}"), input={"list": value})
    failure = story.task("a").failure
    assert failure is not None
    assert failure.code == code
    assert story.state is RunState.FAILED


def test_a_list_too_large_to_be_recorded_fails_the_task() -> None:
    story = begun(each(["x" * 200_000, "${{ run.input.big }}"]), input={"big": "x" * (PAYLOAD_LIMIT - 200_000)})
    failure = story.task("a").failure
    assert failure is not None
    assert failure.code == "input_too_large"


def test_a_list_that_cannot_be_made_fails_the_task() -> None:
    story = begun(each("${{ run.input.absent }}"))
    failure = story.task("a").failure
    assert failure is not None
    assert failure.code.startswith("expression_")


def test_no_more_than_max_parallel_are_open_at_a_time() -> None:
    story = Story(workflow(job("main", each(list(range(5)), max_parallel=2))))
    assert story.named(story.begin().commands) == ["+a[0].1", "+a[1].1"]
    assert story.named(story.done("a[1]").commands) == ["+a[2].1"]
    assert story.named(story.fails("a[0]").commands) == ["+a[3].1"]
    assert story.named(story.done("a[2]").commands) == ["+a[4].1"]
    story.done("a[3]")
    story.done("a[4]")
    assert story.state is RunState.FAILED


def test_a_long_list_is_handed_out_slice_by_slice() -> None:
    story = Story(workflow(job("main", each(list(range(MOST_PARALLEL + 2))))))
    assert len(story.begin().commands) == MOST_PARALLEL
    assert story.named(story.done("a[7]").commands) == [f"+a[{MOST_PARALLEL}].1"]


def test_an_item_is_tried_again_by_itself() -> None:
    story = begun(each([1, 2], retry=Retry(2, delay_s=5)))
    story.fails("a[0]", retryable=True)
    assert story.states()["a[0]"] == "RETRY_WAIT"
    assert story.named(story.after(6).commands) == ["+a[1].1", "+a[0].2"]
    story.done("a[0]", 1, attempt=2)
    story.done("a[1]", 2)
    assert orjson.loads(story.recorded[0][0]) == [1, 2]


def test_a_task_whose_item_failed_has_failed_and_says_which() -> None:
    story = begun(each([1, 2, 3]), reads("b", "a"))
    story.fails("a[1]", "broken")
    story.fails("a[2]", "worse")
    assert story.state is RunState.RUNNING
    story.done("a[0]")
    failure = story.task("a").failure
    assert failure is not None
    assert failure.code == "items_failed"
    assert failure.details["failed"] == 2
    assert failure.details["items"] == 3
    assert failure.details["item"] == 1
    assert failure.details["error"]["code"] == "broken"
    assert story.states()["b"] == "UPSTREAM_FAILED"
    assert 0 not in story.recorded


@pytest.mark.parametrize("policy", [FailurePolicy.CONTINUE, FailurePolicy.ISOLATE])
def test_the_other_items_go_on_when_one_fails(policy: FailurePolicy) -> None:
    story = begun(each([1, 2], max_parallel=1, failure_policy=policy))
    assert story.named(story.fails("a[0]").commands) == ["+a[1].1"]


def test_under_stop_no_further_item_is_begun() -> None:
    story = begun(each([1, 2, 3, 4], max_parallel=2, failure_policy=FailurePolicy.STOP))
    assert story.fails("a[0]").commands == []
    assert story.state is RunState.RUNNING
    story.done("a[1]")
    assert story.states() == {"a": "FAILED", "a[0]": "FAILED", "a[1]": "SUCCESS"}
    assert story.state is RunState.FAILED


def test_an_item_whose_input_cannot_be_made_fails_alone() -> None:
    story = begun(task("a", parameters={"n": "${{ item.n }}"}, for_each=[{"n": 1}, {}, {"n": 3}], max_parallel=1))
    assert story.states() == {"a": "RUNNING", "a[0]": "QUEUED"}
    assert story.named(story.done("a[0]").commands) == ["+a[2].1"]
    story.done("a[2]")
    failure = story.task("a").failure
    assert failure is not None
    assert failure.details["item"] == 1


def test_all_items_may_fail_at_once() -> None:
    story = begun(task("a", parameters={"n": "${{ item.n }}"}, for_each=[{}] * 2_000))
    failure = story.task("a").failure
    assert failure is not None
    assert failure.details["failed"] == 2_000
    assert story.state is RunState.FAILED


def test_a_condition_is_judged_once_before_the_list_is_made() -> None:
    story = begun(each("${{ run.input.absent }}", when="${{ false }}"))
    assert story.states() == {"a": "SKIPPED"}
    story = begun(each([1], when="${{ true }}"))
    assert story.states() == {"a": "RUNNING", "a[0]": "QUEUED"}


def test_a_joined_list_that_is_too_large_fails_the_task() -> None:
    story = begun(each([1, 2]))
    story.done("a[0]", "x" * (PAYLOAD_LIMIT - 10))
    story.done("a[1]", "y" * 20)
    failure = story.task("a").failure
    assert failure is not None
    assert failure.code == "output_too_large"


# --- what people do --------------------------------------------------------------------------------------------------


def test_while_paused_no_item_is_begun_and_afterwards_they_are() -> None:
    story = begun(each([1, 2, 3], max_parallel=1))
    story.pause()
    assert story.done("a[0]").commands == []
    assert story.named(story.resume().commands) == ["+a[1].1"]
    story.pause()
    story.done("a[1]")
    story.resume()
    story.pause()
    # the last one ends the task, whether paused or not
    story.done("a[2]")
    assert story.states()["a"] == "SUCCESS"


def test_a_failed_item_does_not_end_the_task_while_paused() -> None:
    story = begun(each([1, 2], max_parallel=1))
    story.pause()
    story.fails("a[0]")
    assert story.states() == {"a": "RUNNING", "a[0]": "FAILED"}
    assert story.named(story.resume().commands) == ["+a[1].1"]


def test_a_cancel_withdraws_the_items_and_not_their_task() -> None:
    story = begun(each([1, 2, 3], max_parallel=2))
    story.started("a[0]")
    assert story.named(story.cancel().commands) == ["-a[0].1", "-a[1].1"]
    assert story.states() == {"a": "RUNNING", "a[0]": "RUNNING", "a[1]": "CANCELLED"}
    assert story.named(story.remind().commands) == ["-a[0].1"]
    story.stops("a[0]")
    assert story.states() == {"a": "CANCELLED", "a[0]": "CANCELLED", "a[1]": "CANCELLED"}
    assert story.state is RunState.CANCELLED


def test_a_cancel_ends_a_task_that_has_no_open_item() -> None:
    story = begun(each([1, 2], max_parallel=1))
    story.pause()
    story.done("a[0]")
    story.cancel()
    assert story.state is RunState.CANCELLED
    assert story.states() == {"a": "CANCELLED", "a[0]": "SUCCESS"}


@pytest.mark.parametrize("end", ["deadline", "poison"])
def test_a_run_that_is_ended_takes_its_items_along(end: str) -> None:
    story = begun(each([1, 2, 3], max_parallel=2))
    story.started("a[0]")
    story.now = story.run.head.deadline
    event = Tick(story.now) if end == "deadline" else Poisoned(story.now, "bug")
    assert story.named(story.tell(event).commands) == ["-a[0].1", "-a[1].1"]
    assert story.state is RunState.FAILED
    assert set(story.states().values()) == {"CANCELLED"}
    assert story.run.groups == {}


# --- the wire ---------------------------------------------------------------------------------------------------------


def test_results_for_the_task_itself_or_for_no_item_change_nothing() -> None:
    story = begun(each([1, 2], max_parallel=1))
    for index in (0, STRIDE * 2, STRIDE * 99, -STRIDE, STRIDE + 5):
        assert not story.tell(Finished(T0, index, 1, output=b"1")).changes
        assert not story.tell(Started(T0, index, 1, "w", T0)).changes
    assert story.states() == {"a": "RUNNING", "a[0]": "QUEUED"}
    story.done("a[0]")
    assert not story.done("a[0]", 2).changes


def test_what_is_outstanding_is_handed_out_again_item_by_item() -> None:
    story = begun(each([1, 2, 3]))
    story.started("a[1]")
    assert story.named(story.remind().commands) == ["+a[0].1", "+a[2].1"]
    assert story.named(story.remind(lost=True).commands) == ["+a[0].1", "+a[2].1", "+a[1].1"]


def test_items_have_the_time_outs_of_their_task() -> None:
    story = begun(each([1, 2], timeout_s=10, queue_timeout_s=60))
    story.started("a[0]", timeout_s=10)
    assert story.named(story.after(30).commands) == ["+a[1].1", "-a[0].1"]
    assert story.named(story.after(31).commands) == ["-a[1].1"]
    assert story.states() == {"a": "FAILED", "a[0]": "FAILED", "a[1]": "FAILED"}


def test_items_that_wait_are_answered_one_by_one() -> None:
    spec = TaskSpec("a", "workflow.run", parameters={"workflow_id": "w", "input": {"n": ITEM}}, for_each=[1, 2])
    story = Story(workflow(job("main", spec)))
    assert story.named(story.begin().commands) == [">a[0].1", ">a[1].1"]
    story.done("a[1]")
    assert story.named(story.cancel().commands) == ["xa[0].1"]
    assert story.state is RunState.CANCELLED


def test_a_copy_read_from_the_rows_is_the_same_and_asks_for_what_it_lacks() -> None:
    story = begun(each([1, 2, 3, 4], max_parallel=2))
    story.fails("a[0]")
    story.done("a[2]")
    assert snapshot(story.restored()) == snapshot(story.run)
    fresh = story.restored()
    assert fresh.task(STRIDE).state is TaskState.FAILED
    with pytest.raises(KeyError):
        fresh.task(STRIDE * 5)
    fresh = begun(each([1, 2], max_parallel=1))
    copy = fresh.restored()
    with pytest.raises(PayloadsNeeded) as needed:
        decide(copy, Finished(T0, STRIDE, 1, output=b"1"))
    assert (needed.value.direction, needed.value.indexes) == ("in", [0])
    copy.hold(inputs={0: fresh.inputs[0]})
    copy.apply(decide(copy, Finished(T0, STRIDE, 1, output=b"1")).changes)
    again = fresh.restored()
    again.set_task(STRIDE, copy.task(STRIDE))
    again.set_task(STRIDE * 2, copy.task(STRIDE * 2))
    with pytest.raises(PayloadsNeeded) as needed:
        decide(again, Finished(T0, STRIDE * 2, 1, output=b"2"))
    assert needed.value.direction == "out"


def test_a_copy_has_its_place_in_memory() -> None:
    story = begun(each([1, 2, 3]))
    small = story.run.size()
    story.done("a[0]", "x" * 1_000)
    assert story.run.size() > small + 1_000
    story.done("a[1]")
    story.done("a[2]")
    assert story.run.size() < small + 10_000


# --- reruns ----------------------------------------------------------------------------------------------------------


def test_items_of_a_rerun_that_have_an_output_do_not_run_again() -> None:
    story = Story(workflow(job("main", each([1, 2, 3]), reads("b", "a"))))
    first, _, third = items_of(0, 3)
    begin = story.tell(Begin(story.now, reused_items={first: b'"one"', third: b'"three"'}))
    assert story.named(begin.commands) == ["+a[1].1"]
    assert snapshot(story.restored()) == snapshot(story.run)
    story.done("a[1]", "two")
    assert orjson.loads(story.recorded[0][0]) == ["one", "two", "three"]


def test_the_items_that_a_rerun_may_keep_are_those_with_an_output() -> None:
    story = begun(each([1, 2, 3], max_parallel=2), task("b"))
    story.done("a[0]")
    story.fails("a[1]")
    first, _, third = items_of(0, 3)
    assert succeeded_items(story.run, 0) == [first]
    story.done("a[2]")
    assert succeeded_items(story.run, 0) == [first, third]
    assert succeeded_items(story.run, 0, but=0) == [third]
    assert succeeded_items(story.run, 1) == []


def test_a_plan_refuses_more_tasks_than_there_are_numbers_for() -> None:
    with pytest.raises(ValueError, match="too many"):
        compile_plan(workflow(job("main", *(task(f"t{n}") for n in range(STRIDE + 1)))))
