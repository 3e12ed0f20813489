"""REST for people: starting, watching and steering runs. Shapes are api.md's; fields are only ever added."""

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, FastAPI, Query, Request, Response
from pydantic import Field

from execution_service import app as use
from execution_service import rest_history, rest_live
from execution_service.domain.run import RunState, TaskState
from execution_service.rest_history import ErrorAnswer, RunSummary
from execution_service.storage import history
from execution_service.waiting import Answer, Joins
from kit.auth import Caller, permit
from kit.errors import Invalid, NotFound
from kit.http import Body, IdempotencyKey, StrictRoute
from kit.payloads import PayloadMissing

router = APIRouter(prefix="/v0", route_class=StrictRoute, tags=["runs"])

MayRun = Annotated[Caller, permit("workflow:run")]
MayRead = Annotated[Caller, permit("run:read")]
MayWrite = Annotated[Caller, permit("run:write")]
RunId = Annotated[str, Field(min_length=1, max_length=64)]
TaskRunId = Annotated[str, Field(min_length=1, max_length=80)]


class StartBody(Body):
    """`input` must fit the workflow's input schema."""

    input: dict[str, Any] = Field(default_factory=dict)


TaskKey = Annotated[str, Field(min_length=1, max_length=63)]


class RerunBody(Body):
    """`start` runs everything again, `failed` what did not succeed, `task` a task (`from_task`) and what follows it,
    `range` a task, another that follows it (`to_task`) and what is between, `tasks` those tasks and no other, `item`
    of one task that ran over a list (`task`) just that item, counted from 0, and items without an output."""

    mode: Literal["start", "failed", "task", "range", "tasks", "item"] = "start"
    from_task: TaskKey | None = None
    to_task: TaskKey | None = None
    tasks: list[TaskKey] | None = Field(default=None, min_length=1, max_length=use.MOST_CHOSEN)
    task: TaskKey | None = None
    item: int | None = Field(default=None, ge=0, lt=10_000)
    version: Literal["same", "latest"] = "same"

    def to_app(self) -> use.Again:
        """Raises Invalid when a field is missing or does not belong to the mode."""
        wanted = _WANTED.get(self.mode, ())
        for name in ("from_task", "to_task", "tasks", "task", "item"):
            if (getattr(self, name) is not None) != (name in wanted):
                code = "missing" if name in wanted else f"{name}_unused"
                raise Invalid.field(f"body.{name}", code)
        return use.Again(
            failed=self.mode == "failed",
            from_task=self.from_task,
            to_task=self.to_task,
            tasks=tuple(self.tasks or ([self.task] if self.task else ())),
            latest=self.version == "latest",
            item=self.item,
        )


_WANTED = {
    "task": ("from_task",), "range": ("from_task", "to_task"), "tasks": ("tasks",), "item": ("task", "item"),
}  # fmt: skip


class AnswerBody(Body):
    """To an approval `approved`, to a form `values` that fit its schema."""

    approved: bool | None = None
    values: dict[str, Any] | None = None
    comment: str = Field(default="", max_length=4_000)


class AnswerAnswer(Body):
    task_run_id: str
    state: str


class EventBody(Body):
    """Something that happened; tasks that wait for an event of this name, whose `match` it fits, go on."""

    name: str = Field(min_length=1, max_length=128)
    data: dict[str, Any] = Field(default_factory=dict)


class EventAccepted(Body):
    event_id: str


class Accepted(Body):
    run_id: str


class StateAnswer(Body):
    run_id: str
    state: RunState


class ItemCounts(Body):
    """Of a task that runs over a list: how many items it has, and how many ended how. `open`: begun and not ended."""

    total: int
    succeeded: int
    failed: int
    open: int


class TaskAnswer(Body):
    """`concurrency_key` and `concurrency_limit` as the run's version has them: null of a task without a key."""

    task_run_id: str
    key: str
    name: str
    type: str
    concurrency_key: str | None
    concurrency_limit: int | None
    state: str
    attempt: int
    waited_ms: float | None
    ran_ms: float | None
    queued_at: str | None
    started_at: str | None
    finished_at: str | None
    worker: str | None
    error: ErrorAnswer | None
    items: ItemCounts | None


class ItemAnswer(TaskAnswer):
    item: int


class ItemPage(Body):
    items: list[ItemAnswer]
    next_cursor: str | None


