"""The type `http` against a real server: bodies built from type names, failures told from successes."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from worker_service.outcomes import of_exception
from worker_service.sdk import Context, TaskError, TaskIds, TaskLog, load
from worker_service.settings import WorkerSettings
from worker_service.tasks.http import ANSWER_LIMIT, Output, Parameters, call

pytestmark = pytest.mark.anyio


class _Api(BaseHTTPRequestHandler):
    asked: list[tuple[str, str, dict[str, str], Any]]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.asked.append((self.command, self.path, headers, orjson.loads(body) if body else None))
        status, content = 200, orjson.dumps({"ok": True, "keyword": "찻잔"})
        name = self.path.partition("?")[0].rpartition("/")[2]
        if name.isdigit():
            status = int(name)
        if name == "large":
            content = b"x" * (ANSWER_LIMIT + 1)
        if name == "numbers":
            content = orjson.dumps(list(range(200_000)))
        if name == "text":
            content = b"plain"
        if name in ("empty", "204"):
            content = b""
        self.send_response(status)
        if status == 302:
            self.send_header("location", "http://169.254.169.254/")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[tuple[str, list[Any]]]:
    asked: list[Any] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Api", (_Api,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api", asked
    server.shutdown()
    thread.join()
    server.server_close()


def context(base: str | None) -> Context:
    async def ask(*_: Any) -> Any:
        raise AssertionError("the type http wishes nothing")

    settings = WorkerSettings(http_task_base_url=base)
    return Context(TaskIds("task1", "r", "o", "w", "k", 2, ""), settings, TaskLog(lambda *_: None), ask)


async def test_the_seeds_blueprint_runs_as_it_is(api: Any) -> None:
    base, asked = api
    parameters = Parameters.model_validate(
        {
            "endpoint": "/keywords/search",
            "method": "POST",
            "body": {"tag": "String", "n": "Integer", "x": "Number", "on": "Boolean", "o": "Object", "l": "Array"},
            "values": {"tag": "naver", "n": 3, "x": 1.5, "on": False, "o": {}, "l": [1], "unused": 1},
            "headers": {"X-Kind": "seed", "Idempotency-Key": "forged", "Host": "evil"},
            "query": {"page": 2},
        }
    )
    assert await call(context(base), parameters) == Output(status=200, body={"ok": True, "keyword": "찻잔"})
    method, path, headers, body = asked[0]
    assert (method, path) == ("POST", "/api/keywords/search?page=2")
    assert body == {"tag": "naver", "n": 3, "x": 1.5, "on": False, "o": {}, "l": [1]}
    assert headers["idempotency-key"] == "task1"
    assert headers["x-kind"] == "seed"
    assert headers["traceparent"].startswith("00-")
    assert headers["host"].startswith("127.0.0.1")


async def test_a_get_sends_its_fields_as_the_query(api: Any) -> None:
    base, asked = api
    parameters = Parameters(endpoint="list", method="GET", body={"tag": "String"}, values={"tag": "가"})
    await call(context(base), parameters)
    assert asked[0][1] == "/api/list?tag=%EA%B0%80"


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("String", 1),
        ("Integer", 1.5),
        ("Integer", True),
        ("Number", "1"),
        ("Boolean", 0),
        ("Object", []),
        ("Array", {}),
    ],
)
async def test_a_field_of_another_type_is_named(api: Any, type_name: Any, value: Any) -> None:
    base, asked = api
    with pytest.raises(TaskError) as caught:
        await call(context(base), Parameters(endpoint="/x", body={"tag": type_name}, values={"tag": value}))
    assert (caught.value.code, caught.value.field) == ("invalid_parameters", "tag")
    assert asked == []


async def test_a_missing_field_is_named(api: Any) -> None:
    with pytest.raises(TaskError) as caught:
        await call(context(api[0]), Parameters(endpoint="/x", body={"tag": "String"}))
    assert (caught.value.code, caught.value.field) == ("invalid_parameters", "tag")


@pytest.mark.parametrize(
    "endpoint", ["http://evil/", "//evil/x", "/a/../../b", "/a\\..\\b", "\\\\evil", "/x\n", "https://127.0.0.1/x"]
)
async def test_an_endpoint_stays_under_the_base_address(api: Any, endpoint: str) -> None:
    base, asked = api
    with pytest.raises(TaskError, match="http_endpoint_refused"):
        await call(context(base), Parameters(endpoint=endpoint))
    assert asked == []


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "http_4xx", False),
        (404, "http_4xx", False),
        (408, "http_4xx", True),
        (425, "http_4xx", True),
        (429, "http_4xx", True),
        (500, "http_5xx", None),
        (503, "http_5xx", None),
        (302, "http_3xx", None),
    ],
)
async def test_only_a_status_below_300_is_a_success(api: Any, status: int, code: str, retryable: bool | None) -> None:
    with pytest.raises(TaskError) as caught:
        await call(context(api[0]), Parameters(endpoint=f"/{status}"))
    assert (caught.value.code, caught.value.retryable) == (code, retryable)


async def test_what_is_no_json_comes_back_as_text(api: Any) -> None:
    assert (await call(context(api[0]), Parameters(endpoint="/text"))).body == "plain"
    assert await call(context(api[0]), Parameters(endpoint="/204", method="DELETE")) == Output(status=204, body=None)


async def test_an_answer_of_more_than_a_mebibyte_is_taken_whole(api: Any) -> None:
    assert (await call(context(api[0]), Parameters(endpoint="/numbers"))).body == list(range(200_000))


async def test_an_answer_that_is_too_large_is_refused(api: Any) -> None:
    with pytest.raises(TaskError, match="http_answer_too_large"):
        await call(context(api[0]), Parameters(endpoint="/large"))


async def test_without_a_base_address_or_a_server_it_fails() -> None:
    with pytest.raises(TaskError, match="http_base_url_missing"):
        await call(context(None), Parameters(endpoint="/x"))
    with pytest.raises(TaskError, match="http_unreachable"):
        await call(context("http://127.0.0.1:9"), Parameters(endpoint="/x"))


async def test_what_people_read_names_the_field(api: Any) -> None:
    base, _ = api
    with pytest.raises(TaskError) as caught:
        await call(context(base), Parameters(endpoint="/x", body={"tag": "String"}, values={"tag": 5}))
    error = of_exception(load("worker_service.tasks.http", "http"), caught.value, "en").error
    assert error is not None
    assert error["message"] == "The value 'tag' is wrong: not of type String"
