"""The edge for services: gRPC with health, reflection, a service token on every call, a deadline, and the trace.

Our errors cross as status codes with the code in trailing metadata, so that the caller gets the same error class back.
Why a field is wrong crosses in words too, in the caller's language: its catalogue need not know the other's codes.
"""

import functools
import inspect
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

import grpc
import orjson
import structlog
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from kit import logs, messages
from kit.auth import ServiceCaller, ServiceTokens, bearer
from kit.database import is_away
from kit.errors import BY_GRPC_CODE, Error, FieldError, Invalid, TooLarge, Unavailable

MESSAGE_LIMIT = 4 * 1024 * 1024
_DETAILS_LIMIT = 4 * 1024
_OPEN = ("/grpc.health.v1.Health/", "/grpc.reflection.")

log = structlog.get_logger()
service_caller: ContextVar[ServiceCaller] = ContextVar("service_caller")
Response = TypeVar("Response")


class Server:
    """A grpc.aio server of one service. `add` takes the generated `add_…Servicer_to_server` and the servicer."""

    def __init__(self, tokens: ServiceTokens) -> None:
        self._server = grpc.aio.server(
            interceptors=[_Edge(tokens)],
            options=[
                ("grpc.max_receive_message_length", MESSAGE_LIMIT),
                ("grpc.so_reuseport", 0),
                # callers on a balancer's long-lived connections find new replicas
                ("grpc.max_connection_age_ms", 300_000),
            ],
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._names = [health.SERVICE_NAME, reflection.SERVICE_NAME]

    def add(self, name: str, register: Callable[[Any, Any], None], servicer: Any) -> None:
        """`name` is the full service name, `flowweaver.identity.v1.IdentityService`."""
        register(servicer, self._server)
        self._names.append(name)

    async def start(self, host: str, port: int) -> int:
        """Listens; the port it took (for 0). Raises RuntimeError when the port is taken."""
        reflection.enable_server_reflection(self._names, self._server)
        taken = self._server.add_insecure_port(f"{host}:{port}")
        for name in ("", *self._names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()
        return int(taken)

    async def stop(self, grace_s: float) -> None:
        """Turns health to NOT_SERVING, lets open calls end within `grace_s`, then closes."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)


class _Edge(grpc.aio.ServerInterceptor):
    """Checks the token, sets the trace, translates errors; unary and streaming answers alike."""

    def __init__(self, tokens: ServiceTokens) -> None:
        self._tokens = tokens

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]]",
        details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        handler = await continuation(details)
        method = str(details.method)
        if handler is None or method.startswith(_OPEN):
            return handler
        # the request stays bytes until its sender is known; the library would answer UNKNOWN to what it cannot read
        read = _reader(handler.request_deserializer)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(handler.unary_stream, method, read), None, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler.unary_unary, method, read), None, handler.response_serializer
        )

    def _enter(self, context: Any) -> None:
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        logs.trace_id.set(logs.trace_from(metadata.get("traceparent")))
        messages.language.set(messages.from_accept_language(metadata.get("accept-language"), messages.language.get()))
        service_caller.set(self._tokens.check(bearer(metadata.get("authorization"))))

    def _unary(self, serve: Any, method: str, read: Callable[[bytes], Any]) -> Callable[[Any, Any], Awaitable[Any]]:
        async def unary(request: bytes, context: Any) -> Any:
            try:
                self._enter(context)
                return await serve(read(request), context)
            except Exception as error:
                return await _abort(context, error, method)

        return unary

    def _streaming(self, serve: Any, method: str, read: Callable[[bytes], Any]) -> Callable[[Any, Any], Any]:
        async def streaming(request: bytes, context: Any) -> Any:
            try:
                self._enter(context)
                async for message in serve(read(request), context):
                    yield message
            except Exception as error:
                await _abort(context, error, method)

        return streaming


def _reader(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """Bytes → request message; Invalid for bytes that are none."""

    def read(request: bytes) -> Any:
        if deserialize is None:
            return request
        try:
            return deserialize(request)
        except DecodeError as error:
            raise Invalid.field("request", "message_invalid") from error

    return read


async def _abort(context: Any, error: Exception, method: str) -> Any:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, Error):
        log.info("call_refused", method=method, code=error.code, error=str(error))
        trailing = (("fw-code", error.code), ("fw-error-bin", _pack(error)))
        await context.abort(error.grpc_code, error.code, trailing)
    if is_away(error):
        # not UNAVAILABLE: channels send that again by themselves, and what was asked may have been done
        log.warning("database_away", method=method, error=repr(error)[:500])
        await context.abort(grpc.StatusCode.INTERNAL, "unavailable")
    log.error("call_failed", method=method, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "internal")


def _pack(error: Error) -> bytes:
    """What of an error does not fit its status code, in ≤ 4 KiB: receivers refuse calls with more metadata."""
    shown = len(error.fields)
    while True:
        fields = [_field(field) for field in error.fields[:shown]]
        packed = orjson.dumps({"status": error.http, "params": error.params, "fields": fields}, default=str)
        if len(packed) <= _DETAILS_LIMIT:
            return packed
        if not shown:
            return orjson.dumps({"status": error.http})
        shown //= 2


def _field(error: FieldError) -> tuple[str, str, dict[str, Any], str]:
    """Path, code, its parameters, and what they say in words."""
    return error.field, error.code, dict(error.params), messages.text(error.code, **dict(error.params))


# --- calling --------------------------------------------------------------------------------------------------------

_SERVICE_CONFIG = """{"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": [{"name": [{}], "retryPolicy": {
"maxAttempts": 5, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 3,
"retryableStatusCodes": ["UNAVAILABLE"]}}]}"""


def connect(target: str) -> grpc.Channel:
    """A channel to `host:port` or an `http://` address; it retries while no replica answers (calls are idempotent)."""
    address = urllib.parse.urlsplit(target).netloc if "://" in target and target.startswith("http") else target
    return grpc.insecure_channel(
        address,
        options=[
            ("grpc.service_config", _SERVICE_CONFIG),
            ("grpc.max_receive_message_length", MESSAGE_LIMIT),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ],
    )


class Peer:
    """How one service calls another: `peer.call(stub.GetUsers, request, organization_id=…)` from any thread."""

    def __init__(self, tokens: ServiceTokens, audience: str, *, timeout_s: float = 5.0) -> None:
        self._tokens = tokens
        self._audience = audience
        self._timeout_s = timeout_s

    def metadata(self, organization_id: str, user_id: str = "") -> tuple[tuple[str, str], ...]:
        """Who asks, for which trace, and in which language the answer is read."""
        token = self._tokens.make(self._audience, organization_id=organization_id, user_id=user_id)
        language = ("accept-language", messages.language.get())
        return ("authorization", f"Bearer {token}"), ("traceparent", logs.traceparent()), language

    def call(
        self,
        method: Callable[..., Response],
        request: Any,
        *,
        organization_id: str = "",
        user_id: str = "",
        timeout_s: float | None = None,
    ) -> Response:
        """The answer, or the peer's error as our own class; Unavailable when nobody answers before the deadline."""
        try:
            return method(
                request, timeout=timeout_s or self._timeout_s, metadata=self.metadata(organization_id, user_id)
            )
        except grpc.RpcError as error:
            raise translate(error) from error


def translate(error: Any) -> Error:
    """The Error that a failed call stands for.

    A refused service token is Unavailable: it is our fault, and must not log the person out on whose behalf we asked.
    """
    trailing = dict(error.trailing_metadata() or ())
    name = trailing.get("fw-code")
    kind = BY_GRPC_CODE.get(error.code())
    if name is None or kind is None:
        return Invalid("invalid") if kind is Invalid else Unavailable("unavailable")
    details = orjson.loads(trailing.get("fw-error-bin", b"{}"))
    if details.get("status") == TooLarge.http:
        kind = TooLarge  # shares its status code with Limited
    fields = tuple(_field_error(*field) for field in details.get("fields", ()))
    return kind(name, fields=fields, **details.get("params", {}))


def _field_error(field: str, code: str, params: dict[str, Any], text: str) -> FieldError:
    """A code that no catalogue here has would be shown as it is: then the other side's words stand for it."""
    if messages.knows(code):
        return FieldError(field, code, tuple(params.items()))
    return FieldError(field, "said_elsewhere", (("text", text),))


def in_thread(serve: Callable[[Any, Any, ServiceCaller], Any]) -> Callable[[Any, Any, Any], Awaitable[Any]]:
    """Decorates a servicer method `def Method(self, request, caller)`: it runs in a thread, with its context."""
    import anyio.to_thread

    if inspect.iscoroutinefunction(serve):
        raise TypeError("only for plain functions")

    @functools.wraps(serve)
    async def method(self: Any, request: Any, context: Any) -> Any:
        return await anyio.to_thread.run_sync(serve, self, request, service_caller.get())

    return method


def from_enum(names: Mapping[str, int], prefix: str, value: int) -> str:
    """`TRIGGER_MANUAL` → `manual`; Invalid for a number that the enum does not know or for UNSPECIFIED."""
    for name, number in names.items():
        if number == value and not name.endswith("_UNSPECIFIED"):
            return name.removeprefix(prefix).lower()
    raise Invalid.field(prefix.rstrip("_").lower(), "enum", expected=", ".join(sorted(names)))
