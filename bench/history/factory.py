"""The workflows whose runs are copied, made and run by the platform as a person would have it."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import sqlalchemy as sa

from bench.history.patterns import Pattern, cut, left_by, scheduled
from bench.stack import Stack
from execution_service.storage import tables
from kit.ids import new_id

LINES, LONG_LINES, WIDE = 3, 5_000, 1_000
"""Log lines of a usual run and of the long one, tasks of the wide one. A usual run has ten tasks in two jobs."""
KINDS: dict[str, tuple[float, dict[str, Any]]] = {
    "succeeded": (0.925, {"fails": 0, "seconds": 0}),
    "succeeded at the second attempt": (0.02, {"fails": 1, "seconds": 0}),
    "failed": (0.045, {"fails": 2, "seconds": 0}),
    "cancelled": (0.01, {"fails": 0, "seconds": 600}),
}
"""Of each kind its share of all runs, and the input that makes it."""
SCHEDULED = 0.6
"""The share of runs that a schedule started; the others were started by a person."""
WIDE_KIND, LONG_KIND = "of 1,000 tasks", "with a long log"
T = TypeVar("T")


def patterns(stack: Stack, engine: sa.Engine, workflows: int) -> list[Pattern]:
    """Real runs of so many workflows, the first of which has most, and two that are rare (without a share); all cut."""
    found: list[Pattern] = []
    weights = [1 / (place + 1) for place in range(workflows)]
    with stack.client() as api, engine.connect() as connection:
        person = ok(api.get("/users/me"))["user_id"]
        tasks = _tasks(api)
        for place, weight in enumerate(weights):
            workflow = _workflow(api, f"Month-end report {place + 1}", *_ten(tasks))
            for kind, (share, given) in KINDS.items():
                run_id = _run(api, workflow, given, cancel=kind == "cancelled")
                _rest(connection, run_id, LINES)
                share *= weight / sum(weights)
                pattern = cut(connection, run_id, kind, share * (1 - SCHEDULED))
                found += [pattern, scheduled(pattern, person, new_id(), share * SCHEDULED)]
        wide = [{"task_id": tasks["increment"], "key": f"t{n}", "depends_on": []} for n in range(WIDE)]
        long = [{"task_id": tasks["log"], "key": "log", "parameters": {"lines": LONG_LINES, "seconds": 2}}]
        for kind, name, placements, lines in (
            (WIDE_KIND, "A thousand rows", wide, 0),
            (LONG_KIND, "A long log", long, LONG_LINES),
        ):
            run_id = _run(api, _workflow(api, name, placements), {})
            _rest(connection, run_id, lines)
            found.append(cut(connection, run_id, kind, 0.0))
    return found


def _tasks(api: httpx.Client) -> dict[str, str]:
    """The tasks that placements name, by what they do."""
    retry = {"max_attempts": 2, "backoff": "fixed", "delay_s": 0.1, "jitter": 0}
    said: dict[str, dict[str, Any]] = {
        "increment": {"type": "test.increment"},
        "log": {"type": "test.log", "parameters": {"lines": LINES}},
        "fail": {"type": "test.fail", "parameters": {"times": "${{ run.input.fails }}"}, "retry": retry},
        "sleep": {"type": "test.sleep", "parameters": {"seconds": "${{ run.input.seconds }}"}},
    }
    return {name: ok(api.post("/tasks", json={"name": name, **body}))["task_id"] for name, body in said.items()}


def _ten(tasks: dict[str, str]) -> list[list[dict[str, Any]]]:
    """Two jobs of five tasks, in order."""
    first: list[dict[str, Any]] = [
        {"task_id": tasks["increment"], "key": f"t{n}", "parameters": {"n": _output(n - 1)}} for n in range(5)
    ]
    second: list[dict[str, Any]] = [
        {"task_id": tasks["increment"], "key": "t5", "parameters": {"n": _output(4)}},
        {"task_id": tasks["log"], "key": "say"},
        {"task_id": tasks["fail"], "key": "check"},
        {"task_id": tasks["increment"], "key": "t8", "parameters": {"n": _output(5)}},
        {"task_id": tasks["sleep"], "key": "settle"},
    ]
    return [first, second]


def _output(number: int) -> Any:
    return 0 if number < 0 else f"${{{{ tasks.t{number}.output.n }}}}"


def _workflow(api: httpx.Client, name: str, *jobs: list[dict[str, Any]]) -> str:
    rows = []
    for number, placements in enumerate(jobs):
        job = ok(api.post("/jobs", json={"name": f"{name}, part {number + 1}"}))["job_id"]
        ok(api.put(f"/jobs/{job}/tasks", json=placements))
        rows.append({"job_id": job})
    workflow = str(ok(api.post("/workflows", json={"name": name}))["workflow_id"])
    ok(api.put(f"/workflows/{workflow}/jobs", json=rows))
    return workflow


def _run(api: httpx.Client, workflow: str, given: dict[str, Any], *, cancel: bool = False) -> str:
    """A run that has ended; its id. With `cancel` it is cancelled while its last task runs."""
    key = {"Idempotency-Key": new_id()}
    run_id = str(ok(api.post(f"/workflows/{workflow}/run", json={"input": given}, headers=key))["run_id"])

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = ok(api.get(f"/workflow-runs/{run_id}"))
        return found

    if cancel:
        until(lambda: shown()["jobs"][-1]["tasks"][-1]["state"] == "RUNNING", f"the last task of {run_id} runs")
        ok(api.post(f"/workflow-runs/{run_id}/cancel"))
    until(lambda: shown()["state"] in ("SUCCESS", "FAILED", "CANCELLED"), f"{run_id} ends")
    return run_id


def _rest(connection: sa.Connection, run_id: str, lines: int) -> None:
    """Returns when nothing more will be written about an ended run."""

    def rests() -> bool:
        connection.rollback()  # each look is a transaction of its own
        events = left_by(connection, tables.outbox, run_id)
        kinds = {event.subject for event in events if event.published_at is not None}
        return len(left_by(connection, tables.execution_log, run_id)) == lines and len(kinds) == 2

    until(rests, f"the {lines} log lines and the events of {run_id}")
    connection.rollback()


def until(look: Callable[[], T], what: str, seconds: float = 60, every: float = 0.05) -> T:
    """The first value of `look` that counts. Raises RuntimeError when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {seconds} s: {what}")
        time.sleep(every)
    return found


def ok(answer: httpx.Response) -> Any:
    if not answer.is_success:
        raise RuntimeError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}")
    return answer.json()
