"""The members of an organisation: registering, changing, suspending them, and what each may change about themselves.

Nobody hands out a permission they do not hold, and an organisation keeps at least one active administrator.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import sqlalchemy as sa
import structlog

from identity_service import passwords, storage
from identity_service.app import Identity, sessions
from identity_service.domain import (
    DEFAULT_ADMIN_EMAIL,
    PASSWORD_MAX,
    PASSWORD_MIN,
    Member,
    Named,
    Role,
    UserState,
    normal_email,
    normal_password,
)
from identity_service.tokens import hash_token
from kit import messages
from kit.auth import Caller
from kit.database import once
from kit.errors import Conflict, Forbidden, Invalid, NotFound, Outdated

log = structlog.get_logger()

ADMINISTER = "user:write"
GENERATED_PASSWORD_FILE = "admin-password"  # noqa: S105  # a file's name


@dataclass(frozen=True)
class NewMember:
    """Department, position and roles are named by id, or by what the organisation calls them (a role: its code)."""

    name: str
    email: str
    department: str | None
    position: str | None
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """A generated password and its hash, made before the transaction: hashing takes longer than that may."""

    text: str
    hashed: str


def prepare_password() -> Prepared:
    text = passwords.generate_password()
    return Prepared(text, passwords.hash_password(text))


@dataclass(frozen=True)
class MemberChange:
    """None leaves a thing as it is."""

    name: str | None = None
    state: UserState | None = None
    department: str | None = None
    position: str | None = None
    roles: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Options:
    departments: list[Named]
    positions: list[Named]
    roles: list[Role]


# --- by an administrator --------------------------------------------------------------------------------------------


def register(
    identity: Identity,
    caller: Caller,
    organization_id: str,
    new: NewMember,
    password: Prepared,
    *,
    key: str | None = None,
) -> tuple[Member, bool]:
    """The new member, and whether their initial password was mailed (not again for a repeated `key`).

    Raises NotFound for another organisation, Conflict for a taken address, Invalid for an unknown department,
    position or role, Forbidden when a role allows more than the caller may.
    """
    if organization_id != caller.organization_id:
        raise NotFound("organization_not_found")
    made = False

    def work(connection: sa.Connection) -> Member:
        nonlocal made
        made = False

        def make() -> str:
            nonlocal made
            made = True
            return _insert(identity, connection, caller, new, password.hashed)

        body = [new.name, normal_email(new.email), new.department, new.position, list(new.roles)]
        user_id = once(
            connection,
            storage.idempotency_key,
            organization_id=organization_id,
            operation="register",
            key=key,
            body=body,
            make=make,
        )
        return storage.member(connection, organization_id, user_id)

    try:
        member = identity.database.transact(work)
    except sa.exc.IntegrityError as error:
        raise Conflict("email_taken") from error
    return member, _mail_password(identity, member, password.text) if made else False


def _insert(identity: Identity, connection: sa.Connection, caller: Caller, new: NewMember, hashed: str) -> str:
    organization_id = caller.organization_id
    roles = _chosen_roles(connection, caller, new.roles)
    user_id = storage.insert_member(
        connection,
        organization_id,
        email=normal_email(new.email),
        name=new.name,
        password_hash=hashed,
        must_change_password=True,
        department_id=_chosen(storage.departments(connection, organization_id), new.department, "department"),
        position_id=_chosen(storage.positions(connection, organization_id), new.position, "position"),
        role_ids=[role.role_id for role in roles],
        now=identity.clock(),
    )
    detail = {"email": normal_email(new.email), "roles": [role.code for role in roles]}
    identity.audit(connection, organization_id, caller.user_id, "user.registered", ("user", user_id), detail)
    return user_id


def _chosen(named: Sequence[Named], wanted: str | None, what: str) -> str | None:
    if wanted is None:
        return None
    for item in named:
        if wanted in (item.id, item.name):
            return item.id
    raise Invalid.field(f"body.{what}", f"unknown_{what}", value=wanted)


def _chosen_roles(connection: sa.Connection, caller: Caller, wanted: Sequence[str]) -> list[Role]:
    known = storage.roles(connection, caller.organization_id)
    chosen: dict[str, Role] = {}
    for number, name in enumerate(wanted):
        found = next((role for role in known if name in (role.role_id, role.code)), None)
        if found is None:
            raise Invalid.field(f"body.roles[{number}]", "unknown_role", value=name)
        if beyond := set(found.permissions) - caller.permissions:
            raise Forbidden("forbidden", permission=min(beyond))
        chosen[found.role_id] = found
    return list(chosen.values())


def mail_initial_password(identity: Identity, caller: Caller, user_id: str, password: Prepared) -> bool:
    """Replaces a member's password by one that is mailed to them and must be changed; ends their sessions.

    For who lost a password or never got one. Whether the mail went out.
    """

    def work(connection: sa.Connection) -> Member:
        storage.lock_user(connection, user_id)
        member = storage.member(connection, caller.organization_id, user_id)
        if user_id == caller.user_id:
            raise Conflict("not_yourself")
        if beyond := member.permissions - caller.permissions:
            raise Forbidden("forbidden", permission=min(beyond))
        _set_password(identity, connection, member, password.hashed, must_change=True, keep="")
        identity.audit(connection, caller.organization_id, caller.user_id, "user.password_mailed", ("user", user_id))
        return member

    member = identity.database.transact(work)
    identity.live.forget()
    return _mail_password(identity, member, password.text)


def _mail_password(identity: Identity, member: Member, password: str) -> bool:
    message = EmailMessage()
    message["From"] = identity.settings.mail_from
    message["To"] = member.email
    message["Subject"] = messages.text("mail_password_subject")
    # ASCII stays readable in the file
    message.set_content(
        messages.text("mail_password_body", name=member.name, email=member.email, password=password),
        cte="quoted-printable",
    )
    try:
        identity.mail.send(message)
    except OSError as error:
        log.error("mail_failed", user_id=member.user_id, error=repr(error))
        return False
    return True


def change_member(
    identity: Identity, caller: Caller, user_id: str, change: MemberChange, *, if_version: int | None = None
) -> Member:
    """The member afterwards. Suspending ends their sessions; other roles turn their tokens invalid at once.

    Raises NotFound, Outdated, Invalid, Forbidden as in `register`, and Conflict when nobody could administer the
    organisation any more.
    """
    organization_id = caller.organization_id

    def work(connection: sa.Connection) -> Member:
        storage.lock_organization(connection, organization_id)
        before = _locked(connection, organization_id, user_id, if_version)
        roles = None if change.roles is None else _chosen_roles(connection, caller, change.roles)
        if beyond := before.permissions - caller.permissions:
            # who holds more than the caller is not the caller's to change
            raise Forbidden("forbidden", permission=min(beyond))
        _change_place(connection, before, change, roles)
        _change_person(identity, connection, before, change)
        after = storage.member(connection, organization_id, user_id)
        _require_administrator(connection, organization_id)
        _audit_change(identity, connection, caller, before, after)
        return after

    member = identity.database.transact(work)
    identity.live.forget()
    return member


def _locked(connection: sa.Connection, organization_id: str, user_id: str, if_version: int | None) -> Member:
    storage.lock_user(connection, user_id)
    member = storage.member(connection, organization_id, user_id)
    if if_version is not None and member.version != if_version:
        raise Outdated("outdated")
    return member


def _change_place(
    connection: sa.Connection, before: Member, change: MemberChange, roles: Sequence[Role] | None
) -> None:
    organization_id = before.organization_id
    places: dict[str, Any] = {}
    if change.department is not None:
        departments = storage.departments(connection, organization_id)
        places["department_id"] = _chosen(departments, change.department, "department")
    if change.position is not None:
        positions = storage.positions(connection, organization_id)
        places["position_id"] = _chosen(positions, change.position, "position")
    others = roles is not None and {role.role_id for role in roles} != {role.role_id for role in before.roles}
    suspends = change.state is not None and change.state is not before.state
    storage.update_membership(
        connection,
        organization_id,
        before.membership_id,
        changes=places,
        role_ids=[role.role_id for role in roles] if roles is not None and others else None,
        bump_authz=others or suspends,
    )


def _change_person(identity: Identity, connection: sa.Connection, before: Member, change: MemberChange) -> None:
    values: dict[str, Any] = {}
    if change.name is not None:
        values["name"] = change.name
    if change.state is not None:
        values["state"] = change.state
    now = identity.clock()
    storage.update_user(connection, before.user_id, now, **values)
    if change.state is UserState.SUSPENDED:
        storage.end_sessions_of(connection, before.user_id, reason="suspended", now=now)


def _require_administrator(connection: sa.Connection, organization_id: str) -> None:
    administrators = storage.list_members(
        connection, organization_id, limit=1, permission_code=ADMINISTER, active_only=True
    )
    if not administrators:
        raise Conflict("last_administrator")


def _audit_change(identity: Identity, connection: sa.Connection, caller: Caller, before: Member, after: Member) -> None:
    views: dict[str, Callable[[Member], Any]] = {
        "name": lambda member: member.name,
        "state": lambda member: member.state,
        "department": lambda member: member.department and member.department.name,
        "position": lambda member: member.position and member.position.name,
        "roles": lambda member: [role.code for role in member.roles],
    }
    detail = {name: [view(before), view(after)] for name, view in views.items() if view(before) != view(after)}
    identity.audit(connection, caller.organization_id, caller.user_id, "user.updated", ("user", after.user_id), detail)


# --- by oneself -----------------------------------------------------------------------------------------------------


def change_self(
    identity: Identity,
    caller: Caller,
    *,
    name: str | None,
    current_password: str | None,
    new_password: str | None,
    if_version: int | None = None,
) -> Member:
    """The caller afterwards. A new password needs the current one, and ends the caller's other sessions.

    Raises Invalid (naming the field), Forbidden for an API token, Outdated, Limited after too many wrong passwords.
    """
    hashed = None
    if new_password is not None:
        sessions.require_session(caller)
        hashed = _checked_change(identity, caller, current_password, new_password)

    def work(connection: sa.Connection) -> Member:
        member = _locked(connection, caller.organization_id, caller.user_id, if_version)
        if name is not None:
            storage.update_user(connection, caller.user_id, identity.clock(), name=name)
            detail = {"name": [member.name, name]}
            identity.audit(
                connection, caller.organization_id, caller.user_id, "user.updated", ("user", caller.user_id), detail
            )
        if hashed is not None:
            _set_password(identity, connection, member, hashed, must_change=False, keep=caller.session_id)
            identity.audit(
                connection, caller.organization_id, caller.user_id, "user.password_changed", ("user", caller.user_id)
            )
        return storage.member(connection, caller.organization_id, caller.user_id)

    member = identity.database.transact(work)
    if hashed is not None:
        identity.live.forget()
        _drop_generated_password(identity, member)
    return member


def _checked_change(identity: Identity, caller: Caller, current: str | None, new: str) -> str:
    """The new password's hash, the current one being right and the new one another."""
    if current is None:
        raise Invalid.field("body.current_password", "missing")
    if not PASSWORD_MIN <= len(normal_password(new)) <= PASSWORD_MAX:
        raise Invalid.field("body.new_password", "password_length", min_length=PASSWORD_MIN, max_length=PASSWORD_MAX)
    # counted apart from log-ins: a stolen session must not be able to lock its owner out
    address = hash_token(f"change {caller.user_id}")
    with identity.database.read() as connection:
        sessions.refuse_locked(connection, address, identity.clock())
        hashed = storage.password_hash(connection, caller.user_id)
    if not passwords.verify_password(current, hashed):
        identity.database.transact(lambda connection: storage.insert_failure(connection, address, identity.clock()))
        raise Invalid.field("body.current_password", "password_wrong")
    if normal_password(new) == normal_password(current):
        raise Invalid.field("body.new_password", "password_same")
    return passwords.hash_password(new)


