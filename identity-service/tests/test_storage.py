"""Statements on real databases: the schema is what the code believes, and an organisation sees only itself."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from identity_service import storage
from identity_service.domain import UserState
from kit.errors import Conflict, NotFound


def _member(world: Any, connection: sa.Connection, organization_id: str, email: str, name: str = "이름") -> str:
    return storage.insert_member(
        connection,
        organization_id,
        email=email,
        name=name,
        password_hash=None,
        must_change_password=False,
        department_id=None,
        position_id=None,
        role_ids=[],
        now=world.clock(),
    )


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(world: Any) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with world.identity.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, storage.metadata) == []


def test_tables_are_singular_keyed_by_their_name_and_free_of_foreign_keys(world: Any) -> None:
    with world.identity.database.read() as connection:
        inspector = sa.inspect(connection)
        names = [name for name in inspector.get_table_names() if name != "alembic_version"]
        assert len(names) == len(storage.metadata.tables)
        for name in names:
            assert not name.endswith("s")
            assert inspector.get_pk_constraint(name)["constrained_columns"] == [f"{name}_id"]
            assert inspector.get_foreign_keys(name) == []


def test_a_member_of_another_organisation_is_not_there(world: Any) -> None:
    def work(connection: sa.Connection) -> None:
        other = storage.insert_organization(connection, "Other", world.clock())
        stranger = _member(world, connection, other, "stranger@example.com")
        with pytest.raises(NotFound):
            storage.member(connection, world.organization_id, stranger)
        assert storage.members_by_id(connection, world.organization_id, [stranger]) == []
        assert [found.user_id for found in storage.members_by_id(connection, other, [stranger])] == [stranger]
        assert [found.email for found in storage.list_members(connection, other, limit=10)] == ["stranger@example.com"]
        assert storage.roles(connection, other) == []
        assert storage.departments(connection, other) == []
        assert storage.list_audit(connection, other, limit=10) == []

    world.identity.database.transact(work)


def test_members_are_listed_newest_first_by_pages_and_by_text(world: Any) -> None:
    def work(connection: sa.Connection) -> None:
        other = storage.insert_organization(connection, "Pages", world.clock())
        ids = [
            _member(world, connection, other, f"p{number}@example.com", name)
            for number, name in enumerate(["김하나", "100% Kim", "under_score"])
        ]
        first = storage.list_members(connection, other, limit=2)
        assert [found.user_id for found in first] == [ids[2], ids[1]]
        rest = storage.list_members(connection, other, limit=2, before=ids[1])
        assert [found.user_id for found in rest] == [ids[0]]

        def named(text: str) -> list[str]:
            return [found.name for found in storage.list_members(connection, other, limit=9, text=text)]

        assert named("하나") == ["김하나"]
        assert named("KIM") == ["100% Kim"]
        assert named("%") == ["100% Kim"]
        assert named("_") == ["under_score"]
        assert named("p1@") == ["100% Kim"]
        assert named("nobody") == []

    world.identity.database.transact(work)


def test_an_address_belongs_to_one_user(world: Any) -> None:
    def work(connection: sa.Connection) -> None:
        _member(world, connection, world.organization_id, "twice@example.com")
        with pytest.raises(Conflict):
            _member(world, connection, world.organization_id, "twice@example.com")

    world.identity.database.transact(work)


def test_members_are_found_by_what_their_roles_allow(world: Any) -> None:
    def work(connection: sa.Connection) -> None:
        _member(world, connection, world.organization_id, "plain@example.com")

        def holders(code: str) -> list[str]:
            found = storage.list_members(connection, world.organization_id, limit=9, permission_code=code)
            return [member.email for member in found]

        assert holders("user:write") == ["admin@example.com"]
        assert holders("nothing:read") == []

    world.identity.database.transact(work)


def test_only_what_nobody_needs_is_pruned(world: Any) -> None:
    session = world.log_in()
    identity = world.identity

    def prune(connection: sa.Connection) -> int:
        now = world.clock()
        return storage.prune(connection, now, failures_before=now - timedelta(minutes=15))

    identity.database.transact(lambda connection: storage.insert_failure(connection, "x", world.clock()))
    assert identity.database.transact(prune) == 0
    world.clock.advance(minutes=16)
    assert identity.database.transact(prune) == 1
    assert world.caller(session).session_id
    world.clock.advance(days=14)
    assert identity.database.transact(prune) == 0, "an expired session is kept a while"
    world.clock.advance(days=30)
    assert identity.database.transact(prune) == 2, "the session and its refresh token"


def test_a_suspended_user_has_no_living_grant(world: Any) -> None:
    caller = world.admin()

    def work(connection: sa.Connection) -> None:
        assert storage.session_grant(connection, caller.session_id) is not None
        storage.update_user(connection, caller.user_id, world.clock(), state=UserState.SUSPENDED)
        assert storage.session_grant(connection, caller.session_id) is None

    world.identity.database.transact(work)
