"""`/v0/users`: oneself and, for an administrator, the members of the organisation."""

from functools import partial
from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query, Request, Response

from identity_service import storage
from identity_service.app import members
from identity_service.domain import Member
from identity_service.rest.shapes import (
    Anyone,
    AvailableView,
    ChangeSelfBody,
    ChangeUserBody,
    Context,
    Cursor,
    EmailBody,
    Limit,
    MailedView,
    Users,
    UserView,
    before_of,
    hashing,
    page_of,
    user_view,
)
from kit.auth import Caller, permit
from kit.http import IfMatch, StrictRoute, version_of

router = APIRouter(prefix="/v0", route_class=StrictRoute)


def _with_etag(member: Member, response: Response) -> UserView:
    response.headers["ETag"] = f'"{member.version}"'
    return user_view(member)


@router.get("/users/me")
def me(who: Anyone, identity: Context, response: Response) -> UserView:
    return _with_etag(members.find(identity, who.organization_id, who.user_id), response)


@router.patch("/users/me")
async def change_me(
    body: ChangeSelfBody,
    who: Anyone,
    identity: Context,
    request: Request,
    response: Response,
    if_match: IfMatch = None,
) -> UserView:
    """A new password needs the current one. After a mailed password was replaced, refresh to get a token that works."""
    change = partial(
        members.change_self,
        identity,
        who,
        name=body.name,
        current_password=body.current_password,
        new_password=body.new_password,
        if_version=version_of(if_match),
    )
    hashes = body.new_password is not None
    member = await (hashing(request, change) if hashes else anyio.to_thread.run_sync(change))
    return _with_etag(member, response)


@router.post("/users/check-email")
def check_email(body: EmailBody, who: Annotated[Caller, permit("user:write")], identity: Context) -> AvailableView:
    return AvailableView(available=members.email_available(identity, body.email))


@router.get("/users")
def list_users(
    who: Annotated[Caller, permit("user:read")],
    identity: Context,
    limit: Limit = 50,
    cursor: Cursor = None,
    text: Annotated[str | None, Query(max_length=100)] = None,
) -> Users:
    """`text` is part of a name or an address."""
    with identity.database.read() as connection:
        rows = storage.list_members(
            connection, who.organization_id, limit=limit + 1, before=before_of(cursor), text=text
        )
    page, after = page_of(rows, limit, lambda member: member.user_id)
    return Users(items=[user_view(member) for member in page], next_cursor=after)


@router.get("/users/{user_id}")
def read_user(
    user_id: str, who: Annotated[Caller, permit("user:read")], identity: Context, response: Response
) -> UserView:
    return _with_etag(members.find(identity, who.organization_id, user_id), response)


@router.patch("/users/{user_id}")
def change_user(
    user_id: str,
    body: ChangeUserBody,
    who: Annotated[Caller, permit("user:write")],
    identity: Context,
    response: Response,
    if_match: IfMatch = None,
) -> UserView:
    """Suspends, brings back, moves, or gives other roles (which then replace all former ones)."""
    change = members.MemberChange(
        name=body.name,
        state=body.state,
        department=body.department,
        position=body.position,
        roles=None if body.roles is None else tuple(body.roles),
    )
    member = members.change_member(identity, who, user_id, change, if_version=version_of(if_match))
    return _with_etag(member, response)


@router.post("/users/{user_id}/initial-password")
async def mail_initial_password(
    user_id: str, who: Annotated[Caller, permit("user:write")], identity: Context, request: Request
) -> MailedView:
    """Mails the user a new password that they must change; their sessions end."""
    prepared = await hashing(request, members.prepare_password)
    return MailedView(
        mailed=await anyio.to_thread.run_sync(lambda: members.mail_initial_password(identity, who, user_id, prepared))
    )
