"""Time: what is due is written down at its moment, and a change takes effect at once."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kit.database import utc_now
from scheduler_service import loops
from scheduler_service.app import Scheduling
from scheduler_service.domain.schedule import Timetable


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


async def until(met: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


class Turns:
    """Counts turns, and answers each with what `following` says."""

    def __init__(self, following: Callable[[], datetime | None]) -> None:
        self.count = 0
        self.failing = False
        self._following = following

    def __call__(self) -> datetime | None:
        self.count += 1
        if self.failing:
            raise RuntimeError("this turn fails")
        return self._following()


@pytest.mark.anyio
async def test_an_alarm_turns_at_the_moment_it_was_told() -> None:
    moment = utc_now() + timedelta(seconds=0.3)
    turned: list[datetime] = []

    def turn() -> datetime | None:
        turned.append(utc_now())
        return moment if utc_now() < moment else None

    alarm = loops.Alarm(turn, 60)
    running = asyncio.create_task(alarm.run())
    await until(lambda: len(turned) == 2)
    assert turned[0] < moment <= turned[1]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.anyio
async def test_an_alarm_turns_at_once_when_woken_and_again_after_its_poll() -> None:
    turns = Turns(lambda: None)
    alarm = loops.Alarm(turns, 60)
    alarm.wake()
    running = asyncio.create_task(alarm.run())
    await until(lambda: turns.count == 1)
    alarm.wake()
    await until(lambda: turns.count == 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    alarm.wake()

    often = Turns(lambda: None)
    running = asyncio.create_task(loops.Alarm(often, 0.05).run())
    await until(lambda: often.count >= 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.anyio
async def test_a_wake_during_a_turn_gives_one_more_turn() -> None:
    entered, leave = threading.Event(), threading.Event()
    turns = Turns(lambda: None)

    def turn() -> datetime | None:
        turns()
        entered.set()
        leave.wait(10)
        return None

    alarm = loops.Alarm(turn, 60)
    running = asyncio.create_task(alarm.run())
    assert await asyncio.to_thread(entered.wait, 10)
    alarm.wake()
    leave.set()
    await until(lambda: turns.count == 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.anyio
async def test_a_turn_that_fails_does_not_end_the_loops() -> None:
    failing, counted = Turns(lambda: None), []
    failing.failing = True

    def start() -> int:
        counted.append(1)
        raise RuntimeError("this turn fails")

    running = [
        asyncio.create_task(loops.Alarm(failing, 0.05).run()),
        asyncio.create_task(loops.Starter(start, 0.05).run()),
    ]
    await until(lambda: failing.count >= 2 and len(counted) >= 2)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


@pytest.mark.anyio
async def test_a_starter_goes_on_while_there_is_more_and_when_woken() -> None:
    left = [3]

    def start() -> int:
        left[0] -= 1
        return max(left[0], 0)

    starter = loops.Starter(start, 60)
    running = asyncio.create_task(starter.run())
    await until(lambda: left[0] == 0)
    starter.wake()
    await until(lambda: left[0] == -1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.anyio
async def test_a_schedule_made_changed_and_removed_takes_effect_within_a_second(
    scheduling: Scheduling, peers: Any
) -> None:
    """The poll is a minute away: only being woken can be that fast."""
    alarm: loops.Alarm | None = None
    woken = replace(scheduling, wake=lambda: alarm.wake() if alarm else None)
    starter = loops.Starter(lambda: woken.start_pending(utc_now()), 60)
    alarm = loops.Alarm(lambda: loops.fire_due(woken, starter.wake, utc_now()), 60)
    running = [asyncio.create_task(alarm.run()), asyncio.create_task(starter.run())]

    every_second = Timetable("* * * * * ?", "Asia/Seoul", "", True, {})
    made = await asyncio.to_thread(woken.create_schedule, "org-1", "workflow-1", every_second, utc_now())
    assert made.next_fire_at is not None
    await until(lambda: len(peers.execution.runs) >= 2)
    first = peers.execution.instants()[0]
    assert first == made.next_fire_at.isoformat().replace("+00:00", "Z")

    never = replace(every_second, cron="0 0 0 1 1 ? 2099")
    await asyncio.to_thread(woken.change_schedule, "org-1", made.schedule_id, never, utc_now())
    changed_at = utc_now()
    await asyncio.to_thread(woken.delete_schedule, "org-1", made.schedule_id, utc_now())
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert all(datetime.fromisoformat(instant) <= changed_at for instant in peers.execution.instants())
    assert len(peers.execution.asked) == len(peers.execution.runs)
