"""The edge for people: `/v0` of identity, the public keys and the health of the platform's door.

Shapes here, rules in `app`.
"""

from typing import Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, FastAPI, Response

from identity_service import gate
from identity_service.app import Identity, keys
from identity_service.rest import api_tokens, auth, organizations, users
from identity_service.rest.shapes import HASHING, Context
from kit.errors import Unavailable
from kit.http import StrictRoute, make_app

door = APIRouter(route_class=StrictRoute)


def build(identity: Identity) -> FastAPI:
    """The whole HTTP edge, for people and for the gateway."""
    app = make_app("identity-service", language=identity.settings.language, ready=identity.database.ping)
    app.state.identity = identity
    app.state.verifier = identity.verifier
    app.state.hashing = anyio.CapacityLimiter(HASHING)
    app.include_router(door)
    for part in (auth, users, organizations, api_tokens):
        app.include_router(part.router)
    gate.add_routes(app, identity)
    return app


@door.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@door.get("/.well-known/jwks.json")
def jwks(identity: Context) -> dict[str, Any]:
    return keys.public_keys(identity.database)


@door.get("/openapi.json")
def openapi(identity: Context) -> Response:
    """The API of all services in one document, as whoever started them merged it."""
    try:
        return Response(identity.settings.openapi_document().read_bytes(), media_type="application/json")
    except FileNotFoundError as error:
        raise Unavailable("unavailable") from error
