"""The one primitive that commits state: `commit` writes many runs' decisions in one transaction (group commit).

Each run is guarded by its version. The versions are read and locked in order of their ids, who lost to another replica
is left out and reported, and the winners are written sorted by key: so two replicas never wait for each other in a
circle. No lock outlives the transaction. Statements are built once as text: this is the hottest path of the system.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
import sqlalchemy as sa

from execution_service.domain.run import RUN, Changes, Failure, JobRun, Run, TaskRun, TaskState
from execution_service.domain.waits import Kind
from execution_service.storage import tables
from execution_service.storage.plain import Statements, transaction
from kit.database import Database
from kit.payloads import Stored


@dataclass(slots=True)
class StartKey:
    """An idempotency key of a start: its hash with organisation and workflow, and the hash of what was asked."""

    start_key_id: str
    body_hash: str


@dataclass(slots=True)
class RunWrite:
    """One run's part of a commit: the run with the changes applied, and which rows they touched."""

    run: Run
    changes: Changes
    new: bool = False
    start_key: StartKey | None = None
    events: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Domain events for the outbox: id, subject, body."""
    purge_at: int | None = None
    """Until then an ended run is kept."""
    apart: dict[tuple[str, int], Stored] = field(default_factory=dict)
    """Payloads too large for a row, by direction and index."""

    @property
    def run_id(self) -> str:
        return self.run.facts.run_id


@dataclass(slots=True)
class Committed:
    """`lost`: ids of runs that another replica changed first, or that are gone; nothing of theirs was written.
    `known`: start keys that were taken already → (body hash, the run they started)."""

    lost: set[str] = field(default_factory=set)
    known: dict[str, tuple[str, str]] = field(default_factory=dict)


def commit(database: Database, writes: Sequence[RunWrite]) -> Committed:
    """Writes all that can be written, durably, or raises and has written nothing (or its answer was lost)."""
    with transaction(database) as connection:
        outcome = Committed()
        writes = _unknown_starts(connection, writes, outcome)
        winners = _lock_versions(connection, writes, outcome, lock=not database.sqlite)
        if winners:
            _write(connection, sorted(winners, key=lambda write: write.run_id), database.sqlite)
    return outcome


def _unknown_starts(connection: Statements, writes: Sequence[RunWrite], outcome: Committed) -> list[RunWrite]:
    keys = [write.start_key.start_key_id for write in writes if write.start_key]
    if keys:
        rows = connection.select_in(
            "SELECT start_key_id, body_hash, workflow_run_id FROM start_key WHERE start_key_id", keys
        )
        outcome.known = {row[0]: (row[1], row[2]) for row in rows}
    kept = []
    for write in writes:
        if write.start_key is not None:
            if write.start_key.start_key_id in outcome.known:
                continue
            # of two starts with one key in the same batch the first is the run
            outcome.known[write.start_key.start_key_id] = (write.start_key.body_hash, write.run_id)
        kept.append(write)
    return kept


def _lock_versions(
    connection: Statements, writes: Iterable[RunWrite], outcome: Committed, *, lock: bool
) -> list[RunWrite]:
    expected = {write.run_id: write.run.version for write in writes if not write.new}
    found: dict[str, int] = {}
    if expected:
        rows = connection.select_in(
            "SELECT workflow_run_id, version FROM workflow_run WHERE workflow_run_id",
            list(expected),
            "ORDER BY workflow_run_id FOR UPDATE" if lock else "ORDER BY workflow_run_id",
        )
        found = {row[0]: row[1] for row in rows}
    winners = []
    for write in writes:
        if write.new or found.get(write.run_id) == write.run.version:
            winners.append(write)
        else:
            outcome.lost.add(write.run_id)
    return winners


# --- the statements --------------------------------------------------------------------------------------------------


@lru_cache
def _insert(table: sa.Table, sqlite: bool) -> str:
    names = [column.name for column in table.columns]
    columns, marks = ", ".join(names), ", ".join("?" if sqlite else "%s" for _ in names)
    return f"INSERT INTO {table.name} ({columns}) VALUES ({marks})"  # noqa: S608  # names are our own tables'


@lru_cache
def _upsert(table: sa.Table, sqlite: bool, changing: tuple[str, ...] | None = None) -> str:
    """A multi-row upsert as text; `changing` are the columns an existing row takes over (all when None)."""
    names = [column.name for column in table.columns]
    [key] = [column.name for column in table.primary_key]
    taken = changing if changing is not None else tuple(name for name in names if name != key)
    insert = _insert(table, sqlite)
    if sqlite:
        sets = ", ".join(f"{name} = {_newer(name, f'excluded.{name}', 'MIN')}" for name in taken)
        return f"{insert} ON CONFLICT ({key}) DO UPDATE SET {sets}" if taken else f"{insert} ON CONFLICT DO NOTHING"
    sets = ", ".join(f"{name} = {_newer(name, f'VALUES({name})', 'LEAST')}" for name in taken or (key,))
    return f"{insert} ON DUPLICATE KEY UPDATE {sets}"


def _newer(name: str, value: str, least: str) -> str:
    """What becomes of an existing row's column: the new value, but of when the first task started the earlier one, and
    the sum of log lines."""
    if name == "log_lines":
        return f"{name} + {value}"
    if name != "first_task_at":
        return value
    # of tasks that run at once, who started first may end last
    return f"{least}(COALESCE({name}, {value}), COALESCE({value}, {name}))"


_RUN_CHANGING = (
    "state", "version", "started_at", "finished_at", "clock", "cancel_due", "next_due_at", "failure", "first_task_at",
    "duration", "purge_at", "log_lines",
)  # fmt: skip
_JOB_CHANGING = ("state", "started_at", "finished_at")
_TASK_CHANGING = (
    "state", "attempt", "delivery", "worker", "queued_at", "started_at", "finished_at", "due_at", "failure", "version",
    "item_count",
)  # fmt: skip
_IO_CHANGING = ("body", "size", "reference")


def _write(connection: Statements, writes: Sequence[RunWrite], sqlite: bool) -> None:
    def send(table: sa.Table, rows: list[tuple[Any, ...]], changing: tuple[str, ...] | None) -> None:
        if rows:
            connection.exec_driver_sql(_upsert(table, sqlite, changing), rows)

    def make(table: sa.Table, rows: list[tuple[Any, ...]]) -> None:
        # what must not be there yet: the whole transaction fails when it is, and all of it is decided again
        if rows:
            connection.exec_driver_sql(_insert(table, sqlite), rows)

    make(tables.workflow_run, [_run_row(write) for write in writes if write.new])
    send(tables.workflow_run, [_run_row(write) for write in writes if not write.new], _RUN_CHANGING)
    send(tables.job_run, [row for write in writes for row in _job_rows(write)], _JOB_CHANGING)
    send(tables.task_run, [row for write in writes for row in _task_rows(write)], _TASK_CHANGING)
    send(tables.task_io_data, [row for write in writes for row in _io_rows(write)], _IO_CHANGING)
    send(tables.task_attempt, [row for write in writes for row in _attempt_rows(write)], ())
    over = [(task_run_id,) for write in writes for task_run_id in _waits_over(write)]
    if over:
        connection.exec_driver_sql(f"DELETE FROM task_wait WHERE task_wait_id = {'?' if sqlite else '%s'}", over)  # noqa: S608
    send(tables.task_wait, [row for write in writes for row in _wait_rows(write)], None)
    if any(write.changes.claims for write in writes):
        _write_claims(connection, writes, sqlite)
    keyed = [(write, write.start_key) for write in writes if write.start_key is not None]
    make(
        tables.start_key,
        [(key.start_key_id, key.body_hash, write.run_id, write.run.facts.created_at) for write, key in keyed],
    )
    send(
        tables.outbox,
        [
            (event_id, subject, body.decode(), write.run.head.clock, None)
            for write in writes
            for event_id, subject, body in write.events
        ],
        (),
    )


def _run_row(write: RunWrite) -> tuple[Any, ...]:
    run, head = write.run, write.run.head
    facts, definition = run.facts, run.plan.definition
    return (
        facts.run_id, facts.organization_id, definition.workflow_id, definition.version, definition.name, facts.number,
        head.state, facts.trigger, facts.cause, facts.trace_id, facts.rerun_of, facts.parent,
        facts.depth,
        # an existing row keeps its input: it is not sent again
        orjson.dumps(run.input).decode() if write.new else "",
        run.version + 1, facts.created_at, head.started_at, head.finished_at, head.clock, head.deadline,
        head.cancel_due, run.next_due_at(), _failure(head.failure), _first_start(write),
        None if head.finished_at is None else head.finished_at - (head.started_at or facts.created_at), write.purge_at,
        write.changes.log_lines,
    )  # fmt: skip


def _first_start(write: RunWrite) -> int | None:
    """When the first of the changed tasks started."""
    run = write.run
    return min((at for position in write.changes.tasks if (at := run.task(position).started_at)), default=None)


def _job_rows(write: RunWrite) -> Iterable[tuple[Any, ...]]:
    facts = write.run.facts
    for position in sorted(write.changes.recorded_jobs):
        job: JobRun = write.run.jobs[position]
        yield (
            f"{facts.run_id}-j{position}", facts.run_id, facts.organization_id, position, job.state, job.started_at,
            job.finished_at,
        )  # fmt: skip


def _task_rows(write: RunWrite) -> Iterable[tuple[Any, ...]]:
    run, facts = write.run, write.run.facts
    for position in sorted(write.changes.tasks):
        task: TaskRun = run.task(position)
        spec = run.plan.step(position).spec
        yield (
            run.task_run_id(position), facts.run_id, facts.organization_id, position, spec.key, spec.type, task.state,
            task.attempt, task.delivery, task.worker, task.queued_at, task.started_at, task.finished_at, task.due_at,
            _failure(task.failure), run.version + 1, task.items,
        )  # fmt: skip


def _io_rows(write: RunWrite) -> Iterable[tuple[Any, ...]]:
    run, facts = write.run, write.run.facts
    for direction, bodies in (("in", write.changes.inputs), ("out", write.changes.outputs)):
        for position in sorted(bodies):
            if (direction, position) not in write.apart:
                task_run_id, body = run.task_run_id(position), bodies[position]
                yield (
                    f"{task_run_id}.{direction}", task_run_id, facts.run_id, facts.organization_id, direction,
                    body.decode(), len(body), None,
                )  # fmt: skip
    for (direction, position), kept in sorted(write.apart.items()):
        task_run_id = run.task_run_id(position)
        yield (
            f"{task_run_id}.{direction}", task_run_id, facts.run_id, facts.organization_id, direction,
            "", kept.size, kept.reference,
        )  # fmt: skip


def _attempt_rows(write: RunWrite) -> Iterable[tuple[Any, ...]]:
    run, facts = write.run, write.run.facts
    for position, task in write.changes.attempts:
        task_run_id = run.task_run_id(position)
        yield (
            f"{task_run_id}.{task.attempt}", task_run_id, facts.run_id, facts.organization_id, task.attempt,
            task.worker, task.queued_at, task.started_at, task.finished_at, _failure(task.failure),
        )  # fmt: skip


def _changed_waits(write: RunWrite) -> Iterable[tuple[int, Kind, TaskRun]]:
    """The changed tasks that wait, or did, for something that must be found: all of the engine's own but times."""
    for position in sorted(write.changes.tasks):
        kind = write.run.plan.step(position).kind
        if kind is not None and kind is not Kind.TIME:
            yield position, kind, write.run.task(position)


