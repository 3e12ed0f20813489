"""The gateway by itself: real Traefik on the committed configuration, before services of a few lines."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from platform_house import eventually, free_port

from flowweaver.execution.v1 import execution_pb2, execution_pb2_grpc
from flowweaver.worker.v1 import worker_pb2, worker_pb2_grpc
from flowweaver_cli.gateway import Doors, Gateway, HealthCheck, Replica

pytestmark = pytest.mark.process
SERVICES = ("identity", "workflow", "execution", "scheduler", "worker")
GOOD = {"Authorization": "Bearer good"}
STAND_IN = Path(__file__).with_name("stand_in.py")


@dataclass
class House:
    """Traefik and its stand-ins; `publish` says which of them it may send requests to."""

    gateway: Gateway
    log: Path
    replicas: list[Replica]
    generation: int = 0
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def publish(self, *more: Replica) -> None:
        self.generation += 1
        self.gateway.write_servers([*self.replicas, *more], generation=self.generation)
        eventually(self._applied, 15, "the gateway took the new servers")

    def _applied(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://{self.gateway.doors.metrics}/generation/{self.generation}").status_code == 200
        return False

    def stand_in(self, service: str) -> Replica:
        replica = Replica(service, free_port(), free_port())
        self.processes.append(subprocess.Popen([sys.executable, str(STAND_IN), service, str(replica.http_port)]))
        eventually(lambda: _listens(replica.http_port), 20, f"{service} listens")
        return replica

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        return httpx.request(method, f"http://{self.gateway.doors.public}{path}", timeout=20, **request)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def a_house(folder: Path, health: HealthCheck) -> Iterator[House]:
    public, inner, metrics = (f"127.0.0.1:{free_port()}" for _ in range(3))
    gateway = Gateway(
        source=Path(__file__).parents[1] / "gateway",
        folder=folder,
        doors=Doors(public, inner, metrics),
        health=health,
    )
    gateway.write()
    made = House(gateway, folder / "traefik.log", [])
    environment = {
        **os.environ,
        "FLOWWEAVER_INNER_URL": f"http://{inner}",
        # so few that a machine which is slow to ask still asks too often
        "FLOWWEAVER_LOGIN_RATE": "1",
        "FLOWWEAVER_LOGIN_BURST": "10",
    }
    program = Path(sys.executable).with_name("traefik")
    try:
        with made.log.open("wb") as log:
            made.processes.append(
                subprocess.Popen(
                    [str(program), f"--configFile={gateway.static_file}"], env=environment, stdout=log, stderr=log
                )
            )
        made.replicas += [made.stand_in(service) for service in SERVICES]
        made.publish()
        yield made
    finally:
        for process in made.processes:
            process.terminate()
        for process in made.processes:
            process.wait(20)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    # a replica that does not answer stays in the rotation for as long as a test looks
    with a_house(tmp_path_factory.mktemp("gateway"), HealthCheck(interval_s=60, timeout_s=2)) as made:
        yield made


OPEN = [
    ("POST", "/v0/auth/login", "identity"),
    ("POST", "/v0/auth/refresh", "identity"),
    ("GET", "/.well-known/jwks.json", "identity"),
    ("GET", "/health", "identity"),
    ("GET", "/openapi.json", "identity"),
    ("GET", "/blog", "worker"),
    ("GET", "/blog/posts/one.html", "worker"),
]


@pytest.mark.parametrize(("method", "path", "service"), OPEN)
def test_what_is_public_is_answered_without_a_token(house: House, method: str, path: str, service: str) -> None:
    answer = house.ask(method, path)
    assert answer.status_code == 200
    assert (answer.json()["service"], answer.json()["path"]) == (service, path)


PEOPLE = [
    ("GET", "/v0/auth/check-session", "identity"),
    ("POST", "/v0/auth/logout", "identity"),
    ("GET", "/v0/users/me", "identity"),
    ("GET", "/v0/organizations", "identity"),
    ("GET", "/v0/roles", "identity"),
    ("GET", "/v0/permissions", "identity"),
    ("POST", "/v0/api-tokens", "identity"),
    ("GET", "/v0/audit-log", "identity"),
    ("GET", "/v0/workflows", "workflow"),
    ("PUT", "/v0/workflows/w1/jobs", "workflow"),
    ("GET", "/v0/workflows/w1/runner", "workflow"),
    ("GET", "/v0/jobs/j1", "workflow"),
    ("DELETE", "/v0/tasks/t1", "workflow"),
    ("GET", "/v0/task-types", "workflow"),
    ("POST", "/v0/workflows/w1/run", "execution"),
    ("GET", "/v0/workflow-runs", "execution"),
    ("POST", "/v0/workflow-runs/r1/cancel", "execution"),
    ("GET", "/v0/tasks/io-data?task_run_id=t", "execution"),
    ("GET", "/v0/stats", "execution"),
    ("GET", "/v0/schedules/s1", "scheduler"),
    ("POST", "/v0/workflows/w1/schedules", "scheduler"),
    ("DELETE", "/v0/workflows/w1/schedules/s1", "scheduler"),
    ("POST", "/v0/triggers", "scheduler"),
    ("GET", "/v0/webhooks", "scheduler"),
    ("GET", "/v0/connections", "worker"),
    ("GET", "/v0/artifacts/a1/content", "worker"),
    ("POST", "/v0/task-types/product.rank/try", "worker"),
]


@pytest.mark.parametrize(("method", "path", "service"), PEOPLE)
def test_each_resource_belongs_to_one_service_and_to_people_with_a_token(
    house: House, method: str, path: str, service: str
) -> None:
    refused = house.ask(method, path)
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
    admitted = house.ask(method, path, headers=GOOD)
    assert admitted.status_code == 200
    assert admitted.json()["service"] == service


NOWHERE = [
    "/v0",
    "/v0/nothing",
    "/v1/users",
    "/metrics",
    "/livez",
    "/readyz",
    "/internal/authorize",
    "/internal/openapi.json",
    "/internal/problem/500",
    "/docs",
    "/blogger",
    "/generation/1",
    "/ping",
    "/flowweaver.execution.v1.ExecutionService/GetRun",
]


@pytest.mark.parametrize("path", NOWHERE)
def test_whatever_else_is_401_without_a_token_and_404_with_one(house: House, path: str) -> None:
    assert house.ask("GET", path).status_code == 401
    answer = house.ask("GET", path, headers=GOOD)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/v0/auth/login", "/v0/auth/refresh"])
def test_another_method_of_a_public_path_is_not_public(house: House, path: str) -> None:
    assert house.ask("GET", path).status_code == 401


def test_dots_in_a_path_lead_nowhere_new(house: House) -> None:
    host, _, port = house.gateway.doors.public.partition(":")
    for path in ("/blog/../internal/authorize", "/blog/%2e%2e/internal/authorize", "//internal/authorize"):
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        # as it stands: a library would tidy it up before sending
        connection.request("GET", path, headers=GOOD)
        answer = connection.getresponse()
        assert answer.status == 404, path
        connection.close()


def test_nobody_can_say_from_outside_who_they_are(house: House) -> None:
    forged = {"X-Fw-User": "root", "X-Fw-Anything": "x", "X-Forwarded-User": "root", "X_Fw_User": "root"}
    seen = house.ask("GET", "/v0/users/me", headers={**GOOD, **forged}).json()["headers"]
    assert seen["x-fw-user"] == "somebody"
    assert seen["authorization"] == "Bearer short"
    assert not {"x-fw-anything", "x-forwarded-user", "x_fw_user"} & seen.keys()
    assert "root" not in json.dumps(house.ask("GET", "/health", headers=forged).json()["headers"])


def test_what_a_caller_says_of_its_own_address_is_not_believed(house: House) -> None:
    seen = house.ask("GET", "/health", headers={"X-Forwarded-For": "1.2.3.4", "X-Real-Ip": "1.2.3.4"}).json()
    assert (seen["headers"]["x-forwarded-for"], seen["headers"]["x-real-ip"]) == ("127.0.0.1", "127.0.0.1")


@pytest.mark.parametrize("path", ["/health", "/v0/users/me", "/v0/nothing", "/blog/"])
def test_every_answer_says_how_a_browser_is_to_treat_it(house: House, path: str) -> None:
    headers = house.ask("GET", path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "server" not in headers or headers["server"] == "uvicorn"
    # only over TLS
    assert "strict-transport-security" not in headers


def test_only_the_blog_may_show_pictures(house: House) -> None:
    assert "img-src 'self'" in house.ask("GET", "/blog/").headers["content-security-policy"]
    assert "img-src" not in house.ask("GET", "/health").headers["content-security-policy"]


def test_a_body_beyond_the_limit_is_refused_as_a_problem(house: House) -> None:
    answer = house.ask("POST", "/v0/workflows", headers=GOOD, content=b"x" * (2 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    # one that the service itself would refuse reaches it
    assert house.ask("POST", "/v0/workflows", headers=GOOD, content=b"x" * 1_500_000).json()["size"] == 1_500_000


def test_the_body_of_somebody_unknown_is_not_even_read(house: House) -> None:
    assert house.ask("POST", "/v0/workflows", content=b"x" * (3 * 1024 * 1024)).status_code == 401


def test_trying_passwords_fast_is_limited_as_a_problem(house: House) -> None:
    answers = [house.ask("POST", "/v0/auth/login", headers={"Accept-Language": "en"}) for _ in range(60)]
    limited = [answer for answer in answers if answer.status_code == 429]
    assert limited
    assert limited[0].headers["content-type"] == "application/problem+json"
    assert limited[0].json() == {"status": 429, "language": "en"}
    # nobody else waits for them
    assert house.ask("GET", "/health").status_code == 200


def test_the_log_in_limit_counts_each_address_for_itself_and_believes_no_header(house: House) -> None:
    def tried(**headers: str) -> int:
        return house.ask("POST", "/v0/auth/login", headers=headers).status_code

    eventually(lambda: tried() == 429, 20, "the limit is reached")
    assert 429 in {tried(**{"X-Forwarded-For": f"192.0.2.{number}"}) for number in range(20)}
    # loopback has more than one address
    address = house.gateway.doors.public
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2")) as other:
        assert other.post(f"http://{address}/v0/auth/login").status_code == 200


@pytest.mark.parametrize("path", ["/v0/workflows", "/v0/auth/refresh"])
@pytest.mark.parametrize("chunks", [b"x\r\n", b"-1\r\n", b"2\r\n{}XX0\r\n\r\n", b"fffffffffffffffff\r\n"])
def test_a_body_whose_chunks_are_none_is_the_callers_fault(house: House, path: str, chunks: bytes) -> None:
    host, _, port = house.gateway.doors.public.partition(":")
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer good\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as opened:
        opened.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks)
        answer = b"".join(iter(lambda: opened.recv(65_536), b""))
    head_of_answer, _, content = answer.partition(b"\r\n\r\n")
    assert head_of_answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"application/problem+json" in head_of_answer
    assert json.loads(content)["status"] == 400


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v0/workflows"), ("POST", "/v0/auth/refresh"), ("GET", "/v0/jobs")]
)
def test_a_services_own_defect_stays_one(house: House, method: str, path: str) -> None:
    answer = house.ask(method, path, headers={**GOOD, "X-Answer": "500"})
    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    assert answer.headers["content-type"] == "application/problem+json"


OWN_ANSWERS = [
    ("GET", "/v0/workflows", "workflow", 503),
    ("POST", "/v0/workflow-runs/r/cancel", "execution", 503),
    ("POST", "/v0/task-types/http/try", "worker", 429),
    ("POST", "/v0/users/me", "identity", 429),
    ("GET", "/openapi.json", "identity", 503),
    ("GET", "/blog/", "worker", 503),
]


@pytest.mark.parametrize(("method", "path", "service", "status"), OWN_ANSWERS)
def test_a_refusal_of_the_service_itself_arrives_as_it_was(
    house: House, method: str, path: str, service: str, status: int
) -> None:
    answer = house.ask(method, path, headers={**GOOD, "X-Answer": str(status)})
    assert answer.status_code == status
    assert answer.json()["errors"] == [{"field": "body.own", "reason": service}]
    assert answer.headers["retry-after"] == "77"


def test_a_log_in_that_identity_refuses_says_so_in_its_words(house: House) -> None:
    def own() -> bool:
        answer = house.ask("POST", "/v0/auth/login", headers={"X-Answer": "429"})
        assert answer.status_code == 429
        # until the gateway's own limit lets one pass
        return answer.headers["retry-after"] == "77" and answer.json()["errors"][0]["reason"] == "identity"

    eventually(own, 20, "identity's own refusal")


def test_a_stream_arrives_while_it_goes_on(house: House) -> None:
    address = f"http://{house.gateway.doors.public}/v0/workflow-runs/endless/events"
    with httpx.stream("GET", address, headers=GOOD, timeout=20) as answer:
        assert next(answer.iter_lines()) == "data: first"


def test_reads_are_asked_again_elsewhere_and_writes_are_not(house: House) -> None:
    house.publish(Replica("execution", free_port(), free_port()))  # nobody listens there
    try:
        reads = [house.ask("GET", "/v0/workflow-runs", headers=GOOD).status_code for _ in range(8)]
        writes = [house.ask("POST", "/v0/workflow-runs/r/cancel", headers=GOOD) for _ in range(8)]
    finally:
        house.publish()
    assert reads == [200] * 8
    failed = [answer for answer in writes if answer.status_code == 502]
    assert len(failed) == 4
    assert failed[0].headers["content-type"] == "application/problem+json"


def test_a_service_without_replicas_is_503_as_a_problem(house: House) -> None:
    gone = [replica for replica in house.replicas if replica.service == "scheduler"]
    house.replicas = [replica for replica in house.replicas if replica.service != "scheduler"]
    house.publish()
    try:
        answer = house.ask("GET", "/v0/schedules", headers=GOOD)
    finally:
        house.replicas += gone
        house.publish()
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert house.ask("GET", "/v0/schedules", headers=GOOD).status_code == 200


def test_replicas_that_say_they_are_not_ready_get_nothing_and_callers_a_problem(tmp_path: Path) -> None:
    """With a gateway that asks them often."""
    with a_house(tmp_path, HealthCheck(interval_s=0.2, timeout_s=2)) as house:
        port = next(replica.http_port for replica in house.replicas if replica.service == "scheduler")
        httpx.post(f"http://127.0.0.1:{port}/unready")

        def refused() -> bool:
            answer = house.ask("GET", "/v0/schedules", headers={**GOOD, "Accept-Language": "en"})
            return answer.status_code == 503 and answer.json() == {"status": 503, "language": "en"}

        eventually(refused, 20, "nobody answers")
        assert house.ask("GET", "/v0/workflows", headers=GOOD).status_code == 200


def test_without_identity_there_is_an_answer_all_the_same(house: House) -> None:
    away = [replica for replica in house.replicas if replica.service == "identity"]
    house.replicas = [replica for replica in house.replicas if replica.service != "identity"]
    house.publish()
    try:
        assert house.ask("GET", "/health").status_code == 503
        assert house.ask("GET", "/v0/workflows", headers=GOOD).status_code == 503
    finally:
        house.replicas += away
        house.publish()


def test_a_new_replica_gets_requests_without_a_restart(house: House) -> None:
    second = house.stand_in("worker")
    log = house.log.read_text()
    house.publish(second)
    for _ in range(6):
        assert house.ask("GET", "/v0/artifacts", headers=GOOD).status_code == 200
    ports = [
        json.loads(line)["ServiceAddr"].rpartition(":")[2]
        for line in house.log.read_text()[len(log) :].splitlines()
        if '"/v0/artifacts"' in line
    ]
    house.publish()
    assert set(ports) == {str(second.http_port), *(str(r.http_port) for r in house.replicas if r.service == "worker")}


def test_the_access_log_tells_the_trace_and_no_secret(house: House) -> None:
    house.ask("GET", "/v0/roles", headers={**GOOD, "Cookie": "fw_refresh=secret"})
    [line] = [
        json.loads(line)
        for line in eventually(lambda: _lines_of(house.log, '"/v0/roles"'), 5, "the line is written")
        if '"DownstreamStatus":200' in line
    ][-1:]
    assert line["request_Traceparent"].split("-")[1] == "a" * 32
    assert line["downstream_X-Trace-Id"] == "c" * 32
    text = json.dumps(line)
    assert "good" not in text
    assert "secret" not in text


def _lines_of(log: Path, part: str) -> list[str]:
    return [line for line in log.read_text().splitlines() if part in line]


def test_metrics_are_told_inside_only(house: House) -> None:
    inside = httpx.get(f"http://{house.gateway.doors.metrics}/metrics").text
    assert "traefik_service_requests_total" in inside
    assert "traefik" not in house.ask("GET", "/metrics", headers=GOOD).text


def test_nothing_but_public_keys_and_the_gate_is_asked_inside_over_http(house: House) -> None:
    inner = f"http://{house.gateway.doors.inner}"
    assert httpx.get(f"{inner}/.well-known/jwks.json").status_code == 200
    assert httpx.get(f"{inner}/internal/authorize", headers=GOOD).status_code == 200
    assert httpx.get(f"{inner}/v0/users", headers=GOOD).status_code == 404


class Runs(execution_pb2_grpc.ExecutionServiceServicer):
    """Says which replica answered."""

    def __init__(self, name: str) -> None:
        self.name = name

    def GetRun(self, request: Any, context: Any) -> Any:
        return execution_pb2.GetRunResponse(run=execution_pb2.Run(run_id=self.name))


class Types(worker_pb2_grpc.WorkerServiceServicer):
    def ListTaskTypes(self, request: Any, context: Any) -> Any:
        return worker_pb2.ListTaskTypesResponse()


@contextlib.contextmanager
def rpc_server(port: int, register: Callable[[Any], None]) -> Iterator[None]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    register(server)
    checks = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    checks.set("", health_pb2.HealthCheckResponse.SERVING)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield
    finally:
        server.stop(1).wait()


def test_calls_between_services_are_balanced_and_find_new_replicas(house: House) -> None:
    first = next(replica for replica in house.replicas if replica.service == "execution")
    second = Replica("execution", first.http_port, free_port())
    worker = next(replica for replica in house.replicas if replica.service == "worker")

    def runs(name: str) -> Callable[[Any], None]:
        return lambda server: execution_pb2_grpc.add_ExecutionServiceServicer_to_server(Runs(name), server)

    def types(server: Any) -> None:
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(Types(), server)

    with (
        rpc_server(first.rpc_port, runs("first")),
        rpc_server(second.rpc_port, runs("second")),
        rpc_server(worker.rpc_port, types),
        grpc.insecure_channel(house.gateway.doors.inner) as channel,
    ):
        house.publish()
        execution = execution_pb2_grpc.ExecutionServiceStub(channel)
        asked = execution_pb2.GetRunRequest()
        assert {execution.GetRun(asked, timeout=10).run.run_id for _ in range(4)} == {"first"}
        house.publish(second)
        # on the very channel that was open before
        assert {execution.GetRun(asked, timeout=10).run.run_id for _ in range(6)} == {"first", "second"}
        worker_pb2_grpc.WorkerServiceStub(channel).ListTaskTypes(worker_pb2.ListTaskTypesRequest(), timeout=10)
        with grpc.insecure_channel(house.gateway.doors.public) as outside, pytest.raises(grpc.RpcError):
            execution_pb2_grpc.ExecutionServiceStub(outside).GetRun(asked, timeout=5)
    house.publish()
