"""Rows and domain types, in both directions."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from workflow_service.domain.model import (
    Backoff,
    Concurrency,
    FailurePolicy,
    Job,
    JobBody,
    Overflow,
    Problem,
    Retry,
    Stamp,
    Task,
    TaskBody,
    Workflow,
    WorkflowBody,
)


@dataclass(frozen=True)
class Actor:
    """Who writes, for which organisation, and when."""

    organization_id: str
    user_id: str
    now: datetime


def _stamp(row: Any) -> Stamp:
    return Stamp(row.revision, row.created_at, row.created_by, row.updated_at, row.updated_by)


def first_stamp(actor: Actor) -> dict[str, Any]:
    return {
        "revision": 1,
        "created_at": actor.now,
        "created_by": actor.user_id,
        "updated_at": actor.now,
        "updated_by": actor.user_id,
    }


def next_stamp(actor: Actor, table: sa.Table) -> dict[str, Any]:
    return {"revision": table.c.revision + 1, "updated_at": actor.now, "updated_by": actor.user_id}


def policy(value: str | None) -> FailurePolicy | None:
    return None if value is None else FailurePolicy(value)


def to_retry(value: Mapping[str, Any] | None) -> Retry | None:
    return None if value is None else Retry(**{**value, "backoff": Backoff(value["backoff"])})


def to_concurrency(value: Mapping[str, Any] | None) -> Concurrency | None:
    return None if value is None else Concurrency(value["limit"], Overflow(value["overflow"]))


def to_workflow(row: Any) -> Workflow:
    body = WorkflowBody(
        name=row.name,
        description=row.description,
        default_config=row.default_config,
        input_schema=row.input_schema,
        failure_policy=FailurePolicy(row.failure_policy),
        timeout_s=row.timeout_s,
        retention_days=row.retention_days,
        concurrency=to_concurrency(row.concurrency),
    )
    return Workflow(
        workflow_id=row.workflow_id,
        organization_id=row.organization_id,
        body=body,
        active=row.active,
        version=row.version,
        problems=tuple(_to_problem(item) for item in row.problems),
        stamp=_stamp(row),
    )


def _to_problem(item: Mapping[str, Any]) -> Problem:
    params = tuple(sorted(item["params"].items()))
    return Problem(tuple(item["where"]), item["field"], item["code"], params, item["blocking"])


def from_problem(problem: Problem) -> dict[str, Any]:
    return {**asdict(problem), "params": dict(problem.params)}


def to_job(row: Any) -> Job:
    return Job(row.job_id, JobBody(row.name, row.description, policy(row.failure_policy)), _stamp(row))


def to_task(row: Any) -> Task:
    body = TaskBody(
        name=row.name,
        type=row.type,
        description=row.description,
        parameters=row.parameters,
        retry=to_retry(row.retry),
        timeout_s=row.timeout_s,
        queue_timeout_s=row.queue_timeout_s,
        heartbeat_s=row.heartbeat_s,
        queue=row.queue,
        priority=row.priority,
        failure_policy=policy(row.failure_policy),
    )
    return Task(row.task_id, body, _stamp(row))
