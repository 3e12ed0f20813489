"""What the runs of a range of time add up to: how many ended how, and how long they took.

The databases count and rank, and only sums come here: the rows of a busy month would hold this process's interpreter,
and with it the engine beside it, for seconds. Runs are read from one index alone, tasks through their runs, and of both
only so many, the newest; whether there were more is said. A percentile is the smallest value that so many of all do not
exceed (nearest rank), so that it is always one that was.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from execution_service.domain.run import RunState, TaskState
from execution_service.storage import tables
from execution_service.storage.history import iso, through
from kit.database import Database, from_micros

MOST_RUNS = 100_000
MOST_TASK_RUNS = 200_000
MOST_WORKFLOWS = 50
_DAY = 86_400_000_000
_RUN, _TASK = tables.workflow_run.c, tables.task_run.c


@dataclass(frozen=True)
class Span:
    """The runs that are asked about: of these instants (microseconds, `end` exclusive), of one workflow or of all."""

    organization_id: str
    begin: int
    end: int
    workflow_id: str | None = None


def run_statistics(
    database: Database,
    span: Span,
    zone: ZoneInfo,
    *,
    most_runs: int = MOST_RUNS,
    most_task_runs: int = MOST_TASK_RUNS,
) -> dict[str, Any]:
    """Counts by state, success rates and percentiles: of all, per workflow, per task type and per day in `zone`.

    Rates are of what ended and was not cancelled; times in milliseconds; both None where nothing is to be told of.
    `counted_from` is `span.begin`, or later when there are more than `most_runs` runs.
    """
    with database.read() as connection:
        begin = _newest(connection, database, span, most_runs)
        counted = Span(span.organization_id, begin, span.end, span.workflow_id)
        workflows = _workflows(connection, database, counted)
        days = _days(connection, database, counted, zone)
        total, types = _task_types(connection, database, counted, most_task_runs)
        truncated = begin > span.begin or (
            total == most_task_runs and _more_task_runs(connection, database, counted, most_task_runs)
        )
    states = {str(state): sum(day["states"][state] for day in days) for state in RunState}
    return {
        "created_from": iso(span.begin),
        "created_to": iso(span.end),
        "counted_from": iso(begin),
        "truncated": truncated,
        "time_zone": zone.key,
        **_ended(states),
        "workflows": workflows,
        "task_types": types,
        "days": days,
    }


def _within(query: sa.Select[Any], database: Database, span: Span) -> sa.Select[Any]:
    """The runs of the span, by the index that alone says all that is asked of them."""
    index = "ix_workflow_run_created" if span.workflow_id is None else "ix_workflow_run_workflow"
    query = through(query, database, index).where(
        _RUN.organization_id == span.organization_id, _RUN.created_at >= span.begin, _RUN.created_at < span.end
    )
    return query if span.workflow_id is None else query.where(_RUN.workflow_id == span.workflow_id)


def _newest(connection: sa.Connection, database: Database, span: Span, most: int) -> int:
    """From when on there are at most so many runs in the span: its beginning, or just after the first left out."""
    query = _within(sa.select(_RUN.created_at), database, span).order_by(_RUN.created_at.desc()).offset(most).limit(1)
    left_out = connection.execute(query).scalar()
    return span.begin if left_out is None else left_out + 1


def _ranked(counted: sa.Subquery, states: type[StrEnum], group: sa.ColumnElement[Any], *more: Any) -> sa.Select[Any]:
    """Of rows (`state`, `took` in microseconds or null, …): for each group its count, by state, and percentiles."""
    took = counted.c.took
    # what share of those that took a time took no longer; those that did not are a part of their own
    share = sa.func.cume_dist().over(partition_by=[group, took.is_(None)], order_by=took)
    rows = sa.select(*counted.c, group.label("grouped"), share.label("share")).subquery()

    def percentile(wanted: float) -> sa.ColumnElement[Any]:
        return sa.func.min(sa.case((rows.c.share >= wanted, rows.c.took)))

    return sa.select(
        rows.c.grouped,
        sa.func.count().label("total"),
        *(sa.func.sum(sa.case((rows.c.state == state, 1), else_=0)).label(f"state_{state}") for state in states),
        percentile(0.5).label("p50"),
        percentile(0.95).label("p95"),
        *(each(rows) for each in more),
    ).group_by(rows.c.grouped)


def _states(row: Any, states: type[StrEnum]) -> dict[str, int]:
    return {str(state): int(getattr(row, f"state_{state}")) for state in states}


def _ended(states: dict[str, int]) -> dict[str, Any]:
    """How many there are by state, and what share succeeded of those that ended and were not cancelled."""
    # of a run's and of a task's states alike: what was skipped neither succeeded nor failed
    success = states["SUCCESS"]
    ended = success + states["FAILED"] + states.get("UPSTREAM_FAILED", 0)
    return {"total": sum(states.values()), "states": states, "success_rate": success / ended if ended else None}


def _milliseconds(micros: int | None) -> float | None:
    return None if micros is None else int(micros) / 1000


def _workflows(connection: sa.Connection, database: Database, span: Span) -> list[dict[str, Any]]:
    """The workflows that ran most, by their number of runs."""
    counted = _within(
        sa.select(_RUN.workflow_id, _RUN.workflow_run_id, _RUN.state, _RUN.duration.label("took")), database, span
    ).subquery()
    query = _ranked(
        counted, RunState, counted.c.workflow_id, lambda rows: sa.func.max(rows.c.workflow_run_id).label("newest")
    )
    query = query.order_by(sa.desc("total"), "grouped").limit(MOST_WORKFLOWS)
    found = connection.execute(query).all()
    newest = sa.select(_RUN.workflow_run_id, _RUN.workflow_name).where(
        _RUN.workflow_run_id.in_([row.newest for row in found]), _RUN.organization_id == span.organization_id
    )
    names = {row.workflow_run_id: row.workflow_name for row in connection.execute(newest)}
    return [
        {
            "workflow_id": row.grouped,
            "workflow_name": names.get(row.newest, ""),
            **_ended(_states(row, RunState)),
            "duration_ms_p50": _milliseconds(row.p50),
            "duration_ms_p95": _milliseconds(row.p95),
        }
        for row in found
    ]


# --- days -----------------------------------------------------------------------------------------------------------


def _days(connection: sa.Connection, database: Database, span: Span, zone: ZoneInfo) -> list[dict[str, Any]]:
    """Every day of the span in the zone, oldest first, those without a run too."""
    offsets = list(_offsets(span, zone))
    counted = _within(sa.select(_RUN.created_at, _RUN.state, _RUN.duration.label("took")), database, span).subquery()
    shift: sa.ColumnElement[int] = sa.literal(offsets[-1][1])
    for until, offset in reversed(offsets[:-1]):
        shift = sa.case((counted.c.created_at < until, sa.literal(offset)), else_=shift)
    local = counted.c.created_at + shift
    # the remainder, since MariaDB divides into decimals
    found = {row.grouped: row for row in connection.execute(_ranked(counted, RunState, local - local % _DAY))}

    def wall(instant: int) -> int:
        place = bisect_right([until for until, _ in offsets[:-1]], instant)
        shifted = instant + offsets[place][1]
        return shifted - shifted % _DAY

    return [_day(day, found.get(day)) for day in range(wall(span.begin), wall(span.end - 1) + 1, _DAY)]


def _day(day: int, row: Any) -> dict[str, Any]:
    states = dict.fromkeys(map(str, RunState), 0) if row is None else _states(row, RunState)
    return {
        "day": from_micros(day).date().isoformat(),
        **_ended(states),
        "duration_ms_p50": None if row is None else _milliseconds(row.p50),
        "duration_ms_p95": None if row is None else _milliseconds(row.p95),
    }


def _offsets(span: Span, zone: ZoneInfo) -> Iterator[tuple[int, int]]:
    """The zone's offsets from UTC in the span, each with the instant it ends at; all in microseconds."""

    def offset(instant: int) -> int:
        return (zone.utcoffset(from_micros(instant).astimezone(zone)) or timedelta()) // timedelta(microseconds=1)

    at, last = span.begin, span.end - 1
    while at < last:
        # no zone ever changed its offset twice within this time
        after = min(at + _SAMPLE, last)
        if offset(after) != offset(at):
            same, changed = at, after
            while changed - same > 1:
                middle = (same + changed) // 2
                same, changed = (middle, changed) if offset(middle) == offset(at) else (same, middle)
            yield changed, offset(at)
        at = after
    yield span.end, offset(last)


