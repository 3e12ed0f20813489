"""The routes. Nothing is decided here."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI, Header, Query, Response

from kit.auth import Caller, Verifier, permit
from kit.database import decode_cursor, encode_cursor
from kit.http import StrictRoute, make_app
from workflow_service import app as cases
from workflow_service import storage
from workflow_service.app import Context, Revisions, Who
from workflow_service.domain.model import (
    Stamp,
    TaskType,
)
from workflow_service.rest.answers import (
    ComposedOut,
    CompositeOut,
    DetailOut,
    JobDetailOut,
    JobOut,
    Jobs,
    TaskOut,
    Tasks,
    TaskTypes,
    WorkflowOut,
    Workflows,
    to_composed,
    to_composite,
    to_detail,
    to_job,
    to_job_detail,
    to_task,
    to_task_type,
    to_workflow,
)
from workflow_service.rest.bodies import CompositeIn, JobIn, JobPlacements, TaskIn, TaskPlacements, WorkflowIn

Reader = Annotated[Caller, permit("workflow:read")]
Writer = Annotated[Caller, permit("workflow:write")]
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=200)]
IfMatch = Annotated[str | None, Header(max_length=1000)]
Search = Annotated[str | None, Query(min_length=1, max_length=200)]
Sort = Annotated[Literal["created_at", "-created_at", "name", "-name"], Query()]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=2000)]


def _who(caller: Caller) -> Who:
    return Who(caller.organization_id, caller.user_id)


def _revisions(if_match: str | None) -> Revisions:
    """`"3"` or a list of such; `*` and no header: any. What is not ours matches nothing."""
    if if_match is None or if_match.strip() == "*":
        return None
    return {int(tag) for tag in re.findall(r'(?:^|,)\s*"(\d{1,18})"\s*(?=,|$)', if_match)}


def _tag(response: Response, stamp: Stamp) -> None:
    response.headers["ETag"] = f'"{stamp.revision}"'


def _created(response: Response, stamp: Stamp, path: str) -> None:
    _tag(response, stamp)
    response.headers["Location"] = f"/v0/{path}"


def make(ctx: Context, verifier: Verifier, language: str = "ko") -> FastAPI:
    """The service's app."""
    app = make_app("workflow-service", language=language, ready=ctx.database.ping)
    app.state.verifier = verifier
    for routes in (_workflow_routes, _job_routes, _task_routes):
        router = APIRouter(prefix="/v0", route_class=StrictRoute)
        routes(router, ctx)
        app.include_router(router)

    @app.get("/internal/learn-task-types", include_in_schema=False)
    def learn_task_types() -> Response:
        """Asks the workers now: who starts the platform waits for 204 before saying that it is ready."""
        return Response(status_code=204 if cases.refresh_task_types(ctx) else 503)

    return app


