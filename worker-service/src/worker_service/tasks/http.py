"""Calls an endpoint of the installation's own base address: the seed's blueprint, runnable as it is.

`{"endpoint": "/keywords/search", "method": "POST", "body": {"tag": "String"}, "values": {"tag": "shoes"}}`: each field
of `body` is taken from `values` and held against its type's name. Only a status below 300 is a success.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from kit import logs
from worker_service import sdk
from worker_service.sdk import Context, ErrorCode, TaskError, task_type

ANSWER_LIMIT = 8 * 1024 * 1024
_RETRYABLE_STATUSES = {408, 425, 429}
# a task sends these itself, or they would change whom and how it asks
_OWN_HEADERS = {"host", "content-length", "transfer-encoding", "connection", "idempotency-key", "traceparent"}

TypeName = Literal["String", "Integer", "Number", "Boolean", "Object", "Array"]
_CHECKS: dict[str, Callable[[Any], bool]] = {
    "String": lambda value: isinstance(value, str),
    "Integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "Number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "Boolean": lambda value: isinstance(value, bool),
    "Object": lambda value: isinstance(value, dict),
    "Array": lambda value: isinstance(value, list),
}


class Parameters(sdk.Parameters):
    endpoint: Annotated[str, Field(min_length=1, max_length=2000)]
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    body: dict[str, TypeName] = Field(default_factory=dict)
    values: dict[str, Any] = Field(default_factory=dict)
    headers: dict[str, Annotated[str, Field(max_length=4000)]] = Field(default_factory=dict)
    query: dict[str, str | int | float | bool] = Field(default_factory=dict)


class Output(sdk.Output):
    status: int
    body: Any


@task_type(
    "http",
    parameters=Parameters,
    output=Output,
    errors=[
        ErrorCode("http_base_url_missing"),
        ErrorCode("http_endpoint_refused"),
        ErrorCode("http_unreachable", retryable=True),
        ErrorCode("http_3xx"),
        ErrorCode("http_4xx"),
        ErrorCode("http_5xx", retryable=True),
        ErrorCode("http_answer_too_large"),
        ErrorCode("invalid_parameters"),
    ],
    timeout_s=60,
)
async def call(ctx: Context, p: Parameters) -> Output:
    """Sends the body (as the query of a GET) with the task run's idempotency key and trace."""
    import httpx

    base = ctx.settings.http_task_base_url
    if not base:
        raise TaskError("http_base_url_missing")
    url = base.rstrip("/") + _relative(p.endpoint)
    fields = build_body(p)
    content: dict[str, Any] = {"params": p.query, "json": fields}
    if p.method == "GET":
        content = {"params": {**p.query, **fields}}
    headers = {name: value for name, value in p.headers.items() if name.lower() not in _OWN_HEADERS}
    headers |= {"Idempotency-Key": ctx.idempotency_key, "traceparent": logs.traceparent()}
    # the base address is the installation's own word, so it may be a private one; redirects could leave it
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(30.0, connect=5.0), follow_redirects=False, trust_env=False
    ) as client:
        try:
            async with client.stream(p.method, url, headers=headers, **content) as response:
                answer = await _read(response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TaskError("http_unreachable", type(error).__name__, reason=type(error).__name__) from error
    ctx.log.info("http_called", method=p.method, endpoint=p.endpoint, status=response.status_code, bytes=len(answer))
    _check_status(response.status_code, answer)
    return Output(status=response.status_code, body=_decode(response, answer))


def build_body(p: Parameters) -> dict[str, Any]:
    """The fields that `body` names, out of `values`. TaskError `invalid_parameters` for the first that does not fit."""
    for name, type_name in p.body.items():
        if name not in p.values:
            raise TaskError("invalid_parameters", field=name, reason=f"missing, a value of type {type_name} is needed")
        if not _CHECKS[type_name](p.values[name]):
            raise TaskError("invalid_parameters", field=name, reason=f"not of type {type_name}")
    return {name: p.values[name] for name in p.body}


def _relative(endpoint: str) -> str:
    """The endpoint as a path under the base address. TaskError `http_endpoint_refused` for any other."""
    path = endpoint if endpoint.startswith("/") else f"/{endpoint}"
    segments = re.split(r"[/\\]", path.partition("?")[0])
    if "://" in endpoint or path.startswith("//") or "\\" in path or ".." in segments or not path.isprintable():
        raise TaskError("http_endpoint_refused", field="endpoint", endpoint=endpoint[:200])
    return path


async def _read(response: Any) -> bytes:
    parts = bytearray()
    async for part in response.aiter_bytes():
        parts += part
        if len(parts) > ANSWER_LIMIT:
            raise TaskError("http_answer_too_large", limit=ANSWER_LIMIT)
    return bytes(parts)


def _check_status(status: int, answer: bytes) -> None:
    if 200 <= status < 300:
        return
    excerpt = answer[:500].decode("utf-8", "replace")
    if status >= 500:
        raise TaskError("http_5xx", excerpt, status=status)
    if status >= 400:
        raise TaskError("http_4xx", excerpt, retryable=status in _RETRYABLE_STATUSES, status=status)
    raise TaskError("http_3xx", excerpt, status=status)


def _decode(response: Any, answer: bytes) -> Any:
    """JSON as JSON, text as text."""
    import orjson

    if not answer:
        return None
    try:
        return orjson.loads(answer)
    except orjson.JSONDecodeError:
        return answer.decode(response.charset_encoding or "utf-8", "replace")
