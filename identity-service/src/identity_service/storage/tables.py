"""The tables. They refer to each other by id only: that the ids are sound is kept by the code, not by foreign keys."""

from datetime import datetime

import sqlalchemy as sa

from kit.database import TABLE_OPTIONS, Json, UtcTime, id_column, idempotency_table

metadata = sa.MetaData()


def _table(name: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    key = id_column(f"{name}_id", primary_key=True)
    return sa.Table(name, metadata, key, *columns, **TABLE_OPTIONS)


def _text(name: str, length: int = 200, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, UtcTime, nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


organization = _table("organization", _text("name"), _time("created_at"), sa.UniqueConstraint("name"))
department = _table(
    "department",
    id_column("organization_id"),
    _text("name"),
    _time("created_at"),
    sa.UniqueConstraint("organization_id", "name"),
)
position = _table(
    "position",
    id_column("organization_id"),
    _text("name"),
    _time("created_at"),
    sa.UniqueConstraint("organization_id", "name"),
)
user = _table(
    "user",
    _text("email", 254),
    _text("name"),
    # NULL: nobody can log in with a password yet
    _text("password_hash", nullable=True),
    sa.Column("must_change_password", sa.Boolean, nullable=False),
    _text("state", 20),
    _number("version"),
    _time("created_at"),
    _time("updated_at"),
    sa.UniqueConstraint("email"),
)
membership = _table(
    "membership",
    id_column("organization_id"),
    id_column("user_id"),
    id_column("department_id", nullable=True),
    id_column("position_id", nullable=True),
    # grows whenever what the member may do changes: tokens that carry a lower number are refused
    _number("authz"),
    _time("created_at"),
    sa.UniqueConstraint("organization_id", "user_id"),
    sa.Index("ix_membership_user", "user_id"),
)
role = _table(
    "role",
    id_column("organization_id"),
    _text("code", 64),
    _text("name"),
    _text("description", 500),
    _time("created_at"),
    sa.UniqueConstraint("organization_id", "code"),
)
permission = _table("permission", _text("code", 64), _text("description", 500), sa.UniqueConstraint("code"))
role_permission = _table(
    "role_permission",
    id_column("role_id"),
    id_column("permission_id"),
    sa.UniqueConstraint("role_id", "permission_id"),
)
membership_role = _table(
    "membership_role",
    id_column("membership_id"),
    id_column("role_id"),
    sa.UniqueConstraint("membership_id", "role_id"),
    sa.Index("ix_membership_role_role", "role_id"),
)
session = _table(
    "session",
    id_column("organization_id"),
    id_column("user_id"),
    id_column("membership_id"),
    # of the newest refresh token; see refresh_token
    _number("generation"),
    _time("created_at"),
    _time("expires_at"),
    _time("ended_at", nullable=True),
    _text("end_reason", 40, nullable=True),
    sa.Index("ix_session_user", "user_id"),
    sa.Index("ix_session_expires", "expires_at"),
)
# every refresh token a session ever had: an old one that comes back tells that somebody copied it
refresh_token = _table(
    "refresh_token",
    id_column("session_id"),
    _text("token_hash", 64),
    _number("generation"),
    _time("created_at"),
    _time("replaced_at", nullable=True),
    sa.UniqueConstraint("token_hash"),
    sa.Index("ix_refresh_token_session", "session_id"),
)
api_token = _table(
    "api_token",
    id_column("organization_id"),
    id_column("user_id"),
    id_column("membership_id"),
    _text("name"),
    _text("token_hash", 64),
    sa.Column("permissions", Json, nullable=False),
    _time("created_at"),
    _time("expires_at"),
    _time("revoked_at", nullable=True),
    sa.UniqueConstraint("token_hash"),
    sa.Index("ix_api_token_user", "user_id", "api_token_id"),
)
audit_log = _table(
    "audit_log",
    # empty where nobody's organisation is known: a failed log-in with an unknown address
    id_column("organization_id"),
    id_column("actor_user_id"),
    _text("action", 64),
    _text("resource_type", 64),
    id_column("resource_id"),
    sa.Column("detail", Json, nullable=False),
    _text("trace_id", 32),
    _time("at"),
    sa.Index("ix_audit_log_organization", "organization_id", "audit_log_id"),
)
login_attempt = _table(
    "login_attempt",
    # a hash: what was typed may be a password in the wrong field
    _text("address_hash", 64),
    _time("at"),
    sa.Index("ix_login_attempt_address", "address_hash", "at"),
    sa.Index("ix_login_attempt_at", "at"),
)
signing_key = _table(
    "signing_key",
    sa.Column("public_jwk", Json, nullable=False),
    # AES-GCM, see vault.py
    _text("private_key", 1000),
    _time("created_at"),
)
idempotency_key = idempotency_table(metadata)
