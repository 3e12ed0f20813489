"""Says on the broker that an organisation's workflows change: before the commit, and when it is over.

Whoever keeps their newest versions (execution-service) lets go of them at the first word and trusts what it asks again
after the second. Nothing here may stop a save: without a broker nobody keeps anything for longer than a minute.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as TooLong
from contextlib import contextmanager

import orjson
import structlog
from nats.aio.client import Client

from kit import bus
from kit.ids import new_id

SUBJECT = "workflow.changes"
PATIENCE_S = 1.0

log = structlog.get_logger()


class Changes:
    """Made on the event loop; `announced` is called in other threads."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._client: Client | None = None

    async def run(self) -> None:
        """Connects as soon as there is a broker, and stays connected for ever."""
        self._client = await bus.connect(self._url, self._name)
        await asyncio.Event().wait()

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    @contextmanager
    def announced(self, organization_id: str) -> Iterator[None]:
        """The block changes workflows of the organisation. When it begins, everybody connected has been told so."""
        change = new_id()
        self._say(organization_id, change, over=False)
        try:
            yield
        finally:
            self._say(organization_id, change, over=True)

    def _say(self, organization_id: str, change: str, *, over: bool) -> None:
        client = self._client
        # an end that is said while the connection is away leaves when it is back
        if client is None or not (over or client.is_connected):
            return
        said = orjson.dumps({"organization_id": organization_id, "change": change, "over": over})
        try:
            saying = asyncio.run_coroutine_threadsafe(_tell(client, said, surely=not over), self._loop)
            if over:
                # nobody's answer depends on it: only that things are kept again
                saying.add_done_callback(_look_at)
                return
        except RuntimeError as error:
            # the loop is closed: this process is about to end
            log.warning("change_not_told", error=repr(error)[:500])
            return
        try:
            saying.result(PATIENCE_S)
        except (Exception, TooLong, CancelledError) as error:
            saying.cancel()
            log.warning("change_not_told", error=repr(error)[:500])


def _look_at(saying: "Future[None]") -> None:
    error = None if saying.cancelled() else saying.exception()
    if error is not None:
        log.warning("change_not_told", error=repr(error)[:500])


async def _tell(client: Client, said: bytes, *, surely: bool) -> None:
    await client.publish(SUBJECT, said)
    if surely:
        # its PONG says that the broker has passed on what came before
        await client.flush(timeout=1)
