"""What is placed where: jobs in workflows, tasks in jobs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from kit.ids import new_id
from workflow_service.domain.keys import Placed
from workflow_service.domain.model import Composition, Job, JobPlacement, Task, TaskPlacement
from workflow_service.storage.resources import get_workflow, update
from workflow_service.storage.rows import Actor, policy, to_job, to_retry, to_task
from workflow_service.storage.tables import job, job_task, task, workflow, workflow_job


@dataclass(frozen=True)
class Use:
    """Where something is placed."""

    id: str
    name: str


def uses_of_task(connection: sa.Connection, organization_id: str, task_id: str) -> list[Use]:
    """The jobs that place a task."""
    joined = sa.join(job_task, job, job.c.job_id == job_task.c.job_id)
    found = sa.select(job.c.job_id, job.c.name).select_from(joined).distinct().order_by(job.c.job_id)
    found = found.where(job_task.c.task_id == task_id, job_task.c.organization_id == organization_id)
    return [Use(row.job_id, row.name) for row in connection.execute(found)]


def uses_of_jobs(connection: sa.Connection, organization_id: str, job_ids: Sequence[str]) -> list[Use]:
    """The workflows that place any of these jobs, in one order for all."""
    joined = sa.join(workflow_job, workflow, workflow.c.workflow_id == workflow_job.c.workflow_id)
    found = sa.select(workflow.c.workflow_id, workflow.c.name).select_from(joined).distinct()
    found = found.where(workflow_job.c.job_id.in_(job_ids), workflow_job.c.organization_id == organization_id)
    return [Use(row.workflow_id, row.name) for row in connection.execute(found.order_by(workflow.c.workflow_id))]


def known_jobs(connection: sa.Connection, organization_id: str, ids: Iterable[str]) -> dict[str, Job]:
    """Those of the jobs that the organisation has, by id."""
    return {row.job_id: to_job(row) for row in _known(connection, job, organization_id, ids)}


def known_tasks(connection: sa.Connection, organization_id: str, ids: Iterable[str]) -> dict[str, Task]:
    """Those of the tasks that the organisation has, by id."""
    return {row.task_id: to_task(row) for row in _known(connection, task, organization_id, ids)}


def _known(connection: sa.Connection, table: sa.Table, organization_id: str, ids: Iterable[str]) -> Iterator[Any]:
    id_ = table.c[f"{table.name}_id"]
    for part in _parts(list(dict.fromkeys(ids))):
        mine = table.c.organization_id == organization_id
        yield from connection.execute(sa.select(table).where(mine, id_.in_(part)))


def placed_jobs(connection: sa.Connection, organization_id: str, workflow_id: str) -> list[Placed]:
    rows = connection.execute(_placements(workflow_job, organization_id, workflow_job.c.workflow_id == workflow_id))
    return [Placed(row.workflow_job_id, row.key, row.job_id) for row in rows]


def placed_tasks(connection: sa.Connection, organization_id: str, job_id: str) -> list[Placed]:
    rows = connection.execute(_placements(job_task, organization_id, job_task.c.job_id == job_id))
    return [Placed(row.job_task_id, row.key, row.task_id) for row in rows]


def _placements(table: sa.Table, organization_id: str, which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(table).where(which, table.c.organization_id == organization_id).order_by(table.c.position)


def replace_jobs(connection: sa.Connection, actor: Actor, workflow_id: str, placements: Sequence[JobPlacement]) -> None:
    """Makes `placements` the workflow's jobs; a new one's id is empty."""
    connection.execute(workflow_job.delete().where(workflow_job.c.workflow_id == workflow_id))
    rows = [
        {
            "workflow_job_id": placed.placement_id or new_id(),
            "organization_id": actor.organization_id,
            "workflow_id": workflow_id,
            "job_id": placed.job.job_id,
            "position": position,
            "key": placed.key,
            "depends_on": None if placed.depends_on is None else list(placed.depends_on),
        }
        for position, placed in enumerate(placements)
    ]
    if rows:
        connection.execute(workflow_job.insert(), rows)
    update(connection, workflow, actor, workflow_id, {})


def replace_tasks(connection: sa.Connection, actor: Actor, job_id: str, placements: Sequence[TaskPlacement]) -> None:
    """Makes `placements` the job's tasks; a new one's id is empty."""
    connection.execute(job_task.delete().where(job_task.c.job_id == job_id))
    rows = [
        {
            "job_task_id": placed.placement_id or new_id(),
            "organization_id": actor.organization_id,
            "job_id": job_id,
            "task_id": placed.task.task_id,
            "position": position,
            "key": placed.key,
            "name": placed.name,
            "depends_on": None if placed.depends_on is None else list(placed.depends_on),
            "when_text": placed.when,
            "retry": asdict(placed.retry) if placed.retry else None,
            "timeout_s": placed.timeout_s,
            "queue_timeout_s": placed.queue_timeout_s,
            "heartbeat_s": placed.heartbeat_s,
            "failure_policy": placed.failure_policy,
            "parameters": placed.parameters,
            "for_each": placed.for_each,
            "max_parallel": placed.max_parallel,
            "concurrency_key": placed.concurrency_key,
            "concurrency_limit": placed.concurrency_limit,
        }
        for position, placed in enumerate(placements)
    ]
    if rows:
        connection.execute(job_task.insert(), rows)
    update(connection, job, actor, job_id, {})


def get_task_placements(connection: sa.Connection, organization_id: str, job_id: str) -> tuple[TaskPlacement, ...]:
    """A job's tasks in their order."""
    return _tasks_of(connection, organization_id, [job_id])[job_id]


