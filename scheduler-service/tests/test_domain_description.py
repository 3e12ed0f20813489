"""Schedules in words, Korean and English."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_service.domain.cron import parse
from scheduler_service.domain.description import describe


@pytest.mark.parametrize(
    ("text", "korean", "english"),
    [
        ("0 8 * * *", "매일 08:00", "Every day at 08:00"),
        ("0 0 8 * * ?", "매일 08:00", "Every day at 08:00"),
        ("10 30 8 * * ?", "매일 08:30:10", "Every day at 08:30:10"),
        ("30 9 * * 1", "매주 월요일 09:30", "Every Monday at 09:30"),
        ("0 30 9 ? * 2", "매주 월요일 09:30", "Every Monday at 09:30"),
        ("0 9 * * 1-5", "매주 월요일~금요일 09:00", "Every Monday to Friday at 09:00"),
        ("0 9,18 * * 0,6", "매주 토요일, 일요일 09:00, 18:00", "Every Saturday and Sunday at 09:00 and 18:00"),
        ("0 9 1,15 * *", "매월 1일, 15일 09:00", "Day 1 and day 15 of every month at 09:00"),
        ("0 9 13 * 5", "매월 13일 또는 금요일 09:00", "Day 13 or Friday of every month at 09:00"),
        ("0 0 1 1,7 *", "매년 1월, 7월 1일 00:00", "Day 1 of every January and July at 00:00"),
        ("0 9 * 12 *", "매년 12월 매일 09:00", "Every day of every December at 09:00"),
        ("0 9 * 3 1", "매년 3월 매주 월요일 09:00", "Every Monday of every March at 09:00"),
        ("*/15 * * * *", "15분마다", "Every 15 minutes"),
        ("0,15,30,45 * * * *", "15분마다", "Every 15 minutes"),
        ("3/20 * * * *", "3분부터 20분마다", "Every 20 minutes from minute 3"),
        ("* * * * *", "매분", "Every minute"),
        ("5 * * * *", "매시 5분", "Every hour at minute 5"),
        ("0 * * * *", "매시 정각", "Every hour on the hour"),
        ("0 */2 * * *", "2시간마다", "Every 2 hours"),
        ("0 1/3 * * *", "1시부터 3시간마다", "Every 3 hours from 1:00"),
        (
            "*/10 9-17 * * 1-5",
            "매주 월요일~금요일 9~17시 10분마다",
            "Every 10 minutes in hour 9 to 17, every Monday to Friday",
        ),
        ("0/2 * * * * ?", "2초마다", "Every 2 seconds"),
        ("* * * * * ?", "매초", "Every second"),
        ("0 0 12 L * ?", "매월 마지막 날 12:00", "The last day of every month at 12:00"),
        ("0 0 12 L-3 * ?", "매월 마지막 날 3일 전 12:00", "3 days before the last day of every month at 12:00"),
        ("0 0 12 LW * ?", "매월 마지막 평일 12:00", "The last working day of every month at 12:00"),
        ("0 0 12 ? * 6#3", "매월 셋째 금요일 12:00", "The third Friday of every month at 12:00"),
        ("0 0 12 ? * 6L", "매월 마지막 금요일 12:00", "The last Friday of every month at 12:00"),
        (
            "0 0 8 15W * ? 2027",
            "2027년 매월 15일에 가장 가까운 평일 08:00",
            "The working day nearest to day 15 of every month in 2027 at 08:00",
        ),
        (
            "0 0 */10 * 1",
            "매월 1일부터 10일마다 가운데 월요일 00:00",
            "Every 10 days from day 1 that is a Monday of every month at 00:00",
        ),
    ],
)
def test_a_schedule_reads_as_people_say_it(text: str, korean: str, english: str) -> None:
    assert describe(parse(text), "ko") == korean
    assert describe(parse(text), "en") == english


@given(
    minute=st.sampled_from(["*", "0", "1/5", "3-9", "1,59"]),
    hour=st.sampled_from(["*", "0", "2/5", "3-9", "1,23"]),
    day=st.sampled_from(["* * ?", "? * MON-WED", "1-5,LW * ?", "? 2-4 3L,4#1", "L-2W,20W 1/4 ?", "* * ? 2027-2029"]),
    second=st.sampled_from(["*", "0", "10", "0/20", "1-3"]),
)
def test_every_schedule_has_words_in_both_languages(minute: str, hour: str, day: str, second: str) -> None:
    cron = parse(f"{second} {minute} {hour} {day}")
    korean, english = describe(cron, "ko"), describe(cron, "en")
    assert "when_" not in korean + english
    assert "{" not in korean + english
    assert english.isascii()
    assert english[0].isupper() or english[0].isdigit()
