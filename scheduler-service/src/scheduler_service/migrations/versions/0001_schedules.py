"""Schedules, firings and idempotency keys."""

import sqlalchemy as sa
from alembic import op

from kit.database import TABLE_OPTIONS, Json, UtcTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schedule",
        sa.Column("schedule_id", sa.String(64), primary_key=True),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("workflow_id", sa.String(64), nullable=False),
        sa.Column("cron", sa.String(200), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("input", Json, nullable=False),
        sa.Column("misfire", sa.String(16), nullable=False),
        sa.Column("overlap", sa.String(16), nullable=False),
        sa.Column("next_fire_at", UtcTime, nullable=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("updated_at", UtcTime, nullable=False),
        sa.Index("ix_schedule_next_fire_at", "next_fire_at"),
        sa.Index("ix_schedule_organization_id", "organization_id", "schedule_id"),
        sa.Index("ix_schedule_workflow_id", "organization_id", "workflow_id", "schedule_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "firing",
        sa.Column("firing_id", sa.String(64), primary_key=True),
        sa.Column("schedule_id", sa.String(64), nullable=False),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("workflow_id", sa.String(64), nullable=False),
        sa.Column("instant", UtcTime, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("input", Json, nullable=False),
        sa.Column("overlap", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("retry_at", UtcTime, nullable=False),
        sa.Column("run_id", sa.String(64), nullable=True),
        sa.Column("reason", sa.String(200), nullable=True),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("updated_at", UtcTime, nullable=False),
        sa.UniqueConstraint("schedule_id", "instant", name="uq_firing_instant"),
        sa.Index("ix_firing_retry_at", "state", "retry_at"),
        sa.Index("ix_firing_instant", "instant"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "idempotency_key",
        sa.Column("idempotency_key_id", sa.String(64), primary_key=True),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("body_hash", sa.String(64), nullable=False),
        sa.Column("resource_id", sa.String(64), nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        **TABLE_OPTIONS,
    )


def downgrade() -> None:
    op.drop_table("idempotency_key")
    op.drop_table("firing")
    op.drop_table("schedule")
