"""API tokens: only their hashes are kept."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from identity_service.domain import ApiToken
from identity_service.storage.tables import api_token
from kit.errors import NotFound


def insert_api_token(connection: sa.Connection, made: ApiToken, *, membership_id: str, token_hash: str) -> None:
    connection.execute(
        api_token.insert().values(
            api_token_id=made.api_token_id,
            organization_id=made.organization_id,
            user_id=made.user_id,
            membership_id=membership_id,
            name=made.name,
            token_hash=token_hash,
            permissions=list(made.permissions),
            created_at=made.created_at,
            expires_at=made.expires_at,
        )
    )


def list_api_tokens(
    connection: sa.Connection, organization_id: str, user_id: str, *, limit: int, before: str | None = None
) -> list[ApiToken]:
    """A user's tokens that are not revoked, newest first."""
    statement = sa.select(api_token).where(
        api_token.c.organization_id == organization_id,
        api_token.c.user_id == user_id,
        api_token.c.revoked_at.is_(None),
    )
    if before is not None:
        statement = statement.where(api_token.c.api_token_id < before)
    rows = connection.execute(statement.order_by(api_token.c.api_token_id.desc()).limit(limit))
    return [_to_api_token(row) for row in rows]


def find_api_token(connection: sa.Connection, organization_id: str, api_token_id: str) -> ApiToken:
    """Raises NotFound, for a revoked one too."""
    row = connection.execute(
        sa.select(api_token).where(
            api_token.c.organization_id == organization_id,
            api_token.c.api_token_id == api_token_id,
            api_token.c.revoked_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        raise NotFound("api_token_not_found")
    return _to_api_token(row)


def api_token_by_hash(connection: sa.Connection, token_hash: str) -> ApiToken | None:
    row = connection.execute(sa.select(api_token).where(api_token.c.token_hash == token_hash)).one_or_none()
    return None if row is None else _to_api_token(row)


def revoke_api_token(connection: sa.Connection, organization_id: str, api_token_id: str, now: datetime) -> None:
    connection.execute(
        api_token.update()
        .where(api_token.c.organization_id == organization_id, api_token.c.api_token_id == api_token_id)
        .values(revoked_at=now)
    )


def _to_api_token(row: Any) -> ApiToken:
    return ApiToken(
        api_token_id=row.api_token_id,
        organization_id=row.organization_id,
        user_id=row.user_id,
        name=row.name,
        permissions=tuple(row.permissions),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
