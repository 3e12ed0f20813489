"""`/v0/auth`: in, out, and staying in. Refresh tokens travel only in a cookie that scripts cannot read."""

from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request, Response

from identity_service.app import Identity, members, sessions
from identity_service.rest.shapes import (
    Anyone,
    Context,
    GrantsView,
    LoginBody,
    RegisterBody,
    RegisteredView,
    SessionView,
    TokenView,
    hashing,
    user_view,
)
from kit.auth import Caller, permit
from kit.errors import Unauthenticated
from kit.http import IdempotencyKey, StrictRoute, problem

router = APIRouter(prefix="/v0", route_class=StrictRoute)
COOKIE = "fw_refresh"
COOKIE_PATH = "/v0/auth"


def _token_view(identity: Identity, done: sessions.LoggedIn, response: Response) -> TokenView:
    response.headers["Cache-Control"] = "no-store"
    response.set_cookie(
        COOKIE,
        done.refresh_token,
        max_age=done.cookie_s,
        path=COOKIE_PATH,
        secure=identity.settings.cookie_secure,
        httponly=True,
        samesite="strict",
    )
    return TokenView(
        access_token=done.access_token, expires_in=done.expires_in, must_change_password=done.must_change_password
    )


def _drop_cookie(identity: Identity, response: Response) -> None:
    response.delete_cookie(
        COOKIE, path=COOKIE_PATH, secure=identity.settings.cookie_secure, httponly=True, samesite="strict"
    )


@router.post("/auth/login")
async def log_in(body: LoginBody, identity: Context, request: Request, response: Response) -> TokenView:
    done = await hashing(request, lambda: sessions.log_in(identity, body.email, body.password))
    return _token_view(identity, done, response)


@router.post("/auth/refresh", response_model=TokenView)
def refresh(identity: Context, request: Request, response: Response) -> TokenView | Response:
    """Takes no body: the refresh token is the cookie."""
    token = request.cookies.get(COOKIE)
    if not token:
        raise Unauthenticated("unauthenticated")
    try:
        return _token_view(identity, sessions.refresh(identity, token), response)
    except Unauthenticated as error:
        refused = problem(error.http, error.code)
        _drop_cookie(identity, refused)
        return refused


@router.post("/auth/logout", status_code=204)
def log_out(who: Anyone, identity: Context, response: Response) -> None:
    sessions.log_out(identity, who)
    _drop_cookie(identity, response)


@router.get("/auth/check-session")
def check_session(who: Anyone, identity: Context) -> SessionView:
    grant = sessions.check_session(identity, who.session_id, who.authz)
    return SessionView(
        active=True,
        user_id=grant.user_id,
        organization_id=grant.organization_id,
        session_id=who.session_id,
        expires_at=grant.expires_at,
    )


@router.get("/auth/permissions")
def grants(who: Anyone, identity: Context) -> GrantsView:
    """What the caller's token allows; roles are the user's own."""
    member = members.find(identity, who.organization_id, who.user_id)
    return GrantsView(
        user_id=who.user_id,
        organization_id=who.organization_id,
        roles=[role.code for role in member.roles],
        permissions=sorted(who.permissions),
        must_change_password=member.must_change_password,
    )


@router.post("/auth/register", status_code=201)
async def register(
    body: RegisterBody,
    who: Annotated[Caller, permit("user:write")],
    identity: Context,
    request: Request,
    response: Response,
    key: IdempotencyKey = None,
) -> RegisteredView:
    """Department, position and roles by id or by name (roles: code)."""
    new = members.NewMember(body.name, body.email, body.department, body.position, tuple(body.roles))
    prepared = await hashing(request, members.prepare_password)
    member, mailed = await anyio.to_thread.run_sync(
        lambda: members.register(identity, who, body.organization or who.organization_id, new, prepared, key=key)
    )
    response.headers["Location"] = f"/v0/users/{member.user_id}"
    return RegisteredView(**user_view(member).model_dump(), mailed=mailed)
