"""The process as the supervisor runs it: ready, alone on its SQLite file, silent about secrets, gone on SIGTERM."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.process


class Running:
    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self._log = log

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    def event(self, name: str, seconds: float = 30) -> dict[str, Any]:
        """The first log line of that name, waited for."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.lines():
                if line["event"] == name:
                    return line
            assert self.process.poll() is None, self._log.read_text()
            time.sleep(0.02)
        raise AssertionError(f"no {name} in {self._log.read_text()}")

    def text(self) -> str:
        return self._log.read_text()


@contextmanager
def _service(data: Path, log: Path, **settings: str) -> Iterator[Running]:
    environment = {**os.environ, "FLOWWEAVER_DATA": str(data), **settings}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "identity_service"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
        )
        try:
            yield Running(process, log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(10)


def _url(running: Running, data: Path) -> str:
    """The port is logged by uvicorn, since the test lets it choose."""
    line = next(line for line in running.lines() if "Uvicorn running on" in line["event"])
    address: str = line["event"].split(" ")[3]
    return address


def _ready(running: Running, data: Path) -> str:
    running.event("started")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if any("Uvicorn running on" in line["event"] for line in running.lines()):
            return _url(running, data)
        time.sleep(0.02)
    raise AssertionError(running.text())


def test_a_process_serves_announces_its_administrator_once_and_stops_cleanly(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with _service(data, tmp_path / "first.log") as first:
        url = _ready(first, data)
        announced = first.event("first_administrator")
        kept = data / "secrets" / "admin-password"
        assert announced["kept_in"] == str(kept)
        assert kept.stat().st_mode & 0o777 == 0o600
        password = kept.read_text()
        body = {"email": "admin@flowweaver.local", "password": password}
        answer = httpx.post(f"{url}/v0/auth/login", json=body, trust_env=False, timeout=20)
        assert answer.status_code == 200
        token = answer.json()["access_token"]
        headers = {"authorization": f"Bearer {token}"}
        assert httpx.get(f"{url}/v0/users", headers=headers, trust_env=False).status_code == 200
        assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
        written = first.text()
        encryption_key = (data / "secrets" / "encryption.key").read_text()
        for secret in (password, token, answer.cookies["fw_refresh"], encryption_key):
            assert secret not in written
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(15) == 0
        first.lines()
    with _service(data, tmp_path / "second.log", FLOWWEAVER_ADMIN_PASSWORD="something else") as second:
        url = _ready(second, data)
        assert httpx.get(f"{url}/v0/users", headers=headers, trust_env=False).status_code == 200
        second.event("administrator_differs")
        assert not [line for line in second.lines() if line["event"] == "first_administrator"]
        assert "something else" not in second.text()
        assert password not in second.text()


def test_a_second_process_on_one_sqlite_file_is_turned_away(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with _service(data, tmp_path / "first.log") as first:
        first.event("started")
        with _service(data, tmp_path / "second.log") as second:
            assert second.process.wait(30) == 2
            assert second.lines()[0]["event"] == "sole_replica"
        assert first.process.poll() is None