class JobAnswer(Body):
    key: str
    name: str
    state: str
    started_at: str | None
    finished_at: str | None
    tasks: list[TaskAnswer]


class RunDetail(RunSummary):
    """`log_position`: the number of its newest log line; `<version>.<log_position>` is where following it begins."""

    input: Any
    log_position: int
    jobs: list[JobAnswer]


class Attempt(Body):
    attempt: int
    state: str
    waited_ms: float | None
    ran_ms: float | None
    queued_at: str | None
    started_at: str | None
    finished_at: str | None
    worker: str | None
    error: ErrorAnswer | None


class IoData(Body):
    """A task run's resolved input and its output; sizes in bytes of JSON. One of more than 256 KiB is null here and its
    `…_url` says where it is. `attempts`: those before a retry, which are the failed ones, and the newest."""

    task_run_id: str
    run_id: str
    input: Any
    input_size: int | None
    input_url: str | None
    output: Any
    output_size: int | None
    output_url: str | None
    failed_attempts: list[Attempt]
    attempts: list[Attempt]


class LogLine(Body):
    """Of an item of a list `item` is its place, from 0, and `parent_task_run_id` the task run that goes over it."""

    id: str
    at: str
    level: str
    event: str
    fields: dict[str, Any]
    task_run_id: str | None
    parent_task_run_id: str | None
    item: int | None
    attempt: int | None
    worker: str | None


class LogPage(Body):
    items: list[LogLine]
    next_cursor: str | None


def _execution(request: Request) -> use.Execution:
    found: use.Execution = request.app.state.execution
    return found


