"""The edge for people: schedules over HTTP, under a workflow and on their own."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, PlainSerializer, field_validator
from pydantic_core import PydanticCustomError

from kit import messages
from kit.auth import Caller, permit
from kit.database import utc_now
from kit.http import Body, IdempotencyKey, IfMatch, StrictRoute, version_of
from scheduler_service.app import Scheduling
from scheduler_service.domain.cron import LONGEST_TEXT, parse
from scheduler_service.domain.description import describe
from scheduler_service.domain.schedule import (
    DEFAULT_TIME_ZONE,
    Firing,
    Misfire,
    Overlap,
    Schedule,
    ScheduleId,
    Timetable,
    next_fires,
)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[datetime, PlainSerializer(_iso, return_type=str)]
Reader = Annotated[Caller, permit("schedule:read")]
Writer = Annotated[Caller, permit("schedule:write")]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=200)]


class TimetableBody(Body):
    """When to run a workflow, and with what input."""

    cron: str = Field(
        min_length=1,
        max_length=LONGEST_TEXT,
        description="Unix, five fields (0 and 7 = Sunday), or Quartz, six or seven with seconds (1 = Sunday).",
        examples=["0 8 * * *", "0 0 8 * * ?"],
    )
    time_zone: str = Field(default=DEFAULT_TIME_ZONE, min_length=1, max_length=64, description="IANA name.")
    text: str = Field(default="", max_length=500, description="A note for people.")
    active: bool = True
    values: dict[str, Any] = Field(default_factory=dict, description="The input of the runs it starts.")
    misfire: Literal["fire_once", "skip"] = Field(
        default="fire_once", description="What becomes of instants that passed while the platform was down."
    )
    overlap: Literal["allow", "skip"] = Field(
        default="allow", description="What becomes of an instant while the run of the one before is still going."
    )

    @field_validator("values")
    @classmethod
    def _storable(cls, values: dict[str, Any]) -> dict[str, Any]:
        try:
            orjson.dumps(values)
        except TypeError as error:
            raise PydanticCustomError("schedule_number", "a number does not fit into 64 bits") from error
        return values

    def timetable(self) -> Timetable:
        return Timetable(
            cron=self.cron.strip(),
            time_zone=self.time_zone,
            text=self.text,
            active=self.active,
            values=self.values,
            misfire=Misfire(self.misfire),
            overlap=Overlap(self.overlap),
        )


class ActiveBody(Body):
    active: bool


class FiringView(BaseModel):
    """What became of one instant."""

    instant: Moment
    state: Literal["pending", "started", "failed", "skipped"]
    run_id: str | None
    reason: str | None = Field(description="Code of why it failed, was skipped, or is not started yet.")


class ScheduleView(BaseModel):
    schedule_id: str
    workflow_id: str
    cron: str
    time_zone: str
    text: str
    active: bool
    paused: bool = Field(description="Held because its workflow is not active; it keeps its own `active`.")
    values: dict[str, Any]
    misfire: str
    overlap: str
    description: str = Field(description="The cron in words, in the language of Accept-Language.")
    next_fire_at: Moment | None = Field(description="Null while it is stopped.")
    next_fires: list[Moment]
    last_firing: FiringView | None
    version: int
    created_at: Moment
    updated_at: Moment


class SchedulePage(BaseModel):
    items: list[ScheduleView]
    next_cursor: str | None


def make_router(scheduling: Scheduling) -> APIRouter:
    """The routes of api.md's row "schedules"."""
    router = APIRouter(prefix="/v0", route_class=StrictRoute, tags=["schedules"])
    _add_workflow_routes(router, scheduling)
    _add_schedule_routes(router, scheduling)
    return router


