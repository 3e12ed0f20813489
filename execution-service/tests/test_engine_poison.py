"""Poison: an event that makes the engine fail is set aside alone, and its run ends; and how the engine itself stops."""

from dataclasses import replace
from typing import Any

from domain_house import job, task, workflow
from engine_house import (
    ORGANIZATION,
    Desk,
    chain,
    done,
    fan_out,
    found,
    new_run,
    now,
    rows,
)

from execution_service.domain.definition import Retry
from execution_service.domain.events import Cancel, Poisoned, Remind
from execution_service.domain.plan import Plan, compile_plan
from execution_service.domain.run import Failure, Run, RunState, TaskState
from execution_service.storage import history, purge, tables
from execution_service.storage import runs as stored
from kit.database import Database


def exploding(definition: Any, key: str, error: Exception) -> Plan:
    """A plan in which making the input of a task is a bug."""

    def explode(meter: object) -> object:
        raise error

    plan = compile_plan(definition)
    index = plan.by_key[key]
    steps = list(plan.steps)
    steps[index] = replace(steps[index], template=replace(steps[index].template, _render=explode))
    return replace(plan, steps=tuple(steps))


def test_an_event_that_makes_the_engine_fail_is_buried_alone_and_its_run_ends(database: Database) -> None:
    healthy = [new_run(fan_out(2)) for _ in range(2)]
    sick = new_run(exploding(chain(3), "t1", ZeroDivisionError("boom")))
    with Desk(database) as desk:
        for run in [*healthy, sick]:
            desk.start(run)
    desk = Desk(database)
    desk.engine.keep_plan(sick.plan)
    ids = [healthy[0].facts.run_id, sick.facts.run_id, healthy[1].facts.run_id]
    answers = [desk.ask(run_id, done(0, {"n": 1})) for run_id in ids]
    with desk:
        outcomes = [answer.result(30) for answer in answers]
        assert [outcome.run is not None for outcome in outcomes] == [True, False, True]
        ended = desk.tell(sick.facts.run_id, Remind(now())).run
    assert ended is not None
    assert ended.head.state is RunState.FAILED
    assert ended.head.failure == Failure("internal", "ZeroDivisionError('boom')")
    [dead] = rows(database, tables.dead_event)
    assert dead.workflow_run_id == sick.facts.run_id
    assert "Finished" in dead.event
    assert dead.error == "ZeroDivisionError('boom')"
    for run in healthy:
        assert found(desk, run).tasks[0].state is TaskState.SUCCESS


def test_what_else_a_batch_had_for_the_poisoned_run_is_decided_again(database: Database) -> None:
    definition = workflow(job("main", task("a"), task("b"), task("c", "b")))
    sick = new_run(exploding(definition, "c", RuntimeError("boom")))
    with Desk(database) as desk:
        desk.start(sick)
    desk = Desk(database)
    desk.engine.keep_plan(sick.plan)
    answers = [desk.ask(sick.facts.run_id, done(index)) for index in (0, 1)]
    with desk:
        assert [answer.result(30).run is not None for answer in answers] == [True, False]
        desk.tell(sick.facts.run_id, Remind(now()))
    kept = found(desk, sick)
    assert [each.state for each in kept.tasks] == ["SUCCESS", "CANCELLED", "CANCELLED"]
    assert kept.head.state is RunState.FAILED


def test_a_start_that_makes_the_engine_fail_is_refused_and_leaves_no_run(database: Database) -> None:
    with Desk(database) as desk:
        outcome = desk.start(new_run(exploding(chain(1), "t0", RuntimeError("boom"))))
    assert outcome.failed
    assert rows(database, tables.workflow_run) == []
    assert len(rows(database, tables.dead_event)) == 1


def test_an_event_that_cannot_be_written_is_buried_alone(database: Database) -> None:
    runs = [new_run(chain(2)) for _ in range(3)]
    with Desk(database) as desk:
        for run in runs:
            desk.start(run)
    desk = Desk(database)
    unwritable = {1: 2**80}
    answers = [
        desk.ask(run.facts.run_id, done(0, {"n": 1}, delivery=unwritable.get(number, 1)))
        for number, run in enumerate(runs)
    ]
    with desk:
        assert not any(answer.result(30).failed for answer in answers)
        desk.tell(runs[1].facts.run_id, Remind(now()))
    assert [found(desk, run).head.state for run in runs] == [RunState.RUNNING, RunState.FAILED, RunState.RUNNING]
    assert len(rows(database, tables.dead_event)) == 1


