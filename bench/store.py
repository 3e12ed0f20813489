"""What execution-service has committed, read beside it: the benchmark must neither load the gateway by asking whether a
run has ended, nor believe an answer that is not yet in the database."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

_TERMINAL = ("SUCCESS", "FAILED", "CANCELLED")


@dataclass(frozen=True)
class Task:
    """A recorded task run. Times in microseconds since the epoch."""

    task_run_id: str
    position: int
    state: str
    worker: str
    queued_at: int
    started_at: int
    finished_at: int
    input: dict[str, Any] | None
    output: dict[str, Any] | None


class Store:
    """execution-service's database, for reading only."""

    def __init__(self, data: Path, database_url: str | None) -> None:
        if database_url is None:
            path = data / "databases" / "execution.db"
            self._engine = sa.create_engine(f"sqlite:///file:{path}?mode=ro&uri=true", isolation_level="AUTOCOMMIT")
        else:
            base, mark, query = database_url.partition("?")
            self._engine = sa.create_engine(f"{base}/flowweaver_execution{mark}{query}", isolation_level="AUTOCOMMIT")

    def wait(self, run_ids: Sequence[str], seconds: float, every: float = 0.002) -> float:
        """`time.time()` when the last of these runs was first seen in a terminal state, looking `every` seconds."""
        waiting, deadline = list(run_ids), time.monotonic() + seconds
        with self._engine.connect() as connection:
            # the newest run usually ends last: as long as it has not, nothing else needs a look
            while waiting:
                found = connection.exec_driver_sql(
                    f"SELECT state FROM workflow_run WHERE workflow_run_id = '{waiting[-1]}'"  # noqa: S608  # an id of ours
                ).scalar()
                if found in _TERMINAL:
                    waiting.pop()
                    continue
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{len(waiting)} runs are not terminal after {seconds} s, e.g. {waiting[-1]}")
                time.sleep(every)
        return time.time()

    def tasks(self, run_ids: Iterable[str]) -> dict[str, list[Task]]:
        """All task runs of these runs, in order of their positions."""
        found: dict[str, list[Task]] = {}
        with self._engine.connect() as connection:
            for run_id in run_ids:
                io = {
                    (row[0], row[1]): json.loads(row[2])
                    for row in connection.execute(
                        sa.text("SELECT task_run_id, direction, body FROM task_io_data WHERE workflow_run_id = :run"),
                        {"run": run_id},
                    )
                }
                rows = connection.execute(
                    sa.text(
                        "SELECT task_run_id, position, state, worker, queued_at, started_at, finished_at"
                        " FROM task_run WHERE workflow_run_id = :run ORDER BY position"
                    ),
                    {"run": run_id},
                )
                found[run_id] = [
                    Task(**dict(row._mapping), input=io.get((row[0], "in")), output=io.get((row[0], "out")))
                    for row in rows
                ]
        return found

    def close(self) -> None:
        self._engine.dispose()
