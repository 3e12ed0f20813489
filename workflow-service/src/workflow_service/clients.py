"""What this service asks of others, in our own types. One channel to the balancer finds every replica."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import grpc
import orjson

from flowweaver.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from flowweaver.worker.v1 import worker_pb2, worker_pb2_grpc
from kit.auth import ServiceTokens
from kit.database import from_micros
from kit.rpc import Peer
from workflow_service.domain.model import DEFAULT_QUEUE, ErrorCode, TaskType


@dataclass(frozen=True)
class Schedule:
    """A schedule as its scheduler knows it. `next_fire_at` None: it will not fire again."""

    schedule_id: str
    cron: str
    time_zone: str
    text: str
    description: str
    active: bool
    paused: bool
    values: dict[str, Any]
    next_fire_at: datetime | None


class Scheduler:
    """scheduler-service."""

    def __init__(self, channel: grpc.Channel, tokens: ServiceTokens) -> None:
        self._stub = scheduler_pb2_grpc.SchedulerServiceStub(channel)
        self._peer = Peer(tokens, "scheduler-service", timeout_s=2.0)

    def pause_workflow(
        self, organization_id: str, workflow_id: str, *, paused: bool, deleted: bool, idempotency_key: str
    ) -> None:
        """Holds, releases or removes all schedules of a workflow. Raises Unavailable."""
        request = scheduler_pb2.PauseWorkflowRequest(
            organization_id=organization_id,
            workflow_id=workflow_id,
            paused=paused,
            deleted=deleted,
            idempotency_key=idempotency_key,
        )
        self._peer.call(self._stub.PauseWorkflow, request, organization_id=organization_id)

    def list_schedules(self, organization_id: str, workflow_id: str) -> list[Schedule]:
        """A workflow's schedules. Raises Unavailable."""
        request = scheduler_pb2.ListSchedulesRequest(organization_id=organization_id, workflow_id=workflow_id)
        answer = self._peer.call(self._stub.ListSchedules, request, organization_id=organization_id)
        return [_to_schedule(summary) for summary in answer.schedules]


def _to_schedule(summary: scheduler_pb2.ScheduleSummary) -> Schedule:
    schedule = summary.schedule
    return Schedule(
        schedule_id=schedule.schedule_id,
        cron=schedule.cron,
        time_zone=schedule.time_zone,
        text=schedule.text,
        description=summary.description,
        active=schedule.active,
        paused=summary.paused,
        values=orjson.loads(schedule.values_json or b"{}"),
        next_fire_at=from_micros(summary.next_fire_at) if summary.next_fire_at else None,
    )


class Workers:
    """worker-service: any one replica answers for all."""

    def __init__(self, channel: grpc.Channel, tokens: ServiceTokens) -> None:
        self._stub = worker_pb2_grpc.WorkerServiceStub(channel)
        self._peer = Peer(tokens, "worker-service", timeout_s=2.0)

    def list_task_types(self) -> list[TaskType]:
        """What the workers can run. Raises Unavailable."""
        answer = self._peer.call(self._stub.ListTaskTypes, worker_pb2.ListTaskTypesRequest())
        return [_to_task_type(item) for item in answer.task_types]


def _to_task_type(item: worker_pb2.TaskType) -> TaskType:
    return TaskType(
        type=item.type,
        parameters_schema=orjson.loads(item.parameters_schema_json or b"{}"),
        output_schema=orjson.loads(item.output_schema_json or b"{}"),
        errors=tuple(ErrorCode(error.code, error.retryable, error.text_ko, error.text_en) for error in item.errors),
        effect=item.effect,
        timeout_s=item.timeout_s,
        queue=item.queue or DEFAULT_QUEUE,
        title_ko=item.title_ko,
        title_en=item.title_en,
    )
