"""What a start makes sure of: the seed, somebody who can administer. Replicas may start at once.

No password is built in: the first administrator's comes from the environment or is generated and kept in a file.
"""

import tomllib
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog

from identity_service import passwords, storage
from identity_service.app import Identity
from identity_service.app.members import GENERATED_PASSWORD_FILE
from identity_service.domain import DEFAULT_ADMIN_EMAIL, normal_email
from identity_service.settings import IdentitySettings
from kit.settings import shared_secret

log = structlog.get_logger()
T = TypeVar("T")

_ADMIN_ROLE = "admin"


# --- seed -----------------------------------------------------------------------------------------------------------


def read_seed(settings: IdentitySettings) -> dict[str, Any]:
    if settings.seed_file is not None:
        return tomllib.loads(settings.seed_file.read_text(encoding="utf-8"))
    return tomllib.loads(files("identity_service").joinpath("seed.toml").read_text(encoding="utf-8"))


def apply_seed(identity: Identity, seed: Mapping[str, Any]) -> str:
    """Makes what the seed names and is missing; brings the seed's roles up to date. The organisation's id.

    Departments, positions and users are made with their organisation only: later they are people's to change.
    """

    def work(connection: sa.Connection) -> str:
        now = identity.clock()
        known = {code for _, code, _ in storage.permissions(connection)}
        for code, description in seed["permissions"].items():
            if code not in known:
                storage.insert_permission(connection, code, description)
        name = seed["organization"]["name"]
        organization_id = storage.organization_named(connection, name)
        is_new = organization_id is None
        if organization_id is None:
            organization_id = storage.insert_organization(connection, name, now)
            for item in seed.get("departments", []):
                storage.insert_department(connection, organization_id, item["name"], now)
            for item in seed.get("positions", []):
                storage.insert_position(connection, organization_id, item["name"], now)
            resource = ("organization", organization_id)
            identity.audit(connection, organization_id, "", "organization.seeded", resource, {"name": name})
        _seed_roles(identity, connection, organization_id, seed["roles"])
        for item in seed.get("users", []) if is_new else []:
            _seed_user(identity, connection, organization_id, item)
        return organization_id

    return _despite_twins(identity, work)


def _despite_twins(identity: Identity, work: Callable[[sa.Connection], T]) -> T:
    """Runs `work` again when another replica inserted the same rows first: then it finds them."""
    for _ in range(4):
        try:
            return identity.database.transact(work)
        except sa.exc.IntegrityError:
            log.info("seed_repeated")
    return identity.database.transact(work)


def _seed_roles(
    identity: Identity, connection: sa.Connection, organization_id: str, wanted: list[Mapping[str, Any]]
) -> None:
    known = {role.code: role for role in storage.roles(connection, organization_id)}
    for item in wanted:
        found = known.get(item["code"])
        if found is not None and sorted(item["permissions"]) == sorted(found.permissions):
            continue
        role_id = (
            found.role_id
            if found is not None
            else storage.insert_role(
                connection, organization_id, item["code"], item["name"], item["description"], identity.clock()
            )
        )
        storage.set_role_permissions(connection, role_id, item["permissions"])
        detail = {"code": item["code"], "permissions": sorted(item["permissions"])}
        identity.audit(connection, organization_id, "", "role.seeded", ("role", role_id), detail)


def _seed_user(identity: Identity, connection: sa.Connection, organization_id: str, item: Mapping[str, Any]) -> None:
    user_id = storage.insert_member(
        connection,
        organization_id,
        email=normal_email(item["email"]),
        name=item["name"],
        password_hash=None,
        must_change_password=True,
        department_id=_id_of(storage.departments(connection, organization_id), item.get("department")),
        position_id=_id_of(storage.positions(connection, organization_id), item.get("position")),
        role_ids=[role.role_id for role in storage.roles(connection, organization_id) if role.code in item["roles"]],
        now=identity.clock(),
    )
    detail = {"email": normal_email(item["email"]), "roles": item["roles"]}
    identity.audit(connection, organization_id, "", "user.seeded", ("user", user_id), detail)


def _id_of(named: list[Any], name: str | None) -> str | None:
    return next((item.id for item in named if item.name == name), None)


# --- first administrator --------------------------------------------------------------------------------------------


def ensure_administrator(identity: Identity, organization_id: str) -> None:
    """Makes the administrator that the environment names, or the default one while nobody can administer.

    An existing user's password is never touched: see `compare_administrator`.
    """
    settings = identity.settings
    email = settings.admin_email or DEFAULT_ADMIN_EMAIL
    with identity.database.read() as connection:
        if storage.email_exists(connection, email):
            return
        if settings.admin_email is None and storage.list_members(
            connection, organization_id, limit=1, permission_code="user:write", active_only=True
        ):
            return
    path = settings.data / "secrets" / GENERATED_PASSWORD_FILE
    generated = settings.admin_password is None
    password = (
        shared_secret(path, make=passwords.generate_password)
        if settings.admin_password is None
        else settings.admin_password.get_secret_value()
    )
    hashed = passwords.hash_password(password)

    def work(connection: sa.Connection) -> bool:
        if storage.email_exists(connection, email):
            return False
        roles = [role for role in storage.roles(connection, organization_id) if role.code == _ADMIN_ROLE]
        user_id = storage.insert_member(
            connection,
            organization_id,
            email=email,
            name=email.partition("@")[0],
            password_hash=hashed,
            must_change_password=False,
            department_id=None,
            position_id=None,
            role_ids=[role.role_id for role in roles],
            now=identity.clock(),
        )
        identity.audit(connection, organization_id, "", "user.first_administrator", ("user", user_id))
        return True

    if not _despite_twins(identity, work):
        return
    if generated:
        # where it is, never what it is: logs are kept and travel
        log.warning("first_administrator", email=email, kept_in=str(path))
    else:
        log.info("first_administrator", email=email)


def compare_administrator(identity: Identity) -> bool:
    """Whether the environment's password is the administrator's; says so in the log when it is not."""
    settings = identity.settings
    if settings.admin_password is None:
        return True
    email = settings.admin_email or DEFAULT_ADMIN_EMAIL
    with identity.database.read() as connection:
        found = storage.credentials(connection, email)
    same = passwords.verify_password(settings.admin_password.get_secret_value(), found.password_hash if found else None)
    if not same:
        log.warning(
            "administrator_differs", email=email, hint="the user exists: FLOWWEAVER_ADMIN_PASSWORD does not change it"
        )
    return same
