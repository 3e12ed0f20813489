"""The supervisor with the real platform: what it promises when processes die, it itself included."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from platform_house import ADMIN_EMAIL, ADMIN_PASSWORD, Platform, eventually, free_port, states

from flowweaver_cli.client import Client

pytestmark = pytest.mark.process
SERVICES = {"identity", "workflow", "execution", "scheduler", "worker", "demo-shop", "web", "nats", "gateway"}
PROGRAM = str(Path(sys.executable).with_name("flowweaver"))

Start = Callable[..., Platform]


def flowweaver(*arguments: str, seconds: float = 60, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWWEAVER_")}
    return subprocess.run(
        [PROGRAM, *arguments],
        env={**kept, "FLOWWEAVER_LANGUAGE": "en", **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def run_one(platform: Platform) -> None:
    """A workflow goes through all services."""
    workflow_id = platform.compose([{"key": "one", "type": "test.increment", "parameters": {"n": 1}}])
    assert states(platform.finished(platform.run(workflow_id))) == {"one": "SUCCESS"}


def living(pids: list[int]) -> list[int]:
    """Those that still run; what only waits to be reaped does not."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def test_endpoint_json_tells_programs_all_they_need(platform: Platform) -> None:
    found = platform.endpoint
    assert found.keys() == {"base_url", "pid", "ready_s", "pss_mb", "children", "missing"}
    assert platform.process is not None
    assert found["pid"] == platform.process.pid
    assert 0 < found["ready_s"] < 60
    assert found["missing"] == []
    assert {child["service"] for child in found["children"]} == SERVICES
    for child in found["children"]:
        assert child.keys() == {"service", "replica", "pid", "port", "pss_mb"}
        assert child["replica"] == 0
        assert psutil.pid_exists(child["pid"])
        if child["service"] not in ("nats", "gateway"):
            assert Path(f"/proc/{child['pid']}/comm").read_text().strip() == f"{child['service']}-0"
        assert child["pss_mb"] > 1
        with socket.create_connection(("127.0.0.1", child["port"]), timeout=5):
            pass


def test_status_says_the_same_and_exits_0(platform: Platform) -> None:
    done = flowweaver("status", "--json", "--data", str(platform.data))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("ready") is True
    written = platform.endpoint
    for found in (told, written):
        found.pop("pss_mb")
        for child in found["children"]:
            child.pop("pss_mb")
    assert told == written
    assert "execution" in flowweaver("status", "--data", str(platform.data)).stdout


def test_status_of_nothing_exits_3(tmp_path: Path) -> None:
    done = flowweaver("status", "--json", "--data", str(tmp_path))
    assert done.returncode == 3
    assert json.loads(done.stdout)["children"] == []
    assert flowweaver("status", FLOWWEAVER_DATA=str(tmp_path)).returncode == 3
    assert flowweaver("stop", FLOWWEAVER_DATA=str(tmp_path)).returncode == 3
    assert flowweaver("scale", "worker=2", FLOWWEAVER_DATA=str(tmp_path)).returncode == 3


def test_a_second_platform_on_the_same_folder_is_refused_by_name(platform: Platform) -> None:
    assert platform.process is not None
    done = flowweaver("up", FLOWWEAVER_DATA=str(platform.data), FLOWWEAVER_PORT=str(free_port()))
    assert done.returncode == 2
    assert str(platform.process.pid) in done.stderr
    assert platform.endpoint["pid"] == platform.process.pid


def test_a_chosen_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = flowweaver("up", FLOWWEAVER_DATA=str(tmp_path), FLOWWEAVER_PORT=port)
    assert done.returncode == 2
    assert port in done.stderr
    assert not (tmp_path / "endpoint.json").exists()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("FLOWWEAVER_REPLICAS", "execution=2", "SQLite"),
        ("FLOWWEAVER_REPLICAS", "kitchen=2", "kitchen=2"),
        ("FLOWWEAVER_REPLICAS", "worker=0", "worker=0"),
        ("FLOWWEAVER_PORT", "seventy", "FLOWWEAVER_PORT"),
        ("FLOWWEAVER_TLS_CERT", "cert.pem", "FLOWWEAVER_TLS_KEY"),
    ],
)
def test_what_cannot_be_set_up_is_refused_with_the_reason(tmp_path: Path, name: str, value: str, told: str) -> None:
    done = flowweaver("up", FLOWWEAVER_DATA=str(tmp_path), **{name: value})
    assert done.returncode == 2
    assert told in done.stderr


