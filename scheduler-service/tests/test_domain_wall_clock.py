"""Instants in time zones, on ordinary days and on those on which the clocks change."""

from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import Invalid
from scheduler_service.domain.cron import Cron, days_of, parse
from scheduler_service.domain.wall_clock import latest_until, next_after, next_fires, zone

MINUTE = timedelta(minutes=1)
ZONES = sorted(name for name in available_timezones() if name not in ("localtime", "Factory"))


def local(text: str, start: str, zone_name: str, count: int) -> list[str]:
    """The next fires as the wall shows them, with their offset."""
    place = ZoneInfo(zone_name)
    begin = datetime.fromisoformat(start)
    begin = begin if begin.tzinfo else begin.replace(tzinfo=place)
    fires = next_fires(parse(text), begin.astimezone(UTC), place, count)
    return [fire.astimezone(place).strftime("%m-%d %H:%M%z") for fire in fires]


def test_seoul_fires_at_its_own_morning() -> None:
    fires = next_fires(parse("0 8 * * *"), datetime(2026, 11, 21, 9, tzinfo=UTC), ZoneInfo("Asia/Seoul"), 2)
    assert fires == (datetime(2026, 11, 21, 23, tzinfo=UTC), datetime(2026, 11, 22, 23, tzinfo=UTC))


def test_the_next_instant_is_strictly_after() -> None:
    place, eight = ZoneInfo("Asia/Seoul"), datetime(2026, 11, 20, 23, tzinfo=UTC)
    cron = parse("0 8 * * *")
    assert next_after(cron, eight - timedelta(microseconds=1), place) == eight
    assert next_after(cron, eight, place) == eight + timedelta(days=1)
    assert next_after(cron, eight + timedelta(microseconds=1), place) == eight + timedelta(days=1)
    beat = parse("0/2 * * * * ?")
    assert next_after(beat, eight - timedelta(microseconds=1), place) == eight
    assert next_after(beat, eight, place) == eight + timedelta(seconds=2)
    assert next_after(beat, eight + timedelta(microseconds=1), place) == eight + timedelta(seconds=2)


# --- spring: New York, 8 March 2026, 02:00 -05:00 becomes 03:00 -04:00


def test_a_time_that_spring_leaves_out_fires_at_the_first_moment_after_the_gap() -> None:
    assert local("30 2 * * *", "2026-03-07T12:00", "America/New_York", 2) == ["03-08 03:00-0400", "03-09 02:30-0400"]


def test_several_times_of_one_gap_fire_once_and_together_with_the_time_after_it() -> None:
    assert local("0,20,40 2,3 * * *", "2026-03-08T00:00", "America/New_York", 4) == [
        "03-08 03:00-0400",
        "03-08 03:20-0400",
        "03-08 03:40-0400",
        "03-09 02:00-0400",
    ]


def test_a_beat_keeps_its_pace_through_spring() -> None:
    assert local("30 * * * *", "2026-03-08T01:00", "America/New_York", 2) == ["03-08 01:30-0500", "03-08 03:30-0400"]
    assert local("*/30 * * * *", "2026-03-08T01:15", "America/New_York", 3) == [
        "03-08 01:30-0500",
        "03-08 03:00-0400",
        "03-08 03:30-0400",
    ]


def test_a_day_that_never_was_fires_at_its_end() -> None:
    """Samoa had no 30 December 2011."""
    assert local("0 8 * * *", "2011-12-29T12:00", "Pacific/Apia", 2) == ["12-31 00:00+1400", "12-31 08:00+1400"]


# --- autumn: New York, 1 November 2026, 02:00 -04:00 becomes 01:00 -05:00


def test_a_time_that_autumn_brings_twice_fires_at_its_first_occurrence() -> None:
    assert local("30 1 * * *", "2026-10-31T12:00", "America/New_York", 2) == ["11-01 01:30-0400", "11-02 01:30-0500"]


def test_asked_between_both_occurrences_the_next_one_is_tomorrow() -> None:
    between = "2026-11-01T06:10+00:00"  # 01:10 -05:00
    assert local("30 1 * * *", between, "America/New_York", 1) == ["11-02 01:30-0500"]
    assert local("0 2 * * *", between, "America/New_York", 1) == ["11-01 02:00-0500"]


def test_a_beat_goes_through_both_of_autumns_equal_hours() -> None:
    assert local("*/30 * * * *", "2026-11-01T00:45", "America/New_York", 5) == [
        "11-01 01:00-0400",
        "11-01 01:30-0400",
        "11-01 01:00-0500",
        "11-01 01:30-0500",
        "11-01 02:00-0500",
    ]


def test_a_beat_notices_a_change_that_returns_to_a_day_it_had_left() -> None:
    """In Asunción 24:00 became 23:00: the last hour of the 23rd came twice, and only the 23rd matches."""
    assert local("30 * 23 3 *", "2024-03-23T23:20-03:00", "America/Asuncion", 3) == [
        "03-23 23:30-0300",
        "03-23 23:30-0400",
        "03-23 00:30-0300",
    ]


def test_half_an_hour_of_change_is_no_special_case() -> None:
    """Lord Howe: 4 October 2026 02:00 becomes 02:30, 5 April 2026 02:00 becomes 01:30."""
    assert local("15 2 * * *", "2026-10-03T12:00", "Australia/Lord_Howe", 1) == ["10-04 02:30+1100"]
    assert local("45 1 * * *", "2026-04-04T12:00", "Australia/Lord_Howe", 2) == ["04-05 01:45+1100", "04-06 01:45+1030"]


