"""Housekeeping, each a `run_once`; the consumption of tasks is `runtime`."""

import asyncio

from worker_service import storage
from worker_service.app import App

KEEP_EFFECTS_DAYS = 180
_SLICE = 1_000


async def forget_old_effects(app: App) -> int:
    """Removes ledger rows that no run can ask for any more (a run lasts at most 30 days); how many."""
    return await asyncio.to_thread(storage.purge_effects, app.database, KEEP_EFFECTS_DAYS, _SLICE)
