"""Cron text, read once into plain sets: what is refused here never reaches a schedule.

Two forms, told apart by the number of fields and never mixed:

| form | fields | weekdays | day of month and day of week |
|---|---|---|---|
| Unix | minute hour day month weekday | 0 and 7 = Sunday | when neither begins with `*`, either one is enough |
| Quartz | second minute hour day month weekday [year] | 1 = Sunday … 7 = Saturday | one of them is `?` or `*` |

Both know names (`MON`, `JAN`, any case), ranges, steps and lists. Quartz alone knows `?`, `L`, `L-3`, `W`, `LW`, `6L`,
`6#3`, the year, and ranges that wrap around (`FRI-MON`). Text that can never match a date (30 February) is refused.
"""

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from kit.errors import FieldError, Invalid

LONGEST_TEXT = 200
_EVERY_CALENDAR = range(2000, 2400)  # the Gregorian calendar repeats after 400 years, weekdays included


class Part(StrEnum):
    """The fields of a cron text."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day_of_month"
    MONTH = "month"
    WEEKDAY = "day_of_week"
    YEAR = "year"


class Form(StrEnum):
    UNIX = "unix"
    QUARTZ = "quartz"


class InvalidCron(Invalid):
    """Cron text that means nothing. `part` is the field at fault, None when it is the text as a whole."""

    def __init__(self, part: Part | None, reason: str, **params: Any) -> None:
        self.part = part
        self.reason = reason
        field = f"body.cron.{part}" if part else "body.cron"
        super().__init__("invalid", fields=(FieldError(field, f"cron_{reason}", tuple(params.items())),))


@dataclass(frozen=True)
class MonthDays:
    """Days of a month. Counts from the end begin with 0 for the last day."""

    numbers: tuple[int, ...] = ()
    from_end: tuple[int, ...] = ()
    working_nearest: tuple[int, ...] = ()
    working_nearest_from_end: tuple[int, ...] = ()

    @property
    def all(self) -> bool:
        return len(self.numbers) == 31


@dataclass(frozen=True)
class Weekdays:
    """Days of the week, 0 = Sunday … 6 = Saturday: each one, the month's last, the month's nth (weekday, n)."""

    numbers: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    nth: tuple[tuple[int, int], ...] = ()

    @property
    def all(self) -> bool:
        return len(self.numbers) == 7


@dataclass(frozen=True)
class Cron:
    """A cron text and the sorted values of each field. An empty `years` means every year."""

    text: str
    form: Form
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: MonthDays
    months: tuple[int, ...]
    weekdays: Weekdays
    years: tuple[int, ...]
    either_day: bool

    @property
    def every_hour(self) -> bool:
        """Whether it names no hour: then it beats with elapsed time instead of following the clock on the wall."""
        return len(self.hours) == 24


def parse(text: str) -> Cron:
    """Reads a cron text of either form. Raises InvalidCron with the field and the reason."""
    if len(text) > LONGEST_TEXT:
        raise InvalidCron(None, "too_long", limit=LONGEST_TEXT)
    words = text.upper().split()
    match len(words):
        case 5:
            cron = _parse_unix(words)
        case 6 | 7:
            cron = _parse_quartz(words)
        case count:
            raise InvalidCron(None, "fields", count=count)
    if not _has_a_date(cron):
        raise InvalidCron(Part.DAY, "never")
    return cron


def days_of(cron: Cron, year: int, month: int) -> tuple[int, ...]:
    """The days of one month on which `cron` fires, in order."""
    if month not in cron.months or (cron.years and year not in cron.years):
        return ()
    by_date = _month_days(cron.days, year, month)
    by_weekday = _weekdays(cron.weekdays, year, month)
    return tuple(sorted(by_date | by_weekday if cron.either_day else by_date & by_weekday))


# --- the two forms ------------------------------------------------------------------------------------------------

_LIMITS = {
    Part.SECOND: (0, 59),
    Part.MINUTE: (0, 59),
    Part.HOUR: (0, 23),
    Part.DAY: (1, 31),
    Part.MONTH: (1, 12),
    Part.YEAR: (1970, 2099),
}
_UNIX_WEEKDAYS = (0, 7)
_QUARTZ_WEEKDAYS = (1, 7)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def _parse_unix(words: list[str]) -> Cron:
    minute, hour, day, month, weekday = words
    for part, word in ((Part.DAY, day), (Part.WEEKDAY, weekday)):
        if sign := re.search(r"[?#]|L|(?<=[0-9])W", word):
            raise InvalidCron(part, "quartz_only", sign=sign[0])
    weekdays = _values(Part.WEEKDAY, weekday, Form.UNIX)
    return Cron(
        text=" ".join(words),
        form=Form.UNIX,
        seconds=(0,),
        minutes=_values(Part.MINUTE, minute, Form.UNIX),
        hours=_values(Part.HOUR, hour, Form.UNIX),
        days=MonthDays(_values(Part.DAY, day, Form.UNIX)),
        months=_values(Part.MONTH, month, Form.UNIX),
        weekdays=Weekdays(tuple(sorted({number % 7 for number in weekdays}))),
        years=(),
        # Vixie cron's rule, which Debian and everyone after it kept: a field that begins with a star narrows
        either_day=not day.startswith("*") and not weekday.startswith("*"),
    )


def _parse_quartz(words: list[str]) -> Cron:
    second, minute, hour, day, month, weekday, *year = words
    if day == weekday == "?":
        raise InvalidCron(Part.WEEKDAY, "no_day")
    if day not in ("?", "*") and weekday not in ("?", "*"):
        raise InvalidCron(Part.WEEKDAY, "both_days")
    every_year = not year or year[0] == "*"
    return Cron(
        text=" ".join(words),
        form=Form.QUARTZ,
        seconds=_values(Part.SECOND, second, Form.QUARTZ),
        minutes=_values(Part.MINUTE, minute, Form.QUARTZ),
        hours=_values(Part.HOUR, hour, Form.QUARTZ),
        days=_quartz_days("*" if day == "?" else day),
        months=_values(Part.MONTH, month, Form.QUARTZ),
        weekdays=_quartz_weekdays("*" if weekday == "?" else weekday),
        years=() if every_year else _values(Part.YEAR, year[0], Form.QUARTZ),
        either_day=False,
    )


def _quartz_days(word: str) -> MonthDays:
    numbers: set[int] = set()
    found: dict[bool, set[int]] = {False: set(), True: set()}  # whether the nearest working day is meant
    from_end: dict[bool, set[int]] = {False: set(), True: set()}
    for term in word.split(","):
        if match := re.fullmatch(r"L(?:-(\d{1,2}))?(W?)", term):
            if int(match[1] or 0) > 30:
                raise InvalidCron(Part.DAY, "range", value=match[1], low=0, high=30)
            from_end[bool(match[2])].add(int(match[1] or 0))
        elif match := re.fullmatch(r"(\d{1,4})W", term):
            found[True].add(_number(Part.DAY, match[1], Form.QUARTZ))
        else:
            numbers.update(_term(Part.DAY, term, Form.QUARTZ))
    return MonthDays(*(tuple(sorted(days)) for days in (numbers, from_end[False], found[True], from_end[True])))


def _quartz_weekdays(word: str) -> Weekdays:
    numbers: set[int] = set()
    last: set[int] = set()
    nth: set[tuple[int, int]] = set()
    for term in word.split(","):
        if term == "L":  # Quartz: the last day of a week
            numbers.add(6)
        elif "#" in term:
            day, _, count = term.partition("#")
            if count not in ("1", "2", "3", "4", "5"):
                raise InvalidCron(Part.WEEKDAY, "nth", value=count)
            nth.add((_number(Part.WEEKDAY, day, Form.QUARTZ) - 1, int(count)))
        elif len(term) > 1 and term.endswith("L"):
            last.add(_number(Part.WEEKDAY, term[:-1], Form.QUARTZ) - 1)
        else:
            numbers.update(number - 1 for number in _term(Part.WEEKDAY, term, Form.QUARTZ))
    return Weekdays(tuple(sorted(numbers)), tuple(sorted(last)), tuple(sorted(nth)))


# --- one field ----------------------------------------------------------------------------------------------------


def _values(part: Part, word: str, form: Form) -> tuple[int, ...]:
    return tuple(sorted({value for term in word.split(",") for value in _term(part, term, form)}))


def _term(part: Part, term: str, form: Form) -> Iterator[int]:
    """The values of one member of a list: `*`, `5`, `5-9`, each with or without `/2`."""
    base, slash, step_text = term.partition("/")
    low, high = _limits(part, form)
    step = _step(part, step_text, 7 if part is Part.WEEKDAY else high - low + 1) if slash else 1
    if base == "" and slash and form is Form.QUARTZ:
        base = "*"
    first_text, dash, last_text = base.partition("-")
    if base == "?":
        raise InvalidCron(part, "question")
    if base == "*":
        # Sunday is both ends of Unix's week: count it once, or */2 would fire on Saturday and on Sunday
        first, last = (0, 6) if (low, high) == _UNIX_WEEKDAYS else (low, high)
    elif dash:
        first, last = _number(part, first_text, form), _number(part, last_text, form)
        if part is Part.WEEKDAY and form is Form.UNIX and last == 0:
            last = 7 if first else 0
    else:
        first = _number(part, base, form)
        last = max(first, 6 if (low, high) == _UNIX_WEEKDAYS else high) if slash else first
    if last < first:
        if form is Form.UNIX or part is Part.YEAR:
            raise InvalidCron(part, "reversed", first=first_text, last=last_text)
        size = high - low + 1
        yield from ((value - low) % size + low for value in range(first, last + size + 1, step))
        return
    yield from range(first, last + 1, step)


def _step(part: Part, text: str, size: int) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= size:
        raise InvalidCron(part, "step", value=text, high=size)
    return int(text)


def _number(part: Part, text: str, form: Form) -> int:
    low, high = _limits(part, form)
    if part is Part.MONTH and text in _MONTHS:
        return _MONTHS.index(text) + 1
    if part is Part.WEEKDAY and text in _WEEKDAYS:
        return _WEEKDAYS.index(text) + low
    if not re.fullmatch(r"[0-9]+", text):
        raise InvalidCron(part, "value", value=text)
    if len(text) > 4 or not low <= int(text) <= high:
        raise InvalidCron(part, "range", value=text, low=low, high=high)
    return int(text)


def _limits(part: Part, form: Form) -> tuple[int, int]:
    if part is Part.WEEKDAY:
        return _UNIX_WEEKDAYS if form is Form.UNIX else _QUARTZ_WEEKDAYS
    return _LIMITS[part]


# --- the calendar -------------------------------------------------------------------------------------------------


def _month_days(days: MonthDays, year: int, month: int) -> set[int]:
    length = calendar.monthrange(year, month)[1]
    found = {day for day in days.numbers if day <= length}
    found |= {length - back for back in days.from_end if back < length}
    near = {day for day in days.working_nearest if day <= length}
    near |= {length - back for back in days.working_nearest_from_end if back < length}
    return found | {_nearest_working_day(year, month, day, length) for day in near}


def _nearest_working_day(year: int, month: int, day: int, length: int) -> int:
    """Monday to Friday nearest to a date, never in another month."""
    match date(year, month, day).isoweekday():
        case 6:
            return day - 1 if day > 1 else day + 2
        case 7:
            return day + 1 if day < length else day - 2
        case _:
            return day


def _weekdays(weekdays: Weekdays, year: int, month: int) -> set[int]:
    length = calendar.monthrange(year, month)[1]
    if weekdays.all:
        return set(range(1, length + 1))
    first = date(year, month, 1).isoweekday() % 7
    found = {day for day in range(1, length + 1) if (first + day - 1) % 7 in weekdays.numbers}
    for weekday in weekdays.last:
        found.add(length - (first + length - 1 - weekday) % 7)
    for weekday, count in weekdays.nth:
        day = 1 + (weekday - first) % 7 + 7 * (count - 1)
        if day <= length:
            found.add(day)
    return found


def _has_a_date(cron: Cron) -> bool:
    return any(days_of(cron, year, month) for year in cron.years or _EVERY_CALENDAR for month in cron.months)
