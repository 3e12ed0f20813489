"""The first tables of identity."""

import sqlalchemy as sa
from alembic import op

from kit.database import TABLE_OPTIONS, Json, UtcTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "api_token",
        sa.Column("api_token_id", sa.String(64), nullable=False),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("membership_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("permissions", Json(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("api_token_id"),
        sa.UniqueConstraint("token_hash"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_api_token_user", "api_token", ["user_id", "api_token_id"])
    op.create_table(
        "audit_log",
        sa.Column("audit_log_id", sa.String(64), nullable=False),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("actor_user_id", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("resource_type", sa.String(64), nullable=False),
        sa.Column("resource_id", sa.String(64), nullable=False),
        sa.Column("detail", Json(), nullable=False),
        sa.Column("trace_id", sa.String(32), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("audit_log_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_audit_log_organization", "audit_log", ["organization_id", "audit_log_id"])
    op.create_table(
        "department",
        sa.Column("department_id", sa.String(64), nullable=False),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("department_id"),
        sa.UniqueConstraint("organization_id", "name"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "idempotency_key",
        sa.Column("idempotency_key_id", sa.String(64), nullable=False),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("body_hash", sa.String(64), nullable=False),
        sa.Column("resource_id", sa.String(64), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("idempotency_key_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "login_attempt",
        sa.Column("login_attempt_id", sa.String(64), nullable=False),
        sa.Column("address_hash", sa.String(64), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("login_attempt_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_login_attempt_address", "login_attempt", ["address_hash", "at"])
    op.create_index("ix_login_attempt_at", "login_attempt", ["at"])
    op.create_table(
        "membership",
        sa.Column("membership_id", sa.String(64), nullable=False),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("department_id", sa.String(64), nullable=True),
        sa.Column("position_id", sa.String(64), nullable=True),
        sa.Column("authz", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("membership_id"),
        sa.UniqueConstraint("organization_id", "user_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_membership_user", "membership", ["user_id"])
    op.create_table(
        "membership_role",
        sa.Column("membership_role_id", sa.String(64), nullable=False),
        sa.Column("membership_id", sa.String(64), nullable=False),
        sa.Column("role_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("membership_role_id"),
        sa.UniqueConstraint("membership_id", "role_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_membership_role_role", "membership_role", ["role_id"])
    op.create_table(
        "organization",
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id"),
        sa.UniqueConstraint("name"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "permission",
        sa.Column("permission_id", sa.String(64), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("description", sa.String(500), nullable=False),
        sa.PrimaryKeyConstraint("permission_id"),
        sa.UniqueConstraint("code"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "position",
        sa.Column("position_id", sa.String(64), nullable=False),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("position_id"),
        sa.UniqueConstraint("organization_id", "name"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "refresh_token",
        sa.Column("refresh_token_id", sa.String(64), nullable=False),
        sa.Column("session_id", sa.String(64), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("replaced_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("refresh_token_id"),
        sa.UniqueConstraint("token_hash"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_refresh_token_session", "refresh_token", ["session_id"])
    op.create_table(
        "role",
        sa.Column("role_id", sa.String(64), nullable=False),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("description", sa.String(500), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("role_id"),
        sa.UniqueConstraint("organization_id", "code"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "role_permission",
        sa.Column("role_permission_id", sa.String(64), nullable=False),
        sa.Column("role_id", sa.String(64), nullable=False),
        sa.Column("permission_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("role_permission_id"),
        sa.UniqueConstraint("role_id", "permission_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "session",
        sa.Column("session_id", sa.String(64), nullable=False),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("membership_id", sa.String(64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.Column("end_reason", sa.String(40), nullable=True),
        sa.PrimaryKeyConstraint("session_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_session_expires", "session", ["expires_at"])
    op.create_index("ix_session_user", "session", ["user_id"])
    op.create_table(
        "signing_key",
        sa.Column("signing_key_id", sa.String(64), nullable=False),
        sa.Column("public_jwk", Json(), nullable=False),
        sa.Column("private_key", sa.String(1000), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("signing_key_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "user",
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("password_hash", sa.String(200), nullable=True),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("user_id"),
        sa.UniqueConstraint("email"),
        **TABLE_OPTIONS,
    )


def downgrade() -> None:
    op.drop_table("user")
    op.drop_table("signing_key")
    op.drop_table("session")
    op.drop_table("role_permission")
    op.drop_table("role")
    op.drop_table("refresh_token")
    op.drop_table("position")
    op.drop_table("permission")
    op.drop_table("organization")
    op.drop_table("membership_role")
    op.drop_table("membership")
    op.drop_table("login_attempt")
    op.drop_table("idempotency_key")
    op.drop_table("department")
    op.drop_table("audit_log")
    op.drop_table("api_token")
