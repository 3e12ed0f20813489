"""The shell on its own: batches, two writers on one database, and commits of which nobody knows."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from domain_house import job, out, task, workflow
from engine_house import (
    PAYLOAD_FOLDER,
    PAYLOADS,
    Cut,
    Desk,
    Doubtful,
    Down,
    chain,
    dispatched,
    done,
    fan_out,
    found,
    new_run,
    now,
    rows,
)

from execution_service.domain.events import Cancel, Finished, Remind, Tick
from execution_service.domain.plan import compile_plan
from execution_service.domain.run import Failure, Run, RunState, TaskState
from execution_service.engine import Engine, Outcome
from execution_service.storage import runs as stored
from execution_service.storage import tables
from execution_service.storage.commit import StartKey
from kit.database import Database
from kit.payloads import INLINE_LIMIT


def outputs(database: Database, run: Run) -> dict[int, bytes]:
    return stored.load_payloads(database, run, range(len(run.tasks)), "out", PAYLOADS)


# --- one engine ------------------------------------------------------------------------------------------------------


def test_a_start_is_durable_when_it_is_answered_and_hands_out_its_first_task(database: Database) -> None:
    run = new_run(chain(3), {"n": 5})
    with Desk(database) as desk:
        outcome = desk.start(run)
        assert dispatched(outcome) == ["t0"]
        assert outcome.outgoing[0].parameters == b'{"n":5}'
        assert found(desk, run).version == 1
        assert dispatched(desk.tell(run.facts.run_id, done(0, {"n": 6}))) == ["t1"]


def test_an_engine_says_whether_it_still_decides(database: Database) -> None:
    engine = Engine(database, lambda _: None, PAYLOADS, sole_writer=True)
    with pytest.raises(RuntimeError):
        engine.check()
    engine.start()
    engine.check()
    engine.stop()
    with pytest.raises(RuntimeError):
        engine.check()


def test_events_of_one_batch_are_one_transaction_and_of_one_run_one_version(database: Database) -> None:
    runs = [new_run(fan_out(5)) for _ in range(3)]
    desk = Desk(database)
    with desk:
        for run in runs:
            desk.start(run)
    desk = Desk(database)
    answers = [desk.ask(run.facts.run_id, done(index)) for index in range(5) for run in runs]
    with desk:
        outcomes = [answer.result(30) for answer in answers]
    assert [key for outcome in outcomes for key in dispatched(outcome)] == ["last"] * 3
    assert [found(desk, run).version for run in runs] == [2, 2, 2]


def test_a_dispatch_that_a_later_event_of_its_batch_overtook_is_not_sent(database: Database) -> None:
    run = new_run(chain(2))
    desk = Desk(database)
    answers = [
        desk.ask_start(run),
        desk.ask(run.facts.run_id, done(0, {"n": 1})),
        desk.ask(run.facts.run_id, Cancel(now())),
    ]
    with desk:
        assert [dispatched(answer.result(30)) for answer in answers] == [[], [], []]
    assert found(desk, run).head.state is RunState.CANCELLED


def test_after_a_restart_outstanding_commands_come_with_the_inputs_from_the_database(database: Database) -> None:
    run = new_run(chain(3), {"n": 5})
    with Desk(database) as desk:
        desk.start(run)
    with Desk(database) as desk:
        outcome = desk.tell(run.facts.run_id, Remind(now()))
        assert dispatched(outcome) == ["t0"]
        assert outcome.outgoing[0].parameters == b'{"n":5}'


def test_outputs_that_an_expression_reads_are_loaded(database: Database) -> None:
    fan = new_run(fan_out(3))
    with Desk(database) as desk:
        desk.start(fan)
        desk.tell(fan.facts.run_id, done(0, "first"))
    with Desk(database) as desk:
        desk.tell(fan.facts.run_id, done(1, "second"))
        last = desk.tell(fan.facts.run_id, done(2, "third"))
    assert last.outgoing[0].parameters == b'{"t0":"first","t1":"second","t2":"third"}'


def test_an_unknown_run_is_answered_and_has_no_run(database: Database) -> None:
    with Desk(database) as desk:
        assert desk.tell("nobody", done(0)) == Outcome()


def test_a_purged_run_is_not_revived_by_a_copy_in_memory(database: Database) -> None:
    run = new_run(chain(2))
    with Desk(database) as desk:
        desk.start(run)
        with database.write() as connection:
            for table in (tables.workflow_run, tables.job_run, tables.task_run):
                connection.execute(table.delete())
        assert desk.tell(run.facts.run_id, done(0)).run is None
        assert desk.tell(run.facts.run_id, Tick(now())).run is None
        assert rows(database, tables.workflow_run) == []
        assert rows(database, tables.task_run) == []


def test_a_purged_run_is_found_missing_when_an_event_changes_nothing(database: Database) -> None:
    run = new_run(chain(2))
    with Desk(database) as desk:
        desk.start(run)
        with database.write() as connection:
            connection.execute(tables.workflow_run.delete())
        assert desk.tell(run.facts.run_id, Tick(now())).run is None


def test_one_start_key_gives_one_run_also_within_a_batch(database: Database) -> None:
    key = StartKey("k" * 64, "body")
    runs = [new_run(chain(1)) for _ in range(3)]
    desk = Desk(database)
    first, second = desk.ask_start(runs[0], key), desk.ask_start(runs[1], key)
    with desk:
        assert dispatched(first.result(30)) == ["t0"]
        assert second.result(30).known == ("body", runs[0].facts.run_id)
        assert desk.start(runs[2], key).known == ("body", runs[0].facts.run_id)
        assert len(rows(database, tables.workflow_run)) == 1


def test_each_run_tells_once_that_it_started_and_that_it_ended(database: Database) -> None:
    run = new_run(chain(2))
    with Desk(database) as desk:
        desk.start(run)
        for index in (0, 1, 1):
            desk.tell(run.facts.run_id, done(index))
        assert [row.subject for row in rows(database, tables.outbox)] == [
            "events.execution.run.started", "events.execution.run.finished",
        ]  # fmt: skip


def test_the_memory_for_runs_is_bounded_and_what_was_dropped_is_loaded_again(database: Database) -> None:
    runs = [new_run(fan_out(2)) for _ in range(6)]
    with Desk(database, sole_writer=True, cache_bytes=6_000) as desk:
        for run in runs:
            desk.start(run)
        # a row that only a copy read anew can know of
        with database.write() as connection:
            connection.execute(tables.task_run.update().values(worker="seen"))
        kept = [desk.tell(run.facts.run_id, Remind(now())).run for run in reversed(runs)]
    workers = [run.tasks[0].worker for run in kept if run is not None]
    assert workers == [None, None, "seen", "seen", "seen", "seen"]


def test_plans_are_compiled_from_what_the_database_has_and_kept_within_bounds(database: Database) -> None:
    desk = Desk(database)
    stored.save_definition(database, chain(1))
    assert desk.engine.plan("chain", 1) is desk.engine.plan("chain", 1)
    plan = compile_plan(chain(1))
    for version in range(2, 600):
        desk.engine.keep_plan(replace(plan, definition=replace(plan.definition, version=version)))
    assert desk.engine.plan("chain", 599).definition.version == 599
    with pytest.raises(KeyError):
        desk.engine.plan("chain", 2)


# --- two engines on one database -------------------------------------------------------------------------------------


def test_a_stale_copy_does_not_take_a_valid_result_for_a_duplicate(database: Database) -> None:
    run = new_run(chain(6))
    with Desk(database) as one, Desk(database) as two:
        one.start(run)
        for index in range(6):
            desk, other = (two, one) if index % 2 else (one, two)
            outcome = other.tell(run.facts.run_id, done(index, {"n": index}))
            assert outcome.run is not None
            assert outcome.run.tasks[index].state is TaskState.SUCCESS
            assert not desk.tell(run.facts.run_id, done(index, {"n": "late"})).failed
        assert found(one, run).head.state is RunState.SUCCESS
        assert outputs(database, run) == {index: b'{"n":%d}' % index for index in range(6)}


def test_who_loses_the_race_decides_again_and_nothing_is_lost(database: Database) -> None:
    run = new_run(fan_out(4))
    with Desk(database) as one, Desk(database) as two:
        one.start(run)
        two.tell(run.facts.run_id, done(0))
        outcome = one.tell(run.facts.run_id, done(1))  # its copy is older than what two wrote
        assert outcome.run is not None
        assert [each.state for each in outcome.run.tasks[:2]] == [TaskState.SUCCESS] * 2
        two.tell(run.facts.run_id, done(2), seen_version=3)
        assert dispatched(one.tell(run.facts.run_id, done(3))) == ["last"]
        assert found(one, run).version == 5


@contextmanager
def reads(database: Database) -> Iterator[list[str]]:
    """The reading statements that come within."""
    found: list[str] = []

    def note(*call: Any) -> None:
        if call[2].startswith("SELECT"):
            found.append(call[2])

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)


def test_runs_that_must_be_read_are_read_together(database: Database) -> None:
    """What nobody here holds, what is held in a copy known to be old, and what would change nothing."""
    runs = [new_run(chain(3)) for _ in range(40)]
    one, other = Desk(database), Desk(database)
    started = [one.ask_start(run) for run in runs]
    assert one.engine.step()
    assert not any(answer.result(0).failed for answer in started)
    other.keep_definition(runs[0])

    def tell(desk: Desk, index: int, **said: Any) -> list[list[str]]:
        answers = [desk.ask(run.facts.run_id, done(index, {"n": 1}), **said) for run in runs]
        gone = desk.ask("nobody", done(0))
        with reads(database) as statements:
            assert desk.engine.step()
        # the runs, their tasks, their jobs; who is nobody; and the commit's look at the versions
        assert len(statements) < 10, statements
        assert gone.result(0).run is None
        return [dispatched(answer.result(0)) for answer in answers]

    assert tell(other, 0) == [["t1"]] * 40
    assert tell(other, 0) == [["t1"]] * 40  # told again: what is open is handed out again
    assert tell(one, 1, seen_version=2) == [["t2"]] * 40
    # whose commit was lost to the other one, is read anew
    answers = [other.ask(run.facts.run_id, done(1, {"n": 1})) for run in runs]
    assert other.engine.step()
    assert not any(answer.done() for answer in answers)
    with reads(database) as statements:
        assert other.engine.step()
    assert len(statements) < 10, statements
    assert [dispatched(answer.result(0)) for answer in answers] == [["t2"]] * 40


def test_a_payload_that_cannot_be_kept_holds_up_its_own_run_only(database: Database) -> None:
    twice = task("b", parameters={"x": out("a"), "y": out("a")})
    full, others = new_run(workflow(job("main", task("a"), twice))), [new_run(chain(2)) for _ in range(5)]
    with Desk(database) as before:
        for run in (full, *others):
            before.start(run)
    # where its files belong there is no room for a folder
    obstacle = PAYLOAD_FOLDER / full.facts.organization_id / full.facts.run_id
    obstacle.parent.mkdir(parents=True, exist_ok=True)
    obstacle.write_bytes(b"")
    output = "x" * (INLINE_LIMIT - 100)
    desk = Desk(database)
    answers = [desk.ask(run.facts.run_id, done(0, {"n": 1})) for run in others]
    refused = desk.ask(full.facts.run_id, done(0, output))
    with desk:
        assert [dispatched(answer.result(30)) for answer in answers] == [["t1"]] * 5
        assert refused.result(30).failed
        assert found(desk, full).tasks[0].state is TaskState.QUEUED
        obstacle.unlink()
        assert dispatched(desk.tell(full.facts.run_id, done(0, output))) == ["b"]


def test_repeated_results_in_one_batch_on_a_stale_copy_are_all_answered(database: Database) -> None:
    run = new_run(fan_out(3))
    desk = Desk(database)
    with Desk(database) as other:
        other.start(run)
        with desk:
            desk.tell(run.facts.run_id, done(0))
            other.tell(run.facts.run_id, done(1))
            answers = [desk.ask(run.facts.run_id, done(index)) for index in (0, 1, 1, 2, 0, 2)]
            assert not any(answer.result(30).failed for answer in answers)
    assert found(desk, run).tasks[3].state is TaskState.QUEUED


def test_two_engines_fed_at_random_with_everything_twice_record_each_output_once(database: Database) -> None:
    width, chance = 40, random.Random(7)
    runs = [new_run(fan_out(width)) for _ in range(3)]
    with Desk(database) as one, Desk(database) as two:
        for run in runs:
            one.start(run)
            two.keep_definition(run)

        def feed(desk: Desk, name: str, seed: int) -> None:
            todo = [(run, index) for run in runs for index in range(width)] * 2
            random.Random(seed).shuffle(todo)
            answers = [desk.ask(run.facts.run_id, done(index, name)) for run, index in todo]
            assert not any(answer.result(60).failed for answer in answers)

        feeders = [
            threading.Thread(target=feed, args=(desk, name, chance.random()))
            for desk, name in ((one, "one"), (two, "two"))
        ]
        for feeder in feeders:
            feeder.start()
        for feeder in feeders:
            feeder.join(90)
        for run in runs:
            kept = found(one, run)
            assert [each.state for each in kept.tasks] == [TaskState.SUCCESS] * width + [TaskState.QUEUED]
            recorded = outputs(database, run)
            read = stored.load_payloads(database, run, [width], "in", PAYLOADS)[width]
            assert read == b"{" + b",".join(b'"t%d":%b' % each for each in sorted(recorded.items())) + b"}"


def test_of_two_engines_that_get_one_start_key_at_once_one_starts_the_run(database: Database) -> None:
    key = StartKey("k" * 64, "body")
    for _ in range(5):
        pair = [(Desk(database), new_run(chain(1))) for _ in range(2)]
        answers = [desk.ask_start(run, key) for desk, run in pair]
        with pair[0][0], pair[1][0]:
            outcomes = [answer.result(30) for answer in answers]
        started = rows(database, tables.workflow_run)
        assert len(started) == 1
        for outcome in outcomes:
            known = outcome.known[1] if outcome.known else outcome.run and outcome.run.facts.run_id
            assert known == started[0].workflow_run_id
        with database.write() as connection:
            connection.execute(tables.start_key.delete())
            connection.execute(tables.workflow_run.delete())


# --- commits of which nobody knows -----------------------------------------------------------------------------------


def test_a_commit_that_was_said_to_fail_is_decided_again_without_harm(database_url: str, database: Database) -> None:
    doubtful = Doubtful(database_url)
    run = new_run(chain(3))
    with Desk(doubtful) as desk:
        desk.keep_definition(run)
        doubtful.lies = 1
        assert dispatched(desk.start(run)) == ["t0"]
        doubtful.lies = 2
        outcome = desk.tell(run.facts.run_id, done(0, {"n": 1}))
        assert dispatched(outcome) == ["t1"]
        doubtful.lies = 1
        desk.tell(run.facts.run_id, Finished(now(), 1, 1, failure=Failure("broken")))
        assert doubtful.lies == 0
        kept = found(desk, run)
        assert [each.state for each in kept.tasks] == ["SUCCESS", "FAILED", "UPSTREAM_FAILED"]
        assert len(rows(database, tables.outbox)) == 2
    doubtful.close()


def test_a_start_that_was_said_to_fail_does_not_undo_what_happened_since(database_url: str, database: Database) -> None:
    doubtful = Doubtful(database_url)
    run = new_run(chain(3))
    with Desk(database) as other, Desk(doubtful) as desk:
        desk.keep_definition(run)
        other.keep_definition(run)
        doubtful.meanwhile = lambda: other.tell(run.facts.run_id, done(0, {"n": 1}))
        doubtful.lies = 1
        outcome = desk.start(run)
        assert outcome.run is not None
        assert not outcome.failed
        assert dispatched(outcome) == ["t1"]
        kept = found(desk, run)
        assert (kept.version, kept.tasks[0].state) == (2, TaskState.SUCCESS)
        assert len(rows(database, tables.outbox)) == 1
    doubtful.close()


def test_a_start_with_a_key_that_was_said_to_fail_is_the_same_run(database_url: str, database: Database) -> None:
    doubtful = Doubtful(database_url)
    run = new_run(chain(1))
    with Desk(doubtful) as desk:
        desk.keep_definition(run)
        doubtful.lies = 1
        outcome = desk.start(run, StartKey("k" * 64, "body"))
        assert outcome.known is None
        assert dispatched(outcome) == ["t0"]
    assert len(rows(database, tables.workflow_run)) == 1
    doubtful.close()


def test_a_connection_that_the_server_ends_before_the_commit_loses_nothing(
    database_url: str, database: Database
) -> None:
    if database.sqlite:
        return  # no server, no connection
    cut = Cut(database_url)
    run = new_run(chain(2))
    with Desk(cut) as desk:
        desk.keep_definition(run)
        cut.cuts = 1
        assert dispatched(desk.start(run)) == ["t0"]
        cut.cuts = 2
        assert dispatched(desk.tell(run.facts.run_id, done(0, {"n": 1}))) == ["t1"]
        assert cut.cuts == 0
        assert found(desk, run).version == 2
        assert rows(database, tables.dead_event) == []
    cut.close()


def test_a_database_that_stays_away_makes_the_sender_ask_again(database_url: str, database: Database) -> None:
    down = Down(database_url)
    run, lost = new_run(chain(2)), new_run(chain(2))
    with Desk(down) as desk:
        desk.start(run)
        desk.keep_definition(lost)
        down.refused_writes = 1000
        assert desk.tell(run.facts.run_id, done(0)).failed
        assert desk.start(lost).failed
        down.refused_writes, down.refused_reads = 0, 1000
        assert desk.tell("unknown", done(0)).failed
        down.refused_reads = 1
        assert not desk.tell("unknown", done(0)).failed
        desk.tell(run.facts.run_id, Remind(now()))
        down.refused_reads = 1
        assert not desk.tell(run.facts.run_id, Tick(now())).failed  # its reload is tried again
        assert dispatched(desk.tell(run.facts.run_id, done(0, {"n": 1}))) == ["t1"]
        assert rows(database, tables.dead_event) == []
    down.close()
