"""The edge for services: what tasks there are, and a trial of one."""

from typing import Any

from flowweaver.worker.v1 import worker_pb2, worker_pb2_grpc
from kit import logs, rpc
from kit.errors import Forbidden
from kit.http import check_json
from worker_service import app as use_cases
from worker_service.app import App, Attempt
from worker_service.sdk import TaskType

SERVICE = "flowweaver.worker.v1.WorkerService"


class WorkerServicer(worker_pb2_grpc.WorkerServiceServicer):
    def __init__(self, app: App, attempt: Attempt) -> None:
        self._app = app
        self._attempt = attempt

    async def ListTaskTypes(
        self, request: worker_pb2.ListTaskTypesRequest, context: Any
    ) -> worker_pb2.ListTaskTypesResponse:
        types = use_cases.list_task_types(self._app)
        return worker_pb2.ListTaskTypesResponse(task_types=[to_proto(found) for found in types])

    async def TryTask(self, request: worker_pb2.TryTaskRequest, context: Any) -> worker_pb2.TryTaskResponse:
        caller = rpc.service_caller.get()
        if caller.organization_id != request.organization_id:
            raise Forbidden("forbidden", permission="workflow:write")
        found = use_cases.task_type_for_trial(self._app, request.type)
        parameters = check_json(request.parameters_json.encode() or b"{}", "parameters_json")
        ids = use_cases.trial_ids(request.organization_id, logs.trace_id.get(), found.name)
        timeout_s = request.timeout_s if request.timeout_s > 0 else 30.0
        outcome, ran_ms = await use_cases.try_task(self._attempt, ids, found.name, parameters, timeout_s)
        if outcome.output is not None:
            return worker_pb2.TryTaskResponse(output_json=outcome.output.decode(), ran_ms=ran_ms)
        error = outcome.as_json()["error"]
        said = worker_pb2.TryError(code=error["code"], message=error["message"], retryable=error["retryable"])
        return worker_pb2.TryTaskResponse(error=said, ran_ms=ran_ms)


def to_proto(found: TaskType) -> worker_pb2.TaskType:
    parameters, output = use_cases.schemas(found)
    return worker_pb2.TaskType(
        type=found.name,
        parameters_schema_json=parameters.decode(),
        output_schema_json=output.decode(),
        errors=[
            worker_pb2.ErrorCode(
                code=error.code,
                retryable=error.retryable,
                text_ko=found.text(error.code, "ko") or error.code,
                text_en=found.text(error.code, "en") or error.code,
            )
            for error in found.errors
        ],
        effect=found.effect,
        timeout_s=found.timeout_s,
        queue=found.queue,
        title_ko=found.title("ko"),
        title_en=found.title("en"),
    )
