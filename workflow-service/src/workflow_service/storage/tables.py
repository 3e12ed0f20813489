"""The tables. Names are singular, keys are `<table>_id`; physical foreign keys there are none."""

from typing import Any

import sqlalchemy as sa

from kit.database import TABLE_OPTIONS, Json, LongText, UtcTime, id_column
from kit.database import idempotency_table as _idempotency_table

metadata = sa.MetaData()


def _stamp_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        id_column("created_by"),
        sa.Column("updated_at", UtcTime, nullable=False),
        id_column("updated_by"),
    ]


workflow = sa.Table(
    "workflow",
    metadata,
    id_column("workflow_id", primary_key=True),
    id_column("organization_id"),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("description", LongText, nullable=False),
    sa.Column("default_config", Json, nullable=False),
    sa.Column("input_schema", Json),
    sa.Column("failure_policy", sa.String(16), nullable=False),
    sa.Column("timeout_s", sa.Double),
    sa.Column("retention_days", sa.Double),
    sa.Column("concurrency", Json),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("problems", Json, nullable=False),
    *_stamp_columns(),
    sa.Column("deleted_at", UtcTime),
    sa.Index("workflow_organization", "organization_id", "workflow_id"),
    **TABLE_OPTIONS,
)

job = sa.Table(
    "job",
    metadata,
    id_column("job_id", primary_key=True),
    id_column("organization_id"),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("description", LongText, nullable=False),
    sa.Column("failure_policy", sa.String(16)),
    *_stamp_columns(),
    sa.Index("job_organization", "organization_id", "job_id"),
    **TABLE_OPTIONS,
)

task = sa.Table(
    "task",
    metadata,
    id_column("task_id", primary_key=True),
    id_column("organization_id"),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("type", sa.String(100), nullable=False),
    sa.Column("description", LongText, nullable=False),
    sa.Column("parameters", Json, nullable=False),
    sa.Column("retry", Json),
    sa.Column("timeout_s", sa.Double),
    sa.Column("queue_timeout_s", sa.Double),
    sa.Column("heartbeat_s", sa.Double),
    sa.Column("queue", sa.String(63)),
    sa.Column("priority", sa.Integer),
    sa.Column("failure_policy", sa.String(16)),
    *_stamp_columns(),
    sa.Index("task_organization", "organization_id", "task_id"),
    **TABLE_OPTIONS,
)

workflow_job = sa.Table(
    "workflow_job",
    metadata,
    id_column("workflow_job_id", primary_key=True),
    id_column("organization_id"),
    id_column("workflow_id"),
    id_column("job_id"),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("key", sa.String(63), nullable=False),
    sa.Column("depends_on", Json),
    sa.Index("workflow_job_workflow", "workflow_id", "position"),
    sa.Index("workflow_job_job", "job_id"),
    **TABLE_OPTIONS,
)

job_task = sa.Table(
    "job_task",
    metadata,
    id_column("job_task_id", primary_key=True),
    id_column("organization_id"),
    id_column("job_id"),
    id_column("task_id"),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("key", sa.String(63), nullable=False),
    sa.Column("name", sa.String(200)),
    sa.Column("depends_on", Json),
    # WHEN is a word of SQL
    sa.Column("when_text", LongText),
    sa.Column("retry", Json),
    sa.Column("timeout_s", sa.Double),
    sa.Column("queue_timeout_s", sa.Double),
    sa.Column("heartbeat_s", sa.Double),
    sa.Column("failure_policy", sa.String(16)),
    sa.Column("parameters", Json, nullable=False),
    sa.Column("for_each", Json),
    sa.Column("max_parallel", sa.Integer),
    sa.Column("concurrency_key", LongText),
    sa.Column("concurrency_limit", sa.Integer),
    sa.Index("job_task_job", "job_id", "position"),
    sa.Index("job_task_task", "task_id"),
    **TABLE_OPTIONS,
)

definition_version = sa.Table(
    "definition_version",
    metadata,
    id_column("definition_version_id", primary_key=True),
    id_column("organization_id"),
    id_column("workflow_id"),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("snapshot", Json, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    id_column("created_by"),
    sa.UniqueConstraint("workflow_id", "version", name="definition_version_number"),
    **TABLE_OPTIONS,
)

task_type = sa.Table(
    "task_type",
    metadata,
    id_column("task_type_id", primary_key=True),
    sa.Column("type", sa.String(100), nullable=False, unique=True),
    sa.Column("content", Json, nullable=False),
    sa.Column("seen_at", UtcTime, nullable=False),
    **TABLE_OPTIONS,
)

pending_notice = sa.Table(
    "pending_notice",
    metadata,
    id_column("pending_notice_id", primary_key=True),
    id_column("organization_id"),
    id_column("workflow_id"),
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.UniqueConstraint("workflow_id", name="pending_notice_workflow"),
    **TABLE_OPTIONS,
)

definition_lock = sa.Table(
    "definition_lock", metadata, id_column("definition_lock_id", primary_key=True), **TABLE_OPTIONS
)

idempotency_key = _idempotency_table(metadata)
