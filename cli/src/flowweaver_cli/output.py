"""What the children print: each line goes to the child's log file, bounded, and with a prefix to the terminal.

A child never waits for a reader: lines are taken as they come, and a line longer than 64 KiB is cut into several.
"""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

LOG_FILE_BYTES = 8 * 1024 * 1024
LOG_FILES = 3
_LINE_BYTES = 64 * 1024
_LAST_LINES = 40
_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_LEVEL_COLOURS = {"warning": 33, "warn": 33, "error": 31, "fatal": 31, "critical": 31}


class LogFile:
    """`<name>.log`, and when it is full `<name>.log.1` … `.2`; the oldest goes."""

    def __init__(self, path: Path, *, most_bytes: int = LOG_FILE_BYTES, files: int = LOG_FILES) -> None:
        # logs may name people: for this user's eyes
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._most = most_bytes
        self._files = files
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()

    def write(self, line: bytes) -> None:
        if self._size + len(line) > self._most:
            self._turn()
        self._file.write(line)
        self._size += len(line)

    def close(self) -> None:
        self._file.close()

    def _turn(self) -> None:
        self._file.close()
        for number in range(self._files - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path.with_name(f"{self._path.name}.{number - 1}") if number > 1 else self._path
            if newer.exists():
                newer.replace(older)
        self._file = self._path.open("wb", buffering=0)
        self._size = 0


Show = Callable[[str], None]


class Output:
    """Where one child's lines go, over all its lives."""

    def __init__(self, name: str, folder: Path, show: Show, number: int) -> None:
        self._file = LogFile(folder / f"{name}.log")
        self._show = show
        self._prefix = prefix(name, number)
        self.last: deque[str] = deque(maxlen=_LAST_LINES)

    async def take(self, descriptor: int) -> None:
        """Reads the pipe until every writer is gone, then closes it."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LINE_BYTES)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
        )
        try:
            while line := await _line(reader):
                self._put(line)
        finally:
            transport.close()

    def close(self) -> None:
        self._file.close()

    def _put(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            line += b"\n"
        self._file.write(line)
        text = line.decode("utf-8", "replace").rstrip("\n")
        self.last.append(text)
        self._show(f"{self._prefix}{readable(text) if coloured() else text}")


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await reader.readexactly(error.consumed or 1)


def coloured() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def prefix(name: str, number: int) -> str:
    """`worker-0    │ `, in the child's colour when a terminal reads."""
    text = f"{name:<12} │ "
    return f"\x1b[{_COLOURS[number % len(_COLOURS)]}m{text}\x1b[0m" if coloured() else text


def readable(line: str) -> str:
    """A JSON log line as a person reads it; any other line as it is."""
    if not line.startswith("{"):
        return line
    try:
        event: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    if "DownstreamStatus" in event:
        ms = event.get("Duration", 0) / 1e6
        return f"{event.get('RequestMethod')} {event.get('RequestPath')} {event['DownstreamStatus']} {ms:.1f} ms"
    level = str(event.pop("level", ""))
    at = str(event.pop("timestamp", None) or event.pop("time", ""))[11:23]
    text = str(event.pop("event", None) or event.pop("message", None) or event.pop("msg", ""))
    trace_back = event.pop("exception", None)
    for known in ("service", "replica", "trace_id", "logger"):
        event.pop(known, None)
    fields = " ".join(f"{name}={value}" for name, value in event.items())
    colour = _LEVEL_COLOURS.get(level)
    shown = f"\x1b[{colour}m{level}\x1b[0m" if colour else level
    return f"{at} {shown} {text} {fields}".rstrip() + (f"\n{trace_back}" if trace_back else "")
