"""What people read of runs: one query each, straight from the tables. Every function takes the organisation id."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import orjson
import sqlalchemy as sa

from execution_service.domain.plan import STRIDE, Plan, Stage
from execution_service.domain.run import JobState, RunState, TaskState
from execution_service.domain.waits import instant
from execution_service.storage import tables
from execution_service.storage.log import last_line
from execution_service.storage.log import read_log as read_log
from kit.database import Database, decode_cursor, encode_cursor
from kit.errors import Invalid, NotFound

PlanOf = Callable[[str, int], Plan]


def iso(micros: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, as all times go out."""
    if micros is None:
        return None
    return f"{_second(micros // 1_000_000)}.{micros // 1000 % 1000:03d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    """A second without its fraction: the thousands of times of one run are of few seconds."""
    return instant(seconds * 1_000_000).partition(".")[0]


@dataclass(frozen=True)
class RunFilter:
    """What runs a list is narrowed to. Times in microseconds, `created_from` inclusive, `created_to` exclusive.

    `text` is looked for in workflow name, cause and `#<number>`, whatever its case, or is a trace id; or it is the id
    of a run, or of a task run, that is there: then that run is meant, and the runs that its tasks started.
    """

    workflow_id: str | None = None
    states: tuple[RunState, ...] = ()
    trigger: str | None = None
    created_from: int | None = None
    created_to: int | None = None
    text: str | None = None


RUN_SORTS = ("-created_at", "created_at", "-finished_at", "finished_at", "-duration", "duration")

_RUN = tables.workflow_run.c
# all but the input: up to 256 KiB that no list shows
_SUMMARY = tuple(column for column in _RUN if column.name != "input")
# what is shown of a task run: the driver takes a microsecond for each column of a thousand rows
_SHOWN = tuple(
    tables.task_run.c[name]
    for name in (
        *("position", "state", "attempt", "worker", "queued_at", "started_at", "finished_at", "failure"),
        "item_count",
    )
)
MOST_LOOKED_THROUGH = 5_000
"""Runs that a page reads in search of a text: nothing leads to where a text is but reading."""
_OPEN = -1  # in a cursor, the place of a run that has not ended: no time and no duration is below 0


def list_runs(
    database: Database,
    organization_id: str,
    wanted: RunFilter = RunFilter(),  # frozen
    *,
    sort: str = "-created_at",
    cursor: str | None = None,
    limit: int = 50,
    look_through: int = MOST_LOOKED_THROUGH,
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of runs and the cursor of the next; `sort` is one of RUN_SORTS, ties follow the ids in its direction.

    Runs that have not ended come last when sorted by their end or duration, whichever the direction. In search of a
    text so many are looked through that the page may be short, even empty, and the next one goes on behind them. Raises
    Invalid for a cursor that is none, or of another sort.
    """
    order = _Order(sort, None if cursor is None else _position(cursor, sort))
    looked_through = None
    with database.read() as connection:
        if wanted.text is not None and not _known_id(connection, organization_id, wanted.text.lower()):
            looked = _entries(database, organization_id, replace(wanted, text=None), order, look_through)
            rows = connection.execute(_search(database, looked, wanted.text, order, look_through, limit + 1)).all()
            looked_through = next((row for row in rows if row.place == look_through), None)
            rows = [row for row in rows if row.says]
        else:
            rows = connection.execute(_page(database, organization_id, wanted, order, limit + 1)).all()
    found = order.sorted(rows)
    items = [_summary(row) for row in found[:limit]]
    last = found[limit - 1] if len(found) > limit else looked_through
    if last is None:
        return items, None
    key = getattr(last, order.key.name)
    return items, encode_cursor(sort, _OPEN if key is None else key, last.workflow_run_id)


def _position(cursor: str, sort: str) -> tuple[int, str]:
    of_sort, key, run_id = decode_cursor(cursor, str, int, str)
    if of_sort != sort:
        raise Invalid.field("query.cursor", "cursor_of_another_sort", sort=sort)
    return key, run_id


