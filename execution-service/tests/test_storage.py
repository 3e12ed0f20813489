"""The database as the engine uses it, on SQLite and MariaDB: one commit primitive, and what is read back."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from domain_house import job, out, reads, snapshot, task, workflow
from engine_house import ORGANIZATION, PAYLOADS, Gated, chain, done, fan_out, new_run, now

from execution_service.domain.decide import decide
from execution_service.domain.definition import (
    Backoff,
    Concurrency,
    Definition,
    FailurePolicy,
    JobSpec,
    Overflow,
    Retry,
    TaskSpec,
)
from execution_service.domain.draft import PayloadsNeeded
from execution_service.domain.events import Begin, Cancel, Event, Finished, Pause, Started, Tick
from execution_service.domain.run import Changes, Failure, Run, RunState, TaskState
from execution_service.storage import history, tables
from execution_service.storage import runs as stored
from execution_service.storage.commit import Committed, RunWrite, StartKey, commit
from execution_service.storage.history import RunFilter
from execution_service.storage.log import read_lines, save_log
from kit.database import Database
from kit.errors import Invalid, NotFound
from kit.ids import new_id


def decided(run: Run, event: Event, database: Database | None = None) -> RunWrite:
    """The event applied to this copy, as the part of a commit."""
    try:
        changes = decide(run, event).changes
    except PayloadsNeeded as needed:
        assert database is not None
        run.hold(outputs=stored.load_payloads(database, run, needed.indexes, "out", PAYLOADS))
        changes = decide(run, event).changes
    run.apply(changes)
    return RunWrite(run, changes, new=isinstance(event, Begin))


def commit_one(database: Database, run: Run, event: Event, **said: Any) -> Committed:
    write = decided(run, event, database)
    for name, value in said.items():
        setattr(write, name, value)
    outcome = commit(database, [write])
    if run.facts.run_id not in outcome.lost:
        run.version += 1
    return outcome


def begun(database: Database, run: Run) -> Run:
    stored.save_definition(database, run.plan.definition)
    assert commit_one(database, run, Begin(now())).lost == set()
    return run


def loaded(database: Database, run: Run) -> Run:
    found = stored.load_run(database, run.facts.run_id, lambda *_: run.plan)
    assert found is not None
    return found


def refreshed(database: Database, run: Run) -> Run | None:
    """A newer copy of one that is held, of the rows that changed since."""
    rows = stored.read_runs(database, {run.facts.run_id: run.version}).get(run.facts.run_id)
    return None if rows is None else stored.restored(database, rows, lambda *_: run.plan, run)


def count(database: Database, table: sa.Table) -> int:
    with database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


# --- commit ----------------------------------------------------------------------------------------------------------


def test_what_was_committed_is_read_back_as_the_same_run_after_every_step(database: Database) -> None:
    definition = workflow(
        job("one", task("a", parameters={"n": "${{ run.input.n }}"}, retry=Retry(2, delay_s=0)), task("x")),
        job("none", after=("one",)),
        job("two", reads("b"), task("c", "b", parameters={"a": out("a"), "b": out("b")}), after=("none",)),
    )
    run = begun(database, new_run(definition))
    assert snapshot(loaded(database, run)) == snapshot(run)
    events: list[Event] = [
        Started(now(), 0, 1, "w", now(), 1, 5.0),
        Finished(now(), 0, 1, failure=Failure("broken", "한글 \U0001f600 \0", True, {"status": 503})),
        Pause(now()),
        Tick(now() + 10**9),
        Finished(now(), 1, 1, failure=Failure("broken")),
        Cancel(now()),
    ]
    for event in events:
        commit_one(database, run, event)
        assert snapshot(loaded(database, run)) == snapshot(run)
    assert run.head.state is RunState.CANCELLED


def test_input_and_facts_survive(database: Database) -> None:
    run = begun(database, new_run(chain(1), {"text": "키보드 \U0001f600", "n": 1, "deep": [{"x": None}, 1.5, True]}))
    found = loaded(database, run)
    assert found.input == run.input
    assert found.facts == run.facts


def test_a_run_that_another_replica_changed_is_lost_and_nothing_of_it_is_written(database: Database) -> None:
    run = begun(database, new_run(chain(3)))
    stale = loaded(database, run)
    other = begun(database, new_run(chain(1)))
    commit_one(database, run, done(0, "winner"))
    outcome = commit(database, [decided(stale, done(0, "loser")), decided(other, done(0))])
    assert outcome.lost == {run.facts.run_id}
    assert snapshot(loaded(database, run)) == snapshot(run)
    assert stored.load_payloads(database, run, [0], "out", PAYLOADS) == {0: b'"winner"'}
    assert loaded(database, other).head.state is RunState.SUCCESS


def test_a_purged_run_is_lost_and_does_not_come_back(database: Database) -> None:
    run = begun(database, new_run(chain(2)))
    with database.write() as connection:
        for table in (tables.workflow_run, tables.job_run, tables.task_run, tables.task_io_data):
            connection.execute(table.delete())
    assert commit_one(database, run, done(0)).lost == {run.facts.run_id}
    for table in (tables.workflow_run, tables.job_run, tables.task_run, tables.task_io_data):
        assert count(database, table) == 0
    assert refreshed(database, run) is None
    assert stored.load_run(database, run.facts.run_id, lambda *_: run.plan) is None


def test_a_new_run_never_overwrites_one_that_is_there(database: Database) -> None:
    run = begun(database, new_run(chain(2)))
    commit_one(database, run, done(0))
    again = Run(run.facts, run.plan, run.input)
    with pytest.raises(sa.exc.IntegrityError):
        commit_one(database, again, Begin(now()))
    assert snapshot(loaded(database, run)) == snapshot(run)


def test_a_known_start_key_gives_the_run_it_started(database: Database) -> None:
    first, second = new_run(chain(1)), new_run(chain(1))
    stored.save_definition(database, first.plan.definition)
    assert stored.known_start(database, "k" * 64) is None
    key = StartKey("k" * 64, "body")
    assert commit_one(database, first, Begin(now()), start_key=key).known["k" * 64] == ("body", first.facts.run_id)
    outcome = commit_one(database, second, Begin(now()), start_key=StartKey("k" * 64, "other"))
    assert outcome.known == {"k" * 64: ("body", first.facts.run_id)}
    assert stored.known_start(database, "k" * 64) == ("body", first.facts.run_id)
    assert count(database, tables.workflow_run) == 1


def test_of_two_starts_with_one_key_in_one_commit_the_first_is_the_run(database: Database) -> None:
    writes = []
    for _ in range(2):
        write = decided(new_run(chain(1)), Begin(now()))
        write.start_key = StartKey("k" * 64, "body")
        writes.append(write)
    assert commit(database, writes).known == {"k" * 64: ("body", writes[0].run_id)}
    assert count(database, tables.workflow_run) == 1


def test_of_two_starts_with_one_key_at_once_only_one_is_committed(database: Database) -> None:
    """Both see no key; the second waits for the first one's row and then fails as a whole."""
    run, key = new_run(chain(1)), StartKey("k" * 64, "body")
    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            connection.execute(
                tables.start_key.insert().values(
                    start_key_id=key.start_key_id, body_hash="body", workflow_run_id="first", created_at=1
                )
            )
            racing = pool.submit(commit_one, database, run, Begin(now()), start_key=key)
        try:
            known = racing.result(30).known
        except sa.exc.IntegrityError:
            known = {key.start_key_id: ("body", "first")}
    assert known == {key.start_key_id: ("body", "first")}
    assert count(database, tables.workflow_run) == 0


