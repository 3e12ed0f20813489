"""What people get: every answer's shape, made from the domain's types."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from kit import messages
from workflow_service.app import Composed, CompositeTask, JobWithTasks
from workflow_service.clients import Schedule
from workflow_service.domain.model import (
    Job,
    JobSpec,
    Problem,
    Stamp,
    Task,
    TaskPlacement,
    TaskSpec,
    TaskType,
    Workflow,
)


class StampOut(BaseModel):
    revision: int
    created_at: str
    created_by: str
    updated_at: str
    updated_by: str


class ProblemOut(BaseModel):
    field: str
    reason: str


class RetryOut(BaseModel):
    max_attempts: int
    backoff: str
    delay_s: float
    max_delay_s: float
    jitter: float


class ConcurrencyOut(BaseModel):
    limit: int
    overflow: str


class WorkflowOut(StampOut):
    """`version`: the newest definition. `runnable` is false while `problems` say why what is saved cannot run.
    `concurrency`: how many of its runs go on at once; null: any number."""

    workflow_id: str
    name: str
    description: str
    default_config: dict[str, Any]
    input_schema: dict[str, Any] | None
    failure_policy: str
    timeout_s: float | None
    retention_days: float | None
    concurrency: ConcurrencyOut | None
    active: bool
    version: int
    runnable: bool
    problems: list[ProblemOut]


class TaskSpecOut(BaseModel):
    """A placement as it would run: `parameters` are merged, `depends_on` is filled in.

    `when`: its condition in `${{ }}`; null: it always runs. `for_each`: a list, or an expression that gives one, over
    whose items it runs; null: it runs once. `max_parallel` 0: as many items at once as the engine lets. Of all tasks of
    the organisation under its `concurrency_key` at most `concurrency_limit` run; null: it has no key.
    """

    key: str
    task_id: str
    name: str
    type: str
    parameters: dict[str, Any]
    depends_on: list[str]
    when: str | None
    for_each: list[Any] | str | None
    max_parallel: int
    concurrency_key: str | None
    concurrency_limit: int | None
    failure_policy: str
    retry: RetryOut
    timeout_s: float
    queue_timeout_s: float
    heartbeat_s: float
    queue: str
    priority: int


class JobSpecOut(BaseModel):
    key: str
    job_id: str
    name: str
    depends_on: list[str]
    tasks: list[TaskSpecOut]


class ComposedOut(WorkflowOut):
    jobs: list[JobSpecOut]


class ScheduleOut(BaseModel):
    schedule_id: str
    cron: str
    time_zone: str
    text: str
    description: str
    active: bool
    paused: bool
    values: dict[str, Any]
    next_fire_at: str | None


class DetailOut(ComposedOut):
    """`schedules` is null when the scheduler does not answer."""

    schedules: list[ScheduleOut] | None


class TaskPlacementOut(BaseModel):
    """A placement as it was said; null: the task's own."""

    key: str
    task_id: str
    task_name: str
    type: str
    name: str | None
    depends_on: list[str] | None
    when: str | None
    for_each: list[Any] | str | None
    max_parallel: int | None
    concurrency_key: str | None
    concurrency_limit: int | None
    retry: RetryOut | None
    timeout_s: float | None
    queue_timeout_s: float | None
    heartbeat_s: float | None
    failure_policy: str | None
    parameters: dict[str, Any]


class JobOut(StampOut):
    job_id: str
    name: str
    description: str
    failure_policy: str | None


class JobDetailOut(JobOut):
    tasks: list[TaskPlacementOut]


class TaskOut(StampOut):
    task_id: str
    name: str
    type: str
    description: str
    parameters: dict[str, Any]
    retry: RetryOut | None
    timeout_s: float | None
    queue_timeout_s: float | None
    heartbeat_s: float | None
    queue: str | None
    priority: int | None
    failure_policy: str | None


class CompositeOut(StampOut):
    """A task that runs the workflow `workflow_id`. `inputs`: what that is given, as expressions of the workflow from
    which it was made; `outputs`: keys of the tasks whose outputs it gives. `key`: its own in that workflow, null when
    it was not put there; `workflow_revision`: that workflow's since."""

    task_id: str
    workflow_id: str
    name: str
    description: str
    inputs: dict[str, Any]
    outputs: list[str]
    key: str | None
    workflow_revision: int


class ErrorCodeOut(BaseModel):
    code: str
    retryable: bool
    text: str


class TaskTypeOut(BaseModel):
    """Schemas are JSON Schema 2020-12; texts in the caller's language."""

    type: str
    title: str
    parameters_schema: dict[str, Any]
    output_schema: dict[str, Any]
    errors: list[ErrorCodeOut]
    effect: bool
    timeout_s: float
    queue: str


class Workflows(BaseModel):
    items: list[WorkflowOut]
    next_cursor: str | None


