"""Logging in and staying logged in. Every refresh replaces the refresh token; one that comes back ends the session.

An answer to a log-in tells nothing but whether it worked: not which part was wrong, nor (by its time) whether the
address is known.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from identity_service import passwords, storage
from identity_service.app import Identity
from identity_service.domain import (
    API_SESSION_PREFIX,
    API_TOKEN_PREFIX,
    LOCK_WINDOW,
    Grant,
    Member,
    UserState,
    locked_until,
    normal_email,
)
from identity_service.settings import IdentitySettings
from identity_service.tokens import hash_token, new_refresh_token
from kit.auth import Caller
from kit.errors import Forbidden, Limited, NotFound, Unauthenticated

log = structlog.get_logger()

_EXCHANGED_LIFE_S = 90
_EXCHANGED_LEFT_S = 30
_EXCHANGED_SIZE = 2_000


@dataclass(frozen=True)
class LoggedIn:
    """An access token for the body and a refresh token for the cookie."""

    access_token: str
    expires_in: int
    refresh_token: str
    cookie_s: int
    must_change_password: bool


# --- in and out -----------------------------------------------------------------------------------------------------


def log_in(identity: Identity, email: str, password: str) -> LoggedIn:
    """Raises Unauthenticated for any wrong pair, Limited (with `retry_after`) while the address is locked."""
    email, now = normal_email(email), identity.clock()
    address = hash_token(email)
    with identity.database.read() as connection:
        refuse_locked(connection, address, now)
        found = storage.credentials(connection, email)
    matches = passwords.verify_password(password, found.password_hash if found else None)
    if found is None or not matches or found.state is not UserState.ACTIVE:
        organization_id, user_id = (found.organization_id, found.user_id) if found else ("", "")
        _note_failure(identity, address, organization_id, user_id)
        raise Unauthenticated("credentials_invalid")
    refresh_token = new_refresh_token()
    expires_at = _expiry(identity, now, now)

    def work(connection: sa.Connection) -> tuple[str, Member]:
        storage.forget_failures(connection, address)
        session_id = storage.insert_session(
            connection, found, token_hash=hash_token(refresh_token), now=now, expires_at=expires_at
        )
        identity.audit(connection, found.organization_id, found.user_id, "session.started", ("session", session_id))
        return session_id, storage.member(connection, found.organization_id, found.user_id)

    session_id, member = identity.database.transact(work)
    return _logged_in(identity, member, session_id, refresh_token, expires_at, now)


def refuse_locked(connection: sa.Connection, address: str, now: datetime) -> None:
    """Raises Limited while too many log-ins with this address failed."""
    failures, last = storage.recent_failures(connection, address, now - LOCK_WINDOW)
    until = locked_until(failures, last) if last is not None else None
    if until is not None and until > now:
        raise Limited("login_locked", retry_after=max(1, math.ceil((until - now).total_seconds())))


def _note_failure(identity: Identity, address: str, organization_id: str, user_id: str) -> None:
    # the same two rows for a known and an unknown address: the time tells nothing
    def work(connection: sa.Connection) -> None:
        storage.insert_failure(connection, address, identity.clock())
        identity.audit(connection, organization_id, "", "session.refused", ("user", user_id))

    identity.database.transact(work)


def _expiry(identity: Identity, created_at: datetime, now: datetime) -> datetime:
    settings = identity.settings
    return min(now + timedelta(seconds=settings.session_idle_s), created_at + timedelta(seconds=settings.session_max_s))


def _logged_in(
    identity: Identity, member: Member, session_id: str, refresh_token: str, expires_at: datetime, now: datetime
) -> LoggedIn:
    life_s = identity.settings.access_token_s
    token = identity.signer.sign(
        user_id=member.user_id,
        organization_id=member.organization_id,
        session_id=session_id,
        permissions=member.usable_permissions,
        authz=member.authz,
        life_s=life_s,
    )
    cookie_s = int((expires_at - now).total_seconds())
    return LoggedIn(token, life_s, refresh_token, cookie_s, member.must_change_password)


def refresh(identity: Identity, token: str) -> LoggedIn:
    """The next pair of tokens for a refresh token.

    The one before the current one is good for `refresh_grace_s` more: two tabs may refresh at once, an answer may get
    lost. An older one can only be a copy: the session ends. Raises Unauthenticated.
    """
    fresh, now = new_refresh_token(), identity.clock()

    def work(connection: sa.Connection) -> tuple[Any, Member | None, datetime]:
        row = storage.find_refresh_token(connection, hash_token(token))
        if row is None or row.ended_at is not None or row.expires_at <= now or row.state != UserState.ACTIVE:
            return None, None, now
        if row.replaced_at is None:
            generation = row.current + 1
            expires_at = _expiry(identity, row.created_at, now)
            storage.rotate(connection, row.session_id, generation=generation, now=now, expires_at=expires_at)
        elif _within_grace(identity, row, now):
            generation, expires_at = row.current, row.expires_at
        else:
            storage.end_session(connection, row.session_id, reason="reused", now=now)
            identity.audit(
                connection, row.organization_id, row.user_id, "session.reuse_detected", ("session", row.session_id)
            )
            return row, None, now
        storage.insert_refresh_token(
            connection, row.session_id, token_hash=hash_token(fresh), generation=generation, now=now
        )
        identity.audit(connection, row.organization_id, row.user_id, "session.refreshed", ("session", row.session_id))
        try:
            return row, storage.member(connection, row.organization_id, row.user_id), expires_at
        except NotFound as error:
            # no member any more: what this transaction wrote is rolled back
            raise Unauthenticated("refresh_invalid") from error

    row, member, expires_at = identity.database.transact(work)
    if member is None:
        if row is not None:
            identity.live.forget()
            log.warning("refresh_reused", session_id=row.session_id, user_id=row.user_id)
        raise Unauthenticated("refresh_invalid")
    return _logged_in(identity, member, row.session_id, fresh, expires_at, now)


def _within_grace(identity: Identity, row: Any, now: datetime) -> bool:
    grace = timedelta(seconds=identity.settings.refresh_grace_s)
    return bool(row.generation == row.current - 1 and now - row.replaced_at < grace)


def log_out(identity: Identity, caller: Caller) -> None:
    """Ends the caller's session. Raises Forbidden for an API token: it has none."""
    require_session(caller)

    def work(connection: sa.Connection) -> None:
        ended = storage.end_session(connection, caller.session_id, reason="logout", now=identity.clock())
        for session_id in ended:
            identity.audit(connection, caller.organization_id, caller.user_id, "session.ended", ("session", session_id))

    identity.database.transact(work)
    identity.live.forget()


