"""What people said about when to run. Every statement is bound to an organisation.

`version` counts people's changes only, so that a firing never makes somebody's If-Match outdated.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from kit.database import Database, decode_cursor, encode_cursor, once
from kit.errors import NotFound, Outdated
from scheduler_service.domain.schedule import FiringState, Schedule, ScheduleId
from scheduler_service.storage.tables import (
    firing_table,
    idempotency_key_table,
    schedule_table,
    schedule_values,
    to_schedule,
)

T = TypeVar("T")
Change = Callable[[Schedule], Schedule]

_TRIES = 5


class ScheduleNotFound(NotFound):
    """No schedule of this id in this organisation, or not of the workflow named."""

    def __init__(self) -> None:
        super().__init__("schedule_not_found")


class Page(NamedTuple):
    items: Sequence[Schedule]
    next_cursor: str | None


class Wanted(NamedTuple):
    """One schedule of a whole set: the id of the one to change, empty for a new one, and what makes it."""

    schedule_id: str
    make: Callable[[Schedule | None], Schedule]


class _Lost(Exception):
    """Another writer's change came between reading and writing."""


class Schedules:
    """The schedules of all organisations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, organization_id: str, schedule_id: str, workflow_id: str | None = None) -> Schedule:
        """Raises ScheduleNotFound, also for another organisation's or another workflow's."""
        with self._database.read() as connection:
            return _one(connection, organization_id, schedule_id, workflow_id)

    def page(
        self,
        organization_id: str,
        *,
        workflow_id: str | None = None,
        active: bool | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Newest first."""
        table = schedule_table.c
        query = sa.select(schedule_table).where(table.organization_id == organization_id)
        if workflow_id is not None:
            query = query.where(table.workflow_id == workflow_id)
        if active is not None:
            query = query.where(table.active == active)
        if cursor is not None:
            query = query.where(table.schedule_id < decode_cursor(cursor, str)[0])
        query = query.order_by(table.schedule_id.desc()).limit(limit + 1)
        with self._database.read() as connection:
            found = [to_schedule(row) for row in connection.execute(query)]
        more = len(found) > limit
        return Page(found[:limit], encode_cursor(found[limit - 1].schedule_id) if more else None)

    def of_workflow(self, organization_id: str, workflow_id: str) -> Sequence[Schedule]:
        """All schedules of a workflow, oldest first."""
        with self._database.read() as connection:
            return _of_workflow(connection, organization_id, workflow_id)

    def insert(self, schedule: Schedule, *, key: str | None = None, body: Any = None) -> ScheduleId:
        """Writes a new schedule; with an idempotency key used before for the same body, the id it made then."""

        def work(connection: sa.Connection) -> str:
            return once(
                connection,
                idempotency_key_table,
                organization_id=schedule.organization_id,
                operation=f"create_schedule:{schedule.workflow_id}",
                key=key,
                body=body,
                make=lambda: _insert(connection, schedule),
            )

        return ScheduleId(self._database.transact(work))

    def update(
        self,
        organization_id: str,
        schedule_id: str,
        change: Change,
        *,
        workflow_id: str | None = None,
        version: int | None = None,
    ) -> Schedule:
        """The schedule as `change` makes it. Raises ScheduleNotFound, and Outdated when it is not at `version`."""

        def work(connection: sa.Connection) -> Schedule:
            before = _one(connection, organization_id, schedule_id, workflow_id)
            _expect(before, version)
            return _update(connection, before, change(before))

        return self._until_won(work)

    def delete(
        self,
        organization_id: str,
        schedule_id: str,
        now: datetime,
        *,
        workflow_id: str | None = None,
        version: int | None = None,
    ) -> None:
        """Removes a schedule; what it had not started yet is skipped. Raises like `update`."""

        def work(connection: sa.Connection) -> None:
            before = _one(connection, organization_id, schedule_id, workflow_id)
            _expect(before, version)
            _delete(connection, [before], now)

        self._until_won(work)

    def replace_all(
        self,
        organization_id: str,
        workflow_id: str,
        wanted: Sequence[Wanted],
        now: datetime,
        *,
        key: str | None = None,
        body: Any = None,
    ) -> Sequence[Schedule]:
        """Makes a workflow's schedules exactly the wanted ones, all or nothing, and once for each idempotency key.

        Gives them in the order wanted. Raises ScheduleNotFound for an id that is not among the workflow's.
        """
        made: list[Schedule] = []

        def replace_them(connection: sa.Connection) -> str:
            before = {one.schedule_id: one for one in _of_workflow(connection, organization_id, workflow_id)}
            for schedule_id, make in wanted:
                if schedule_id and schedule_id not in before:
                    raise ScheduleNotFound
                if schedule_id:
                    found = before.pop(ScheduleId(schedule_id))
                    made.append(_update(connection, found, make(found)))
                else:
                    made.append(make(None))
                    _insert(connection, made[-1])
            _delete(connection, list(before.values()), now)
            return workflow_id

        def work(connection: sa.Connection) -> Sequence[Schedule]:
            made.clear()
            once(
                connection,
                idempotency_key_table,
                organization_id=organization_id,
                operation=f"upsert_schedules:{workflow_id}",
                key=key,
                body=body,
                make=lambda: replace_them(connection),
            )
            return list(made) or _of_workflow(connection, organization_id, workflow_id)

        return self._until_won(work)

    def change_all(self, organization_id: str, workflow_id: str, change: Change) -> int:
        """Changes the schedules of a workflow that `change` does not leave alone, all or none; how many there are."""

        def work(connection: sa.Connection) -> int:
            found = _of_workflow(connection, organization_id, workflow_id)
            for schedule in found:
                if (changed := change(schedule)) != schedule:
                    _update(connection, schedule, changed)
            return len(found)

        return self._until_won(work)

    def delete_all(self, organization_id: str, workflow_id: str, now: datetime) -> int:
        """Removes each schedule of a workflow; how many there were."""

        def work(connection: sa.Connection) -> int:
            found = _of_workflow(connection, organization_id, workflow_id)
            _delete(connection, found, now)
            return len(found)

        return self._until_won(work)

    def _until_won(self, work: Callable[[sa.Connection], T]) -> T:
        for _ in range(_TRIES):
            try:
                return self._database.transact(work)
            except _Lost:
                continue
        raise Outdated("outdated")


