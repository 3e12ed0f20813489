"""The edge for services: definitions as protobuf. Only to_proto here, nothing is decided."""

from typing import Any

import orjson

from flowweaver.workflow.v1 import workflow_pb2, workflow_pb2_grpc
from kit.auth import ServiceCaller
from kit.errors import NotFound
from kit.rpc import Server, in_thread
from workflow_service import app
from workflow_service.app import Context, Snapshot
from workflow_service.domain.model import Backoff, FailurePolicy, JobSpec, Overflow, Retry, TaskSpec

NAME = "flowweaver.workflow.v1.WorkflowService"

_POLICY = {
    FailurePolicy.CONTINUE: workflow_pb2.FAILURE_POLICY_CONTINUE,
    FailurePolicy.STOP: workflow_pb2.FAILURE_POLICY_STOP,
    FailurePolicy.ISOLATE: workflow_pb2.FAILURE_POLICY_ISOLATE,
}
_BACKOFF = {
    Backoff.FIXED: workflow_pb2.BACKOFF_FIXED,
    Backoff.EXPONENTIAL: workflow_pb2.BACKOFF_EXPONENTIAL,
}
_OVERFLOW = {
    None: workflow_pb2.OVERFLOW_UNSPECIFIED,
    Overflow.QUEUE: workflow_pb2.OVERFLOW_QUEUE,
    Overflow.SKIP: workflow_pb2.OVERFLOW_SKIP,
    Overflow.CANCEL: workflow_pb2.OVERFLOW_CANCEL,
}


class WorkflowService(workflow_pb2_grpc.WorkflowServiceServicer):
    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    @in_thread
    def GetDefinition(
        self, request: workflow_pb2.GetDefinitionRequest, caller: ServiceCaller
    ) -> workflow_pb2.GetDefinitionResponse:
        _check_organization(caller, request.organization_id)
        snapshot = app.get_definition(self._ctx, request.organization_id, request.workflow_id, request.version)
        return workflow_pb2.GetDefinitionResponse(definition=_to_proto(snapshot))

    @in_thread
    def ResolveWorkflow(
        self, request: workflow_pb2.ResolveWorkflowRequest, caller: ServiceCaller
    ) -> workflow_pb2.ResolveWorkflowResponse:
        _check_organization(caller, request.organization_id)
        name, version, active = app.workflow_head(self._ctx, request.organization_id, request.workflow_id)
        return workflow_pb2.ResolveWorkflowResponse(
            workflow_id=request.workflow_id, name=name, active=active, version=version
        )


def add_to(server: Server, ctx: Context) -> None:
    server.add(NAME, workflow_pb2_grpc.add_WorkflowServiceServicer_to_server, WorkflowService(ctx))


def _check_organization(caller: ServiceCaller, organization_id: str) -> None:
    """A call made for one organisation must not read another's."""
    if caller.organization_id and caller.organization_id != organization_id:
        raise NotFound("workflow_not_found")


def _to_proto(snapshot: Snapshot) -> workflow_pb2.Definition:
    definition = snapshot.definition
    schema, concurrency = definition.input_schema, definition.concurrency
    return workflow_pb2.Definition(
        organization_id=definition.organization_id,
        workflow_id=definition.workflow_id,
        version=definition.version,
        name=definition.name,
        active=snapshot.active,
        input_schema_json="" if schema is None else _json(schema),
        timeout_s=definition.timeout_s,
        retention_days=definition.retention_days,
        concurrency_limit=concurrency.limit if concurrency else 0,
        concurrency_overflow=_OVERFLOW[concurrency.overflow if concurrency else None],
        jobs=[_job_to_proto(job) for job in definition.jobs],
    )


def _job_to_proto(job: JobSpec) -> workflow_pb2.Job:
    return workflow_pb2.Job(
        key=job.key,
        name=job.name,
        depends_on=job.depends_on,
        tasks=[_task_to_proto(task) for task in job.tasks],
        job_id=job.job_id,
    )


def _task_to_proto(task: TaskSpec) -> workflow_pb2.Task:
    return workflow_pb2.Task(
        key=task.key,
        task_id=task.task_id,
        name=task.name,
        type=task.type,
        parameters_json=_json(task.parameters),
        depends_on=task.depends_on,
        failure_policy=_POLICY[task.failure_policy],
        retry=_retry_to_proto(task.retry),
        timeout_s=task.timeout_s,
        queue=task.queue,
        priority=task.priority,
        when=task.when or "",
        queue_timeout_s=task.queue_timeout_s,
        heartbeat_s=task.heartbeat_s,
        for_each_json="" if task.for_each is None else _json(task.for_each),
        max_parallel=task.max_parallel,
        concurrency_key=task.concurrency_key or "",
        concurrency_limit=task.concurrency_limit or 0,
    )


def _retry_to_proto(retry: Retry) -> workflow_pb2.Retry:
    return workflow_pb2.Retry(
        max_attempts=retry.max_attempts,
        backoff=_BACKOFF[retry.backoff],
        delay_s=retry.delay_s,
        max_delay_s=retry.max_delay_s,
        jitter=retry.jitter,
    )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