def test_commits_of_the_same_runs_in_opposite_order_never_wait_in_a_circle(database: Database) -> None:
    width = 12
    runs = [begun(database, new_run(fan_out(width))) for _ in range(4)]
    together = threading.Barrier(2)

    def work(order: int) -> int:
        won = 0
        for index in range(width):
            together.wait(30)
            mine = [loaded(database, run) for run in runs[::order]]
            writes = [decided(run, done(index, order), database) for run in mine]
            writes = [write for write in writes if write.changes]
            won += len(writes) - len(commit(database, writes).lost)
        return won

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(work, (1, -1))) == width * len(runs)
    for run in runs:
        found = loaded(database, run)
        assert [each.state for each in found.tasks] == [TaskState.SUCCESS] * width + [TaskState.QUEUED]
        assert found.version == 1 + width


def test_an_empty_commit_writes_nothing(database: Database) -> None:
    assert commit(database, []) == Committed()


# --- loading ---------------------------------------------------------------------------------------------------------


def test_a_refreshed_copy_equals_a_loaded_one_and_keeps_the_outputs_it_held(database: Database) -> None:
    run = begun(database, new_run(fan_out(6)))
    commit_one(database, run, done(0, "kept"))
    old = loaded(database, run)
    old.hold(outputs={0: b'"kept"'}, inputs={1: run.inputs[1], 2: run.inputs[2]})
    for event in (Started(now(), 1, 1, "w", now()), done(2), done(3), Pause(now())):
        commit_one(database, run, event)
    newer = refreshed(database, old)
    assert newer is not None
    assert snapshot(newer) == snapshot(loaded(database, run))
    assert newer.outputs == {0: b'"kept"'}
    assert set(newer.inputs) == {1}


