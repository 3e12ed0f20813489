"""Limits that runs share: of a workflow's runs, of a queue's tasks, of the tasks under one key."""

from typing import Any

import pytest
from domain_house import SECOND, Story, job, out, reads, sequence, snapshot, task, workflow

from execution_service.domain.definition import Concurrency, Overflow, Retry, TaskSpec
from execution_service.domain.draft import KEY_LIMIT
from execution_service.domain.events import Admit, Begin, Grant, Refuse
from execution_service.domain.plan import STRIDE, compile_plan
from execution_service.domain.run import RUN, Claim, RunState, Slot

LIMITED = workflow(job("main", task("a"), task("b", "a")), concurrency=Concurrency(2))


def keyed(key: str = "a", *after: str, by: str = "shop", **said: Any) -> TaskSpec:
    return task(key, *after, concurrency_key=by, concurrency_limit=3, **said)


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_under_a_limit_waits_for_its_place() -> None:
    story = Story(LIMITED)
    assert story.named(story.begin().commands) == ["admit"]
    assert story.state is RunState.PENDING
    assert story.claims == {RUN: Claim((Slot("org1:workflow:workflow", 2),))}
    assert snapshot(story.restored()) == snapshot(story.run)
    story.now += SECOND
    assert story.named(story.grant().commands) == ["+a.1"]
    assert story.claims[RUN] == Claim(taken=True)
    assert (story.state, story.run.head.started_at) == (RunState.RUNNING, story.now)
    story.done("a")
    assert story.named(story.done("b").commands) == ["admit"]
    assert (story.state, story.claims[RUN]) == (RunState.SUCCESS, Claim())


def test_a_start_that_is_told_again_keeps_its_place_in_the_line() -> None:
    story = Story(LIMITED)
    story.begin()
    again = story.begin()
    assert (bool(again.changes), again.commands) == (False, [Admit()])
    assert story.named(story.remind().commands) == ["admit"]


def test_a_grant_that_comes_twice_changes_nothing() -> None:
    story = Story(LIMITED)
    story.begin()
    story.grant()
    assert not story.grant().changes
    story = Story(sequence(1))
    story.begin()
    assert not story.grant().changes
    assert not story.grant("t0").changes
    assert not story.tell(Grant(story.now, 99, 1)).changes


def test_a_child_of_a_run_that_holds_a_place_does_not_wait() -> None:
    story = Story(LIMITED)
    assert story.named(story.tell(Begin(story.now, at_once=True)).commands) == ["+a.1"]
    assert story.claims == {}


def test_what_a_rerun_reuses_is_there_before_its_place_is() -> None:
    story = Story(LIMITED)
    assert story.named(story.begin(a=1).commands) == ["admit"]
    assert story.states() == {"a": "SUCCESS", "b": "PENDING"}
    assert story.named(story.grant().commands) == ["+b.1"]


def test_a_run_that_has_nothing_to_do_needs_no_place() -> None:
    story = Story(LIMITED)
    story.begin(a=1, b=2)
    assert (story.state, story.claims[RUN]) == (RunState.SUCCESS, Claim())


def test_a_waiting_run_may_be_cancelled_and_gives_its_place_back() -> None:
    story = Story(LIMITED)
    story.begin()
    story.cancel()
    assert (story.state, story.claims[RUN]) == (RunState.CANCELLED, Claim())
    assert not story.grant().changes


def test_a_run_that_was_not_to_wait_ends_at_once_and_says_why() -> None:
    story = Story(workflow(job("main", task("a")), concurrency=Concurrency(1, Overflow.SKIP)))
    story.begin()
    assert story.claims[RUN].slots[0].overflow is Overflow.SKIP
    story.tell(Refuse(story.now))
    assert (story.state, story.claims[RUN]) == (RunState.CANCELLED, Claim())
    assert story.run.head.failure is not None
    assert story.run.head.failure.code == "concurrency_skipped"


def test_a_run_that_has_its_place_is_not_refused_any_more() -> None:
    story = Story(LIMITED)
    story.begin()
    story.grant()
    assert not story.tell(Refuse(story.now)).changes


# --- tasks -----------------------------------------------------------------------------------------------------------


