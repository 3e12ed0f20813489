"""A schedule, the instants of it that are due, and the one firing that each instant gets.

A firing is written down before its run is started, and only leaves `pending` when the answer is known:

    (instant due) ── pending ──▶ started   a run exists; its id is here
                        │  ├───▶ failed    the run was refused and always will be: no such workflow, bad input, …
                        │  └───▶ skipped   by the overlap policy, or the schedule was removed or stopped meanwhile
    (instant missed) ──────────▶ skipped   by the misfire policy
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NewType

from kit.errors import Invalid
from scheduler_service.domain import wall_clock
from scheduler_service.domain.cron import Cron, parse

ScheduleId = NewType("ScheduleId", str)
FiringId = NewType("FiringId", str)

DEFAULT_TIME_ZONE = "Asia/Seoul"
MOST_NEXT_FIRES = 5


class Misfire(StrEnum):
    """What becomes of instants that passed while nobody was there to fire them."""

    FIRE_ONCE = "fire_once"
    SKIP = "skip"


class Overlap(StrEnum):
    """What becomes of an instant while the run of the one before is still going."""

    ALLOW = "allow"
    SKIP = "skip"


class FiringState(StrEnum):
    PENDING = "pending"
    STARTED = "started"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Timetable:
    """What a person says about when and with what to run. Values are the run's input, a JSON object."""

    cron: str
    time_zone: str
    text: str
    active: bool
    values: dict[str, Any]
    misfire: Misfire = Misfire.FIRE_ONCE
    overlap: Overlap = Overlap.ALLOW

    @property
    def when(self) -> tuple[str, str, bool]:
        """The part that decides the instants."""
        return self.cron, self.time_zone, self.active


@dataclass(frozen=True)
class Schedule:
    """`paused` follows the workflow: the schedule keeps its own `active` and comes back with it."""

    schedule_id: ScheduleId
    organization_id: str
    workflow_id: str
    timetable: Timetable
    paused: bool
    next_fire_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def going(self) -> bool:
        return self.timetable.active and not self.paused

    def with_timetable(self, timetable: Timetable, now: datetime) -> "Schedule":
        """Another timetable from now on. When it means the same instants, the one waited for stays, even if overdue."""
        kept = timetable.when == self.timetable.when
        following = self.next_fire_at if kept else next_fire(timetable, now, paused=self.paused)
        return replace(self, timetable=timetable, next_fire_at=following, updated_at=now)

    def with_paused(self, paused: bool, now: datetime) -> "Schedule":
        """Held or released with its workflow; itself when it already is. What passed meanwhile is not made up."""
        if paused == self.paused:
            return self
        return replace(self, paused=paused, next_fire_at=next_fire(self.timetable, now, paused=paused), updated_at=now)


@dataclass(frozen=True)
class Firing:
    """The one firing of one instant. `values` are those of the instant: a retry must start the same run.

    `attempts` also fences: only the holder of the latest claim writes an outcome.
    """

    firing_id: FiringId
    schedule_id: ScheduleId
    organization_id: str
    workflow_id: str
    instant: datetime
    state: FiringState
    values: dict[str, Any]
    overlap: Overlap
    attempts: int
    retry_at: datetime
    run_id: str | None
    reason: str | None

    @property
    def idempotency_key(self) -> str:
        """Starting the run twice gives the same run, so a firing may be repeated until its answer is written down."""
        return f"schedule:{self.schedule_id}@{self.instant.isoformat().replace('+00:00', 'Z')}"


@dataclass(frozen=True)
class Due:
    """What to write down now: instants to fire, the latest one that is given up, and when to look again."""

    fire: tuple[datetime, ...]
    given_up: datetime | None
    next_fire_at: datetime | None


def check(timetable: Timetable, now: datetime) -> None:
    """Raises Invalid unless the timetable's cron and zone are known and it will ever fire."""
    if wall_clock.next_after(parse(timetable.cron), now, wall_clock.zone(timetable.time_zone)) is None:
        raise Invalid.field("body.cron", "cron_past")


def next_fire(timetable: Timetable, now: datetime, *, paused: bool) -> datetime | None:
    """The first instant after now; None while it is stopped. What passed while stopped is never made up."""
    if paused or not timetable.active:
        return None
    return wall_clock.next_after(parse(timetable.cron), now, wall_clock.zone(timetable.time_zone))


def next_fires(schedule: Schedule) -> tuple[datetime, ...]:
    """The next instants from the one the schedule waits for; none while it is stopped."""
    if schedule.next_fire_at is None:
        return ()
    cron, place = parse(schedule.timetable.cron), wall_clock.zone(schedule.timetable.time_zone)
    later = wall_clock.next_fires(cron, schedule.next_fire_at, place, MOST_NEXT_FIRES - 1)
    return (schedule.next_fire_at, *later)


def due(schedule: Schedule, now: datetime, grace: timedelta) -> Due:
    """What `schedule` owes at `now`.

    Each instant not older than `grace` fires: a short stop loses nothing. Of the older ones at most the latest fires,
    and only under `fire_once` and when nothing newer fires anyway.
    """
    first = schedule.next_fire_at
    if first is None or first > now:
        return Due((), None, first)
    cron, place = parse(schedule.timetable.cron), wall_clock.zone(schedule.timetable.time_zone)
    edge = now - grace
    fire: list[datetime] = []
    following = first if first >= edge else wall_clock.next_after(cron, edge - timedelta(microseconds=1), place)
    while following is not None and following <= now:
        fire.append(following)
        following = wall_clock.next_after(cron, following, place)
    missed = None if first >= edge else _latest_missed(cron, schedule, first, edge)
    if missed and not fire and schedule.timetable.misfire is Misfire.FIRE_ONCE:
        return Due((missed,), None, following)
    return Due(tuple(fire), missed, following)


def _latest_missed(cron: Cron, schedule: Schedule, first: datetime, edge: datetime) -> datetime:
    """The last instant in [first, edge)."""
    place = wall_clock.zone(schedule.timetable.time_zone)
    return wall_clock.latest_until(cron, first, edge - timedelta(microseconds=1), place) or first
