"""Who may be registered, changed and suspended, by whom, and what a change does at once."""

from dataclasses import replace
from typing import Any

import pytest

from identity_service import storage
from identity_service.app import members, sessions
from identity_service.domain import UserState
from kit.errors import Conflict, Forbidden, Invalid, Limited, NotFound, Outdated, Unauthenticated


def _register(world: Any, email: str = "new@example.com", role: str = "editor", **more: Any) -> Any:
    new = members.NewMember("새 사람", email, more.get("department"), more.get("position"), (role,))
    prepared = members.prepare_password()
    return members.register(world.identity, world.admin(), world.organization_id, new, prepared, key=more.get("key"))


def _actions(world: Any, limit: int = 1) -> list[tuple[str, dict[str, Any]]]:
    with world.identity.database.read() as connection:
        found = storage.list_audit(connection, world.organization_id, limit=limit)
    return [(entry.action, entry.detail) for entry in found]


def test_a_new_member_gets_their_place_and_a_mailed_password(world: Any) -> None:
    member, mailed = _register(world, department="콘텐츠팀", position="매니저")
    assert mailed
    assert member.department is not None
    assert member.department.name == "콘텐츠팀"
    assert member.position is not None
    assert [role.code for role in member.roles] == ["editor"]
    assert _actions(world) == [("user.registered", {"email": "new@example.com", "roles": ["editor"]})]
    logged_in = world.log_in("new@example.com", world.mailed_password())
    assert logged_in.must_change_password
    assert world.caller(logged_in).permissions == frozenset()


def test_a_mailed_password_opens_everything_only_once_it_was_replaced(world: Any) -> None:
    _register(world)
    first = world.mailed_password()
    logged_in = world.log_in("new@example.com", first)
    caller = world.caller(logged_in)
    elsewhere = world.log_in("new@example.com", first)
    member = members.change_self(
        world.identity, caller, name=None, current_password=first, new_password="my own password"
    )
    assert not member.must_change_password
    assert "workflow:write" in world.caller(sessions.refresh(world.identity, logged_in.refresh_token)).permissions
    with pytest.raises(Unauthenticated):
        sessions.refresh(world.identity, elsewhere.refresh_token)
    with pytest.raises(Unauthenticated):
        world.log_in("new@example.com", first)
    assert _actions(world, 3)[1][0] in ("user.password_changed", "session.refreshed", "session.refused")


def test_the_same_key_registers_once_and_mails_once(world: Any) -> None:
    one, mailed = _register(world, key="k1")
    again, mailed_again = _register(world, key="k1")
    assert (one.user_id, mailed, mailed_again) == (again.user_id, True, False)
    assert len(list((world.data / "mail").glob("*.eml"))) == 1
    with pytest.raises(Invalid) as reused:
        _register(world, "other@example.com", key="k1")
    assert reused.value.code == "idempotency_key_reused"
    with pytest.raises(Conflict) as taken:
        _register(world, "NEW@example.com")
    assert taken.value.code == "email_taken"


def test_what_the_organisation_does_not_have_is_named(world: Any) -> None:
    for wrong, field in (
        ({"department": "없는팀"}, "body.department"),
        ({"position": "없는직책"}, "body.position"),
        ({"role": "nobody"}, "body.roles[0]"),
    ):
        with pytest.raises(Invalid) as refused:
            _register(world, **wrong)
        assert [item.field for item in refused.value.fields] == [field]
    new = members.NewMember("x", "x@example.com", None, None, ("viewer",))
    admin, prepared = world.admin(), members.prepare_password()
    with pytest.raises(NotFound):
        members.register(world.identity, admin, "elsewhere", new, prepared)


def test_nobody_hands_out_what_they_do_not_hold(world: Any) -> None:
    admin = world.admin()
    clerk = replace(admin, permissions=frozenset({"user:write", "user:read"}))
    new = members.NewMember("x", "x@example.com", None, None, ("admin",))
    with pytest.raises(Forbidden):
        members.register(world.identity, clerk, world.organization_id, new, members.prepare_password())
    member, _ = _register(world)
    with pytest.raises(Forbidden):
        members.change_member(world.identity, clerk, member.user_id, members.MemberChange(name="y"))
    with pytest.raises(Forbidden):
        members.mail_initial_password(world.identity, clerk, member.user_id, members.prepare_password())


def test_suspending_ends_sessions_and_bringing_back_lets_in_again(world: Any) -> None:
    _register(world)
    password = world.mailed_password()
    logged_in = world.log_in("new@example.com", password)
    user_id = world.caller(logged_in).user_id
    admin = world.admin()
    assert sessions.admit(world.identity, logged_in.access_token)
    changed = members.change_member(world.identity, admin, user_id, members.MemberChange(state=UserState.SUSPENDED))
    assert changed.state is UserState.SUSPENDED
    assert _actions(world) == [("user.updated", {"state": ["active", "suspended"]})]
    with pytest.raises(Unauthenticated):
        sessions.admit(world.identity, logged_in.access_token)
    with pytest.raises(Unauthenticated):
        sessions.refresh(world.identity, logged_in.refresh_token)
    with pytest.raises(Unauthenticated) as refused:
        world.log_in("new@example.com", password)
    assert refused.value.code == "credentials_invalid"
    members.change_member(world.identity, admin, user_id, members.MemberChange(state=UserState.ACTIVE))
    assert world.log_in("new@example.com", password)
    with pytest.raises(Unauthenticated):
        sessions.admit(world.identity, logged_in.access_token)


