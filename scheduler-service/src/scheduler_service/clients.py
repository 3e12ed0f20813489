"""What this service asks of others, in our own types."""

from dataclasses import dataclass

import grpc
import orjson

from flowweaver.execution.v1 import execution_pb2, execution_pb2_grpc
from flowweaver.workflow.v1 import workflow_pb2, workflow_pb2_grpc
from kit.auth import ServiceTokens
from kit.errors import NotFound
from kit.rpc import Peer
from scheduler_service.domain.schedule import Firing

_TERMINAL = (
    execution_pb2.RUN_STATE_SUCCESS,
    execution_pb2.RUN_STATE_FAILED,
    execution_pb2.RUN_STATE_CANCELLED,
)


class WorkflowNotFound(NotFound):
    """No workflow of this id in this organisation."""

    def __init__(self) -> None:
        super().__init__("schedule_workflow_not_found")


@dataclass(frozen=True)
class Workflow:
    workflow_id: str
    active: bool


class Workflows:
    """workflow-service."""

    def __init__(self, channel: grpc.Channel, tokens: ServiceTokens) -> None:
        self._stub = workflow_pb2_grpc.WorkflowServiceStub(channel)
        self._peer = Peer(tokens, "workflow-service")

    def resolve(self, organization_id: str, workflow_id: str) -> Workflow:
        """Raises WorkflowNotFound, also for another organisation's; Unavailable when nobody answers."""
        try:
            found = self._peer.call(
                self._stub.ResolveWorkflow,
                workflow_pb2.ResolveWorkflowRequest(organization_id=organization_id, workflow_id=workflow_id),
                organization_id=organization_id,
            )
        except NotFound as error:
            raise WorkflowNotFound from error
        return Workflow(found.workflow_id, found.active)


class Executions:
    """execution-service."""

    def __init__(self, channel: grpc.Channel, tokens: ServiceTokens) -> None:
        self._stub = execution_pb2_grpc.ExecutionServiceStub(channel)
        self._peer = Peer(tokens, "execution-service")

    def start_run(self, firing: Firing) -> str:
        """The id of the firing's run, however often it is asked. Raises what the peer answers, or Unavailable."""
        started = self._peer.call(
            self._stub.StartRun,
            execution_pb2.StartRunRequest(
                organization_id=firing.organization_id,
                workflow_id=firing.workflow_id,
                input_json=orjson.dumps(firing.values).decode(),
                idempotency_key=firing.idempotency_key,
                trigger=execution_pb2.TRIGGER_SCHEDULE,
                cause=f"schedule:{firing.schedule_id}",
            ),
            organization_id=firing.organization_id,
        )
        return started.run_id

    def going(self, organization_id: str, run_id: str) -> bool:
        """Whether a run has not ended yet; a run that is no longer known has."""
        try:
            found = self._peer.call(
                self._stub.GetRun,
                execution_pb2.GetRunRequest(organization_id=organization_id, run_id=run_id),
                organization_id=organization_id,
            )
        except NotFound:
            return False
        return found.run.state not in _TERMINAL
