"""Workflows, jobs and tasks by themselves: one of them, or a page of them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from kit.database import decode_cursor, encode_cursor
from kit.errors import NotFound
from kit.ids import new_id
from workflow_service.domain.model import (
    Job,
    JobBody,
    JobId,
    Task,
    TaskBody,
    TaskId,
    Workflow,
    WorkflowBody,
    WorkflowId,
)
from workflow_service.storage.rows import Actor, first_stamp, next_stamp, to_job, to_task, to_workflow
from workflow_service.storage.tables import job, job_task, task, workflow, workflow_job

_HEAD = sa.text(
    "SELECT name, version, active FROM workflow"
    " WHERE workflow_id = :workflow AND organization_id = :organization AND deleted_at IS NULL"
).columns(workflow.c.name, workflow.c.version, workflow.c.active)


def own(table: sa.Table, organization_id: str, id_: str) -> sa.ColumnElement[bool]:
    """The row with this id, if it is the organisation's and not deleted."""
    found = sa.and_(table.c[f"{table.name}_id"] == id_, table.c.organization_id == organization_id)
    return sa.and_(found, table.c.deleted_at.is_(None)) if "deleted_at" in table.c else found


def _get(connection: sa.Connection, table: sa.Table, organization_id: str, id_: str) -> Any:
    row = connection.execute(sa.select(table).where(own(table, organization_id, id_))).one_or_none()
    if row is None:
        raise NotFound(f"{table.name}_not_found")
    return row


def get_workflow(connection: sa.Connection, organization_id: str, workflow_id: str) -> Workflow:
    """Raises NotFound: unknown, deleted or another organisation's."""
    return to_workflow(_get(connection, workflow, organization_id, workflow_id))


def workflow_head(connection: sa.Connection, organization_id: str, workflow_id: str) -> tuple[str, int, bool]:
    """Name, newest version and whether it is active, and nothing else: each start asks. Raises NotFound."""
    found = connection.execute(_HEAD, {"organization": organization_id, "workflow": workflow_id}).first()
    if found is None:
        raise NotFound("workflow_not_found")
    return found.name, found.version, found.active


def get_job(connection: sa.Connection, organization_id: str, job_id: str) -> Job:
    """Raises NotFound."""
    return to_job(_get(connection, job, organization_id, job_id))


def get_task(connection: sa.Connection, organization_id: str, task_id: str) -> Task:
    """Raises NotFound."""
    return to_task(_get(connection, task, organization_id, task_id))


def insert_workflow(connection: sa.Connection, actor: Actor, body: WorkflowBody) -> WorkflowId:
    workflow_id = WorkflowId(new_id())
    connection.execute(
        workflow.insert().values(
            workflow_id=workflow_id,
            organization_id=actor.organization_id,
            **asdict(body),
            active=True,
            version=0,
            problems=[],
            **first_stamp(actor),
        )
    )
    return workflow_id


def insert_job(connection: sa.Connection, actor: Actor, body: JobBody) -> JobId:
    job_id = JobId(new_id())
    values = {"job_id": job_id, "organization_id": actor.organization_id, **asdict(body), **first_stamp(actor)}
    connection.execute(job.insert().values(values))
    return job_id


def insert_task(connection: sa.Connection, actor: Actor, body: TaskBody) -> TaskId:
    task_id = TaskId(new_id())
    values = {"task_id": task_id, "organization_id": actor.organization_id, **asdict(body), **first_stamp(actor)}
    connection.execute(task.insert().values(values))
    return task_id


def update(connection: sa.Connection, table: sa.Table, actor: Actor, id_: str, values: Mapping[str, Any]) -> None:
    statement = table.update().where(own(table, actor.organization_id, id_))
    connection.execute(statement.values(**values, **next_stamp(actor, table)))


def update_workflow(connection: sa.Connection, actor: Actor, workflow_id: str, body: WorkflowBody) -> None:
    update(connection, workflow, actor, workflow_id, asdict(body))


def update_job(connection: sa.Connection, actor: Actor, job_id: str, body: JobBody) -> None:
    update(connection, job, actor, job_id, asdict(body))


def update_task(connection: sa.Connection, actor: Actor, task_id: str, body: TaskBody) -> None:
    update(connection, task, actor, task_id, asdict(body))


def set_active(connection: sa.Connection, actor: Actor, workflow_id: str, active: bool) -> None:
    update(connection, workflow, actor, workflow_id, {"active": active})


def delete_workflow(connection: sa.Connection, actor: Actor, workflow_id: str) -> None:
    """Its versions stay for the runs that began with them; its jobs are free again."""
    update(connection, workflow, actor, workflow_id, {"deleted_at": actor.now, "active": False})
    connection.execute(workflow_job.delete().where(workflow_job.c.workflow_id == workflow_id))


def delete_job(connection: sa.Connection, organization_id: str, job_id: str) -> None:
    connection.execute(job.delete().where(own(job, organization_id, job_id)))
    connection.execute(job_task.delete().where(job_task.c.job_id == job_id))


def delete_task(connection: sa.Connection, organization_id: str, task_id: str) -> None:
    connection.execute(task.delete().where(own(task, organization_id, task_id)))


# --- pages ---


@dataclass(frozen=True)
class Query:
    """What part of a list is asked for. `sort`: `created_at` or `name`, with `-` from the last to the first."""

    text: str | None = None
    active: bool | None = None
    sort: str = "-created_at"
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True)
class Page:
    items: tuple[Any, ...]
    next_cursor: str | None


def list_workflows(connection: sa.Connection, organization_id: str, query: Query) -> Page:
    return _page(connection, workflow, organization_id, query, to_workflow)


def list_jobs(connection: sa.Connection, organization_id: str, query: Query) -> Page:
    return _page(connection, job, organization_id, query, to_job)


def list_tasks(connection: sa.Connection, organization_id: str, query: Query) -> Page:
    return _page(connection, task, organization_id, query, to_task)


def _page(
    connection: sa.Connection, table: sa.Table, organization_id: str, query: Query, convert: Callable[[Any], Any]
) -> Page:
    """Ids sort by the time of creation, so that they break ties and stand for `created_at`."""
    id_ = table.c[f"{table.name}_id"]
    statement = sa.select(table).where(table.c.organization_id == organization_id)
    if "deleted_at" in table.c:
        statement = statement.where(table.c.deleted_at.is_(None))
    if query.text:
        # SQLite's lower() knows ASCII alone, so a name as it is written must match too
        folded = sa.func.lower(table.c.name).contains(query.text.lower(), autoescape=True)
        statement = statement.where(folded | table.c.name.contains(query.text, autoescape=True))
    if query.active is not None:
        statement = statement.where(table.c.active.is_(query.active))
    backwards = query.sort.startswith("-")
    by_name = query.sort.lstrip("-") == "name"
    columns = (table.c.name, id_) if by_name else (id_,)
    if query.cursor is not None:
        position = sa.tuple_(*map(sa.literal, decode_cursor(query.cursor, *[str] * len(columns))))
        here = sa.tuple_(*columns)
        statement = statement.where(here < position if backwards else here > position)
    statement = statement.order_by(*(column.desc() if backwards else column for column in columns))
    rows = connection.execute(statement.limit(query.limit + 1)).all()
    shown = rows[: query.limit]
    more = len(rows) > query.limit
    cursor = encode_cursor(*(shown[-1]._mapping[column] for column in columns)) if more else None
    return Page(tuple(convert(row) for row in shown), cursor)
