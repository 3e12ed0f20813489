"""A scheduler on real databases, and its peers as real gRPC servers of ten lines each."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from flowweaver.execution.v1 import execution_pb2, execution_pb2_grpc
from flowweaver.workflow.v1 import workflow_pb2, workflow_pb2_grpc
from kit import database as kit_database
from kit import rpc
from kit.auth import ServiceTokens
from kit.errors import Error, NotFound
from kit.ids import new_id
from scheduler_service.app import Scheduling
from scheduler_service.clients import Executions, Workflows
from scheduler_service.storage import Storage

SECRET = "a-secret-of-the-tests"
ORG = "org-1"
WORKFLOW = "workflow-1"


@dataclass
class WorkflowPeer:
    """Knows workflows by (organisation, id) and whether each is active."""

    known: dict[tuple[str, str], bool] = field(default_factory=lambda: {(ORG, WORKFLOW): True})

    async def ResolveWorkflow(self, request: workflow_pb2.ResolveWorkflowRequest, context: object) -> Any:
        active = self.known.get((request.organization_id, request.workflow_id))
        if active is None:
            raise NotFound("workflow_not_found")
        return workflow_pb2.ResolveWorkflowResponse(workflow_id=request.workflow_id, active=active)


@dataclass
class ExecutionPeer:
    """Starts a run once for each key. `error` is its answer instead; `lost` is its answer to a run it did start."""

    runs: dict[str, str] = field(default_factory=dict)
    asked: list[execution_pb2.StartRunRequest] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    error: Error | None = None
    lost: Error | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    async def StartRun(self, request: execution_pb2.StartRunRequest, context: object) -> Any:
        if self.error is not None:
            raise self.error
        with self.changed:
            created = request.idempotency_key not in self.runs
            run_id = self.runs.setdefault(request.idempotency_key, new_id())
            self.asked.append(request)
            self.changed.notify_all()
        if self.lost is not None:
            raise self.lost
        return execution_pb2.StartRunResponse(run_id=run_id, created=created)

    async def GetRun(self, request: execution_pb2.GetRunRequest, context: object) -> Any:
        if request.run_id not in self.states:
            raise NotFound("run_not_found")
        run = execution_pb2.Run(run_id=request.run_id, state=self.states[request.run_id])
        return execution_pb2.GetRunResponse(run=run)

    def instants(self) -> list[str]:
        """What follows the @ in the keys of all runs, in order."""
        return sorted(key.partition("@")[2] for key in self.runs)

    def wait_until(self, met: Callable[[], bool], seconds: float = 20) -> None:
        with self.changed:
            assert self.changed.wait_for(met, seconds), self.instants()


class Peers:
    """Both peers, each on its own port, served by one loop in a thread."""

    secret = SECRET

    def __init__(self) -> None:
        self.workflow = WorkflowPeer()
        self.execution = ExecutionPeer()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._servers: list[rpc.Server] = []
        self.workflow_port = self.serve(
            "workflow-service",
            "flowweaver.workflow.v1.WorkflowService",
            workflow_pb2_grpc.add_WorkflowServiceServicer_to_server,
            _partial(workflow_pb2_grpc.WorkflowServiceServicer, self.workflow),
        )
        self.execution_port = self.serve(
            "execution-service",
            "flowweaver.execution.v1.ExecutionService",
            execution_pb2_grpc.add_ExecutionServiceServicer_to_server,
            _partial(execution_pb2_grpc.ExecutionServiceServicer, self.execution),
        )

    def serve(self, audience: str, name: str, register: Callable[[Any, Any], None], servicer: Any) -> int:
        async def start() -> int:
            server = rpc.Server(ServiceTokens(SECRET, audience))
            server.add(name, register, servicer)
            self._servers.append(server)
            return await server.start("127.0.0.1", 0)

        return asyncio.run_coroutine_threadsafe(start(), self.loop).result(20)

    def close(self) -> None:
        async def stop() -> None:
            for server in self._servers:
                await server.stop(0)

        asyncio.run_coroutine_threadsafe(stop(), self.loop).result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(20)
        self.loop.close()


def _partial(base: type, peer: object) -> Any:
    """The generated servicer, answering what `peer` does and UNIMPLEMENTED to the rest."""
    methods = {name: getattr(peer, name) for name in dir(peer) if name[0].isupper()}
    return type("Peer", (base,), {name: staticmethod(method) for name, method in methods.items()})()


@pytest.fixture
def peers() -> Iterator[Peers]:
    running = Peers()
    yield running
    running.close()


@pytest.fixture
def storage(database_url: str) -> Iterator[Storage]:
    """A migrated database, SQLite and MariaDB."""
    database = kit_database.Database(database_url)
    kit_database.migrate(database, "scheduler_service")
    yield Storage(database)
    database.close()


@pytest.fixture
def scheduling(storage: Storage, peers: Peers) -> Iterator[Scheduling]:
    tokens = ServiceTokens(SECRET, "scheduler-service")
    channels = [rpc.connect(f"127.0.0.1:{port}") for port in (peers.workflow_port, peers.execution_port)]
    yield Scheduling(
        storage=storage,
        workflows=Workflows(channels[0], tokens),
        executions=Executions(channels[1], tokens),
        grace=timedelta(seconds=60),
        wake=lambda: None,
    )
    for channel in channels:
        channel.close()
