"""Which version of a workflow is the newest, and whether it is active: known here, and as true as if it were asked.

A start that asks workflow-service spends half of its time on that. What was asked before is kept instead, and before
workflow-service commits a change it says on the broker that an organisation's workflows are about to change. Who starts
a run after a change was answered must find the new version: the broker's PONG comes behind all that it had passed on to
this connection by then, so one round trip to the broker tells whether anything changed (docs/decisions/0020).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from prometheus_client import Counter

LASTS_S = 60.0
"""A broker that this replica reaches, and who changes something does not, misleads no longer than this."""
UNDER_WAY_S = 120.0
"""A change whose end is not heard of is over by then, one way or the other."""
MOST = 10_000

log = structlog.get_logger()
_looked_up = Counter("workflow_heads_total", "Newest versions looked up", ["from"])

Head = tuple[int, bool]
"""The newest version, and whether the workflow is active."""


@dataclass(frozen=True, slots=True)
class _Known:
    head: Head
    until: float
    life: int


class Heads:
    """`ask` is workflow-service's own answer. Lives on the event loop."""

    def __init__(self, nc: Client, ask: Callable[[str, str], Awaitable[Head]], *, lasts_s: float = LASTS_S) -> None:
        self._nc = nc
        self._ask = ask
        self._lasts_s = lasts_s
        self._known: dict[tuple[str, str], _Known] = {}
        self._under_way: dict[str, dict[str, float]] = {}
        self._said: dict[str, int] = {}
        self._subscription: Subscription | None = None
        self._heard_in: int | None = None
        """The connection of which it is known that the broker tells it."""

    async def subscribe(self) -> None:
        self._subscription = await self._nc.subscribe("workflow.changes", cb=self._on_change)

    async def __call__(self, organization_id: str, workflow_id: str) -> Head:
        """What workflow-service would answer now. Raises what it would raise."""
        key = organization_id, workflow_id
        known = self._known.get(key)
        now = time.monotonic()
        if known and now < known.until and await self._up_to_date(known.life):
            # what was heard meanwhile took it away; or another caller put its own in its place, which is as good
            found = self._known.get(key)
            if found is not None and found.life == known.life:
                _looked_up.labels("memory").inc()
                return found.head
        # only what is heard from here on can take away what is asked now
        life, listening = self._life, await self._listening()
        said = self._said.get(organization_id, 0)
        head = await self._ask(organization_id, workflow_id)
        _looked_up.labels("workflow-service").inc()
        if listening and self._quiet(organization_id) and said == self._said.get(organization_id, 0):
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = _Known(head, now + self._lasts_s, life)
        return head

    @property
    def _life(self) -> int:
        """Changes with each connection to the broker: what was said between two of them was not heard."""
        return int(self._nc.stats["reconnects"])

    def _quiet(self, organization_id: str) -> bool:
        """Whether no change is under way."""
        now, changes = time.monotonic(), self._under_way.get(organization_id, {})
        for change in [change for change, until in changes.items() if until < now]:
            del changes[change]
        return not changes

    async def _listening(self) -> bool:
        """Whether the broker knows that this connection wants to hear of changes, and is the only one who tells."""
        if self._heard_in != self._life and await self._up_to_date(self._life):
            self._heard_in = self._life
        # a cluster's members pass on to each other when they get to it
        return self._heard_in == self._life and not self._nc.discovered_servers

    async def _up_to_date(self, life: int) -> bool:
        """Whether all that the broker was told by now is heard here, without a gap since `life` began."""
        subscription = self._subscription
        if subscription is None or not self._nc.is_connected:
            return False
        try:
            await self._nc.flush(timeout=1)
        except Exception as error:
            log.info("broker_silent", error=repr(error)[:500])
            return False
        while subscription.pending_msgs:  # noqa: ASYNC110  # until another task of this loop has taken them
            await asyncio.sleep(0)
        return self._nc.is_connected and life == self._life

    async def _on_change(self, message: Msg) -> None:
        """`{"organization_id", "change", "over"}`: one is about to be committed, or is over. Must not wait."""
        said = orjson.loads(message.data)
        organization_id, change = said["organization_id"], said["change"]
        self._said[organization_id] = self._said.get(organization_id, 0) + 1
        changes = self._under_way.setdefault(organization_id, {})
        if said["over"]:
            changes.pop(change, None)
        else:
            changes[change] = time.monotonic() + UNDER_WAY_S
        for key in [key for key in self._known if key[0] == organization_id]:
            del self._known[key]
        if not changes:
            del self._under_way[organization_id]
