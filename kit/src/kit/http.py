"""The edge for people: a FastAPI app whose every failure is an RFC 9457 problem in the caller's language, never a 500.

Bodies are bounded and must be sound JSON; unknown fields and unknown query parameters are refused.
"""

import json
import re
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Annotated, Any

import orjson
import structlog
from fastapi import FastAPI, Header, Request, Response, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit import logs, messages
from kit.database import is_away
from kit.errors import Error, FieldError, Invalid, Outdated, TooLarge

BODY_LIMIT = 1024 * 1024
JSON_DEPTH = 64
PROBLEM = "application/problem+json"
_GONE = 499
"""Noted, never sent: the caller went before its request was whole."""

log = structlog.get_logger()
_requests = Counter("http_requests_total", "Answered requests", ["method", "route", "status"])
_seconds = Histogram("http_request_seconds", "Time to answer", ["method", "route"])


class Body(BaseModel):
    """A request body: unknown fields are refused, nothing is coerced but numbers to floats."""

    model_config = ConfigDict(extra="forbid", strict=True)


IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
"""The same key makes the same thing once."""
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=100, description="The ETag of what is changed.")]


def version_of(if_match: str | None) -> int | None:
    """The version that an If-Match names; None for none and for `*`. What is no ETag of ours is Outdated."""
    if if_match is None or if_match.strip() == "*":
        return None
    if found := re.fullmatch(r'(?:W/)?"([0-9]{1,18})"', if_match.strip()):
        return int(found[1])
    raise Outdated("outdated")


class StrictRoute(APIRoute):
    """A route that refuses query parameters it does not name, and NUL in any: databases end a text there."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        allowed = {
            field.alias for field in get_flat_params(self.dependant) if isinstance(field.field_info, params.Query)
        }

        async def refuse_unknown(request: Request) -> Response:
            wrong = [
                FieldError(f"query.{name}", "text_nul" if name in allowed else "unknown_parameter")
                for name, value in request.query_params.multi_items()
                if name not in allowed or "\0" in value
            ]
            if wrong:
                raise Invalid("invalid", fields=tuple(dict.fromkeys(wrong)))
            return await handle(request)

        return refuse_unknown


def make_app(service: str, *, language: str = "ko", ready: Callable[[], Any] = lambda: None) -> FastAPI:
    """An app with problems, traces, metrics and probes; the service adds its routers (of StrictRoute).

    `ready` raises while the service cannot do its work; it runs in a thread. Set `app.state.draining` to answer
    `/readyz` with 503 from then on.
    """
    app = FastAPI(title=service, docs_url=None, redoc_url=None, openapi_url="/internal/openapi.json")
    app.router.route_class = StrictRoute
    app.state.draining = False
    app.add_exception_handler(Error, _on_error)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_middleware(_Edge, language=language)

    @app.get("/livez", include_in_schema=False)
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    def readyz() -> Response:
        if app.state.draining:
            return _json(503, {"status": "draining"})
        try:
            ready()
        except Exception as error:
            log.warning("not_ready", error=str(error))
            return _json(503, {"status": "not ready"})
        return _json(200, {"status": "ready"})

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def _json(status: int, content: Any, media_type: str = "application/json") -> Response:
    return Response(orjson.dumps(content), status, media_type=media_type)


def problem(status: int, code: str, /, *, fields: Iterable[tuple[str, str]] = (), **params: Any) -> Response:
    """An RFC 9457 answer. `fields` are pairs of path and reason, already in the caller's language."""
    content: dict[str, Any] = {
        "type": f"urn:flowweaver:problem:{code}",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": messages.text(code, **params),
        "errors": [{"field": field, "reason": reason} for field, reason in fields],
        "trace_id": logs.trace_id.get(),
    }
    response = _json(status, content, PROBLEM)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status == 429 and "retry_after" in params:
        response.headers["Retry-After"] = str(params["retry_after"])
    return response


_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, Error)  # noqa: S101  # registered for this class alone
    log.info("request_refused", code=error.code, status=error.http, path=request.url.path, error=str(error))
    fields = [(field.field, messages.text(field.code, **dict(field.params))) for field in error.fields]
    return problem(error.http, error.code, fields=fields, **error.params)


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    fields = []
    for item in error.errors():
        params = {name: value for name, value in (item.get("ctx") or {}).items() if name != "field"}
        reason = messages.text(item["type"], **params)
        fields.append((_path(item["loc"]), item["msg"] if reason == item["type"] else reason))
    log.info("request_refused", code="invalid", status=422, path=request.url.path, fields=[name for name, _ in fields])
    return problem(422, "invalid", fields=fields)


