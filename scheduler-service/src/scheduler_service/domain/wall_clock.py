"""From a cron text and a time zone to instants: what happens when the clocks change.

A schedule that names its hours follows the clock on the wall. **A time fires once: at the first moment at which the
wall clock reaches it or has passed it.** So

- a time that does not exist (spring) fires at the first moment after the gap; several of one gap fire together, once,
  and together with a time that stands at that moment anyway;
- a time that comes twice (autumn) fires at its first occurrence only;
- nothing is skipped, no wall-clock time fires twice.

A schedule that names no hour (`*`, `0-23`: "every 15 minutes", "every hour at five past") is a beat and follows elapsed
time: it fires whenever the wall clock shows a matching time, through both of autumn's equal hours, and makes up nothing
for the hour that spring leaves out.

Instants are aware UTC datetimes; searching starts strictly after one and ends after 100 years.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kit.errors import Invalid
from scheduler_service.domain.cron import Cron, days_of

HORIZON_YEARS = 100
_SECOND = timedelta(seconds=1)
_SAMPLE = timedelta(hours=3)  # no zone ever changed its offset twice within
_NEAR = timedelta(hours=30)  # further than any clock was ever turned back


def zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises Invalid for an unknown one."""
    try:
        if name.split("/")[0] in ("posix", "right", "posixrules", "localtime", "Factory"):
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid.field("body.time_zone", "time_zone_unknown", value=name) from error


def next_after(cron: Cron, instant: datetime, zone: tzinfo) -> datetime | None:
    """The first instant strictly after `instant`; None when there is none within 100 years."""
    horizon = min(instant.year + HORIZON_YEARS, 9990)
    return _next_beat(cron, instant, zone, horizon) if cron.every_hour else _next_time(cron, instant, zone, horizon)


def next_fires(cron: Cron, instant: datetime, zone: tzinfo, count: int) -> tuple[datetime, ...]:
    """Up to `count` instants strictly after `instant`, in order."""
    fires: list[datetime] = []
    while len(fires) < count and (following := next_after(cron, instant, zone)) is not None:
        fires.append(following)
        instant = following
    return tuple(fires)


def latest_until(cron: Cron, after: datetime, until: datetime, zone: tzinfo) -> datetime | None:
    """The last instant in (after, until], found by halving however many there are; None when there is none."""
    low, high = after, until
    found = next_after(cron, low, zone)
    if found is None or found > until:
        return None
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        following = next_after(cron, middle, zone)
        if following is not None and following <= until:
            low, found = middle, following
        else:
            high = middle
    return found


# --- schedules that follow the wall clock --------------------------------------------------------------------------


def _next_time(cron: Cron, instant: datetime, zone: tzinfo, horizon: int) -> datetime | None:
    # times up to the one the wall shows now were reached before, whether the clock has been turned back since or not
    for wall in _times(cron, _wall(instant, zone), horizon):
        moment = first_reached(wall, zone)
        if moment > instant:
            return moment
    return None


def first_reached(wall: datetime, zone: tzinfo) -> datetime:
    """The first moment at which the clock on the wall of `zone` reaches the naive time `wall` or has passed it."""
    early, late = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if _wall(early, zone) == wall:
        return early
    # in a gap: fold 0 reads it with the offset before the change and lands after it, fold 1 the other way round
    return _change_between(late, early, zone)


# --- schedules that follow elapsed time ----------------------------------------------------------------------------


def _next_beat(cron: Cron, instant: datetime, zone: tzinfo, horizon: int) -> datetime | None:
    start = instant.replace(microsecond=0) + _SECOND
    while True:
        offset = _offset(start, zone)
        wall = next(_times(cron, (start + offset).replace(tzinfo=None), horizon), None)
        if wall is None:
            return None
        moment = wall.replace(tzinfo=UTC) - offset
        change = _first_change(start, min(moment, start + _NEAR), zone)
        if change is not None:
            start = change  # the same wall time means another moment from here on, or comes again
        elif moment - start > _NEAR:
            start = moment - _NEAR
        else:
            return moment


# --- the clock on the wall -----------------------------------------------------------------------------------------


def _times(cron: Cron, wall: datetime, horizon: int) -> Iterator[datetime]:
    """The naive times that `cron` matches, from the second of `wall` on, to the end of the year `horizon`."""
    today = wall.date()
    for year in range(today.year, horizon + 1):
        for month in cron.months:
            if (year, month) < (today.year, today.month):
                continue
            for day in days_of(cron, year, month):
                if date(year, month, day) >= today:
                    start = wall.time() if date(year, month, day) == today else time.min
                    yield from (datetime.combine(date(year, month, day), clock) for clock in _clock(cron, start))


def _clock(cron: Cron, start: time) -> Iterator[time]:
    """The times of a day from the second of `start` on. Skips before it builds: a day may hold 86,400 of them."""
    for hour in cron.hours:
        if hour < start.hour:
            continue
        for minute in cron.minutes:
            if (hour, minute) < (start.hour, start.minute):
                continue
            for second in cron.seconds:
                if (hour, minute, second) >= (start.hour, start.minute, start.second):
                    yield time(hour, minute, second)


def _wall(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _first_change(start: datetime, end: datetime, zone: tzinfo) -> datetime | None:
    """The first moment in (start, end] at which the offset differs from the one before it; None when there is none."""
    offset = _offset(start, zone)
    while start < end:
        following = min(start + _SAMPLE, end)
        if _offset(following, zone) != offset:
            return _change_between(start, following, zone)
        start = following
    return None


def _change_between(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The moment, to the second, of the one change of offset in (before, after]."""
    offset = _offset(before, zone)
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        if _offset(middle, zone) == offset:
            before = middle
        else:
            after = middle
    return after
