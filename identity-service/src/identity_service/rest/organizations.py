"""`/v0/organizations`, `/v0/roles`, `/v0/permissions` and `/v0/audit-log`: what an organisation consists of."""

from typing import Annotated

from fastapi import APIRouter, Query

from identity_service import storage
from identity_service.app import members
from identity_service.rest.shapes import (
    Anyone,
    AuditLog,
    Context,
    Cursor,
    Limit,
    OptionsView,
    Organizations,
    OrganizationView,
    PermissionList,
    PermissionView,
    RoleList,
    audit_view,
    before_of,
    department_view,
    page_of,
    position_view,
    role_view,
)
from kit.auth import Caller, permit
from kit.http import StrictRoute

router = APIRouter(prefix="/v0", route_class=StrictRoute)


@router.get("/organizations")
def list_organizations(who: Anyone, identity: Context, limit: Limit = 50, cursor: Cursor = None) -> Organizations:
    """The caller's own: there is never a second page."""
    before_of(cursor)
    with identity.database.read() as connection:
        name = storage.organization_name(connection, who.organization_id)
    items = [] if cursor else [OrganizationView(organization_id=who.organization_id, name=name)]
    return Organizations(items=items, next_cursor=None)


@router.get("/organizations/{organization_id}/options")
def read_options(organization_id: str, who: Annotated[Caller, permit("user:read")], identity: Context) -> OptionsView:
    found = members.options(identity, who, organization_id)
    return OptionsView(
        departments=[department_view(item) for item in found.departments],
        positions=[position_view(item) for item in found.positions],
        roles=[role_view(role) for role in found.roles],
    )


@router.get("/roles")
def list_roles(
    who: Annotated[Caller, permit("role:read")], identity: Context, limit: Limit = 50, cursor: Cursor = None
) -> RoleList:
    before = before_of(cursor)
    with identity.database.read() as connection:
        rows = storage.roles(connection, who.organization_id)
    newest = sorted(
        (row for row in rows if before is None or row.role_id < before), key=lambda row: row.role_id, reverse=True
    )
    page, after = page_of(newest, limit, lambda role: role.role_id)
    return RoleList(items=[role_view(role) for role in page], next_cursor=after)


@router.get("/permissions")
def list_permissions(
    who: Annotated[Caller, permit("role:read")], identity: Context, limit: Limit = 50, cursor: Cursor = None
) -> PermissionList:
    before = before_of(cursor)
    with identity.database.read() as connection:
        rows = storage.permissions(connection)
    newest = sorted((row for row in rows if before is None or row[0] < before), reverse=True)
    page, after = page_of(newest, limit, lambda row: row[0])
    return PermissionList(
        items=[PermissionView(permission_id=key, code=code, description=text) for key, code, text in page],
        next_cursor=after,
    )


@router.get("/audit-log")
def list_audit_log(
    who: Annotated[Caller, permit("user:write")],
    identity: Context,
    limit: Limit = 50,
    cursor: Cursor = None,
    action: Annotated[str | None, Query(max_length=64)] = None,
    user_id: Annotated[str | None, Query(max_length=64)] = None,
) -> AuditLog:
    """Who did what, newest first; perhaps only one action, or one user's doings."""
    with identity.database.read() as connection:
        rows = storage.list_audit(
            connection, who.organization_id, limit=limit + 1, before=before_of(cursor), action=action, user_id=user_id
        )
    page, after = page_of(rows, limit, lambda entry: entry.audit_log_id)
    return AuditLog(items=[audit_view(entry) for entry in page], next_cursor=after)
