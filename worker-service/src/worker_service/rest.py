"""The edge for people: connections without their secrets, artifacts, trials of task types, and the demo blog."""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import anyio.to_thread
from fastapi import APIRouter, FastAPI, Query, Response
from fastapi.responses import FileResponse, HTMLResponse
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from kit import logs, messages
from kit.auth import Caller, permit
from kit.database import decode_cursor, encode_cursor
from kit.http import Body, IdempotencyKey, IfMatch, StrictRoute, version_of
from worker_service import app as use_cases
from worker_service import storage
from worker_service.app import App, Attempt
from worker_service.settings import WorkerSettings
from worker_service.storage import ArtifactRow, Connection
from worker_service.tasks.article_publish import blog_of

# what a browser may show; everything else is only ever downloaded
_SHOWN = {"image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "application/json", "application/pdf"}
_SANDBOX = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
_BLOG_POLICY = "default-src 'none'; img-src 'self' http: https:; style-src 'self' 'unsafe-inline'; base-uri 'none'"

Limit = Annotated[int, Query(ge=1, le=200)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
CredentialName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
CredentialValue = Annotated[str, Field(max_length=16_384)]
Credentials = Annotated[dict[CredentialName, CredentialValue], Field(max_length=32)]


class NewConnection(Body):
    name: Name
    kind: Kind
    settings: dict[str, Any] = Field(default_factory=dict)
    credentials: Credentials = Field(default_factory=dict)


class ChangedConnection(Body):
    """The connection as it shall be; `credentials` left out keeps those stored."""

    name: Name
    kind: Kind
    settings: dict[str, Any] = Field(default_factory=dict)
    credentials: Credentials | None = None


class Trial(Body):
    parameters: dict[str, Any] = Field(default_factory=dict)
    timeout_s: Annotated[float, Field(gt=0, le=use_cases.TRY_LONGEST_S)] = 30.0


def connection_json(found: Connection) -> dict[str, Any]:
    return {
        "connection_id": found.connection_id,
        "name": found.name,
        "kind": found.kind,
        "settings": found.settings,
        "credential_names": list(found.credential_names),
        "version": found.version,
        "created_at": _time(found.created_at),
        "updated_at": _time(found.updated_at),
    }


def artifact_json(found: ArtifactRow) -> dict[str, Any]:
    return {
        "artifact_id": found.artifact_id,
        "run_id": found.run_id,
        "task_run_id": found.task_run_id,
        "path": found.path,
        "size": found.size,
        "sha256": found.sha256,
        "content_type": found.content_type,
        "url": f"/v0/artifacts/{found.artifact_id}/content",
        "created_at": _time(found.created_at),
    }


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _page(items: list[dict[str, Any]], limit: int, id_name: str) -> dict[str, Any]:
    """`items` holds one more than the page when there is another."""
    more = len(items) > limit
    items = items[:limit]
    return {"items": items, "next_cursor": encode_cursor(items[-1][id_name]) if more else None}


def add_routes(api: FastAPI, app: App, attempt: Attempt) -> None:
    """Adds every route of this service to `api`."""
    api.include_router(_connections(app))
    api.include_router(_artifacts(app))
    api.include_router(_trials(app, attempt))
    api.mount("/blog", BlogPages(app.settings))


def _connections(app: App) -> APIRouter:
    router = APIRouter(prefix="/v0/connections", route_class=StrictRoute, tags=["connections"])

    @router.get("")
    def list_connections(
        who: Annotated[Caller, permit("connection:read")], limit: Limit = 50, cursor: str | None = None
    ) -> dict[str, Any]:
        before = decode_cursor(cursor, str)[0] if cursor else None
        found = storage.list_connections(app.database, who.organization_id, limit + 1, before)
        return _page([connection_json(row) for row in found], limit, "connection_id")

    @router.post("", status_code=201)
    def create_connection(
        who: Annotated[Caller, permit("connection:write")],
        body: NewConnection,
        response: Response,
        idempotency_key: IdempotencyKey = None,
    ) -> dict[str, Any]:
        made = use_cases.create_connection(
            app,
            who.organization_id,
            body.name,
            body.kind,
            body.settings,
            body.credentials,
            request_key=idempotency_key,
        )
        response.headers["Location"] = f"/v0/connections/{made.connection_id}"
        return _tagged(response, made)

    @router.get("/{connection_id}")
    def get_connection(
        who: Annotated[Caller, permit("connection:read")], connection_id: str, response: Response
    ) -> dict[str, Any]:
        return _tagged(response, storage.get_connection(app.database, who.organization_id, connection_id))

    @router.put("/{connection_id}")
    def replace_connection(
        who: Annotated[Caller, permit("connection:write")],
        connection_id: str,
        body: ChangedConnection,
        response: Response,
        if_match: IfMatch = None,
    ) -> dict[str, Any]:
        changed = use_cases.replace_connection(
            app,
            who.organization_id,
            connection_id,
            version_of(if_match),
            name=body.name,
            kind=body.kind,
            settings=body.settings,
            credentials=body.credentials,
        )
        return _tagged(response, changed)

    @router.delete("/{connection_id}", status_code=204)
    def delete_connection(
        who: Annotated[Caller, permit("connection:write")],
        connection_id: str,
        if_match: IfMatch = None,
    ) -> None:
        storage.delete_connection(app.database, who.organization_id, connection_id, version_of(if_match))

    return router


def _tagged(response: Response, found: Connection) -> dict[str, Any]:
    response.headers["ETag"] = f'"{found.version}"'
    return connection_json(found)


def _artifacts(app: App) -> APIRouter:
    router = APIRouter(prefix="/v0/artifacts", route_class=StrictRoute, tags=["artifacts"])

    @router.get("")
    def list_artifacts(
        who: Annotated[Caller, permit("artifact:read")],
        run_id: str | None = None,
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        before = decode_cursor(cursor, str)[0] if cursor else None
        found = storage.list_artifacts(app.database, who.organization_id, run_id=run_id, limit=limit + 1, before=before)
        return _page([artifact_json(row) for row in found], limit, "artifact_id")

    @router.get("/{artifact_id}")
    def get_artifact(who: Annotated[Caller, permit("artifact:read")], artifact_id: str) -> dict[str, Any]:
        return artifact_json(storage.get_artifact(app.database, who.organization_id, artifact_id))

    @router.get("/{artifact_id}/content", response_class=FileResponse)
    def get_artifact_content(who: Annotated[Caller, permit("artifact:read")], artifact_id: str) -> FileResponse:
        found = storage.get_artifact(app.database, who.organization_id, artifact_id)
        shown = found.content_type.partition(";")[0] in _SHOWN
        name = quote(found.path.rpartition("/")[2], safe="")
        return FileResponse(
            app.artifacts.file(found),
            media_type=found.content_type if shown else "application/octet-stream",
            headers={
                **_SANDBOX,
                "Content-Disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{name}",
                "ETag": f'"{found.sha256}"',
                "Cache-Control": "private, no-cache",
            },
        )

    return router


def _trials(app: App, attempt: Attempt) -> APIRouter:
    router = APIRouter(prefix="/v0/task-types", route_class=StrictRoute, tags=["task types"])

    @router.post("/{task_type}/try")
    async def try_task_type(
        who: Annotated[Caller, permit("workflow:write")], task_type: str, body: Trial
    ) -> dict[str, Any]:
        found = use_cases.task_type_for_trial(app, task_type)
        ids = use_cases.trial_ids(who.organization_id, logs.trace_id.get(), found.name)
        outcome, ran_ms = await use_cases.try_task(attempt, ids, found.name, body.parameters, body.timeout_s)
        return {**outcome.as_json(), "ran_ms": ran_ms}

    return router


class BlogPages(StaticFiles):
    """The demo blog's pages: whatever lies in the folder, its hidden files excepted, and a page for what does not."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._folder = settings.blog_folder()
        self._folder.mkdir(parents=True, exist_ok=True)
        super().__init__(directory=self._folder, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            if path in (".", "index.html") and not (self._folder / "index.html").exists():
                await anyio.to_thread.run_sync(blog_of(self._settings).open)
            if any(part.startswith(".") and part != "." for part in path.split("/")):
                raise HTTPException(404)
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404:
                raise
            response = _missing_page()
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = _BLOG_POLICY
        return response


def _missing_page() -> Response:
    lang = messages.language.get()
    text = messages.text("blog_page_missing")
    page = (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{text}</title></head>'
        f"<body><h1>404</h1><p>{text}</p></body></html>"
    )
    return HTMLResponse(page, status_code=404)
