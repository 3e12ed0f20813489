"""A run as the engine loads it, and the small tables around it: definitions, numbers, what is due, what died."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import sqlalchemy as sa

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
from execution_service.domain.plan import STRIDE, Plan
from execution_service.domain.run import (
    RUN,
    Failure,
    JobRun,
    JobState,
    Run,
    RunFacts,
    RunHead,
    RunState,
    TaskRun,
    TaskState,
    restore,
)
from execution_service.storage import tables
from kit.database import Database, to_micros, utc_now
from kit.ids import new_id
from kit.payloads import PayloadStore, Stored

PlanOf = Callable[[str, int], Plan]
"""The plan of a workflow's version."""


@dataclass(frozen=True, slots=True)
class RunRows:
    """A run's rows but for its payloads and its places. `tasks`: those that changed since the version asked for."""

    run: sa.Row[Any]
    tasks: list[sa.Row[Any]] = field(default_factory=list)
    jobs: list[sa.Row[Any]] = field(default_factory=list)


def read_runs(database: Database, since: Mapping[str, int]) -> dict[str, RunRows]:
    """Runs' rows by id, in three queries however many they are; who does not exist is left out.

    `since`: of each run the version up to which its tasks are known; 0 when none are.
    """
    run, task, job = tables.workflow_run, tables.task_run, tables.job_run
    with database.read() as connection:
        rows = connection.execute(sa.select(run).where(run.c.workflow_run_id.in_(list(since))))
        found = {row.workflow_run_id: RunRows(row) for row in rows}
        if found:
            unknown = [run_id for run_id in found if not since[run_id]]
            changed = [
                sa.and_(task.c.workflow_run_id == run_id, task.c.version > since[run_id])
                for run_id in found
                if since[run_id]
            ]
            wanted = [task.c.workflow_run_id.in_(unknown)] if unknown else []
            for row in connection.execute(sa.select(task).where(sa.or_(*wanted, *changed))):
                found[row.workflow_run_id].tasks.append(row)
            for row in connection.execute(sa.select(job).where(job.c.workflow_run_id.in_(list(found)))):
                found[row.workflow_run_id].jobs.append(row)
    return found


def load_run(database: Database, run_id: str, plan_of: PlanOf) -> Run | None:
    """The run as the database has it; None when there is none."""
    rows = read_runs(database, {run_id: 0}).get(run_id)
    return None if rows is None else restored(database, rows, plan_of)


def restored(database: Database, rows: RunRows, plan_of: PlanOf, known: Run | None = None) -> Run:
    """The run that these rows are. `known`: an older copy, of the version since which they were read; outputs that it
    has loaded stay loaded, for a recorded output never changes."""
    row = rows.run
    run = _unopened(row, plan_of) if known is None else Run(known.facts, known.plan, known.input)
    tasks = {}
    if known is not None:
        tasks = {index: task for index, task in known.everything() if task.state is not TaskState.PENDING}
    tasks |= {task.position: _task(task) for task in rows.tasks}
    head = RunHead(
        RunState(row.state), row.clock, row.deadline,
        open_jobs=0, started_at=row.started_at, finished_at=row.finished_at, cancel_due=row.cancel_due,
        failure=_failure(row.failure),
    )  # fmt: skip
    held_back = _held_back(database, row.workflow_run_id) if run.plan.limited else ()
    restore(run, head, tasks, {job.position: _job(job) for job in rows.jobs}, held_back)
    run.version = row.version
    if known is not None:
        run.hold(
            inputs={i: body for i, body in known.inputs.items() if not run.task(i).state.terminal},
            outputs={i: body for i, body in known.outputs.items() if _still_read(run, i)},
        )
    return run


def _unopened(row: Any, plan_of: PlanOf) -> Run:
    """The run as it was accepted."""
    facts = RunFacts(
        row.workflow_run_id, row.organization_id, row.number, row.trigger_kind, row.cause, row.trace_id, row.created_at,
        row.rerun_of, row.parent, row.depth,
    )  # fmt: skip
    return Run(facts, plan_of(row.workflow_id, row.workflow_version), orjson.loads(row.input))


def _held_back(database: Database, run_id: str) -> list[int]:
    """Who of a run waits for a place: its tasks by index, RUN for itself."""
    places = tables.scope_place.c
    with database.read() as connection:
        owners = connection.execute(
            sa.select(places.owner).where(places.workflow_run_id == run_id, places.state != "taken")
        ).scalars()
        return [RUN if owner == run_id else int(owner.rpartition("-")[2]) for owner in owners]


