"""The one way to save: in one transaction what is said and every definition that it changes, or nothing.

A workflow has a newest version exactly as it is saved, or problems that say why it has not.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import orjson
import sqlalchemy as sa

from kit.database import once
from kit.errors import FieldError, Invalid, NotFound, Outdated
from workflow_service import storage
from workflow_service.app.catalogue import refresh_task_types
from workflow_service.app.context import Context, Revisions, Who
from workflow_service.domain import keys
from workflow_service.domain.compile import compile_definition
from workflow_service.domain.model import (
    Composition,
    Definition,
    Job,
    JobBody,
    JobId,
    JobPlacement,
    PlacementId,
    Problem,
    Stamp,
    Task,
    TaskPlacement,
    TaskType,
    Workflow,
    WorkflowBody,
    WorkflowId,
    path_text,
)
from workflow_service.storage import Actor

T = TypeVar("T")
FIELDS_SHOWN = 50


class Refused(Invalid):
    """What would be saved does not compile. `found`: workflow id and problem."""

    def __init__(self, found: Sequence[tuple[str, Problem]], fields: tuple[FieldError, ...]) -> None:
        super().__init__("invalid", fields=fields)
        self.found = frozenset(found)


Own: TypeAlias = Mapping[tuple[str | int, ...], tuple[str | int, ...]]
"""Whose values the request's body holds (`Problem.where`), and where in the body they stand."""
WORKFLOW: Own = {("default_config",): ("body", "default_config")}


@dataclass
class Saving:
    """One save: who makes it, what its body holds, and which problems were there before it."""

    actor: Actor
    own: Own
    tolerated: frozenset[tuple[str, Problem]] = frozenset()

    def compile(self, connection: sa.Connection, workflow_ids: Iterable[str], *, alone: str | None = None) -> None:
        """A new version for each workflow that would now run differently. Raises Refused.

        `alone`: a job that is checked by itself too, for it may stand in no workflow yet.
        """
        organization_id = self.actor.organization_id
        types = storage.task_types(connection)
        refused: list[tuple[str, Problem]] = []
        if alone is not None:
            job = storage.get_job(connection, organization_id, alone)
            placements = storage.get_task_placements(connection, organization_id, alone)
            refused += self._blocking("", _check_part(job, placements, types))
        for workflow_id in workflow_ids:
            composition = storage.get_composition(connection, organization_id, workflow_id)
            latest = storage.latest_definition(connection, organization_id, workflow_id)
            definition, problems = compile_definition(composition, types, keys.remember(latest))
            blocking = self._blocking(workflow_id, problems)
            refused += blocking
            if not blocking:
                self._record(connection, composition.workflow, latest, definition, problems)
        self._refuse(refused)

    def check_task(self, connection: sa.Connection, task: Task) -> None:
        """Checks a task by itself: it may stand in no workflow yet. Raises Refused."""
        placement = TaskPlacement(PlacementId(""), keys.task_key(task.body.name, task.body.type), task)
        job, types = Job(JobId(""), JobBody(""), task.stamp), storage.task_types(connection)
        # what places it may run it over a list or not: with one its parameters may name `item`, else their loops may
        found = [_check_part(job, (each,), types) for each in (placement, replace(placement, for_each=[]))]
        self._refuse(min((self._blocking("", problems) for problems in found), key=len))

    def _record(
        self,
        connection: sa.Connection,
        workflow: Workflow,
        latest: Definition | None,
        definition: Definition,
        problems: tuple[Problem, ...],
    ) -> None:
        if problems != workflow.problems:
            storage.set_problems(connection, self.actor.organization_id, workflow.workflow_id, problems)
        if not problems and (latest is None or _content(latest) != _content(definition)):
            version = latest.version + 1 if latest else 1
            storage.insert_definition(connection, self.actor, replace(definition, version=version))

    def _blocking(self, workflow_id: str, problems: Iterable[Problem]) -> list[tuple[str, Problem]]:
        found = [(workflow_id, problem) for problem in problems if problem.blocking]
        return [item for item in found if item not in self.tolerated]

    def _refuse(self, refused: Sequence[tuple[str, Problem]]) -> None:
        if refused:
            fields = dict.fromkeys(
                FieldError(self._field(workflow_id, problem), problem.code, problem.params)
                for workflow_id, problem in refused
            )
            raise Refused(refused, tuple(fields)[:FIELDS_SHOWN])

    def _field(self, workflow_id: str, problem: Problem) -> str:
        for prefix, place in self.own.items():
            if problem.where[: len(prefix)] == prefix:
                return path_text((*place, *problem.where[len(prefix) :]))
        if problem.where[0] == "workflow":
            return "body"
        if self.own is WORKFLOW or not workflow_id:
            return problem.field
        return path_text(("workflows", workflow_id, problem.field))


