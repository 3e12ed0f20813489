"""Placements of a workflow saved as one task: the inner workflow, the task that runs it, and its place, or nothing."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import sqlalchemy as sa

from expressions import ExpressionError
from kit.errors import FieldError, Invalid
from workflow_service import storage
from workflow_service.app.context import Context, Revisions, Who
from workflow_service.app.definitions import not_runnable
from workflow_service.app.saving import Refused, Saving, check_revision, named, once_for, save
from workflow_service.domain import keys
from workflow_service.domain.compile import compile_definition
from workflow_service.domain.composite import COMPOSITE, TYPE, Composite, Replaced, Wanted, compose
from workflow_service.domain.engine_types import DEPTH
from workflow_service.domain.group import NotComposable
from workflow_service.domain.model import Composition, Job, JobPlacement, PlacementId, Task, Workflow, WorkflowId


@dataclass(frozen=True)
class CompositeTask:
    """A composite task. `inner`: the workflow that it runs; `key`: its own in `workflow`, None when it is not there."""

    task: Task
    inner: WorkflowId
    workflow: Workflow
    key: str | None


def create_composite(
    ctx: Context, who: Who, workflow_id: str, wanted: Wanted, key: str | None, revisions: Revisions
) -> CompositeTask:
    """Raises NotFound, Outdated, Invalid, Conflict while the workflow cannot run or for a key used with another body.

    All of it or nothing is saved.
    """

    def work(connection: sa.Connection, saving: Saving) -> CompositeTask:
        # the same key tells of the same composite, though the workflow has changed by it
        said = {"workflow_id": workflow_id, **asdict(wanted)}
        workflow = storage.get_workflow(connection, who.organization_id, workflow_id)

        def make() -> str:
            check_revision(workflow.stamp, revisions)
            return _make(connection, saving, workflow_id, wanted)

        task_id = once_for(connection, who, "create_composite", key, said, make)
        return _composed(connection, who, workflow_id, task_id)

    try:
        return save(ctx, who, {}, work)
    except Refused as refused:
        # what does not compile has no place in the body but the choice itself
        fields = dict.fromkeys(FieldError("body.keys", field.code, field.params) for field in refused.fields)
        raise Invalid("invalid", fields=tuple(fields)) from refused


def _make(connection: sa.Connection, saving: Saving, workflow_id: str, wanted: Wanted) -> str:
    organization_id = saving.actor.organization_id
    composition = storage.get_composition(connection, organization_id, workflow_id)
    made = _compose(connection, organization_id, composition, wanted)
    if made.replaced is not None:
        _check_jobs_are_its_own(connection, organization_id, workflow_id, composition, made.replaced)
    inner = _save_inner(connection, saving, made)
    if 1 + _levels(connection, organization_id, inner, frozenset({workflow_id})) > DEPTH:
        raise Invalid.field("body.keys", "composite_too_deep", limit=DEPTH)
    body = replace(made.task, parameters={"workflow_id": inner, **made.task.parameters})
    task_id = storage.insert_task(connection, saving.actor, body)
    task = storage.get_task(connection, organization_id, task_id)
    saving.check_task(connection, task)
    if made.replaced is not None:
        _put_in_place(connection, saving, workflow_id, made.replaced, task)
    return task_id


def _compose(connection: sa.Connection, organization_id: str, composition: Composition, wanted: Wanted) -> Composite:
    workflow_id = composition.workflow.workflow_id
    remembered = keys.remember(storage.latest_definition(connection, organization_id, workflow_id))
    _, problems = compile_definition(composition, {}, remembered)
    if blocking := [problem for problem in problems if problem.blocking]:
        raise not_runnable(blocking)
    try:
        return compose(composition, keys.workflow_keys(composition, remembered), wanted)
    except NotComposable as refused:
        raise Invalid.field(refused.field, refused.code, **refused.params) from refused
    except ExpressionError as error:
        raise Invalid.field("body.keys", "composite_not_rewritable", error=error.reason) from error


def _check_jobs_are_its_own(
    connection: sa.Connection, organization_id: str, workflow_id: str, composition: Composition, replaced: Replaced
) -> None:
    """Other workflows would change with it. Raises Invalid."""
    for placed in composition.jobs:
        if placed.job.job_id not in replaced.jobs:
            continue
        uses = storage.uses_of_jobs(connection, organization_id, [placed.job.job_id])
        if others := [use for use in uses if use.id != workflow_id]:
            params = {"job": placed.job.body.name, "workflows": named(others)}
            raise Invalid.field("body.keys", "composite_job_shared", **params)


def _save_inner(connection: sa.Connection, saving: Saving, made: Composite) -> WorkflowId:
    """The inner workflow with jobs of its own, in which the same tasks are placed."""
    organization_id = saving.actor.organization_id
    inner = storage.insert_workflow(connection, saving.actor, made.inner)
    placed: list[JobPlacement] = []
    for each in made.jobs:
        job_id = storage.insert_job(connection, saving.actor, each.body)
        storage.replace_tasks(connection, saving.actor, job_id, each.tasks)
        job: Job = storage.get_job(connection, organization_id, job_id)
        placed.append(JobPlacement(PlacementId(""), each.key, job, each.depends_on))
    storage.replace_jobs(connection, saving.actor, inner, placed)
    saving.compile(connection, [inner])
    return inner


def _put_in_place(connection: sa.Connection, saving: Saving, workflow_id: str, replaced: Replaced, task: Task) -> None:
    for job_id, tasks in replaced.jobs.items():
        known = [replace(placed, task=task) if placed.task.task_id == COMPOSITE else placed for placed in tasks]
        storage.replace_tasks(connection, saving.actor, job_id, known)
    storage.update_workflow(connection, saving.actor, workflow_id, replaced.body)
    saving.compile(connection, [workflow_id])


def _levels(connection: sa.Connection, organization_id: str, workflow_id: str, above: frozenset[str]) -> int:
    """How many runs stand below one another under a run of a workflow; one that comes round again counts no more."""
    definition = storage.latest_definition(connection, organization_id, workflow_id)
    if definition is None or workflow_id in above or len(above) > DEPTH + 1:
        return 0
    specs = [spec for job in definition.jobs for spec in job.tasks if spec.type == TYPE]
    below = {str(spec.parameters.get("workflow_id")) for spec in specs}
    return max((1 + _levels(connection, organization_id, one, above | {workflow_id}) for one in below), default=0)


def _composed(connection: sa.Connection, who: Who, workflow_id: str, task_id: str) -> CompositeTask:
    task = storage.get_task(connection, who.organization_id, task_id)
    composition = storage.get_composition(connection, who.organization_id, workflow_id)
    placed = [placed.key for job in composition.jobs for placed in job.tasks if placed.task.task_id == task_id]
    parameters: Mapping[str, str] = task.body.parameters
    return CompositeTask(task, WorkflowId(parameters["workflow_id"]), composition.workflow, next(iter(placed), None))