def _waits_over(write: RunWrite) -> Iterable[str]:
    for position, _, task in _changed_waits(write):
        if task.state is not TaskState.WAITING:
            yield write.run.task_run_id(position)


def _wait_rows(write: RunWrite) -> Iterable[tuple[Any, ...]]:
    run, facts = write.run, write.run.facts
    for position, kind, task in _changed_waits(write):
        if task.state is TaskState.WAITING and position in write.changes.inputs:
            body = write.changes.inputs[position]
            said = orjson.loads(body)
            name = str(said.get("event" if kind is Kind.EVENT else "workflow_id", ""))
            task_run_id = run.task_run_id(position)
            yield (
                task_run_id, f"{task_run_id}.{task.attempt}", facts.run_id, facts.organization_id, kind, name,
                body.decode(), facts.created_at, task.started_at,
            )  # fmt: skip


def _write_claims(connection: Statements, writes: Sequence[RunWrite], sqlite: bool) -> None:
    """Who gives places back, wants some, or knows of those it was granted; who gets one is decided elsewhere."""
    mark = "?" if sqlite else "%s"
    over: list[tuple[Any, ...]] = []
    taken: list[tuple[Any, ...]] = []
    wanted: list[tuple[Any, ...]] = []
    for write in writes:
        facts = write.run.facts
        for position, claim in sorted(write.changes.claims.items()):
            owner = facts.run_id if position == RUN else write.run.task_run_id(position)
            if claim.taken:
                taken.append((owner,))
            elif not claim.slots:
                over.append((owner,))
            for slot in claim.slots:
                scope_id = hashlib.sha256(slot.scope.encode()).hexdigest()
                wanted.append(
                    (
                        f"{owner}.{scope_id}", owner, scope_id, slot.scope, facts.run_id, facts.organization_id,
                        claim.attempt, "waiting", slot.limit, slot.overflow, claim.priority, write.run.head.clock,
                    )
                )  # fmt: skip
    if over:
        connection.exec_driver_sql(f"DELETE FROM scope_place WHERE owner = {mark}", over)  # noqa: S608
    if taken:
        connection.exec_driver_sql(f"UPDATE scope_place SET state = 'taken' WHERE owner = {mark}", taken)  # noqa: S608
    if wanted:
        connection.exec_driver_sql(_upsert(tables.scope_place, sqlite), wanted)


def _failure(failure: Failure | None) -> str | None:
    return None if failure is None else orjson.dumps(failure.to_json()).decode()
