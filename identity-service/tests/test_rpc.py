"""The edge for services, over a real channel."""

from typing import Any

import grpc
import pytest

from flowweaver.identity.v1 import identity_pb2 as pb
from flowweaver.identity.v1 import identity_pb2_grpc as pb_grpc
from kit.auth import ServiceTokens
from kit.errors import Forbidden, Invalid
from kit.rpc import Peer


@pytest.fixture
def stub(channel: grpc.Channel) -> Any:
    return pb_grpc.IdentityServiceStub(channel)


@pytest.fixture
def peer(site: Any) -> Peer:
    return Peer(ServiceTokens("a service secret of the tests, long enough", "workflow-service"), "identity-service")


def test_users_of_the_organisation_are_found_and_others_left_out(site: Any, stub: Any, peer: Peer) -> None:
    organization = site.world.organization_id
    me = site.world.admin().user_id
    answer = peer.call(
        stub.GetUsers,
        pb.GetUsersRequest(organization_id=organization, user_ids=[me, "unknown"]),
        organization_id=organization,
    )
    (user,) = answer.users
    assert (user.user_id, user.email, list(user.roles), user.active) == (me, "admin@example.com", ["admin"], True)
    nobody = pb.GetUsersRequest(organization_id=organization)
    assert list(peer.call(stub.GetUsers, nobody, organization_id=organization).users) == []
    elsewhere = pb.GetUsersRequest(organization_id="elsewhere", user_ids=[me])
    assert list(peer.call(stub.GetUsers, elsewhere).users) == []


def test_a_call_for_one_organisation_sees_no_other(site: Any, stub: Any, peer: Peer) -> None:
    request = pb.GetUsersRequest(organization_id=site.world.organization_id, user_ids=["x"])
    with pytest.raises(Forbidden):
        peer.call(stub.GetUsers, request, organization_id="another")
    with pytest.raises(Invalid):
        peer.call(stub.GetUsers, pb.GetUsersRequest())
    with pytest.raises(Invalid):
        peer.call(stub.GetUsers, pb.GetUsersRequest(organization_id=site.world.organization_id, user_ids=["x"] * 201))


def test_members_are_listed_by_pages_and_by_permission(site: Any, stub: Any, peer: Peer) -> None:
    organization = site.world.organization_id
    for number in range(3):
        site.register(f"rpc{number}@example.com", "viewer").close()
    emails: list[str] = []
    cursor = ""
    while True:
        page = peer.call(stub.ListMembers, pb.ListMembersRequest(organization_id=organization, limit=2, cursor=cursor))
        emails += [member.email for member in page.members]
        assert len(page.members) <= 2
        if not (cursor := page.next_cursor):
            break
    assert emails == ["rpc2@example.com", "rpc1@example.com", "rpc0@example.com", "admin@example.com"]
    allowed = peer.call(stub.ListMembers, pb.ListMembersRequest(organization_id=organization, permission="user:write"))
    assert [member.email for member in allowed.members] == ["admin@example.com"]
    for wrong in ({"limit": 201}, {"limit": -1}, {"cursor": "zzz"}):
        with pytest.raises(Invalid):
            peer.call(stub.ListMembers, pb.ListMembersRequest(organization_id=organization, **wrong))


def test_an_api_token_is_resolved_until_it_is_revoked(site: Any, stub: Any, peer: Peer) -> None:
    with site.admin() as admin:
        made = admin.post("/v0/api-tokens", json={"name": "rpc", "permissions": ["run:read"]}).json()
        found = peer.call(stub.ResolveApiToken, pb.ResolveApiTokenRequest(token=made["token"]))
        assert (found.organization_id, list(found.permissions)) == (site.world.organization_id, ["run:read"])
        admin.delete(f"/v0/api-tokens/{made['api_token_id']}")
    for token in (made["token"], "fwt_unknown", ""):
        with pytest.raises(grpc.RpcError) as refused:
            stub.ResolveApiToken(pb.ResolveApiTokenRequest(token=token), metadata=peer.metadata(""), timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_session_is_alive_while_its_grants_are_current(site: Any, stub: Any, peer: Peer) -> None:
    logged_in = site.world.log_in()
    caller = site.world.caller(logged_in)

    def ask(session_id: str, authz: int) -> Any:
        return peer.call(stub.CheckSession, pb.CheckSessionRequest(session_id=session_id, authz=authz))

    alive = ask(caller.session_id, caller.authz)
    assert (alive.alive, alive.user_id, alive.organization_id) == (True, caller.user_id, caller.organization_id)
    assert not ask(caller.session_id, caller.authz - 1).alive
    assert not ask("unknown", 1).alive
    with site.client(logged_in.access_token) as client:
        client.post("/v0/auth/logout")
    assert not ask(caller.session_id, caller.authz).alive


def test_many_sessions_are_told_of_at_once_in_their_order(site: Any, stub: Any, peer: Peer) -> None:
    leaving, staying = site.world.log_in(), site.world.log_in()
    gone, here = site.world.caller(leaving), site.world.caller(staying)
    asked = [(gone.session_id, gone.authz), ("unknown", 1), (here.session_id, here.authz)]
    asked.append((here.session_id, here.authz - 1))

    def ask(*which: tuple[str, int]) -> list[bool]:
        named = [pb.CheckSessionsRequest.Session(session_id=session_id, authz=authz) for session_id, authz in which]
        return list(peer.call(stub.CheckSessions, pb.CheckSessionsRequest(sessions=named)).alive)

    assert ask(*asked) == [True, False, True, False]
    with site.client(leaving.access_token) as client:
        client.post("/v0/auth/logout")
    assert ask(*asked) == [False, False, True, False]
    assert ask() == []
    assert ask(*[("unknown", 1)] * 200) == [False] * 200
    with pytest.raises(Invalid):
        ask(*[("unknown", 1)] * 201)


def test_a_call_needs_a_service_token_for_us(site: Any, stub: Any) -> None:
    request = pb.CheckSessionRequest(session_id="x")
    elsewhere = Peer(ServiceTokens("a service secret of the tests, long enough", "x"), "execution-service")
    forged = Peer(ServiceTokens("another secret of somebody, long enough", "x"), "identity-service")
    person = (("authorization", f"Bearer {site.world.log_in().access_token}"),)
    for metadata in (elsewhere.metadata(""), forged.metadata(""), person, ()):
        with pytest.raises(grpc.RpcError) as refused:
            stub.CheckSession(request, metadata=metadata, timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
