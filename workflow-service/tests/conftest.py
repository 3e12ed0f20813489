"""The service on a real database with both edges on real sockets, and its peers as small real gRPC servers."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from jose import jwk, jwt

from flowweaver.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from flowweaver.worker.v1 import worker_pb2, worker_pb2_grpc
from flowweaver.workflow.v1 import workflow_pb2, workflow_pb2_grpc
from kit import rpc
from kit.auth import AUDIENCE, ISSUER, ServiceTokens, Verifier
from kit.database import Database, migrate
from kit.errors import NotFound, Unavailable
from workflow_service import rest
from workflow_service import rpc as edge
from workflow_service.app import Context
from workflow_service.clients import Scheduler, Workers

# a refusal that is none is shown as in a test
pytest.register_assert_rewrite("rest_house")

SECRET = "a service secret of the tests, long enough"
ORG = "org-1"
ALL = ("workflow:read", "workflow:write")

PRIVATE = ec.generate_private_key(ec.SECP256R1())
PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
PUBLIC = PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
JWKS = {"keys": [jwk.construct(PUBLIC, "ES256").to_dict() | {"kid": "k1"}]}


def token(organization_id: str = ORG, permissions: tuple[str, ...] = ALL) -> str:
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "org": organization_id,
        "sid": "session-1",
        "permissions": list(permissions),
        "authz": 1,
        "exp": int(time.time()) + 900,
    }
    return str(jwt.encode(claims, PEM, algorithm="ES256", headers={"kid": "k1"}))


@dataclass
class SchedulerPeer(scheduler_pb2_grpc.SchedulerServiceServicer):
    """Remembers what it was told. It may be `away`, refuse a workflow, or let something happen `meanwhile`, once."""

    told: list[scheduler_pb2.PauseWorkflowRequest] = field(default_factory=list)
    refuses: str = ""
    meanwhile: Callable[[], None] | None = None
    schedules: list[scheduler_pb2.ScheduleSummary] = field(default_factory=list)
    away: bool = False

    async def PauseWorkflow(self, request: scheduler_pb2.PauseWorkflowRequest, context: object) -> Any:
        if self.away:
            raise Unavailable("unavailable")
        if request.workflow_id == self.refuses:
            raise NotFound("workflow_not_found")
        happening, self.meanwhile = self.meanwhile, None
        if happening is not None:
            await asyncio.to_thread(happening)
        self.told.append(request)
        return scheduler_pb2.PauseWorkflowResponse(schedules=1)

    async def ListSchedules(self, request: scheduler_pb2.ListSchedulesRequest, context: object) -> Any:
        if self.away:
            raise Unavailable("unavailable")
        return scheduler_pb2.ListSchedulesResponse(schedules=self.schedules)


@dataclass
class WorkerPeer(worker_pb2_grpc.WorkerServiceServicer):
    """Can run what `types` says; `away` makes it answer nothing."""

    types: list[worker_pb2.TaskType] = field(default_factory=list)
    away: bool = False

    async def ListTaskTypes(self, request: worker_pb2.ListTaskTypesRequest, context: object) -> Any:
        if self.away:
            raise Unavailable("unavailable")
        return worker_pb2.ListTaskTypesResponse(task_types=self.types)


def task_type(name: str, queue: str = "", **properties: Any) -> worker_pb2.TaskType:
    """A type whose parameters are these properties; one that ends in `_` is required."""
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key.rstrip("_"): value for key, value in properties.items()},
        "required": [key.rstrip("_") for key in properties if key.endswith("_")],
    }
    return worker_pb2.TaskType(
        type=name,
        parameters_schema_json=json.dumps(schema),
        output_schema_json='{"type": "object"}',
        errors=[worker_pb2.ErrorCode(code="timeout", retryable=True, text_ko="시간 초과", text_en="Timed out")],
        timeout_s=300,
        queue=queue,
        title_ko=f"{name} 작업",
        title_en=f"Task {name}",
    )


@pytest.fixture
def secret() -> str:
    return SECRET


@pytest.fixture
def free_ports() -> Any:
    """Gives so many ports that nobody listens on."""

    def find(number: int) -> tuple[int, ...]:
        probes = [socket.socket() for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        found = tuple(int(probe.getsockname()[1]) for probe in probes)
        for probe in probes:
            probe.close()
        return found

    return find


@pytest.fixture
def make_task_type() -> Any:
    return task_type


class House:
    """Peers and edges, all on one loop in a thread."""

    def __init__(self) -> None:
        self.scheduler = SchedulerPeer()
        self.worker = WorkerPeer()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._servers: list[rpc.Server] = []

    def serve(self, audience: str, add: Any) -> int:
        """The port of a gRPC server of the service `audience`; `add(server)` gives it its servicers."""

        async def start() -> int:
            server = rpc.Server(ServiceTokens(SECRET, audience))
            add(server)
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


@pytest.fixture
def house() -> Iterator[House]:
    running = House()
    yield running
    running.close()


@pytest.fixture
def peers_port(house: House) -> int:
    """Where both peers answer, as behind the inner balancer: it knows services by path, the peers by audience."""

    def add(server: rpc.Server) -> None:
        server.add("scheduler", scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server, house.scheduler)

    return house.serve("scheduler-service", add)


@pytest.fixture
def worker_port(house: House) -> int:
    def add(server: rpc.Server) -> None:
        server.add("worker", worker_pb2_grpc.add_WorkerServiceServicer_to_server, house.worker)

    return house.serve("worker-service", add)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Migrated and empty: SQLite and MariaDB."""
    opened = Database(database_url)
    migrate(opened, "workflow_service")
    yield opened
    opened.close()


