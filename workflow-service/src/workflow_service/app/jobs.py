"""Jobs, and the tasks placed in them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from kit.errors import Conflict
from workflow_service import storage
from workflow_service.app.context import Context, Revisions, Who
from workflow_service.app.saving import Saving, check_placements, check_revision, named, once_for, save, workflows_of
from workflow_service.domain import keys
from workflow_service.domain.model import (
    FailurePolicy,
    Job,
    JobBody,
    JsonObject,
    PlacementId,
    Retry,
    Task,
    TaskPlacement,
)
from workflow_service.storage import Page, Query


@dataclass(frozen=True)
class WantedTask:
    task_id: str
    key: str | None = None
    name: str | None = None
    depends_on: tuple[str, ...] | None = None
    when: str | None = None
    retry: Retry | None = None
    timeout_s: float | None = None
    queue_timeout_s: float | None = None
    heartbeat_s: float | None = None
    failure_policy: FailurePolicy | None = None
    parameters: JsonObject | None = None
    for_each: list[Any] | str | None = None
    max_parallel: int | None = None
    concurrency_key: str | None = None
    concurrency_limit: int | None = None


def create_job(ctx: Context, who: Who, body: JobBody, key: str | None) -> Job:
    """Raises Conflict for a key used with another body."""

    def work(connection: sa.Connection, saving: Saving) -> Job:
        def make() -> str:
            return storage.insert_job(connection, saving.actor, body)

        job_id = once_for(connection, who, "create_job", key, asdict(body), make)
        return storage.get_job(connection, who.organization_id, job_id)

    return save(ctx, who, {}, work)


def update_job(ctx: Context, who: Who, job_id: str, body: JobBody, revisions: Revisions) -> Job:
    """Raises NotFound, Outdated, Invalid."""

    def work(connection: sa.Connection, saving: Saving) -> Job:
        check_revision(storage.get_job(connection, who.organization_id, job_id).stamp, revisions)
        storage.update_job(connection, saving.actor, job_id, body)
        saving.compile(connection, workflows_of(connection, who, [job_id]))
        return storage.get_job(connection, who.organization_id, job_id)

    return save(ctx, who, {}, work)


@dataclass(frozen=True)
class JobWithTasks:
    job: Job
    tasks: tuple[TaskPlacement, ...]


def get_job(ctx: Context, who: Who, job_id: str) -> JobWithTasks:
    """Raises NotFound."""
    with ctx.database.read() as connection:
        return _job_with_tasks(connection, who, job_id)


def _job_with_tasks(connection: sa.Connection, who: Who, job_id: str) -> JobWithTasks:
    job = storage.get_job(connection, who.organization_id, job_id)
    return JobWithTasks(job, storage.get_task_placements(connection, who.organization_id, job_id))


def list_jobs(ctx: Context, who: Who, query: Query) -> Page:
    with ctx.database.read() as connection:
        return storage.list_jobs(connection, who.organization_id, query)


def delete_job(ctx: Context, who: Who, job_id: str, revisions: Revisions) -> None:
    """Raises NotFound, Outdated, and Conflict while a workflow places it."""

    def work(connection: sa.Connection, saving: Saving) -> None:
        check_revision(storage.get_job(connection, who.organization_id, job_id).stamp, revisions)
        uses = storage.uses_of_jobs(connection, who.organization_id, [job_id])
        if uses:
            raise Conflict("job_in_use", workflows=named(uses))
        storage.delete_job(connection, who.organization_id, job_id)

    save(ctx, who, {}, work)


def put_tasks(ctx: Context, who: Who, job_id: str, wanted: Sequence[WantedTask], revisions: Revisions) -> JobWithTasks:
    """Makes these tasks the job's, in this order. Raises NotFound, Outdated, Invalid."""

    def work(connection: sa.Connection, saving: Saving) -> JobWithTasks:
        check_revision(storage.get_job(connection, who.organization_id, job_id).stamp, revisions)
        tasks = storage.known_tasks(connection, who.organization_id, (item.task_id for item in wanted))
        check_placements([(item.task_id, item.key) for item in wanted], tasks, "task")
        asked = [keys.Wanted(item.task_id, item.key, _suggested(item, tasks[item.task_id])) for item in wanted]
        placed = keys.rematch(storage.placed_tasks(connection, who.organization_id, job_id), asked)
        placements = [
            _placement(item, tasks[item.task_id], old, key) for item, (old, key) in zip(wanted, placed, strict=True)
        ]
        storage.replace_tasks(connection, saving.actor, job_id, placements)
        saving.compile(connection, workflows_of(connection, who, [job_id]), alone=job_id)
        return _job_with_tasks(connection, who, job_id)

    return save(ctx, who, {("placement", job_id): ("body",)}, work)


def _suggested(item: WantedTask, task: Task) -> str:
    return keys.task_key(item.name or task.body.name, task.body.type)


def _placement(item: WantedTask, task: Task, old: PlacementId | None, key: str) -> TaskPlacement:
    return TaskPlacement(
        placement_id=old or PlacementId(""),
        key=key,
        task=task,
        name=item.name,
        depends_on=item.depends_on,
        when=item.when,
        retry=item.retry,
        timeout_s=item.timeout_s,
        queue_timeout_s=item.queue_timeout_s,
        heartbeat_s=item.heartbeat_s,
        failure_policy=item.failure_policy,
        parameters=item.parameters or {},
        for_each=item.for_each,
        max_parallel=item.max_parallel,
        concurrency_key=item.concurrency_key,
        concurrency_limit=item.concurrency_limit,
    )
