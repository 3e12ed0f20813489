"""The execution log. Lines are numbered from 1 within their run, in the order in which their transactions commit.

No counter is kept: a writer goes on from the greatest number that is committed, and the index lets only one have the
next. Who comes second waits for the first's commit and counts again. So whoever has read up to a number has read all
before it, and a place in a log is one number (docs/decisions/0016).
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from execution_service.domain.plan import STRIDE
from execution_service.domain.waits import instant
from execution_service.storage import tables
from kit.database import Database, decode_cursor, encode_cursor
from kit.ids import new_id

_TRIES = 20
_INDEX = re.compile("[0-9]{1,10}")
_log = tables.execution_log


def save_log(database: Database, rows: Sequence[dict[str, Any]]) -> None:
    """Appends log lines; each dict has the columns of execution_log but its position, and perhaps its id: those that
    are there already stay as they are."""
    # sorted, so that two writers never wait for each other in a circle
    rows = sorted(rows, key=lambda row: str(row["workflow_run_id"]))
    runs = sorted({row["workflow_run_id"] for row in rows})
    last = sa.select(_log.c.workflow_run_id, sa.func.max(_log.c.position))
    last = last.where(_log.c.workflow_run_id.in_(runs)).group_by(_log.c.workflow_run_id)
    ids = [row["execution_log_id"] for row in rows if "execution_log_id" in row]
    known = sa.select(_log.c.execution_log_id).where(_log.c.execution_log_id.in_(ids))

    def append(connection: sa.Connection) -> None:
        at = Counter({run_id: position or 0 for run_id, position in connection.execute(last)})
        kept = set(connection.execute(known).scalars()) if tries else set()
        numbered = []
        for row in rows:
            if row.get("execution_log_id") not in kept:
                at[row["workflow_run_id"]] += 1
                numbered.append({"execution_log_id": new_id(), "position": at[row["workflow_run_id"]], **row})
        if numbered:
            connection.execute(_log.insert(), numbered)

    for tries in range(_TRIES if rows else 0):
        try:
            database.transact(append)
            break
        except sa.exc.IntegrityError:
            # another replica appended to one of these runs in the meantime, or the same lines
            if tries == _TRIES - 1:
                raise


def read_lines(
    database: Database, organization_id: str, run_id: str, after: int, limit: int
) -> list[tuple[int, dict[str, Any]]]:
    """A run's lines behind number `after`, in order, each with its number."""
    query = sa.select(_log).where(
        _log.c.workflow_run_id == run_id, _log.c.organization_id == organization_id, _log.c.position > after
    )
    with database.read() as connection:
        rows = connection.execute(query.order_by(_log.c.position).limit(limit)).all()
    return [(row.position, line(row)) for row in rows]


def read_log(
    database: Database,
    organization_id: str,
    run_id: str,
    *,
    task_run_id: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of a run's log lines, oldest first (a log is read forwards), and the cursor of the next."""
    table = _log
    query = sa.select(table).where(table.c.workflow_run_id == run_id, table.c.organization_id == organization_id)
    if task_run_id is not None:
        query = query.where(table.c.task_run_id == task_run_id)
    position, after = (0, "") if cursor is None else decode_cursor(cursor, int, str)
    rows: list[Any] = []
    # in two parts, each in the order of the index: put in order together, all of a log would be read for each page
    with database.read() as connection:
        if not position:
            # lines of before 0006 have no position and come first
            old = query.where(table.c.position.is_(None), table.c.execution_log_id > after)
            rows += connection.execute(old.order_by(table.c.execution_log_id).limit(limit + 1))
        if len(rows) <= limit:
            later = query.where(table.c.position > position).order_by(table.c.position)
            rows += connection.execute(later.limit(limit + 1 - len(rows)))
    items = [line(row) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    return items, None if last is None else encode_cursor(last.position or 0, last.execution_log_id)


def line(row: Any) -> dict[str, Any]:
    """A row of execution_log as it goes out."""
    parent, item = _place(row.task_run_id or "")
    return {
        "id": row.execution_log_id,
        "at": instant(row.at),
        "level": row.level,
        "event": row.event,
        "fields": orjson.loads(row.fields),
        "task_run_id": row.task_run_id,
        "parent_task_run_id": parent,
        "item": item,
        "attempt": row.attempt,
        "worker": row.worker,
    }


def _place(task_run_id: str) -> tuple[str | None, int | None]:
    """Of an item the task run that goes over the list, and its place there; an id is as its worker told it."""
    run_id, _, index = task_run_id.rpartition("-")
    if not _INDEX.fullmatch(index) or int(index) < STRIDE:
        return None, None
    return f"{run_id}-{int(index) % STRIDE}", int(index) // STRIDE - 1


def last_line(run_id: sa.ColumnElement[str]) -> sa.ScalarSelect[int]:
    """The number of the newest line of a run, 0 for none: a look at the end of one index."""
    position = sa.select(sa.func.coalesce(sa.func.max(_log.c.position), 0)).where(_log.c.workflow_run_id == run_id)
    return position.scalar_subquery()
