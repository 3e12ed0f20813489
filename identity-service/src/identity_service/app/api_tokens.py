"""API tokens stand for their owner in a program: never more than the owner may, shown once, revocable at any time."""

from datetime import timedelta

import sqlalchemy as sa

from identity_service import storage
from identity_service.app import Identity, sessions
from identity_service.app.members import ADMINISTER
from identity_service.domain import ApiToken
from identity_service.tokens import hash_token, new_api_token
from kit.auth import Caller
from kit.database import once
from kit.errors import Forbidden, Invalid, NotFound
from kit.ids import new_id


def create(
    identity: Identity, caller: Caller, *, name: str, permissions: list[str], days: int, key: str | None = None
) -> tuple[ApiToken, str | None]:
    """The token's record and its text, which is None when a repeated `key` finds the one made before.

    Raises Forbidden for an API token or a permission the caller lacks, Invalid for one that does not exist.
    """
    sessions.require_session(caller)
    text, now = new_api_token(), identity.clock()
    made = False

    def work(connection: sa.Connection) -> ApiToken:
        nonlocal made
        made = False
        member = storage.member(connection, caller.organization_id, caller.user_id)
        _require_held(connection, caller, permissions)

        def make() -> str:
            nonlocal made
            made = True
            token = ApiToken(
                api_token_id=new_id(),
                organization_id=caller.organization_id,
                user_id=caller.user_id,
                name=name,
                permissions=tuple(sorted(set(permissions))),
                created_at=now,
                expires_at=now + timedelta(days=days),
                revoked_at=None,
            )
            storage.insert_api_token(connection, token, membership_id=member.membership_id, token_hash=hash_token(text))
            detail = {"name": name, "permissions": list(token.permissions), "days": days}
            resource = ("api_token", token.api_token_id)
            identity.audit(connection, caller.organization_id, caller.user_id, "api_token.created", resource, detail)
            return token.api_token_id

        found = once(
            connection,
            storage.idempotency_key,
            organization_id=caller.organization_id,
            operation=f"api_token {caller.user_id}",
            key=key,
            body=[name, sorted(set(permissions)), days],
            make=make,
        )
        return storage.find_api_token(connection, caller.organization_id, found)

    token = identity.database.transact(work)
    return token, text if made else None


def _require_held(connection: sa.Connection, caller: Caller, permissions: list[str]) -> None:
    known = {code for _, code, _ in storage.permissions(connection)}
    for number, code in enumerate(permissions):
        if code not in known:
            raise Invalid.field(f"body.permissions[{number}]", "unknown_permission", value=code)
        if code not in caller.permissions:
            raise Forbidden("forbidden", permission=code)


def find(identity: Identity, caller: Caller, api_token_id: str) -> ApiToken:
    """One's own token, or for an administrator anybody's. Raises NotFound."""
    with identity.database.read() as connection:
        return _visible(connection, caller, api_token_id)


def _visible(connection: sa.Connection, caller: Caller, api_token_id: str) -> ApiToken:
    token = storage.find_api_token(connection, caller.organization_id, api_token_id)
    if token.user_id != caller.user_id and ADMINISTER not in caller.permissions:
        raise NotFound("api_token_not_found")
    return token


def revoke(identity: Identity, caller: Caller, api_token_id: str) -> None:
    """Ends one's own token, or as an administrator anybody's. Raises NotFound."""

    def work(connection: sa.Connection) -> None:
        _visible(connection, caller, api_token_id)
        storage.revoke_api_token(connection, caller.organization_id, api_token_id, identity.clock())
        resource = ("api_token", api_token_id)
        identity.audit(connection, caller.organization_id, caller.user_id, "api_token.revoked", resource)

    identity.database.transact(work)
    identity.live.forget()
