"""The real process, killed at random moments while a schedule fires every second."""

import os
import random
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kit import database as kit_database
from kit.database import utc_now
from kit.ids import new_id
from scheduler_service.domain.schedule import FiringState, Schedule, ScheduleId, Timetable
from scheduler_service.storage import Storage


def start(folder: Path, peers: Any) -> "subprocess.Popen[bytes]":
    secret = folder / "service.key"
    secret.write_text(peers.secret)
    environment = {
        **os.environ,
        "FLOWWEAVER_DATA": str(folder),
        "FLOWWEAVER_INNER_URL": f"http://127.0.0.1:{peers.execution_port}",
        "FLOWWEAVER_SERVICE_SECRET_FILE": str(secret),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    log = (folder / "log").open("ab")
    return subprocess.Popen(
        [sys.executable, "-m", "scheduler_service"], env=environment, stdout=log, stderr=log, start_new_session=True
    )


@pytest.mark.process
@pytest.mark.timeout(180)
def test_killed_at_random_moments_each_second_still_fires_exactly_once(tmp_path: Path, peers: Any) -> None:
    (tmp_path / "databases").mkdir()
    database = kit_database.Database(f"sqlite:///{tmp_path / 'databases' / 'scheduler.db'}")
    kit_database.migrate(database, "scheduler_service")
    storage = Storage(database)
    begun = utc_now()
    first = begun.replace(microsecond=0) + timedelta(seconds=1)
    every_second = Timetable("* * * * * ?", "Asia/Seoul", "", True, {"n": 1})
    schedule_id = ScheduleId(new_id())
    storage.schedules.insert(Schedule(schedule_id, "org-1", "workflow-1", every_second, False, first, 1, begun, begun))
    chance = random.Random(20261121)
    for _ in range(4):
        seen = len(peers.execution.runs)
        process = start(tmp_path, peers)
        try:
            wanted = seen + chance.randint(1, 4)
            peers.execution.wait_until(lambda: len(peers.execution.runs) >= wanted, 60)  # noqa: B023
            # somewhere between asking for the next run, writing the answer down and writing down the next instant
            process.poll()
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(20)
    process = start(tmp_path, peers)
    try:
        restarted = utc_now()
        peers.execution.wait_until(
            lambda: datetime.fromisoformat(peers.execution.instants()[-1]) > restarted + timedelta(seconds=12), 90
        )
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (tmp_path / "log").read_text()[-4000:]
    fired = [datetime.fromisoformat(instant) for instant in peers.execution.instants()]
    assert fired == [first + timedelta(seconds=number) for number in range(len(fired))]
    last = storage.firings.last_of([schedule_id])[schedule_id]
    assert last.state in (FiringState.STARTED, FiringState.PENDING)
    assert storage.schedules.get("org-1", schedule_id).next_fire_at == last.instant + timedelta(seconds=1)
    database.close()
