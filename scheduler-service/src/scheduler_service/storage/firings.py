"""What became of each instant.

`record_due` is the one primitive that moves time on: it writes down the firings of the due instants and the next
instant in one transaction, under compare-and-set on (version, next_fire_at).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from kit.database import Database
from scheduler_service.domain.schedule import Due, Firing, FiringState, Schedule, ScheduleId
from scheduler_service.storage.tables import (
    firing_table,
    firing_values,
    new_firing,
    schedule_table,
    to_firing,
    to_schedule,
)


class Firings:
    """The firings of all schedules."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- time

    def due(self, now: datetime, limit: int) -> Sequence[Schedule]:
        """Schedules whose next instant has come, the longest waiting first."""
        table = schedule_table.c
        query = sa.select(schedule_table).where(table.next_fire_at <= now).order_by(table.next_fire_at).limit(limit)
        with self._database.read() as connection:
            return [to_schedule(row) for row in connection.execute(query)]

    def next_due_at(self) -> datetime | None:
        """When the next schedule fires; None when none ever will."""
        with self._database.read() as connection:
            found: datetime | None = connection.execute(sa.select(sa.func.min(schedule_table.c.next_fire_at))).scalar()
            return found

    def record_due(self, schedule: Schedule, due: Due, now: datetime) -> int:
        """Writes down what is due and moves `next_fire_at`; how many firings that gave: 0 when another was faster."""
        firings = [new_firing(schedule, instant, now) for instant in due.fire]
        if due.given_up is not None:
            given_up = new_firing(schedule, due.given_up, now)
            firings.append(replace(given_up, state=FiringState.SKIPPED, reason="missed"))

        def work(connection: sa.Connection) -> int:
            table = schedule_table.c
            moved = connection.execute(
                schedule_table.update()
                .where(
                    table.schedule_id == schedule.schedule_id,
                    table.version == schedule.version,
                    table.next_fire_at == schedule.next_fire_at,
                )
                .values(next_fire_at=due.next_fire_at)
            )
            if moved.rowcount == 0:
                return 0
            # an instant fires once, even when a clock set back or a cron changed and restored leads to it again
            query = sa.select(firing_table.c.instant).where(
                firing_table.c.schedule_id == schedule.schedule_id,
                firing_table.c.instant.in_([firing.instant for firing in firings]),
            )
            known = set(connection.execute(query).scalars())
            fresh = [firing for firing in firings if firing.instant not in known]
            if fresh:
                connection.execute(firing_table.insert(), [firing_values(firing, now) for firing in fresh])
            return sum(firing.state is FiringState.PENDING for firing in fresh)

        return self._database.transact(work)

    # --- starting

    def pending(self, now: datetime, limit: int) -> Sequence[Firing]:
        """Firings to start now, the oldest instant first."""
        table = firing_table.c
        query = (
            sa.select(firing_table)
            .where(table.state == FiringState.PENDING, table.retry_at <= now)
            .order_by(table.instant, table.firing_id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [to_firing(row) for row in connection.execute(query)]

    def write(self, before: Firing, after: Firing, now: datetime) -> bool:
        """Writes a pending firing's claim or outcome; False when it was claimed or settled by another meanwhile."""
        table = firing_table.c

        def work(connection: sa.Connection) -> bool:
            written = connection.execute(
                firing_table.update()
                .where(
                    table.firing_id == before.firing_id,
                    table.state == FiringState.PENDING,
                    table.attempts == before.attempts,
                )
                .values(
                    state=after.state,
                    attempts=after.attempts,
                    retry_at=after.retry_at,
                    run_id=after.run_id,
                    reason=after.reason,
                    updated_at=now,
                )
            )
            return written.rowcount == 1

        return self._database.transact(work)

    def earlier_pending(self, firing: Firing) -> bool:
        """Whether an earlier instant of the same schedule still waits to be started."""
        table = firing_table.c
        query = sa.select(table.firing_id).where(
            table.schedule_id == firing.schedule_id,
            table.instant < firing.instant,
            table.state == FiringState.PENDING,
        )
        with self._database.read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def previous_run(self, firing: Firing) -> str | None:
        """The run of the last instant before this one that had a run."""
        table = firing_table.c
        query = (
            sa.select(table.run_id)
            .where(
                table.schedule_id == firing.schedule_id,
                table.instant < firing.instant,
                table.state == FiringState.STARTED,
            )
            .order_by(table.instant.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            found: str | None = connection.execute(query).scalar()
            return found

    # --- history

    def last_of(self, schedule_ids: Iterable[str]) -> Mapping[ScheduleId, Firing]:
        """Of each schedule the firing of its latest instant, where it has one."""
        table = firing_table.c
        latest = (
            sa.select(table.schedule_id, sa.func.max(table.instant).label("instant"))
            .where(table.schedule_id.in_(list(schedule_ids)))
            .group_by(table.schedule_id)
            .subquery()
        )
        query = sa.select(firing_table).join(
            latest, sa.and_(table.schedule_id == latest.c.schedule_id, table.instant == latest.c.instant)
        )
        with self._database.read() as connection:
            firings = [to_firing(row) for row in connection.execute(query)]
        return {firing.schedule_id: firing for firing in firings}

    def purge(self, before: datetime, limit: int) -> int:
        """Removes up to `limit` settled firings of instants before a moment; how many it removed."""
        table = firing_table.c
        query = (
            sa.select(table.firing_id).where(table.instant < before, table.state != FiringState.PENDING).limit(limit)
        )
        with self._database.read() as connection:
            old = list(connection.execute(query).scalars())
        if old:
            gone = firing_table.delete().where(table.firing_id.in_(old))
            self._database.transact(lambda connection: connection.execute(gone).rowcount)
        return len(old)
