"""Hands out the places under limits that runs share, as soon as somebody waits for one or gives one back, and again
each second: another replica may have died before it did."""

import asyncio

import structlog
from prometheus_client import Counter

from execution_service.domain.events import Cancel, Event, Grant, Refuse
from execution_service.engine import Engine, Item
from execution_service.loops import ignore
from execution_service.outside import REAL, Outside
from execution_service.storage import limits
from kit.database import Database

SWEEP_S = 1.0

log = structlog.get_logger()
_granted = Counter("limit_places_granted_total", "Places under shared limits that were handed out")


class Places:
    """Lives on the event loop; any number of replicas may do this at once."""

    def __init__(self, engine: Engine, database: Database, outside: Outside = REAL) -> None:
        self._engine = engine
        self._database = database
        self._outside = outside
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Somebody waits for a place, or one became free."""
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self.run_once()
            except Exception as error:
                log.warning("places_failed", error=repr(error)[:500])
            try:
                await asyncio.wait_for(self._woken.wait(), SWEEP_S)
            except TimeoutError:
                pass

    async def run_once(self) -> int:
        """Hands out what is free and tells the runs; how many were told."""
        done = await self._outside.run(limits.admit, self._database)
        now = self._outside.now()
        told: list[tuple[str, Event]] = [
            *((each.run_id, Grant(now, each.index, each.attempt)) for each in done.granted),
            *((run_id, Refuse(now)) for run_id in done.refused),
            *((run_id, Cancel(now)) for run_id in done.replaced),
        ]
        for run_id, event in told:
            self._engine.submit(Item(run_id, event, ignore))
        _granted.inc(len(done.granted))
        return len(told)

    async def drop_unused(self) -> int:
        """Removes limits that nobody holds or waits for; how many."""
        return await self._outside.run(limits.drop_unused, self._database)
