"""The edge for services: workflow-service keeps a workflow's schedules in step with its definition."""

from typing import Any

import orjson

from flowweaver.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from kit.auth import ServiceCaller
from kit.database import to_micros, utc_now
from kit.errors import Forbidden, Invalid
from kit.http import check_json
from kit.rpc import Server, in_thread
from scheduler_service.app import Scheduling
from scheduler_service.domain.cron import parse
from scheduler_service.domain.description import describe
from scheduler_service.domain.schedule import DEFAULT_TIME_ZONE, Schedule, Timetable

NAME = "flowweaver.scheduler.v1.SchedulerService"
_LONGEST_TEXT = 500
_LONGEST_ID = 64
_AT_ONCE = 200


def serve(server: Server, scheduling: Scheduling, language: str) -> None:
    """Adds this service to a server; schedules are described in `language`."""
    register = scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server
    server.add(NAME, register, SchedulerServicer(scheduling, language))


class SchedulerServicer:
    """What proto/flowweaver/scheduler/v1 promises."""

    def __init__(self, scheduling: Scheduling, language: str) -> None:
        self._scheduling = scheduling
        self._language = language

    @in_thread
    def UpsertSchedules(
        self, request: scheduler_pb2.UpsertSchedulesRequest, caller: ServiceCaller
    ) -> scheduler_pb2.UpsertSchedulesResponse:
        _check_scope(request, caller)
        if len(request.schedules) > _AT_ONCE:
            raise Invalid.field("schedules", "too_long", max_length=_AT_ONCE)
        made = self._scheduling.upsert_schedules(
            request.organization_id,
            request.workflow_id,
            [(wanted.schedule_id, _timetable(wanted)) for wanted in request.schedules],
            utc_now(),
            key=request.idempotency_key or None,
        )
        return scheduler_pb2.UpsertSchedulesResponse(schedules=[_to_proto(schedule) for schedule in made])

    @in_thread
    def PauseWorkflow(
        self, request: scheduler_pb2.PauseWorkflowRequest, caller: ServiceCaller
    ) -> scheduler_pb2.PauseWorkflowResponse:
        _check_scope(request, caller)
        if request.deleted:
            count = self._scheduling.remove_workflow(request.organization_id, request.workflow_id, utc_now())
        else:
            count = self._scheduling.pause_workflow(
                request.organization_id, request.workflow_id, request.paused, utc_now()
            )
        return scheduler_pb2.PauseWorkflowResponse(schedules=count)

    @in_thread
    def ListSchedules(
        self, request: scheduler_pb2.ListSchedulesRequest, caller: ServiceCaller
    ) -> scheduler_pb2.ListSchedulesResponse:
        _check_scope(request, caller)
        found = self._scheduling.schedules_of(request.organization_id, request.workflow_id)
        return scheduler_pb2.ListSchedulesResponse(schedules=[self._to_summary(schedule) for schedule in found])

    def _to_summary(self, schedule: Schedule) -> scheduler_pb2.ScheduleSummary:
        return scheduler_pb2.ScheduleSummary(
            schedule=_to_proto(schedule),
            description=describe(parse(schedule.timetable.cron), self._language),
            next_fire_at=to_micros(schedule.next_fire_at) if schedule.next_fire_at else 0,
            paused=schedule.paused,
        )


def _check_scope(request: Any, caller: ServiceCaller) -> None:
    """A token made for one organisation opens no other."""
    for field in ("organization_id", "workflow_id"):
        if not getattr(request, field):
            raise Invalid.field(field, "missing")
        if len(getattr(request, field)) > _LONGEST_ID:
            raise Invalid.field(field, "string_too_long", max_length=_LONGEST_ID)
    if caller.organization_id and caller.organization_id != request.organization_id:
        raise Forbidden("forbidden", permission="schedule:write")


def _timetable(wanted: scheduler_pb2.Schedule) -> Timetable:
    if len(wanted.text) > _LONGEST_TEXT:
        raise Invalid.field("schedules.text", "string_too_long", max_length=_LONGEST_TEXT)
    values = check_json(wanted.values_json.encode() or b"{}", "schedules.values_json")
    if not isinstance(values, dict):
        raise Invalid.field("schedules.values_json", "dict_type")
    return Timetable(
        cron=wanted.cron.strip(),
        time_zone=wanted.time_zone or DEFAULT_TIME_ZONE,
        text=wanted.text,
        active=wanted.active,
        values=values,
    )


def _to_proto(schedule: Schedule) -> scheduler_pb2.Schedule:
    timetable = schedule.timetable
    return scheduler_pb2.Schedule(
        schedule_id=schedule.schedule_id,
        cron=timetable.cron,
        time_zone=timetable.time_zone,
        text=timetable.text,
        active=timetable.active,
        values_json=orjson.dumps(timetable.values).decode(),
    )
