"""The engine's surroundings, real: a broker, a database, a gRPC peer with canned definitions, a hand-driven worker."""

import asyncio
import inspect
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent import futures
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import nats
import orjson
import pytest
import sqlalchemy as sa
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js import JetStreamContext

from execution_service.app import Execution, start_run, watch_run
from execution_service.cache import CACHE_BYTES
from execution_service.clients import IdentityClient, WorkflowClient
from execution_service.dispatch import Dispatcher
from execution_service.domain.definition import Definition, JobSpec, TaskSpec
from execution_service.domain.events import Dispatch, Event, Finished, Tick
from execution_service.domain.plan import Plan, compile_plan
from execution_service.domain.run import Run, RunFacts
from execution_service.engine import Engine, Item, Outcome, begin
from execution_service.lines import Lines
from execution_service.loops import BrokerWatch, Intake, Outbox, Timers
from execution_service.outside import REAL
from execution_service.places import Places
from execution_service.storage import history
from execution_service.storage import runs as stored
from execution_service.storage.commit import StartKey
from execution_service.waiting import Joins
from execution_service.watch import Watchers
from flowweaver.identity.v1 import identity_pb2, identity_pb2_grpc
from flowweaver.workflow.v1 import workflow_pb2, workflow_pb2_grpc
from kit import bus, serve
from kit.auth import ServiceTokens
from kit.database import Database
from kit.ids import new_id
from kit.payloads import PayloadStore

SECRET = "a-secret-of-the-tests"
ORGANIZATION = "org1"
now = REAL.now
PAYLOAD_FOLDER = Path(tempfile.mkdtemp(prefix="fw-payloads-"))
PAYLOADS = PayloadStore(PAYLOAD_FOLDER)
"""Runs have ids of their own: tests may share it."""


def chain(length: int, **task: Any) -> Definition:
    """A workflow of one job whose tasks add one to the number before."""
    tasks = []
    for i in range(length):
        source = "${{ run.input.n }}" if i == 0 else f"${{{{ tasks.t{i - 1}.output.n }}}}"
        after = (f"t{i - 1}",) if i else ()
        tasks.append(TaskSpec(f"t{i}", "test.increment", parameters={"n": source}, depends_on=after, **task))
    return Definition(ORGANIZATION, "chain", 1, "Chain", (JobSpec("job", tuple(tasks)),))


def fan_out(width: int) -> Definition:
    """A workflow of `width` tasks at once and one that reads them all."""
    wide = tuple(TaskSpec(f"t{i}", "test.increment", parameters={"n": i}) for i in range(width))
    last = TaskSpec(
        "last",
        "test.increment",
        parameters={f"t{i}": f"${{{{ tasks.t{i}.output }}}}" for i in range(width)},
        depends_on=tuple(task.key for task in wide),
    )
    return Definition(ORGANIZATION, "fan", 1, "Fan", (JobSpec("job", (*wide, last)),))


def new_run(definition: Definition | Plan, input: Any = None, organization_id: str = ORGANIZATION) -> Run:
    """A run that was accepted and in which nothing has happened."""
    plan = definition if isinstance(definition, Plan) else compile_plan(definition)
    facts = RunFacts(new_id(), organization_id, 1, "manual", "user", "0" * 32, now())
    return Run(facts, plan, input if input is not None else {"n": 0})


class Doubtful(Database):
    """A real database whose next commits are reported as failed although they happened."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.lies = 0
        self.meanwhile: Callable[[], object] = lambda: None

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        with super().write() as connection:
            yield connection
        if self.lies:
            self.lies -= 1
            self.meanwhile()
            raise sa.exc.OperationalError("COMMIT", {}, ConnectionError("the answer was lost"))


class Down(Database):
    """A real database that stops answering for a while."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.refused_writes = 0
        self.refused_reads = 0

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        if self.refused_writes:
            self.refused_writes -= 1
            raise sa.exc.OperationalError("BEGIN", {}, ConnectionError("down"))
        with super().write() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        if self.refused_reads:
            self.refused_reads -= 1
            raise sa.exc.OperationalError("BEGIN", {}, ConnectionError("down"))
        with super().read() as connection:
            yield connection


