"""The execution log on its way: the broker holds what the workers write until it is kept here.

So a line outlives the replica that had it in its hands, and any time in which no replica is there. What is delivered
again has the same ids as before, and is kept once (docs/decisions/0021).
"""

import time
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import orjson
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError
from prometheus_client import Counter

from execution_service.outside import REAL, Outside
from execution_service.storage.log import save_log
from kit import bus, logs
from kit.database import Database
from kit.ids import derived_id

ACK_WAIT_S = 10.0
"""What a replica holds for so long without keeping it goes to another."""
MAX_ACK_PENDING = 1_000
"""Portions of lines that all replicas together hold while their database is away; the broker has the rest."""
PORTIONS_AT_ONCE = 100
"""In one transaction: the engine's own wait for it."""
_LOOK_S = 1.0
_CONSUMER = "engine"
_DELIVERED = "engine.log.delivered"

log = structlog.get_logger()
_malformed = Counter("log_lines_malformed_total", "Portions of log lines that could not be understood")


class Lines:
    """Keeps the lines that the broker hands to this replica, in turn with the others. Lives on the event loop."""

    def __init__(
        self,
        nc: Client,
        database: Database,
        outside: Outside = REAL,
        *,
        on_kept: Callable[[str], object] = lambda run_id: None,
        ack_wait_s: float = ACK_WAIT_S,
    ) -> None:
        """`on_kept` is called with each run of which there are new lines."""
        self._nc = nc
        self._js = nc.jetstream(timeout=2)
        self._database = database
        self._outside = outside
        self._on_kept = on_kept
        self._ack_wait_s = ack_wait_s
        self._held: dict[tuple[int, int], Msg] = {}
        """By when and as which message the broker took them; of what was delivered twice the later delivery."""
        self._looked_at = 0.0

    async def subscribe(self) -> None:
        """From here on lines are delivered here, those first that a replica had in its hands when it died."""
        await self._nc.subscribe(_DELIVERED, queue=_CONSUMER, cb=self._on_lines)
        # a consumer made anew begins with what is not acknowledged; else that comes later, and behind younger lines
        await self._look(anew=True)

    async def _on_lines(self, message: Msg) -> None:
        told = message.metadata
        self._held[int(told.timestamp.timestamp() * 1_000), told.sequence.stream] = message

    async def run_once(self) -> int:
        """Keeps what arrived; how many lines. Raises what the database raises: then it is tried again."""
        if time.monotonic() - self._looked_at >= _LOOK_S:
            await self._look()
        taken = sorted(self._held.items(), key=itemgetter(0))[:PORTIONS_AT_ONCE]
        rows = [row for (at, number), message in taken for row in _rows(at, number, message.data)]
        if rows:
            await self._outside.run(save_log, self._database, rows)
        for key, message in taken:
            # it may have been delivered once more meanwhile: that one holds
            await self._held.pop(key, message).ack()
        for run_id in {row["workflow_run_id"] for row in rows}:
            self._on_kept(run_id)
        return len(rows)

    async def _look(self, *, anew: bool = False) -> None:
        """Makes the stream and its consumer where the broker has none. A broker that is away is asked again later."""
        stream = str(bus.LOG.name)
        self._looked_at = time.monotonic()
        try:
            try:
                if not anew:
                    await self._js.consumer_info(stream, _CONSUMER)
                    return
                await self._js.delete_consumer(stream, _CONSUMER)
            except NotFoundError:
                pass
            await bus.declare(self._js, bus.LOG)
            await self._js.add_consumer(
                stream,
                ConsumerConfig(
                    durable_name=_CONSUMER,
                    deliver_subject=_DELIVERED,
                    deliver_group=_CONSUMER,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=self._ack_wait_s,
                    max_deliver=-1,
                    max_ack_pending=MAX_ACK_PENDING,
                ),
            )
        except Exception as error:
            log.warning("log_stream_not_seen", error=repr(error)[:500])


def _rows(at: int, number: int, data: bytes) -> list[dict[str, Any]]:
    """A portion as rows of execution_log; none when it will never be understood."""
    try:
        said = orjson.loads(data)
        return [_row(said, line, derived_id(at, f"{number}.{n}")) for n, line in enumerate(said["lines"])]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        _malformed.inc()
        log.warning("log_lines_malformed", error=repr(error)[:500])
        return []


def _row(said: dict[str, Any], line: dict[str, Any], log_id: str) -> dict[str, Any]:
    return {
        "execution_log_id": log_id,
        "workflow_run_id": str(said["run_id"])[:64],
        "organization_id": str(said["organization_id"])[:64],
        "task_run_id": str(said["task_run_id"])[:80],
        "attempt": max(0, min(int(said["attempt"]), 1_000_000)),
        "worker": str(said.get("worker", ""))[:128],
        "at": max(0, min(int(line["at"]), 2**62)),
        "level": str(line["level"])[:16],
        "event": str(line["event"]),
        "fields": orjson.dumps(logs.mask(line.get("fields") or {})).decode(),
    }
