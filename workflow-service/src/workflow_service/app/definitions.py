"""What other services ask: definitions that can run."""

from collections.abc import Sequence
from dataclasses import dataclass

from kit.errors import Conflict, FieldError, NotFound
from workflow_service import storage
from workflow_service.app.context import Context
from workflow_service.domain.model import (
    Definition,
    Problem,
)


@dataclass(frozen=True)
class Snapshot:
    definition: Definition
    active: bool


def get_definition(ctx: Context, organization_id: str, workflow_id: str, version: int) -> Snapshot:
    """A version, or with 0 the newest. A numbered one outlives its workflow, for the runs that began with it.

    Raises NotFound, and Conflict while what is saved cannot run.
    """
    with ctx.database.read() as connection:
        try:
            workflow = storage.get_workflow(connection, organization_id, workflow_id)
        except NotFound:
            if not version:
                raise
            return Snapshot(storage.get_definition(connection, organization_id, workflow_id, version), False)
        if not version and workflow.problems:
            raise not_runnable(workflow.problems)
        number = version or workflow.version
        return Snapshot(storage.get_definition(connection, organization_id, workflow_id, number), workflow.active)


def not_runnable(problems: Sequence[Problem]) -> Conflict:
    """Why what is saved cannot run."""
    empty = any(problem.code in ("workflow_empty", "job_empty") for problem in problems)
    fields = tuple(FieldError(problem.field, problem.code, problem.params) for problem in problems[:20])
    return Conflict("workflow_empty" if empty else "workflow_incomplete", fields=fields)
