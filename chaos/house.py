"""The platform under test: its real supervisor with two replicas of engine and worker, on a MariaDB of its own.

Only processes of its own tree are ever signalled. All of them end with this process, however it ends.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import psutil

from bench.mariadb import Server
from bench.stack import Stack
from chaos.workflows import QUEUE, QUEUE_LIMIT
from flowweaver_cli import endpoint, leash

REPLICAS = {"execution": 2, "worker": 2}
MARIADB, NATS, TRAEFIK = "mariadb", "nats", "traefik"
_SERVICES = {TRAEFIK: "gateway"}
"""What a process is called here → in endpoint.json, where that differs."""


class House:
    """`start` returns when all is ready. `folder` holds everything and is not there yet."""

    def __init__(self, folder: Path, program: Path) -> None:
        leashed = (sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid()))
        self.database = Server(folder / "mariadb", before=leashed)
        self.data = folder / "data"
        self._program = program
        self._leashed = leashed
        self._stack: Stack | None = None

    @property
    def stack(self) -> Stack:
        """The platform, once it was started."""
        if self._stack is None:
            raise RuntimeError("not started")
        return self._stack

    def start(self) -> None:
        self.database.install()
        self.database.start()
        self.database.wait()
        environment = {
            "FLOWWEAVER_REPLICAS": ",".join(f"{service}={count}" for service, count in REPLICAS.items()),
            "FLOWWEAVER_QUEUE_LIMITS": json.dumps({QUEUE: QUEUE_LIMIT}),
            "FLOWWEAVER_WORKER_QUEUES": f"default,{QUEUE}",
            "FLOWWEAVER_READY_TIMEOUT_S": "170",
            # a token is fetched anew every few minutes; nobody may be able to for as long as a fault lasts
            "FLOWWEAVER_ACCESS_TOKEN_S": "3600",
        }
        self._stack = Stack(self._program, self.data, self.database.url, environment, self._leashed)
        self._stack.start(seconds=180)

    def stop(self) -> None:
        """Wakes whoever is stopped, ends the platform in good order, then its database."""
        for process in self.tree():
            send(process, signal.SIGCONT)
        if self._stack is not None:
            self._stack.stop()
        self.database.stop()

    # --- its processes ----------------------------------------------------------------------------------------------

    def tree(self) -> list[psutil.Process]:
        """Every process of ours that lives: the supervisor's and MariaDB."""
        found: list[psutil.Process] = []
        for root in (self._stack and self._stack.process, self.database.process):
            if root and root.poll() is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process = psutil.Process(root.pid)
                    found += [process, *process.children(recursive=True)]
        return found

    def ready(self, name: str) -> dict[int, int]:
        """The ready processes of a service: replica → pid."""
        try:
            children = self.stack.children(_SERVICES.get(name, name))
        except (OSError, ValueError):
            return {}
        return {child["replica"]: child["pid"] for child in children}

    def process(self, name: str, replica: int) -> psutil.Process | None:
        """The process that is this replica now, if it is of our tree."""
        if name == MARIADB:
            process = self.database.process
            pid = process.pid if process is not None and process.poll() is None else None
        else:
            pid = self.ready(name).get(replica)
        return next((process for process in self.tree() if process.pid == pid), None)

    # --- what can be done to it ------------------------------------------------------------------------------------

    def wipe_broker(self, process: psutil.Process) -> None:
        """Kills it and deletes its folder; stopped first, so that it does not write into what is being deleted."""
        send(process, signal.SIGSTOP)
        shutil.rmtree(self.data / NATS, ignore_errors=True)
        send(process, signal.SIGKILL)

    def scale(self, counts: dict[str, int]) -> None:
        """Has the supervisor run so many replicas from now on."""
        holder = endpoint.find_holder(self.data)
        if holder is not None:
            endpoint.ask_for_replicas(self.data, holder, counts)


def send(process: psutil.Process, number: signal.Signals) -> None:
    """psutil knows a process by its start, too: another one that got its pid meanwhile is left alone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
