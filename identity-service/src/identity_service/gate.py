"""The edge for the gateway: ForwardAuth before every request that is not public, and the bodies of its error pages.

`/internal/authorize` is on the path of every request: what was checked a moment ago is answered on the event loop.
"""

import anyio
import anyio.to_thread
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from identity_service.app import Identity, sessions
from kit import http, logs
from kit.auth import bearer
from kit.errors import NotFound

AUTHORIZE = "/internal/authorize"
PROBLEM = "/internal/problem/{status:int}"

_CODES = {
    400: "body_broken",
    401: "unauthenticated",
    403: "not_found",
    404: "not_found",
    413: "too_large",
    429: "limited",
    500: "internal",
    502: "bad_gateway",
    503: "unavailable",
    504: "gateway_timeout",
}
# seconds: the gateway counts by the second
_RETRY_AFTER_S = 1
_THREADS = 8


def add_routes(app: FastAPI, identity: Identity) -> None:
    """Adds both, for any method and outside the OpenAPI document."""
    for path, endpoint in ((AUTHORIZE, Authorize(identity)), (PROBLEM, Problem())):
        route = Route(path, endpoint)
        endpoint.route = route
        app.router.routes.append(route)


class Authorize:
    """200 with the headers that the gateway copies onto the request, or a 401 problem that it passes back."""

    route: Route

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        # threads of its own: requests that hold a thread for long must not hold up all others
        self._threads = anyio.CapacityLimiter(_THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self.route
        headers = Request(scope).headers
        given_tokens = headers.getlist("authorization")
        # of two, each part of the platform might believe another one
        token = bearer(given_tokens[0] if len(given_tokens) == 1 else None)
        admitted = sessions.admit_at_once(self._identity, token)
        if admitted is None:
            admitted = await anyio.to_thread.run_sync(sessions.admit, self._identity, token, limiter=self._threads)
        given = headers.get("traceparent")
        response = Response(
            headers={
                "Authorization": f"Bearer {admitted.access_token}",
                "X-Fw-User": admitted.user_id,
                # every hop and the access log share one trace
                "traceparent": given if given and logs.trace_from(given) == logs.trace_id.get() else logs.traceparent(),
            }
        )
        await response(scope, receive, send)


class Problem:
    """What the gateway shows in place of its own error pages: the same problem document as everywhere."""

    route: Route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self.route
        status = scope["path_params"]["status"]
        if status not in _CODES:
            raise NotFound("not_found")
        # the limit is what the text for 413 names; the others name none
        answer = http.problem(status, _CODES[status], limit=http.BODY_LIMIT, retry_after=_RETRY_AFTER_S)
        await answer(scope, receive, send)
