"""A worker of the test's own, on a real broker, and the engine's side of the wire played by a real subscriber."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import orjson
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from kit import bus, messages
from kit.database import Database, migrate
from kit.ids import new_id
from kit.payloads import PayloadStore
from kit.vault import Vault
from worker_service import sdk
from worker_service.app import App
from worker_service.artifacts import ArtifactStore
from worker_service.effects import Ledger
from worker_service.processes import ProcessSlots
from worker_service.runtime import Runtime
from worker_service.settings import WorkerSettings

messages.load("worker_service")


@dataclass
class Engine:
    """What execution-service would do on the wire; `answers` decides each result's answer (None: no answer)."""

    client: Client
    results: list[dict[str, Any]] = field(default_factory=list)
    started: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    beats: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    refuse: int = 0
    cancel: list[list[Any]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self) -> None:
        await bus.declare(self.client.jetstream(), bus.TASKS)
        await self.client.subscribe("engine.r1.result", cb=self._on_result)
        await self.client.subscribe("engine.result", cb=self._on_result)
        await self.client.subscribe("engine.*.started", cb=self._into(self.started))
        await self.client.subscribe("engine.heartbeat", cb=self._on_beat)
        await self.client.subscribe("engine.log", cb=self._into(self.lines))
        await self.client.flush()

    async def dispatch(self, type_name: str, parameters: Any = None, queue: str = "default", **fields: Any) -> str:
        said = {
            "task_run_id": new_id(),
            "run_id": "run1",
            "organization_id": "org1",
            "workflow_id": "wf1",
            "key": "k",
            "type": type_name,
            "attempt": 1,
            "parameters": {} if parameters is None else parameters,
            "timeout_s": 0,
            "run_version": 7,
            "reply": "engine.r1",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            **fields,
        }
        if "parameters_ref" in said:
            del said["parameters"]
        subject = f"tasks.{queue}.{said['task_run_id']}.{said['attempt']}"
        await self.client.jetstream().publish(subject, orjson.dumps(said))
        return str(said["task_run_id"])

    async def result(self, task_run_id: str, seconds: float = 20) -> dict[str, Any]:
        return await self.wait(
            lambda: next((said for said in self.results if said["task_run_id"] == task_run_id), None), seconds
        )

    async def wait(self, found: Callable[[], Any], seconds: float = 20) -> Any:
        """The first true value of `found`, looked at whenever something arrived."""
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(lambda: bool(found()))
        return found()

    async def pending(self) -> int:
        """Messages that nobody has acknowledged yet."""
        return (await self.client.jetstream().stream_info("TASKS")).state.messages

    async def until_acknowledged(self, seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while await self.pending():
                await asyncio.sleep(0.01)

    async def _on_result(self, message: Msg) -> None:
        said = orjson.loads(message.data)
        if self.refuse > 0:
            self.refuse -= 1
            self.refused += 1
            await message.respond(b'{"ok": false, "error": "not committed"}')
            return
        self.results.append(said)
        await message.respond(b'{"ok": true}')
        await self._tell()

    async def _on_beat(self, message: Msg) -> None:
        self.beats.append(orjson.loads(message.data))
        await message.respond(orjson.dumps({"cancel": self.cancel}))
        await self._tell()

    def _into(self, where: list[dict[str, Any]]) -> Callable[[Msg], Any]:
        async def keep(message: Msg) -> None:
            where.append(orjson.loads(message.data))
            await self._tell()

        return keep

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


@pytest.fixture
async def engine(nats_url: str) -> AsyncIterator[Engine]:
    client = await nats.connect(nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    engine = Engine(client)
    await engine.serve()
    yield engine
    await client.close()


def make_app(settings: WorkerSettings, url: str | None = None) -> App:
    """A worker's use cases over a database of its own, with the frame's task types and the test ones."""
    database = Database(url or settings.database("worker"))
    migrate(database, "worker_service")
    for module in ("test_tasks", "http"):
        __import__(f"worker_service.tasks.{module}")
    types = {
        name: found
        for name, found in sdk.registered().items()
        if found.module.rpartition(".")[2] in ("test_tasks", "http")
    }
    return App(
        settings,
        database,
        Vault("k" * 40, "worker-service"),
        ArtifactStore(settings.data / "artifacts", database),
        PayloadStore(settings.data / "payloads"),
        types,
    )


@dataclass
class Worker:
    app: App
    runtime: Runtime
    slots: ProcessSlots
    running: "asyncio.Task[None]"
    closed: bool = False

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
            await self.runtime.close()
            self.app.database.close()

    async def until_ready(self) -> None:
        async with asyncio.timeout(15):
            while True:
                with contextlib.suppress(RuntimeError):
                    self.runtime.ready()
                    return
                await asyncio.sleep(0.01)


@pytest.fixture
async def start_worker(nats_url: str, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """`await start_worker(worker_slots=1, …)`: a Worker that consumes."""
    workers: list[Worker] = []

    async def start(*, idle_s: float = 20.0, claim_expires_s: float = 12.0, **fields: Any) -> Worker:
        messages.language.set("en")
        values = {"data": tmp_path / "data", "nats_url": nats_url, "test_tasks": True, "language": "en", **fields}
        settings = WorkerSettings(**values)
        app = make_app(settings)
        slots = ProcessSlots(settings, settings.worker_processes, idle_s=idle_s)
        runtime = Runtime(app, Ledger(app.database, claim_expires_s=claim_expires_s), slots)
        worker = Worker(app, runtime, slots, asyncio.create_task(runtime.run()))
        workers.append(worker)
        await worker.until_ready()
        return worker

    yield start
    for worker in workers:
        await worker.close()