class Gated(Database):
    """A real database whose commits wait for the gate to be opened."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        with super().write() as connection:
            yield connection
            self.waiting.set()
            assert self.gate.wait(30)


class Cut(Database):
    """A MariaDB whose server ends the connection of the next commits just before them."""

    cuts = 0

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        with super().write() as connection:
            yield connection
            if self.cuts:
                self.cuts -= 1
                number = connection.execute(sa.text("SELECT CONNECTION_ID()")).scalar_one()
                with self.engine.connect() as other:
                    other.execute(sa.text(f"KILL {number}"))


class Desk:
    """An engine with nothing around it: who gives it an event gets the outcome. Use it as a context."""

    def __init__(
        self,
        database: Database,
        *,
        sole_writer: bool = False,
        cache_bytes: int = CACHE_BYTES,
        retention_days: float = 0.0,
    ) -> None:
        self.database = database
        self.engine = Engine(
            database,
            self._deliver,
            PAYLOADS,
            sole_writer=sole_writer,
            cache_bytes=cache_bytes,
            retention_days=retention_days,
        )
        self._kept: set[tuple[str, int]] = set()

    def __enter__(self) -> "Desk":
        self.engine.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.stop()

    @staticmethod
    def _deliver(outcomes: list[tuple[Item, Outcome]]) -> None:
        for item, outcome in outcomes:
            item.done(outcome)

    def ask(self, run_id: str, event: Event, **said: Any) -> "futures.Future[Outcome]":
        answer: futures.Future[Outcome] = futures.Future()
        self.engine.submit(Item(run_id, event, answer.set_result, **said))
        return answer

    def tell(self, run_id: str, event: Event, **said: Any) -> Outcome:
        """The outcome, after its commit."""
        return self.ask(run_id, event, **said).result(60)

    def ask_start(
        self, run: Run, key: StartKey | None = None, reused: dict[int, bytes] | None = None
    ) -> "futures.Future[Outcome]":
        self.keep_definition(run)
        answer: futures.Future[Outcome] = futures.Future()
        self.engine.submit(begin(run, answer.set_result, key, reused))
        return answer

    def start(self, run: Run, key: StartKey | None = None) -> Outcome:
        return self.ask_start(run, key).result(60)

    def keep_definition(self, run: Run) -> None:
        definition = run.plan.definition
        if (definition.workflow_id, definition.version) not in self._kept:
            stored.save_definition(self.database, definition)
            self._kept.add((definition.workflow_id, definition.version))
        self.engine.keep_plan(run.plan)

    def load(self, run: Run) -> Run | None:
        """The run as the database has it."""
        return stored.load_run(self.database, run.facts.run_id, lambda *_: run.plan)


def found(desk: Desk, run: Run) -> Run:
    """The run as the database has it."""
    loaded = desk.load(run)
    assert loaded is not None
    return loaded


def rows(database: Database, table: sa.Table) -> list[Any]:
    """All rows of a table."""
    with database.read() as connection:
        return list(connection.execute(sa.select(table)).all())


def done(index: int, output: Any = 1, attempt: int = 1, **said: Any) -> Finished:
    return Finished(now(), index, attempt, output=orjson.dumps(output), **said)


def dispatched(outcome: Outcome) -> list[str]:
    """The task keys of an outcome's dispatches."""
    return [
        outgoing.run.plan.steps[outgoing.command.index].spec.key
        for outgoing in outcome.outgoing
        if isinstance(outgoing.command, Dispatch)
    ]