def _tasks_of(
    connection: sa.Connection, organization_id: str, job_ids: Sequence[str]
) -> dict[str, tuple[TaskPlacement, ...]]:
    """The tasks of each of these jobs, in their order."""
    rows: list[Any] = []
    for part in _parts(job_ids):
        rows += connection.execute(_placements(job_task, organization_id, job_task.c.job_id.in_(part)))
    tasks = known_tasks(connection, organization_id, (row.task_id for row in rows))
    placed: dict[str, list[TaskPlacement]] = {job_id: [] for job_id in job_ids}
    for row in rows:
        placed[row.job_id].append(_to_task_placement(row, tasks[row.task_id]))
    return {job_id: tuple(placements) for job_id, placements in placed.items()}


def _parts(ids: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    """A statement takes so many values and no more."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _to_task_placement(row: Any, placed: Task) -> TaskPlacement:
    return TaskPlacement(
        placement_id=row.job_task_id,
        key=row.key,
        task=placed,
        name=row.name,
        depends_on=None if row.depends_on is None else tuple(row.depends_on),
        when=row.when_text,
        retry=to_retry(row.retry),
        timeout_s=row.timeout_s,
        queue_timeout_s=row.queue_timeout_s,
        heartbeat_s=row.heartbeat_s,
        failure_policy=policy(row.failure_policy),
        parameters=row.parameters,
        for_each=row.for_each,
        max_parallel=row.max_parallel,
        concurrency_key=row.concurrency_key,
        concurrency_limit=row.concurrency_limit,
    )


def get_composition(connection: sa.Connection, organization_id: str, workflow_id: str) -> Composition:
    """A workflow with its jobs and their tasks. Raises NotFound."""
    found = get_workflow(connection, organization_id, workflow_id)
    which = workflow_job.c.workflow_id == workflow_id
    rows = connection.execute(_placements(workflow_job, organization_id, which)).all()
    jobs = known_jobs(connection, organization_id, (row.job_id for row in rows))
    tasks = _tasks_of(connection, organization_id, list(jobs))
    placements = tuple(
        JobPlacement(
            placement_id=row.workflow_job_id,
            key=row.key,
            job=jobs[row.job_id],
            depends_on=None if row.depends_on is None else tuple(row.depends_on),
            tasks=tasks[row.job_id],
        )
        for row in rows
    )
    return Composition(found, placements)
