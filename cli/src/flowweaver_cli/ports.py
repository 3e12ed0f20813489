"""Ports on loopback: the usual one where it is free, another one where it is taken.

A port given out is held by a lock file until this process ends, so that two platforms that start at the same moment
never both believe that it is free.
"""

import os
import random
import socket
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

HOST = "127.0.0.1"
# below the range that Linux takes outgoing connections' ports from
_SPARE = range(20_000, 32_000)


class PortTaken(Exception):
    """The one port that was asked for is in use."""


def is_free(port: int) -> bool:
    """Whether somebody could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class Ports:
    """The ports of one platform."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / f"flowweaver-ports-{os.getuid()}"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if self._folder.is_symlink() or self._folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._folder} belongs to somebody else")
        self._held: dict[int, FileLock] = {}

    def take(self, wanted: int) -> int:
        """`wanted`, else any free port."""
        for port in (wanted, *random.sample(_SPARE, 200)):
            if self._hold(port):
                return port
        raise PortTaken(wanted)

    def take_exactly(self, wanted: int) -> int:
        """Raises PortTaken."""
        if not self._hold(wanted):
            raise PortTaken(wanted)
        return wanted

    def give_back(self, port: int) -> None:
        if lock := self._held.pop(port, None):
            lock.release()

    def _hold(self, port: int) -> bool:
        if port in self._held:
            return False
        lock = FileLock(self._folder / f"{port}.lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            return False
        if not is_free(port):
            lock.release()
            return False
        self._held[port] = lock
        return True
