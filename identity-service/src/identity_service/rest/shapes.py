"""What people send and get, and how our own types become that; what all routes stand on."""

import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, Query, Request
from pydantic import AfterValidator, BaseModel, Field, PlainSerializer, StringConstraints
from pydantic_core import PydanticCustomError

from identity_service.app import Identity
from identity_service.domain import (
    PASSWORD_MAX,
    ApiToken,
    AuditEntry,
    Member,
    Named,
    Role,
    UserState,
    is_email,
    normal_email,
)
from kit.auth import Caller, caller
from kit.database import decode_cursor, encode_cursor
from kit.errors import Limited
from kit.http import Body

T = TypeVar("T")


def _printable(text: str) -> str:
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise PydanticCustomError("text_unprintable", "control characters")
    return text


def _email(text: str) -> str:
    normal = normal_email(text)
    if not is_email(normal):
        raise PydanticCustomError("email_invalid", "not an e-mail address")
    return normal


Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(_printable)
]
Email = Annotated[str, StringConstraints(max_length=320), AfterValidator(_email)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=PASSWORD_MAX)]
Roles = Annotated[list[Reference], Field(min_length=1, max_length=20)]
Time = Annotated[
    datetime,
    PlainSerializer(
        lambda at: at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), return_type=str
    ),
]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=500)]
Anyone = Annotated[Caller, Depends(caller)]


class LoginBody(Body):
    email: Annotated[str, StringConstraints(min_length=1, max_length=320)]
    password: Password


class TokenView(BaseModel):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105
    expires_in: int
    must_change_password: bool


class SessionView(BaseModel):
    active: bool
    user_id: str
    organization_id: str
    session_id: str
    expires_at: Time


class GrantsView(BaseModel):
    user_id: str
    organization_id: str
    roles: list[str]
    permissions: list[str]
    must_change_password: bool


class DepartmentView(BaseModel):
    department_id: str
    name: str


class PositionView(BaseModel):
    position_id: str
    name: str


class RoleView(BaseModel):
    role_id: str
    code: str
    name: str
    description: str
    permissions: list[str]


class UserView(BaseModel):
    user_id: str
    organization_id: str
    email: str
    name: str
    state: UserState
    department: DepartmentView | None
    position: PositionView | None
    roles: list[str]
    must_change_password: bool
    version: int
    created_at: Time


class RegisterBody(Body):
    name: Name
    email: Email
    organization: Reference | None = None
    department: Reference | None = None
    position: Reference | None = None
    roles: Roles


class RegisteredView(UserView):
    mailed: bool


class ChangeSelfBody(Body):
    name: Name | None = None
    current_password: Password | None = None
    # its length is checked where the rule is: a short one is not a malformed one
    new_password: Annotated[str, StringConstraints(max_length=1024)] | None = None


class ChangeUserBody(Body):
    name: Name | None = None
    # pydantic's strict mode wants the enum itself, JSON has its text
    state: Annotated[UserState, Field(strict=False)] | None = None
    department: Reference | None = None
    position: Reference | None = None
    roles: Roles | None = None


class EmailBody(Body):
    email: Email


class AvailableView(BaseModel):
    available: bool


class MailedView(BaseModel):
    mailed: bool


class OrganizationView(BaseModel):
    organization_id: str
    name: str


class OptionsView(BaseModel):
    departments: list[DepartmentView]
    positions: list[PositionView]
    roles: list[RoleView]


class PermissionView(BaseModel):
    permission_id: str
    code: str
    description: str


class AuditView(BaseModel):
    audit_log_id: str
    at: Time
    user_id: str | None
    action: str
    resource_type: str
    resource_id: str
    detail: dict[str, Any]
    trace_id: str


class ApiTokenBody(Body):
    name: Name
    permissions: Annotated[list[Reference], Field(min_length=1, max_length=100)]
    expires_in_days: Annotated[int, Field(ge=1, le=365)] = 90


class ApiTokenView(BaseModel):
    api_token_id: str
    user_id: str
    name: str
    permissions: list[str]
    created_at: Time
    expires_at: Time


class CreatedApiTokenView(ApiTokenView):
    # only ever in the answer that made it
    token: str | None


class Users(BaseModel):
    items: list[UserView]
    next_cursor: str | None


class Organizations(BaseModel):
    items: list[OrganizationView]
    next_cursor: str | None


class RoleList(BaseModel):
    items: list[RoleView]
    next_cursor: str | None


class PermissionList(BaseModel):
    items: list[PermissionView]
    next_cursor: str | None


class AuditLog(BaseModel):
    items: list[AuditView]
    next_cursor: str | None


class ApiTokens(BaseModel):
    items: list[ApiTokenView]
    next_cursor: str | None


def department_view(item: Named) -> DepartmentView:
    return DepartmentView(department_id=item.id, name=item.name)


def position_view(item: Named) -> PositionView:
    return PositionView(position_id=item.id, name=item.name)


def role_view(role: Role) -> RoleView:
    return RoleView(
        role_id=role.role_id,
        code=role.code,
        name=role.name,
        description=role.description,
        permissions=list(role.permissions),
    )


def user_view(member: Member) -> UserView:
    return UserView(
        user_id=member.user_id,
        organization_id=member.organization_id,
        email=member.email,
        name=member.name,
        state=member.state,
        department=department_view(member.department) if member.department else None,
        position=position_view(member.position) if member.position else None,
        roles=[role.code for role in member.roles],
        must_change_password=member.must_change_password,
        version=member.version,
        created_at=member.created_at,
    )


def audit_view(entry: AuditEntry) -> AuditView:
    return AuditView(
        audit_log_id=entry.audit_log_id,
        at=entry.at,
        user_id=entry.actor_user_id or None,
        action=entry.action,
        resource_type=entry.resource_type,
        resource_id=entry.resource_id,
        detail=entry.detail,
        trace_id=entry.trace_id,
    )


def api_token_view(token: ApiToken) -> ApiTokenView:
    return ApiTokenView(
        api_token_id=token.api_token_id,
        user_id=token.user_id,
        name=token.name,
        permissions=list(token.permissions),
        created_at=token.created_at,
        expires_at=token.expires_at,
    )


def before_of(cursor: str | None) -> str | None:
    return None if cursor is None else str(decode_cursor(cursor, str)[0])


def page_of(rows: Sequence[T], limit: int, key: Callable[[T], str]) -> tuple[list[T], str | None]:
    """The first `limit` of `limit` + 1 rows, and where the next page begins."""
    page = list(rows[:limit])
    return page, encode_cursor(key(page[-1])) if len(rows) > limit else None


# --- what routes stand on ---------------------------------------------------------------------------------------------


async def find_identity(request: Request) -> Identity:
    found: Identity = request.app.state.identity
    return found


Context = Annotated[Identity, Depends(find_identity)]


# argon2 takes 19 MiB and a core each: two at a time, and who would wait for more than a few seconds is told so
HASHING = 2
HASHING_QUEUE = 64


async def hashing(request: Request, work: Callable[[], T]) -> T:
    """Runs what hashes a password: few at once, and never in the threads that other requests need."""
    limiter: anyio.CapacityLimiter = request.app.state.hashing
    if limiter.statistics().tasks_waiting >= HASHING_QUEUE:
        raise Limited("login_busy", retry_after=2)
    return await anyio.to_thread.run_sync(work, limiter=limiter)
