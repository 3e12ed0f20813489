"""REST for people: the list of runs, narrowed and sorted, and what runs add up to. rest.py mounts it before its own
routes: `/workflow-runs/statistics` is not a run."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import PlainValidator, ValidationError, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator
from pydantic_core import PydanticCustomError

from execution_service.app import Execution
from execution_service.domain.run import RunState, TaskState
from execution_service.storage import history
from execution_service.storage.statistics import Span, run_statistics
from kit.auth import Caller, permit
from kit.database import to_micros, utc_now
from kit.errors import Invalid
from kit.http import Body, StrictRoute

router = APIRouter(prefix="/v0", route_class=StrictRoute, tags=["runs"])

MayRead = Annotated[Caller, permit("run:read")]
WorkflowId = Annotated[str | None, Query(min_length=1, max_length=64)]

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
_LONGEST_DAYS = 366
_USUAL_DAYS = 30


def _instant(value: Any) -> datetime:
    """A moment with its offset, else it would be another one for everybody; no number, which could be any unit."""
    try:
        if isinstance(value, str) and _INSTANT.fullmatch(value):
            return datetime.fromisoformat(value.upper())
    except ValueError:
        pass
    raise PydanticCustomError("instant_form", "This must be an ISO 8601 instant with its offset.")


def _each_state(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Names the parameter, however often it stands there."""
    try:
        return check(value)
    except ValidationError as error:
        known = ", ".join(f"'{each}'" for each in RunState)
        raise PydanticCustomError("enum", "{expected}", {"expected": known}) from error


Instant = Annotated[datetime, PlainValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
States = Annotated[list[RunState] | None, WrapValidator(_each_state), Query(description="Several are any of them.")]
From = Annotated[Instant | None, Query(description="Accepted then or later: an ISO 8601 instant.")]
To = Annotated[Instant | None, Query(description="Accepted before: an ISO 8601 instant.")]


class ErrorAnswer(Body):
    code: str
    message: str
    retryable: bool
    details: Any = None


class RunSummary(Body):
    """A run in a list. `version` grows with every change. Times are ISO 8601 in UTC.

    `waited_ms`: from its acceptance until its first task started, or its end when none did. `ran_ms`: from then until
    its end. `duration_ms`: from `started_at`, when its turn came, until its end.
    """

    run_id: str
    number: int
    state: RunState
    version: int
    trigger: str
    cause: str
    workflow_id: str
    workflow_version: int
    workflow_name: str
    rerun_of: str | None
    trace_id: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    waited_ms: float | None
    ran_ms: float | None
    duration_ms: float | None
    error: ErrorAnswer | None


class RunPage(Body):
    items: list[RunSummary]
    next_cursor: str | None


class Count(Body):
    """`states` has every state. `success_rate`: of what ended and was not cancelled; null when nothing did."""

    total: int
    success_rate: float | None


class RunCount(Count):
    states: dict[RunState, int]


class RunTimes(RunCount):
    """The half, and 95 of 100, of the runs that ended took no longer than this."""

    duration_ms_p50: float | None
    duration_ms_p95: float | None


class WorkflowStatistics(RunTimes):
    """`workflow_name` as its newest run has it."""

    workflow_id: str
    workflow_name: str


class DayStatistics(RunTimes):
    """`day`: a date in the time zone asked for."""

    day: str


class TaskTypeStatistics(Count):
    type: str
    states: dict[TaskState, int]
    ran_ms_p50: float | None
    ran_ms_p95: float | None


class RunStatistics(RunCount):
    """Of the newest 100,000 runs and 200,000 task runs of the range; `truncated` when there are more.

    Runs from `counted_from` on are counted. `workflows`: the 50 with most runs. `days`: all of them, oldest first.
    """

    created_from: str
    created_to: str
    counted_from: str
    truncated: bool
    time_zone: str
    workflows: list[WorkflowStatistics]
    task_types: list[TaskTypeStatistics]
    days: list[DayStatistics]


def _execution(request: Request) -> Execution:
    found: Execution = request.app.state.execution
    return found


@router.get("/workflow-runs", response_model=RunPage)
def list_runs(
    request: Request,
    caller: MayRead,
    workflow_id: WorkflowId = None,
    state: States = None,
    trigger: Literal["manual", "schedule", "event", "webhook", "parent_run", "rerun"] | None = None,
    created_from: From = None,
    created_to: To = None,
    text: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=200,
            description="Part of the workflow's name, the cause or the number, whatever the case, or a trace id, looked"
            " for in 5,000 runs a page, which may be empty and have a next one; or the id of a run or a task run.",
        ),
    ] = None,
    sort: Annotated[
        Literal["-created_at", "created_at", "-finished_at", "finished_at", "-duration", "duration"],
        Query(description="Runs that have not ended stand last when sorted by their end or duration."),
    ] = "-created_at",
    cursor: Annotated[str | None, Query(max_length=400)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Runs of the caller's organisation, newest first unless sorted otherwise. A cursor belongs to its sort."""
    _check_range(created_from, created_to)
    wanted = history.RunFilter(
        workflow_id=workflow_id,
        states=tuple(state or ()),
        trigger=trigger,
        created_from=None if created_from is None else to_micros(created_from),
        created_to=None if created_to is None else to_micros(created_to),
        text=text,
    )
    items, next_cursor = history.list_runs(
        _execution(request).database, caller.organization_id, wanted, sort=sort, cursor=cursor, limit=limit
    )
    return _json({"items": items, "next_cursor": next_cursor})


@router.get("/workflow-runs/statistics", response_model=RunStatistics)
def get_run_statistics(
    request: Request,
    caller: MayRead,
    workflow_id: WorkflowId = None,
    created_from: From = None,
    created_to: To = None,
    time_zone: Annotated[str, Query(min_length=1, max_length=64, description="IANA name: where days begin.")] = "UTC",
) -> Response:
    """How runs ended and how long they took: of all, per workflow, per task type, per day. By default the last 30 days,
    at most 366."""
    zone = _zone(time_zone)
    for name, at in (("created_from", created_from), ("created_to", created_to)):
        if at is not None and at < _EARLIEST:
            raise Invalid.field(f"query.{name}", "range_too_early", earliest=_EARLIEST.date().isoformat())
    end = created_to or utc_now()
    begin = created_from or end - timedelta(days=_USUAL_DAYS)
    _check_range(begin, end)
    if end - begin > timedelta(days=_LONGEST_DAYS):
        raise Invalid.field("query.created_from", "range_too_long", days=_LONGEST_DAYS)
    span = Span(caller.organization_id, to_micros(begin), to_micros(end), workflow_id)
    return _json(run_statistics(_execution(request).database, span, zone))


def _check_range(begin: datetime | None, end: datetime | None) -> None:
    if begin is not None and end is not None and begin >= end:
        raise Invalid.field("query.created_to", "range_empty")


def _zone(name: str) -> ZoneInfo:
    try:
        # not what a machine calls its own, nor other countings of the same zones
        if name.split("/")[0] in ("posix", "right", "posixrules", "localtime", "Factory"):
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid.field("query.time_zone", "time_zone_unknown", value=name) from error


def _json(content: Any) -> Response:
    """Reads come from the tables in their final shape: they go out without a second validation."""
    return Response(orjson.dumps(content), media_type="application/json")