class Jobs(BaseModel):
    items: list[JobOut]
    next_cursor: str | None


class Tasks(BaseModel):
    items: list[TaskOut]
    next_cursor: str | None


class TaskTypes(BaseModel):
    items: list[TaskTypeOut]
    next_cursor: str | None


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _stamp(stamp: Stamp) -> dict[str, Any]:
    return {**asdict(stamp), "created_at": _time(stamp.created_at), "updated_at": _time(stamp.updated_at)}


def _problem(problem: Problem) -> ProblemOut:
    return ProblemOut(field=problem.field, reason=messages.text(problem.code, **dict(problem.params)))


def _workflow(workflow: Workflow) -> dict[str, Any]:
    return {
        "workflow_id": workflow.workflow_id,
        **asdict(workflow.body),
        "active": workflow.active,
        "version": workflow.version,
        "runnable": not workflow.problems,
        "problems": [_problem(problem) for problem in workflow.problems],
        **_stamp(workflow.stamp),
    }


def _composed(composed: Composed) -> dict[str, Any]:
    return {**_workflow(composed.workflow), "jobs": [_job_spec(job) for job in composed.definition.jobs]}


def _job_spec(spec: JobSpec) -> JobSpecOut:
    return JobSpecOut(
        key=spec.key,
        job_id=spec.job_id,
        name=spec.name,
        depends_on=list(spec.depends_on),
        tasks=[_task_spec(task) for task in spec.tasks],
    )


def _task_spec(spec: TaskSpec) -> TaskSpecOut:
    return TaskSpecOut(**{name: value for name, value in asdict(spec).items() if name in TaskSpecOut.model_fields})


def _job(job: Job) -> dict[str, Any]:
    return {"job_id": job.job_id, **asdict(job.body), **_stamp(job.stamp)}


def _placement(placement: TaskPlacement) -> TaskPlacementOut:
    return TaskPlacementOut(
        key=placement.key,
        task_id=placement.task.task_id,
        task_name=placement.task.body.name,
        type=placement.task.body.type,
        name=placement.name,
        depends_on=None if placement.depends_on is None else list(placement.depends_on),
        when=placement.when,
        for_each=placement.for_each,
        max_parallel=placement.max_parallel,
        concurrency_key=placement.concurrency_key,
        concurrency_limit=placement.concurrency_limit,
        retry=RetryOut(**asdict(placement.retry)) if placement.retry else None,
        timeout_s=placement.timeout_s,
        queue_timeout_s=placement.queue_timeout_s,
        heartbeat_s=placement.heartbeat_s,
        failure_policy=placement.failure_policy,
        parameters=dict(placement.parameters),
    )


def to_workflow(workflow: Workflow) -> WorkflowOut:
    return WorkflowOut(**_workflow(workflow))


def to_composed(composed: Composed) -> ComposedOut:
    return ComposedOut(**_composed(composed))


def to_detail(composed: Composed, schedules: Sequence[Schedule] | None) -> DetailOut:
    shown = None if schedules is None else [to_schedule(schedule) for schedule in schedules]
    return DetailOut(**_composed(composed), schedules=shown)


def to_schedule(schedule: Schedule) -> ScheduleOut:
    fire = schedule.next_fire_at
    return ScheduleOut(**{**asdict(schedule), "next_fire_at": None if fire is None else _time(fire)})


def to_job(job: Job) -> JobOut:
    return JobOut(**_job(job))


def to_job_detail(found: JobWithTasks) -> JobDetailOut:
    return JobDetailOut(**_job(found.job), tasks=[_placement(placement) for placement in found.tasks])


def to_task(task: Task) -> TaskOut:
    return TaskOut(**{"task_id": task.task_id, **asdict(task.body), **_stamp(task.stamp)})


def to_composite(made: CompositeTask) -> CompositeOut:
    body = made.task.body
    return CompositeOut(
        task_id=made.task.task_id,
        workflow_id=made.inner,
        name=body.name,
        description=body.description,
        inputs=body.parameters["input"],
        outputs=body.parameters["outputs"],
        key=made.key,
        workflow_revision=made.workflow.stamp.revision,
        **_stamp(made.task.stamp),
    )


def to_task_type(found: TaskType) -> TaskTypeOut:
    korean = messages.language.get() == "ko"
    return TaskTypeOut(
        type=found.type,
        title=(found.title_ko if korean else found.title_en) or found.type,
        parameters_schema=dict(found.parameters_schema),
        output_schema=dict(found.output_schema),
        errors=[
            ErrorCodeOut(code=error.code, retryable=error.retryable, text=error.text_ko if korean else error.text_en)
            for error in found.errors
        ],
        effect=found.effect,
        timeout_s=found.timeout_s,
        queue=found.queue,
    )
