"""Which days and times a cron text means, and which texts mean nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import messages
from kit.errors import Invalid
from scheduler_service.domain.cron import Form, InvalidCron, Part, days_of, parse

NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
# November 2026 begins on a Sunday
FIRST_OF_WEEKDAY = {name: 1 + index for index, name in enumerate(NAMES)}


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "SUN"), (1, "MON"), (2, "TUE"), (3, "WED"), (4, "THU"), (5, "FRI"), (6, "SAT"), (7, "SUN")],
)
def test_unix_counts_weekdays_from_sunday_as_0_and_again_as_7(number: int, name: str) -> None:
    expected = tuple(range(FIRST_OF_WEEKDAY[name], 31, 7))
    assert days_of(parse(f"0 8 * * {number}"), 2026, 11) == expected
    assert days_of(parse(f"0 8 * * {name}"), 2026, 11) == expected


@pytest.mark.parametrize(
    ("number", "name"),
    [(1, "SUN"), (2, "MON"), (3, "TUE"), (4, "WED"), (5, "THU"), (6, "FRI"), (7, "SAT")],
)
def test_quartz_counts_weekdays_from_sunday_as_1(number: int, name: str) -> None:
    expected = tuple(range(FIRST_OF_WEEKDAY[name], 31, 7))
    assert days_of(parse(f"0 0 8 ? * {number}"), 2026, 11) == expected
    assert days_of(parse(f"0 0 8 ? * {name.lower()}"), 2026, 11) == expected


@pytest.mark.parametrize("count", [6, 7])
def test_six_or_seven_fields_are_quartz_and_begin_with_seconds(count: int) -> None:
    cron = parse(" ".join(["5", "10", "8", "*", "*", "?", "2027"][:count]))
    assert (cron.form, cron.seconds, cron.minutes, cron.hours) == (Form.QUARTZ, (5,), (10,), (8,))
    assert cron.years == ((2027,) if count == 7 else ())


def test_five_fields_are_unix_at_second_zero() -> None:
    cron = parse("  10 8\t* * * ")
    assert (cron.form, cron.seconds, cron.minutes, cron.hours) == (Form.UNIX, (0,), (10,), (8,))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("*/20", (0, 20, 40)),
        ("5/25", (5, 30, 55)),
        ("1-4", (1, 2, 3, 4)),
        ("10-20/5", (10, 15, 20)),
        ("3,1,2,2", (1, 2, 3)),
        ("0-1,58-59", (0, 1, 58, 59)),
        ("007", (7,)),
    ],
)
def test_minutes_take_ranges_steps_and_lists(field: str, values: tuple[int, ...]) -> None:
    assert parse(f"{field} * * * *").minutes == values
    assert parse(f"0 {field} * * * ?").minutes == values


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 8 1,15 * *", (1, 15)),
        ("0 8 * * 1-5", (2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 16, 17, 18, 19, 20, 23, 24, 25, 26, 27, 30)),
        ("0 8 * * SAT-SUN", (1, 7, 8, 14, 15, 21, 22, 28, 29)),
        ("0 8 * * SUN-TUE", (1, 2, 3, 8, 9, 10, 15, 16, 17, 22, 23, 24, 29, 30)),
        ("0 8 * * */2", (1, 3, 5, 7, 8, 10, 12, 14, 15, 17, 19, 21, 22, 24, 26, 28, 29)),
        ("0 8 13 * 5", (6, 13, 20, 27)),
        ("0 8 12 * 5", (6, 12, 13, 20, 27)),
        ("0 8 */10 * 6", (21,)),
        ("0 0 8 L * ?", (30,)),
        ("0 0 8 L-3 * ?", (27,)),
        ("0 0 8 LW * ?", (30,)),
        ("0 0 8 L-1W * ?", (30,)),
        ("0 0 8 1W * ?", (2,)),
        ("0 0 8 7W * ?", (6,)),
        ("0 0 8 15W * ?", (16,)),
        ("0 0 8 18W,L * ?", (18, 30)),
        ("0 0 8 ? * 6L", (27,)),
        ("0 0 8 ? * MONL", (30,)),
        ("0 0 8 ? * L", (7, 14, 21, 28)),
        ("0 0 8 ? * 6#3", (20,)),
        ("0 0 8 ? * SUN#5", (29,)),
        ("0 0 8 ? * TUE#5", ()),
        ("0 0 8 ? * FRI-MON", (1, 2, 6, 7, 8, 9, 13, 14, 15, 16, 20, 21, 22, 23, 27, 28, 29, 30)),
        ("0 0 8 ? * 2/2", (2, 4, 6, 9, 11, 13, 16, 18, 20, 23, 25, 27, 30)),
        ("0 0 8 ? DEC-FEB MON", ()),
        ("0 0 8 ? OCT-DEC MON 2026", (2, 9, 16, 23, 30)),
        ("0 0 8 ? * MON 2027", ()),
        ("0 0 8 /10 * ?", (1, 11, 21)),
    ],
)
def test_the_days_of_november_2026(text: str, days: tuple[int, ...]) -> None:
    assert days_of(parse(text), 2026, 11) == days


def test_the_working_day_nearest_to_a_weekend_stays_in_its_month() -> None:
    assert days_of(parse("0 0 8 1W * ?"), 2026, 8) == (3,)  # 1 August 2026 is a Saturday
    assert days_of(parse("0 0 8 31W * ?"), 2026, 5) == (29,)  # 31 May 2026 is a Sunday
    assert days_of(parse("0 0 8 31W * ?"), 2026, 11) == ()
    assert days_of(parse("0 0 8 LW * ?"), 2026, 10) == (30,)  # 31 October 2026 is a Saturday


def test_quartz_months_may_wrap_around_the_year() -> None:
    assert parse("0 0 8 1 NOV-FEB ?").months == (1, 2, 11, 12)


@pytest.mark.parametrize(
    ("text", "part", "reason"),
    [
        ("", None, "fields"),
        ("* * * *", None, "fields"),
        ("* * * * * * * *", None, "fields"),
        ("@daily", None, "fields"),
        ("*" * 201, None, "too_long"),
        ("60 * * * *", Part.MINUTE, "range"),
        ("* 24 * * *", Part.HOUR, "range"),
        ("* * 0 * *", Part.DAY, "range"),
        ("* * 32 * *", Part.DAY, "range"),
        ("* * * 13 *", Part.MONTH, "range"),
        ("* * * * 8", Part.WEEKDAY, "range"),
        ("0 0 8 ? * 0", Part.WEEKDAY, "range"),
        ("0 0 8 ? * 8", Part.WEEKDAY, "range"),
        ("60 0 8 * * ?", Part.SECOND, "range"),
        ("0 0 8 * * ? 1969", Part.YEAR, "range"),
        ("0 0 8 * * ? 2100", Part.YEAR, "range"),
        ("99999999999 * * * *", Part.MINUTE, "range"),
        ("0 0 8 L-31 * ?", Part.DAY, "range"),
        ("0 0 8 32W * ?", Part.DAY, "range"),
        ("a * * * *", Part.MINUTE, "value"),
        ("-1 * * * *", Part.MINUTE, "value"),
        ("1- * * * *", Part.MINUTE, "value"),
        ("1,,2 * * * *", Part.MINUTE, "value"),
        ("/5 * * * *", Part.MINUTE, "value"),
        ("1.5 * * * *", Part.MINUTE, "value"),
        ("² * * * *", Part.MINUTE, "value"),
        ("٣ * * * *", Part.MINUTE, "value"),
        ("* * * * MONDAY", Part.WEEKDAY, "value"),
        ("* MON * * *", Part.HOUR, "value"),
        ("0 0 8 W * ?", Part.DAY, "value"),
        ("0 0 L * * ?", Part.HOUR, "value"),
        ("0 0 8 ? * #2", Part.WEEKDAY, "value"),
        ("*/0 * * * *", Part.MINUTE, "step"),
        ("*/61 * * * *", Part.MINUTE, "step"),
        ("*/ * * * *", Part.MINUTE, "step"),
        ("*/1/2 * * * *", Part.MINUTE, "step"),
        ("5-1 * * * *", Part.MINUTE, "reversed"),
        ("* * * * FRI-MON", Part.WEEKDAY, "reversed"),
        ("0 0 8 * * ? 2030-2028", Part.YEAR, "reversed"),
        ("0 0 8 ? * MON#6", Part.WEEKDAY, "nth"),
        ("0 0 8 ? * MON#", Part.WEEKDAY, "nth"),
        ("0 0 ? * * *", Part.HOUR, "question"),
        ("0 0 8 ?,1 * *", Part.DAY, "question"),
        ("0 8 ? * *", Part.DAY, "quartz_only"),
        ("0 8 L * *", Part.DAY, "quartz_only"),
        ("0 8 15W * *", Part.DAY, "quartz_only"),
        ("0 8 * * MON#1", Part.WEEKDAY, "quartz_only"),
        ("0 8 * * 5L", Part.WEEKDAY, "quartz_only"),
        ("0 0 8 ? * ?", Part.WEEKDAY, "no_day"),
        ("0 0 8 1 * MON", Part.WEEKDAY, "both_days"),
        ("0 0 30 2 *", Part.DAY, "never"),
        ("0 0 31 2,4,6,9,11 *", Part.DAY, "never"),
        ("0 0 0 29 2 ? 2027", Part.DAY, "never"),
        ("0 0 0 ? 2 SUN#5 2027", Part.DAY, "never"),
    ],
)
def test_a_text_that_means_nothing_is_refused_with_its_field_and_reason(
    text: str, part: Part | None, reason: str
) -> None:
    with pytest.raises(InvalidCron) as refused:
        parse(text)
    error = refused.value
    assert (error.part, error.reason) == (part, reason)
    assert error.fields[0].field == (f"body.cron.{part}" if part else "body.cron")
    for language in messages.LANGUAGES:
        shown = messages.text(error.fields[0].code, lang=language, **dict(error.fields[0].params))
        assert shown != error.fields[0].code
        assert "{" not in shown


@given(st.text(alphabet="0123456789*/-,?LW#MONJAFEBSU \t", max_size=40) | st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        cron = parse(text)
    except Invalid:
        return
    assert parse(cron.text) == cron
    assert all((cron.seconds, cron.minutes, cron.hours, cron.months))