def require_session(caller: Caller) -> None:
    """Raises Forbidden unless a person is logged in: an API token must not make or change credentials."""
    if caller.session_id.startswith(API_SESSION_PREFIX):
        raise Forbidden("session_required")


# --- is it still good? ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Admitted:
    """Who passes the gateway, and the access token that services get to see."""

    user_id: str
    access_token: str


@dataclass(frozen=True)
class _Exchange:
    api_token_id: str
    authz: int
    expires_at: float
    admitted: Admitted


def check_session(identity: Identity, session_id: str, authz: int) -> Grant:
    """What the session (or API token behind `fwt-…`) stands for, read now.

    Raises Unauthenticated when it ended, or when the grants changed after a token with `authz` was made.
    """
    grant = identity.live.load(session_id, lambda: _read_grant(identity, session_id))
    return _require_current(identity, grant, authz)


def is_current(identity: Identity, session_id: str, authz: int) -> bool:
    """Whether `check_session` lets it pass."""
    try:
        check_session(identity, session_id, authz)
    except Unauthenticated:
        return False
    return True


def _read_grant(identity: Identity, session_id: str) -> Grant | None:
    with identity.database.read() as connection:
        if session_id.startswith(API_SESSION_PREFIX):
            return storage.api_token_grant(connection, session_id.removeprefix(API_SESSION_PREFIX))
        return storage.session_grant(connection, session_id)


def _require_current(identity: Identity, grant: Grant | None, authz: int) -> Grant:
    if grant is None or grant.expires_at <= identity.clock() or authz < grant.authz:
        raise Unauthenticated("token_invalid")
    return grant


def admit_at_once(identity: Identity, token: str) -> Admitted | None:
    """Who carries `token`, if that is known without I/O; None when `admit` has to be asked. Raises Unauthenticated."""
    if token.startswith(API_TOKEN_PREFIX):
        exchange: _Exchange | None = identity.exchanged.get(hash_token(token))
        if exchange is None or exchange.expires_at - identity.clock().timestamp() < _EXCHANGED_LEFT_S:
            return None
        known, grant = identity.live.recent(API_SESSION_PREFIX + exchange.api_token_id)
        if not known or (grant is not None and grant.authz != exchange.authz):
            return None
        _require_current(identity, grant, exchange.authz)
        return exchange.admitted
    if not identity.verifier.known(token):
        return None
    caller = identity.verifier.verify(token)
    known, grant = identity.live.recent(caller.session_id)
    if not known:
        return None
    _require_current(identity, grant, caller.authz)
    return Admitted(caller.user_id, token)


def longest_token_life(settings: IdentitySettings) -> timedelta:
    """After this long, whatever was signed has expired."""
    return timedelta(seconds=max(settings.access_token_s, _EXCHANGED_LIFE_S))


def admit(identity: Identity, token: str) -> Admitted:
    """Who carries `token`, an access or an API token; an API token is exchanged. Raises Unauthenticated."""
    if token.startswith(API_TOKEN_PREFIX):
        return _exchange(identity, token)
    caller = identity.verifier.verify(token)
    check_session(identity, caller.session_id, caller.authz)
    return Admitted(caller.user_id, token)


def resolve_api_token(identity: Identity, token: str) -> tuple[str, Member, frozenset[str]]:
    """(api token id, its owner, what it allows now: never more than its owner may). Raises Unauthenticated."""
    with identity.database.read() as connection:
        found = storage.api_token_by_hash(connection, hash_token(token))
        if found is None or found.revoked_at is not None or found.expires_at <= identity.clock():
            raise Unauthenticated("token_invalid")
        member = storage.member(connection, found.organization_id, found.user_id)
    if member.state is not UserState.ACTIVE:
        raise Unauthenticated("token_invalid")
    return found.api_token_id, member, member.usable_permissions & frozenset(found.permissions)


def _exchange(identity: Identity, token: str) -> Admitted:
    api_token_id, member, allowed = resolve_api_token(identity, token)
    session_id = API_SESSION_PREFIX + api_token_id
    check_session(identity, session_id, member.authz)
    access_token = identity.signer.sign(
        user_id=member.user_id,
        organization_id=member.organization_id,
        session_id=session_id,
        permissions=allowed,
        authz=member.authz,
        life_s=_EXCHANGED_LIFE_S,
    )
    admitted = Admitted(member.user_id, access_token)
    if len(identity.exchanged) >= _EXCHANGED_SIZE:
        identity.exchanged.clear()
    expires_at = identity.clock().timestamp() + _EXCHANGED_LIFE_S
    identity.exchanged[hash_token(token)] = _Exchange(api_token_id, member.authz, expires_at, admitted)
    return admitted
