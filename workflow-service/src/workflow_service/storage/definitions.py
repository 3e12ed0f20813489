"""Versions of definitions, which never change."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from kit.errors import NotFound
from kit.ids import new_id
from workflow_service.domain.model import Definition, FailurePolicy, JobSpec, Problem, Retry, TaskSpec
from workflow_service.storage.resources import own
from workflow_service.storage.rows import Actor, from_problem, to_concurrency, to_retry
from workflow_service.storage.tables import definition_version, workflow


def latest_definition(connection: sa.Connection, organization_id: str, workflow_id: str) -> Definition | None:
    """The newest version, whether or not it is still what is saved; None before the first."""
    newest = _versions(organization_id, workflow_id).order_by(definition_version.c.version.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return None if row is None else _to_definition(row.snapshot, row.version)


def get_definition(connection: sa.Connection, organization_id: str, workflow_id: str, version: int) -> Definition:
    """One version, of a deleted workflow too. Raises NotFound."""
    one = _versions(organization_id, workflow_id).where(definition_version.c.version == version)
    row = connection.execute(one).one_or_none()
    if row is None:
        raise NotFound("definition_not_found")
    return _to_definition(row.snapshot, row.version)


def _versions(organization_id: str, workflow_id: str) -> sa.Select[Any]:
    mine = definition_version.c.organization_id == organization_id
    return sa.select(definition_version).where(mine, definition_version.c.workflow_id == workflow_id)


def insert_definition(connection: sa.Connection, actor: Actor, definition: Definition) -> None:
    """Records a version and makes it the workflow's newest."""
    connection.execute(
        definition_version.insert().values(
            definition_version_id=new_id(),
            organization_id=actor.organization_id,
            workflow_id=definition.workflow_id,
            version=definition.version,
            snapshot=asdict(definition),
            created_at=actor.now,
            created_by=actor.user_id,
        )
    )
    mine = own(workflow, actor.organization_id, definition.workflow_id)
    connection.execute(workflow.update().where(mine).values(version=definition.version))


def set_problems(
    connection: sa.Connection, organization_id: str, workflow_id: str, problems: Sequence[Problem]
) -> None:
    """Why the workflow cannot run as it is saved; none: it can."""
    mine = own(workflow, organization_id, workflow_id)
    connection.execute(workflow.update().where(mine).values(problems=[from_problem(found) for found in problems]))


def _to_definition(snapshot: Mapping[str, Any], version: int) -> Definition:
    jobs = tuple(
        JobSpec(
            **{
                **item,
                "depends_on": tuple(item["depends_on"]),
                "tasks": tuple(_to_task_spec(inner) for inner in item["tasks"]),
            }
        )
        for item in snapshot["jobs"]
    )
    concurrency = to_concurrency(snapshot.get("concurrency"))
    return Definition(**{**snapshot, "version": version, "jobs": jobs, "concurrency": concurrency})


def _to_task_spec(item: Mapping[str, Any]) -> TaskSpec:
    retry = to_retry(item["retry"]) or Retry()
    policy = FailurePolicy(item["failure_policy"])
    return TaskSpec(**{**item, "depends_on": tuple(item["depends_on"]), "retry": retry, "failure_policy": policy})
