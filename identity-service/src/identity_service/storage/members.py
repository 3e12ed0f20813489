"""Members: a user, as one organisation knows them, with their roles."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from identity_service.domain import Credentials, Member, Named, Role, UserState
from identity_service.storage.organizations import to_roles
from identity_service.storage.tables import (
    department,
    membership,
    membership_role,
    organization,
    permission,
    position,
    role,
    role_permission,
    user,
)
from kit.errors import Conflict, NotFound
from kit.ids import new_id

_members = (
    sa.select(
        user.c.user_id,
        user.c.email,
        user.c.name,
        user.c.state,
        user.c.must_change_password,
        user.c.version,
        user.c.created_at,
        membership.c.organization_id,
        membership.c.membership_id,
        membership.c.authz,
        department.c.department_id,
        department.c.name.label("department_name"),
        position.c.position_id,
        position.c.name.label("position_name"),
    )
    .select_from(membership)
    .join(user, user.c.user_id == membership.c.user_id)
    .outerjoin(department, department.c.department_id == membership.c.department_id)
    .outerjoin(position, position.c.position_id == membership.c.position_id)
)


def _to_members(connection: sa.Connection, statement: sa.Select[Any]) -> list[Member]:
    rows = connection.execute(statement).all()
    roles = _roles_of(connection, [row.membership_id for row in rows])
    return [
        Member(
            user_id=row.user_id,
            organization_id=row.organization_id,
            membership_id=row.membership_id,
            email=row.email,
            name=row.name,
            state=UserState(row.state),
            must_change_password=bool(row.must_change_password),
            department=Named(row.department_id, row.department_name) if row.department_id else None,
            position=Named(row.position_id, row.position_name) if row.position_id else None,
            roles=tuple(roles.get(row.membership_id, ())),
            authz=row.authz,
            version=row.version,
            created_at=row.created_at,
        )
        for row in rows
    ]


def _roles_of(connection: sa.Connection, membership_ids: Collection[str]) -> dict[str, list[Role]]:
    if not membership_ids:
        return {}
    held = connection.execute(
        sa.select(membership_role.c.membership_id, membership_role.c.role_id).where(
            membership_role.c.membership_id.in_(membership_ids)
        )
    ).all()
    found = to_roles(connection, role.c.role_id.in_({row.role_id for row in held}))
    return {
        membership_id: [item for item in found if any(row == (membership_id, item.role_id) for row in held)]
        for membership_id in membership_ids
    }


def member(connection: sa.Connection, organization_id: str, user_id: str) -> Member:
    """Raises NotFound for who is no member of this organisation."""
    found = _to_members(
        connection,
        _members.where(membership.c.organization_id == organization_id, membership.c.user_id == user_id),
    )
    if not found:
        raise NotFound("user_not_found")
    return found[0]


def members_by_id(connection: sa.Connection, organization_id: str, user_ids: Collection[str]) -> list[Member]:
    if not user_ids:
        return []
    return _to_members(
        connection,
        _members.where(membership.c.organization_id == organization_id, membership.c.user_id.in_(user_ids)),
    )


def list_members(
    connection: sa.Connection,
    organization_id: str,
    *,
    limit: int,
    before: str | None = None,
    text: str | None = None,
    permission_code: str | None = None,
    active_only: bool = False,
) -> list[Member]:
    """Newest first. `text` is part of a name or address; `permission_code` leaves those whose roles allow it."""
    statement = _members.where(membership.c.organization_id == organization_id)
    if before is not None:
        statement = statement.where(membership.c.user_id < before)
    if text:
        pattern = f"%{text.lower().translate(_LIKE)}%"
        statement = statement.where(
            sa.func.lower(user.c.name).like(pattern, escape="!") | user.c.email.like(pattern, escape="!")
        )
    if permission_code is not None:
        statement = statement.where(membership.c.membership_id.in_(_memberships_with(permission_code)))
    if active_only:
        statement = statement.where(user.c.state == UserState.ACTIVE)
    return _to_members(connection, statement.order_by(membership.c.user_id.desc()).limit(limit))


_LIKE = str.maketrans({"!": "!!", "%": "!%", "_": "!_"})


def _memberships_with(permission_code: str) -> sa.Select[Any]:
    return (
        sa.select(membership_role.c.membership_id)
        .join(role_permission, role_permission.c.role_id == membership_role.c.role_id)
        .join(permission, permission.c.permission_id == role_permission.c.permission_id)
        .where(permission.c.code == permission_code)
    )


def credentials(connection: sa.Connection, email: str) -> Credentials | None:
    """What an address logs in with, in the organisation that it joined first."""
    row = connection.execute(
        sa.select(
            user.c.user_id,
            user.c.password_hash,
            user.c.state,
            membership.c.organization_id,
            membership.c.membership_id,
        )
        .join(membership, membership.c.user_id == user.c.user_id)
        .where(user.c.email == email)
        .order_by(membership.c.membership_id)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return Credentials(row.user_id, row.organization_id, row.membership_id, row.password_hash, UserState(row.state))


def email_exists(connection: sa.Connection, email: str) -> bool:
    return connection.execute(sa.select(user.c.user_id).where(user.c.email == email)).first() is not None


def insert_member(
    connection: sa.Connection,
    organization_id: str,
    *,
    email: str,
    name: str,
    password_hash: str | None,
    must_change_password: bool,
    department_id: str | None,
    position_id: str | None,
    role_ids: Iterable[str],
    now: datetime,
) -> str:
    """The new user's id. Raises Conflict when the address is taken."""
    if email_exists(connection, email):
        raise Conflict("email_taken")
    user_id, membership_id = new_id(), new_id()
    connection.execute(
        user.insert().values(
            user_id=user_id,
            email=email,
            name=name,
            password_hash=password_hash,
            must_change_password=must_change_password,
            state=UserState.ACTIVE,
            version=1,
            created_at=now,
            updated_at=now,
        )
    )
    connection.execute(
        membership.insert().values(
            membership_id=membership_id,
            organization_id=organization_id,
            user_id=user_id,
            department_id=department_id,
            position_id=position_id,
            authz=1,
            created_at=now,
        )
    )
    _insert_member_roles(connection, membership_id, role_ids)
    return user_id