# --- all zones


@cache
def changes(zone_name: str) -> tuple[datetime, ...]:
    """Days on whose morning (UTC) a zone's offset is not that of the day before: 2012, when no zone left out a date any
    more, to 2030."""
    place, day, found = ZoneInfo(zone_name), datetime(2012, 1, 1, tzinfo=UTC), []
    offset = day.astimezone(place).utcoffset()
    while day.year < 2031:
        day += timedelta(days=1)
        if (following := day.astimezone(place).utcoffset()) != offset:
            offset = following
            found.append(day)
    return tuple(found)


@pytest.mark.parametrize("text", ["0 0 * * *", "30 1 * * *", "30 2 * * *", "59 23 * * *"])
def test_in_every_zone_a_daily_time_fires_once_for_each_date(text: str) -> None:
    cron = parse(text)
    clock = time(cron.hours[0], cron.minutes[0])
    for name in ZONES:
        place = ZoneInfo(name)
        for change in changes(name)[-3:]:
            start = (change - timedelta(days=3)).astimezone(place).replace(hour=23, minute=59)
            for number, fire in enumerate(next_fires(cron, start.astimezone(UTC), place, 6), 1):
                due = datetime.combine(start.date() + timedelta(days=number), clock)
                wall, wall_before = fire.astimezone(place), (fire - MINUTE).astimezone(place)
                assert wall_before.replace(tzinfo=None) < due <= wall.replace(tzinfo=None), name
                assert wall.fold == 0, name


def matches(cron: Cron, wall: datetime) -> bool:
    return wall.hour in cron.hours and wall.minute in cron.minutes and wall.day in days_of(cron, wall.year, wall.month)


def walked(cron: Cron, start: datetime, end: datetime, zone_name: str) -> list[datetime]:
    """The same rule without any searching: walk minute by minute and look at the clock on the wall."""
    place = ZoneInfo(zone_name)
    fires: list[datetime] = []
    moment = start - timedelta(days=2)
    reached = moment.astimezone(place).replace(tzinfo=None, fold=0)
    while moment < end:
        moment += MINUTE
        wall = moment.astimezone(place).replace(tzinfo=None, fold=0)
        if cron.every_hour:
            due = matches(cron, wall)
        else:
            due = False
            while reached < wall:
                reached += MINUTE
                due |= matches(cron, reached)
        if due and moment > start:
            fires.append(moment)
    return fires


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_around_any_change_in_any_zone_the_instants_are_those_of_a_patient_watcher(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(ZONES))
    moments = changes(name) or (datetime(2026, 3, 1, tzinfo=UTC),)
    start = data.draw(st.sampled_from(moments)) - data.draw(st.integers(0, 2400)) * MINUTE
    end = start + timedelta(hours=48)
    minute = data.draw(st.sampled_from(["0", "30", "*/15", "5,59", "*", "0-40/7"]))
    hour = data.draw(st.sampled_from(["*", "0", "1", "2", "23", "1-3", "*/2", "0,12", "0-23", "2-23"]))
    day = data.draw(st.sampled_from(["* * *", "* * *", "1-15 * *", "* * 0", f"{start.day} * *"]))
    cron = parse(f"{minute} {hour} {day}")
    expected = walked(cron, start, end, name)
    found = [fire for fire in next_fires(cron, start, ZoneInfo(name), len(expected) + 1) if fire <= end]
    assert found == expected
    assert all(earlier < later for earlier, later in pairwise(found))


# --- the latest


def test_the_latest_of_millions_is_found_without_walking_through_them() -> None:
    now = datetime(2026, 11, 21, 8, 0, 0, 500_000, tzinfo=UTC)
    cron = parse("* * * * * ?")
    assert latest_until(cron, datetime(2016, 1, 1, tzinfo=UTC), now, UTC) == now.replace(microsecond=0)


def test_the_latest_may_be_the_end_itself_but_never_the_beginning() -> None:
    eight = datetime(2026, 11, 20, 8, tzinfo=UTC)
    cron = parse("0 8 * * *")
    assert latest_until(cron, eight - timedelta(days=3), eight, UTC) == eight
    assert latest_until(cron, eight, eight + timedelta(hours=23), UTC) is None


@given(
    start=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    minutes=st.integers(0, 5000),
    text=st.sampled_from(["*/7 * * * *", "0 8,20 * * *", "0/11 3 9 * * ?"]),
)
def test_the_latest_is_the_last_of_all(start: datetime, minutes: int, text: str) -> None:
    end, cron, place = start + minutes * MINUTE, parse(text), ZoneInfo("Europe/Berlin")
    fires = []
    moment = next_after(cron, start, place)
    while moment is not None and moment <= end:
        fires.append(moment)
        moment = next_after(cron, moment, place)
    assert latest_until(cron, start, end, place) == (fires[-1] if fires else None)


def test_a_year_that_has_passed_has_no_next_instant() -> None:
    assert next_after(parse("0 0 8 1 1 ? 2020"), datetime(2026, 1, 1, tzinfo=UTC), UTC) is None
    assert next_after(parse("0 * * 1 1 ? 2020"), datetime(2026, 1, 1, tzinfo=UTC), UTC) is None
    assert next_fires(parse("0 0 8 1 1 ? 2027"), datetime(2026, 1, 1, tzinfo=UTC), UTC, 5) == (
        datetime(2027, 1, 1, 8, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "", "../etc/passwd", "/etc/passwd", "Asia", "\0", "localtime", "한국"]
)
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        zone(name)
    assert refused.value.fields[0].field == "body.time_zone"