def test_a_refreshed_copy_reads_only_the_tasks_that_changed_since(database: Database) -> None:
    run = begun(database, new_run(fan_out(6)))
    old = loaded(database, run)
    commit_one(database, run, done(0))
    with database.write() as connection:  # what it must not read
        connection.execute(tables.task_run.update().where(tables.task_run.c.version == 1).values(worker="unread"))
    newer = refreshed(database, old)
    assert newer is not None
    assert {each.worker for each in newer.tasks} == {None}
    assert {each.worker for each in loaded(database, run).tasks[1:]} == {"unread", None}


def test_whole_runs_and_newer_parts_of_others_are_read_together(database: Database) -> None:
    runs = [begun(database, new_run(fan_out(4))) for _ in range(4)]
    known = [loaded(database, run) for run in runs[:2]]
    for run in runs:
        commit_one(database, run, done(0))
    since = {run.facts.run_id: run.version for run in known} | {run.facts.run_id: 0 for run in runs[2:]}
    found = stored.read_runs(database, since | {"nobody": 0})
    assert found.keys() == since.keys()
    # of those that were known the first task alone
    assert [len(found[run.facts.run_id].tasks) for run in runs] == [1, 1, 4, 4]
    for run, copy in zip(runs, [*known, None, None], strict=True):
        newer = stored.restored(database, found[run.facts.run_id], lambda *_: run.plan, copy)  # noqa: B023
        assert snapshot(newer) == snapshot(loaded(database, run))


def test_payloads_are_read_by_index_and_direction(database: Database) -> None:
    run = begun(database, new_run(chain(3), {"n": 41}))
    commit_one(database, run, done(0, {"n": 42}))
    assert stored.load_payloads(database, run, [0, 1, 2], "out", PAYLOADS) == {0: b'{"n":42}'}
    assert stored.load_payloads(database, run, [0, 1, 2], "in", PAYLOADS) == {0: b'{"n":41}', 1: b'{"n":42}'}


def test_a_definition_survives_whole_and_is_saved_once(database: Database) -> None:
    whole = Definition(
        ORGANIZATION, "w", 7, "이름",
        (
            JobSpec("j", (
                TaskSpec("a", "http", "A", "task-1", {"x": [1, None, "${{ run.input.n }}"]}, (), FailurePolicy.STOP,
                         Retry(3, Backoff.FIXED, 1.5, 9.0, 0.25), 12.5, "slow", 1),
                TaskSpec("b", "http", depends_on=("a",), concurrency_key="${{ run.input.n }}", concurrency_limit=4),
            ), "J", "job-1"),
            JobSpec("k", (), depends_on=("j",)),
        ),
        {"type": "object"}, 60.0, concurrency=Concurrency(3, Overflow.CANCEL),
    )  # fmt: skip
    stored.save_definition(database, whole)
    stored.save_definition(database, replace(whole, name="other"))
    assert stored.load_definition(database, "w", 7) == whole
    assert stored.load_definition(database, "w", 8) is None


