"""What else must work with a long history: statistics, the list's stream, and the removal of what is old."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import sqlalchemy as sa

from bench.checks import CheckFailed
from bench.figures import median, spread
from bench.history.factory import ok, until
from bench.stack import Stack
from execution_service.storage import tables

TURNS = 5


def statistics(stack: Stack, workflow_id: str) -> dict[str, Any]:
    """Milliseconds of the statistics of the last 30 days, of all workflows and of one."""
    found: dict[str, Any] = {}
    with stack.client() as api:
        for name, asked in (("all", {}), ("one_workflow", {"workflow_id": workflow_id})):
            waits = []
            for _ in range(TURNS):
                began = time.perf_counter()
                said = ok(api.get("/workflow-runs/statistics", params=asked))
                waits.append((time.perf_counter() - began) * 1000)
            if not said["total"]:
                raise CheckFailed("statistics count no run")
            found[name] = {
                "median_ms": round(median(waits), 1), "spread": spread(waits), "runs": said["total"],
                "truncated": said["truncated"],
            }  # fmt: skip
    return found


def stream(stack: Stack, workflow_id: str, given: Any) -> dict[str, Any]:
    """Milliseconds from a start until the list's stream tells of the run, and of its end."""
    begun, ended = [], []
    with stack.client() as api, api.stream("GET", "/workflow-runs/events", timeout=30) as answer:
        events = _items(answer)
        next(events)  # what changed lately: from then on all is told
        for _ in range(TURNS):
            told: dict[str, float] = {}
            sent = time.perf_counter()
            # on another connection, while this one is read
            starter = _Start(stack, workflow_id, given)
            starter.start()
            heard: dict[str, dict[str, float]] = {}
            while True:
                for item in next(events):
                    of_run = heard.setdefault(item["run_id"], {})
                    of_run.setdefault("any", time.perf_counter())
                    of_run.setdefault(item["state"], time.perf_counter())
                if starter.run_id and "SUCCESS" in heard.get(starter.run_id, {}):
                    told = heard[starter.run_id]
                    break
            starter.join()
            begun.append((told["any"] - sent) * 1000)
            ended.append((told["SUCCESS"] - sent) * 1000)
    return {
        "told_ms": round(median(begun), 1), "told_of_its_end_ms": round(median(ended), 1),
        "spread": {"told_ms": spread(begun), "told_of_its_end_ms": spread(ended)},
    }  # fmt: skip


class _Start(threading.Thread):
    """Starts a run; `run_id` is empty until it was answered."""

    def __init__(self, stack: Stack, workflow_id: str, given: Any) -> None:
        super().__init__(daemon=True)
        self._stack, self._workflow_id, self._given, self.run_id = stack, workflow_id, given, ""

    def run(self) -> None:
        with self._stack.client() as api:
            self.run_id = ok(api.post(f"/workflows/{self._workflow_id}/run", json={"input": self._given}))["run_id"]


def _items(answer: httpx.Response) -> Iterator[list[dict[str, Any]]]:
    event = ""
    for line in answer.iter_lines():
        if line.startswith("event:"):
            event = line.removeprefix("event:").strip()
        elif line.startswith("data:") and event == "runs":
            yield json.loads(line.removeprefix("data:"))["items"]
        elif line == "" or line.startswith(":"):
            # a sign of life: the run may have been told of before its start was answered
            yield []


def purged(engine: sa.Engine, old: list[str], kept: int) -> dict[str, Any]:
    """Waits until the runs that were kept long enough are gone with all their rows, and only they."""
    began = time.monotonic()
    run = tables.workflow_run.c
    with engine.connect() as connection:

        def gone() -> bool:
            connection.rollback()
            left = connection.execute(
                sa.select(sa.func.count()).select_from(tables.workflow_run).where(run.workflow_run_id.in_(old))
            ).scalar()
            noted = connection.execute(sa.select(sa.func.count()).select_from(tables.purged_run)).scalar()
            return left == 0 and noted == 0

        until(gone, "old runs are removed", seconds=300, every=0.2)
        seconds = time.monotonic() - began
        for table in (tables.task_run, tables.task_io_data, tables.execution_log, tables.job_run, tables.task_attempt):
            rows = connection.execute(
                sa.select(sa.func.count()).select_from(table).where(table.c.workflow_run_id.in_(old))
            ).scalar()
            if rows:
                raise CheckFailed(f"{rows} rows of {table.name} outlived their runs")
        count = connection.execute(sa.select(sa.func.count()).select_from(tables.workflow_run)).scalar() or 0
        if count < kept:
            raise CheckFailed(f"{count} runs are left of {kept} that must be kept")
    return {"runs": len(old), "seconds": round(seconds, 1)}