def _workflow_routes(router: APIRouter, ctx: Context) -> None:
    @router.get("/workflows")
    def list_workflows(
        caller: Reader,
        text: Search = None,
        active: Annotated[bool | None, Query()] = None,
        sort: Sort = "-created_at",
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Workflows:
        page = cases.list_workflows(ctx, _who(caller), storage.Query(text, active, sort, limit, cursor))
        return Workflows(items=[to_workflow(item) for item in page.items], next_cursor=page.next_cursor)

    @router.post("/workflows", status_code=201)
    def create_workflow(
        body: WorkflowIn, caller: Writer, response: Response, idempotency_key: IdempotencyKey = None
    ) -> WorkflowOut:
        workflow = cases.create_workflow(ctx, _who(caller), body.to_domain(), idempotency_key)
        _created(response, workflow.stamp, f"workflows/{workflow.workflow_id}")
        return to_workflow(workflow)

    @router.get("/workflows/{workflow_id}")
    def get_workflow(workflow_id: str, caller: Reader, response: Response) -> WorkflowOut:
        workflow = cases.get_workflow(ctx, _who(caller), workflow_id)
        _tag(response, workflow.stamp)
        return to_workflow(workflow)

    @router.put("/workflows/{workflow_id}")
    def update_workflow(
        workflow_id: str, body: WorkflowIn, caller: Writer, response: Response, if_match: IfMatch = None
    ) -> WorkflowOut:
        workflow = cases.update_workflow(ctx, _who(caller), workflow_id, body.to_domain(), _revisions(if_match))
        _tag(response, workflow.stamp)
        return to_workflow(workflow)

    @router.delete("/workflows/{workflow_id}", status_code=204)
    def delete_workflow(workflow_id: str, caller: Writer, if_match: IfMatch = None) -> None:
        cases.delete_workflow(ctx, _who(caller), workflow_id, _revisions(if_match))

    @router.get("/workflows/{workflow_id}/detail")
    def get_workflow_detail(workflow_id: str, caller: Reader, response: Response) -> DetailOut:
        composed = cases.get_composed(ctx, _who(caller), workflow_id)
        schedules = cases.list_schedules(ctx, _who(caller), workflow_id)
        _tag(response, composed.workflow.stamp)
        return to_detail(composed, schedules)

    @router.put("/workflows/{workflow_id}/jobs")
    def put_workflow_jobs(
        workflow_id: str, body: JobPlacements, caller: Writer, response: Response, if_match: IfMatch = None
    ) -> ComposedOut:
        wanted = [item.to_domain() for item in body]
        composed = cases.put_jobs(ctx, _who(caller), workflow_id, wanted, _revisions(if_match))
        _tag(response, composed.workflow.stamp)
        return to_composed(composed)

    @router.post("/workflows/{workflow_id}/composite-tasks", status_code=201)
    def create_composite_task(
        workflow_id: str,
        body: CompositeIn,
        caller: Writer,
        response: Response,
        idempotency_key: IdempotencyKey = None,
        if_match: IfMatch = None,
    ) -> CompositeOut:
        """Saves some of the workflow's tasks as one task, which runs them as a workflow of their own."""
        wanted, revisions = body.to_domain(), _revisions(if_match)
        made = cases.create_composite(ctx, _who(caller), workflow_id, wanted, idempotency_key, revisions)
        _created(response, made.task.stamp, f"tasks/{made.task.task_id}")
        return to_composite(made)

    @router.patch("/workflows/{workflow_id}/activate")
    def activate_workflow(
        workflow_id: str, caller: Writer, response: Response, if_match: IfMatch = None
    ) -> WorkflowOut:
        workflow = cases.set_active(ctx, _who(caller), workflow_id, True, _revisions(if_match))
        _tag(response, workflow.stamp)
        return to_workflow(workflow)

    @router.patch("/workflows/{workflow_id}/deactivate")
    def deactivate_workflow(
        workflow_id: str, caller: Writer, response: Response, if_match: IfMatch = None
    ) -> WorkflowOut:
        workflow = cases.set_active(ctx, _who(caller), workflow_id, False, _revisions(if_match))
        _tag(response, workflow.stamp)
        return to_workflow(workflow)


def _job_routes(router: APIRouter, ctx: Context) -> None:
    @router.get("/jobs")
    def list_jobs(
        caller: Reader, text: Search = None, sort: Sort = "-created_at", limit: Limit = 50, cursor: Cursor = None
    ) -> Jobs:
        page = cases.list_jobs(ctx, _who(caller), storage.Query(text, None, sort, limit, cursor))
        return Jobs(items=[to_job(item) for item in page.items], next_cursor=page.next_cursor)

    @router.post("/jobs", status_code=201)
    def create_job(body: JobIn, caller: Writer, response: Response, idempotency_key: IdempotencyKey = None) -> JobOut:
        job = cases.create_job(ctx, _who(caller), body.to_domain(), idempotency_key)
        _created(response, job.stamp, f"jobs/{job.job_id}")
        return to_job(job)

    @router.get("/jobs/{job_id}")
    def get_job(job_id: str, caller: Reader, response: Response) -> JobDetailOut:
        found = cases.get_job(ctx, _who(caller), job_id)
        _tag(response, found.job.stamp)
        return to_job_detail(found)

    @router.put("/jobs/{job_id}")
    def update_job(job_id: str, body: JobIn, caller: Writer, response: Response, if_match: IfMatch = None) -> JobOut:
        job = cases.update_job(ctx, _who(caller), job_id, body.to_domain(), _revisions(if_match))
        _tag(response, job.stamp)
        return to_job(job)

    @router.delete("/jobs/{job_id}", status_code=204)
    def delete_job(job_id: str, caller: Writer, if_match: IfMatch = None) -> None:
        cases.delete_job(ctx, _who(caller), job_id, _revisions(if_match))

    @router.put("/jobs/{job_id}/tasks")
    def put_job_tasks(
        job_id: str, body: TaskPlacements, caller: Writer, response: Response, if_match: IfMatch = None
    ) -> JobDetailOut:
        wanted = [item.to_domain() for item in body]
        found = cases.put_tasks(ctx, _who(caller), job_id, wanted, _revisions(if_match))
        _tag(response, found.job.stamp)
        return to_job_detail(found)


def _task_routes(router: APIRouter, ctx: Context) -> None:
    @router.get("/tasks")
    def list_tasks(
        caller: Reader, text: Search = None, sort: Sort = "-created_at", limit: Limit = 50, cursor: Cursor = None
    ) -> Tasks:
        page = cases.list_tasks(ctx, _who(caller), storage.Query(text, None, sort, limit, cursor))
        return Tasks(items=[to_task(item) for item in page.items], next_cursor=page.next_cursor)

    @router.post("/tasks", status_code=201)
    def create_task(
        body: TaskIn, caller: Writer, response: Response, idempotency_key: IdempotencyKey = None
    ) -> TaskOut:
        task = cases.create_task(ctx, _who(caller), body.to_domain(), idempotency_key)
        _created(response, task.stamp, f"tasks/{task.task_id}")
        return to_task(task)

    @router.get("/tasks/{task_id}")
    def get_task(task_id: str, caller: Reader, response: Response) -> TaskOut:
        task = cases.get_task(ctx, _who(caller), task_id)
        _tag(response, task.stamp)
        return to_task(task)

    @router.put("/tasks/{task_id}")
    def update_task(
        task_id: str, body: TaskIn, caller: Writer, response: Response, if_match: IfMatch = None
    ) -> TaskOut:
        task = cases.update_task(ctx, _who(caller), task_id, body.to_domain(), _revisions(if_match))
        _tag(response, task.stamp)
        return to_task(task)

    @router.delete("/tasks/{task_id}", status_code=204)
    def delete_task(task_id: str, caller: Writer, if_match: IfMatch = None) -> None:
        cases.delete_task(ctx, _who(caller), task_id, _revisions(if_match))

    @router.get("/task-types")
    def list_task_types(caller: Reader, limit: Limit = 200, cursor: Cursor = None) -> TaskTypes:
        start = decode_cursor(cursor, str)[0] if cursor is not None else ""
        found = [item for item in cases.list_task_types(ctx) if item.type > start]
        shown: Sequence[TaskType] = found[:limit]
        more = encode_cursor(shown[-1].type) if len(found) > limit else None
        return TaskTypes(items=[to_task_type(item) for item in shown], next_cursor=more)