def _path(location: tuple[int | str, ...]) -> str:
    """`("body", "jobs", 0, "name")` → `body.jobs[0].name`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid")
    response = problem(error.status_code, code)
    response.headers.update(error.headers or {})
    return response


async def _on_bug(request: Request, error: Exception) -> Response:
    if is_away(error):
        log.warning("database_away", path=request.url.path, method=request.method, error=repr(error)[:500])
        return problem(503, "unavailable")
    log.error("request_failed", path=request.url.path, method=request.method, exc_info=error)
    return problem(500, "internal")


class _Edge:
    """Outermost: trace and language of the request, its bounded body, one log line and two metrics when answered."""

    def __init__(self, app: ASGIApp, language: str) -> None:
        self._app = app
        self._language = language

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        logs.trace_id.set(logs.trace_from(headers.get(b"traceparent")))
        messages.language.set(messages.from_accept_language(headers.get(b"accept-language"), self._language))
        began, status = time.perf_counter(), 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-trace-id", logs.trace_id.get().encode())]
            await send(message)

        try:
            body = await _read_body(headers, receive)
        except Error as error:
            request = Request(scope)
            await (await _on_error(request, error))(scope, receive, note_status)
        except ClientDisconnect:
            # what it wanted to say is not known: nothing is done, and nobody is there to be told
            status = _GONE
        else:
            await self._answer(scope, body or receive, note_status, lambda: status > 0)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, begun: Callable[[], bool]) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            response = await _on_bug(Request(scope), error)
            if begun():
                raise  # too late for a problem: the server cuts the answer off
            await response(scope, receive, send)

    @staticmethod
    def _note(scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        _requests.labels(scope["method"], route, status).inc()
        _seconds.labels(scope["method"], route).observe(seconds)
        if route not in ("/livez", "/readyz", "/metrics", "/internal/authorize"):
            log.info("request", method=scope["method"], path=scope["path"], status=status, ms=round(seconds * 1000, 2))


async def _read_body(headers: dict[bytes, str], receive: Receive) -> Receive | None:
    """The whole body, checked; None when there is none. Raises TooLarge or Invalid; ClientDisconnect when the caller
    went before the end of it, and then none of it counts: part of a body is not what was asked."""
    if headers.get(b"content-length", "0") == "0" and b"transfer-encoding" not in headers:
        return None
    if headers.get(b"content-encoding", "identity").strip().lower() not in ("", "identity"):
        # nothing here unpacks: what is small on the wire must not become large in memory
        raise Invalid.field("header.Content-Encoding", "encoding_refused")
    chunks, size = [], 0
    declared = headers.get(b"content-length", "0")
    if declared.isdigit() and int(declared) > BODY_LIMIT:
        raise TooLarge("too_large", limit=BODY_LIMIT)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > BODY_LIMIT:
            raise TooLarge("too_large", limit=BODY_LIMIT)
        if not message.get("more_body"):
            break
    body = b"".join(chunks)
    if body and "json" in headers.get(b"content-type", "json").lower():
        check_json(body)
    waiting = True

    async def replay() -> Message:
        nonlocal waiting
        if waiting:
            waiting = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


_LONG_NUMBER = re.compile(rb"\d{19}")
_UNFIT = object()


def _integer(digits: str) -> object:
    fits = len(digits) <= 20 and -(2**63) <= int(digits) < 2**63
    return int(digits) if fits else _UNFIT


def _path_to_unfit(value: Any, path: str) -> str | None:
    """Where an integer of more than 64 bits stands; None when there is none."""
    if value is _UNFIT:
        return path
    inner: Iterable[tuple[str, Any]] = ()
    if isinstance(value, dict):
        inner = ((f"{path}.{key}", item) for key, item in value.items())
    elif isinstance(value, list):
        inner = ((f"{path}[{index}]", item) for index, item in enumerate(value))
    return next((found for name, item in inner if (found := _path_to_unfit(item, name))), None)


def check_json(body: bytes, field: str = "body") -> Any:
    """The value of `body`. Raises Invalid, naming `field`, unless it is JSON by RFC 8259 (no NaN, sound UTF-8), nested
    ≤ 64 deep, integers ≤ 64 bits."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid.field(field, "json_invalid", error=str(error)) from error
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > JSON_DEPTH:
            raise Invalid.field(field, "json_invalid", error=f"nested deeper than {JSON_DEPTH}")
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, (dict, list))
        ]
    # it would become a float, or an integer that no database and no other reader of JSON keeps
    if _LONG_NUMBER.search(body) and (path := _path_to_unfit(json.loads(body, parse_int=_integer), field)):
        raise Invalid.field(path, "json_invalid", error="an integer does not fit 64 bits")
    return value