class _Order:
    """A sort's column and direction, and after which run the page begins."""

    def __init__(self, sort: str, after: tuple[int, str] | None) -> None:
        self.key: sa.Column[Any] = _RUN[sort.removeprefix("-")]
        self.after = after
        self._backwards = sort.startswith("-")

    def by(self, *columns: sa.ColumnElement[Any]) -> list[sa.ColumnElement[Any]]:
        return [column.desc() if self._backwards else column.asc() for column in columns]

    def sorted(self, rows: Sequence[Any]) -> list[Any]:
        """A page's rows in this order: what joins them to their ids may have them come in any."""

        def place(row: Any) -> tuple[int, str]:
            key = getattr(row, self.key.name)
            return (_OPEN if key is None else key), row.workflow_run_id

        found = sorted(rows, key=place, reverse=self._backwards)
        ended = [row for row in found if getattr(row, self.key.name) is not None]
        return ended + [row for row in found if getattr(row, self.key.name) is None]

    def follows(self, *, ended: bool) -> sa.ColumnElement[bool] | None:
        """What is true of the runs after that one, among those that have ended or that have not; None: all are."""
        if self.after is None:
            return None
        key, run_id = self.after
        if not ended:
            return self._beyond(_RUN.workflow_run_id, run_id) if key == _OPEN else None
        # not as a pair: MariaDB would read the index from its beginning
        ties = sa.or_(self._beyond(self.key, key), self._beyond(_RUN.workflow_run_id, run_id))
        return sa.and_(self.key <= key if self._backwards else self.key >= key, ties)

    def _beyond(self, column: sa.Column[Any], value: Any) -> sa.ColumnElement[bool]:
        beyond: sa.ColumnElement[bool] = column < value if self._backwards else column > value
        return beyond


def _page(database: Database, organization_id: str, wanted: RunFilter, order: _Order, limit: int) -> sa.Select[Any]:
    """The page's rows, in any order."""
    found = _entries(database, organization_id, wanted, order, limit)
    return sa.select(*_SUMMARY).join(found, _RUN.workflow_run_id == found.c.workflow_run_id)


def _search(
    database: Database, entries: sa.Subquery, text: str, order: _Order, amount: int, limit: int
) -> sa.Select[Any]:
    """Of that amount of entries those whose run says the text, and the last one, so that the next page goes on behind
    it: in one statement, as all are of one snapshot."""
    by = (entries.c.ended.desc(), *order.by(entries.c.sort_key, entries.c.workflow_run_id))
    placed = sa.select(entries, sa.func.row_number().over(order_by=by).label("place")).subquery()
    says = _says(text.lower())
    query = (
        sa.select(*_SUMMARY, placed.c.place, sa.case((says, 1), else_=0).label("says"))
        .select_from(placed.join(tables.workflow_run, _RUN.workflow_run_id == placed.c.workflow_run_id))
        .where(sa.or_(says, placed.c.place == amount))
        .order_by(placed.c.place)
        .limit(limit)
    )
    # those and no others are read: the other way round would be all there are
    return query if database.sqlite else query.prefix_with("STRAIGHT_JOIN", dialect=database.engine.dialect.name)