@pytest.fixture
def ctx(database: Database, peers_port: int, worker_port: int) -> Iterator[Context]:
    tokens = ServiceTokens(SECRET, "workflow-service")
    channels = [rpc.connect(f"127.0.0.1:{port}") for port in (peers_port, worker_port)]
    yield Context(database, Scheduler(channels[0], tokens), Workers(channels[1], tokens))
    for channel in channels:
        channel.close()


@pytest.fixture
def app(ctx: Context) -> FastAPI:
    return rest.make(ctx, Verifier(lambda: JWKS))


@pytest.fixture
def address(app: FastAPI) -> Iterator[str]:
    """Where the REST edge listens."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    listener.close()


class Client(httpx.Client):
    """A person at the REST edge."""

    def __init__(self, address: str, organization_id: str = ORG, permissions: tuple[str, ...] = ALL) -> None:
        headers = {"Authorization": f"Bearer {token(organization_id, permissions)}"}
        super().__init__(base_url=f"{address}/v0", headers=headers, trust_env=False, timeout=30)

    def make(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def set(self, path: str, body: Any) -> dict[str, Any]:
        answer = self.put(path, json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def chain(self, *types: str, **workflow: Any) -> tuple[str, str, list[str]]:
        """A workflow of one job of new tasks of these types: ids of workflow, job and tasks."""
        tasks = [str(self.make("/tasks", name=type_, type=type_)["task_id"]) for type_ in types]
        job_id = str(self.make("/jobs", name="job")["job_id"])
        self.set(f"/jobs/{job_id}/tasks", [{"task_id": task_id} for task_id in tasks])
        workflow_id = str(self.make("/workflows", **({"name": "사슬"} | workflow))["workflow_id"])
        self.set(f"/workflows/{workflow_id}/jobs", [{"job_id": job_id}])
        return workflow_id, job_id, tasks


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address) as opened:
        yield opened


@pytest.fixture
def make_client(address: str) -> Any:
    return lambda *who: Client(address, *who)


class Definitions:
    """Another service at the gRPC edge."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.stub = workflow_pb2_grpc.WorkflowServiceStub(channel)
        self.peer = rpc.Peer(ServiceTokens(SECRET, "execution-service"), "workflow-service")

    def get(self, workflow_id: str, version: int = 0, organization_id: str = ORG) -> Any:
        request = workflow_pb2.GetDefinitionRequest(
            organization_id=organization_id, workflow_id=workflow_id, version=version
        )
        return self.peer.call(self.stub.GetDefinition, request, organization_id=organization_id).definition

    def resolve(self, workflow_id: str, organization_id: str = ORG, as_organization: str | None = None) -> Any:
        request = workflow_pb2.ResolveWorkflowRequest(organization_id=organization_id, workflow_id=workflow_id)
        asking = as_organization or organization_id
        return self.peer.call(self.stub.ResolveWorkflow, request, organization_id=asking)

    def tasks(self, workflow_id: str, version: int = 0) -> dict[str, Any]:
        return {task.key: task for job in self.get(workflow_id, version).jobs for task in job.tasks}

    def parameters(self, workflow_id: str, version: int = 0) -> dict[str, Any]:
        return {key: json.loads(task.parameters_json) for key, task in self.tasks(workflow_id, version).items()}


@pytest.fixture
def definitions(ctx: Context, house: House) -> Iterator[Definitions]:
    port = house.serve("workflow-service", lambda server: edge.add_to(server, ctx))
    channel = rpc.connect(f"127.0.0.1:{port}")
    yield Definitions(channel)
    channel.close()
