"""What the scheduler must be told of a workflow: at once, or as soon as it answers again."""

import sqlalchemy as sa
import structlog

from kit.errors import Error
from workflow_service import storage
from workflow_service.app.context import Context

log = structlog.get_logger()


def deliver_notices(ctx: Context, workflow_id: str | None = None) -> int:
    """Tells the scheduler what it does not know yet, of all workflows or of one; how many notices it took.

    A notice that it does not take stays for the next turn and holds up no other.
    """
    with ctx.database.read() as connection:
        notices = storage.pending_notices(connection, workflow_id)
    return sum(_deliver(ctx, notice) for notice in notices)


def _deliver(ctx: Context, notice: storage.Notice) -> bool:
    try:
        ctx.scheduler.pause_workflow(
            notice.organization_id,
            notice.workflow_id,
            paused=notice.paused,
            deleted=notice.deleted,
            idempotency_key=notice.notice_id,
        )
    except Error as error:
        log.warning("notice_waits", workflow_id=notice.workflow_id, error=str(error))
        return False

    def settle(connection: sa.Connection) -> None:
        if not storage.drop_notice(connection, notice):
            # ours may have reached the scheduler after a newer one that another replica delivered
            storage.renew_notice(connection, notice, ctx.clock())

    ctx.database.transact(settle)
    return True