def _still_read(run: Run, index: int) -> bool:
    """Whether a decision may look at this output: once its list is joined, an item's is not looked at any more."""
    return run.task(index).state is TaskState.SUCCESS and (index < STRIDE or index % STRIDE in run.groups)


def find_payloads(database: Database, run: Run, positions: Sequence[int], direction: str) -> dict[int, bytes | Stored]:
    """Inputs (`in`) or outputs (`out`) of a run's tasks by index, as JSON or where that is kept; what is not recorded
    is left out."""
    return {index: body for _, index, body in find_payloads_of(database, [(run, at) for at in positions], direction)}


def find_payloads_of(
    database: Database, wanted: Iterable[tuple[Run, int]], direction: str
) -> list[tuple[Run, int, bytes | Stored]]:
    """The same of tasks of many runs, in one query."""
    names = {f"{run.task_run_id(index)}.{direction}": (run, index) for run, index in wanted}
    table = tables.task_io_data.c
    query = sa.select(table.task_io_data_id, table.body, table.size, table.reference)
    with database.read() as connection:
        rows = connection.execute(query.where(table.task_io_data_id.in_(list(names)))).all()
    return [
        (*names[row.task_io_data_id], row.body.encode() if row.reference is None else Stored(row.reference, row.size))
        for row in rows
    ]


def load_payloads(
    database: Database, run: Run, positions: Sequence[int], direction: str, payloads: PayloadStore
) -> dict[int, bytes]:
    """The same, wherever they are kept. Raises PayloadMissing, OSError."""
    found = find_payloads(database, run, positions, direction)
    return {
        index: payloads.get(payload.reference) if isinstance(payload, Stored) else payload
        for index, payload in found.items()
    }


def due_runs(database: Database, now: int, limit: int) -> list[tuple[str, int]]:
    """Runs that time changes: (id, when), the longest overdue first."""
    table = tables.workflow_run.c
    with database.read() as connection:
        rows = connection.execute(
            sa.select(table.workflow_run_id, table.next_due_at)
            .where(table.next_due_at <= now)
            .order_by(table.next_due_at)
            .limit(limit)
        ).all()
    return [(row[0], row[1]) for row in rows]


def open_runs(database: Database, after: str, limit: int) -> list[str]:
    """Ids of runs that are not terminal, in order, after `after`: all have a next due time."""
    table = tables.workflow_run.c
    with database.read() as connection:
        return list(
            connection.execute(
                sa.select(table.workflow_run_id)
                .where(table.next_due_at.is_not(None), table.workflow_run_id > after)
                .order_by(table.workflow_run_id)
                .limit(limit)
            ).scalars()
        )


def ancestors(database: Database, wait_key: str) -> set[str]:
    """The workflows of the run that waits under this key (`<task run>.<attempt>`), of the one that waits for that, …"""
    runs, found = tables.workflow_run.c, set()
    with database.read() as connection:
        parent: str | None = wait_key
        while parent is not None:
            run_id = parent.rpartition(".")[0].rpartition("-")[0]
            query = sa.select(runs.workflow_id, runs.parent).where(runs.workflow_run_id == run_id)
            row = connection.execute(query).one_or_none()
            parent = row.parent if row else None
            found |= {row.workflow_id} if row else set()
    return found


def take_numbers(database: Database, workflow_id: str, count: int) -> int:
    """The first of `count` run numbers of a workflow that are this replica's from now on. Gaps are allowed."""
    table = tables.run_counter

    def take(connection: sa.Connection) -> int:
        query = sa.select(table.c.next_number).where(table.c.workflow_id == workflow_id).with_for_update()
        first = connection.execute(query).scalar()
        if first is None:
            connection.execute(table.insert().values(workflow_id=workflow_id, next_number=1 + count))
            return 1
        connection.execute(table.update().where(table.c.workflow_id == workflow_id).values(next_number=first + count))
        return int(first)

    try:
        return database.transact(take)
    except sa.exc.IntegrityError:  # another replica made the row first
        return database.transact(take)