def test_a_start_that_cannot_be_written_is_refused(database: Database) -> None:
    run = new_run(chain(1))
    sick = Run(replace(run.facts, number=2**80), run.plan, run.input)
    with Desk(database) as desk:
        assert desk.start(sick).failed
        assert not desk.start(new_run(chain(1))).failed
    assert len(rows(database, tables.workflow_run)) == 1


def test_a_run_that_cannot_be_loaded_fails_alone_and_is_never_due_again(database: Database) -> None:
    sick, healthy = new_run(replace(chain(2), workflow_id="broken")), new_run(chain(2))
    with Desk(database) as desk:
        desk.start(sick)
        desk.start(healthy)
    with database.write() as connection:
        broken = tables.definition.c.definition_id == "broken.1"
        connection.execute(tables.definition.delete().where(broken))
    desk = Desk(database)
    answers = [desk.ask(run.facts.run_id, done(0, {"n": 1})) for run in (sick, healthy)]
    with desk:
        assert [answer.result(30).run is not None for answer in answers] == [False, True]
    kept = found(desk, sick)
    assert kept.head.state is RunState.FAILED
    assert [run_id for run_id, _ in stored.due_runs(database, 2**62, 10)] == [healthy.facts.run_id]
    [shown], _ = history.list_runs(database, ORGANIZATION, history.RunFilter(states=(RunState.FAILED,)))
    assert (shown["run_id"], shown["error"]["code"]) == (sick.facts.run_id, "internal")
    assert len(rows(database, tables.dead_event)) == 1


def test_a_run_that_cannot_even_be_told_to_fail_is_ended_all_the_same(database: Database) -> None:
    run = new_run(chain(2))
    with Desk(database) as desk:
        desk.start(run)
    desk = Desk(database)
    desk.engine.keep_plan(replace(run.plan, stages=()))  # whatever is decided on it is a bug
    with desk:
        assert desk.tell(run.facts.run_id, done(0, {"n": 1})).run is None
    assert found(desk, run).head.state is RunState.FAILED
    assert stored.due_runs(database, 2**62, 10) == []
    assert [row.error for row in rows(database, tables.dead_event)] == ["IndexError('list index out of range')"] * 2


def test_a_run_whose_end_cannot_be_written_is_ended_all_the_same(database: Database) -> None:
    run, healthy = new_run(chain(1)), new_run(replace(chain(1), workflow_id="healthy"))
    with Desk(database) as desk:
        desk.start(run)
        desk.start(healthy)
    desk = Desk(database)
    # no column holds when it is to be purged
    desk.engine.keep_plan(replace(run.plan, definition=replace(run.plan.definition, retention_days=2**60)))
    answers = [desk.ask(each.facts.run_id, done(0, {"n": 1})) for each in (run, healthy)]
    with desk:
        assert [answer.result(30).run is not None for answer in answers] == [False, True]
    assert found(desk, run).head.state is RunState.FAILED
    assert stored.due_runs(database, 2**62, 10) == []
    assert len(rows(database, tables.dead_event)) == 2


def test_a_run_can_be_told_that_it_is_poisoned(database: Database) -> None:
    run = new_run(chain(2, retry=Retry(2)))
    with Desk(database) as desk:
        desk.start(run)
        outcome = desk.tell(run.facts.run_id, Poisoned(now(), "why"))
        assert outcome.run is not None
        assert outcome.run.head.state is RunState.FAILED


def test_a_stopping_engine_decides_what_it_was_given(database: Database) -> None:
    run = new_run(fan_out(20))
    desk = Desk(database)
    with desk:
        desk.start(run)
        answers = [desk.ask(run.facts.run_id, done(index)) for index in range(20)]
    assert all(answer.done() for answer in answers)
    assert found(desk, run).tasks[20].state is TaskState.QUEUED


def test_a_late_result_of_a_run_that_is_gone_is_answered_and_not_set_aside(database: Database) -> None:
    run = new_run(fan_out(3))
    run_id = run.facts.run_id
    with Desk(database) as one, Desk(database) as two:
        one.start(run)
        one.tell(run_id, done(0))
        two.keep_definition(run)
        two.tell(run_id, done(1))  # the first output it knows of, and does not hold
        assert one.tell(run_id, Cancel(now())).run is not None
        purge.begin_purge(database, [run_id], lambda *_: ("event1", "events.execution.run.purged", b"{}"), now())
        assert purge.purge_rows(database, run_id, 1000) > 0
        outcome = two.tell(run_id, done(2))
    assert outcome.run is None
    assert not outcome.failed
    assert rows(database, tables.dead_event) == []
