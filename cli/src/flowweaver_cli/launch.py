"""Starting a child process: a Python service as a fork of a warm server, any other program by itself.

Both are tied to this process (see `leash`), and both write to a pipe whose reading end is handed back.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
import types
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from typing import Protocol

from flowweaver_cli import birth, leash


class Running(Protocol):
    """A child that was started."""

    @property
    def pid(self) -> int: ...

    async def wait(self) -> int:
        """Its exit status once it ended; negative: the signal that ended it."""
        ...


class ForkServer:
    """Starts Python services. The server begins to import at once; the first start waits for it."""

    def __init__(self) -> None:
        # a process's memory grows by each thread's arena otherwise; read when the server starts
        os.environ.setdefault("MALLOC_ARENA_MAX", "2")
        # a child of the fork server would import this program again, only to throw it away
        sys.modules["__main__"] = types.ModuleType("__main__")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["flowweaver_cli.nursery"])
        # from the main thread: the server ends with the thread that started it
        forkserver.ensure_running()
        self._thread = ThreadPoolExecutor(1, "fork")

    async def start(self, name: str, module: str, environment: Mapping[str, str]) -> tuple[Running, int]:
        """The child and the descriptor that its output comes from."""
        reader, writer = self._context.Pipe(duplex=False)
        with reader, writer:
            process = self._context.Process(
                target=birth.enter, name=name, args=(name, module, dict(environment), writer)
            )
            await asyncio.get_running_loop().run_in_executor(self._thread, process.start)
            return _Forked(process), os.dup(reader.fileno())

    def close(self) -> None:
        self._thread.shutdown()


class _Forked:
    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        assert self._process.pid is not None  # noqa: S101  # it was started
        return self._process.pid

    async def wait(self) -> int:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        loop.add_reader(self._process.sentinel, ended.set_result, None)
        try:
            await ended
        finally:
            loop.remove_reader(self._process.sentinel)
        self._process.join()
        return self._process.exitcode or 0


class _Program:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        return await self._process.wait()


async def start_program(command: Sequence[str], environment: Mapping[str, str]) -> tuple[Running, int]:
    """The child and the descriptor that its output comes from. `command[0]` is a path."""
    reader, writer = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            leash.__file__,
            str(os.getpid()),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            env=dict(environment),
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return _Program(process), reader


def send(running: Running, number: signal.Signals) -> None:
    """Sends a signal; a child that is gone already needs none."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.pid, number)