def _entries(database: Database, organization_id: str, wanted: RunFilter, order: _Order, limit: int) -> sa.Subquery:
    """So many runs from the page's beginning on: `workflow_run_id`, `sort_key`, `ended`. For one statement, and so one
    snapshot, whose every part reads one range of one index.

    Which index is told rather than left to the planner: SQLite has no statistics to choose by, and MariaDB's may be
    old. The indexes hold whatever else is asked for, so that the ids are found in them alone, and rows are only read to
    be shown (or searched for a text).
    """
    states = tuple(dict.fromkeys(wanted.states))
    # open runs are few, whichever workflow's: looking at each costs less than looking for them among all that ended.
    # SQLite cannot be told so
    only_open = bool(states) and not database.sqlite and all(not state.terminal for state in states)
    parts: list[sa.Select[Any]] = []

    def add(index: str, chosen: Collection[RunState], columns: Collection[str], *, ended: bool = True) -> None:
        conditions = [_RUN.organization_id == organization_id]
        conditions += _conditions(database, wanted, chosen, columns)
        if order.key.nullable:
            conditions.append(order.key.is_not(None) if ended else order.key.is_(None))
        follows = order.follows(ended=ended)
        if follows is not None:
            conditions.append(follows)
        by = order.by(order.key, _RUN.workflow_run_id) if ended else order.by(_RUN.workflow_run_id)
        query = sa.select(_RUN.workflow_run_id, order.key.label("sort_key"), sa.literal(int(ended)).label("ended"))
        # a text that is left here is an id: who has it is found by its keys
        found = query if wanted.text is not None else through(query, database, index)
        parts.append(found.where(*conditions).order_by(*by).limit(limit))

    if order.key.name != "created_at":
        index = "ix_workflow_run_finished" if order.key.name == "finished_at" else "ix_workflow_run_duration"
        # a run has an end and a duration exactly when its state is terminal
        ended_states = [state for state in states if state.terminal]
        open_states = [state for state in states if not state.terminal]
        if (ended_states or not states) and (order.after is None or order.after[0] != _OPEN):
            add(index, ended_states, ())
        if open_states or not states:
            add(index, open_states, (), ended=False)
    elif wanted.workflow_id is not None and not only_open:
        add("ix_workflow_run_workflow", states, ("workflow_id", "created_at"))
    elif states:
        for state in states:
            add("ix_workflow_run_state", [state], ("state", "created_at"))
    else:
        add("ix_workflow_run_created", (), ("created_at",))
    found: sa.Subquery = parts[0].subquery()
    if len(parts) > 1:
        several = sa.union_all(*(sa.select(part.subquery()) for part in parts)).subquery()
        by = (several.c.ended.desc(), *order.by(several.c.sort_key, several.c.workflow_run_id))
        found = sa.select(several).order_by(*by).limit(limit).subquery()
    return found


