"""REST for people: runs as server-sent events. rest.py mounts it before its own routes.

A stream ends when the caller's token or session does; who goes on sends the last event's id with a new one, to any
replica.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from execution_service.follow import Live, Place, Told
from execution_service.storage import history
from kit.auth import Caller, permit
from kit.http import StrictRoute

router = APIRouter(prefix="/v0", route_class=StrictRoute, tags=["runs"])

MayRead = Annotated[Caller, permit("run:read")]
RunId = Annotated[str, Field(min_length=1, max_length=64)]


def _events(*names: str) -> dict[int | str, dict[str, Any]]:
    """How the document describes a stream: one event of it. `data` is JSON."""
    data = {"type": "string", "contentMediaType": "application/json"}
    fields = {"id": {"type": "string"}, "event": {"type": "string", "enum": list(names)}, "data": data}
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    return {200: {"content": {"text/event-stream": {"schema": schema}}}}


@router.get("/workflow-runs/events", response_class=StreamingResponse, responses=_events("runs", "reset"))
async def follow_runs(
    request: Request,
    caller: MayRead,
    workflow_id: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", pattern=r"^[0-9]{1,18}$")] = None,
) -> Response:
    """The list of runs as server-sent events, until the token expires or its session ends. `runs`: `{items}`, summaries
    as the list has them, of runs that were accepted or whose state changed; a newer `version` replaces an older one.
    The first comes at once and repeats the last half minute, or what was missed since `Last-Event-ID` with as much
    overlap. `reset`: too much has changed, read the list again."""
    since = None if last_event_id is None else int(last_event_id)
    return _stream(_live(request).follow_runs(caller, workflow_id, since))


@router.get(
    "/workflow-runs/{run_id}/events", response_class=StreamingResponse, responses=_events("run", "tasks", "log")
)
async def follow_run(
    request: Request,
    caller: MayRead,
    run_id: RunId,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?$")
    ] = None,
) -> Response:
    """The run as server-sent events, until it is terminal and its log is told, or the token expires or its session
    ends. An id is `<version>.<log position>`, and `Last-Event-ID` goes on behind it.

    `run`: the whole run as `GET /workflow-runs/{run_id}` answers it, first, whenever its state changes, and last; of a
    run of at most 50 tasks after each change. `tasks`: of a larger run, the same without `input` and `log_position`,
    and only with the tasks that changed, in their jobs. `log`: `{items}`, log lines as `/logs` answers them, in the
    order in which they were saved."""
    live = _live(request)
    # an unknown run is a 404, not a broken stream; the answer begins at once, even when nothing is new
    database = request.app.state.execution.database
    await to_thread.run_sync(history.read_state, database, caller.organization_id, run_id)
    place = Place.parse(last_event_id or "0")
    return _stream(live.follow_run(caller, run_id, place))


def _live(request: Request) -> Live:
    found: Live = request.app.state.live
    return found


def _stream(told: AsyncIterator[Told]) -> Response:
    async def lines() -> AsyncIterator[bytes]:
        async for event in told:
            yield _event(event)

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(lines(), media_type="text/event-stream", headers=headers)


def _event(told: Told) -> bytes:
    if not told.event:
        return b":\n\n"
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (told.id.encode(), told.event.encode(), orjson.dumps(told.data))
