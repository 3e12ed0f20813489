"""What goes between the engine and a worker over NATS: how a dispatch is read, and how everything is sent in order.

Nothing here waits: the protocol is plain functions on the main loop, and one task carries what they send to the broker.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from nats.aio.client import Client

from worker_service.sdk import TaskIds

ACK = b"+ACK"
NAK = b"-NAK"
TERM = b"+TERM"
IN_PROGRESS = b"+WPI"

log = structlog.get_logger()


class Malformed(ValueError):
    """Not a dispatch as the engine writes it."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One attempt of one task run. `timeout_s`, `heartbeat_s` 0: the type's own; `reply`: the dispatching replica;
    `parameters_ref`: where parameters are kept that are too large for a message, empty when they came with it."""

    ids: TaskIds
    type: str
    parameters: Any
    timeout_s: float
    run_version: int
    reply: str
    heartbeat_s: float = 0.0
    parameters_ref: str = ""

    @property
    def attempt_key(self) -> tuple[str, int]:
        return self.ids.task_run_id, self.ids.attempt


def read_dispatch(data: bytes) -> Dispatch:
    """Raises Malformed."""
    try:
        said = orjson.loads(data)
        ids = TaskIds(
            task_run_id=_text(said["task_run_id"]),
            run_id=_text(said["run_id"]),
            organization_id=_text(said["organization_id"]),
            workflow_id=_text(said["workflow_id"]),
            key=_text(said["key"]),
            attempt=int(said["attempt"]),
            trace_id=str(said.get("trace_id") or ""),
        )
        return Dispatch(
            ids,
            _text(said["type"]),
            None if "parameters_ref" in said else said["parameters"],
            float(said.get("timeout_s") or 0),
            int(said["run_version"]),
            _text(said["reply"]),
            float(said.get("heartbeat_s") or 0),
            _text(said.get("parameters_ref", "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Malformed(repr(error)) from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def delivery_of(reply: str) -> int:
    """How often JetStream has delivered a message, out of the subject that acknowledges it."""
    parts = reply.split(".")
    # $JS.ACK.<stream>.<consumer>.<delivered>…, with domain and account hash before the stream on newer servers
    return int(parts[4] if len(parts) == 9 else parts[6])


class Outbox:
    """Messages on their way to the broker, in order. What cannot be sent is dropped: each sender repeats itself."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, bytes, str]] = deque()
        self._wake = asyncio.Event()
        self._client: Client | None = None
        self._carried = asyncio.Event()

    def connect(self, client: Client) -> None:
        self._client = client
        self._wake.set()

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    def send(self, subject: str, payload: bytes, reply: str = "") -> None:
        self._waiting.append((subject, payload, reply))
        self._wake.set()

    async def carry(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Hands everything that waits to the broker's connection."""
        client = self._client
        while client is not None and self._waiting:
            subject, payload, reply = self._waiting.popleft()
            if reply and not client.is_connected:
                # a question repeats itself; an acknowledgement does not, so the connection keeps it for later
                continue
            try:
                await client.publish(subject, payload, reply)
            except Exception as error:
                log.warning("not_sent", subject=subject, error=repr(error))


class Acknowledgements:
    """What a worker says of the stream's messages, which are known by their number in it.

    A broker that forgot the stream gives the same numbers to other messages, and an old acknowledgement would take away
    one of them. So from a loss until the stream was seen again, what is to be said waits; of a stream made anew nothing
    old is said.
    """

    def __init__(self, outbox: Outbox, forgotten: Callable[[], None]) -> None:
        """`forgotten` is called when the stream was made anew: what was received before is of no stream any more."""
        self._outbox = outbox
        self._forgotten = forgotten
        self._stream: object = None
        self._waiting: list[tuple[str, bytes]] = []
        self._certain = False

    def say(self, reply: str, word: bytes) -> None:
        if self._certain and self._outbox.connected:
            self._outbox.send(reply, word)
        elif word != IN_PROGRESS:
            self._waiting.append((reply, word))

    def doubt(self) -> None:
        """The broker or the consumer was lost."""
        self._certain = False

    def seen(self, stream: object) -> None:
        """The stream is there; `stream` tells it from another of its name: when it was made."""
        if self._stream not in (None, stream):
            log.warning("broker_forgot", unsaid=len(self._waiting))
            self._waiting.clear()
            self._forgotten()
        self._stream = stream
        self._certain = True
        waiting, self._waiting = self._waiting, []
        for reply, word in waiting:
            self.say(reply, word)
