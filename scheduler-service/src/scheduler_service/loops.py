"""The edge for time: one loop writes down what is due, another starts it; both only look at the table.

APScheduler holds a single job, "fire what our table says is due", and is told after each turn when the next turn is.
It never sees a cron text. Starting runs has its own loop, so that a peer that does not answer delays no writing down.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from kit import logs
from kit.database import utc_now
from scheduler_service.app import Scheduling

log = structlog.get_logger()

_JOB = "fire_due"


class Alarm:
    """Runs `run_once` in its own thread: at the moment it answers, at the latest after `poll_s`, at once when woken.

    `run_once` gives the moment at which it next has something to do, or None.
    """

    def __init__(self, run_once: Callable[[], datetime | None], poll_s: float) -> None:
        self._run_once = run_once
        self._poll = timedelta(seconds=poll_s)
        self._lock = threading.Lock()
        self._woken = False
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(1)},
            # a turn woken during another waits for it in the executor
            job_defaults={"coalesce": True, "max_instances": 3, "misfire_grace_time": None},
        )
        self._scheduler.add_job(
            self._turn, "interval", seconds=poll_s, id=_JOB, next_run_time=utc_now(), replace_existing=True
        )

    def wake(self) -> None:
        """Has a turn begin now, or once more when one is under way: it may have looked too early."""
        with self._lock:
            self._woken = True
            self._set(utc_now())

    async def run(self) -> None:
        """Turns until cancelled; a turn under way ends first."""
        self._scheduler.start()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(self._scheduler.shutdown)

    def _turn(self) -> None:
        logs.trace_id.set("")
        with self._lock:
            self._woken = False
        following = None
        try:
            following = self._run_once()
        except Exception as error:
            log.error("loop_failed", loop=_JOB, exc_info=error)
        now = utc_now()
        latest = now + self._poll
        with self._lock:
            self._set(now if self._woken else min(following or latest, latest))

    def _set(self, moment: datetime) -> None:
        if self._scheduler.running:
            self._scheduler.modify_job(_JOB, next_run_time=moment)


class Starter:
    """Starts pending firings in a thread: again at once while there is more, else when woken or after `poll_s`."""

    def __init__(self, run_once: Callable[[], int], poll_s: float) -> None:
        self._run_once = run_once
        self._poll_s = poll_s
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        """Has a turn begin now. From any thread."""
        self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Turns until cancelled."""
        while True:
            self._woken.clear()
            moved = 0
            logs.trace_id.set(logs.new_trace_id())
            try:
                moved = await asyncio.to_thread(self._run_once)
            except Exception as error:
                log.error("loop_failed", loop="start_pending", exc_info=error)
            if not moved:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), self._poll_s)


def fire_due(scheduling: Scheduling, started: Callable[[], None], now: datetime) -> datetime | None:
    """One turn of the alarm: writes down what is due, calls `started` when there is something to start.

    Gives the moment at which something is due next.
    """
    if scheduling.fire_due(now):
        started()
    return scheduling.next_due_at()