def test_a_definition_kept_before_runs_shared_limits_is_still_read(database: Database) -> None:
    stored.save_definition(database, chain(1))
    with database.write() as connection:
        old = orjson.loads(connection.execute(sa.select(tables.definition.c.body)).scalar_one())
        del old["concurrency"], old["jobs"][0]["tasks"][0]["concurrency_key"]
        del old["jobs"][0]["tasks"][0]["concurrency_limit"]
        connection.execute(tables.definition.update().values(body=orjson.dumps(old).decode()))
    assert stored.load_definition(database, "chain", 1) == chain(1)


def test_of_replicas_that_save_one_version_at_once_all_succeed(database: Database) -> None:
    together = threading.Barrier(6)

    def save(_: int) -> None:
        together.wait(30)
        stored.save_definition(database, chain(3))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(save, range(6)))
    assert stored.load_definition(database, "chain", 1) == chain(3)


# --- what is due -----------------------------------------------------------------------------------------------------


def test_due_runs_come_longest_overdue_first_and_ended_ones_never(database: Database) -> None:
    runs = [begun(database, new_run(chain(1))) for _ in range(4)]
    commit_one(database, runs[0], done(0))
    at = {run.facts.run_id: run.next_due_at() for run in runs[1:]}
    late = max(each for each in at.values() if each is not None)
    assert stored.due_runs(database, late, 10) == sorted(at.items(), key=lambda each: each[1] or 0)
    assert len(stored.due_runs(database, late, 2)) == 2
    assert stored.due_runs(database, late - 10**7, 10) == []


def test_open_runs_are_paged_by_id(database: Database) -> None:
    runs = [begun(database, new_run(chain(1))) for _ in range(5)]
    commit_one(database, runs[1], done(0))
    ids = sorted(run.facts.run_id for run in runs if run is not runs[1])
    assert stored.open_runs(database, "", 3) == ids[:3]
    assert stored.open_runs(database, ids[2], 3) == ids[3:]


def test_numbers_taken_at_once_never_overlap(database: Database) -> None:
    together = threading.Barrier(6)

    def take(_: int) -> list[int]:
        together.wait(30)
        return [stored.take_numbers(database, "workflow", 5) for _ in range(5)]

    with ThreadPoolExecutor(6) as pool:
        firsts = sorted(first for taken in pool.map(take, range(6)) for first in taken)
    assert firsts == list(range(1, 151, 5))
    assert stored.take_numbers(database, "another", 1) == 1


def test_numbers_given_back_are_taken_next_unless_others_were_taken_since(database: Database) -> None:
    assert stored.take_numbers(database, "workflow", 20) == 1
    stored.return_numbers(database, "workflow", 4, 21)
    assert stored.take_numbers(database, "workflow", 20) == 4
    assert stored.take_numbers(database, "workflow", 20) == 24
    stored.return_numbers(database, "workflow", 6, 24)
    assert stored.take_numbers(database, "workflow", 1) == 44


