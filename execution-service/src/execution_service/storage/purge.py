"""Removing runs that have been kept long enough: first the run itself, in one small transaction, then what it leaves.

Whoever asks meanwhile finds no run any more; what remains of it stands in `purged_run` until its last row is gone, so
that a process that dies in between is carried on by the next.
"""

from collections.abc import Callable

import sqlalchemy as sa

from execution_service.storage import tables
from kit.database import Database

_run = tables.workflow_run
_later = _run.alias("later")
_LEFT: tuple[tuple[sa.Table, str], ...] = (
    (tables.task_io_data, "task_io_data_id"),
    (tables.task_attempt, "task_attempt_id"),
    (tables.execution_log, "execution_log_id"),
    (tables.task_run, "task_run_id"),
    (tables.job_run, "job_run_id"),
    (tables.dead_event, "dead_event_id"),
)


def due_for_purge(database: Database, now: int, limit: int) -> list[str]:
    """Ids of ended runs that have been kept long enough, the longest first.

    One is kept longer while another run that may show its artifacts, a rerun of it, is there, and while somebody still
    waits for its result.
    """
    query = (
        sa.select(_run.c.workflow_run_id)
        .where(
            _run.c.purge_at <= now,
            _run.c.next_due_at.is_(None),
            ~sa.exists().where(_later.c.rerun_of == _run.c.workflow_run_id),
            ~sa.exists().where(tables.task_wait.c.wait_key == _run.c.parent),
        )
        .order_by(_run.c.purge_at)
        .limit(limit)
    )
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def put_off(database: Database, organization_id: str, run_id: str, until: int) -> None:
    """Keeps a run until then at least, if it is still there: a rerun of it that is being made will keep it later."""
    due_before = sa.and_(_run.c.organization_id == organization_id, _run.c.purge_at < until)
    with database.write() as connection:
        connection.execute(_run.update().where(_run.c.workflow_run_id == run_id, due_before).values(purge_at=until))


def begin_purge(
    database: Database, run_ids: list[str], event: Callable[[str, str], tuple[str, str, bytes]], now: int
) -> int:
    """Takes ended runs out of the history that are still there and due; how many. `event(organisation, run)` tells of
    each."""

    def take(connection: sa.Connection) -> int:
        query = sa.select(_run.c.workflow_run_id, _run.c.organization_id).where(
            _run.c.workflow_run_id.in_(run_ids),
            _run.c.next_due_at.is_(None),
            # put off since it was found due
            ~sa.func.coalesce(_run.c.purge_at > now, sa.false()),
        )
        found = connection.execute(query.order_by(_run.c.workflow_run_id).with_for_update()).all()
        if found:
            rows = [{"purged_run_id": row[0], "organization_id": row[1]} for row in found]
            connection.execute(tables.purged_run.insert(), rows)
            connection.execute(_run.delete().where(_run.c.workflow_run_id.in_([row[0] for row in found])))
            told = [event(row[1], row[0]) for row in found]
            connection.execute(
                tables.outbox.insert(),
                [
                    {"outbox_id": event_id, "subject": subject, "body": body.decode(), "created_at": now}
                    for event_id, subject, body in told
                ],
            )
        return len(found)

    return database.transact(take)


def half_purged(database: Database, limit: int) -> list[str]:
    """Ids of runs that are gone and have left rows."""
    table = tables.purged_run.c
    with database.read() as connection:
        return list(connection.execute(sa.select(table.purged_run_id).limit(limit)).scalars())


def purge_rows(database: Database, run_id: str, limit: int) -> int:
    """Removes at most `limit` rows that a run left; how many. With the last of them its note goes as well."""
    removed = 0
    with database.write() as connection:
        for table, name in _LEFT:
            key = table.c[name]
            query = sa.select(key).where(table.c.workflow_run_id == run_id).limit(limit - removed)
            keys = list(connection.execute(query).scalars())
            if keys:
                connection.execute(table.delete().where(key.in_(keys)))
                removed += len(keys)
            if removed >= limit:
                return removed
        connection.execute(tables.purged_run.delete().where(tables.purged_run.c.purged_run_id == run_id))
    return removed


def drop_start_keys(database: Database, before: int, limit: int) -> int:
    """Removes start keys made before then; how many. Until then a key keeps naming its run, even one that is gone."""
    table = tables.start_key.c
    with database.write() as connection:
        query = sa.select(table.start_key_id).where(table.created_at < before).order_by(table.created_at).limit(limit)
        keys = list(connection.execute(query).scalars())
        if keys:
            connection.execute(tables.start_key.delete().where(table.start_key_id.in_(keys)))
    return len(keys)
