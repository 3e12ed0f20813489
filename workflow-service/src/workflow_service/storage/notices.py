"""What the scheduler has still to be told, kept until it knows."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from kit.ids import new_id
from workflow_service.storage.rows import Actor
from workflow_service.storage.tables import pending_notice, workflow


@dataclass(frozen=True)
class Notice:
    """What the scheduler has still to be told of a workflow. A newer one takes its place under another id."""

    notice_id: str
    organization_id: str
    workflow_id: str
    paused: bool
    deleted: bool


def put_notice(connection: sa.Connection, actor: Actor, workflow_id: str, *, paused: bool, deleted: bool) -> None:
    connection.execute(pending_notice.delete().where(pending_notice.c.workflow_id == workflow_id))
    connection.execute(
        pending_notice.insert().values(
            pending_notice_id=new_id(),
            organization_id=actor.organization_id,
            workflow_id=workflow_id,
            paused=paused,
            deleted=deleted,
            created_at=actor.now,
        )
    )


def pending_notices(connection: sa.Connection, workflow_id: str | None = None, limit: int = 100) -> list[Notice]:
    """The oldest notices not yet delivered, of all organisations or of one workflow."""
    statement = sa.select(pending_notice).order_by(pending_notice.c.pending_notice_id).limit(limit)
    if workflow_id is not None:
        statement = statement.where(pending_notice.c.workflow_id == workflow_id)
    return [
        Notice(row.pending_notice_id, row.organization_id, row.workflow_id, row.paused, row.deleted)
        for row in connection.execute(statement)
    ]


def drop_notice(connection: sa.Connection, notice: Notice) -> bool:
    """Whether the notice was still the workflow's; False: a newer one had taken its place."""
    gone = connection.execute(pending_notice.delete().where(pending_notice.c.pending_notice_id == notice.notice_id))
    return gone.rowcount == 1


def renew_notice(connection: sa.Connection, notice: Notice, now: datetime) -> None:
    """After a late delivery of an outdated notice: tells the scheduler again what is true now."""
    rows = connection.execute(sa.select(workflow).where(workflow.c.workflow_id == notice.workflow_id)).all()
    if pending_notices(connection, notice.workflow_id):
        return
    for row in rows:
        actor = Actor(notice.organization_id, row.updated_by, now)
        put_notice(connection, actor, row.workflow_id, paused=not row.active, deleted=row.deleted_at is not None)