class Definitions(workflow_pb2_grpc.WorkflowServiceServicer):
    """workflow-service with canned answers: what is in `known`, else NOT_FOUND."""

    def __init__(self) -> None:
        self.known: dict[str, Definition] = {}
        self.inactive: set[str] = set()
        self.people = People()

    def _find(self, request: Any, context: Any) -> Definition:
        found = self.known.get(request.workflow_id)
        if found is None or found.organization_id != request.organization_id:
            context.set_trailing_metadata((("fw-code", "workflow_not_found"),))
            context.abort(grpc.StatusCode.NOT_FOUND, "workflow_not_found")
        assert found is not None
        return found

    def ResolveWorkflow(self, request: Any, context: Any) -> Any:
        found = self._find(request, context)
        active = found.workflow_id not in self.inactive
        return workflow_pb2.ResolveWorkflowResponse(workflow_id=found.workflow_id, version=found.version, active=active)

    def GetDefinition(self, request: Any, context: Any) -> Any:
        found = self._find(request, context)
        jobs = [
            workflow_pb2.Job(
                key=job.key,
                name=job.name,
                depends_on=job.depends_on,
                tasks=[
                    workflow_pb2.Task(
                        key=task.key,
                        type=task.type,
                        parameters_json=orjson.dumps(task.parameters).decode(),
                        depends_on=task.depends_on,
                        queue=task.queue,
                        priority=task.priority,
                        when=task.when or "",
                        timeout_s=task.timeout_s,
                        queue_timeout_s=task.queue_timeout_s,
                        heartbeat_s=task.heartbeat_s,
                        for_each_json="" if task.for_each is None else orjson.dumps(task.for_each).decode(),
                        max_parallel=task.max_parallel,
                        concurrency_key=task.concurrency_key or "",
                        concurrency_limit=task.concurrency_limit,
                        failure_policy=getattr(workflow_pb2, f"FAILURE_POLICY_{task.failure_policy.upper()}"),
                        retry=workflow_pb2.Retry(
                            max_attempts=task.retry.max_attempts,
                            backoff=workflow_pb2.BACKOFF_FIXED,
                            delay_s=task.retry.delay_s,
                        ),
                    )
                    for task in job.tasks
                ],
            )
            for job in found.jobs
        ]
        definition = workflow_pb2.Definition(
            organization_id=found.organization_id,
            workflow_id=found.workflow_id,
            version=found.version,
            name=found.name,
            jobs=jobs,
            input_schema_json=orjson.dumps(found.input_schema).decode() if found.input_schema else "",
            timeout_s=found.timeout_s,
            retention_days=found.retention_days,
        )
        if found.concurrency is not None:
            definition.concurrency_limit = found.concurrency.limit
            overflow = f"OVERFLOW_{found.concurrency.overflow.upper()}"
            definition.concurrency_overflow = getattr(workflow_pb2, overflow)
        return workflow_pb2.GetDefinitionResponse(definition=definition)