def _one(connection: sa.Connection, organization_id: str, schedule_id: str, workflow_id: str | None) -> Schedule:
    table = schedule_table.c
    query = sa.select(schedule_table).where(table.schedule_id == schedule_id, table.organization_id == organization_id)
    if workflow_id is not None:
        query = query.where(table.workflow_id == workflow_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise ScheduleNotFound
    return to_schedule(row)


def _of_workflow(connection: sa.Connection, organization_id: str, workflow_id: str) -> list[Schedule]:
    table = schedule_table.c
    query = (
        sa.select(schedule_table)
        .where(table.organization_id == organization_id, table.workflow_id == workflow_id)
        .order_by(table.schedule_id)
    )
    return [to_schedule(row) for row in connection.execute(query)]


def _expect(schedule: Schedule, version: int | None) -> None:
    if version is not None and schedule.version != version:
        raise Outdated("outdated")


def _insert(connection: sa.Connection, schedule: Schedule) -> ScheduleId:
    connection.execute(schedule_table.insert().values(schedule_values(schedule)))
    return schedule.schedule_id


def _update(connection: sa.Connection, before: Schedule, after: Schedule) -> Schedule:
    after = replace(after, version=before.version + 1)
    table = schedule_table.c
    written = connection.execute(
        schedule_table.update()
        .where(table.schedule_id == before.schedule_id, table.version == before.version)
        .values(schedule_values(after))
    )
    if written.rowcount == 0:
        raise _Lost
    if not after.going:
        _skip_pending(connection, [after.schedule_id], "stopped", after.updated_at)
    return after


def _delete(connection: sa.Connection, schedules: Sequence[Schedule], now: datetime) -> None:
    for schedule in schedules:
        table = schedule_table.c
        gone = connection.execute(
            schedule_table.delete().where(table.schedule_id == schedule.schedule_id, table.version == schedule.version)
        )
        if gone.rowcount == 0:
            raise _Lost
    _skip_pending(connection, [schedule.schedule_id for schedule in schedules], "removed", now)


def _skip_pending(connection: sa.Connection, schedule_ids: Sequence[str], reason: str, now: datetime) -> None:
    table = firing_table.c
    connection.execute(
        firing_table.update()
        .where(table.schedule_id.in_(schedule_ids), table.state == FiringState.PENDING)
        .values(state=FiringState.SKIPPED, reason=reason, updated_at=now)
    )