def test_attempts_that_should_stop_are_named(database: Database) -> None:
    run = begun(database, new_run(workflow(job("main", *(task(f"t{i}", retry=Retry(2, delay_s=0)) for i in range(5))))))
    cancelling = begun(database, new_run(chain(2)))
    commit_one(database, cancelling, Started(now(), 0, 1, "w", now()))
    commit_one(database, cancelling, Cancel(now()))
    commit_one(database, run, Finished(now(), 1, 1, failure=Failure("broken")))
    commit_one(database, run, Finished(now(), 2, 1, failure=Failure("broken", retryable=True)))
    commit_one(database, run, Finished(now(), 3, 1, failure=Failure("broken", retryable=True)))
    commit_one(database, run, done(4))
    with database.write() as connection:
        again = tables.task_run.update().where(tables.task_run.c.task_run_id == run.task_run_id(2))
        connection.execute(again.values(state=TaskState.QUEUED, attempt=2))
    asked = [(run.facts.run_id, run.task_run_id(index), 1) for index in range(5)]
    asked += [(cancelling.facts.run_id, cancelling.task_run_id(0), 1), ("gone", "gone-0", 1)]
    stop = [(run.task_run_id(index), 1) for index in (1, 2, 3)] + [(cancelling.task_run_id(0), 1)]
    assert stored.cancelled_among(database, asked) == stop
    assert stored.cancelled_among(database, []) == []


def test_a_run_that_cannot_be_loaded_is_ended_with_all_that_is_open(database: Database) -> None:
    run = begun(database, new_run(chain(3)))
    commit_one(database, run, done(0, {"n": 1}))
    stored.fail_unreadable(database, run.facts.run_id, Failure("internal", "why"), now())
    found = loaded(database, run)
    assert (found.head.state, found.head.failure) == (RunState.FAILED, Failure("internal", "why"))
    assert [each.state for each in found.tasks] == ["SUCCESS", "CANCELLED", "PENDING"]
    assert found.version == run.version + 1
    assert stored.due_runs(database, 2**62, 10) == []
    stored.fail_unreadable(database, run.facts.run_id, Failure("internal", "again"), now())
    assert snapshot(loaded(database, run)) == snapshot(found)


# --- streams, log, outbox --------------------------------------------------------------------------------------------


def test_a_stream_is_new_until_it_was_noted_and_when_it_was_made_again(database: Database) -> None:
    assert stored.stream_is_new(database, {"TASKS": "t1", "EVENTS": "t1"}) == {"TASKS", "EVENTS"}
    stored.note_streams(database, {"TASKS": "t1", "EVENTS": "t1"})
    assert stored.stream_is_new(database, {"TASKS": "t1", "EVENTS": "t1"}) == set()
    assert stored.stream_is_new(database, {"TASKS": "t2", "EVENTS": "t1"}) == {"TASKS"}
    stored.note_streams(database, {"TASKS": "t2", "EVENTS": "t1"})
    assert stored.stream_is_new(database, {"TASKS": "t2"}) == set()


def test_replicas_may_note_streams_at_once(database: Database) -> None:
    together = threading.Barrier(4)

    def note(_: int) -> None:
        together.wait(30)
        stored.note_streams(database, {"TASKS": "t1", "EVENTS": "t1"})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(note, range(4)))
    assert stored.stream_is_new(database, {"TASKS": "t1", "EVENTS": "t1"}) == set()


def line(run_id: str, event: str, task_run_id: str = "run-0") -> dict[str, Any]:
    return {
        "workflow_run_id": run_id, "organization_id": ORGANIZATION, "task_run_id": task_run_id, "attempt": 1,
        "worker": "w", "at": 1_800_000_000_123_456, "level": "info", "event": event, "fields": '{"n":1}',
    }  # fmt: skip


def test_log_lines_come_back_in_order_page_by_page(database: Database) -> None:
    save_log(database, [])
    save_log(database, [line("run", f"e{i}", f"run-{i % 2}") for i in range(5)])
    save_log(database, [line("other", "not mine")])
    first, cursor = history.read_log(database, ORGANIZATION, "run", limit=3)
    assert [each["event"] for each in first] == ["e0", "e1", "e2"]
    assert first[0]["at"] == "2027-01-15T08:00:00.123Z"
    assert first[0]["fields"] == {"n": 1}
    rest, end = history.read_log(database, ORGANIZATION, "run", cursor=cursor, limit=3)
    assert [each["event"] for each in rest] == ["e3", "e4"]
    assert end is None
    own, _ = history.read_log(database, ORGANIZATION, "run", task_run_id="run-1")
    assert [each["event"] for each in own] == ["e1", "e3"]
    assert history.read_log(database, "org2", "run") == ([], None)
    with pytest.raises(Invalid):
        history.read_log(database, ORGANIZATION, "run", cursor="nonsense")


