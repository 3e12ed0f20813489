"""The edge for people, over real sockets."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import httpx
import pytest
import sqlalchemy as sa
import structlog
from fastapi import APIRouter, FastAPI, Path, Query
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from kit import logs
from kit.database import Database
from kit.errors import Conflict, FieldError, Invalid, Limited, Outdated, Unauthenticated
from kit.http import BODY_LIMIT, Body, StrictRoute, make_app, version_of

ServeApp = Callable[[FastAPI], httpx.Client]


class Part(Body):
    name: str = Field(max_length=5)


class Thing(Body):
    name: str = Field(min_length=1, max_length=5)
    count: int = Field(default=0, ge=0, le=9)
    weight: float = 0
    parts: list[Part] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)


def _routes() -> APIRouter:
    router = APIRouter(prefix="/v0", route_class=StrictRoute)

    @router.post("/things", status_code=201)
    def make(thing: Thing) -> Thing:
        return thing

    @router.get("/things")
    def find(limit: Annotated[int, Query(ge=1, le=200)] = 50) -> dict[str, int]:
        return {"limit": limit}

    @router.get("/things/{number}")
    def get(number: Annotated[int, Path()]) -> dict[str, int]:
        return {"number": number}

    @router.get("/trace")
    async def trace() -> dict[str, str]:
        return {"trace_id": logs.trace_id.get()}

    @router.get("/refused/{why}")
    def refused(why: str) -> None:
        match why:
            case "conflict":
                # parameters named like those of the functions that make the answer
                raise Conflict("already_there", status="x", detail="y", kind="z")
            case "fields":
                raise Invalid("invalid", fields=(FieldError("body.name", "string_too_long", (("max_length", 5),)),))
            case "limited":
                raise Limited("limited", retry_after=7)
            case "anonymous":
                raise Unauthenticated("unauthenticated")
            case "teapot":
                raise HTTPException(418, headers={"X-Tea": "green"})

    @router.get("/bug")
    def bug() -> None:
        raise RuntimeError("the secret of the house")

    @router.get("/half")
    def half() -> StreamingResponse:
        def body() -> Iterator[bytes]:
            yield b"begun"
            raise RuntimeError("the secret of the house")

        return StreamingResponse(body())

    return router


@pytest.fixture(scope="module", autouse=True)
def plain_log() -> Iterator[None]:
    """structlog's own way to print a traceback, with all locals, takes seconds."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def app() -> FastAPI:
    made = make_app("kit-test", language="ko")
    made.include_router(_routes())
    return made


@pytest.fixture(scope="module")
def client(app: FastAPI, serve_app: ServeApp) -> httpx.Client:
    return serve_app(app)


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer's content, which must be a whole problem."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    content = response.json()
    assert set(content) == {"type", "title", "status", "code", "detail", "errors", "trace_id"}
    assert content["status"] == status
    assert content["code"] == code
    assert content["type"] == f"urn:flowweaver:problem:{code}"
    assert content["trace_id"] == response.headers["x-trace-id"]
    assert len(content["trace_id"]) == 32
    return dict(content)


def post(client: httpx.Client, body: str | bytes, **headers: str) -> httpx.Response:
    return client.post("/v0/things", content=body, headers={"Content-Type": "application/json", **headers})


def test_a_sound_body_is_taken(client: httpx.Client) -> None:
    response = post(client, '{"name": "abc", "weight": 1, "parts": [{"name": "가나다라마"}]}')
    assert response.status_code == 201
    assert response.json()["parts"] == [{"name": "가나다라마"}]
    assert len(response.headers["x-trace-id"]) == 32


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"name": "a"',
        b'{"name": "a",}',
        b"{'name': 'a'}",
        b'{"name": "a", "weight": NaN}',
        b'{"name": "a", "weight": Infinity}',
        b'{"name": "a", "weight": -Infinity}',
        b'{"name": "a", "weight": 1e999}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a", "count": 99999999999999999999}',
        b'{"name": "a", "extra": {"n": -9223372036854775809}}',
        b"[" * 65 + b"]" * 65,
        b"[" * 900 + b"1234567890123456789" + b"]" * 900,
        b"[" * 100_000,
        b'{"a":' * 65 + b"1" + b"}" * 65,
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "application/JSON", "application/problem+json; charset=utf-8"])
def test_what_is_not_sound_json_is_refused(client: httpx.Client, body: bytes, kind: str) -> None:
    content = problem(post(client, body, **{"Content-Type": kind}), 422, "invalid")
    assert content["errors"][0]["field"].startswith("body")
    assert content["errors"][0]["reason"].startswith("올바른 JSON이 아닙니다")


