"""The platform as `flowweaver up` starts it, and what the benchmark asks of it from outside."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.http1 import Connection

ADMIN_EMAIL = "bench@example.com"
ADMIN_PASSWORD = "measure twice, cut once"  # noqa: S105  # of a platform that lives for minutes
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Stack:
    """A running platform on a data folder. `program`: the `flowweaver` to start; `database_url`: None is SQLite.

    `environment`: what else its processes see; `before`: a program that starts the supervisor, with its arguments.
    """

    program: Path
    data: Path
    database_url: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()
    process: "subprocess.Popen[bytes] | None" = None
    _port: int = 0
    _token: tuple[str, float] = field(default=("", 0.0))

    def settings(self) -> dict[str, str]:
        """All that differs from a plain `flowweaver up`."""
        if not self._port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._port = int(probe.getsockname()[1])
        told = {
            "FLOWWEAVER_DATA": str(self.data),
            "FLOWWEAVER_PORT": str(self._port),
            "FLOWWEAVER_ADMIN_EMAIL": ADMIN_EMAIL,
            "FLOWWEAVER_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "FLOWWEAVER_TEST_TASKS": "1",
        }
        return told if self.database_url is None else {**told, "FLOWWEAVER_DATABASE_URL": self.database_url}

    def start(self, seconds: float = 120) -> float:
        """Seconds from the start command until the platform says that it is ready."""
        self.data.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWWEAVER_")}
        began = time.perf_counter()
        with (self.data / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.before, str(self.program), "up"],
                env={**kept, **self.settings(), **self.environment},
                stdout=log,
                stderr=log,
            )
        while time.perf_counter() - began < seconds:
            if (self.data / "endpoint.json").exists():
                return time.perf_counter() - began
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        raise RuntimeError(f"not ready: {(self.data / 'up.log').read_text()[-2000:]}")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(90)

    # --- its processes ----------------------------------------------------------------------------------------------

    @property
    def endpoint(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "endpoint.json").read_text())
        return found

    @property
    def base_url(self) -> str:
        return str(self.endpoint["base_url"])

    def children(self, service: str) -> list[dict[str, Any]]:
        return [child for child in self.endpoint["children"] if child["service"] == service]

    def pids(self) -> dict[str, list[int]]:
        """Every process by service; a service's own children are its; `supervisor` is what remains."""
        assert self.process is not None  # noqa: S101
        found: dict[str, list[int]] = {}
        seen: set[int] = set()
        for child in self.endpoint["children"]:
            tree = [child["pid"]]
            with contextlib.suppress(psutil.NoSuchProcess):
                tree += [below.pid for below in psutil.Process(child["pid"]).children(recursive=True)]
            found.setdefault(child["service"], []).extend(tree)
            seen.update(tree)
        own = psutil.Process(self.process.pid)
        rest = [own.pid, *(below.pid for below in own.children(recursive=True))]
        found["supervisor"] = [pid for pid in rest if pid not in seen]
        return found

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time so far, by service, and of this benchmark itself."""
        used = {service: sum(map(_cpu, pids)) for service, pids in self.pids().items()}
        return {**used, "bench": time.process_time()}

    def pss_mb(self) -> float:
        """Memory of all processes; what n of them share counts 1/n in each."""
        return sum(_pss_kb(pid) for pids in self.pids().values() for pid in pids) / 1024

    # --- as a caller ------------------------------------------------------------------------------------------------

    def token(self) -> str:
        """A fresh one long before a token's 15 minutes are over."""
        token, made = self._token
        if not token or time.monotonic() - made > 300:
            body = {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
            answer = httpx.post(f"{self.base_url}/v0/auth/login", json=body, timeout=30, trust_env=False)
            token = str(_expect(answer, 200)["access_token"])
            self._token = (token, time.monotonic())
        return token

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token()}"}
        return httpx.Client(base_url=f"{self.base_url}/v0", headers=headers, timeout=30, trust_env=False)

    async def connections(self, count: int) -> list[Connection]:
        """Open keep-alive connections that identity-service has already let through."""
        base_url, token = self.base_url, self.token()
        made = [Connection(base_url, token) for _ in range(count)]
        await asyncio.gather(*(one.request("GET", "/v0/workflow-runs?limit=1") for one in made))
        return made

    def scale(self, service: str, replicas: int) -> None:
        """Returns when so many run and are ready."""
        told = {"FLOWWEAVER_DATA": str(self.data)}
        subprocess.run(
            [str(self.program), "scale", f"{service}={replicas}"],
            env={**os.environ, **told},
            check=True,
            capture_output=True,
            timeout=90,
        )

    def compose(self, name: str, placements: list[dict[str, Any]], type: str = "test.increment") -> str:
        """A workflow of one job whose tasks are placements of one task of that type; its id."""
        with self.client() as api:
            task = _expect(api.post("/tasks", json={"name": name, "type": type}), 201)["task_id"]
            job = _expect(api.post("/jobs", json={"name": name}), 201)["job_id"]
            _expect(api.put(f"/jobs/{job}/tasks", json=[{"task_id": task, **one} for one in placements]), 200)
            workflow = str(_expect(api.post("/workflows", json={"name": name}), 201)["workflow_id"])
            _expect(api.put(f"/workflows/{workflow}/jobs", json=[{"job_id": job}]), 200)
            return workflow

    def output(self, task_run_id: str) -> Any:
        with self.client() as api:
            return _expect(api.get("/tasks/io-data", params={"task_run_id": task_run_id}), 200)["output"]


def _expect(answer: httpx.Response, status: int) -> Any:
    if answer.status_code != status:
        raise RuntimeError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}")
    return answer.json()


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _pss_kb(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as lines:
        return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return 0
