"""A cron in words: 매주 월요일 09:30 · Every Monday at 09:30.

Words come from what a cron matches, not from how it is written: `*/15`, `0/15` and `0,15,30,45` read the same. Up to
six times a day are named one by one; beyond that the text says how the clock beats.
"""

from collections.abc import Callable, Sequence
from itertools import product

from kit import messages
from scheduler_service.domain.cron import Cron, MonthDays, Weekdays

_MOST_TIMES = 6


def describe(cron: Cron, language: str) -> str:
    """`cron` in Korean (`ko`) or English (`en`), its first letter a capital."""
    return _Words(language).cron(cron)


class _Words:
    """The pieces of one language."""

    def __init__(self, language: str) -> None:
        self._language = language

    def cron(self, cron: Cron) -> str:
        daily = cron.days.all and cron.weekdays.all and len(cron.months) == 12 and not cron.years
        if len(cron.hours) * len(cron.minutes) * len(cron.seconds) <= _MOST_TIMES:
            words = self._say("at", date=self._date(cron), times=self._times(cron))
        elif daily:
            words = self._beat(cron)
        else:
            words = self._say("beat", date=self._date(cron), beat=self._beat(cron))
        return words[0].upper() + words[1:]

    # --- time of day

    def _times(self, cron: Cron) -> str:
        with_seconds = cron.seconds != (0,)
        return self._list(
            [
                f"{hour:02}:{minute:02}" + (f":{second:02}" if with_seconds else "")
                for hour, minute, second in product(cron.hours, cron.minutes, cron.seconds)
            ]
        )

    def _beat(self, cron: Cron) -> str:
        """Hour, minute and second, the ones that say nothing left out; English begins with the smallest."""
        hour = self._unit("hour", cron.hours, 23)
        minute = self._unit("minute", cron.minutes, 59)
        second = self._unit("second", cron.seconds, 59)
        if cron.seconds == (0,):
            second = ""
            if cron.minutes == (0,):
                minute = "" if _step(cron.hours, 23) else self._say("on_the_hour")
        elif len(cron.minutes) == 60:
            minute = ""
        beats = len(cron.minutes) == 60 or _step(cron.minutes, 59) is not None or (minute == "" and second != "")
        if len(cron.hours) == 24 and beats:
            hour = ""
        pieces = [hour, minute, second]
        if self._language == "en":
            # "every hour at minute 5", but "every 15 minutes in hour 9 to 17"
            pieces = [second, minute, hour] if beats else [second, hour, minute]
        return " ".join(piece for piece in pieces if piece)

    def _unit(self, unit: str, values: Sequence[int], high: int) -> str:
        if len(values) == high + 1:
            return self._say(f"every_{unit}")
        if step := _step(values, high):
            code = f"step_{unit}_from" if values[0] else f"step_{unit}"
            return self._say(code, step=step, first=values[0])
        return self._say(f"at_{unit}", values=self._ranges(values, str))

    # --- date

    def _date(self, cron: Cron) -> str:
        words = self._days_and_weekdays(cron)
        return self._say("year", years=self._ranges(cron.years, str), date=words) if cron.years else words

    def _days_and_weekdays(self, cron: Cron) -> str:
        every_month = len(cron.months) == 12
        names = self._ranges(cron.months, lambda month: self._say(f"month_{month}"))
        month = self._say("every_month") if every_month else self._say("months", months=names)
        if cron.days.all and cron.weekdays.all:
            return self._say("every_day") if every_month else self._say("every_day_of", month=month)
        weekdays = self._weekdays(cron.weekdays)
        if not cron.days.all:
            days = self._month_days(cron.days)
            if not cron.weekdays.all:
                days = (
                    self._say("or", first=days, last=weekdays)
                    if cron.either_day
                    else self._say("both", days=days, weekdays=weekdays)
                )
            return self._say("days", month=month, days=days)
        if cron.weekdays.last or cron.weekdays.nth:
            return self._say("days", month=month, days=weekdays)
        if every_month:
            return self._say("every_week", weekdays=weekdays)
        return self._say("every_week_of", month=month, weekdays=weekdays)

    def _month_days(self, days: MonthDays) -> str:
        pieces: list[str] = []
        if step := _step(days.numbers, 31, low=1):
            pieces.append(self._say("step_day", step=step, first=days.numbers[0]))
        elif days.numbers:
            pieces.append(self._ranges(days.numbers, lambda day: self._say("day", day=day)))
        pieces += [self._from_end(back) for back in days.from_end]
        pieces += [self._say("working_day", day=self._say("day", day=day)) for day in days.working_nearest]
        pieces += [
            self._say("working_day", day=self._from_end(back)) if back else self._say("last_working_day")
            for back in days.working_nearest_from_end
        ]
        return self._list(pieces)

    def _from_end(self, back: int) -> str:
        return self._say("before_last_day", count=back) if back else self._say("last_day")

    def _weekdays(self, weekdays: Weekdays) -> str:
        # a week reads from Monday; only text counts it from Sunday
        ordered = sorted(weekdays.numbers, key=lambda number: (number - 1) % 7)
        pieces = [self._ranges([(number - 1) % 7 for number in ordered], self._from_monday)] if ordered else []
        pieces += [self._say("last_weekday", weekday=self._say(f"weekday_{number}")) for number in weekdays.last]
        pieces += [
            self._say(f"nth_weekday_{count}", weekday=self._say(f"weekday_{number}")) for number, count in weekdays.nth
        ]
        return self._list(pieces)

    def _from_monday(self, number: int) -> str:
        return self._say(f"weekday_{(number + 1) % 7}")

    # --- grammar

    def _ranges(self, values: Sequence[int], name: Callable[[int], str]) -> str:
        """Three or more in a row as a range, the rest one by one."""
        pieces: list[str] = []
        start = 0
        for end in range(1, len(values) + 1):
            if end < len(values) and values[end] == values[end - 1] + 1:
                continue
            if end - start >= 3:
                pieces.append(self._say("range", first=name(values[start]), last=name(values[end - 1])))
            else:
                pieces += [name(value) for value in values[start:end]]
            start = end
        return self._list(pieces)

    def _list(self, pieces: Sequence[str]) -> str:
        if len(pieces) < 2:
            return "".join(pieces)
        return self._say("and", first=", ".join(pieces[:-1]), last=pieces[-1])

    def _say(self, piece: str, **params: object) -> str:
        return messages.text(f"when_{piece}", lang=self._language, **params)


def _step(values: Sequence[int], high: int, *, low: int = 0) -> int | None:
    """The distance between `values` when they go on evenly from their first to the end of the field, else None."""
    if len(values) < 3 or len(values) == high - low + 1:
        return None
    step = values[1] - values[0]
    even = list(values) == list(range(values[0], high + 1, step))
    return step if even and step > 1 and values[0] - low < step else None
