"""The tables, and what a row of each means to the domain: the only place where both are known."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kit.database import TABLE_OPTIONS, Json, UtcTime, id_column, idempotency_table
from kit.ids import new_id
from scheduler_service.domain.schedule import (
    Firing,
    FiringId,
    FiringState,
    Misfire,
    Overlap,
    Schedule,
    ScheduleId,
    Timetable,
)

metadata = sa.MetaData()

schedule_table = sa.Table(
    "schedule",
    metadata,
    id_column("schedule_id", primary_key=True),
    id_column("organization_id"),
    id_column("workflow_id"),
    sa.Column("cron", sa.String(200), nullable=False),
    sa.Column("time_zone", sa.String(64), nullable=False),
    sa.Column("text", sa.String(500), nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("input", Json, nullable=False),
    sa.Column("misfire", sa.String(16), nullable=False),
    sa.Column("overlap", sa.String(16), nullable=False),
    sa.Column("next_fire_at", UtcTime, nullable=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.Index("ix_schedule_next_fire_at", "next_fire_at"),
    sa.Index("ix_schedule_organization_id", "organization_id", "schedule_id"),
    sa.Index("ix_schedule_workflow_id", "organization_id", "workflow_id", "schedule_id"),
    **TABLE_OPTIONS,
)

firing_table = sa.Table(
    "firing",
    metadata,
    id_column("firing_id", primary_key=True),
    id_column("schedule_id"),
    id_column("organization_id"),
    id_column("workflow_id"),
    sa.Column("instant", UtcTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("input", Json, nullable=False),
    sa.Column("overlap", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("retry_at", UtcTime, nullable=False),
    id_column("run_id", nullable=True),
    sa.Column("reason", sa.String(200), nullable=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.UniqueConstraint("schedule_id", "instant", name="uq_firing_instant"),
    sa.Index("ix_firing_retry_at", "state", "retry_at"),
    sa.Index("ix_firing_instant", "instant"),
    **TABLE_OPTIONS,
)

idempotency_key_table = idempotency_table(metadata)


def schedule_values(schedule: Schedule) -> dict[str, Any]:
    """A schedule's columns."""
    timetable = schedule.timetable
    return {
        "schedule_id": schedule.schedule_id,
        "organization_id": schedule.organization_id,
        "workflow_id": schedule.workflow_id,
        "cron": timetable.cron,
        "time_zone": timetable.time_zone,
        "text": timetable.text,
        "active": timetable.active,
        "paused": schedule.paused,
        "input": timetable.values,
        "misfire": timetable.misfire,
        "overlap": timetable.overlap,
        "next_fire_at": schedule.next_fire_at,
        "version": schedule.version,
        "created_at": schedule.created_at,
        "updated_at": schedule.updated_at,
    }


def to_schedule(row: sa.Row[Any]) -> Schedule:
    return Schedule(
        schedule_id=ScheduleId(row.schedule_id),
        organization_id=row.organization_id,
        workflow_id=row.workflow_id,
        timetable=Timetable(
            cron=row.cron,
            time_zone=row.time_zone,
            text=row.text,
            active=row.active,
            values=row.input,
            misfire=Misfire(row.misfire),
            overlap=Overlap(row.overlap),
        ),
        paused=row.paused,
        next_fire_at=row.next_fire_at,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def new_firing(schedule: Schedule, instant: datetime, now: datetime) -> Firing:
    """The pending firing of an instant, to be started at once, with the values that the schedule has now."""
    return Firing(
        firing_id=FiringId(new_id()),
        schedule_id=schedule.schedule_id,
        organization_id=schedule.organization_id,
        workflow_id=schedule.workflow_id,
        instant=instant,
        state=FiringState.PENDING,
        values=schedule.timetable.values,
        overlap=schedule.timetable.overlap,
        attempts=0,
        retry_at=now,
        run_id=None,
        reason=None,
    )


def firing_values(firing: Firing, now: datetime) -> dict[str, Any]:
    """A new firing's columns."""
    return {
        "firing_id": firing.firing_id,
        "schedule_id": firing.schedule_id,
        "organization_id": firing.organization_id,
        "workflow_id": firing.workflow_id,
        "instant": firing.instant,
        "state": firing.state,
        "input": firing.values,
        "overlap": firing.overlap,
        "attempts": firing.attempts,
        "retry_at": firing.retry_at,
        "run_id": firing.run_id,
        "reason": firing.reason,
        "created_at": now,
        "updated_at": now,
    }


def to_firing(row: sa.Row[Any]) -> Firing:
    return Firing(
        firing_id=FiringId(row.firing_id),
        schedule_id=ScheduleId(row.schedule_id),
        organization_id=row.organization_id,
        workflow_id=row.workflow_id,
        instant=row.instant,
        state=FiringState(row.state),
        values=row.input,
        overlap=Overlap(row.overlap),
        attempts=row.attempts,
        retry_at=row.retry_at,
        run_id=row.run_id,
        reason=row.reason,
    )