def test_another_role_refuses_tokens_made_before_it(world: Any) -> None:
    member, _ = _register(world)
    logged_in = world.log_in("new@example.com", world.mailed_password())
    sessions.admit(world.identity, logged_in.access_token)
    change = members.MemberChange(roles=("viewer",), department="운영팀", position="사원", name="이름 바꿈")
    changed = members.change_member(world.identity, world.admin(), member.user_id, change, if_version=1)
    assert (changed.name, [role.code for role in changed.roles]) == ("이름 바꿈", ["viewer"])
    assert changed.department is not None
    assert changed.position is not None
    with pytest.raises(Unauthenticated):
        sessions.admit(world.identity, logged_in.access_token)
    refreshed = sessions.refresh(world.identity, logged_in.refresh_token)
    assert sessions.admit(world.identity, refreshed.access_token).user_id == member.user_id
    with pytest.raises(Outdated):
        members.change_member(world.identity, world.admin(), member.user_id, change, if_version=1)


def test_the_same_roles_again_disturb_nobody(world: Any) -> None:
    member, _ = _register(world)
    logged_in = world.log_in("new@example.com", world.mailed_password())
    members.change_member(world.identity, world.admin(), member.user_id, members.MemberChange(roles=("editor",)))
    assert sessions.admit(world.identity, logged_in.access_token)


def test_an_organisation_keeps_an_administrator(world: Any) -> None:
    admin = world.admin()
    for change in (members.MemberChange(state=UserState.SUSPENDED), members.MemberChange(roles=("viewer",))):
        with pytest.raises(Conflict) as refused:
            members.change_member(world.identity, admin, admin.user_id, change)
        assert refused.value.code == "last_administrator"
    assert world.log_in()
    second, _ = _register(world, "second@example.com", "admin")
    members.change_member(world.identity, admin, admin.user_id, members.MemberChange(roles=("viewer",)))
    assert members.find(world.identity, world.organization_id, second.user_id).permissions >= {"user:write"}


def test_a_lost_password_is_replaced_by_a_mailed_one(world: Any) -> None:
    member, _ = _register(world)
    lost = world.mailed_password()
    logged_in = world.log_in("new@example.com", lost)
    admin = world.admin()
    assert members.mail_initial_password(world.identity, admin, member.user_id, members.prepare_password())
    for attempt in (
        lambda: world.log_in("new@example.com", lost),
        lambda: sessions.admit(world.identity, logged_in.access_token),
    ):
        with pytest.raises(Unauthenticated):
            attempt()
    assert world.log_in("new@example.com", world.mailed_password()).must_change_password
    with pytest.raises(Conflict):
        members.mail_initial_password(world.identity, admin, admin.user_id, members.prepare_password())


def test_mail_that_cannot_be_sent_is_told_and_loses_nothing(world: Any) -> None:
    (world.data / "mail").write_text("a file where the folder belongs")
    member, mailed = _register(world)
    assert not mailed
    (world.data / "mail").unlink()
    assert members.mail_initial_password(world.identity, world.admin(), member.user_id, members.prepare_password())


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        (None, "my own password", "body.current_password"),
        ("wrong password", "my own password", "body.current_password"),
        ("correct horse battery", "short", "body.new_password"),
        ("correct horse battery", "x" * 257, "body.new_password"),
        ("correct horse battery", "correct horse battery", "body.new_password"),
    ],
)
def test_a_password_is_changed_only_by_who_knows_it_into_a_better_one(
    world: Any, current: str | None, new: str, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        members.change_self(world.identity, world.admin(), name=None, current_password=current, new_password=new)
    assert [item.field for item in refused.value.fields] == [field]
    assert world.log_in()


def test_guessing_the_current_password_locks_the_change_but_not_the_log_in(world: Any) -> None:
    caller = world.admin()

    def guess() -> None:
        members.change_self(
            world.identity, caller, name=None, current_password="wrong password", new_password="my own password"
        )

    for _ in range(10):
        with pytest.raises(Invalid):
            guess()
    with pytest.raises(Limited):
        guess()
    assert world.log_in()


def test_ones_own_name_changes_without_a_password(world: Any) -> None:
    caller = world.admin()
    changed = members.change_self(
        world.identity, caller, name="관리자", current_password=None, new_password=None, if_version=1
    )
    assert (changed.name, changed.version) == ("관리자", 2)
    assert _actions(world) == [("user.updated", {"name": ["admin", "관리자"]})]
    with pytest.raises(Outdated):
        members.change_self(world.identity, caller, name="x", current_password=None, new_password=None, if_version=1)
