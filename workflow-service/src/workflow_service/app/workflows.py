"""Workflows, and the jobs placed in them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa
import structlog

from kit.errors import Error, Invalid
from workflow_service import storage
from workflow_service.app.context import Context, Revisions, Who
from workflow_service.app.notices import deliver_notices
from workflow_service.app.saving import WORKFLOW, Saving, check_placements, check_revision, once_for, save
from workflow_service.clients import Schedule
from workflow_service.domain import keys
from workflow_service.domain.compile import compile_definition
from workflow_service.domain.model import Definition, JobPlacement, PlacementId, Workflow, WorkflowBody, path_text
from workflow_service.domain.schemas import schema_fault
from workflow_service.storage import Page, Query

log = structlog.get_logger()


@dataclass(frozen=True)
class WantedJob:
    job_id: str
    key: str | None = None
    depends_on: tuple[str, ...] | None = None


def create_workflow(ctx: Context, who: Who, body: WorkflowBody, key: str | None) -> Workflow:
    """Raises Invalid, and Conflict for a key used with another body."""
    _check_input_schema(body)

    def work(connection: sa.Connection, saving: Saving) -> Workflow:
        def make() -> str:
            workflow_id = storage.insert_workflow(connection, saving.actor, body)
            saving.compile(connection, [workflow_id])
            return workflow_id

        workflow_id = once_for(connection, who, "create_workflow", key, asdict(body), make)
        return storage.get_workflow(connection, who.organization_id, workflow_id)

    return save(ctx, who, WORKFLOW, work)


def update_workflow(ctx: Context, who: Who, workflow_id: str, body: WorkflowBody, revisions: Revisions) -> Workflow:
    """Raises NotFound, Outdated, Invalid."""
    _check_input_schema(body)

    def work(connection: sa.Connection, saving: Saving) -> Workflow:
        check_revision(storage.get_workflow(connection, who.organization_id, workflow_id).stamp, revisions)
        storage.update_workflow(connection, saving.actor, workflow_id, body)
        saving.compile(connection, [workflow_id])
        return storage.get_workflow(connection, who.organization_id, workflow_id)

    return save(ctx, who, WORKFLOW, work)


def get_workflow(ctx: Context, who: Who, workflow_id: str) -> Workflow:
    """Raises NotFound."""
    with ctx.database.read() as connection:
        return storage.get_workflow(connection, who.organization_id, workflow_id)


def workflow_head(ctx: Context, organization_id: str, workflow_id: str) -> tuple[str, int, bool]:
    """Name, newest version, and whether it is active. Raises NotFound."""
    with ctx.database.read() as connection:
        return storage.workflow_head(connection, organization_id, workflow_id)


def list_workflows(ctx: Context, who: Who, query: Query) -> Page:
    with ctx.database.read() as connection:
        return storage.list_workflows(connection, who.organization_id, query)


@dataclass(frozen=True)
class Composed:
    """A workflow with its jobs as they would run."""

    workflow: Workflow
    definition: Definition


def get_composed(ctx: Context, who: Who, workflow_id: str) -> Composed:
    """Raises NotFound."""
    with ctx.database.read() as connection:
        return _composed(connection, who, workflow_id)


def _composed(connection: sa.Connection, who: Who, workflow_id: str) -> Composed:
    composition = storage.get_composition(connection, who.organization_id, workflow_id)
    latest = storage.latest_definition(connection, who.organization_id, workflow_id)
    definition, _ = compile_definition(composition, storage.task_types(connection), keys.remember(latest))
    return Composed(composition.workflow, definition)


def list_schedules(ctx: Context, who: Who, workflow_id: str) -> list[Schedule] | None:
    """A workflow's schedules; None when the scheduler does not say."""
    try:
        return ctx.scheduler.list_schedules(who.organization_id, workflow_id)
    except Error as error:
        log.info("schedules_unknown", workflow_id=workflow_id, error=str(error))
        return None


def set_active(ctx: Context, who: Who, workflow_id: str, active: bool, revisions: Revisions) -> Workflow:
    """Lets a workflow be started, or not. Its schedules follow: at once, or when the scheduler answers again.

    Raises NotFound, Outdated.
    """

    def work(connection: sa.Connection, saving: Saving) -> Workflow:
        found = storage.get_workflow(connection, who.organization_id, workflow_id)
        check_revision(found.stamp, revisions)
        if found.active != active:
            storage.set_active(connection, saving.actor, workflow_id, active)
            storage.put_notice(connection, saving.actor, workflow_id, paused=not active, deleted=False)
        return storage.get_workflow(connection, who.organization_id, workflow_id)

    workflow = save(ctx, who, WORKFLOW, work)
    deliver_notices(ctx, workflow_id)
    return workflow


def delete_workflow(ctx: Context, who: Who, workflow_id: str, revisions: Revisions) -> None:
    """Its versions stay for the runs that began with them. Raises NotFound, Outdated."""

    def work(connection: sa.Connection, saving: Saving) -> None:
        check_revision(storage.get_workflow(connection, who.organization_id, workflow_id).stamp, revisions)
        storage.delete_workflow(connection, saving.actor, workflow_id)
        storage.put_notice(connection, saving.actor, workflow_id, paused=True, deleted=True)

    save(ctx, who, WORKFLOW, work)
    deliver_notices(ctx, workflow_id)


def put_jobs(ctx: Context, who: Who, workflow_id: str, wanted: Sequence[WantedJob], revisions: Revisions) -> Composed:
    """Makes these jobs the workflow's, in this order. Raises NotFound, Outdated, Invalid."""

    def work(connection: sa.Connection, saving: Saving) -> Composed:
        check_revision(storage.get_workflow(connection, who.organization_id, workflow_id).stamp, revisions)
        jobs = storage.known_jobs(connection, who.organization_id, (item.job_id for item in wanted))
        check_placements([(item.job_id, item.key) for item in wanted], jobs, "job")
        asked = [keys.Wanted(item.job_id, item.key, keys.job_key(jobs[item.job_id].body.name)) for item in wanted]
        placed = keys.rematch(storage.placed_jobs(connection, who.organization_id, workflow_id), asked)
        placements = [
            JobPlacement(old or PlacementId(""), key, jobs[item.job_id], item.depends_on)
            for item, (old, key) in zip(wanted, placed, strict=True)
        ]
        storage.replace_jobs(connection, saving.actor, workflow_id, placements)
        saving.compile(connection, [workflow_id])
        return _composed(connection, who, workflow_id)

    return save(ctx, who, {("jobs",): ("body",)}, work)


def _check_input_schema(body: WorkflowBody) -> None:
    if body.input_schema is None:
        return
    fault = schema_fault(body.input_schema)
    if fault is not None:
        raise Invalid.field(path_text(("body", "input_schema", *fault.path)), fault.code, **dict(fault.params))
