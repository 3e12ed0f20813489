"""The real process: it starts on an empty folder, serves both edges, is alone on SQLite, and ends when told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc


def start(folder: Path, ports: tuple[int, int], secret: str) -> "subprocess.Popen[bytes]":
    key = folder / "service.key"
    key.write_text(secret)
    environment = {
        **os.environ,
        "FLOWWEAVER_DATA": str(folder),
        "FLOWWEAVER_HTTP_PORT": str(ports[0]),
        "FLOWWEAVER_RPC_PORT": str(ports[1]),
        "FLOWWEAVER_INNER_URL": "http://127.0.0.1:9",
        "FLOWWEAVER_SERVICE_SECRET_FILE": str(key),
    }
    log = (folder / "log").open("ab")
    return subprocess.Popen([sys.executable, "-m", "workflow_service"], env=environment, stdout=log, stderr=log)


def wait_ready(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.mark.process
def test_the_process_serves_until_it_is_told_to_end(tmp_path: Path, free_ports: Any, secret: str) -> None:
    ports = free_ports(2)
    process = start(tmp_path, ports, secret)
    try:
        wait_ready(ports[0], process, tmp_path / "log")
        with grpc.insecure_channel(f"127.0.0.1:{ports[1]}") as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        second = start(tmp_path, free_ports(2), secret)
        assert second.wait(60) == 2
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (tmp_path / "log").read_text()
    assert (tmp_path / "databases" / "workflow.db").exists()
