"""What waiting tasks wait for: events that came, and the runs that are other runs' children."""

from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from execution_service.domain.run import TERMINAL_RUN, RunState
from execution_service.domain.waits import Kind
from execution_service.storage import tables
from kit.database import Database


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that waits. `wait_key` is `<task run>.<attempt>`, `body` its resolved parameters; `depth` its run's, and
    `paused` whether that is."""

    task_run_id: str
    wait_key: str
    run_id: str
    organization_id: str
    name: str
    body: dict[str, Any]
    since: int
    depth: int = 0
    trace_id: str = ""
    paused: bool = False

    @property
    def attempt(self) -> int:
        return int(self.wait_key.rpartition(".")[2])


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """`body`: its data, JSON; `at`: microseconds."""

    event_id: str
    name: str
    data: Any
    at: int


_wait, _run, _event = tables.task_wait.c, tables.workflow_run.c, tables.received_event.c
_child = tables.workflow_run.alias("child")
_COLUMNS = (
    _wait.task_wait_id, _wait.wait_key, _wait.workflow_run_id, _wait.organization_id, _wait.name, _wait.body,
    _wait.since, _run.depth, _run.trace_id, _run.state,
)  # fmt: skip


def _waiting(row: Any) -> Waiting:
    return Waiting(
        row.task_wait_id, row.wait_key, row.workflow_run_id, row.organization_id, row.name, orjson.loads(row.body),
        row.since, row.depth, row.trace_id, row.state == RunState.PAUSED,
    )  # fmt: skip


def _with_runs() -> Any:
    return sa.select(*_COLUMNS).join(tables.workflow_run, _run.workflow_run_id == _wait.workflow_run_id)


def read_wait(database: Database, task_run_id: str) -> Waiting | None:
    """What a task waits for now; None when it does not."""
    with database.read() as connection:
        row = connection.execute(_with_runs().where(_wait.task_wait_id == task_run_id)).one_or_none()
    return None if row is None else _waiting(row)


# --- events ----------------------------------------------------------------------------------------------------------


def save_event(database: Database, organization_id: str, event: ReceivedEvent) -> bool:
    """Records an event; False when one of its id was recorded before."""
    row = {
        "received_event_id": event.event_id,
        "organization_id": organization_id,
        "name": event.name,
        "body": orjson.dumps(event.data).decode(),
        "received_at": event.at,
    }
    try:
        with database.write() as connection:
            connection.execute(tables.received_event.insert().values(**row))
    except sa.exc.IntegrityError:
        return False
    return True


def read_event(database: Database, organization_id: str, event_id: str) -> ReceivedEvent | None:
    query = sa.select(_event.received_event_id, _event.name, _event.body, _event.received_at).where(
        _event.received_event_id == event_id, _event.organization_id == organization_id
    )
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else _received(row)


def waits_for_event(
    database: Database, organization_id: str, name: str, at: int, after: str, limit: int
) -> list[Waiting]:
    """Tasks that an event of this name at that time may be for, by id, after `after`."""
    query = _with_runs().where(
        _wait.organization_id == organization_id,
        _wait.kind == Kind.EVENT,
        _wait.name == name,
        _wait.since <= at,
        _wait.task_wait_id > after,
    )
    with database.read() as connection:
        return [_waiting(row) for row in connection.execute(query.order_by(_wait.task_wait_id).limit(limit))]


def events_for(database: Database, wait: Waiting, after: tuple[int, str], limit: int) -> list[ReceivedEvent]:
    """Events of a wait's name since its run began, oldest first, after that (time, id)."""
    at, event_id = after
    query = (
        sa.select(_event.received_event_id, _event.name, _event.body, _event.received_at)
        .where(
            _event.organization_id == wait.organization_id,
            _event.name == wait.name,
            _event.received_at >= max(wait.since, at),
            sa.or_(_event.received_at > at, _event.received_event_id > event_id),
        )
        .order_by(_event.received_at, _event.received_event_id)
        .limit(limit)
    )
    with database.read() as connection:
        return [_received(row) for row in connection.execute(query)]


def _received(row: Any) -> ReceivedEvent:
    return ReceivedEvent(row.received_event_id, row.name, orjson.loads(row.body), row.received_at)


def recent_event_waits(database: Database, since: int, after: str, limit: int) -> list[Waiting]:
    """Tasks that began to wait for an event since then, by id, after `after`."""
    query = _with_runs().where(_wait.kind == Kind.EVENT, _wait.waiting_since >= since, _wait.task_wait_id > after)
    with database.read() as connection:
        return [_waiting(row) for row in connection.execute(query.order_by(_wait.task_wait_id).limit(limit))]


