"""Task types that workers said they can run. They belong to the installation, not to an organisation."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa

from kit.ids import new_id
from workflow_service.domain.engine_types import ENGINE_TYPES
from workflow_service.domain.model import ErrorCode, TaskType
from workflow_service.storage.locks import lock_catalogue
from workflow_service.storage.tables import task_type

# a type that is named again and again is written down once in this time
SEEN_EVERY = timedelta(minutes=1)


def task_types(connection: sa.Connection) -> dict[str, TaskType]:
    """Every type that workers said they can run, and those of the engine itself, by name; none while nobody said."""
    rows = connection.execute(sa.select(task_type).order_by(task_type.c.type))
    found = {row.type: _to_task_type(row.content) for row in rows}
    return dict(sorted((found | ENGINE_TYPES).items())) if found else {}


def _to_task_type(content: Mapping[str, Any]) -> TaskType:
    return TaskType(**{**content, "errors": tuple(ErrorCode(**error) for error in content["errors"])})


def save_task_types(
    connection: sa.Connection, types: Iterable[TaskType], now: datetime, *, forget_before: datetime
) -> None:
    """Records what a worker answered; types that no worker has named since `forget_before` go."""
    lock_catalogue(connection)
    known = {row.type: row for row in connection.execute(sa.select(task_type))}
    for found in types:
        content = asdict(found)
        row = known.get(found.type)
        if row is None:
            values = {"task_type_id": new_id(), "type": found.type, "content": content, "seen_at": now}
            connection.execute(task_type.insert().values(values))
        elif row.seen_at < now - SEEN_EVERY or orjson.dumps(row.content) != orjson.dumps(content):
            mine = task_type.c.task_type_id == row.task_type_id
            connection.execute(task_type.update().where(mine).values(content=content, seen_at=now))
    connection.execute(task_type.delete().where(task_type.c.seen_at < forget_before))
