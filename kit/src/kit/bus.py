"""The broker only carries: every process declares what it uses itself, and reconnects for ever.

`STREAM` names and settings are contracts between engine and workers; who needs a stream calls `declare` with it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import BadRequestError, NotFoundError

log = structlog.get_logger()


class _Patient(Client):
    """Takes a PONG that nobody waits for any more: nats-py's own reading of the connection ends on one, which comes
    after a `flush` that timed out, and what seems to be connected hears nothing until its pings go unanswered.

    And sends a PING behind what was published before it: nats-py's own overtakes what waits to be sent, and its PONG
    would say nothing about that.
    """

    async def _send_ping(self, future: "asyncio.Future[bool] | None" = None) -> None:
        if self._pending and self.is_connected and self._transport is not None:
            self._transport.writelines(self._pending[:])
            self._pending, self._pending_data_size = [], 0
        await super()._send_ping(future)

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()


async def connect(url: str, name: str, *, on_reconnect: Callable[[], Any] | None = None) -> Client:
    """A connection that survives the broker's restarts. Waits until the broker is there the first time."""

    async def on_error(error: Exception) -> None:
        log.warning("broker_error", error=repr(error))

    async def on_lost() -> None:
        log.warning("broker_lost")

    async def on_back() -> None:
        log.info("broker_back")
        if on_reconnect is not None:
            on_reconnect()

    while True:
        try:
            client = _Patient()
            await client.connect(
                url,
                name=name,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.25,  # type: ignore[arg-type]  # it takes parts of seconds
                connect_timeout=2,
                ping_interval=5,
                max_outstanding_pings=2,
                error_cb=on_error,
                disconnected_cb=on_lost,
                reconnected_cb=on_back,
                allow_reconnect=True,
            )
            return client
        except Exception as error:
            log.warning("broker_absent", error=repr(error))
            await asyncio.sleep(0.25)


async def declare(js: JetStreamContext, config: StreamConfig) -> StreamInfo:
    """The stream as `config` says, made or changed as needed. Its `created` time tells whether it was wiped."""
    assert config.name  # noqa: S101
    try:
        return await js.add_stream(config)
    except BadRequestError:
        # it is there with other settings
        return await js.update_stream(config)


async def created_at(js: JetStreamContext, name: str) -> Any:
    """When the stream was made; None while it does not exist."""
    try:
        return (await js.stream_info(name)).created
    except NotFoundError:
        return None


TASKS = StreamConfig(
    name="TASKS",
    subjects=["tasks.>"],
    retention=RetentionPolicy.WORK_QUEUE,
    storage=StorageType.FILE,
    # one message per attempt: the broker refuses a copy exactly while it holds the first, so that publishing again is
    # always safe (Nats-Msg-Id would also swallow a needed copy after the first was acknowledged)
    max_msgs_per_subject=1,
    discard=DiscardPolicy.NEW,
    discard_new_per_subject=True,
)
"""Attempts for the workers: `tasks.<queue>.<task run>.<attempt>`."""

LOG = StreamConfig(
    name="LOG",
    subjects=["engine.log"],
    retention=RetentionPolicy.WORK_QUEUE,
    storage=StorageType.FILE,
    # where nobody keeps lines for long, the oldest make room
    max_bytes=256 * 2**20,
    discard=DiscardPolicy.OLD,
)
"""Lines of the execution log on their way from the workers: `engine.log`."""

EVENTS = StreamConfig(
    name="EVENTS",
    subjects=["events.>"],
    retention=RetentionPolicy.LIMITS,
    storage=StorageType.FILE,
    max_age=3 * 24 * 3600,
)
"""Domain events as CloudEvents (JSON): `events.<context>.<event>`."""