def recent_events(
    database: Database, since: int, after: tuple[int, str], limit: int
) -> list[tuple[str, ReceivedEvent]]:
    """(organisation, event) of those that came since then, oldest first, after that (time, id)."""
    at, event_id = after
    query = (
        sa.select(_event.organization_id, _event.received_event_id, _event.name, _event.body, _event.received_at)
        .where(
            _event.received_at >= max(since, at),
            sa.or_(_event.received_at > at, _event.received_event_id > event_id),
        )
        .order_by(_event.received_at, _event.received_event_id)
        .limit(limit)
    )
    with database.read() as connection:
        return [(row.organization_id, _received(row)) for row in connection.execute(query)]


def drop_events(database: Database, before: int, limit: int) -> int:
    """Removes events that came before then; how many."""
    with database.write() as connection:
        query = sa.select(_event.received_event_id).where(_event.received_at < before)
        ids = list(connection.execute(query.order_by(_event.received_at).limit(limit)).scalars())
        if ids:
            connection.execute(tables.received_event.delete().where(_event.received_event_id.in_(ids)))
    return len(ids)


# --- children --------------------------------------------------------------------------------------------------------


def childless(database: Database, before: int, limit: int) -> list[Waiting]:
    """Tasks that wait since before then for a run that was never started."""
    query = (
        _with_runs()
        .outerjoin(_child, _child.c.parent == _wait.wait_key)
        .where(_wait.kind == Kind.CHILD, _wait.waiting_since < before, _child.c.workflow_run_id.is_(None))
        .where(_run.state != RunState.PAUSED)
        .order_by(_wait.task_wait_id)
        .limit(limit)
    )
    with database.read() as connection:
        return [_waiting(row) for row in connection.execute(query)]


def ended_children(database: Database, limit: int) -> list[str]:
    """Ids of runs that have ended while a task still waits for them."""
    child = tables.workflow_run
    query = (
        sa.select(child.c.workflow_run_id)
        .join(tables.task_wait, _wait.wait_key == child.c.parent)
        .where(_wait.kind == Kind.CHILD, child.c.state.in_(sorted(TERMINAL_RUN)))
        .limit(limit)
    )
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def orphans(database: Database, limit: int) -> list[tuple[str, str]]:
    """(organisation, id) of open runs that no task waits for any more."""
    query = (
        sa.select(_run.organization_id, _run.workflow_run_id)
        .outerjoin(tables.task_wait, _wait.wait_key == _run.parent)
        .where(_run.next_due_at.is_not(None), _run.parent.is_not(None), _wait.task_wait_id.is_(None))
        .limit(limit)
    )
    with database.read() as connection:
        return [(row[0], row[1]) for row in connection.execute(query)]


def unpaused_children(database: Database, limit: int) -> list[tuple[str, str]]:
    """(organisation, id) of runs that go on though the run that waits for them is paused."""
    query = (
        sa.select(_child.c.organization_id, _child.c.workflow_run_id)
        .join(tables.task_wait, _wait.wait_key == _child.c.parent)
        .join(tables.workflow_run, _run.workflow_run_id == _wait.workflow_run_id)
        .where(_wait.kind == Kind.CHILD, _run.state == RunState.PAUSED, _child.c.state == RunState.RUNNING)
        .limit(limit)
    )
    with database.read() as connection:
        return [(row[0], row[1]) for row in connection.execute(query)]


def open_children(database: Database, organization_id: str, run_id: str) -> list[str]:
    """Ids of the runs not yet ended that tasks of a run wait for."""
    child = tables.workflow_run
    query = (
        sa.select(child.c.workflow_run_id)
        .join(tables.task_wait, _wait.wait_key == child.c.parent)
        # by the primary key: the id of a task run begins with its run's
        .where(_wait.task_wait_id.startswith(f"{run_id}-", autoescape=True), _wait.workflow_run_id == run_id)
        .where(_wait.organization_id == organization_id, _wait.kind == Kind.CHILD)
        .where(child.c.organization_id == organization_id, child.c.state.not_in(sorted(TERMINAL_RUN)))
        .order_by(child.c.workflow_run_id)
    )
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def child_of(database: Database, wait_key: str) -> tuple[str, str] | None:
    """(organisation, id) of the run that was started for an attempt."""
    query = sa.select(_run.organization_id, _run.workflow_run_id).where(_run.parent == wait_key)
    with database.read() as connection:
        row = connection.execute(query.limit(1)).one_or_none()
    return None if row is None else (row[0], row[1])
