"""The edge for services: who a user, session or API token is. A call made for one organisation sees only that one."""

from typing import Any

from flowweaver.identity.v1 import identity_pb2 as pb
from flowweaver.identity.v1 import identity_pb2_grpc as pb_grpc
from identity_service import storage
from identity_service.app import Identity, sessions
from identity_service.domain import Member, UserState
from kit.auth import ServiceCaller, ServiceTokens
from kit.database import decode_cursor, encode_cursor
from kit.errors import Forbidden, Invalid, Unauthenticated
from kit.rpc import Server, in_thread

SERVICE = "flowweaver.identity.v1.IdentityService"
_AT_ONCE = 200
_PAGE = 50


def build(identity: Identity, tokens: ServiceTokens) -> Server:
    """The gRPC edge, not yet listening."""
    server = Server(tokens)
    server.add(SERVICE, pb_grpc.add_IdentityServiceServicer_to_server, IdentityRpc(identity))
    return server


def _to_proto(member: Member) -> pb.User:
    return pb.User(
        user_id=member.user_id,
        organization_id=member.organization_id,
        name=member.name,
        email=member.email,
        department=member.department.name if member.department else "",
        position=member.position.name if member.position else "",
        roles=[role.code for role in member.roles],
        active=member.state is UserState.ACTIVE,
    )


def _organization(caller: ServiceCaller, wanted: str) -> str:
    if not wanted:
        raise Invalid.field("organization_id", "missing")
    # a service asks for the organisation whose work it does, or (with none) for the platform
    if caller.organization_id not in ("", wanted):
        raise Forbidden("forbidden", permission="organization")
    return wanted


class IdentityRpc(pb_grpc.IdentityServiceServicer):
    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @in_thread
    def GetUsers(self, request: Any, caller: ServiceCaller) -> pb.GetUsersResponse:
        organization_id = _organization(caller, request.organization_id)
        if len(request.user_ids) > _AT_ONCE:
            raise Invalid.field("user_ids", "too_long", max_length=_AT_ONCE)
        with self._identity.database.read() as connection:
            found = storage.members_by_id(connection, organization_id, list(request.user_ids))
        return pb.GetUsersResponse(users=[_to_proto(member) for member in found])

    @in_thread
    def ListMembers(self, request: Any, caller: ServiceCaller) -> pb.ListMembersResponse:
        organization_id = _organization(caller, request.organization_id)
        limit = request.limit or _PAGE
        if not 1 <= limit <= _AT_ONCE:
            raise Invalid.field("limit", "less_than_equal", le=_AT_ONCE)
        before = str(decode_cursor(request.cursor, str)[0]) if request.cursor else None
        with self._identity.database.read() as connection:
            rows = storage.list_members(
                connection,
                organization_id,
                limit=limit + 1,
                before=before,
                permission_code=request.permission or None,
            )
        page = rows[:limit]
        cursor = encode_cursor(page[-1].user_id) if len(rows) > limit else ""
        return pb.ListMembersResponse(members=[_to_proto(member) for member in page], next_cursor=cursor)

    @in_thread
    def ResolveApiToken(self, request: Any, caller: ServiceCaller) -> pb.ResolveApiTokenResponse:
        _, member, allowed = sessions.resolve_api_token(self._identity, request.token)
        return pb.ResolveApiTokenResponse(
            user_id=member.user_id, organization_id=member.organization_id, permissions=sorted(allowed)
        )

    @in_thread
    def CheckSession(self, request: Any, caller: ServiceCaller) -> pb.CheckSessionResponse:
        try:
            grant = sessions.check_session(self._identity, request.session_id, request.authz)
        except Unauthenticated:
            return pb.CheckSessionResponse(alive=False)
        return pb.CheckSessionResponse(alive=True, user_id=grant.user_id, organization_id=grant.organization_id)

    @in_thread
    def CheckSessions(self, request: Any, caller: ServiceCaller) -> pb.CheckSessionsResponse:
        if len(request.sessions) > _AT_ONCE:
            raise Invalid.field("sessions", "too_long", max_length=_AT_ONCE)
        asked = [(session.session_id, session.authz) for session in request.sessions]
        return pb.CheckSessionsResponse(alive=[sessions.is_current(self._identity, *each) for each in asked])
