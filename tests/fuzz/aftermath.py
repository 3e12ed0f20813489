"""Whether a platform that was driven hard is as well as before: it serves, its logs tell of no bug, no run is stuck."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from platform_house import TERMINAL, Platform, ok

from fuzz.answers import Fault

# after a cancel a task has seconds to heed it; the rest is patience with a busy machine
CANCELLED_WITHIN_S = 90
UNHANDLED = re.compile(
    r"Traceback \(most recent call last\)|^ERROR\b|^CRITICAL\b|\[(?:ERR|FTL)\]|\bpanic\b|goroutine \d+ \["
)
# Traefik calls it an error when a caller sends too much; the caller got a 413
FAULT_OF_CALLERS = ("request body over limit",)


def faults(platform: Platform, pids: dict[str, int]) -> Iterator[tuple[str, Fault]]:
    """What is wrong with which part; `pids` are those of its processes before."""
    if processes(platform) != pids:
        yield "processes", Fault("ended", "a process was replaced", f"{pids} → {processes(platform)}")
    yield from _unserved(platform)
    yield from _stuck(platform)
    yield from in_logs(platform.data / "logs")


def processes(platform: Platform) -> dict[str, int]:
    return {f"{child['service']}-{child['replica']}": child["pid"] for child in platform.endpoint["children"]}


def _unserved(platform: Platform) -> Iterator[tuple[str, Fault]]:
    try:
        workflow_id = platform.compose([{"key": "one", "type": "test.increment", "parameters": {"n": 1}}])
        run = platform.finished(platform.run(workflow_id), 120)
        if run["state"] != "SUCCESS" or platform.output(run, "one") != {"n": 2}:
            yield "a usual run", Fault("run", f"ended {run['state']}", json.dumps(run)[:500])
    except AssertionError as error:
        yield "a usual user", Fault("unserved", "cannot make and run a workflow", str(error))


def _stuck(platform: Platform) -> Iterator[tuple[str, Fault]]:
    """Runs that do not even end when they are cancelled; made-up ones may well wait for a year."""
    waiting = _open_runs(platform)
    with platform.client() as api:
        for run_id in waiting:
            answer = api.post(f"/workflow-runs/{run_id}/cancel")
            if answer.status_code not in (202, 409):
                yield "a run", Fault("cancel", f"{answer.status_code}", answer.text[:300])
    deadline = time.monotonic() + CANCELLED_WITHIN_S
    while waiting and time.monotonic() < deadline:
        waiting &= _open_runs(platform)
        time.sleep(0.2)
    for run_id in waiting:
        with platform.client() as api:
            run = ok(api.get(f"/workflow-runs/{run_id}"))
        if run["state"] not in TERMINAL:
            yield "a run", Fault("stuck", f"still {run['state']}", json.dumps(run)[:600])


def _open_runs(platform: Platform) -> set[str]:
    found: set[str] = set()
    with platform.client() as api:
        for state in ("PENDING", "RUNNING", "PAUSED", "CANCELLING"):
            cursor: str | None = ""
            while cursor is not None:
                params: dict[str, Any] = {"state": state, "limit": 200, **({"cursor": cursor} if cursor else {})}
                page = ok(api.get("/workflow-runs", params=params))
                found |= {run["run_id"] for run in page["items"]}
                cursor = page["next_cursor"]
    return found


def in_logs(folder: Path) -> Iterator[tuple[str, Fault]]:
    """Lines of any process that tell of a bug: of level error, or a traceback, or a 5xx that the gateway sent."""
    for file in sorted(folder.iterdir()):
        for line in file.read_text("utf-8", "replace").splitlines():
            found = _in_line(line)
            if found is not None:
                yield file.name, found


def _in_line(line: str) -> Fault | None:
    try:
        entry = json.loads(line) if line.startswith("{") else None
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        return Fault("log", "unhandled", line[:1500]) if UNHANDLED.search(line) else None
    what = str(entry.get("event") or entry.get("message") or "")
    if entry.get("DownstreamStatus", 0) >= 500:
        return Fault("log", f"{entry['DownstreamStatus']} from {entry.get('ServiceName')}", line[:1500])
    if any(known in what for known in FAULT_OF_CALLERS):
        return None
    if entry.get("level") in ("error", "critical", "fatal") or "Traceback (most recent" in line:
        return Fault("log", what[:100], line[:1500])
    return None