def _add_workflow_routes(router: APIRouter, scheduling: Scheduling) -> None:
    @router.get("/workflows/{workflow_id}/schedules")
    def list_workflow_schedules(
        workflow_id: str, who: Reader, limit: Limit = 50, cursor: Cursor = None
    ) -> SchedulePage:
        return _page(scheduling, who, workflow_id=workflow_id, active=None, limit=limit, cursor=cursor)

    @router.post("/workflows/{workflow_id}/schedules", status_code=201)
    def create_schedule(
        workflow_id: str, body: TimetableBody, who: Writer, response: Response, idempotency_key: IdempotencyKey = None
    ) -> ScheduleView:
        made = scheduling.create_schedule(
            who.organization_id, workflow_id, body.timetable(), utc_now(), key=idempotency_key
        )
        response.headers["Location"] = f"/v0/schedules/{made.schedule_id}"
        return _one(scheduling, made, response)

    @router.put("/workflows/{workflow_id}/schedules/{schedule_id}")
    def change_workflow_schedule(
        workflow_id: str,
        schedule_id: str,
        body: TimetableBody,
        who: Writer,
        response: Response,
        if_match: IfMatch = None,
    ) -> ScheduleView:
        changed = scheduling.change_schedule(
            who.organization_id,
            schedule_id,
            body.timetable(),
            utc_now(),
            workflow_id=workflow_id,
            version=version_of(if_match),
        )
        return _one(scheduling, changed, response)

    @router.delete("/workflows/{workflow_id}/schedules/{schedule_id}", status_code=204)
    def delete_workflow_schedule(workflow_id: str, schedule_id: str, who: Writer, if_match: IfMatch = None) -> None:
        scheduling.delete_schedule(
            who.organization_id, schedule_id, utc_now(), workflow_id=workflow_id, version=version_of(if_match)
        )


def _add_schedule_routes(router: APIRouter, scheduling: Scheduling) -> None:
    @router.get("/schedules")
    def list_schedules(
        who: Reader,
        workflow_id: Annotated[str | None, Query(max_length=64)] = None,
        active: Annotated[bool | None, Query()] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> SchedulePage:
        return _page(scheduling, who, workflow_id=workflow_id, active=active, limit=limit, cursor=cursor)

    @router.get("/schedules/{schedule_id}")
    def get_schedule(schedule_id: str, who: Reader, response: Response) -> ScheduleView:
        return _one(scheduling, scheduling.get_schedule(who.organization_id, schedule_id), response)

    @router.put("/schedules/{schedule_id}")
    def change_schedule(
        schedule_id: str, body: TimetableBody, who: Writer, response: Response, if_match: IfMatch = None
    ) -> ScheduleView:
        changed = scheduling.change_schedule(
            who.organization_id, schedule_id, body.timetable(), utc_now(), version=version_of(if_match)
        )
        return _one(scheduling, changed, response)

    @router.delete("/schedules/{schedule_id}", status_code=204)
    def delete_schedule(schedule_id: str, who: Writer, if_match: IfMatch = None) -> None:
        scheduling.delete_schedule(who.organization_id, schedule_id, utc_now(), version=version_of(if_match))

    @router.patch("/schedules/{schedule_id}/active")
    def set_active(
        schedule_id: str, body: ActiveBody, who: Writer, response: Response, if_match: IfMatch = None
    ) -> ScheduleView:
        changed = scheduling.set_active(
            who.organization_id, schedule_id, body.active, utc_now(), version=version_of(if_match)
        )
        return _one(scheduling, changed, response)


def _page(
    scheduling: Scheduling, who: Caller, *, workflow_id: str | None, active: bool | None, limit: int, cursor: str | None
) -> SchedulePage:
    page = scheduling.list_schedules(
        who.organization_id, workflow_id=workflow_id, active=active, limit=limit, cursor=cursor
    )
    return SchedulePage(items=_views(page.items, scheduling.last_firings(page.items)), next_cursor=page.next_cursor)


def _one(scheduling: Scheduling, schedule: Schedule, response: Response) -> ScheduleView:
    response.headers["ETag"] = f'"{schedule.version}"'
    return _views([schedule], scheduling.last_firings([schedule]))[0]


def _views(schedules: Sequence[Schedule], last: Mapping[ScheduleId, Firing]) -> list[ScheduleView]:
    return [_view(schedule, last.get(schedule.schedule_id)) for schedule in schedules]


def _view(schedule: Schedule, last: Firing | None) -> ScheduleView:
    timetable = schedule.timetable
    return ScheduleView(
        schedule_id=schedule.schedule_id,
        workflow_id=schedule.workflow_id,
        cron=timetable.cron,
        time_zone=timetable.time_zone,
        text=timetable.text,
        active=timetable.active,
        paused=schedule.paused,
        values=timetable.values,
        misfire=timetable.misfire,
        overlap=timetable.overlap,
        description=describe(parse(timetable.cron), messages.language.get()),
        next_fire_at=schedule.next_fire_at,
        next_fires=list(next_fires(schedule)),
        last_firing=FiringView(instant=last.instant, state=last.state.value, run_id=last.run_id, reason=last.reason)
        if last
        else None,
        version=schedule.version,
        created_at=schedule.created_at,
        updated_at=schedule.updated_at,
    )
