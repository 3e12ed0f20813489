"""Organisations with their departments and positions; roles and what they allow."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from identity_service.domain import Named, Role
from identity_service.storage.tables import (
    department,
    membership,
    membership_role,
    organization,
    permission,
    position,
    role,
    role_permission,
)
from kit.errors import NotFound
from kit.ids import new_id


def organization_named(connection: sa.Connection, name: str) -> str | None:
    return connection.execute(sa.select(organization.c.organization_id).where(organization.c.name == name)).scalar()


def organization_name(connection: sa.Connection, organization_id: str) -> str:
    """Raises NotFound."""
    found: str | None = connection.execute(
        sa.select(organization.c.name).where(organization.c.organization_id == organization_id)
    ).scalar()
    if found is None:
        raise NotFound("organization_not_found")
    return found


def insert_organization(connection: sa.Connection, name: str, now: datetime) -> str:
    organization_id = new_id()
    connection.execute(organization.insert().values(organization_id=organization_id, name=name, created_at=now))
    return organization_id


def departments(connection: sa.Connection, organization_id: str) -> list[Named]:
    return _named(connection, department, organization_id)


def positions(connection: sa.Connection, organization_id: str) -> list[Named]:
    return _named(connection, position, organization_id)


def _named(connection: sa.Connection, table: sa.Table, organization_id: str) -> list[Named]:
    key = table.c[f"{table.name}_id"]
    rows = connection.execute(
        sa.select(key, table.c.name).where(table.c.organization_id == organization_id).order_by(key)
    )
    return [Named(*row) for row in rows]


def insert_department(connection: sa.Connection, organization_id: str, name: str, now: datetime) -> None:
    connection.execute(
        department.insert().values(department_id=new_id(), organization_id=organization_id, name=name, created_at=now)
    )


def insert_position(connection: sa.Connection, organization_id: str, name: str, now: datetime) -> None:
    connection.execute(
        position.insert().values(position_id=new_id(), organization_id=organization_id, name=name, created_at=now)
    )


def roles(connection: sa.Connection, organization_id: str) -> list[Role]:
    """In the order they were made, each with its permissions sorted."""
    return to_roles(connection, role.c.organization_id == organization_id)


def to_roles(connection: sa.Connection, which: sa.ColumnElement[bool]) -> list[Role]:
    rows = connection.execute(
        sa.select(role.c.role_id, role.c.code, role.c.name, role.c.description, permission.c.code.label("allowed"))
        .select_from(role)
        .outerjoin(role_permission, role_permission.c.role_id == role.c.role_id)
        .outerjoin(permission, permission.c.permission_id == role_permission.c.permission_id)
        .where(which)
        .order_by(role.c.role_id, permission.c.code)
    ).all()
    allowed: dict[str, list[str]] = {}
    for row in rows:
        allowed.setdefault(row.role_id, []).extend([row.allowed] if row.allowed else [])
    first = {row.role_id: row for row in reversed(rows)}
    return [
        Role(role_id, first[role_id].code, first[role_id].name, first[role_id].description, tuple(codes))
        for role_id, codes in allowed.items()
    ]


def insert_role(
    connection: sa.Connection, organization_id: str, code: str, name: str, description: str, now: datetime
) -> str:
    role_id = new_id()
    connection.execute(
        role.insert().values(
            role_id=role_id,
            organization_id=organization_id,
            code=code,
            name=name,
            description=description,
            created_at=now,
        )
    )
    return role_id


def set_role_permissions(connection: sa.Connection, role_id: str, codes: Collection[str]) -> None:
    """Also turns the tokens of everybody who holds the role invalid."""
    connection.execute(role_permission.delete().where(role_permission.c.role_id == role_id))
    ids = connection.execute(sa.select(permission.c.permission_id).where(permission.c.code.in_(codes))).scalars()
    for permission_id in ids.all():
        connection.execute(
            role_permission.insert().values(role_permission_id=new_id(), role_id=role_id, permission_id=permission_id)
        )
    holders = sa.select(membership_role.c.membership_id).where(membership_role.c.role_id == role_id)
    connection.execute(
        membership.update().where(membership.c.membership_id.in_(holders)).values(authz=membership.c.authz + 1)
    )


def permissions(connection: sa.Connection) -> list[tuple[str, str, str]]:
    """(id, code, description) of every permission there is, by code."""
    rows = connection.execute(
        sa.select(permission.c.permission_id, permission.c.code, permission.c.description).order_by(permission.c.code)
    )
    return [(row.permission_id, row.code, row.description) for row in rows]


def insert_permission(connection: sa.Connection, code: str, description: str) -> None:
    connection.execute(permission.insert().values(permission_id=new_id(), code=code, description=description))
