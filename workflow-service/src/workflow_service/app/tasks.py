"""Tasks."""

from dataclasses import asdict

import sqlalchemy as sa

from kit.errors import Conflict
from workflow_service import storage
from workflow_service.app.context import Context, Revisions, Who
from workflow_service.app.saving import Saving, check_revision, named, once_for, save, workflows_of
from workflow_service.domain.model import (
    Task,
    TaskBody,
)
from workflow_service.storage import Page, Query


def create_task(ctx: Context, who: Who, body: TaskBody, key: str | None) -> Task:
    """Raises Invalid, and Conflict for a key used with another body."""

    def work(connection: sa.Connection, saving: Saving) -> Task:
        def make() -> str:
            task_id = storage.insert_task(connection, saving.actor, body)
            saving.own = {("task", task_id): ("body",)}
            saving.check_task(connection, storage.get_task(connection, who.organization_id, task_id))
            return task_id

        task_id = once_for(connection, who, "create_task", key, asdict(body), make)
        return storage.get_task(connection, who.organization_id, task_id)

    return save(ctx, who, {}, work)


def update_task(ctx: Context, who: Who, task_id: str, body: TaskBody, revisions: Revisions) -> Task:
    """Every workflow that uses the task gets a new version. Raises NotFound, Outdated, Invalid."""

    def work(connection: sa.Connection, saving: Saving) -> Task:
        check_revision(storage.get_task(connection, who.organization_id, task_id).stamp, revisions)
        storage.update_task(connection, saving.actor, task_id, body)
        task = storage.get_task(connection, who.organization_id, task_id)
        saving.check_task(connection, task)
        jobs = [use.id for use in storage.uses_of_task(connection, who.organization_id, task_id)]
        saving.compile(connection, workflows_of(connection, who, jobs))
        return task

    return save(ctx, who, {("task", task_id): ("body",)}, work)


def get_task(ctx: Context, who: Who, task_id: str) -> Task:
    """Raises NotFound."""
    with ctx.database.read() as connection:
        return storage.get_task(connection, who.organization_id, task_id)


def list_tasks(ctx: Context, who: Who, query: Query) -> Page:
    with ctx.database.read() as connection:
        return storage.list_tasks(connection, who.organization_id, query)


def delete_task(ctx: Context, who: Who, task_id: str, revisions: Revisions) -> None:
    """Raises NotFound, Outdated, and Conflict while a job places it."""

    def work(connection: sa.Connection, saving: Saving) -> None:
        check_revision(storage.get_task(connection, who.organization_id, task_id).stamp, revisions)
        uses = storage.uses_of_task(connection, who.organization_id, task_id)
        if uses:
            raise Conflict("task_in_use", jobs=named(uses))
        storage.delete_task(connection, who.organization_id, task_id)

    save(ctx, who, {}, work)
