"""The whole platform as a stranger starts it, for tests: `flowweaver up` in a process of its own, and a client."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

ADMIN_EMAIL = "admin@example.com"
ADMIN_PASSWORD = "correct horse battery staple"
MB = 1024 * 1024
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TERMINAL = {"SUCCESS", "FAILED", "CANCELLED"}
PROGRAM = Path(sys.executable).with_name("flowweaver")
T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(look: Callable[[], T | None], seconds: float, what: str) -> T:
    """The first value of `look` that is neither None nor False, or a failed test."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


@dataclass
class Platform:
    """A running platform and what started it. `environment` adds to what its processes see."""

    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    program: Path = PROGRAM
    _token: str = ""

    def start(self, seconds: float = 60) -> "Platform":
        self.data.mkdir(parents=True, exist_ok=True)
        settings = {
            "FLOWWEAVER_DATA": str(self.data),
            "FLOWWEAVER_PORT": str(free_port()),
            "FLOWWEAVER_ADMIN_EMAIL": ADMIN_EMAIL,
            "FLOWWEAVER_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "FLOWWEAVER_TEST_TASKS": "1",
            # the shared platform serves longer than a token usually lives
            "FLOWWEAVER_ACCESS_TOKEN_S": "3600",
            # tests log in more often than people do
            "FLOWWEAVER_LOGIN_RATE": "1000",
            "FLOWWEAVER_LOGIN_BURST": "1000",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWWEAVER_")}
        with (self.data / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.program), "up"], env={**kept, **settings, **self.environment}, stdout=log, stderr=log
            )
        eventually(self._ready, seconds, f"ready; see {self.data / 'up.log'}")
        self._token = ""
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.data / "up.log").read_text()[-4000:]
        # a killed supervisor leaves its file behind
        return (self.data / "endpoint.json").exists() and self.endpoint["pid"] == self.process.pid

    @property
    def endpoint(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "endpoint.json").read_text())
        return found

    @property
    def base_url(self) -> str:
        return str(self.endpoint["base_url"])

    def pids(self, service: str) -> list[int]:
        return [child["pid"] for child in self.endpoint["children"] if child["service"] == service]

    def kill(self, service: str) -> int:
        """kill -9 of a service's first replica; its pid."""
        pid = self.pids(service)[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill_all(self) -> None:
        """kill -9 of the supervisor; its children follow it."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait(10)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive, alive

    # --- as a person ------------------------------------------------------------------------------------------------

    def log_in(self, email: str = ADMIN_EMAIL, password: str = ADMIN_PASSWORD) -> str:
        answer = httpx.post(f"{self.base_url}/v0/auth/login", json={"email": email, "password": password}, timeout=20)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def client(self, token: str | None = None) -> httpx.Client:
        """A client of the API, logged in as the administrator unless a token is given."""
        if token is None:
            self._token = self._token or self.log_in()
            token = self._token
        headers = {"Authorization": f"Bearer {token}", "Accept-Language": "en"}
        return httpx.Client(base_url=f"{self.base_url}/v0", headers=headers, timeout=30)

    def compose(self, *jobs: list[dict[str, Any]], **workflow: Any) -> str:
        """Makes a workflow of tasks `{key, type, parameters, …}`, a list per job; its id."""
        with self.client() as api:
            rows = []
            for number, tasks in enumerate(jobs):
                placements = []
                for task in tasks:
                    body = {"name": task["key"], "type": task["type"], "parameters": task.get("parameters", {})}
                    body |= {
                        name: task[name] for name in ("retry", "timeout_s", "failure_policy", "queue") if name in task
                    }
                    made = created(api.post("/tasks", json=body))
                    placed = {"task_id": made["task_id"], "key": task["key"]}
                    said = ("when", "depends_on", "for_each", "max_parallel", "concurrency_key", "concurrency_limit")
                    placements.append(placed | {name: task[name] for name in said if name in task})
                job_id = created(api.post("/jobs", json={"name": f"job {number}"}))["job_id"]
                ok(api.put(f"/jobs/{job_id}/tasks", json=placements))
                rows.append({"job_id": job_id})
            made = created(api.post("/workflows", json={"name": "test", **workflow}))
            ok(api.put(f"/workflows/{made['workflow_id']}/jobs", json=rows))
            return str(made["workflow_id"])

    def run(self, workflow_id: str, input: dict[str, Any] | None = None, key: str | None = None) -> str:
        with self.client() as api:
            headers = {"Idempotency-Key": key} if key else {}
            answer = api.post(f"/workflows/{workflow_id}/run", json={"input": input or {}}, headers=headers)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["run_id"])

    def finished(self, run_id: str, seconds: float = 60) -> dict[str, Any]:
        """The run once it is terminal; errors of the gateway on the way are waited out."""

        def look() -> dict[str, Any] | None:
            try:
                with self.client() as api:
                    answer = api.get(f"/workflow-runs/{run_id}")
            except httpx.TransportError:
                return None
            if answer.status_code >= 500 or answer.status_code == 401:
                return None
            found: dict[str, Any] = ok(answer)
            return found if found["state"] in TERMINAL else None

        return eventually(look, seconds, f"run {run_id} terminal")

    def output(self, run: dict[str, Any], key: str) -> Any:
        [task] = [task for job in run["jobs"] for task in job["tasks"] if task["key"] == key]
        with self.client() as api:
            return ok(api.get("/tasks/io-data", params={"task_run_id": task["task_run_id"]}))["output"]


def ok(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    return answer.json()


def created(answer: httpx.Response) -> Any:
    assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
    return answer.json()


def states(run: dict[str, Any]) -> dict[str, str]:
    return {task["key"]: task["state"] for job in run["jobs"] for task in job["tasks"]}