def _check_part(job: Job, placements: tuple[TaskPlacement, ...], types: Mapping[str, TaskType]) -> tuple[Problem, ...]:
    """The problems of a job that stands in no workflow."""
    nowhere = Workflow(WorkflowId(""), "", WorkflowBody(""), True, 0, (), job.stamp)
    composition = Composition(nowhere, (JobPlacement(PlacementId(""), "job", job, None, placements),))
    return compile_definition(composition, types, {}, part=True)[1]


def _content(definition: Definition) -> bytes:
    return orjson.dumps(replace(definition, version=0), option=orjson.OPT_SORT_KEYS)


def save(ctx: Context, who: Who, own: Own, work: Callable[[sa.Connection, Saving], T]) -> T:
    """Runs `work` with the organisation's definitions held. What was already wrong before it does not stop it."""

    def attempt(tolerated: frozenset[tuple[str, Problem]]) -> T:
        def transaction(connection: sa.Connection) -> T:
            storage.lock_definitions(connection, who.organization_id)
            return work(connection, Saving(Actor(who.organization_id, who.user_id, ctx.clock()), own, tolerated))

        with ctx.announced(who.organization_id):
            return ctx.database.transact(transaction)

    try:
        return attempt(frozenset())
    except Refused as refused:
        unknown_type = any(field.code == "task_type_unknown" for field in refused.fields)
        before = _problems_before(ctx, who, {workflow_id for workflow_id, _ in refused.found if workflow_id})
        if not (unknown_type and refresh_task_types(ctx)) and not before & refused.found:
            raise
        return attempt(before)


def _problems_before(ctx: Context, who: Who, workflow_ids: Collection[str]) -> frozenset[tuple[str, Problem]]:
    """What is wrong with workflows as they are saved: a catalogue that changed can make them so."""
    found: set[tuple[str, Problem]] = set()
    with ctx.database.read() as connection:
        types = storage.task_types(connection)
        for workflow_id in workflow_ids:
            try:
                composition = storage.get_composition(connection, who.organization_id, workflow_id)
            except NotFound:
                continue  # the save itself would have made it
            latest = storage.latest_definition(connection, who.organization_id, workflow_id)
            _, problems = compile_definition(composition, types, keys.remember(latest))
            found.update((workflow_id, problem) for problem in problems)
    return frozenset(found)


def once_for(
    connection: sa.Connection, who: Who, operation: str, key: str | None, body: Any, make: Callable[[], str]
) -> str:
    return once(
        connection,
        storage.idempotency_key,
        organization_id=who.organization_id,
        operation=operation,
        key=key,
        body=body,
        make=make,
    )


def check_revision(stamp: Stamp, revisions: Revisions) -> None:
    if revisions is not None and stamp.revision not in revisions:
        raise Outdated("outdated")


def check_placements(wanted: Sequence[tuple[str, str | None]], known: Collection[str], kind: str) -> None:
    """Raises Invalid unless every id is known and the said keys are keys and distinct."""
    fields: list[FieldError] = []
    seen: set[str] = set()
    for index, (id_, key) in enumerate(wanted):
        if id_ not in known:
            fields.append(FieldError(f"body[{index}].{kind}_id", f"{kind}_not_found"))
        if key is None:
            continue
        if not keys.is_key(key):
            fields.append(FieldError(f"body[{index}].key", "key_invalid"))
        elif key in seen:
            fields.append(FieldError(f"body[{index}].key", "key_taken", (("key", key),)))
        seen.add(key)
    if fields:
        raise Invalid("invalid", fields=tuple(fields[:FIELDS_SHOWN]))


def workflows_of(connection: sa.Connection, who: Who, job_ids: Sequence[str]) -> list[str]:
    if not job_ids:
        return []
    return [use.id for use in storage.uses_of_jobs(connection, who.organization_id, job_ids)]


def named(uses: Sequence[storage.Use]) -> str:
    return ", ".join(f"{use.name} ({use.id})" for use in uses[:10])