def test_integers_up_to_64_bits_and_digits_in_texts_are_kept(client: httpx.Client) -> None:
    extra = {"low": -(2**63), "high": 2**63 - 1, "text": "9" * 40}
    response = post(client, json.dumps({"name": "a", "extra": extra}))
    assert response.json()["extra"] == extra


def test_json_nested_just_deep_enough_is_read(client: httpx.Client) -> None:
    nested = '{"name": "a", "extra": ' + '{"x":' * 62 + "{}" + "}" * 62 + "}"
    assert post(client, nested).status_code == 201
    assert post(client, nested.replace("{}", '{"x":{}}')).status_code == 422


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"name": "a", "nmae": 1}, "body.nmae", "알 수 없는 항목입니다."),
        ({}, "body.name", "꼭 필요한 값입니다."),
        ({"name": 5}, "body.name", "문자열이어야 합니다."),
        ({"name": "abcdef"}, "body.name", "5자 이하여야 합니다."),
        ({"name": ""}, "body.name", "1자 이상이어야 합니다."),
        ({"name": "a", "count": "1"}, "body.count", "정수여야 합니다."),
        ({"name": "a", "count": 1.5}, "body.count", "정수여야 합니다."),
        ({"name": "a", "count": True}, "body.count", "정수여야 합니다."),
        ({"name": "a", "count": 10}, "body.count", "9 이하여야 합니다."),
        ({"name": "a", "weight": "heavy"}, "body.weight", "숫자여야 합니다."),
        ({"name": "a", "parts": {}}, "body.parts", "배열이어야 합니다."),
        ({"name": "a", "parts": [{"name": "b"}, {"name": None}]}, "body.parts[1].name", "문자열이어야 합니다."),
        ({"name": "a", "extra": []}, "body.extra", "JSON 객체여야 합니다."),
        ([], "body", "JSON 객체여야 합니다."),
        ("text", "body", "JSON 객체여야 합니다."),
        (None, "body", "JSON 객체여야 합니다."),
    ],
)
def test_a_wrong_field_is_named_with_its_reason(client: httpx.Client, body: Any, field: str, reason: str) -> None:
    content = problem(post(client, json.dumps(body)), 422, "invalid")
    assert {"field": field, "reason": reason} in content["errors"]


def test_a_body_that_is_missing_or_no_json_is_refused(client: httpx.Client) -> None:
    assert problem(client.post("/v0/things"), 422, "invalid")["errors"][0]["field"] == "body"
    problem(post(client, b'{"name": "a"}', **{"Content-Type": "text/plain"}), 422, "invalid")
    problem(client.post("/v0/things", data={"name": "a"}), 422, "invalid")


def test_a_body_that_declares_too_many_bytes_is_refused_unread(client: httpx.Client) -> None:
    content = problem(post(client, b'"' + b"x" * BODY_LIMIT + b'"'), 413, "too_large")
    assert str(BODY_LIMIT) in content["detail"]


def test_a_body_without_a_length_is_refused_when_it_grows_too_large(client: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(BODY_LIMIT // 65_536 + 1):
            yield b" " * 65_536

    problem(client.post("/v0/things", content=chunks(), headers={"Content-Type": "application/json"}), 413, "too_large")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "x"])