def return_numbers(database: Database, workflow_id: str, first: int, end: int) -> None:
    """Gives back the numbers from `first` up to `end`, unless others were taken since."""
    table = tables.run_counter
    if first < end:
        with database.write() as connection:
            connection.execute(
                table.update()
                .where(table.c.workflow_id == workflow_id, table.c.next_number == end)
                .values(next_number=first)
            )


def save_definition(database: Database, definition: Definition) -> None:
    """Keeps an immutable version, so that its runs need no other service. Saving it again changes nothing."""
    name, table = f"{definition.workflow_id}.{definition.version}", tables.definition

    def save(connection: sa.Connection) -> None:
        found = connection.execute(sa.select(table.c.definition_id).where(table.c.definition_id == name))
        if found.scalar() is None:
            body = orjson.dumps(definition).decode()
            connection.execute(
                table.insert().values(definition_id=name, organization_id=definition.organization_id, body=body)
            )

    try:
        database.transact(save)
    except sa.exc.IntegrityError:
        pass  # another replica saved the same version


def load_definition(database: Database, workflow_id: str, version: int) -> Definition | None:
    """A version that some run here has; None when none has."""
    name = f"{workflow_id}.{version}"
    with database.read() as connection:
        query = sa.select(tables.definition.c.body).where(tables.definition.c.definition_id == name)
        body = connection.execute(query).scalar()
    return None if body is None else _definition(orjson.loads(body))


def _definition(value: dict[str, Any]) -> Definition:
    jobs = [
        JobSpec(**{**job, "tasks": tuple(map(_task_spec, job["tasks"])), "depends_on": tuple(job["depends_on"])})
        for job in value["jobs"]
    ]
    limit = value.get("concurrency")
    concurrency = Concurrency(limit["limit"], Overflow(limit["overflow"])) if limit else None
    return Definition(**{**value, "jobs": tuple(jobs), "concurrency": concurrency})


def _task_spec(value: dict[str, Any]) -> TaskSpec:
    retry = Retry(**{**value["retry"], "backoff": Backoff(value["retry"]["backoff"])})
    return TaskSpec(
        **{
            **value,
            "retry": retry,
            "failure_policy": FailurePolicy(value["failure_policy"]),
            "depends_on": tuple(value["depends_on"]),
        }
    )


def bury(database: Database, run_id: str, event: str, error: str) -> None:
    """Sets aside an event that made the engine fail, for people to look at."""
    with database.write() as connection:
        connection.execute(
            tables.dead_event.insert().values(
                dead_event_id=new_id(), workflow_run_id=run_id, event=event, error=error, at=to_micros(utc_now())
            )
        )


def fail_unreadable(database: Database, run_id: str, failure: Failure, now: int) -> None:
    """Ends a run that cannot even be loaded, past the aggregate: else it would be due for ever."""
    runs, jobs, tasks = tables.workflow_run, tables.job_run, tables.task_run
    ended: dict[str, Any] = {"state": RunState.FAILED, "finished_at": now, "cancel_due": None, "next_due_at": None}
    ended["duration"] = now - sa.func.coalesce(runs.c.started_at, runs.c.created_at)
    text = orjson.dumps(failure.to_json()).decode()
    open_states = [state for state in TaskState if not state.terminal]

    def end(connection: sa.Connection) -> None:
        open_run = connection.execute(
            runs.update()
            .where(runs.c.workflow_run_id == run_id, runs.c.next_due_at.is_not(None))
            .values(**ended, failure=text, version=runs.c.version + 1)
        )
        if open_run.rowcount:
            cancelled = {"state": TaskState.CANCELLED, "finished_at": now}
            version = sa.select(runs.c.version).where(runs.c.workflow_run_id == run_id).scalar_subquery()
            connection.execute(
                tasks.update()
                .where(tasks.c.workflow_run_id == run_id, tasks.c.state.in_(open_states))
                .values(**cancelled, due_at=None, failure=text, version=version)
            )
            places = tables.scope_place
            connection.execute(places.delete().where(places.c.workflow_run_id == run_id))
            connection.execute(
                jobs.update()
                .where(jobs.c.workflow_run_id == run_id, jobs.c.state.in_([JobState.PENDING, JobState.RUNNING]))
                .values(**cancelled)
            )

    database.transact(end)


def known_start(database: Database, start_key_id: str) -> tuple[str, str] | None:
    """(body hash, run id) of a start key that was used before."""
    table = tables.start_key.c
    with database.read() as connection:
        row = connection.execute(
            sa.select(table.body_hash, table.workflow_run_id).where(table.start_key_id == start_key_id)
        ).one_or_none()
    return None if row is None else (row[0], row[1])


