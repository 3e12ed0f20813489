"""Real edges for kit's own tests: an app on a port, and a broker that can be killed."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI


class _Server(uvicorn.Server):
    """Says when it listens, and on which port."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @property
    def port(self) -> int:
        return int(self.servers[0].sockets[0].getsockname()[1])


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[httpx.Client]:
    server = _Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", server_header=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.listens.wait(20)
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=20, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def serve_app() -> Iterator[Callable[[FastAPI], httpx.Client]]:
    """Serves an app on a port of its own; gives a client to it."""
    with contextlib.ExitStack() as stack:
        yield lambda app: stack.enter_context(served(app))


@pytest.fixture
def port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A nats-server that keeps its port and folder over restarts."""

    def __init__(self, program: str, port: int, folder: Path) -> None:
        self.url = f"nats://127.0.0.1:{port}"
        self._command = [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # sent is not stopped: on another core it may go on for a moment
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def wake(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None


@pytest.fixture
def broker(nats_program: str, port: int, tmp_path: Path) -> Iterator[Broker]:
    """Not started yet."""
    made = Broker(nats_program, port, tmp_path / "nats")
    yield made
    made.kill()
