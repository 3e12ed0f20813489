"""The life of a service process: start both edges and the loops, say ready, and on SIGTERM drain them in order.

uvicorn would re-raise SIGTERM after its own shutdown, before the gRPC drain: so the process owns its signals.
"""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI
from filelock import FileLock, Timeout

from kit import logs, rpc
from kit.settings import ServiceSettings

log = structlog.get_logger()


RunOnce = Callable[[], Awaitable[object]]
Loop = Callable[[], Awaitable[None]]


@dataclass
class Service:
    """What a composition root hands over. Loops run until cancelled; `close` comes last, after both edges drained."""

    name: str
    settings: ServiceSettings
    app: FastAPI
    rpc: rpc.Server
    loops: Sequence[Loop] = ()
    close: Sequence[Callable[[], object]] = field(default_factory=tuple)


class _Http(uvicorn.Server):
    """Says on which port it listens, once it does; leaves the signals to the process."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[int], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_listening(int(self.servers[0].sockets[0].getsockname()[1]))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(compose: Callable[[], Awaitable[Service]]) -> None:
    """Builds the service inside its event loop and runs it until SIGTERM or SIGINT. Exits 1 when a loop dies."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ok = runner.run(_run(compose))
    if not ok:
        sys.exit(1)


async def _run(compose: Callable[[], Awaitable[Service]]) -> bool:
    stop = asyncio.Event()
    service: Service | None = None
    running, loop = asyncio.current_task(), asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        if service is None and running is not None:
            running.cancel()  # still waiting for the broker, perhaps: nothing is open yet

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        service = await compose()
    except asyncio.CancelledError:
        if stop.is_set():
            return True
        raise
    stopping = asyncio.create_task(stop.wait())
    settings = service.settings
    config = uvicorn.Config(
        service.app,
        host=settings.host,
        port=settings.http_port,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=max(1, int(settings.drain_s)),
    )
    rpc_port = await service.rpc.start(settings.host, settings.rpc_port)

    def say_started(http_port: int) -> None:
        log.info("started", service=service.name, http_port=http_port, rpc_port=rpc_port)

    http = _Http(config, say_started)
    serving = asyncio.create_task(http.serve())
    loops = [asyncio.create_task(_forever(body)) for body in service.loops]
    done, _ = await asyncio.wait([stopping, serving, *loops], return_when=asyncio.FIRST_COMPLETED)
    failed = [task for task in done if task is not stopping]
    for task in failed:
        log.error("part_ended", service=service.name, exc_info=None if task.cancelled() else task.exception())
    await _drain(service, http, serving, loops)
    return not failed


async def _drain(
    service: Service, http: uvicorn.Server, serving: "asyncio.Task[None]", loops: Sequence["asyncio.Task[None]"]
) -> None:
    service.app.state.draining = True
    http.should_exit = True
    await asyncio.gather(serving, service.rpc.stop(service.settings.drain_s), return_exceptions=True)
    await end(loops)
    for close in service.close:
        try:
            result = close()
            if isinstance(result, Awaitable):
                await result
        except Exception as error:
            log.warning("close_failed", exc_info=error)
    log.info("stopped", service=service.name)


async def end(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """Cancels tasks until they have ended.

    Once is not enough: before Python 3.12 `asyncio.wait_for` loses a cancellation that comes together with what it
    waits for, and the broker's client waits so for every answer.
    """
    open_tasks = {task for task in tasks if not task.done()}
    while open_tasks:
        for task in open_tasks:
            task.cancel()
        _, open_tasks = await asyncio.wait(open_tasks, timeout=0.5)
    await asyncio.gather(*tasks, return_exceptions=True)


async def _forever(body: Callable[[], Awaitable[None]]) -> None:
    await body()
    raise RuntimeError(f"the loop {body!r} ended")


async def every(seconds: float, run_once: RunOnce, name: str) -> None:
    """Calls `run_once` again and again; a failure is logged and the next turn tries again."""
    while True:
        logs.trace_id.set("")
        try:
            await run_once()
        except Exception as error:
            log.error("loop_failed", loop=name, exc_info=error)
        await asyncio.sleep(seconds)


def hold_sole_replica(path: Path) -> FileLock:
    """The lock that keeps a SQLite database to one process. Exits with a clear line when another holds it.

    It waits a little: a supervisor may start the next process while the killed one is still being reaped.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(str(path), timeout=5)
    try:
        lock.acquire()
    except Timeout:
        log.error("sole_replica", path=str(path), hint="SQLite takes one replica of a service; use MariaDB for more")
        sys.exit(2)
    return lock
