"""Use cases, one function each: what people and services ask, and what time asks.

A firing goes through three durable steps, each harmless to repeat:

1. `fire_due` writes the firing down and moves the schedule on, in one transaction;
2. `start_pending` claims it for a few seconds and starts its run under a key made of schedule and instant;
3. the answer is written down. Killed in between, the claim runs out and step 2 is repeated: the same key, the same run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from kit.errors import Error, Invalid, Limited, Outdated, Unavailable
from kit.ids import new_id
from scheduler_service.clients import Executions, Workflows
from scheduler_service.domain import schedule as rules
from scheduler_service.domain.schedule import (
    Due,
    Firing,
    FiringState,
    Overlap,
    Schedule,
    ScheduleId,
    Timetable,
)
from scheduler_service.storage import Page, Storage, Wanted

log = structlog.get_logger()

# longer than a call may take, so that a claim runs out only when its holder is gone
CLAIM = timedelta(seconds=10)
_BACKOFF_S = 0.5
_MOST_BACKOFF_S = 60.0
_BATCH = 200


@dataclass(frozen=True)
class Scheduling:
    """The use cases and what they stand on. `wake` is called after every change, so that it takes effect at once."""

    storage: Storage
    workflows: Workflows
    executions: Executions
    grace: timedelta
    wake: Callable[[], None]

    # --- people

    def create_schedule(
        self, organization_id: str, workflow_id: str, timetable: Timetable, now: datetime, *, key: str | None = None
    ) -> Schedule:
        """A new schedule of a workflow, or the one that `key` made before.

        Raises Invalid for a cron or zone that means nothing, WorkflowNotFound, Conflict for a key used otherwise.
        """
        rules.check(timetable, now)
        workflow = self.workflows.resolve(organization_id, workflow_id)
        fresh = _new(organization_id, workflow_id, timetable, now, paused=not workflow.active)
        schedule_id = self.storage.schedules.insert(fresh, key=key, body=_body(timetable))
        self.wake()
        return self.storage.schedules.get(organization_id, schedule_id)

    def get_schedule(self, organization_id: str, schedule_id: str) -> Schedule:
        return self.storage.schedules.get(organization_id, schedule_id)

    def list_schedules(
        self,
        organization_id: str,
        *,
        workflow_id: str | None = None,
        active: bool | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Newest first. Raises WorkflowNotFound when the workflow named is not the organisation's."""
        page = self.storage.schedules.page(
            organization_id, workflow_id=workflow_id, active=active, limit=limit, cursor=cursor
        )
        if workflow_id is not None and not page.items:
            self.workflows.resolve(organization_id, workflow_id)
        return page

    def change_schedule(
        self,
        organization_id: str,
        schedule_id: str,
        timetable: Timetable,
        now: datetime,
        *,
        workflow_id: str | None = None,
        version: int | None = None,
    ) -> Schedule:
        """The schedule with another timetable. Raises ScheduleNotFound, Invalid, Outdated."""
        rules.check(timetable, now)
        changed = self.storage.schedules.update(
            organization_id,
            schedule_id,
            lambda before: before.with_timetable(timetable, now),
            workflow_id=workflow_id,
            version=version,
        )
        self.wake()
        return changed

    def set_active(
        self, organization_id: str, schedule_id: str, active: bool, now: datetime, *, version: int | None = None
    ) -> Schedule:
        """Stops a schedule, or lets it go on with the next instant from now. Raises ScheduleNotFound, Outdated."""
        changed = self.storage.schedules.update(
            organization_id,
            schedule_id,
            lambda before: before.with_timetable(replace(before.timetable, active=active), now),
            version=version,
        )
        self.wake()
        return changed

    def delete_schedule(
        self,
        organization_id: str,
        schedule_id: str,
        now: datetime,
        *,
        workflow_id: str | None = None,
        version: int | None = None,
    ) -> None:
        """Removes a schedule and what it had not started yet. Raises ScheduleNotFound, Outdated."""
        self.storage.schedules.delete(organization_id, schedule_id, now, workflow_id=workflow_id, version=version)

    def last_firings(self, schedules: Sequence[Schedule]) -> Mapping[ScheduleId, Firing]:
        """What became of the latest instant of each schedule."""
        return self.storage.firings.last_of(schedule.schedule_id for schedule in schedules)

    # --- workflow-service

    def schedules_of(self, organization_id: str, workflow_id: str) -> Sequence[Schedule]:
        """All schedules of a workflow, oldest first; none for a workflow nobody knows."""
        return self.storage.schedules.of_workflow(organization_id, workflow_id)

    def upsert_schedules(
        self,
        organization_id: str,
        workflow_id: str,
        wanted: Sequence[tuple[str, Timetable]],
        now: datetime,
        *,
        key: str | None = None,
    ) -> Sequence[Schedule]:
        """Makes a workflow's schedules exactly the wanted ones (id or empty, timetable), all or nothing.

        Raises Invalid, ScheduleNotFound for an id that is not among the workflow's.
        """
        known = [schedule_id for schedule_id, _ in wanted if schedule_id]
        if len(set(known)) < len(known):
            raise Invalid.field("schedules", "schedule_duplicate")
        for _, timetable in wanted:
            rules.check(timetable, now)
        paused = any(schedule.paused for schedule in self.schedules_of(organization_id, workflow_id))

        def maker(timetable: Timetable) -> Callable[[Schedule | None], Schedule]:
            return lambda before: (
                before.with_timetable(timetable, now)
                if before
                else _new(organization_id, workflow_id, timetable, now, paused=paused)
            )

        made = self.storage.schedules.replace_all(
            organization_id,
            workflow_id,
            [Wanted(schedule_id, maker(timetable)) for schedule_id, timetable in wanted],
            now,
            key=key,
            body=[[schedule_id, _body(timetable)] for schedule_id, timetable in wanted],
        )
        self.wake()
        return made

    def pause_workflow(self, organization_id: str, workflow_id: str, paused: bool, now: datetime) -> int:
        """Holds or releases a workflow's schedules; each keeps its own `active`. How many there are."""

        count = self.storage.schedules.change_all(
            organization_id, workflow_id, lambda before: before.with_paused(paused, now)
        )
        self.wake()
        return count

    def remove_workflow(self, organization_id: str, workflow_id: str, now: datetime) -> int:
        """Removes the schedules of a workflow that was deleted; how many there were."""
        return self.storage.schedules.delete_all(organization_id, workflow_id, now)

    # --- time

    def fire_due(self, now: datetime) -> int:
        """Writes down the firings of all instants that are due at `now`; how many there are."""
        fired = 0
        for schedule in self.storage.firings.due(now, _BATCH):
            fired += self.storage.firings.record_due(schedule, self._owed(schedule, now), now)
        return fired

    def next_due_at(self) -> datetime | None:
        """When the next instant is due; None when none ever will be."""
        return self.storage.firings.next_due_at()

    def start_pending(self, now: datetime) -> int:
        """Starts the runs of pending firings, oldest instant first; how many of them moved on.

        Ends at the first one that must be tried again: when execution-service is away, the rest need not find out too.
        """
        moved = 0
        for firing in self.storage.firings.pending(now, _BATCH):
            # the overlap policy can only be judged once the instants before have been started
            if firing.overlap is Overlap.SKIP and self.storage.firings.earlier_pending(firing):
                continue
            claimed = replace(firing, attempts=firing.attempts + 1, retry_at=now + CLAIM)
            if not self.storage.firings.write(firing, claimed, now):
                continue
            outcome = self._start(claimed, now)
            moved += self.storage.firings.write(claimed, outcome, now)
            log.info(
                "firing_attempted",
                schedule_id=firing.schedule_id,
                instant=firing.instant.isoformat(),
                state=outcome.state,
                run_id=outcome.run_id,
                reason=outcome.reason,
                attempt=outcome.attempts,
            )
            if outcome.state is FiringState.PENDING:
                break
        return moved

    def purge_firings(self, before: datetime) -> int:
        """Removes the record of instants before a moment, in small batches; how many."""
        removed = 0
        while count := self.storage.firings.purge(before, _BATCH):
            removed += count
        return removed

    def _owed(self, schedule: Schedule, now: datetime) -> Due:
        try:
            return rules.due(schedule, now, self.grace)
        except Invalid as error:
            # it was checked when saved, so its time zone has left the tz database: stop it rather than trip for ever
            log.error("schedule_broken", schedule_id=schedule.schedule_id, error=str(error))
            return Due((), None, None)

    def _start(self, firing: Firing, now: datetime) -> Firing:
        """The firing as the attempt leaves it: started, failed, skipped, or pending with a later `retry_at`."""
        try:
            if firing.overlap is Overlap.SKIP:
                previous = self.storage.firings.previous_run(firing)
                if previous is not None and self.executions.going(firing.organization_id, previous):
                    return replace(firing, state=FiringState.SKIPPED, reason="overlap")
            run_id = self.executions.start_run(firing)
        except (Unavailable, Limited, Outdated) as error:
            wait = min(_MOST_BACKOFF_S, _BACKOFF_S * 2 ** min(firing.attempts - 1, 10))
            return replace(firing, retry_at=now + timedelta(seconds=wait), reason=error.code)
        except Error as error:
            return replace(firing, state=FiringState.FAILED, reason=error.code[:200])
        return replace(firing, state=FiringState.STARTED, run_id=run_id, reason=None)


def _new(organization_id: str, workflow_id: str, timetable: Timetable, now: datetime, *, paused: bool) -> Schedule:
    return Schedule(
        schedule_id=ScheduleId(new_id()),
        organization_id=organization_id,
        workflow_id=workflow_id,
        timetable=timetable,
        paused=paused,
        next_fire_at=rules.next_fire(timetable, now, paused=paused),
        version=1,
        created_at=now,
        updated_at=now,
    )


def _body(timetable: Timetable) -> dict[str, Any]:
    """What an idempotency key stands for."""
    return {**vars(timetable)}
