"""The service as a process of its own, killed and ended as an operating system does it."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import nats
import nats.errors
import orjson
import pytest
import sqlalchemy as sa
from edge_house import JWKS, bearer
from engine_house import SECRET, Definitions, Worker, chain, until

from execution_service.storage import tables
from kit.database import Database
from kit.serve import end

pytestmark = [pytest.mark.anyio, pytest.mark.process, pytest.mark.timeout(120)]


class Inner(ThreadingHTTPServer):
    """The inner entry point as far as this service needs it: keys over HTTP, workflow-service over gRPC (h2c).

    One port for both: the first bytes of a connection say which it is.
    """

    daemon_threads = True

    def __init__(self, rpc_address: str) -> None:
        super().__init__(("127.0.0.1", 0), _Keys)
        host, _, port = rpc_address.rpartition(":")
        self.rpc = (host, int(port))
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        if request.recv(3, socket.MSG_PEEK) != b"PRI":
            super().finish_request(request, client_address)
            return
        with socket.create_connection(self.rpc) as peer:
            back = threading.Thread(target=_copy, args=(peer, request), daemon=True)
            back.start()
            _copy(request, peer)
            back.join()


def _copy(source: Any, target: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


class _Keys(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = orjson.dumps(JWKS)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@dataclass
class Site:
    """A data folder, a broker and peers, and the service's processes one after the other."""

    folder: Path
    nats_url: str
    inner: Inner
    definitions: Definitions
    process: "subprocess.Popen[bytes] | None" = None
    base_url: str = ""
    lives: int = 0
    logs: list[Path] = field(default_factory=list)

    def start(self) -> None:
        secret = self.folder / "service.key"
        secret.write_text(SECRET)
        self.lives += 1
        self.logs.append(self.folder / f"log-{self.lives}")
        environment = {
            **os.environ,
            "FLOWWEAVER_DATA": str(self.folder / "data"),
            "FLOWWEAVER_NATS_URL": self.nats_url,
            "FLOWWEAVER_INNER_URL": self.inner.url,
            "FLOWWEAVER_SERVICE_SECRET_FILE": str(secret),
            "FLOWWEAVER_DRAIN_S": "2",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        with self.logs[-1].open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "execution_service"], env=environment, stdout=log, stderr=log
            )

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of that event in the log of this life."""
        lines = [line for line in self.logs[-1].read_bytes().splitlines() if line.startswith(b"{")]
        return [found for line in lines if (found := orjson.loads(line)).get("event") == event]

    async def ready(self) -> None:
        """Returns when the service answers that it is ready."""
        [started] = await until(lambda: self.alive() and self.said("started"), 60)
        self.base_url = f"http://127.0.0.1:{started['http_port']}"
        assert (await self.ask("GET", "/readyz")).status_code == 200

    def alive(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.logs[-1].read_text()[-4000:]
        return True

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    async def ask(self, method: str, path: str, **said: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.base_url, headers=bearer(), trust_env=False, timeout=20) as client:
            return await client.request(method, path, **said)

    async def begin(self, workflow_id: str, **input: Any) -> str:
        answer = await self.ask("POST", f"/v0/workflows/{workflow_id}/run", json={"input": input})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    async def state(self, run_id: str) -> str:
        return str((await self.ask("GET", f"/v0/workflow-runs/{run_id}")).json()["state"])

    async def ended(self, run_id: str) -> str:
        async def terminal() -> str:
            state = await self.state(run_id)
            return state if state in ("SUCCESS", "FAILED", "CANCELLED") else ""

        return str(await until(terminal, 40))


class Patient(Worker):
    """Repeats a result until somebody has committed it, as a worker does."""

    async def send(self, task: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        async def taken() -> dict[str, Any] | None:
            with contextlib.suppress(nats.errors.Error):
                answer = await super(Patient, self).send(task, result)
                return answer if answer["ok"] else None
            return None

        answer: dict[str, Any] = await until(taken, 60)
        return answer


@pytest.fixture
def site(tmp_path: Path, nats_url: str, definitions: tuple[Definitions, str]) -> Iterator[Site]:
    servicer, address = definitions
    inner = Inner(address)
    made = Site(tmp_path, nats_url, inner, servicer)
    made.start()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait(10)
    inner.shutdown()
    inner.server_close()


async def test_a_process_gets_ready_works_and_drains_when_told_to_end(site: Site) -> None:
    await site.ready()
    site.definitions.known["chain"] = chain(3)
    nc = await nats.connect(site.nats_url)
    worker = Worker(nc)
    working = asyncio.create_task(worker.run())
    run_id = await site.begin("chain", n=1)
    assert await site.ended(run_id) == "SUCCESS"
    events = (await nc.jetstream().stream_info("EVENTS")).config.subjects
    assert events == ["events.>"]
    assert await ended_while_followed(site) == 0
    assert site.said("stopped")
    await end([working])
    await nc.close()


async def ended_while_followed(site: Site) -> int:
    """A stream ends whole, so that who follows goes on at another replica."""
    async with (
        httpx.AsyncClient(base_url=site.base_url, headers=bearer(), trust_env=False, timeout=30) as client,
        client.stream("GET", "/v0/workflow-runs/events") as answer,
    ):
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith("id: ")
        ending = asyncio.create_task(asyncio.to_thread(site.end, signal.SIGTERM))
        assert [line async for line in lines][-1] == ""
        return await ending


async def test_killed_in_the_middle_of_chains_it_goes_on_where_it_was(site: Site) -> None:
    """kill -9 at moments drawn at random; the worker lives on and repeats what was not answered."""
    length, chance = 25, random.Random(11)
    await site.ready()
    site.definitions.known["chain"] = chain(length)
    nc = await nats.connect(site.nats_url)
    worker = Patient(nc)
    working = asyncio.create_task(worker.run())
    runs = [await site.begin("chain", n=number) for number in range(3)]
    for _ in range(2):
        wanted = len(worker.ran) + chance.randint(3, 15)
        await until(lambda: len(worker.ran) >= wanted, 40)  # noqa: B023
        assert site.end(signal.SIGKILL) == -signal.SIGKILL
        site.start()
        await site.ready()
    for run_id in runs:
        assert await site.ended(run_id) == "SUCCESS"
    await end([working])
    await nc.close()
    assert site.end(signal.SIGTERM) == 0
    database = Database(f"sqlite:///{site.folder / 'data' / 'databases' / 'execution.db'}")
    with database.read() as connection:
        query = sa.select(tables.task_io_data.c.task_io_data_id, tables.task_io_data.c.body).where(
            tables.task_io_data.c.direction == "out"
        )
        recorded = {row[0]: orjson.loads(row[1])["n"] for row in connection.execute(query)}
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.dead_event)).scalar_one() == 0
    database.close()
    assert recorded == {
        f"{run_id}-{index}.out": number + index + 1 for number, run_id in enumerate(runs) for index in range(length)
    }
