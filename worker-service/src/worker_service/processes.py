"""Process slots: CPU-bound and heavy tasks run each in a process of its own, spawned, never forked.

A slot takes task after task and ends when it had none for a while, so that its memory returns. A task that must end is
ended by terminating its process, then by killing it; a process that dies by itself is a lost worker to its task.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import orjson
import structlog

from worker_service import outcomes
from worker_service.sdk import Ask, Sign, Sink, StateConflict, TaskError
from worker_service.sdk.context import no_sign
from worker_service.settings import WorkerSettings
from worker_service.slot import LENGTHS, frame

IDLE_S = 20.0
TERMINATE_S = 2.0

log = structlog.get_logger()


Crashed = Callable[[str, str], None]
"""Told of a bug in a task: its exception's class and its traceback."""


class ProcessDied(Exception):
    """The process ended in the middle of its task."""


def _path() -> list[str]:
    """Where this worker finds packages, some of them perhaps because it was told so: its slots look there too."""
    return [os.path.abspath(folder) for folder in sys.path]


def _log_crash(exception: str, traceback: str) -> None:
    log.error("task_crashed", exception=exception, traceback=traceback)


class _Process:
    """One slot process and the worker's end of its socket."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.process = process
        self.reader = reader
        self.writer = writer
        self.idle_timer: asyncio.TimerHandle | None = None
        self.last_type = ""

    async def receive(self) -> tuple[dict[str, Any], bytes]:
        head, content = LENGTHS.unpack(await self.reader.readexactly(LENGTHS.size))
        text = await self.reader.readexactly(head)
        return orjson.loads(text), await self.reader.readexactly(content)

    def send(self, head: dict[str, Any], content: bytes = b"") -> None:
        self.writer.write(frame(head, content))

    async def end(self, *, kill: bool) -> None:
        """Closes the socket and waits for the process: an idle one ends by itself, another is terminated, killed."""
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        if kill:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
        else:
            self.writer.close()
        if not await self._gone(TERMINATE_S):
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self._gone(TERMINATE_S)
        self.writer.close()

    async def _gone(self, seconds: float) -> bool:
        # uvloop watches only the children it started itself, so this one is asked
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.process.poll() is None:
            if loop.time() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True


class ProcessSlots:
    """At most `limit` processes; each runs one task at a time."""

    def __init__(self, settings: WorkerSettings, limit: int, *, idle_s: float = IDLE_S) -> None:
        self._settings = settings
        self._free = asyncio.Semaphore(limit)
        self._idle_s = idle_s
        self._idle: list[_Process] = []
        self._ending: set[asyncio.Task[None]] = set()

    async def run(
        self,
        job: dict[str, Any],
        *,
        begun: Callable[[], None],
        ask: Ask,
        log_line: Sink,
        sign: Sign = no_sign,
        crashed: Crashed = _log_crash,
    ) -> outcomes.Outcome:
        """Runs `job` {module, type, ids, parameters} when a slot is free; `begun` is called then.

        `sign` hears of its progress and heartbeats, the first when the task's own code begins.

        Raises ProcessDied. When cancelled, the process is ended before this returns.
        """
        async with self._free:
            begun()
            slot = await self._take(job["type"])
            try:
                slot.send(job)
                outcome = await self._converse(slot, ask, log_line, sign, crashed)
            except (EOFError, ConnectionError, OSError) as error:
                await slot.end(kill=True)
                raise ProcessDied(slot.process.returncode) from error
            except BaseException:
                # cancelled or timed out: nobody else may wait for this process
                await asyncio.shield(self._end_later(slot))
                raise
            self._rest(slot)
            return outcome

    async def close(self) -> None:
        """Ends all idle processes; running ones end with their tasks."""
        await asyncio.gather(*(slot.end(kill=False) for slot in self._idle), *self._ending)
        self._idle.clear()

    @property
    def idle(self) -> int:
        return len(self._idle)

    async def _converse(
        self, slot: _Process, ask: Ask, log_line: Sink, sign: Sign, crashed: Crashed
    ) -> outcomes.Outcome:
        while True:
            head, content = await slot.receive()
            if "log" in head:
                level, event, fields = head["log"]
                log_line(level, event, fields)
            elif "sign" in head:
                sign(head["sign"])
            elif "crash" in head:
                crashed(head["exception"], head["crash"])
            elif "ask" in head:
                try:
                    answer, answered = await ask(head["ask"], head["args"], content)
                except StateConflict:
                    slot.send({"refused": "conflict"})
                except TaskError as error:
                    refused = {"code": error.code, "detail": error.detail, "retryable": error.retryable}
                    slot.send({"refused": {**refused, "field": error.field, "params": error.params}})
                except Exception as error:
                    log.error("wish_failed", wish=head["ask"], exc_info=error)
                    refused = {"code": "internal", "detail": type(error).__name__, "retryable": True}
                    slot.send({"refused": {**refused, "field": None, "params": {}}})
                else:
                    slot.send({"answer": answer}, answered)
            else:
                return outcomes.from_json(head, content)

    async def _take(self, type_name: str) -> _Process:
        """An idle process, first one that has this type's libraries loaded; else a new one."""
        while self._idle:
            slot = next((slot for slot in self._idle if slot.last_type == type_name), self._idle[-1])
            self._idle.remove(slot)
            if slot.idle_timer is not None:
                slot.idle_timer.cancel()
            if slot.process.poll() is None:
                slot.last_type = type_name
                return slot
            slot.writer.close()
        slot = await self._spawn()
        slot.last_type = type_name
        return slot

    async def _spawn(self) -> _Process:
        ours, theirs = socket.socketpair()
        # what it needs of the settings comes over the socket; the rest of the environment holds other secrets
        env = {name: value for name, value in os.environ.items() if not name.startswith("FLOWWEAVER_")}
        for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_THREAD_LIMIT"):
            env.setdefault(threads, "1")
        with theirs:
            process = subprocess.Popen(  # noqa: S603, ASYNC220  # a few ms; its death signal needs the main thread
                [sys.executable, "-m", "worker_service.slot", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=env,
            )
        reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        slot = _Process(process, reader, writer)
        slot.send({"settings": self._settings.portable(), "path": _path()})
        return slot

    def _rest(self, slot: _Process) -> None:
        self._idle.append(slot)
        slot.idle_timer = asyncio.get_running_loop().call_later(self._idle_s, self._retire, slot)

    def _retire(self, slot: _Process) -> None:
        if slot in self._idle:
            self._idle.remove(slot)
            self._end_later(slot, kill=False)

    def _end_later(self, slot: _Process, *, kill: bool = True) -> "asyncio.Task[None]":
        ending = asyncio.create_task(slot.end(kill=kill))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return ending
