"""gRPC for services: what REST offers people, plus giving a task's result from outside a worker."""

import re
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from execution_service import app as use
from execution_service.domain.run import Failure, RunState
from execution_service.waiting import Joins
from flowweaver.execution.v1 import execution_pb2, execution_pb2_grpc
from kit.errors import Conflict, Forbidden, Invalid
from kit.http import check_json
from kit.rpc import from_enum, service_caller

NAME = "flowweaver.execution.v1.ExecutionService"
_CODE = r"[A-Za-z][A-Za-z0-9_.-]{0,99}"
_LONGEST_MESSAGE = 10_000


class ExecutionServicer(execution_pb2_grpc.ExecutionServiceServicer):
    """Every call names the organisation it is for, and must have been made for it."""

    def __init__(self, execution: use.Execution, joins: Joins) -> None:
        self._execution = execution
        self._joins = joins

    async def StartRun(self, request: Any, context: Any) -> execution_pb2.StartRunResponse:
        _check(request.organization_id)
        run_id, created = await use.start_run(
            self._execution,
            request.organization_id,
            request.workflow_id,
            _json(request.input_json, "input_json"),
            trigger=from_enum(dict(execution_pb2.Trigger.items()), "TRIGGER_", request.trigger),
            cause=request.cause,
            idempotency_key=request.idempotency_key or None,
        )
        return execution_pb2.StartRunResponse(run_id=run_id, created=created)

    async def GetRun(self, request: Any, context: Any) -> execution_pb2.GetRunResponse:
        _check(request.organization_id)
        async for found in use.watch_run(self._execution, request.organization_id, request.run_id):
            return execution_pb2.GetRunResponse(run=to_proto(found))
        raise AssertionError("watch_run gives at least the run as it is")

    async def CancelRun(self, request: Any, context: Any) -> execution_pb2.CancelRunResponse:
        _check(request.organization_id)
        state = await _or_as_it_is(use.cancel_run(self._execution, request.organization_id, request.run_id))
        return execution_pb2.CancelRunResponse(state=_state(state))

    async def PauseRun(self, request: Any, context: Any) -> execution_pb2.PauseRunResponse:
        _check(request.organization_id)
        state = await _or_as_it_is(use.pause_run(self._execution, request.organization_id, request.run_id))
        return execution_pb2.PauseRunResponse(state=_state(state))

    async def ResumeRun(self, request: Any, context: Any) -> execution_pb2.ResumeRunResponse:
        _check(request.organization_id)
        state = await _or_as_it_is(use.resume_run(self._execution, request.organization_id, request.run_id))
        return execution_pb2.ResumeRunResponse(state=_state(state))

    async def RerunRun(self, request: Any, context: Any) -> execution_pb2.RerunRunResponse:
        _check(request.organization_id)
        if sum((request.failed, bool(request.from_task), bool(request.tasks))) > 1:
            raise Invalid.field("failed", "rerun_ambiguous")
        if len(request.tasks) > use.MOST_CHOSEN:
            raise Invalid.field("tasks", "too_long", max_length=use.MOST_CHOSEN)
        if request.to_task and not request.from_task:
            raise Invalid.field("from_task", "missing")
        item = request.item if request.HasField("item") else None
        if item is not None and len(request.tasks) != 1:
            raise Invalid.field("tasks", "item_of_one_task")
        run_id, created = await use.rerun(
            self._execution,
            request.organization_id,
            request.run_id,
            use.Again(
                failed=request.failed,
                from_task=request.from_task or None,
                to_task=request.to_task or None,
                tasks=tuple(request.tasks),
                latest=request.latest,
                item=item,
            ),
            cause=request.cause,
            idempotency_key=request.idempotency_key or None,
        )
        return execution_pb2.RerunRunResponse(run_id=run_id, created=created)

    async def PublishEvent(self, request: Any, context: Any) -> execution_pb2.PublishEventResponse:
        _check(request.organization_id)
        data = _json(request.data_json, "data_json")
        key = request.idempotency_key or None
        event_id, _ = await self._joins.publish(request.organization_id, request.name, data, key)
        return execution_pb2.PublishEventResponse(event_id=event_id)

    async def CompleteTask(self, request: Any, context: Any) -> execution_pb2.CompleteTaskResponse:
        _check(request.organization_id)
        failure, output = None, None
        match request.WhichOneof("outcome"):
            case "error":
                failure = _failure(request.error)
            case "output_json":
                output = _json(request.output_json, "output_json")
            case _:
                raise Invalid.field("outcome", "missing")
        accepted = await use.complete_task(
            self._execution,
            request.organization_id,
            request.task_run_id,
            request.attempt,
            output=output,
            failure=failure,
        )
        return execution_pb2.CompleteTaskResponse(accepted=accepted)

    async def WatchRun(self, request: Any, context: Any) -> AsyncIterator[execution_pb2.WatchRunResponse]:
        _check(request.organization_id)
        changes = use.watch_run(self._execution, request.organization_id, request.run_id, request.after_version)
        async for change in changes:
            yield execution_pb2.WatchRunResponse(run=to_proto(change))


async def _or_as_it_is(asking: Awaitable[RunState]) -> str:
    """The state that a run was brought to, or the one it is in when that was not possible."""
    try:
        return await asking
    except Conflict as refused:
        return str(refused.params["state"])


def _check(organization_id: str) -> None:
    if not organization_id or service_caller.get().organization_id != organization_id:
        raise Forbidden("forbidden", permission="organization")


def _json(text: str, field: str) -> Any:
    return check_json(text.encode() or b"{}", field)


def _failure(error: execution_pb2.TaskError) -> Failure:
    if not re.fullmatch(_CODE, error.code):
        raise Invalid.field("error.code", "string_pattern_mismatch", pattern=_CODE)
    if len(error.message) > _LONGEST_MESSAGE:
        raise Invalid.field("error.message", "string_too_long", max_length=_LONGEST_MESSAGE)
    return Failure(error.code, error.message, error.retryable)


def _state(state: str) -> execution_pb2.RunState.ValueType:
    return execution_pb2.RunState.Value(f"RUN_STATE_{state}")


def to_proto(run: dict[str, Any]) -> execution_pb2.Run:
    """A run as the history shows it, as its message."""
    return execution_pb2.Run(
        run_id=run["run_id"],
        workflow_id=run["workflow_id"],
        workflow_version=run["workflow_version"],
        number=run["number"],
        state=_state(run["state"]),
        version=run["version"],
        trace_id=run["trace_id"],
        tasks=[
            execution_pb2.Task(
                task_run_id=task["task_run_id"],
                key=task["key"],
                state=task["state"],
                attempt=task["attempt"],
                error_code=(task["error"] or {}).get("code", ""),
            )
            for job in run["jobs"]
            for task in job["tasks"]
        ],
    )