def _conditions(
    database: Database, wanted: RunFilter, states: Collection[RunState], columns: Collection[str]
) -> Iterator[sa.ColumnElement[bool]]:
    """The filter. `columns` are those by which the index is entered; others must not tempt SQLite to another index."""

    def of(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
        return column if column.name in columns or not database.sqlite else _plus(column)

    if wanted.workflow_id is not None:
        yield of(_RUN.workflow_id) == wanted.workflow_id
    if states:
        yield of(_RUN.state) == next(iter(states)) if len(states) == 1 else of(_RUN.state).in_(states)
    if wanted.trigger is not None:
        yield _RUN.trigger_kind == wanted.trigger
    if wanted.created_from is not None:
        yield of(_RUN.created_at) >= wanted.created_from
    if wanted.created_to is not None:
        yield of(_RUN.created_at) < wanted.created_to
    if wanted.text is not None:
        yield _RUN.workflow_run_id.in_(sa.select(_named(database, wanted.text.lower()).c.workflow_run_id))


_SOME_ID = re.compile("([0-7][0-9a-hjkmnp-tv-z]{25})(-[0-9]{1,10})?", re.ASCII)


def _known_id(connection: sa.Connection, organization_id: str, text: str) -> bool:
    """Whether the text is the id of a run of the organisation, or of a task run in one."""
    named = _SOME_ID.fullmatch(text)
    if named is None:
        return False
    query = sa.select(1).where(_RUN.workflow_run_id == named[1], _RUN.organization_id == organization_id)
    return connection.execute(query).scalar() is not None


def _named(database: Database, text: str) -> sa.Subquery:
    """The run of that id, and those that its tasks, or the task run of that id, started: `<task run>.<attempt>`."""
    first, behind = (".", "/") if "-" in text else ("-", ".")
    started = through(sa.select(_RUN.workflow_run_id), database, "ix_workflow_run_parent").where(
        _RUN.parent >= f"{text}{first}", _RUN.parent < f"{text}{behind}"
    )
    return sa.union_all(sa.select(_RUN.workflow_run_id).where(_RUN.workflow_run_id == text), started).subquery()


def _says(text: str) -> sa.ColumnElement[bool]:
    pattern = f"%{text.translate(_LIKE)}%"
    number = sa.literal("#").concat(sa.cast(_RUN.number, sa.String(20)))
    texts = (sa.func.lower(_RUN.workflow_name), sa.func.lower(_RUN.cause), number)
    return sa.or_(*(each.like(pattern, escape="!") for each in texts), _RUN.trace_id == text)


_LIKE = str.maketrans({"!": "!!", "%": "!%", "_": "!_"})


def _plus(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The column's value: SQLite takes no index for what a plus stands before."""
    return sa.UnaryExpression(column, operator=sa.sql.operators.custom_op("+"), type_=column.type)


def through(query: sa.Select[Any], database: Database, index: str) -> sa.Select[Any]:
    """Has MariaDB read workflow_run through that index."""
    if database.sqlite:
        return query
    return query.with_hint(tables.workflow_run, f"FORCE INDEX ({index})", database.engine.dialect.name)


def read_summaries(database: Database, organization_id: str, run_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Those runs as a list shows them; what is not there, or another organisation's, is left out."""
    # SQLite takes an index of the whole organisation for a list of keys, unless it may not
    own = (_plus(_RUN.organization_id) if database.sqlite else _RUN.organization_id) == organization_id
    query = sa.select(*_SUMMARY).where(_RUN.workflow_run_id.in_(run_ids), own)
    with database.read() as connection:
        return [_summary(row) for row in connection.execute(query)] if run_ids else []


def _summary(row: Any) -> dict[str, Any]:
    first, ended = row.first_task_at, row.finished_at
    return {
        "run_id": row.workflow_run_id,
        "number": row.number,
        "state": row.state,
        "version": row.version,
        "trigger": row.trigger_kind,
        "cause": row.cause,
        "workflow_id": row.workflow_id,
        # as it was called then: the workflow itself may be renamed or gone
        "workflow_name": row.workflow_name,
        "workflow_version": row.workflow_version,
        "rerun_of": row.rerun_of,
        "trace_id": row.trace_id,
        "created_at": iso(row.created_at),
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        # until its first task started; one that ended without has only waited
        "waited_ms": _milliseconds(row.created_at, ended if first is None else first),
        "ran_ms": _milliseconds(first, ended),
        "duration_ms": None if row.duration is None else row.duration / 1000,
        "error": None if row.failure is None else orjson.loads(row.failure),
    }


def read_state(database: Database, organization_id: str, run_id: str) -> RunState:
    """The state of a run. Raises NotFound for an unknown run and for another organisation's."""
    table = tables.workflow_run.c
    query = sa.select(table.state).where(table.workflow_run_id == run_id, table.organization_id == organization_id)
    with database.read() as connection:
        state = connection.execute(query).scalar()
    if state is None:
        raise NotFound("run_not_found")
    return RunState(state)


def read_version(database: Database, organization_id: str, run_id: str) -> int:
    """The number of its last change. Raises NotFound."""
    query = sa.select(_RUN.version).where(_RUN.workflow_run_id == run_id, _RUN.organization_id == organization_id)
    with database.read() as connection:
        version = connection.execute(query).scalar()
    if version is None:
        raise NotFound("run_not_found")
    return int(version)


def read_run(database: Database, organization_id: str, run_id: str, plan_of: PlanOf) -> dict[str, Any]:
    """A run with its jobs and tasks, as api.md shows it; tasks that have not happened are PENDING."""
    runs, jobs, tasks = tables.workflow_run, tables.job_run, tables.task_run
    with database.read() as connection:
        row = connection.execute(
            sa.select(runs).where(runs.c.workflow_run_id == run_id, runs.c.organization_id == organization_id)
        ).one_or_none()
        if row is None:
            raise NotFound("run_not_found")
        job_rows = {
            job.position: job for job in connection.execute(sa.select(jobs).where(jobs.c.workflow_run_id == run_id))
        }
        task_rows = {
            task.position: task
            for task in connection.execute(
                sa.select(*_SHOWN).where(tasks.c.workflow_run_id == run_id, tasks.c.position < STRIDE)
            )
        }
        counted = _count_items(connection, run_id) if any(task.item_count for task in task_rows.values()) else {}
        lines = connection.execute(sa.select(last_line(sa.literal(run_id)))).scalar_one()
    plan = plan_of(row.workflow_id, row.workflow_version)
    return {
        **_summary(row),
        "input": orjson.loads(row.input),
        "log_position": lines,
        "jobs": [
            {
                **_job(stage, job_rows.get(stage.index)),
                "tasks": [_task(run_id, plan, index, task_rows.get(index), counted) for index in stage.steps],
            }
            for stage in plan.stages
        ],
    }


def read_changes(
    database: Database, organization_id: str, run_id: str, plan_of: PlanOf, since: int
) -> tuple[dict[str, Any], int]:
    """What changed of a run after its version `since`, as `read_run` shows it: without input and log position, and only
    with the tasks that changed and their jobs. And how many tasks it has in all. Raises NotFound."""
    runs, jobs, tasks = tables.workflow_run, tables.job_run, tables.task_run
    with database.read() as connection:
        row = connection.execute(
            sa.select(*_SUMMARY).where(_RUN.workflow_run_id == run_id, runs.c.organization_id == organization_id)
        ).one_or_none()
        if row is None:
            raise NotFound("run_not_found")
        newer = sa.and_(tasks.c.workflow_run_id == run_id, tasks.c.version > since)
        found = {
            task.position: task
            for task in connection.execute(sa.select(*_SHOWN).where(newer, tasks.c.position < STRIDE))
        }
        # a task shows how many of its items ended how
        owners = set(
            connection.execute(
                sa.select(tasks.c.position % STRIDE).where(newer, tasks.c.position >= STRIDE).distinct()
            ).scalars()
        )
        missing = [f"{run_id}-{position}" for position in owners - set(found)]
        if missing:
            again = connection.execute(sa.select(*_SHOWN).where(tasks.c.task_run_id.in_(missing)))
            found |= {task.position: task for task in again}
        counted = _count_items(connection, run_id) if any(task.item_count for task in found.values()) else {}
        plan = plan_of(row.workflow_id, row.workflow_version)
        touched = sorted({plan.steps[position].job for position in found})
        names = [f"{run_id}-j{position}" for position in touched]
        job_rows = {
            job.position: job for job in connection.execute(sa.select(jobs).where(jobs.c.job_run_id.in_(names)))
        }
    shown = [
        {
            **_job(plan.stages[at], job_rows.get(at)),
            "tasks": [
                _task(run_id, plan, index, found[index], counted) for index in plan.stages[at].steps if index in found
            ],
        }
        for at in touched
    ]
    return {**_summary(row), "jobs": shown}, len(plan.steps)


def _job(stage: Stage, row: Any) -> dict[str, Any]:
    return {
        "key": stage.key,
        "name": stage.name,
        "state": JobState.PENDING if row is None else row.state,
        "started_at": None if row is None else iso(row.started_at),
        "finished_at": None if row is None else iso(row.finished_at),
    }


def _count_items(connection: sa.Connection, run_id: str) -> dict[int, dict[str, int]]:
    """By the position of their task, how many items are in which state."""
    tasks, counted = tables.task_run.c, defaultdict[int, dict[str, int]](dict)
    position = (tasks.position % STRIDE).label("task")
    query = sa.select(position, tasks.state, sa.func.count().label("amount"))
    query = query.where(tasks.workflow_run_id == run_id, tasks.position >= STRIDE).group_by(position, tasks.state)
    for row in connection.execute(query):
        counted[row.task][row.state] = row.amount
    return counted


def list_items(
    database: Database,
    run_id: str,
    index: int,
    plan_of: PlanOf,
    *,
    state: TaskState | None = None,
    from_item: int = 0,
    cursor: str | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of the items from `from_item` on that task `index` of a run has begun, in order, and the cursor of the
    next; none of a task that runs once. Raises NotFound when there is no such task."""
    runs, tasks = tables.workflow_run.c, tables.task_run
    query = sa.select(*_SHOWN).where(tasks.c.workflow_run_id == run_id, tasks.c.position > index + from_item * STRIDE)
    query = query.where(tasks.c.position % STRIDE == index)
    if state is not None:
        query = query.where(tasks.c.state == state)
    if cursor is not None:
        [after] = decode_cursor(cursor, int)
        query = query.where(tasks.c.position > after)
    with database.read() as connection:
        run = connection.execute(
            sa.select(runs.workflow_id, runs.workflow_version).where(runs.workflow_run_id == run_id)
        ).one_or_none()
        rows = connection.execute(query.order_by(tasks.c.position).limit(limit + 1)).all()
    if run is None:
        raise NotFound("run_not_found")
    plan = plan_of(run.workflow_id, run.workflow_version)
    if not index < len(plan.steps):
        raise NotFound("task_run_not_found")
    items = [{**_task(run_id, plan, row.position, row, {}), "item": row.position // STRIDE - 1} for row in rows[:limit]]
    return items, encode_cursor(rows[limit - 1].position) if len(rows) > limit else None


def _task(run_id: str, plan: Plan, index: int, row: Any, counted: Mapping[int, Mapping[str, int]]) -> dict[str, Any]:
    spec = plan.step(index).spec
    shown = {
        "task_run_id": f"{run_id}-{index}",
        "key": spec.key,
        "name": spec.name,
        "type": spec.type,
        "concurrency_key": spec.concurrency_key,
        "concurrency_limit": None if spec.concurrency_key is None else spec.concurrency_limit,
    }
    if row is None:
        empty = ("waited_ms", "ran_ms", "queued_at", "started_at", "finished_at", "worker", "error")
        return shown | {"state": TaskState.PENDING, "attempt": 0, "items": None} | dict.fromkeys(empty)
    return shown | _attempt(row, row.state) | {"items": _items(row, counted.get(index, {}))}


def _items(row: Any, states: Mapping[str, int]) -> dict[str, int] | None:
    if row.item_count is None:
        return None
    return {
        "total": row.item_count,
        "succeeded": states.get(TaskState.SUCCESS, 0),
        "failed": states.get(TaskState.FAILED, 0),
        "open": sum(amount for state, amount in states.items() if not TaskState(state).terminal),
    }


def _attempt(row: Any, state: str) -> dict[str, Any]:
    """A row of task_run, whose attempt is the newest, or of task_attempt."""
    return {
        "state": state,
        "attempt": row.attempt,
        "waited_ms": _milliseconds(row.queued_at, row.started_at),
        "ran_ms": _milliseconds(row.started_at, row.finished_at),
        "queued_at": iso(row.queued_at),
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        "worker": row.worker,
        "error": None if row.failure is None else orjson.loads(row.failure),
    }


def _milliseconds(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else (end - start) / 1000


def read_io(database: Database, organization_id: str, task_run_id: str) -> dict[str, Any]:
    """A task run's resolved input, its output (null while there is none) and its attempts. Of a payload that is kept
    apart only where to get it. Raises NotFound."""
    tasks, data, kept = tables.task_run, tables.task_io_data, tables.task_attempt
    with database.read() as connection:
        task = connection.execute(
            sa.select(tasks).where(tasks.c.task_run_id == task_run_id, tasks.c.organization_id == organization_id)
        ).one_or_none()
        if task is None:
            raise NotFound("task_run_not_found")
        rows = connection.execute(
            sa.select(data.c.direction, data.c.body, data.c.size, data.c.reference).where(
                data.c.task_io_data_id.in_([f"{task_run_id}.in", f"{task_run_id}.out"])
            )
        ).all()
        failed = connection.execute(
            # by the run, too: that is what the table has an index of
            sa.select(kept)
            .where(kept.c.workflow_run_id == task.workflow_run_id, kept.c.task_run_id == task_run_id)
            .order_by(kept.c.attempt)
        ).all()
    failed_attempts = [_attempt(row, TaskState.FAILED) for row in failed]
    # one that was tried and will be again is still the newest
    newest = [] if task.attempt in (0, *(row.attempt for row in failed)) else [_attempt(task, task.state)]
    return {
        "task_run_id": task_run_id,
        "run_id": task.workflow_run_id,
        **_io(task_run_id, "input", next((row for row in rows if row.direction == "in"), None)),
        **_io(task_run_id, "output", next((row for row in rows if row.direction == "out"), None)),
        "failed_attempts": failed_attempts,
        "attempts": failed_attempts + newest,
    }


def _io(task_run_id: str, name: str, row: Any) -> dict[str, Any]:
    apart = row is not None and row.reference is not None
    address = f"/v0/tasks/io-data/content?task_run_id={task_run_id}&direction={name}"
    return {
        name: None if row is None or apart else orjson.loads(row.body),
        f"{name}_size": None if row is None else row.size,
        f"{name}_url": address if apart else None,
    }


def find_io(database: Database, organization_id: str, task_run_id: str, direction: str) -> bytes | str:
    """A task run's input (`in`) or output (`out`): as JSON, or the reference of what is kept apart. Raises NotFound."""
    data = tables.task_io_data.c
    query = sa.select(data.body, data.reference).where(
        data.task_io_data_id == f"{task_run_id}.{direction}", data.organization_id == organization_id
    )
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("io_data_not_found")
    found: bytes | str = row.body.encode() if row.reference is None else row.reference
    return found
