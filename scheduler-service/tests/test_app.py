"""From a schedule to its runs: each instant once, whatever is killed or away in between."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from flowweaver.execution.v1 import execution_pb2
from kit.errors import Conflict, Error, Invalid, Limited, NotFound, Outdated, Unavailable
from scheduler_service.app import CLAIM, Scheduling
from scheduler_service.domain.schedule import Firing, FiringState, Misfire, Overlap, Schedule, Timetable

ORG, WORKFLOW = "org-1", "workflow-1"
NINE = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def timetable(cron: str = "*/15 * * * *", **changes: Any) -> Timetable:
    said: dict[str, Any] = {"time_zone": "Asia/Seoul", "text": "", "active": True, "values": {"keyword": "캠핑"}}
    return Timetable(cron=cron, **(said | changes))


def create(scheduling: Scheduling, now: datetime = NINE, **said: Any) -> Schedule:
    return scheduling.create_schedule(ORG, WORKFLOW, timetable(**said), now)


def last(scheduling: Scheduling, schedule: Schedule) -> Firing:
    return scheduling.last_firings([schedule])[schedule.schedule_id]


def turn(scheduling: Scheduling, now: datetime) -> None:
    scheduling.fire_due(now)
    while scheduling.start_pending(now):
        pass


def test_a_schedule_starts_a_run_with_its_values_at_its_instant(scheduling: Scheduling, peers: Any) -> None:
    schedule = create(scheduling)
    turn(scheduling, NINE + 14 * MINUTE)
    assert peers.execution.asked == []
    turn(scheduling, NINE + 15 * MINUTE)
    [asked] = peers.execution.asked
    assert (asked.organization_id, asked.workflow_id) == (ORG, WORKFLOW)
    assert orjson.loads(asked.input_json) == {"keyword": "캠핑"}
    assert asked.idempotency_key == f"schedule:{schedule.schedule_id}@2026-11-21T09:15:00Z"
    assert asked.trigger == execution_pb2.TRIGGER_SCHEDULE
    assert asked.cause == f"schedule:{schedule.schedule_id}"
    firing = last(scheduling, schedule)
    assert (firing.state, firing.run_id) == (FiringState.STARTED, peers.execution.runs[asked.idempotency_key])
    assert scheduling.get_schedule(ORG, schedule.schedule_id).next_fire_at == NINE + 30 * MINUTE


def test_each_instant_fires_once_however_often_time_is_looked_at(scheduling: Scheduling, peers: Any) -> None:
    create(scheduling, cron="0/2 * * * * ?")
    for tenth in range(0, 105):
        turn(scheduling, NINE + timedelta(seconds=tenth / 10))
    assert peers.execution.instants() == [f"2026-11-21T09:00:{second:02}Z" for second in (2, 4, 6, 8, 10)]
    assert len(peers.execution.asked) == 5


def test_several_schedules_of_one_workflow_fire_independently(scheduling: Scheduling, peers: Any) -> None:
    first, second = create(scheduling, cron="0 10 * * *", time_zone="UTC"), create(scheduling, cron="0 19 * * *")
    turn(scheduling, NINE + 60 * MINUTE)
    assert {asked.cause for asked in peers.execution.asked} == {
        f"schedule:{first.schedule_id}",
        f"schedule:{second.schedule_id}",
    }
    scheduling.delete_schedule(ORG, first.schedule_id, NINE)
    turn(scheduling, NINE + timedelta(days=1, hours=1))
    assert len(peers.execution.asked) == 3


# --- killed in between


def test_killed_after_writing_the_firing_down_its_run_is_started_later(scheduling: Scheduling, peers: Any) -> None:
    schedule = create(scheduling)
    assert scheduling.fire_due(NINE + 15 * MINUTE) == 1
    assert scheduling.fire_due(NINE + 16 * MINUTE) == 0
    assert scheduling.start_pending(NINE + 20 * MINUTE) == 1
    assert peers.execution.instants() == ["2026-11-21T09:15:00Z"]
    assert last(scheduling, schedule).state is FiringState.STARTED


def test_killed_after_claiming_the_claim_runs_out(scheduling: Scheduling, peers: Any) -> None:
    create(scheduling)
    now = NINE + 15 * MINUTE
    scheduling.fire_due(now)
    [firing] = scheduling.storage.firings.pending(now, 10)
    assert scheduling.storage.firings.write(firing, replace(firing, attempts=1, retry_at=now + CLAIM), now)
    assert scheduling.start_pending(now + CLAIM - timedelta(seconds=1)) == 0
    assert scheduling.start_pending(now + CLAIM) == 1
    assert len(peers.execution.runs) == 1


def test_killed_after_the_run_was_started_asking_again_gives_the_same_run(scheduling: Scheduling, peers: Any) -> None:
    schedule = create(scheduling)
    now = NINE + 15 * MINUTE
    peers.execution.lost = Unavailable("unavailable")
    turn(scheduling, now)
    assert last(scheduling, schedule).state is FiringState.PENDING
    peers.execution.lost = None
    scheduling.start_pending(now + MINUTE)
    assert len(peers.execution.asked) > 1
    assert [last(scheduling, schedule).run_id] == list(peers.execution.runs.values())


def test_values_changed_before_a_retry_do_not_change_the_run_asked_for(scheduling: Scheduling, peers: Any) -> None:
    schedule = create(scheduling)
    now = NINE + 15 * MINUTE
    scheduling.fire_due(now)
    scheduling.change_schedule(ORG, schedule.schedule_id, timetable(values={"keyword": "등산"}), now)
    scheduling.start_pending(now)
    assert orjson.loads(peers.execution.asked[0].input_json) == {"keyword": "캠핑"}


def test_a_late_holder_of_a_claim_writes_nothing(scheduling: Scheduling, peers: Any) -> None:
    create(scheduling)
    now = NINE + 15 * MINUTE
    scheduling.fire_due(now)
    [firing] = scheduling.storage.firings.pending(now, 10)
    first = replace(firing, attempts=1, retry_at=now + CLAIM)
    second = replace(firing, attempts=2, retry_at=now + 2 * CLAIM)
    assert scheduling.storage.firings.write(firing, first, now)
    assert scheduling.storage.firings.write(first, second, now)
    assert not scheduling.storage.firings.write(first, replace(first, state=FiringState.FAILED), now)


# --- a peer that does not answer, or refuses


@pytest.mark.parametrize("error", [Unavailable("unavailable"), Limited("limited"), Outdated("outdated")])
def test_a_run_that_cannot_be_started_now_is_tried_again_later_and_later(
    scheduling: Scheduling, peers: Any, error: Error
) -> None:
    schedule = create(scheduling)
    now = NINE + 15 * MINUTE
    peers.execution.error = error
    scheduling.fire_due(now)
    waits = []
    for _ in range(3):
        assert scheduling.start_pending(now) == 1
        firing = last(scheduling, schedule)
        assert (firing.state, firing.reason) == (FiringState.PENDING, error.code)
        assert scheduling.start_pending(firing.retry_at - timedelta(milliseconds=1)) == 0
        waits.append((firing.retry_at - now).total_seconds())
        now = firing.retry_at
    assert waits == [0.5, 1.0, 2.0]
    peers.execution.error = None
    scheduling.start_pending(now)
    firing = last(scheduling, schedule)
    assert (firing.state, firing.reason, firing.attempts) == (FiringState.STARTED, None, 4)


@pytest.mark.parametrize(
    "error", [NotFound("workflow_not_found"), Conflict("workflow_inactive"), Invalid.field("input.keyword", "missing")]
)
def test_a_run_that_is_refused_is_not_tried_again(scheduling: Scheduling, peers: Any, error: Error) -> None:
    schedule = create(scheduling)
    peers.execution.error = error
    turn(scheduling, NINE + 15 * MINUTE)
    firing = last(scheduling, schedule)
    assert (firing.state, firing.reason) == (FiringState.FAILED, error.code)
    peers.execution.error = None
    turn(scheduling, NINE + 16 * MINUTE)
    assert peers.execution.runs == {}
    turn(scheduling, NINE + 30 * MINUTE)
    assert peers.execution.instants() == ["2026-11-21T09:30:00Z"]


def test_while_the_peer_is_away_instants_are_still_written_down_and_none_is_lost(
    scheduling: Scheduling, peers: Any
) -> None:
    create(scheduling)
    peers.execution.error = Limited("limited")
    for quarter in (15, 30, 45):
        turn(scheduling, NINE + quarter * MINUTE)
    peers.execution.error = None
    turn(scheduling, NINE + 50 * MINUTE)
    assert peers.execution.instants() == [f"2026-11-21T09:{minute}:00Z" for minute in (15, 30, 45)]


# --- after a stop


def test_after_a_short_stop_every_instant_still_fires(scheduling: Scheduling, peers: Any) -> None:
    create(scheduling, cron="0/20 * * * * ?")
    turn(scheduling, NINE + MINUTE)
    assert peers.execution.instants() == ["2026-11-21T09:00:20Z", "2026-11-21T09:00:40Z", "2026-11-21T09:01:00Z"]


def test_after_a_long_stop_the_latest_missed_instant_fires_once(scheduling: Scheduling, peers: Any) -> None:
    schedule = create(scheduling)
    turn(scheduling, NINE + timedelta(days=3, minutes=7))
    turn(scheduling, NINE + timedelta(days=3, minutes=8))
    assert peers.execution.instants() == ["2026-11-24T09:00:00Z"]
    assert scheduling.get_schedule(ORG, schedule.schedule_id).next_fire_at == NINE + timedelta(days=3, minutes=15)


def test_under_skip_missed_instants_do_not_fire(scheduling: Scheduling, peers: Any) -> None:
    schedule = create(scheduling, misfire=Misfire.SKIP)
    turn(scheduling, NINE + timedelta(days=3, minutes=7))
    assert peers.execution.runs == {}
    firing = last(scheduling, schedule)
    assert (firing.state, firing.reason) == (FiringState.SKIPPED, "missed")
    turn(scheduling, NINE + timedelta(days=3, minutes=15))
    assert peers.execution.instants() == ["2026-11-24T09:15:00Z"]


# --- overlap


def test_under_skip_an_instant_passes_while_the_run_before_is_going(scheduling: Scheduling, peers: Any) -> None:
    schedule = create(scheduling, overlap=Overlap.SKIP)
    turn(scheduling, NINE + 15 * MINUTE)
    [run_id] = peers.execution.runs.values()
    peers.execution.states[run_id] = execution_pb2.RUN_STATE_RUNNING
    turn(scheduling, NINE + 30 * MINUTE)
    firing = last(scheduling, schedule)
    assert (firing.state, firing.reason) == (FiringState.SKIPPED, "overlap")
    peers.execution.states[run_id] = execution_pb2.RUN_STATE_FAILED
    turn(scheduling, NINE + 45 * MINUTE)
    assert peers.execution.instants() == ["2026-11-21T09:15:00Z", "2026-11-21T09:45:00Z"]


def test_overlap_is_not_judged_while_another_replica_still_starts_the_instant_before(
    scheduling: Scheduling, peers: Any
) -> None:
    create(scheduling, overlap=Overlap.SKIP)
    now = NINE + 30 * MINUTE
    scheduling.fire_due(NINE + 15 * MINUTE)
    [first] = scheduling.storage.firings.pending(now, 10)
    scheduling.storage.firings.write(first, replace(first, attempts=1, retry_at=now + CLAIM), now)
    scheduling.fire_due(now)
    assert scheduling.start_pending(now) == 0
    assert peers.execution.asked == []
    assert scheduling.start_pending(now + CLAIM) == 2
    assert peers.execution.instants() == ["2026-11-21T09:15:00Z", "2026-11-21T09:30:00Z"]


# --- changes take effect


def test_a_changed_cron_decides_from_now_on(scheduling: Scheduling, peers: Any) -> None:
    schedule = create(scheduling)
    changed = scheduling.change_schedule(ORG, schedule.schedule_id, timetable("5 * * * *"), NINE + MINUTE)
    assert changed.next_fire_at == NINE + 5 * MINUTE
    turn(scheduling, NINE + 20 * MINUTE)
    assert peers.execution.instants() == ["2026-11-21T09:05:00Z"]


def test_a_changed_text_loses_no_instant_that_is_overdue(scheduling: Scheduling, peers: Any) -> None:
    schedule = create(scheduling)
    now = NINE + 15 * MINUTE
    scheduling.change_schedule(ORG, schedule.schedule_id, timetable(text="매시 보고"), now)
    turn(scheduling, now)
    assert peers.execution.instants() == ["2026-11-21T09:15:00Z"]


def test_an_instant_fires_once_though_a_restored_cron_leads_back_to_it(scheduling: Scheduling, peers: Any) -> None:
    schedule = create(scheduling)
    now = NINE + 15 * MINUTE
    turn(scheduling, now)
    for cron in ("5 * * * *", "*/15 * * * *"):
        # another replica whose clock is a minute behind
        scheduling.change_schedule(ORG, schedule.schedule_id, timetable(cron), now - MINUTE)
    turn(scheduling, now)
    assert len(peers.execution.asked) == 1


def test_a_stopped_schedule_fires_nothing_and_comes_back_without_making_up(scheduling: Scheduling, peers: Any) -> None:
    schedule = create(scheduling)
    stopped = scheduling.set_active(ORG, schedule.schedule_id, False, NINE)
    assert stopped.next_fire_at is None
    turn(scheduling, NINE + 20 * MINUTE)
    scheduling.set_active(ORG, schedule.schedule_id, True, NINE + 20 * MINUTE)
    turn(scheduling, NINE + 30 * MINUTE)
    assert peers.execution.instants() == ["2026-11-21T09:30:00Z"]


@pytest.mark.parametrize("how", ["delete", "stop", "pause", "remove"])
def test_what_was_not_started_yet_is_skipped_with_its_schedule(scheduling: Scheduling, peers: Any, how: str) -> None:
    schedule = create(scheduling)
    now = NINE + 15 * MINUTE
    scheduling.fire_due(now)
    match how:
        case "delete":
            scheduling.delete_schedule(ORG, schedule.schedule_id, now)
        case "stop":
            scheduling.set_active(ORG, schedule.schedule_id, False, now)
        case "pause":
            scheduling.pause_workflow(ORG, WORKFLOW, True, now)
        case "remove":
            assert scheduling.remove_workflow(ORG, WORKFLOW, now) == 1
    turn(scheduling, now)
    assert peers.execution.runs == {}
    firing = last(scheduling, schedule)
    assert (firing.state, firing.reason) == (
        FiringState.SKIPPED,
        "removed" if how in ("delete", "remove") else "stopped",
    )


def test_a_paused_workflow_holds_its_schedules_and_each_keeps_its_own_active(
    scheduling: Scheduling, peers: Any
) -> None:
    on, off = create(scheduling), create(scheduling, active=False)
    assert scheduling.pause_workflow(ORG, WORKFLOW, True, NINE) == 2
    assert scheduling.pause_workflow(ORG, WORKFLOW, True, NINE) == 2
    turn(scheduling, NINE + 20 * MINUTE)
    assert scheduling.pause_workflow(ORG, WORKFLOW, False, NINE + 20 * MINUTE) == 2
    turn(scheduling, NINE + 30 * MINUTE)
    assert peers.execution.instants() == ["2026-11-21T09:30:00Z"]
    assert scheduling.get_schedule(ORG, on.schedule_id).timetable.active
    assert not scheduling.get_schedule(ORG, off.schedule_id).timetable.active


def test_a_schedule_of_an_inactive_workflow_begins_paused(scheduling: Scheduling, peers: Any) -> None:
    peers.workflow.known[ORG, WORKFLOW] = False
    schedule = create(scheduling)
    assert (schedule.paused, schedule.next_fire_at) == (True, None)
    released = scheduling.pause_workflow(ORG, WORKFLOW, False, NINE)
    assert released == 1
    assert scheduling.get_schedule(ORG, schedule.schedule_id).next_fire_at == NINE + 15 * MINUTE


def test_a_schedule_whose_zone_left_the_tz_database_stops_and_holds_up_no_other(
    scheduling: Scheduling, peers: Any
) -> None:
    broken, sound = create(scheduling), create(scheduling)
    scheduling.storage.schedules.update(
        ORG, broken.schedule_id, lambda before: replace(before, timetable=timetable(time_zone="Mars/Base"))
    )
    turn(scheduling, NINE + 15 * MINUTE)
    assert [asked.cause for asked in peers.execution.asked] == [f"schedule:{sound.schedule_id}"]
    assert scheduling.fire_due(NINE + 16 * MINUTE) == 0
    assert scheduling.next_due_at() == NINE + 30 * MINUTE


def test_old_firings_are_purged_and_pending_ones_are_kept(scheduling: Scheduling, peers: Any) -> None:
    schedule = create(scheduling)
    turn(scheduling, NINE + 15 * MINUTE)
    scheduling.fire_due(NINE + 30 * MINUTE)
    assert scheduling.purge_firings(NINE + 60 * MINUTE) == 1
    assert last(scheduling, schedule).state is FiringState.PENDING
