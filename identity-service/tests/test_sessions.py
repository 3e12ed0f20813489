"""Logging in, staying in and being thrown out, on real databases."""

import threading
from typing import Any

import pytest

from identity_service import storage
from identity_service.app import api_tokens, members, sessions
from identity_service.domain import UserState
from kit.auth import Caller
from kit.errors import Forbidden, Limited, NotFound, Unauthenticated


def test_logging_in_gives_a_token_with_the_members_permissions(world: Any) -> None:
    caller = world.caller(world.log_in("  ADMIN@example.com "))
    assert caller.organization_id == world.organization_id
    assert {"user:write", "workflow:run"} <= caller.permissions
    grant = sessions.check_session(world.identity, caller.session_id, caller.authz)
    assert grant.user_id == caller.user_id


@pytest.mark.parametrize(
    ("email", "password"),
    [("admin@example.com", "wrong password"), ("nobody@example.com", "correct horse battery"), ("x", "y")],
)
def test_any_wrong_pair_is_refused_alike(world: Any, email: str, password: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        world.log_in(email, password)
    assert refused.value.code == "credentials_invalid"
    assert refused.value.params == {}


@pytest.mark.parametrize("email", ["admin@example.com", "nobody@example.com"])
def test_ten_failures_lock_an_address_registered_or_not(world: Any, email: str) -> None:
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            world.log_in(email, "wrong password")
    with pytest.raises(Limited) as locked:
        world.log_in(email)
    assert locked.value.params["retry_after"] == 30
    world.clock.advance(seconds=31)
    with pytest.raises(Unauthenticated):
        world.log_in(email, "wrong password")
    with pytest.raises(Limited) as longer:
        world.log_in(email)
    assert longer.value.params["retry_after"] == 60


def test_a_lock_holds_in_every_replica_and_ends_by_itself(start: Any) -> None:
    one, other = start(), start()
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            one.log_in(password="wrong password")
    other.clock.now = one.clock.now
    with pytest.raises(Limited):
        other.log_in()
    other.clock.advance(minutes=16)
    assert other.log_in().access_token


def test_a_success_forgets_the_failures_before_it(world: Any) -> None:
    for _ in range(2):
        for _ in range(9):
            with pytest.raises(Unauthenticated):
                world.log_in(password="wrong password")
        world.log_in()


def test_refreshing_replaces_the_token_and_the_session_goes_on(world: Any) -> None:
    first = world.log_in()
    second = sessions.refresh(world.identity, first.refresh_token)
    third = sessions.refresh(world.identity, second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert world.caller(third).session_id == world.caller(first).session_id


def test_two_tabs_that_refresh_at_once_both_stay_logged_in(world: Any) -> None:
    first = world.log_in()
    answers: list[Any] = []
    tabs = [
        threading.Thread(target=lambda: answers.append(sessions.refresh(world.identity, first.refresh_token)))
        for _ in range(4)
    ]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert len(answers) == 4
    # whichever cookie the browser kept, it goes on
    for answer in answers[:1]:
        again = sessions.refresh(world.identity, answer.refresh_token)
        assert sessions.check_session(world.identity, world.caller(again).session_id, 1)


def test_an_old_refresh_token_that_comes_back_ends_the_session(world: Any) -> None:
    first = world.log_in()
    second = sessions.refresh(world.identity, first.refresh_token)
    world.clock.advance(seconds=11)
    with pytest.raises(Unauthenticated):
        sessions.refresh(world.identity, first.refresh_token)
    with pytest.raises(Unauthenticated):
        sessions.refresh(world.identity, second.refresh_token)
    caller = world.caller(second)
    with pytest.raises(Unauthenticated):
        sessions.check_session(world.identity, caller.session_id, caller.authz)
    with world.identity.database.read() as connection:
        actions = [entry.action for entry in storage.list_audit(connection, world.organization_id, limit=1)]
    assert actions == ["session.reuse_detected"]


def test_the_grace_is_for_the_token_just_replaced_only(world: Any) -> None:
    first = world.log_in()
    second = sessions.refresh(world.identity, first.refresh_token)
    sessions.refresh(world.identity, second.refresh_token)
    with pytest.raises(Unauthenticated):
        sessions.refresh(world.identity, first.refresh_token)


def test_a_twin_from_the_grace_dies_with_the_next_refresh(world: Any) -> None:
    first = world.log_in()
    one = sessions.refresh(world.identity, first.refresh_token)
    twin = sessions.refresh(world.identity, first.refresh_token)
    sessions.refresh(world.identity, one.refresh_token)
    world.clock.advance(seconds=11)
    with pytest.raises(Unauthenticated):
        sessions.refresh(world.identity, twin.refresh_token)


def test_a_session_ends_when_idle_and_at_its_longest(start: Any) -> None:
    world = start(session_idle_s=3600, session_max_s=7200)
    idle = world.log_in()
    world.clock.advance(seconds=3601)
    with pytest.raises(Unauthenticated):
        sessions.refresh(world.identity, idle.refresh_token)
    busy = world.log_in()
    for _ in range(2):
        world.clock.advance(seconds=3000)
        busy = sessions.refresh(world.identity, busy.refresh_token)
    assert busy.cookie_s == 1200
    world.clock.advance(seconds=1201)
    with pytest.raises(Unauthenticated):
        sessions.refresh(world.identity, busy.refresh_token)


def test_an_unknown_refresh_token_is_refused(world: Any) -> None:
    with pytest.raises(Unauthenticated):
        sessions.refresh(world.identity, "never made")


def test_logging_out_ends_the_session_at_once(world: Any) -> None:
    logged_in = world.log_in()
    token, caller = logged_in.access_token, world.caller(logged_in)
    assert sessions.admit(world.identity, token).user_id == caller.user_id
    assert sessions.admit_at_once(world.identity, token) is not None
    sessions.log_out(world.identity, caller)
    assert sessions.admit_at_once(world.identity, token) is None
    with pytest.raises(Unauthenticated):
        sessions.admit(world.identity, token)
    with pytest.raises(Unauthenticated):
        sessions.admit_at_once(world.identity, token)
    with pytest.raises(Unauthenticated):
        sessions.refresh(world.identity, logged_in.refresh_token)


def test_a_token_never_seen_is_not_admitted_without_looking(world: Any) -> None:
    assert sessions.admit_at_once(world.identity, world.log_in().access_token) is None
    assert sessions.admit_at_once(world.identity, "fwt_unknown") is None


# --- API tokens -----------------------------------------------------------------------------------------------------


def _api_token(world: Any, caller: Caller, permissions: list[str], days: int = 1) -> tuple[Any, str]:
    made, text = api_tokens.create(world.identity, caller, name="ci", permissions=permissions, days=days)
    assert text is not None
    return made, text


def test_an_api_token_is_exchanged_for_a_short_token_with_its_permissions_only(world: Any) -> None:
    caller = world.admin()
    made, text = _api_token(world, caller, ["workflow:run", "run:read", "run:read"])
    admitted = sessions.admit(world.identity, text)
    stands_for = world.identity.verifier.verify(admitted.access_token)
    assert stands_for.permissions == {"workflow:run", "run:read"}
    assert (stands_for.user_id, stands_for.organization_id) == (caller.user_id, caller.organization_id)
    assert stands_for.session_id == f"fwt-{made.api_token_id}"
    assert sessions.admit_at_once(world.identity, text) == admitted
    # what the gateway passed on is itself good at the gateway
    assert sessions.admit(world.identity, admitted.access_token).user_id == caller.user_id


def test_a_revoked_or_expired_api_token_is_refused_at_once(world: Any) -> None:
    caller = world.admin()
    made, text = _api_token(world, caller, ["run:read"])
    exchanged = sessions.admit(world.identity, text).access_token
    api_tokens.revoke(world.identity, caller, made.api_token_id)
    for token in (text, exchanged):
        with pytest.raises(Unauthenticated):
            sessions.admit(world.identity, token)
    with pytest.raises(NotFound):
        api_tokens.find(world.identity, caller, made.api_token_id)
    _, short = _api_token(world, caller, ["run:read"], days=1)
    world.clock.advance(days=2)
    with pytest.raises(Unauthenticated):
        sessions.admit(world.identity, short)


def test_an_api_token_makes_no_further_tokens_and_has_no_session(world: Any) -> None:
    _, text = _api_token(world, world.admin(), ["user:write"])
    program = world.identity.verifier.verify(sessions.admit(world.identity, text).access_token)
    with pytest.raises(Forbidden):
        api_tokens.create(world.identity, program, name="more", permissions=["user:write"], days=1)
    with pytest.raises(Forbidden):
        sessions.log_out(world.identity, program)
    with pytest.raises(Forbidden):
        members.change_self(
            world.identity, program, name=None, current_password="correct horse battery", new_password="another one 22"
        )


def test_an_api_token_never_allows_more_than_its_owner_may(world: Any) -> None:
    admin = world.admin()
    new = members.NewMember("편집자", "editor@example.com", None, None, ("editor",))
    editor, _ = members.register(world.identity, admin, world.organization_id, new, members.prepare_password())
    members.change_self(
        world.identity,
        world.caller(world.log_in(editor.email, world.mailed_password())),
        name=None,
        current_password=world.mailed_password(),
        new_password="my own password",
    )
    owner = world.caller(world.log_in(editor.email, "my own password"))
    _, text = _api_token(world, owner, ["workflow:write", "run:read"])
    assert sessions.resolve_api_token(world.identity, text)[2] == {"workflow:write", "run:read"}
    exchanged = sessions.admit(world.identity, text)
    change = members.MemberChange(roles=("viewer",))
    members.change_member(world.identity, admin, editor.user_id, change)
    assert sessions.resolve_api_token(world.identity, text)[2] == {"run:read"}
    assert sessions.admit(world.identity, text) != exchanged
    members.change_member(world.identity, admin, editor.user_id, members.MemberChange(state=UserState.SUSPENDED))
    with pytest.raises(Unauthenticated):
        sessions.admit(world.identity, text)
    with pytest.raises(Unauthenticated):
        sessions.resolve_api_token(world.identity, text)
