"""The catalogue of task types: what workers said they can run, kept while they are away."""

from datetime import timedelta

import structlog

from kit.errors import Error
from workflow_service import storage
from workflow_service.app.context import Context
from workflow_service.domain.model import (
    TaskType,
)

log = structlog.get_logger()

FORGET_TYPES_AFTER = timedelta(hours=1)


def list_task_types(ctx: Context) -> list[TaskType]:
    """Every type that workers can run, by name."""
    with ctx.database.read() as connection:
        return list(storage.task_types(connection).values())


def refresh_task_types(ctx: Context) -> bool:
    """Asks the workers what they can run and records it; whether they answered."""
    try:
        types = ctx.workers.list_task_types()
    except Error as error:
        log.info("task_types_unknown", error=str(error))
        return False
    now = ctx.clock()
    ctx.database.transact(
        lambda connection: storage.save_task_types(connection, types, now, forget_before=now - FORGET_TYPES_AFTER)
    )
    return True
