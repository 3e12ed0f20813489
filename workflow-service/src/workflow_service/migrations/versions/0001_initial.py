"""The first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from kit.database import TABLE_OPTIONS, LongText

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "workflow",
        _id("workflow_id", primary_key=True),
        _id("organization_id"),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("description", LongText, nullable=False),
        sa.Column("default_config", LongText, nullable=False),
        sa.Column("input_schema", LongText),
        sa.Column("failure_policy", sa.String(16), nullable=False),
        sa.Column("timeout_s", sa.Double),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("problems", LongText, nullable=False),
        *_stamp(),
        sa.Column("deleted_at", sa.BigInteger),
        sa.Index("workflow_organization", "organization_id", "workflow_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "job",
        _id("job_id", primary_key=True),
        _id("organization_id"),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("description", LongText, nullable=False),
        sa.Column("failure_policy", sa.String(16)),
        *_stamp(),
        sa.Index("job_organization", "organization_id", "job_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "task",
        _id("task_id", primary_key=True),
        _id("organization_id"),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("description", LongText, nullable=False),
        sa.Column("parameters", LongText, nullable=False),
        sa.Column("retry", LongText),
        sa.Column("timeout_s", sa.Double),
        sa.Column("queue", sa.String(63)),
        sa.Column("priority", sa.Integer),
        sa.Column("failure_policy", sa.String(16)),
        *_stamp(),
        sa.Index("task_organization", "organization_id", "task_id"),
        **TABLE_OPTIONS,
    )
    _create_placements()
    _create_definitions()
    _create_bookkeeping()


def _create_placements() -> None:
    op.create_table(
        "workflow_job",
        _id("workflow_job_id", primary_key=True),
        _id("organization_id"),
        _id("workflow_id"),
        _id("job_id"),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("key", sa.String(63), nullable=False),
        sa.Column("depends_on", LongText),
        sa.Index("workflow_job_workflow", "workflow_id", "position"),
        sa.Index("workflow_job_job", "job_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "job_task",
        _id("job_task_id", primary_key=True),
        _id("organization_id"),
        _id("job_id"),
        _id("task_id"),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("key", sa.String(63), nullable=False),
        sa.Column("name", sa.String(200)),
        sa.Column("depends_on", LongText),
        sa.Column("when_text", LongText),
        sa.Column("retry", LongText),
        sa.Column("timeout_s", sa.Double),
        sa.Column("failure_policy", sa.String(16)),
        sa.Column("parameters", LongText, nullable=False),
        sa.Index("job_task_job", "job_id", "position"),
        sa.Index("job_task_task", "task_id"),
        **TABLE_OPTIONS,
    )


def _create_definitions() -> None:
    op.create_table(
        "definition_version",
        _id("definition_version_id", primary_key=True),
        _id("organization_id"),
        _id("workflow_id"),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("snapshot", LongText, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        _id("created_by"),
        sa.UniqueConstraint("workflow_id", "version", name="definition_version_number"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "task_type",
        _id("task_type_id", primary_key=True),
        sa.Column("type", sa.String(100), nullable=False, unique=True),
        sa.Column("content", LongText, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        **TABLE_OPTIONS,
    )


def _create_bookkeeping() -> None:
    op.create_table(
        "pending_notice",
        _id("pending_notice_id", primary_key=True),
        _id("organization_id"),
        _id("workflow_id"),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("workflow_id", name="pending_notice_workflow"),
        **TABLE_OPTIONS,
    )
    op.create_table("definition_lock", _id("definition_lock_id", primary_key=True), **TABLE_OPTIONS)
    op.create_table(
        "idempotency_key",
        _id("idempotency_key_id", primary_key=True),
        _id("organization_id"),
        sa.Column("body_hash", sa.String(64), nullable=False),
        _id("resource_id"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        **TABLE_OPTIONS,
    )


def _id(name: str, *, primary_key: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.String(64), primary_key=primary_key, nullable=False)


def _stamp() -> "list[sa.Column[Any]]":
    return [
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        _id("created_by"),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        _id("updated_by"),
    ]
