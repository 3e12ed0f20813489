"""Runs and task runs as they are kept, made by hand, and what people read of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from engine_house import ORGANIZATION

from execution_service.domain.run import RunState
from execution_service.rest_history import RunStatistics
from execution_service.storage import tables
from execution_service.storage.history import RunFilter, list_runs
from execution_service.storage.statistics import Span, run_statistics
from kit.database import Database, to_micros
from kit.ids import new_id

T0 = to_micros(datetime(2026, 3, 1, tzinfo=UTC))
SECOND, HOUR, DAY = 10**6, 3600 * 10**6, 86_400 * 10**6
UTC_ZONE = ZoneInfo("UTC")
Row = dict[str, Any]


def run_row(**said: Any) -> Row:
    """A run as it is kept: it succeeded in a second, unless said otherwise."""
    created_at = said.get("created_at", T0)
    ended = RunState(said.get("state", RunState.SUCCESS)).terminal
    finished_at = said.pop("finished_at", created_at + SECOND if ended else None)
    return {
        "workflow_run_id": new_id(), "organization_id": ORGANIZATION, "workflow_id": "flow", "workflow_version": 1,
        "workflow_name": "Flow", "number": 1, "state": "SUCCESS", "trigger_kind": "manual", "cause": "user-1",
        "trace_id": "0" * 32, "input": "{}", "version": 1, "created_at": created_at, "started_at": created_at,
        "finished_at": finished_at, "clock": created_at, "deadline": created_at, "first_task_at": None,
        "duration": None if finished_at is None else finished_at - created_at, "parent": None,
    } | said  # fmt: skip


def task_row(run: Row, position: int, **said: Any) -> Row:
    """A task run of that run: it ran for a second, unless said otherwise."""
    return {
        "task_run_id": f"{run['workflow_run_id']}-{position}", "workflow_run_id": run["workflow_run_id"],
        "organization_id": run["organization_id"], "position": position, "task_key": f"t{position}", "type": "http",
        "state": "SUCCESS", "attempt": 1, "delivery": 1, "started_at": T0, "finished_at": T0 + SECOND, "version": 1,
    } | said  # fmt: skip


def keep(database: Database, *rows: Row) -> None:
    with database.write() as connection:
        for table in (tables.workflow_run, tables.task_run):
            key = "task_run_id"
            mine = [row for row in rows if (key in row) == (table is tables.task_run)]
            if mine:
                connection.execute(table.insert(), mine)


def ids(rows: Sequence[Row], name: str = "run_id") -> list[str]:
    return [row[name] for row in rows]


ALL = RunFilter()


def walk(database: Database, wanted: RunFilter = ALL, sort: str = "-created_at", limit: int = 7) -> list[Row]:
    """Every page of a list."""
    found, cursor = list_runs(database, ORGANIZATION, wanted, sort=sort, limit=limit)
    while cursor is not None:
        page, cursor = list_runs(database, ORGANIZATION, wanted, sort=sort, cursor=cursor, limit=limit)
        assert page, "a cursor of a page that is empty"
        found = found + page
    return found


def summed(database: Database, begin: int, end: int, zone: ZoneInfo = UTC_ZONE, **said: Any) -> Row:
    workflow_id = said.pop("workflow_id", None)
    found = run_statistics(database, Span(ORGANIZATION, begin, end, workflow_id), zone, **said)
    RunStatistics.model_validate_json(orjson.dumps(found))
    return found
