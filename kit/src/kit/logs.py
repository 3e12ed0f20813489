"""Log lines are events with stable names and fields: JSON unless a terminal reads them; the trace id is on each line.

Fields whose name says secret are masked before anything is written.
"""

import json
import logging
import re
import secrets
import sys
from contextvars import ContextVar
from typing import Any

import orjson
import structlog

trace_id: ContextVar[str] = ContextVar("trace_id", default="")

_SECRET = re.compile(r"password|passwd|secret|token|authorization|cookie|api_?key|credential", re.IGNORECASE)
_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$")
_MASK = "***"


def new_trace_id() -> str:
    """A trace id as W3C Trace Context has it: 32 hex digits."""
    return secrets.token_hex(16)


def trace_from(traceparent: str | None) -> str:
    """The trace id inside a `traceparent` header; a new one when the header is absent or malformed."""
    match = _TRACEPARENT.match(traceparent or "")
    return match[1] if match and match[1] != "0" * 32 else new_trace_id()


def traceparent() -> str:
    """The header that carries the current trace onward."""
    return f"00-{trace_id.get() or new_trace_id()}-{secrets.token_hex(8)}-01"


def mask(value: Any, name: str = "") -> Any:
    """`value` with everything named like a secret replaced, at any depth."""
    if name and _SECRET.search(name) and value is not None:
        return _MASK
    if isinstance(value, dict):
        return {key: mask(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask(inner) for inner in value]
    return value


def _add_trace(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if trace := trace_id.get():
        event.setdefault("trace_id", trace)
    return event


def _mask_secrets(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {key: value if key == "event" else mask(value, key) for key, value in event.items()}


def configure(service: str, replica: str, *, form: str = "json", level: str = "info") -> None:
    """Sends structlog's and the standard library's lines to standard output in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        _mask_secrets,
    ]
    render: structlog.typing.Processor
    if form == "console":
        shared.append(structlog.processors.format_exc_info)
        render = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    else:
        shared.append(structlog.processors.format_exc_info)
        render = structlog.processors.JSONRenderer(serializer=_to_json)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "uvicorn.access", "apscheduler", "alembic", "nats"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_CALLER_GONE)
    structlog.contextvars.bind_contextvars(service=service, replica=replica)


class _CallerGone(logging.Filter):
    """Keeps grpc's word for "the caller left before its answer" from being an error of ours.

    grpc.aio writes `ExecuteBatchError raised in core by servicer method […]` with a traceback when a call ends between
    the handler's answer and its sending: a deadline, a cancelled caller, a closed connection.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[0] and record.exc_info[0].__name__ == "ExecuteBatchError":
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.exc_info = record.exc_text = None
        return logging.getLogger().isEnabledFor(record.levelno)


_CALLER_GONE = _CallerGone()


def _to_json(event: dict[str, Any], **_: Any) -> str:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # an integer beyond 64 bits, half of a surrogate pair: such a line is still a line
        return json.dumps(event, default=str, skipkeys=True)
