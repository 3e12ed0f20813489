"""What a schedule owes at a moment, by its policies."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import Invalid
from scheduler_service.domain.schedule import (
    Due,
    Misfire,
    Schedule,
    ScheduleId,
    Timetable,
    check,
    due,
    next_fire,
    next_fires,
)

NINE = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GRACE = timedelta(seconds=60)


def schedule(cron: str, *, misfire: Misfire = Misfire.FIRE_ONCE, active: bool = True, paused: bool = False) -> Schedule:
    table = Timetable(cron, "UTC", "", active, {}, misfire)
    following = next_fire(table, NINE, paused=paused)
    return Schedule(ScheduleId("s"), "org", "workflow", table, paused, following, 1, NINE, NINE)


def minutes(*past: float) -> tuple[datetime, ...]:
    return tuple(NINE + minute * MINUTE for minute in past)


def test_nothing_is_owed_before_the_instant() -> None:
    assert due(schedule("*/15 * * * *"), NINE + 15 * MINUTE - timedelta(microseconds=1), GRACE) == Due(
        (), None, NINE + 15 * MINUTE
    )


def test_the_instant_is_owed_when_it_comes() -> None:
    assert due(schedule("*/15 * * * *"), NINE + 15 * MINUTE, GRACE) == Due(minutes(15), None, NINE + 30 * MINUTE)


def test_instants_within_the_grace_fire_one_by_one() -> None:
    assert due(schedule("0/20 * * * * ?"), NINE + MINUTE, GRACE) == Due(
        (NINE + timedelta(seconds=20), NINE + timedelta(seconds=40), NINE + MINUTE), None, NINE + timedelta(seconds=80)
    )


def test_an_instant_exactly_as_old_as_the_grace_still_fires() -> None:
    assert due(schedule("*/15 * * * *", misfire=Misfire.SKIP), NINE + 16 * MINUTE, GRACE).fire == minutes(15)


def test_of_older_instants_only_the_latest_fires() -> None:
    assert due(schedule("*/15 * * * *"), NINE + 50 * MINUTE, GRACE) == Due(minutes(45), None, NINE + 60 * MINUTE)


def test_older_instants_are_given_up_when_a_newer_one_fires_anyway() -> None:
    assert due(schedule("*/15 * * * *"), NINE + 45 * MINUTE, GRACE) == Due(
        minutes(45), NINE + 30 * MINUTE, NINE + 60 * MINUTE
    )


def test_under_skip_older_instants_are_given_up() -> None:
    assert due(schedule("*/15 * * * *", misfire=Misfire.SKIP), NINE + 50 * MINUTE, GRACE) == Due(
        (), NINE + 45 * MINUTE, NINE + 60 * MINUTE
    )


def test_the_last_instant_of_all_leaves_nothing_to_wait_for() -> None:
    assert due(schedule("0 30 9 21 11 ? 2026"), NINE + 30 * MINUTE, GRACE) == Due(minutes(30), None, None)


def test_a_stopped_schedule_owes_nothing() -> None:
    assert due(schedule("* * * * *", active=False), NINE + 30 * MINUTE, GRACE) == Due((), None, None)
    assert due(schedule("* * * * *", paused=True), NINE + 30 * MINUTE, GRACE) == Due((), None, None)
    assert next_fires(schedule("* * * * *", paused=True)) == ()


@given(
    cron=st.sampled_from(["* * * * *", "*/7 * * * *", "0/30 * * * * ?", "30 3 * * *"]),
    misfire=st.sampled_from(Misfire),
    steps=st.lists(st.integers(1, 400_000), max_size=30),
)
def test_however_irregularly_time_is_looked_at_no_instant_is_owed_twice(
    cron: str, misfire: Misfire, steps: list[int]
) -> None:
    one, now = schedule(cron, misfire=misfire), NINE
    owed: list[datetime] = []
    for step in steps:
        now += timedelta(milliseconds=step)
        answer = due(one, now, GRACE)
        owed += answer.fire
        assert all(instant <= now for instant in answer.fire)
        assert answer.next_fire_at is not None
        assert answer.next_fire_at > now
        one = replace(one, next_fire_at=answer.next_fire_at)
    assert owed == sorted(set(owed))


def test_the_next_fires_begin_with_the_one_waited_for() -> None:
    assert next_fires(schedule("*/15 * * * *")) == minutes(15, 30, 45, 60, 75)
    assert next_fires(schedule("0 0/30 9 21 11 ? 2026")) == minutes(30)


def test_a_timetable_that_will_never_fire_again_is_refused() -> None:
    table = schedule("* * * * *").timetable
    check(table, NINE)
    for wrong, field in (
        (replace(table, cron="0 0 8 1 1 ? 2026"), "body.cron"),
        (replace(table, cron="61 * * * *"), "body.cron.minute"),
        (replace(table, time_zone="Seoul"), "body.time_zone"),
    ):
        with pytest.raises(Invalid) as refused:
            check(wrong, NINE)
        assert refused.value.fields[0].field == field


def test_another_text_keeps_the_instant_waited_for_and_another_cron_does_not() -> None:
    late = NINE + 20 * MINUTE
    one = schedule("*/15 * * * *")
    assert one.with_timetable(replace(one.timetable, text="x"), late).next_fire_at == NINE + 15 * MINUTE
    assert one.with_timetable(replace(one.timetable, cron="*/20 * * * *"), late).next_fire_at == NINE + 40 * MINUTE
    assert one.with_timetable(replace(one.timetable, active=False), late).next_fire_at is None


def test_pausing_twice_changes_nothing() -> None:
    held = schedule("*/15 * * * *").with_paused(True, NINE)
    assert held.with_paused(True, NINE + MINUTE) is held
    assert held.with_paused(False, NINE + 20 * MINUTE).next_fire_at == NINE + 30 * MINUTE