@pytest.fixture
def definitions() -> Iterator[tuple[Definitions, str]]:
    """The fake peers and their address."""
    servicer = Definitions()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    workflow_pb2_grpc.add_WorkflowServiceServicer_to_server(servicer, server)
    identity_pb2_grpc.add_IdentityServiceServicer_to_server(servicer.people, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(None).wait()


class People(identity_pb2_grpc.IdentityServiceServicer):
    """identity-service with canned answers: every session is alive but those in `ended`."""

    def __init__(self) -> None:
        self.ended: set[str] = set()
        self.away = False
        self.asked: list[list[tuple[str, int]]] = []

    def CheckSessions(self, request: Any, context: Any) -> Any:
        if self.away:
            context.abort(grpc.StatusCode.INTERNAL, "unavailable")
        self.asked.append([(session.session_id, session.authz) for session in request.sessions])
        alive = [session.session_id not in self.ended for session in request.sessions]
        return identity_pb2.CheckSessionsResponse(alive=alive)


class Worker:
    """Takes attempts from the broker and does with each what `act` says (by default: adds one)."""

    def __init__(self, nc: Client, queue: str = "default") -> None:
        self.nc = nc
        self.queue = queue
        self.ran: list[dict[str, Any]] = []
        self.act: Callable[[dict[str, Any]], Awaitable[dict[str, Any] | None]] = self.increment
        self.cancelled: list[dict[str, Any]] = []

    @staticmethod
    async def increment(task: dict[str, Any]) -> dict[str, Any]:
        return {"output": {"n": task["parameters"].get("n", 0) + 1}}

    @staticmethod
    async def vanish(task: dict[str, Any]) -> None:
        """Takes the attempt and is never heard of again."""

    async def pull(self) -> JetStreamContext.PullSubscription:
        js = self.nc.jetstream()
        await bus.declare(js, bus.TASKS)
        return await js.pull_subscribe(f"tasks.{self.queue}.>", durable=f"worker-{self.queue}")

    async def run(self) -> None:
        await self.nc.subscribe("worker.cancel", cb=self._on_cancel)
        pull = await self.pull()
        while True:
            try:
                messages = await pull.fetch(10, timeout=0.5)
            except TimeoutError:
                continue
            await asyncio.gather(*(self.handle(message) for message in messages))

    async def _on_cancel(self, message: Msg) -> None:
        self.cancelled.append(orjson.loads(message.data))

    async def handle(self, message: Msg) -> None:
        task = orjson.loads(message.data)
        self.ran.append(task)
        result = await self.act(task)
        if result is not None:
            answer = await self.send(task, result)
            assert answer["ok"]
            await message.ack_sync()

    async def send(self, task: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        """A result message, as a worker sends it: to who dispatched, else to any replica. The engine's answer."""
        body = {key: task[key] for key in ("task_run_id", "run_id", "attempt", "run_version")}
        body |= {"delivery": 1, "worker": "test", **result}
        try:
            message = await self.nc.request(f"{task['reply']}.result", orjson.dumps(body), timeout=5)
        except NoRespondersError:
            message = await self.nc.request("engine.result", orjson.dumps(body), timeout=5)
        answer: dict[str, Any] = orjson.loads(message.data)
        return answer

    async def say_started(self, task: dict[str, Any], **said: Any) -> None:
        body = {key: task[key] for key in ("task_run_id", "run_id", "attempt", "run_version")}
        body |= {"delivery": 1, "worker": "test", "started_at": now(), **said}
        await self.nc.publish(f"{task['reply']}.started", orjson.dumps(body))
        await self.nc.flush()


async def until(ask: Callable[[], Any], seconds: float = 15) -> Any:
    """What `ask` gives once that is true (awaited when it can be); fails when it never is."""
    deadline = time.monotonic() + seconds
    while True:
        found = ask()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, "what was waited for did not happen"
        await asyncio.sleep(0.01)


@dataclass
class House:
    """One replica of the engine with its loops running, and what surrounds it."""

    execution: Execution
    definitions: Definitions
    dispatcher: Dispatcher
    timers: Timers
    watch: BrokerWatch
    intake: Intake
    lines: Lines
    outbox: Outbox
    worker: Worker
    nc: Client
    database: Database
    joins: Joins
    places: Places
    identity: IdentityClient
    joins_at_once: bool = True
    """False: as if whoever decides something died before acting on it, so that only the sweep joins."""
    tasks: list["asyncio.Task[Any]"] = field(default_factory=list)

    def work(self) -> None:
        """Lets the worker begin to take what is dispatched."""
        self.tasks.append(asyncio.create_task(self.worker.run()))

    async def start(self, definition: Definition, input: Any = None, **said: Any) -> str:
        """A run of `definition`, accepted."""
        self.definitions.known[definition.workflow_id] = definition
        given = input if input is not None else {"n": 0}
        run_id, _ = await start_run(self.execution, definition.organization_id, definition.workflow_id, given, **said)
        return run_id

    async def tell(self, run_id: str, event: Event) -> Run:
        return await self.execution.send(run_id, event)

    async def later(self, run_id: str, seconds: float) -> Run:
        """The run after it was told that so much time has passed."""
        return await self.tell(run_id, Tick(now() + int(seconds * 1_000_000)))

    async def show(self, run_id: str) -> dict[str, Any]:
        plan = self.execution.engine.plan
        return await asyncio.to_thread(history.read_run, self.database, ORGANIZATION, run_id, plan)

    async def state(self, run_id: str, key: str) -> str:
        """A task's state."""
        shown = await self.show(run_id)
        return next(str(task["state"]) for job in shown["jobs"] for task in job["tasks"] if task["key"] == key)

    async def finished(self, run_id: str, seconds: float = 20) -> dict[str, Any]:
        """The run once it is terminal."""

        async def last() -> dict[str, Any]:
            found: dict[str, Any] = {}
            async for change in watch_run(self.execution, ORGANIZATION, run_id):
                found = change
            return found

        return await asyncio.wait_for(last(), seconds)

    async def held_by_broker(self) -> int:
        """How many attempts the broker holds."""
        return int((await self.nc.jetstream().stream_info("TASKS")).state.messages)


@asynccontextmanager
async def open_house(
    database: Database,
    nats_url: str,
    definitions: tuple[Definitions, str],
    *,
    window: int = 256,
    sole_writer: bool | None = None,
    queue_limits: dict[str, int] | None = None,
) -> AsyncIterator[House]:
    """A running replica; nobody works yet."""
    servicer, address = definitions
    nc = await bus.connect(nats_url, "test-engine")
    worker_nc = await nats.connect(nats_url)
    watchers = Watchers()
    dispatcher = Dispatcher(
        nc,
        f"test-{new_id()}",
        window=window,
        on_trouble=lambda: watch.wake(),
        on_committed=watchers.notify,
        on_waiting=lambda outgoing: joins.send(outgoing) if house.joins_at_once else None,
        on_ended=lambda run: joins.ended(run) if house.joins_at_once else None,
        on_admit=lambda: places.wake(),
    )
    sole = database.sqlite if sole_writer is None else sole_writer
    engine = Engine(database, dispatcher.deliver, PAYLOADS, sole_writer=sole, queue_limits=queue_limits or {})
    places = Places(engine, database)
    tokens = ServiceTokens(SECRET, "execution-service")
    workflows, identity = WorkflowClient(address, tokens), IdentityClient(address, tokens)
    execution = Execution(database, engine, workflows, watchers, PAYLOADS)
    joins = Joins(execution)
    watch = BrokerWatch(nc, engine, database)
    intake = Intake(nc, engine, dispatcher, database, on_refused=PAYLOADS.purge)
    lines = Lines(nc, database, on_kept=watchers.notify)
    house = House(
        execution,
        servicer,
        dispatcher,
        Timers(engine, database),
        watch,
        intake,
        lines,
        Outbox(nc, database, 3),
        Worker(worker_nc),
        nc,
        database,
        joins,
        places,
        identity,
    )
    engine.start()
    await watch.run_once()
    await intake.subscribe()
    await lines.subscribe()
    # what another test left behind
    await nc.jetstream().purge_stream(str(bus.LOG.name))
    house.tasks = [asyncio.create_task(dispatcher.run()), asyncio.create_task(places.run())]
    try:
        yield house
    finally:
        await serve.end(house.tasks)
        await asyncio.to_thread(engine.stop)
        await worker_nc.close()
        await nc.close()
        workflows.close()
        identity.close()


@pytest.fixture
async def house(
    database: Database, nats_url: str, definitions: tuple[Definitions, str], anyio_backend: str
) -> AsyncIterator[House]:
    """A running engine on SQLite, then on MariaDB, with a worker that takes what it dispatches."""
    async with open_house(database, nats_url, definitions) as opened:
        opened.work()
        yield opened


@pytest.fixture
async def idle_house(
    database: Database, nats_url: str, definitions: tuple[Definitions, str], anyio_backend: str
) -> AsyncIterator[House]:
    """The same, but nobody works until told so."""
    async with open_house(database, nats_url, definitions) as opened:
        yield opened
