"""The first schema."""

import sqlalchemy as sa
from alembic import op

from kit.database import TABLE_OPTIONS, LongText

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "dead_event",
        sa.Column("dead_event_id", sa.String(length=64), nullable=False),
        sa.Column("workflow_run_id", sa.String(length=64), nullable=False),
        sa.Column("event", LongText, nullable=False),
        sa.Column("error", LongText, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dead_event_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "definition",
        sa.Column("definition_id", sa.String(length=96), nullable=False, comment="<workflow>.<version>"),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("body", LongText, nullable=False),
        sa.PrimaryKeyConstraint("definition_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "execution_log",
        sa.Column("execution_log_id", sa.String(length=64), nullable=False),
        sa.Column("workflow_run_id", sa.String(length=64), nullable=False),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("task_run_id", sa.String(length=80), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("event", LongText, nullable=False),
        sa.Column("fields", LongText, nullable=False),
        sa.Column("worker", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("execution_log_id"),
        **TABLE_OPTIONS,
    )
    op.create_index(
        "ix_execution_log_workflow_run", "execution_log", ["workflow_run_id", "execution_log_id"], unique=False
    )
    op.create_table(
        "job_run",
        sa.Column("job_run_id", sa.String(length=80), nullable=False),
        sa.Column("workflow_run_id", sa.String(length=64), nullable=False),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("job_run_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_job_run_workflow_run", "job_run", ["workflow_run_id", "position"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("outbox_id", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("body", LongText, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("outbox_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_outbox_published_at", "outbox", ["published_at", "outbox_id"], unique=False)
    op.create_table(
        "run_counter",
        sa.Column("workflow_id", sa.String(length=64), nullable=False),
        sa.Column("next_number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workflow_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "start_key",
        sa.Column(
            "start_key_id", sa.String(length=64), nullable=False, comment="hash of organisation, workflow and key"
        ),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("workflow_run_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("start_key_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "stream_seen",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column(
            "created",
            sa.String(length=64),
            nullable=False,
            comment="another creation time means that the broker forgot",
        ),
        sa.PrimaryKeyConstraint("name"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "task_attempt",
        sa.Column("task_attempt_id", sa.String(length=96), nullable=False),
        sa.Column("task_run_id", sa.String(length=80), nullable=False),
        sa.Column("workflow_run_id", sa.String(length=64), nullable=False),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=128), nullable=True),
        sa.Column("queued_at", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("failure", LongText, nullable=True),
        sa.PrimaryKeyConstraint("task_attempt_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_task_attempt_workflow_run", "task_attempt", ["workflow_run_id"], unique=False)
    op.create_table(
        "task_io_data",
        sa.Column("task_io_data_id", sa.String(length=84), nullable=False, comment="<task run>.in or <task run>.out"),
        sa.Column("task_run_id", sa.String(length=80), nullable=False),
        sa.Column("workflow_run_id", sa.String(length=64), nullable=False),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("direction", sa.String(length=3), nullable=False),
        sa.Column("body", LongText, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("task_io_data_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_task_io_data_workflow_run", "task_io_data", ["workflow_run_id"], unique=False)
    op.create_table(
        "task_run",
        sa.Column("task_run_id", sa.String(length=80), nullable=False),
        sa.Column("workflow_run_id", sa.String(length=64), nullable=False),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("task_key", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("delivery", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=128), nullable=True),
        sa.Column("queued_at", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("failure", LongText, nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="the run's version that last changed this row"),
        sa.PrimaryKeyConstraint("task_run_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_task_run_workflow_run", "task_run", ["workflow_run_id", "version"], unique=False)
    op.create_table(
        "workflow_run",
        sa.Column("workflow_run_id", sa.String(length=64), nullable=False),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("workflow_id", sa.String(length=64), nullable=False),
        sa.Column("workflow_version", sa.BigInteger(), nullable=False),
        sa.Column("workflow_name", sa.String(length=255), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("trigger_kind", sa.String(length=16), nullable=False),
        sa.Column("cause", sa.String(length=255), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("rerun_of", sa.String(length=64), nullable=True),
        sa.Column("input", LongText, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("cancel_due", sa.BigInteger(), nullable=True),
        sa.Column("next_due_at", sa.BigInteger(), nullable=True),
        sa.Column("failure", LongText, nullable=True),
        sa.PrimaryKeyConstraint("workflow_run_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_workflow_run_next_due_at", "workflow_run", ["next_due_at"], unique=False)
    op.create_index(
        "ix_workflow_run_organization", "workflow_run", ["organization_id", "workflow_run_id"], unique=False
    )
    op.create_index("ix_workflow_run_workflow", "workflow_run", ["workflow_id", "workflow_run_id"], unique=False)


def downgrade() -> None:
    for table in (
        "workflow_run",
        "task_run",
        "task_io_data",
        "task_attempt",
        "stream_seen",
        "start_key",
        "run_counter",
        "outbox",
        "job_run",
        "execution_log",
        "definition",
        "dead_event",
    ):
        op.drop_table(table)
