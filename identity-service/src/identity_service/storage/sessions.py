"""Sessions, the refresh tokens they ever had, and log-ins that failed."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from identity_service.domain import Credentials, Grant, UserState
from identity_service.storage.tables import api_token, login_attempt, membership, refresh_token, session, user
from kit.ids import new_id


def insert_session(
    connection: sa.Connection,
    who: Credentials,
    *,
    token_hash: str,
    now: datetime,
    expires_at: datetime,
) -> str:
    session_id = new_id()
    connection.execute(
        session.insert().values(
            session_id=session_id,
            organization_id=who.organization_id,
            user_id=who.user_id,
            membership_id=who.membership_id,
            generation=1,
            created_at=now,
            expires_at=expires_at,
        )
    )
    insert_refresh_token(connection, session_id, token_hash=token_hash, generation=1, now=now)
    return session_id


def insert_refresh_token(
    connection: sa.Connection, session_id: str, *, token_hash: str, generation: int, now: datetime
) -> None:
    connection.execute(
        refresh_token.insert().values(
            refresh_token_id=new_id(),
            session_id=session_id,
            token_hash=token_hash,
            generation=generation,
            created_at=now,
        )
    )


def find_refresh_token(connection: sa.Connection, token_hash: str) -> Any:
    """The token's row with its session's (`current` generation, created, expires, ended), locked; None if unknown."""
    found = connection.execute(
        sa.select(refresh_token.c.session_id).where(refresh_token.c.token_hash == token_hash)
    ).scalar()
    if found is None:
        return None
    connection.execute(sa.select(session.c.session_id).where(session.c.session_id == found).with_for_update())
    return connection.execute(
        sa.select(
            refresh_token.c.session_id,
            refresh_token.c.generation,
            refresh_token.c.replaced_at,
            session.c.generation.label("current"),
            session.c.user_id,
            session.c.organization_id,
            session.c.created_at,
            session.c.expires_at,
            session.c.ended_at,
            user.c.state,
        )
        .join(session, session.c.session_id == refresh_token.c.session_id)
        .join(user, user.c.user_id == session.c.user_id)
        .where(refresh_token.c.token_hash == token_hash)
    ).one_or_none()


def rotate(connection: sa.Connection, session_id: str, *, generation: int, now: datetime, expires_at: datetime) -> None:
    """Replaces all refresh tokens of the session that were still good; the caller inserts the next one."""
    connection.execute(
        refresh_token.update()
        .where(refresh_token.c.session_id == session_id, refresh_token.c.replaced_at.is_(None))
        .values(replaced_at=now)
    )
    connection.execute(
        session.update().where(session.c.session_id == session_id).values(generation=generation, expires_at=expires_at)
    )


def end_sessions(
    connection: sa.Connection, which: "sa.ColumnElement[bool]", *, reason: str, now: datetime
) -> list[str]:
    """Ends the living sessions among `which`; their ids."""
    living = sa.and_(which, session.c.ended_at.is_(None))
    ids = list(connection.execute(sa.select(session.c.session_id).where(living)).scalars())
    connection.execute(session.update().where(living).values(ended_at=now, end_reason=reason))
    return ids


def end_session(connection: sa.Connection, session_id: str, *, reason: str, now: datetime) -> list[str]:
    return end_sessions(connection, session.c.session_id == session_id, reason=reason, now=now)


def end_sessions_of(
    connection: sa.Connection, user_id: str, *, keep: str = "", reason: str, now: datetime
) -> list[str]:
    """Ends all of a user's sessions but `keep`."""
    return end_sessions(
        connection, sa.and_(session.c.user_id == user_id, session.c.session_id != keep), reason=reason, now=now
    )


_session_grant = (
    sa.select(session.c.user_id, session.c.organization_id, membership.c.authz, session.c.expires_at)
    .join(membership, membership.c.membership_id == session.c.membership_id)
    .join(user, user.c.user_id == session.c.user_id)
    .where(
        session.c.session_id == sa.bindparam("id"),
        session.c.ended_at.is_(None),
        user.c.state == UserState.ACTIVE,
    )
)
_api_token_grant = (
    sa.select(api_token.c.user_id, api_token.c.organization_id, membership.c.authz, api_token.c.expires_at)
    .join(membership, membership.c.membership_id == api_token.c.membership_id)
    .join(user, user.c.user_id == api_token.c.user_id)
    .where(
        api_token.c.api_token_id == sa.bindparam("id"),
        api_token.c.revoked_at.is_(None),
        user.c.state == UserState.ACTIVE,
    )
)


def session_grant(connection: sa.Connection, session_id: str) -> Grant | None:
    """None when the session ended or its user is suspended; the caller looks at `expires_at`."""
    return _grant(connection, _session_grant, session_id)


def api_token_grant(connection: sa.Connection, api_token_id: str) -> Grant | None:
    """None when the token was revoked or its user is suspended; the caller looks at `expires_at`."""
    return _grant(connection, _api_token_grant, api_token_id)


def _grant(connection: sa.Connection, statement: sa.Select[Any], identifier: str) -> Grant | None:
    row = connection.execute(statement, {"id": identifier}).one_or_none()
    return None if row is None else Grant(row.user_id, row.organization_id, row.authz, row.expires_at)


# --- failed log-ins --------------------------------------------------------------------------------------------------


def recent_failures(connection: sa.Connection, address_hash: str, since: datetime) -> tuple[int, datetime | None]:
    """How often a log-in with this address failed since then, and when lastly."""
    row = connection.execute(
        sa.select(sa.func.count(), sa.func.max(login_attempt.c.at)).where(
            login_attempt.c.address_hash == address_hash, login_attempt.c.at > since
        )
    ).one()
    return row[0], row[1]


def insert_failure(connection: sa.Connection, address_hash: str, now: datetime) -> None:
    connection.execute(login_attempt.insert().values(login_attempt_id=new_id(), address_hash=address_hash, at=now))


def forget_failures(connection: sa.Connection, address_hash: str) -> None:
    connection.execute(login_attempt.delete().where(login_attempt.c.address_hash == address_hash))
