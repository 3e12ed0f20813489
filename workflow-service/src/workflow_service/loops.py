"""Timers: learn what workers can run, tell the scheduler what it missed. Each turn is one function that ends."""

import anyio.to_thread

from workflow_service import app
from workflow_service.app import Context


async def learn_task_types(ctx: Context) -> bool:
    """One turn; whether the workers answered."""
    return await anyio.to_thread.run_sync(app.refresh_task_types, ctx)


async def deliver_notices(ctx: Context) -> int:
    """One turn; how many notices the scheduler took."""
    return await anyio.to_thread.run_sync(app.deliver_notices, ctx)