_SAMPLE = 3 * 3600 * 1_000_000


# --- tasks ----------------------------------------------------------------------------------------------------------


def _task_runs(database: Database, span: Span, columns: Sequence[Any]) -> sa.Select[Any]:
    """The task runs of the span's runs, from the newest run on. A task that has not been queued yet is none, nor is one
    that runs over a list: its items are."""
    query = _within(sa.select(*columns), database, span).order_by(_RUN.created_at.desc())
    query = query.where(_TASK.item_count.is_(None))
    query = query.select_from(tables.workflow_run.join(tables.task_run, _TASK.workflow_run_id == _RUN.workflow_run_id))
    if database.sqlite:
        return query
    # runs first, or so many of their tasks could not be had without having all
    dialect = database.engine.dialect.name
    query = query.with_hint(tables.task_run, "FORCE INDEX (ix_task_run_workflow_run)", dialect)
    return query.prefix_with("STRAIGHT_JOIN", dialect=dialect)


def _task_types(
    connection: sa.Connection, database: Database, span: Span, most: int
) -> tuple[int, list[dict[str, Any]]]:
    """How many task runs were counted, and what of each type, the most frequent first."""
    took = (_TASK.finished_at - _TASK.started_at).label("took")
    counted = _task_runs(database, span, [_TASK.type, _TASK.state, took]).limit(most).subquery()
    query = _ranked(counted, TaskState, counted.c.type).order_by(sa.desc("total"), "grouped")
    types = [
        {
            "type": row.grouped,
            **_ended(_states(row, TaskState)),
            "ran_ms_p50": _milliseconds(row.p50),
            "ran_ms_p95": _milliseconds(row.p95),
        }
        for row in connection.execute(query)
    ]
    return sum(each["total"] for each in types), types


def _more_task_runs(connection: sa.Connection, database: Database, span: Span, most: int) -> bool:
    query = _task_runs(database, span, [sa.literal(1)]).offset(most).limit(1)
    return connection.execute(query).scalar() is not None
