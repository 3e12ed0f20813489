"""The life of a real process: kit/tests/data/small_service.py."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit import rpc, serve
from kit.auth import ServiceTokens

PROGRAM = Path(__file__).parent / "data" / "small_service.py"
pytestmark = pytest.mark.process


class Process:
    """The small service, read line by line."""

    def __init__(self, what: str, folder: Path, http_port: int) -> None:
        self.folder = folder
        self.http_port = http_port
        environment = {
            **os.environ,
            "FLOWWEAVER_DATA": str(folder),
            "FLOWWEAVER_HTTP_PORT": str(http_port),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), what, str(folder)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self, event: str) -> dict[str, Any]:
        """The next line of this event; what came before it is read over."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            if text.startswith("{") and (line := json.loads(text))["event"] == event:
                return dict(line)
        raise AssertionError(f"ended without {event}: {self.process.communicate()[1]}")

    def end(self, number: signal.Signals | None = signal.SIGTERM) -> tuple[int, list[str], str]:
        """Its exit code, the events it logged, and its standard error."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, [json.loads(text)["event"] for text in out.splitlines() if text[:1] == "{"], err


Start = Callable[[str], Process]


@pytest.fixture
def start(tmp_path: Path, port: int) -> Iterator[Start]:
    started: list[Process] = []

    def begin(what: str) -> Process:
        started.append(Process(what, tmp_path, port))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_open_requests_and_calls_end_and_then_exits_with_0(start: Start, number: signal.Signals) -> None:
    service = start("serve")
    rpc_port = service.line("started")["rpc_port"]
    for name in ("http", "rpc"):
        os.mkfifo(service.folder / name)
    secret = (service.folder / "secrets" / "service.key").read_text()
    channel = rpc.connect(f"127.0.0.1:{rpc_port}")
    peer = rpc.Peer(ServiceTokens(secret, "caller-service"), "small-service", timeout_s=30)
    hold = channel.unary_unary("/kit.test.v1.SmallService/Hold")
    health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert next(health).status == health_pb2.HealthCheckResponse.SERVING
    with ThreadPoolExecutor(2) as pool:
        address = f"http://127.0.0.1:{service.http_port}/hold"
        request = pool.submit(httpx.get, address, timeout=30, trust_env=False)
        assert service.line("entered")["where"] == "http"
        call = pool.submit(peer.call, hold, b"")
        assert service.line("entered")["where"] == "rpc"
        service.process.send_signal(number)
        assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
        _wait_until_refused(service.http_port)
        assert not request.done()
        assert not call.done()
        (service.folder / "http").write_text("late but whole")
        (service.folder / "rpc").write_text("late but whole")
        assert request.result(30).json() == "late but whole"
        assert call.result(30) == b"late but whole"
    health.cancel()
    channel.close()
    code, events, errors = service.end(None)
    assert code == 0, errors
    # a part that cannot be closed keeps nothing else from being closed
    assert events[-3:] == ["close_failed", "closed_last", "stopped"]


def _wait_until_refused(port: int) -> None:
    """Until the listening socket is closed: each try is a real connection, and the test's time-out is the deadline."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            threading.Event().wait(0.02)
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # it was in the queue of the socket that closed
            continue


def test_the_probes_answer_while_it_runs(start: Start) -> None:
    service = start("serve")
    service.line("started")
    with httpx.Client(base_url=f"http://127.0.0.1:{service.http_port}", trust_env=False) as client:
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 200
    assert service.end()[0] == 0


@pytest.mark.parametrize("what", ["a loop that raises", "a loop that ends"])
def test_a_loop_that_dies_ends_the_process_with_1(start: Start, what: str) -> None:
    code, events, _ = start(what).end(None)
    assert code == 1
    ours = ["part_ended", "close_failed", "closed_last", "stopped"]
    assert [event for event in events if event in ours] == ours


def test_a_port_that_is_taken_ends_the_process(start: Start, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        code, _, _ = start("serve").end(None)
    assert code != 0


def test_a_composition_that_fails_ends_the_process_with_its_reason(start: Start) -> None:
    code, _, errors = start("a composition that fails").end(None)
    assert code == 1
    assert "nothing to serve" in errors


def test_a_signal_ends_a_service_that_still_waits_for_the_broker(start: Start) -> None:
    service = start("a broker that is away")
    service.line("broker_error")
    assert service.end()[0] == 0


def test_a_second_replica_on_one_sqlite_database_exits_with_2(start: Start, tmp_path: Path) -> None:
    lock = serve.hold_sole_replica(tmp_path / "locks" / "small.lock")
    try:
        code, events, _ = start("serve").end(None)
    finally:
        lock.release()
    assert code == 2
    assert events == ["sole_replica"]


def test_a_replica_follows_one_that_was_killed(start: Start) -> None:
    killed = start("serve")
    killed.line("started")
    killed.end(signal.SIGKILL)
    follower = start("serve")
    follower.line("started")
    assert follower.end()[0] == 0


@pytest.mark.anyio
async def test_a_turn_that_fails_does_not_end_its_loop() -> None:
    import asyncio

    turns = []
    third = asyncio.Event()

    async def run_once() -> None:
        turns.append(len(turns))
        if len(turns) == 3:
            third.set()
        raise RuntimeError("this turn failed")

    looping = asyncio.ensure_future(serve.every(0, run_once, "test"))
    await asyncio.wait_for(third.wait(), 20)
    assert not looping.done()
    looping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looping
