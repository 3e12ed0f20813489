"""The audit log, signing keys, and what is deleted when nobody needs it any more."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from identity_service.domain import AuditEntry, SigningKey
from identity_service.storage.tables import (
    audit_log,
    idempotency_key,
    login_attempt,
    refresh_token,
    session,
    signing_key,
)


def insert_audit(connection: sa.Connection, entry: AuditEntry) -> None:
    connection.execute(
        audit_log.insert().values(
            audit_log_id=entry.audit_log_id,
            organization_id=entry.organization_id,
            actor_user_id=entry.actor_user_id,
            action=entry.action,
            resource_type=entry.resource_type,
            resource_id=entry.resource_id,
            detail=entry.detail,
            trace_id=entry.trace_id,
            at=entry.at,
        )
    )


def list_audit(
    connection: sa.Connection,
    organization_id: str,
    *,
    limit: int,
    before: str | None = None,
    action: str | None = None,
    user_id: str | None = None,
) -> list[AuditEntry]:
    """Newest first, of one organisation, perhaps of one action or by one user."""
    statement = sa.select(audit_log).where(audit_log.c.organization_id == organization_id)
    if before is not None:
        statement = statement.where(audit_log.c.audit_log_id < before)
    if action is not None:
        statement = statement.where(audit_log.c.action == action)
    if user_id is not None:
        statement = statement.where(audit_log.c.actor_user_id == user_id)
    rows = connection.execute(statement.order_by(audit_log.c.audit_log_id.desc()).limit(limit))
    return [AuditEntry(**row._mapping) for row in rows]


# --- signing keys ----------------------------------------------------------------------------------------------------


def insert_signing_key(
    connection: sa.Connection, kid: str, *, public_jwk: Mapping[str, Any], private_key: str, now: datetime
) -> None:
    """`private_key` is already encrypted."""
    connection.execute(
        signing_key.insert().values(
            signing_key_id=kid, public_jwk=dict(public_jwk), private_key=private_key, created_at=now
        )
    )


def signing_keys(connection: sa.Connection) -> list[SigningKey]:
    """Newest first."""
    rows = connection.execute(sa.select(signing_key).order_by(signing_key.c.signing_key_id.desc()))
    return [SigningKey(row.signing_key_id, row.public_jwk, row.private_key, row.created_at) for row in rows]


def delete_signing_key(connection: sa.Connection, kid: str) -> bool:
    """Whether it was there."""
    return bool(connection.execute(signing_key.delete().where(signing_key.c.signing_key_id == kid)).rowcount)


# --- keeping the tables small ----------------------------------------------------------------------------------------

SESSIONS_KEPT = timedelta(days=30)
IDEMPOTENCY_KEPT = timedelta(days=7)
_AT_ONCE = 500


def prune(connection: sa.Connection, now: datetime, *, failures_before: datetime) -> int:
    """Deletes a batch of what nobody needs any more; how many rows. Sessions stay a while, for questions."""
    dead = list(
        connection.execute(
            sa.select(session.c.session_id).where(session.c.expires_at < now - SESSIONS_KEPT).limit(_AT_ONCE)
        ).scalars()
    )
    removed = 0
    for statement in (
        refresh_token.delete().where(refresh_token.c.session_id.in_(dead)),
        session.delete().where(session.c.session_id.in_(dead)),
        login_attempt.delete().where(login_attempt.c.at < failures_before),
        idempotency_key.delete().where(idempotency_key.c.created_at < now - IDEMPOTENCY_KEPT),
    ):
        removed += connection.execute(statement).rowcount
    return removed