def _insert_member_roles(connection: sa.Connection, membership_id: str, role_ids: Iterable[str]) -> None:
    for role_id in role_ids:
        connection.execute(
            membership_role.insert().values(membership_role_id=new_id(), membership_id=membership_id, role_id=role_id)
        )


def update_user(connection: sa.Connection, user_id: str, now: datetime, **changes: Any) -> None:
    """`changes` are columns of the table; the version grows by one."""
    connection.execute(
        user.update().where(user.c.user_id == user_id).values(updated_at=now, version=user.c.version + 1, **changes)
    )


def update_membership(
    connection: sa.Connection,
    organization_id: str,
    membership_id: str,
    *,
    changes: Mapping[str, Any],
    role_ids: Iterable[str] | None,
    bump_authz: bool,
) -> None:
    """Sets columns and, unless None, the roles; `bump_authz` turns every token out there invalid."""
    values = dict(changes)
    if bump_authz:
        values["authz"] = membership.c.authz + 1
    if values:
        connection.execute(
            membership.update()
            .where(membership.c.organization_id == organization_id, membership.c.membership_id == membership_id)
            .values(**values)
        )
    if role_ids is not None:
        connection.execute(membership_role.delete().where(membership_role.c.membership_id == membership_id))
        _insert_member_roles(connection, membership_id, role_ids)


def lock_user(connection: sa.Connection, user_id: str) -> None:
    """Two changes of one user come one after the other."""
    connection.execute(sa.select(user.c.user_id).where(user.c.user_id == user_id).with_for_update())


def lock_organization(connection: sa.Connection, organization_id: str) -> None:
    """Two changes that together might leave no administrator come one after the other."""
    connection.execute(
        sa.select(organization.c.organization_id)
        .where(organization.c.organization_id == organization_id)
        .with_for_update()
    )


def password_hash(connection: sa.Connection, user_id: str) -> str | None:
    return connection.execute(sa.select(user.c.password_hash).where(user.c.user_id == user_id)).scalar()
