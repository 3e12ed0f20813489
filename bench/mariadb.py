"""A MariaDB of one's own, with the server's default durability: every commit is flushed."""

import contextlib
import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


def missing() -> str | None:
    """Why MariaDB cannot be had here; None when it can."""
    lacking = [name for name in ("mariadbd", "mariadb-install-db") if _program(name) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else None


@dataclass
class Server:
    """A server on a folder of its own, always on the same port. `before`: a program that starts it, with arguments;
    `options`: its own beside the defaults."""

    folder: Path
    port: int = 0
    before: Sequence[str] = ()
    options: Sequence[str] = ()
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """The base address for FLOWWEAVER_DATABASE_URL."""
        return f"mysql+pymysql://root@127.0.0.1:{self.port}?charset=utf8mb4"

    def install(self) -> None:
        """Makes the data folder and takes a port."""
        self.folder.mkdir(parents=True)
        subprocess.run(
            [
                str(_program("mariadb-install-db")), "--no-defaults", self._data,
                "--auth-root-authentication-method=normal", *_user(),
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def start(self) -> None:
        """Starts it; `wait` tells when it is there."""
        self.process = subprocess.Popen(
            [
                *self.before, str(_program("mariadbd")), "--no-defaults", self._data,
                f"--socket={self.folder / 'socket'}", f"--port={self.port}", "--bind-address=127.0.0.1", *_user(),
                *self.options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
            if self.answers():
                return
            time.sleep(0.1)
        raise RuntimeError("mariadbd did not start")

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def stop(self, seconds: float = 60) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(seconds)

    def restart(self, options: Sequence[str]) -> None:
        """Ends it in order, which takes as long as it has pages to write, and starts it with other options."""
        self.stop(600)
        self.options = options
        self.start()
        self.wait()

    def cpu_seconds(self) -> float:
        """User and system time of the server so far."""
        assert self.process is not None  # noqa: S101
        used = psutil.Process(self.process.pid).cpu_times()
        return used.user + used.system

    @property
    def _data(self) -> str:
        return f"--datadir={self.folder / 'data'}"


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """The base address for FLOWWEAVER_DATABASE_URL, while the block runs."""
    own = Server(folder)
    own.install()
    own.start()
    try:
        own.wait()
        yield own.url
    finally:
        own.stop()


def _user() -> list[str]:
    return ["--user=root"] if getpass.getuser() == "root" else []


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
