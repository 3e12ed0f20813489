"""What execution-service asks of others: definitions of workflow-service, sessions of identity-service."""

import orjson

from execution_service.domain.definition import (
    Backoff,
    Concurrency,
    Definition,
    FailurePolicy,
    JobSpec,
    Overflow,
    Retry,
    TaskSpec,
)
from flowweaver.identity.v1 import identity_pb2, identity_pb2_grpc
from flowweaver.workflow.v1 import workflow_pb2, workflow_pb2_grpc
from kit import rpc
from kit.auth import ServiceTokens

_POLICIES = {
    workflow_pb2.FAILURE_POLICY_CONTINUE: FailurePolicy.CONTINUE,
    workflow_pb2.FAILURE_POLICY_STOP: FailurePolicy.STOP,
    workflow_pb2.FAILURE_POLICY_ISOLATE: FailurePolicy.ISOLATE,
}
_OVERFLOWS = {
    workflow_pb2.OVERFLOW_QUEUE: Overflow.QUEUE,
    workflow_pb2.OVERFLOW_SKIP: Overflow.SKIP,
    workflow_pb2.OVERFLOW_CANCEL: Overflow.CANCEL,
}


class WorkflowClient:
    """workflow-service over gRPC. Raises kit.errors: NotFound, Conflict (nothing to run), Unavailable."""

    def __init__(self, inner_url: str, tokens: ServiceTokens) -> None:
        self._channel = rpc.connect(inner_url)
        self._stub = workflow_pb2_grpc.WorkflowServiceStub(self._channel)
        self._peer = rpc.Peer(tokens, "workflow-service")

    def resolve(self, organization_id: str, workflow_id: str) -> tuple[int, bool]:
        """The newest version of a workflow and whether it is active."""
        request = workflow_pb2.ResolveWorkflowRequest(organization_id=organization_id, workflow_id=workflow_id)
        found = self._peer.call(self._stub.ResolveWorkflow, request, organization_id=organization_id)
        return found.version, found.active

    def definition(self, organization_id: str, workflow_id: str, version: int) -> Definition:
        """An immutable version, whole."""
        request = workflow_pb2.GetDefinitionRequest(
            organization_id=organization_id, workflow_id=workflow_id, version=version
        )
        answer = self._peer.call(self._stub.GetDefinition, request, organization_id=organization_id)
        return _definition(answer.definition)

    def close(self) -> None:
        self._channel.close()


class IdentityClient:
    """identity-service over gRPC. Raises kit.errors.Unavailable when nobody answers within `timeout_s`."""

    def __init__(self, inner_url: str, tokens: ServiceTokens, *, timeout_s: float = 1.0) -> None:
        self._channel = rpc.connect(inner_url)
        self._stub = identity_pb2_grpc.IdentityServiceStub(self._channel)
        self._peer = rpc.Peer(tokens, "identity-service", timeout_s=timeout_s)

    def living(self, grants: list[tuple[str, int]]) -> list[bool]:
        """Of ≤ 200 (session id, `authz` of its token): whether the session lives and the token's grants are current."""
        named = [identity_pb2.CheckSessionsRequest.Session(session_id=name, authz=authz) for name, authz in grants]
        answer = self._peer.call(self._stub.CheckSessions, identity_pb2.CheckSessionsRequest(sessions=named))
        return list(answer.alive)

    def close(self) -> None:
        self._channel.close()


def _definition(found: workflow_pb2.Definition) -> Definition:
    return Definition(
        organization_id=found.organization_id,
        workflow_id=found.workflow_id,
        version=found.version,
        name=found.name,
        jobs=tuple(
            JobSpec(
                key=job.key,
                name=job.name,
                job_id=job.job_id,
                depends_on=tuple(job.depends_on),
                tasks=tuple(_task(task) for task in job.tasks),
            )
            for job in found.jobs
        ),
        input_schema=orjson.loads(found.input_schema_json) if found.input_schema_json else None,
        timeout_s=found.timeout_s,
        retention_days=found.retention_days,
        concurrency=_concurrency(found),
    )


def _concurrency(found: workflow_pb2.Definition) -> Concurrency | None:
    if found.concurrency_limit <= 0:
        return None
    return Concurrency(found.concurrency_limit, _OVERFLOWS.get(found.concurrency_overflow, Overflow.QUEUE))


def _task(task: workflow_pb2.Task) -> TaskSpec:
    return TaskSpec(
        key=task.key,
        type=task.type,
        name=task.name,
        task_id=task.task_id,
        parameters=orjson.loads(task.parameters_json) if task.parameters_json else {},
        depends_on=tuple(task.depends_on),
        failure_policy=_POLICIES.get(task.failure_policy, FailurePolicy.CONTINUE),
        retry=_retry(task.retry) if task.HasField("retry") else Retry(),
        timeout_s=task.timeout_s,
        queue=task.queue or "default",
        priority=task.priority or 3,
        when=task.when or None,
        queue_timeout_s=task.queue_timeout_s,
        heartbeat_s=task.heartbeat_s,
        for_each=orjson.loads(task.for_each_json) if task.for_each_json else None,
        max_parallel=task.max_parallel,
        concurrency_key=task.concurrency_key or None,
        concurrency_limit=task.concurrency_limit or 1,
    )


def _retry(retry: workflow_pb2.Retry) -> Retry:
    fixed = retry.backoff == workflow_pb2.BACKOFF_FIXED
    return Retry(
        max_attempts=max(1, retry.max_attempts),
        backoff=Backoff.FIXED if fixed else Backoff.EXPONENTIAL,
        delay_s=retry.delay_s,
        max_delay_s=retry.max_delay_s or 300.0,
        jitter=min(max(retry.jitter, 0.0), 1.0),
    )