@router.post("/workflows/{workflow_id}/run", status_code=202, response_model=Accepted)
async def start_run(
    request: Request,
    response: Response,
    caller: MayRun,
    workflow_id: RunId,
    body: StartBody | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Accepted:
    """Accepts a run and answers at once; `Location` names it. The same key gives the same run."""
    run_id, _ = await use.start_run(
        _execution(request),
        caller.organization_id,
        workflow_id,
        body.input if body else {},
        cause=caller.user_id,
        idempotency_key=idempotency_key,
    )
    response.headers["Location"] = f"/v0/workflow-runs/{run_id}"
    return Accepted(run_id=run_id)


@router.get("/workflow-runs/{run_id}", response_model=RunDetail)
def get_run(request: Request, caller: MayRead, run_id: RunId) -> Response:
    """One run with its jobs and tasks."""
    execution = _execution(request)
    return _json(history.read_run(execution.database, caller.organization_id, run_id, execution.engine.plan))


@router.post("/workflow-runs/{run_id}/cancel", status_code=202, response_model=StateAnswer)
async def cancel_run(request: Request, caller: MayWrite, run_id: RunId) -> StateAnswer:
    """Ends a run; it is terminal within ten seconds even when its worker is gone."""
    return StateAnswer(run_id=run_id, state=await use.cancel_run(_execution(request), caller.organization_id, run_id))


@router.post("/workflow-runs/{run_id}/pause", status_code=202, response_model=StateAnswer)
async def pause_run(request: Request, caller: MayWrite, run_id: RunId) -> StateAnswer:
    """Hands out no further task until resumed; what runs goes on."""
    return StateAnswer(run_id=run_id, state=await use.pause_run(_execution(request), caller.organization_id, run_id))


@router.post("/workflow-runs/{run_id}/resume", status_code=202, response_model=StateAnswer)
async def resume_run(request: Request, caller: MayWrite, run_id: RunId) -> StateAnswer:
    return StateAnswer(run_id=run_id, state=await use.resume_run(_execution(request), caller.organization_id, run_id))


@router.post("/workflow-runs/{run_id}/rerun", status_code=202, response_model=Accepted)
async def rerun(
    request: Request,
    response: Response,
    caller: MayWrite,
    run_id: RunId,
    body: RerunBody | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Accepted:
    """Starts a new run of an ended one; outputs of tasks that do not run again are copied."""
    new_id, _ = await use.rerun(
        _execution(request),
        caller.organization_id,
        run_id,
        (body or RerunBody()).to_app(),
        cause=caller.user_id,
        idempotency_key=idempotency_key,
    )
    response.headers["Location"] = f"/v0/workflow-runs/{new_id}"
    return Accepted(run_id=new_id)


@router.get("/workflow-runs/{run_id}/tasks/{task_run_id}/items", response_model=ItemPage)
def list_items(
    request: Request,
    caller: MayRead,
    run_id: RunId,
    task_run_id: TaskRunId,
    state: Annotated[TaskState | None, Query()] = None,
    from_item: Annotated[int, Query(ge=0, lt=10_000, description="That item, counted from 0, or later ones.")] = 0,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """The items that a task over a list has begun, in order. Each is a task run: its input, output and log lines are
    read by its `task_run_id`."""
    execution = _execution(request)
    history.read_state(execution.database, caller.organization_id, run_id)
    at, index = use.split_task_run_id(task_run_id)
    if at != run_id:
        raise NotFound("task_run_not_found")
    items, next_cursor = history.list_items(
        execution.database,
        run_id,
        index,
        execution.engine.plan,
        state=state,
        from_item=from_item,
        cursor=cursor,
        limit=limit,
    )
    return _json({"items": items, "next_cursor": next_cursor})


@router.post("/workflow-runs/{run_id}/tasks/{task_run_id}/answer", status_code=202, response_model=AnswerAnswer)
async def answer_task(
    request: Request, caller: MayWrite, run_id: RunId, task_run_id: TaskRunId, body: AnswerBody | None = None
) -> AnswerAnswer:
    """Gives a task that waits for a person what it waits for. 409 when it does not wait (any more)."""
    said = body or AnswerBody()
    answer = Answer(caller.user_id, said.approved, said.values, said.comment)
    joins: Joins = request.app.state.joins
    state = await joins.answer(caller.organization_id, run_id, task_run_id, answer)
    return AnswerAnswer(task_run_id=task_run_id, state=state)


@router.post("/events", status_code=202, response_model=EventAccepted)
async def publish_event(
    request: Request, caller: MayWrite, body: EventBody, idempotency_key: IdempotencyKey = None
) -> EventAccepted:
    """Records an event and gives it to the tasks that wait for it, now or later. The same key gives the same event."""
    joins: Joins = request.app.state.joins
    event_id, _ = await joins.publish(caller.organization_id, body.name, body.data, idempotency_key)
    return EventAccepted(event_id=event_id)


@router.get("/workflow-runs/{run_id}/logs", response_model=LogPage)
async def read_log(
    request: Request,
    caller: MayRead,
    run_id: RunId,
    task_run_id: Annotated[str | None, Query(min_length=1, max_length=80)] = None,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """What the run's tasks logged, in order. Of a run that ended just now the last lines are waited for."""
    execution, organization_id = _execution(request), caller.organization_id
    ask, database = execution.outside.run, execution.database
    await ask(history.read_state, database, organization_id, run_id)
    await use.until_logged(execution, run_id)
    items, next_cursor = await ask(
        history.read_log, database, organization_id, run_id, task_run_id=task_run_id, cursor=cursor, limit=limit
    )
    return _json({"items": items, "next_cursor": next_cursor})


@router.get("/tasks/io-data/content", response_class=Response, responses={200: {"content": {"application/json": {}}}})
def read_io_content(
    request: Request,
    caller: MayRead,
    task_run_id: Annotated[str, Query(min_length=1, max_length=80)],
    direction: Literal["input", "output"],
) -> Response:
    """A task run's input or output as a JSON document, however large. 404 while there is none."""
    execution = _execution(request)
    shorter = "in" if direction == "input" else "out"
    found = history.find_io(execution.database, caller.organization_id, task_run_id, shorter)
    try:
        body = execution.payloads.get(found) if isinstance(found, str) else found
    except PayloadMissing as error:
        raise NotFound("io_data_not_found") from error
    name = f'attachment; filename="{direction}-{task_run_id}.json"'
    return Response(body, media_type="application/json", headers={"Content-Disposition": name})


@router.get("/tasks/io-data", response_model=IoData)
def read_io(
    request: Request, caller: MayRead, task_run_id: Annotated[str, Query(min_length=1, max_length=80)]
) -> Response:
    """A task run's input and output, and its failed attempts."""
    return _json(history.read_io(_execution(request).database, caller.organization_id, task_run_id))


def _json(content: Any) -> Response:
    """Reads come from the tables in their final shape: they go out without a second validation."""
    return Response(orjson.dumps(content), media_type="application/json")


def mount(api: FastAPI) -> None:
    # first: `statistics` and `events` are no run's id
    api.include_router(rest_history.router)
    api.include_router(rest_live.router)
    api.include_router(router)