def _set_password(
    identity: Identity, connection: sa.Connection, member: Member, hashed: str, *, must_change: bool, keep: str
) -> None:
    now = identity.clock()
    storage.update_user(connection, member.user_id, now, password_hash=hashed, must_change_password=must_change)
    storage.end_sessions_of(connection, member.user_id, keep=keep, reason="password_changed", now=now)
    if must_change:
        # the member's API tokens stop as well, until they have chosen a password
        storage.update_membership(
            connection, member.organization_id, member.membership_id, changes={}, role_ids=None, bump_authz=True
        )


def _drop_generated_password(identity: Identity, member: Member) -> None:
    # the file holds the first administrator's generated password, which is none any more
    if member.email == (identity.settings.admin_email or DEFAULT_ADMIN_EMAIL):
        (identity.settings.data / "secrets" / GENERATED_PASSWORD_FILE).unlink(missing_ok=True)


# --- reading --------------------------------------------------------------------------------------------------------


def find(identity: Identity, organization_id: str, user_id: str) -> Member:
    """Raises NotFound."""
    with identity.database.read() as connection:
        return storage.member(connection, organization_id, user_id)


def options(identity: Identity, caller: Caller, organization_id: str) -> Options:
    """What a form for a member offers. Raises NotFound for another organisation."""
    if organization_id != caller.organization_id:
        raise NotFound("organization_not_found")
    with identity.database.read() as connection:
        return Options(
            storage.departments(connection, organization_id),
            storage.positions(connection, organization_id),
            storage.roles(connection, organization_id),
        )


def email_available(identity: Identity, email: str) -> bool:
    with identity.database.read() as connection:
        return not storage.email_exists(connection, normal_email(email))
