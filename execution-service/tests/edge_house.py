"""The edges of execution-service over real HTTP and real gRPC, and who calls them: a person, another service."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from engine_house import ORGANIZATION, SECRET, House
from jose import jwk, jwt

from execution_service import rest, rpc
from execution_service.follow import Live
from execution_service.sessions import Sessions
from flowweaver.execution.v1 import execution_pb2_grpc
from kit import http, messages, serve
from kit import rpc as kit_rpc
from kit.auth import AUDIENCE, ISSUER, ServiceTokens, Verifier

EVERYTHING = ("workflow:run", "run:read", "run:write")
_PRIVATE = ec.generate_private_key(ec.SECP256R1())
_PEM = _PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
_PUBLIC = _PRIVATE.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
JWKS: Mapping[str, Any] = {"keys": [jwk.construct(_PUBLIC, "ES256").to_dict() | {"kid": "k1"}]}


def bearer(
    organization_id: str = ORGANIZATION,
    permissions: tuple[str, ...] = EVERYTHING,
    *,
    lasting_s: int = 900,
    session_id: str = "session-1",
) -> dict[str, str]:
    """The header of a person of that organisation who may do that."""
    claims = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "org": organization_id, "sid": session_id,
        "permissions": list(permissions), "authz": 1, "exp": int(time.time()) + lasting_s,
    }  # fmt: skip
    token = jwt.encode(claims, _PEM, algorithm="ES256", headers={"kid": "k1"})
    return {"Authorization": f"Bearer {token}", "Accept-Language": "en"}


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are the test's


@asynccontextmanager
async def open_http(house: House, **live_settings: float) -> AsyncIterator[httpx.AsyncClient]:
    """A person with every permission, at the house's REST edge."""
    messages.load("execution_service")
    app = http.make_app("execution-service", ready=house.database.ping)
    app.state.verifier = Verifier(lambda: JWKS)
    app.state.execution = house.execution
    app.state.joins = house.joins
    sessions = Sessions(house.identity.living)
    live = app.state.live = Live(
        house.execution, house.nc, sessions, alone=house.database.sqlite, **{"after_end_s": 0.1, **live_settings}
    )
    await live.subscribe()
    looking = [asyncio.create_task(live.run()), asyncio.create_task(sessions.run())]
    rest.mount(app)
    server = _Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=bearer(), trust_env=False) as client:
        yield client
    server.should_exit = True
    await serving
    await serve.end(looking)


class Calls:
    """Another service, calling for one organisation."""

    def __init__(self, port: int, organization_id: str = ORGANIZATION, secret: str = SECRET) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.stub = execution_pb2_grpc.ExecutionServiceStub(self._channel)
        token = ServiceTokens(secret, "scheduler-service").make("execution-service", organization_id=organization_id)
        self.metadata = (("authorization", f"Bearer {token}"),)

    async def call(self, name: str, request: Any) -> Any:
        return await getattr(self.stub, name)(request, metadata=self.metadata, timeout=20)

    async def refused(self, name: str, request: Any) -> tuple[grpc.StatusCode, str]:
        """Status and code of a call that must fail, of a stream too."""
        try:
            answer = getattr(self.stub, name)(request, metadata=self.metadata, timeout=20)
            if hasattr(answer, "__aiter__") and not hasattr(answer, "__await__"):
                async for _ in answer:
                    pass
            else:
                await answer
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or ""
        raise AssertionError(f"{name} was answered")

    async def close(self) -> None:
        await self._channel.close()


@asynccontextmanager
async def open_rpc(house: House) -> AsyncIterator[int]:
    """The port of the house's gRPC edge."""
    server = kit_rpc.Server(ServiceTokens(SECRET, "execution-service"))
    servicer = rpc.ExecutionServicer(house.execution, house.joins)
    server.add(rpc.NAME, execution_pb2_grpc.add_ExecutionServiceServicer_to_server, servicer)
    yield await server.start("127.0.0.1", 0)
    await server.stop(0.5)