def cancelled_among(database: Database, tasks: Iterable[tuple[str, str, int]]) -> list[tuple[str, int]]:
    """Of the attempts (run, task run, attempt) that a worker says it runs, those that should stop."""
    asked = list(tasks)
    runs, rows = sorted({run_id for run_id, _, _ in asked}), tables.task_run.c
    with database.read() as connection:
        states = {
            row.workflow_run_id: row.state
            for row in connection.execute(
                sa.select(tables.workflow_run.c.workflow_run_id, tables.workflow_run.c.state).where(
                    tables.workflow_run.c.workflow_run_id.in_(runs)
                )
            )
        }
        current = {
            row.task_run_id: (row.state, row.attempt)
            for row in connection.execute(
                sa.select(rows.task_run_id, rows.state, rows.attempt).where(
                    rows.task_run_id.in_([task_run_id for _, task_run_id, _ in asked])
                )
            )
        }
    stop = []
    for run_id, task_run_id, attempt in asked:
        state, now_at = current.get(task_run_id, ("", 0))
        over = state in (TaskState.CANCELLED, TaskState.FAILED, TaskState.RETRY_WAIT) or now_at > attempt
        if over or states.get(run_id) == RunState.CANCELLING:
            stop.append((task_run_id, attempt))
    return stop


# --- the broker's streams, the outbox --------------------------------------------------------------------------


def stream_is_new(database: Database, created: dict[str, str]) -> set[str]:
    """Of the streams (name → creation time), those that are not the ones last seen: the broker forgot their content."""
    table = tables.stream_seen.c
    with database.read() as connection:
        seen = {row.name: row.created for row in connection.execute(sa.select(table.name, table.created))}
    return {name for name, moment in created.items() if seen.get(name) != moment}


def note_streams(database: Database, created: dict[str, str]) -> None:
    """These are the streams now."""
    table = tables.stream_seen

    def note(connection: sa.Connection) -> None:
        connection.execute(table.delete().where(table.c.name.in_(list(created))))
        connection.execute(table.insert(), [{"name": name, "created": moment} for name, moment in created.items()])

    try:
        database.transact(note)
    except sa.exc.IntegrityError:
        database.transact(note)  # another replica noted them at the same moment


def unpublished(database: Database, limit: int) -> list[tuple[str, str, str]]:
    """Domain events not published yet, oldest first: (id, subject, body)."""
    table = tables.outbox.c
    with database.read() as connection:
        rows = connection.execute(
            sa.select(table.outbox_id, table.subject, table.body)
            .where(table.published_at.is_(None))
            .order_by(table.outbox_id)
            .limit(limit)
        ).all()
    return [(row[0], row[1], row[2]) for row in rows]


def mark_published(database: Database, ids: Sequence[str], now: int) -> None:
    with database.write() as connection:
        connection.execute(tables.outbox.update().where(tables.outbox.c.outbox_id.in_(ids)).values(published_at=now))


def publish_again(database: Database, since: int) -> None:
    """Domain events since then count as unpublished: their stream was made anew. Consumers know them by id."""
    with database.write() as connection:
        connection.execute(tables.outbox.update().where(tables.outbox.c.created_at >= since).values(published_at=None))


def drop_published(database: Database, before: int, limit: int) -> int:
    """Removes events published before then; how many."""
    table = tables.outbox
    with database.write() as connection:
        ids = list(
            connection.execute(
                sa.select(table.c.outbox_id)
                .where(table.c.published_at < before)
                .order_by(table.c.published_at)
                .limit(limit)
            ).scalars()
        )
        if ids:
            connection.execute(table.delete().where(table.c.outbox_id.in_(ids)))
    return len(ids)


def _task(row: Any) -> TaskRun:
    return TaskRun(
        TaskState(row.state), row.attempt, row.queued_at, row.started_at, row.finished_at, row.due_at, row.delivery,
        row.worker, _failure(row.failure), row.item_count,
    )  # fmt: skip


def _job(row: Any) -> JobRun:
    return JobRun(JobState(row.state), 0, 0, row.started_at, row.finished_at)


def _failure(text: str | None) -> Failure | None:
    return None if text is None else Failure(**orjson.loads(text))
