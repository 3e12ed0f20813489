"""Connections, the artifact index, the effect ledger, durable task state and idempotency keys."""

import sqlalchemy as sa
from alembic import op

from kit.database import TABLE_OPTIONS, Json, LongText, UtcTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "idempotency_key",
        sa.Column("idempotency_key_id", sa.String(64), primary_key=True),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("body_hash", sa.String(64), nullable=False),
        sa.Column("resource_id", sa.String(64), nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "connection",
        sa.Column("connection_id", sa.String(64), primary_key=True),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("settings", Json, nullable=False),
        sa.Column("sealed_credentials", LongText, nullable=False),
        sa.Column("credential_names", Json, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("updated_at", UtcTime, nullable=False),
        sa.UniqueConstraint("organization_id", "name", name="uq_connection_name"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "artifact",
        sa.Column("artifact_id", sa.String(64), primary_key=True),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("task_run_id", sa.String(64), nullable=False),
        sa.Column("path", sa.String(512), nullable=False),
        sa.Column("path_hash", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("content_type", sa.String(128), nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.UniqueConstraint("organization_id", "run_id", "path_hash", name="uq_artifact_path"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_artifact_newest", "artifact", ["organization_id", "artifact_id"])
    op.create_table(
        "effect",
        sa.Column("effect_id", sa.String(64), primary_key=True),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("outcome", Json, nullable=True),
        sa.Column("note", Json, nullable=True),
        sa.Column("claimed_by", sa.String(128), nullable=True),
        sa.Column("claimed_at", UtcTime, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "task_state",
        sa.Column("task_state_id", sa.String(64), primary_key=True),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("namespace", sa.String(64), nullable=False),
        sa.Column("entry_key", sa.String(255), nullable=False),
        sa.Column("value", Json, nullable=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("updated_at", UtcTime, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_task_state_namespace", "task_state", ["organization_id", "namespace"])
