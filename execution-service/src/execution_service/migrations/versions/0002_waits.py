"""What tasks wait for (events, people, other workflows' runs), the events that came, and whose child a run is."""

import sqlalchemy as sa
from alembic import op

from kit.database import TABLE_OPTIONS, LongText

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "workflow_run",
        sa.Column(
            "parent", sa.String(length=96), nullable=True, comment="<task run>.<attempt> that waits for this run"
        ),
    )
    op.add_column("workflow_run", sa.Column("depth", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_workflow_run_parent", "workflow_run", ["parent"])
    op.create_table(
        "task_wait",
        sa.Column("task_wait_id", sa.String(length=80), nullable=False, comment="the task run's id"),
        sa.Column("wait_key", sa.String(length=96), nullable=False, comment="<task run>.<attempt>"),
        sa.Column("workflow_run_id", sa.String(length=64), nullable=False),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False, comment="of the event, or the workflow's id"),
        sa.Column("body", LongText, nullable=False, comment="the resolved parameters"),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="events from then on count"),
        sa.Column("waiting_since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("task_wait_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_task_wait_name", "task_wait", ["organization_id", "kind", "name"])
    op.create_index("ix_task_wait_kind", "task_wait", ["kind", "task_wait_id"])
    op.create_index("ix_task_wait_key", "task_wait", ["wait_key"])
    op.create_table(
        "received_event",
        sa.Column("received_event_id", sa.String(length=64), nullable=False),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("body", LongText, nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("received_event_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_received_event_name", "received_event", ["organization_id", "name", "received_at"])
    op.create_index("ix_received_event_received_at", "received_event", ["received_at"])