def test_a_service_that_cannot_start_ends_the_start_with_its_own_words(tmp_path: Path) -> None:
    done = flowweaver(
        "up",
        FLOWWEAVER_DATA=str(tmp_path),
        FLOWWEAVER_PORT=str(free_port()),
        FLOWWEAVER_ENCRYPTION_KEY="no such key",
    )
    assert done.returncode == 2, done.stderr
    assert "cannot start" in done.stderr
    assert "encryption_key" in done.stderr
    assert not (tmp_path / "endpoint.json").exists()


def test_only_the_gateway_can_be_reached_and_only_from_this_machine(platform: Platform) -> None:
    """Traefik's public door is the one for people; everything, it too, listens on loopback."""
    listening = [
        connection.laddr
        for child in psutil.Process(platform.endpoint["pid"]).children(recursive=True)
        for connection in child.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= len(SERVICES)
    # gRPC writes loopback as an IPv6 address
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_children_share_what_they_imported(platform: Platform) -> None:
    """A service by itself takes 75 MB; forked from a warm server it takes less, and nothing imports twice."""
    python = [
        child for child in platform.endpoint["children"] if child["service"] in ("workflow", "execution", "scheduler")
    ]
    server = {psutil.Process(child["pid"]).ppid() for child in python}
    assert len(server) == 1
    assert len(os.listdir(f"/proc/{server.pop()}/task")) == 1, "a fork server must have no thread"


def test_each_child_writes_its_log_file(platform: Platform) -> None:
    logs = platform.data / "logs"
    assert {path.name for path in logs.glob("*.log")} >= {f"{service}-0.log" for service in SERVICES}
    assert (logs.stat().st_mode & 0o077) == 0
    done = flowweaver("logs", "execution", "--lines", "3", "--data", str(platform.data))
    assert done.returncode == 0
    assert all(line.startswith("execution-0") for line in done.stdout.splitlines())
    # what is printed is what the supervisor's own terminal shows
    assert "execution-0" in (platform.data / "up.log").read_text()


def test_the_merged_openapi_document_is_served(platform: Platform) -> None:
    document = httpx.get(f"{platform.base_url}/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path in (
        "/v0/auth/login",
        "/v0/workflows",
        "/v0/workflow-runs",
        "/v0/schedules/{schedule_id}",
        "/v0/artifacts",
    ):
        assert path in document["paths"], path
    assert document["paths"]["/v0/auth/login"]["post"]["security"] == []
    assert "security" not in document["paths"]["/v0/workflows"]["get"]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert not any(path.startswith("/internal") for path in document["paths"])


def test_a_child_that_dies_is_started_again(own_platform: Start) -> None:
    platform = own_platform()
    run_one(platform)
    for service in ("execution", "nats", "gateway", "worker"):
        dead = platform.kill(service)

        def restarted(service: str = service, dead: int = dead) -> bool:
            found = platform.endpoint
            pids = [child["pid"] for child in found["children"] if child["service"] == service]
            return not found["missing"] and len(pids) == 1 and pids[0] != dead

        eventually(restarted, 20, f"{service} runs again")
        run_one(platform)
    assert flowweaver("status", "--data", str(platform.data)).returncode == 0


def test_a_broker_that_dies_again_and_again_is_started_within_a_second_each_time(own_platform: Start) -> None:
    """Runs recover within 15 s of a broker's death: the supervisor must leave most of that to them."""
    platform = own_platform()
    for number in range(8):
        dead = platform.kill("nats")
        died = time.time()

        def restarted(dead: int = dead) -> psutil.Process | None:
            # gone again before it was looked at: not this time
            with contextlib.suppress(psutil.NoSuchProcess):
                return next((psutil.Process(pid) for pid in platform.pids("nats") if pid != dead), None)
            return None

        # its first moment, not when it was ready: that takes longer on a busy machine
        waited = eventually(restarted, 30, "nats runs again").create_time() - died
        assert waited < 4, f"death {number + 1}"
    run_one(platform)


def test_when_the_fork_server_dies_all_its_children_are_started_again(own_platform: Start) -> None:
    platform = own_platform()
    before = {child["service"]: child["pid"] for child in platform.endpoint["children"]}
    os.kill(psutil.Process(before["worker"]).ppid(), signal.SIGKILL)

    def restarted() -> bool:
        now = {child["service"]: child["pid"] for child in platform.endpoint["children"]}
        same = {service for service in before if now.get(service) == before[service]}
        return now.keys() == before.keys() and same == {"nats", "gateway"}

    eventually(restarted, 90, "all are back")
    run_one(platform)


def test_with_a_certificate_people_come_over_tls(own_platform: Start, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make_certificate(certificate, key)
    platform = own_platform(FLOWWEAVER_TLS_CERT=str(certificate), FLOWWEAVER_TLS_KEY=str(key))
    assert platform.base_url.startswith("https://")
    trusted = ssl.create_default_context(cafile=certificate)
    with httpx.Client(base_url=platform.base_url, verify=trusted, timeout=20) as http:
        answer = http.get("/health")
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        body = {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
        assert "Secure" in http.post("/v0/auth/login", json=body).headers["set-cookie"]
    assert flowweaver("status", "--data", str(platform.data)).returncode == 0
    with closing(Client(platform.base_url, ADMIN_EMAIL, ADMIN_PASSWORD, certificate=certificate)) as client:
        assert client.get("/v0/users/me")["email"] == ADMIN_EMAIL


def make_certificate(certificate: Path, key: Path) -> None:
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def test_a_child_that_is_away_is_said_to_be_missing(own_platform: Start) -> None:
    platform = own_platform()
    platform.kill("scheduler")
    eventually(lambda: platform.endpoint["missing"] == ["scheduler-0"], 5, "it is missed")
    assert "scheduler" not in {child["service"] for child in platform.endpoint["children"]}
    eventually(lambda: platform.endpoint["missing"] == [], 20, "it is back")
    assert flowweaver("status", "--json", "--data", str(platform.data)).returncode == 0


def test_killed_itself_it_leaves_nothing_behind_and_starts_again_with_all_data(own_platform: Start) -> None:
    platform = own_platform()
    run_one(platform)
    assert platform.process is not None
    everything = [child.pid for child in psutil.Process(platform.process.pid).children(recursive=True)]
    assert len(everything) > len(SERVICES)
    began = time.monotonic()
    platform.process.kill()
    platform.process.wait(5)
    eventually(lambda: not living(everything), 5, "every child is gone")
    assert time.monotonic() - began < 5
    assert not (platform.data / "endpoint.json").exists(), "whoever reads it would believe in a platform"
    assert flowweaver("status", "--json", "--data", str(platform.data)).returncode == 3

    platform.start()
    with platform.client() as api:
        assert len(api.get("/workflow-runs").json()["items"]) == 1
    run_one(platform)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_asked_to_stop_it_stops_all_in_order(own_platform: Start, number: signal.Signals) -> None:
    platform = own_platform()
    assert platform.process is not None
    everything = [child.pid for child in psutil.Process(platform.process.pid).children(recursive=True)]
    platform.process.send_signal(number)
    assert platform.process.wait(30) == 0
    assert not living(everything)
    assert not (platform.data / "endpoint.json").exists()
    log = (platform.data / "up.log").read_text()
    # services had a broker until they were gone
    assert log.rindex('"service":"execution-service","event":"stopped"') < log.rindex("Initiating Shutdown")


def test_stop_stops_it_from_outside(own_platform: Start) -> None:
    platform = own_platform()
    assert flowweaver("stop", "--data", str(platform.data)).returncode == 0
    assert platform.process is not None
    assert platform.process.wait(5) == 0


def test_replicas_come_and_go_without_a_restart_or_a_lost_request(own_platform: Start) -> None:
    platform = own_platform()
    data = str(platform.data)
    supervisor = platform.endpoint["pid"]
    assert flowweaver("scale", "worker=3", "--data", data).returncode == 0
    assert sorted(child["replica"] for child in platform.endpoint["children"] if child["service"] == "worker") == [
        0,
        1,
        2,
    ]
    with platform.client() as api:
        for _ in range(12):
            assert api.get("/artifacts").status_code == 200
    for replica in range(3):
        assert '"/v0/artifacts"' in (platform.data / "logs" / f"worker-{replica}.log").read_text(), replica

    process = subprocess.Popen([PROGRAM, "scale", "worker=1", "--data", data], stderr=subprocess.DEVNULL)
    with platform.client() as api:
        answers = []
        while process.poll() is None:
            answers.append(api.get("/artifacts").status_code)
            answers.append(api.post("/task-types/test.increment/try", json={"parameters": {"n": 1}}).status_code)
    assert process.returncode == 0
    assert set(answers) == {200}
    assert len(platform.pids("worker")) == 1
    assert platform.endpoint["pid"] == supervisor
    run_one(platform)
    # SQLite has one writer
    refused = flowweaver("scale", "execution=2", "--data", data)
    assert refused.returncode == 2
    assert "SQLite" in refused.stderr
    assert flowweaver("scale", "worker=many", "--data", data).returncode == 2
