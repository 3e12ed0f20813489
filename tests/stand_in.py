"""A service of few lines to stand behind the gateway in its tests: `python stand_in.py NAME HTTP_PORT`.

It tells what it was asked, and as identity it admits `Bearer good` and writes problems as the real one does.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

NAME, PORT = sys.argv[1], int(sys.argv[2])
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
PROBLEM = "application/problem+json"


async def authorize(request: Request) -> Response:
    if request.headers.get("authorization") != "Bearer good":
        return JSONResponse({"status": 401, "code": "unauthenticated"}, 401, media_type=PROBLEM)
    return Response(headers={"Authorization": "Bearer short", "X-Fw-User": "somebody", "traceparent": TRACE})


async def problem(request: Request) -> Response:
    status = int(request.path_params["status"])
    return JSONResponse({"status": status, "language": request.headers.get("accept-language")}, status, None, PROBLEM)


async def echo(request: Request) -> Response:
    body = await request.body()
    if status := request.headers.get("x-answer"):
        own = {"status": int(status), "errors": [{"field": "body.own", "reason": NAME}]}
        return JSONResponse(own, int(status), {"Retry-After": "77"}, PROBLEM)
    seen = {"service": NAME, "path": request.url.path, "headers": dict(request.headers), "size": len(body)}
    return JSONResponse(seen, headers={"X-Trace-Id": "c" * 32})


async def ready(request: Request) -> Response:
    return Response("ok", 503 if request.app.state.unready else 200)


async def unready(request: Request) -> Response:
    """From now on it says that it is not ready."""
    request.app.state.unready = True
    return Response("ok")


async def events(request: Request) -> Response:
    async def lines() -> AsyncIterator[str]:
        yield "data: first\n\n"
        await asyncio.sleep(3600)

    return StreamingResponse(lines(), media_type="text/event-stream")


app = Starlette(
    routes=[
        Route("/internal/authorize", authorize),
        Route("/internal/problem/{status:int}", problem),
        Route("/readyz", ready),
        Route("/unready", unready, methods=["POST"]),
        Route("/v0/workflow-runs/endless/events", events),
        Route("/{path:path}", echo, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
    ]
)
app.state.unready = False
uvicorn.run(
    app,
    host="127.0.0.1",
    port=PORT,
    log_level="warning",
    timeout_graceful_shutdown=1,
)