def test_a_task_under_a_key_waits_for_its_place_and_gives_it_back() -> None:
    story = Story(workflow(job("main", keyed(by="${{ run.input.shop }}"), task("b", "a"))), input={"shop": "서울"})
    assert story.named(story.begin().commands) == ["admit"]
    assert story.states()["a"] == "QUEUED"
    assert story.claims == {0: Claim((Slot("org1:key:서울", 3),), attempt=1)}
    assert snapshot(story.restored()) == snapshot(story.run)
    # nobody hands out what has no place
    assert story.named(story.after(60).commands) == []
    assert story.named(story.remind(lost=True).commands) == ["admit"]
    assert story.named(story.grant("a").commands) == ["+a.1"]
    assert story.claims[0] == Claim(taken=True)
    assert story.named(story.after(3).commands) == ["+a.1"]
    assert story.named(story.done("a").commands) == ["admit", "+b.1"]
    assert story.claims[0] == Claim()


def test_a_limited_queue_holds_tasks_back_too_and_both_limits_count() -> None:
    plan = compile_plan(workflow(job("main", keyed(queue="gpu", priority=1), task("b", "a"))), {"gpu": 1})
    story = Story(plan)
    story.begin()
    slots = (Slot("queue:gpu", 1), Slot("org1:key:shop", 3))
    assert story.claims[0] == Claim(slots, attempt=1, priority=1)
    story.grant("a")
    assert story.named(story.done("a").commands) == ["admit", "+b.1"]


def test_a_queue_without_a_limit_holds_nothing_back() -> None:
    story = Story(compile_plan(workflow(job("main", task("a", queue="gpu"), task("b", queue="cpu"))), {"gpu": 1}))
    assert story.named(story.begin().commands) == ["admit", "+b.1"]
    assert story.named(story.grant("a").commands) == ["+a.1"]


def test_a_step_that_holds_no_worker_needs_no_place() -> None:
    spec = TaskSpec("a", "wait.time", parameters={"seconds": 5}, concurrency_key="shop")
    story = Story(workflow(job("main", spec)))
    story.begin()
    assert (story.states(), story.claims) == ({"a": "WAITING"}, {})


def test_a_retry_gives_the_place_back_and_waits_for_one_again() -> None:
    story = Story(workflow(job("main", keyed(retry=Retry(2, delay_s=5)))))
    story.begin()
    story.grant("a")
    assert story.named(story.fails("a", retryable=True).commands) == ["admit"]
    assert story.claims[0] == Claim()
    assert story.named(story.after(6).commands) == ["admit"]
    assert story.claims[0].attempt == 2
    # the first attempt's place is not the second's
    assert not story.grant("a", 1).changes
    assert story.named(story.grant("a", 2).commands) == ["+a.2"]


def test_waiting_for_a_place_is_waiting_in_the_queue() -> None:
    story = Story(workflow(job("main", keyed(queue_timeout_s=30))))
    story.begin()
    assert story.named(story.after(29).commands) == []
    assert story.named(story.after(2).commands) == ["admit"]
    failure = story.task("a").failure
    assert failure is not None
    assert failure.code == "queue_timeout"
    story = Story(workflow(job("main", keyed(queue_timeout_s=30))))
    story.begin()
    story.now += 29 * SECOND
    story.grant("a")
    assert story.task("a").due_at == story.now + SECOND


def test_a_cancel_takes_back_what_waits_without_telling_anybody() -> None:
    story = Story(workflow(job("main", keyed())))
    story.begin()
    assert story.named(story.cancel().commands) == ["admit"]
    assert (story.state, story.claims[0]) == (RunState.CANCELLED, Claim())


@pytest.mark.parametrize("key", ["", None, True, {"a": 1}, "x" * (KEY_LIMIT + 1)])
def test_a_key_that_is_no_short_text_fails_the_task(key: Any) -> None:
    story = Story(workflow(job("main", keyed(by="${{ run.input.key }}"))), input={"key": key})
    story.begin()
    failure = story.task("a").failure
    assert failure is not None
    assert failure.code == "expression_evaluation"


def test_a_key_may_be_a_number_and_is_each_items_own() -> None:
    spec = keyed(by="${{ item }}", for_each=[1, 2])
    story = Story(workflow(job("main", spec, reads("b", "a"))))
    assert story.named(story.begin().commands) == ["admit"]
    assert [story.claims[STRIDE * n].slots[0].scope for n in (1, 2)] == ["org1:key:1", "org1:key:2"]
    story.grant("a[1]")
    story.done("a[1]")
    story.grant("a[0]")
    assert story.named(story.done("a[0]").commands) == ["admit", "+b.1"]


def test_a_key_may_need_another_tasks_output() -> None:
    story = Story(workflow(job("main", task("first"), keyed("a", "first", by=out("first")))))
    story.begin()
    story.done("first", "busan")
    assert story.claims[1].slots[0].scope == "org1:key:busan"