def test_lines_of_before_they_were_numbered_come_first_page_by_page(database: Database) -> None:
    with database.write() as connection:
        for number in range(3):
            connection.execute(
                tables.execution_log.insert().values(execution_log_id=f"old{number}", **line("run", f"old{number}"))
            )
    save_log(database, [line("run", f"new{number}") for number in range(3)])
    seen, cursor = history.read_log(database, ORGANIZATION, "run", limit=2)
    while cursor is not None:
        page, cursor = history.read_log(database, ORGANIZATION, "run", cursor=cursor, limit=2)
        seen += page
    assert [each["event"] for each in seen] == ["old0", "old1", "old2", "new0", "new1", "new2"]


def test_lines_are_numbered_within_their_run_in_the_order_of_the_commits(database: Database) -> None:
    def write(writer: int) -> None:
        for number in range(5):
            save_log(database, [line(run_id, f"{writer}.{number}.{i}") for run_id in ("b", "a") for i in range(2)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    for run_id in ("a", "b"):
        lines = read_lines(database, ORGANIZATION, run_id, 0, 1000)
        assert [position for position, _ in lines] == list(range(1, 41))
        # what one writer said stays in its order
        for writer in range(4):
            own = [each["event"] for _, each in lines if each["event"].startswith(f"{writer}.")]
            assert own == sorted(own)
        assert read_lines(database, ORGANIZATION, run_id, 38, 1) == lines[38:39]
    assert read_lines(database, "org2", "a", 0, 10) == []


def test_a_line_is_not_seen_before_those_with_smaller_numbers(empty_schema: Callable[[str], str]) -> None:
    """The first writer stands still before its commit; the second, whose lines are younger, waits for it."""
    slow, fast = Gated(empty_schema("mariadb")), Database(empty_schema("mariadb"))
    slow.gate.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(save_log, slow, [line("run", "early")])
        assert slow.waiting.wait(30)
        # another run's lines do not wait (once the second does, InnoDB's gap lock may make neighbours wait along)
        save_log(fast, [line("other", "free")])
        second = pool.submit(save_log, fast, [line("run", "late")])
        assert [position for position, _ in read_lines(fast, ORGANIZATION, "other", 0, 10)] == [1]
        assert read_lines(fast, ORGANIZATION, "run", 0, 10) == []
        assert not second.done()
        slow.gate.set()
        first.result(30)
        second.result(30)
    seen = read_lines(fast, ORGANIZATION, "run", 0, 10)
    assert [(position, each["event"]) for position, each in seen] == [(1, "early"), (2, "late")]
    slow.close()
    fast.close()


def test_domain_events_leave_the_outbox_in_order_and_return_when_their_stream_was_lost(database: Database) -> None:
    ids = [new_id() for _ in range(4)]
    for number, event_id in enumerate(ids):
        run = new_run(chain(1))
        commit_one(database, run, Begin(now()), events=[(event_id, "events.x", b'{"n":%d}' % number)])
    assert stored.unpublished(database, 2) == [(ids[0], "events.x", '{"n":0}'), (ids[1], "events.x", '{"n":1}')]
    stored.mark_published(database, ids[:3], 50)
    assert [each[0] for each in stored.unpublished(database, 10)] == ids[3:]
    stored.publish_again(database, 2**62)
    assert [each[0] for each in stored.unpublished(database, 10)] == ids[3:]
    stored.publish_again(database, 0)
    assert [each[0] for each in stored.unpublished(database, 10)] == ids
    stored.mark_published(database, ids[:3], 50)
    assert stored.drop_published(database, 50, 10) == 0
    assert stored.drop_published(database, 51, 2) == 2
    assert stored.drop_published(database, 51, 10) == 1
    assert stored.drop_published(database, 51, 10) == 0
    assert count(database, tables.outbox) == 1


# --- history ---------------------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_page_by_page_with_filters(database: Database) -> None:
    runs = [begun(database, new_run(chain(1))) for _ in range(5)]
    other = begun(database, new_run(replace(chain(1), workflow_id="other")))
    foreign = new_run(chain(1), organization_id="org2")
    begun(database, foreign)
    commit_one(database, runs[2], done(0))
    first, cursor = history.list_runs(database, ORGANIZATION, limit=4)
    rest, end = history.list_runs(database, ORGANIZATION, limit=4, cursor=cursor)
    ids = [run.facts.run_id for run in [other, *reversed(runs)]]
    assert [each["run_id"] for each in first + rest] == ids
    assert {each["workflow_name"] for each in first + rest} == {"Chain"}
    assert end is None
    of_other = history.list_runs(database, ORGANIZATION, RunFilter(workflow_id="other"))[0]
    assert [each["run_id"] for each in of_other] == ids[:1]
    [ended] = history.list_runs(database, ORGANIZATION, RunFilter(states=(RunState.SUCCESS,)))[0]
    assert ended["run_id"] == runs[2].facts.run_id
    assert history.list_runs(database, ORGANIZATION, RunFilter(trigger="schedule")) == ([], None)
    assert len(history.list_runs(database, "org2")[0]) == 1


def test_a_run_is_shown_with_what_has_not_happened_yet(database: Database) -> None:
    definition = workflow(job("one", task("a"), reads("b", "a")), job("two", task("c"), after=("one",)))
    run = begun(database, new_run(definition))
    commit_one(database, run, Finished(now(), 0, 1, failure=Failure("broken", "why"), worker="w"))
    shown = history.read_run(database, ORGANIZATION, run.facts.run_id, lambda *_: run.plan)
    assert shown["workflow_name"] == "Workflow"
    [one, two] = shown["jobs"]
    assert (one["state"], two["state"]) == ("FAILED", "RUNNING")
    assert one["tasks"][0]["error"] == {"code": "broken", "message": "why", "retryable": False}
    assert one["tasks"][0]["worker"] == "w"
    assert one["tasks"][1]["state"] == "UPSTREAM_FAILED"
    assert two["tasks"][0]["state"] == "QUEUED"
    assert history.read_state(database, ORGANIZATION, run.facts.run_id) == "RUNNING"
    for read in (history.read_state, lambda *said: history.read_run(*said, lambda *_: run.plan)):
        with pytest.raises(NotFound):
            read(database, "org2", run.facts.run_id)
        with pytest.raises(NotFound):
            read(database, ORGANIZATION, "nobody")


def test_a_task_runs_data_and_failed_attempts_are_shown(database: Database) -> None:
    run = begun(database, new_run(chain(2, retry=Retry(2, Backoff.FIXED, 0)), {"n": 1}))
    commit_one(database, run, Finished(now(), 0, 1, failure=Failure("broken", "first", True), worker="w1"))
    commit_one(database, run, Tick(now() + 10))
    commit_one(database, run, done(0, {"n": 2}, attempt=2))
    shown = history.read_io(database, ORGANIZATION, run.task_run_id(0))
    assert (shown["input"], shown["input_size"], shown["output"], shown["output_size"]) == ({"n": 1}, 7, {"n": 2}, 7)
    [attempt] = shown["failed_attempts"]
    assert (attempt["attempt"], attempt["worker"], attempt["error"]["message"]) == (1, "w1", "first")
    assert history.read_io(database, ORGANIZATION, run.task_run_id(1))["output"] is None
    with pytest.raises(NotFound):
        history.read_io(database, "org2", run.task_run_id(0))


def test_no_changes_are_no_write(database: Database) -> None:
    run = begun(database, new_run(chain(1)))
    assert not decided(run, Tick(now())).changes
    assert not Changes()
    assert orjson.loads(orjson.dumps(run.input)) == run.input