def test_a_compressed_body_is_refused_unread(client: httpx.Client, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    content = problem(post(client, gzip.compress(b'{"name": "x"}'), **headers), 422, "invalid")
    assert [error["field"] for error in content["errors"]] == ["header.Content-Encoding"]
    assert post(client, '{"name": "x"}', **{"Content-Encoding": "identity"}).status_code == 201


def test_a_body_in_chunks_is_taken(client: httpx.Client) -> None:
    chunks = iter([b'{"na', b'me": "', b'abc"}'])
    response = client.post("/v0/things", content=chunks, headers={"Content-Type": "application/json"})
    assert response.json()["name"] == "abc"


def test_a_body_that_breaks_off_disturbs_nobody_else(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as raw:
        raw.sendall(b"POST /v0/things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        raw.sendall(b'Content-Length: 100\r\n\r\n{"name"')
    assert post(client, '{"name": "a"}').status_code == 201


def test_a_caller_that_goes_before_its_body_came_asked_for_nothing(serve_app: ServeApp) -> None:
    """Where a body may be left out, none of it having come must not count as none."""
    app, calls = make_app("kit-gone"), []

    @app.post("/v0/begin")
    def begin(thing: Thing | None = None) -> None:
        calls.append(thing)

    client = serve_app(app)
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as raw:
        raw.sendall(b"POST /v0/begin HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        raw.sendall(b"Content-Length: 100\r\n\r\n")

    def noted() -> list[str]:
        lines = client.get("/metrics").text.splitlines()
        return [line for line in lines if line.startswith("http_requests_total{") and 'status="499"' in line]

    deadline = time.monotonic() + 20
    while not calls and not noted():
        assert time.monotonic() < deadline
    assert calls == []
    assert client.post("/v0/begin").status_code == 200
    assert calls == [None]


@pytest.mark.parametrize("path", ["/v0/things?limitt=1", "/v0/things?limit=1&x", "/v0/things/1?x=1", "/v0/trace?x="])
def test_an_unknown_query_parameter_is_refused(client: httpx.Client, path: str) -> None:
    [error] = problem(client.get(path), 422, "invalid")["errors"]
    assert error["field"] in ("query.limitt", "query.x")
    assert error["reason"] == "알 수 없는 쿼리 매개변수입니다."


@pytest.mark.parametrize("limit", ["0", "-1", "201", "x", "1.5", "", "9" * 5_000])
def test_a_wrong_query_parameter_is_named(client: httpx.Client, limit: str) -> None:
    [error] = problem(client.get("/v0/things", params={"limit": limit}), 422, "invalid")["errors"]
    assert error["field"] == "query.limit"
    assert error["reason"]


def test_a_wrong_part_of_the_path_is_named(client: httpx.Client) -> None:
    [error] = problem(client.get("/v0/things/x"), 422, "invalid")["errors"]
    assert error == {"field": "path.number", "reason": "정수여야 합니다."}


@pytest.mark.parametrize(
    ("accepted", "text"),
    [
        (None, "찾을 수 없습니다."),
        ("en", "Not found."),
        ("en-GB,en;q=0.9,ko;q=0.1", "Not found."),
        ("ko;q=0.2, en;q=0.1", "찾을 수 없습니다."),
        ("fr, de;q=0.5", "찾을 수 없습니다."),
        ("en;q=much", "찾을 수 없습니다."),
    ],
)
def test_people_read_their_own_language(client: httpx.Client, accepted: str | None, text: str) -> None:
    headers = {} if accepted is None else {"Accept-Language": accepted}
    assert problem(client.get("/nowhere", headers=headers), 404, "not_found")["detail"] == text


def test_a_service_may_speak_english_to_those_who_name_no_language(serve_app: ServeApp) -> None:
    client = serve_app(make_app("kit-test", language="en"))
    assert problem(client.get("/nowhere"), 404, "not_found")["detail"] == "Not found."


def test_unknown_addresses_and_methods_are_problems_too(client: httpx.Client) -> None:
    problem(client.get("/v0/nothing"), 404, "not_found")
    response = client.delete("/v0/things")
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"]


def test_an_expected_failure_is_a_problem_of_its_status(client: httpx.Client) -> None:
    assert problem(client.get("/v0/refused/conflict"), 409, "already_there")["detail"] == "already_there"
    fields = problem(client.get("/v0/refused/fields"), 422, "invalid")["errors"]
    assert fields == [{"field": "body.name", "reason": "5자 이하여야 합니다."}]


def test_answers_say_how_to_go_on(client: httpx.Client) -> None:
    limited = client.get("/v0/refused/limited")
    problem(limited, 429, "limited")
    assert limited.headers["retry-after"] == "7"
    anonymous = client.get("/v0/refused/anonymous")
    problem(anonymous, 401, "unauthenticated")
    assert anonymous.headers["www-authenticate"] == "Bearer"
    teapot = client.get("/v0/refused/teapot")
    problem(teapot, 418, "invalid")
    assert teapot.headers["x-tea"] == "green"


def test_a_bug_is_a_500_that_leaks_nothing_and_can_be_traced(client: httpx.Client) -> None:
    response = client.get("/v0/bug", headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
    content = problem(response, 500, "internal")
    assert "secret" not in response.text
    assert content["trace_id"] == "ab" * 16
    assert 'http_requests_total{method="GET",route="/v0/bug",status="500"}' in client.get("/metrics").text


def test_a_bug_after_the_answer_has_begun_cuts_it_off(client: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/v0/half")
    assert client.get("/v0/trace").status_code == 200


def test_a_request_continues_its_callers_trace(client: httpx.Client) -> None:
    response = client.get("/v0/trace", headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
    assert response.json()["trace_id"] == response.headers["x-trace-id"] == "ab" * 16
    assert client.get("/v0/trace").json()["trace_id"] != "ab" * 16


def test_requests_are_counted_by_route_not_by_address(client: httpx.Client) -> None:
    client.get("/v0/things/41")
    client.get("/v0/things/42")
    client.get("/an/address/somebody/made/up")
    counted = client.get("/metrics").text
    assert 'http_requests_total{method="GET",route="/v0/things/{number}",status="200"}' in counted
    assert 'route="unmatched",status="404"' in counted
    assert "made/up" not in counted
    assert "/things/42" not in counted


def test_the_probes_say_what_is_so(serve_app: ServeApp) -> None:
    broken = threading.Event()

    def ready() -> None:
        if broken.is_set():
            raise RuntimeError("the database is away")

    app = make_app("kit-test", ready=ready)
    client = serve_app(app)
    assert client.get("/livez").json() == {"status": "ok"}
    assert (client.get("/readyz").status_code, client.get("/readyz").json()) == (200, {"status": "ready"})
    broken.set()
    assert (client.get("/readyz").status_code, client.get("/readyz").json()) == (503, {"status": "not ready"})
    broken.clear()
    app.state.draining = True
    assert (client.get("/readyz").status_code, client.get("/readyz").json()) == (503, {"status": "draining"})
    assert client.get("/livez").status_code == 200


def test_a_database_that_goes_away_is_503_and_not_a_bug(serve_app: ServeApp, mariadb_port: int | None) -> None:
    if mariadb_port is None:
        pytest.skip("no MariaDB: see NOT COVERED")
    database = Database(f"mysql+pymysql://root@127.0.0.1:{mariadb_port}/test")
    app = make_app("kit-test")

    @app.get("/cut")
    def cut() -> None:
        with database.read() as connection, database.engine.connect() as other:
            number = connection.execute(sa.text("SELECT CONNECTION_ID()")).scalar_one()
            other.execute(sa.text(f"KILL {number}"))
            connection.execute(sa.text("SELECT 1"))

    @app.get("/wrong")
    def wrong() -> None:
        with database.read() as connection:
            connection.execute(sa.text("SELECT nothing_of_the_kind"))

    client = serve_app(app)
    away = client.get("/cut")
    assert (away.status_code, away.json()["code"]) == (503, "unavailable")
    assert away.headers["content-type"] == "application/problem+json"
    assert client.get("/wrong").status_code == 500
    database.close()


def test_the_interface_is_described_without_the_probes(client: httpx.Client) -> None:
    paths = client.get("/internal/openapi.json").json()["paths"]
    assert "/v0/things/{number}" in paths
    assert not {"/livez", "/readyz", "/metrics"} & set(paths)
    assert client.get("/docs").status_code == 404


@pytest.mark.parametrize(("named", "version"), [(None, None), ("*", None), (' "7" ', 7), ('W/"12"', 12)])
def test_if_match_names_a_version(named: str | None, version: int | None) -> None:
    assert version_of(named) == version


@pytest.mark.parametrize("named", ["", "7", '"x"', '"7", "8"', '""', '"-1"', '"1234567890123456789"', '"٣"'])
def test_what_is_no_etag_of_ours_matches_nothing(named: str) -> None:
    with pytest.raises(Outdated):
        version_of(named)
