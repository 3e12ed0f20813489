"""The inside of a process slot: one task at a time, over one socket to the worker that started it.

A frame is two lengths (4 bytes each), a JSON head and raw bytes. The slot holds no credentials, no database and no
broker: what a task wishes, it asks the worker for. It dies with its worker, even a killed one. Told to end (SIGTERM) in
the middle of a task it raises Cancelled there, for the task to clean up; who takes too long over it is killed.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson

from kit import logs, messages
from worker_service import outcomes, sdk
from worker_service.settings import WorkerSettings

LENGTHS = struct.Struct(">II")
# between two signs of life; a task may give them in its innermost loop
SIGN_GAP_S = 0.1
_PR_SET_PDEATHSIG = 1


def frame(head: dict[str, Any], content: bytes = b"") -> bytes:
    text = orjson.dumps(head, default=str, option=orjson.OPT_NON_STR_KEYS)
    return LENGTHS.pack(len(text), len(content)) + text + content


class WorkerGone(BaseException):
    """The worker closed the socket in the middle of a task. No task may take it for an error of its own."""


class Wire:
    """The slot's end of the socket. One ask is under way at a time, from whichever thread."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._asking = threading.Lock()
        self._sending = threading.Lock()
        self.ended = False

    def send(self, head: dict[str, Any], content: bytes = b"") -> None:
        with self._sending:
            self._socket.sendall(frame(head, content))

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Raises EOFError when the worker is gone."""
        head, content = LENGTHS.unpack(self._read(LENGTHS.size))
        return orjson.loads(self._read(head)), self._read(content)

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(min(size - len(parts), 1 << 20))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def ask(self, name: str, args: dict[str, Any], content: bytes) -> tuple[Any, bytes]:
        """Has the worker do something for the task. Raises what it was refused with, Cancelled when it must end."""
        if self.ended:
            # the worker listens no longer
            raise sdk.Cancelled
        with self._asking:
            try:
                self.send({"ask": name, "args": args}, content)
                head, answered = self.receive()
            except (EOFError, ConnectionError) as error:
                raise WorkerGone from error
        refused = head.get("refused")
        if refused == "conflict":
            raise sdk.StateConflict
        if refused is not None:
            raise sdk.TaskError(
                refused["code"],
                refused["detail"],
                retryable=refused["retryable"],
                field=refused["field"],
                **refused["params"],
            )
        return head["answer"], answered

    def log(self, level: str, event: str, fields: dict[str, Any]) -> None:
        try:
            self.send({"log": [level, event, fields]})
        except ConnectionError as error:
            raise WorkerGone from error


class Signs:
    """A task's signs of life on their way to the worker: few enough for it, and the latest progress always."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._progress: tuple[float, str] | None = None
        self._sent_at = -SIGN_GAP_S
        self._timer: threading.Timer | None = None
        self._over = False

    def give(self, progress: tuple[float, str] | None) -> None:
        """A `sdk.Sign`."""
        with self._lock:
            if progress is not None:
                self._progress = progress
            if time.monotonic() - self._sent_at >= SIGN_GAP_S:
                self._give()
            elif progress is not None and self._timer is None:
                self._timer = threading.Timer(SIGN_GAP_S, self._later)
                self._timer.daemon = True
                self._timer.start()

    def end(self) -> None:
        """What waits goes out now; afterwards nothing does: the next words are another task's."""
        with self._lock:
            if self._progress is not None:
                self._give()
            self._over = True
            if self._timer is not None:
                self._timer.cancel()

    def _later(self) -> None:
        with self._lock:
            self._timer = None
            if self._progress is not None:
                self._give()

    def _give(self) -> None:
        if self._over:
            return
        progress, self._progress = self._progress, None
        self._sent_at = time.monotonic()
        with contextlib.suppress(OSError):
            self._send({"sign": progress})


def serve(wire: Wire) -> None:
    """Runs job after job until the worker closes the socket."""
    with contextlib.suppress(EOFError, ConnectionError, WorkerGone):
        hello, _ = wire.receive()
        settings = WorkerSettings(**hello["settings"])
        # packages of task types may be where only the worker was told to look
        sys.path[:] = hello.get("path") or sys.path
        messages.load("worker_service")
        messages.language.set(settings.language)
        while True:
            job, _ = wire.receive()
            outcome = _run(wire, settings, job)
            wire.send({"done": True, "error": outcome.error}, outcome.output or b"")


def _run(wire: Wire, settings: WorkerSettings, job: dict[str, Any]) -> outcomes.Outcome:
    ids = sdk.TaskIds(**job["ids"])
    logs.trace_id.set(ids.trace_id)
    try:
        task_type = sdk.load(job["module"], job["type"])
    except Exception as error:
        # the worker could import it: its environment differs from ours, or the package was changed meanwhile
        wire.send(_crash(error))
        return outcomes.failed("internal", retryable=True, details={"detail": type(error).__name__})
    parameters = outcomes.parse_parameters(task_type, job["parameters"])
    if isinstance(parameters, outcomes.Outcome):
        return parameters
    signs = Signs(wire.send)
    ctx = sdk.ProcessContext(ids, settings, sdk.TaskLog(wire.log), wire.ask, signs.give)
    # from here on the task answers for its heartbeat
    ctx.heartbeat()
    try:
        return outcomes.of_output(task_type, task_type.function(ctx, parameters))
    except Exception as error:
        if not isinstance(error, (sdk.TaskError, sdk.StateConflict)):
            wire.send(_crash(error))
        return outcomes.of_exception(task_type, error, settings.language)
    finally:
        signs.end()


def _crash(error: Exception) -> dict[str, Any]:
    return {"crash": _traceback(error), "exception": type(error).__name__}


def _traceback(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error))[-16_000:]


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # it died before we asked to be told
        os._exit(1)


def _exit_on_hangup(descriptor: int) -> None:
    """Ends a slot whose task keeps the main thread busy when the worker closes the socket."""
    poll = select.poll()
    poll.register(descriptor, 0)  # hang-up is always told
    poll.poll()
    # an idle slot returns from `serve` by itself
    threading.Event().wait(1.0)
    os._exit(1)


def main() -> None:
    """`python -m worker_service.slot <socket> <parent pid>`"""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    _die_with_parent(parent)
    # Ctrl-C reaches the whole group: the worker decides when its slots end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wire = Wire(socket.socket(fileno=descriptor))
    threading.Thread(target=_exit_on_hangup, args=(descriptor,), daemon=True).start()

    def cancel(number: int, _: object) -> None:
        wire.ended = True
        raise sdk.Cancelled

    signal.signal(signal.SIGTERM, cancel)
    try:
        serve(wire)
    except sdk.Cancelled:
        # the task has cleaned up; a thread that it left behind may not keep us
        for text in (sys.stdout, sys.stderr):
            text.flush()
        os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
