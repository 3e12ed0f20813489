"""Starting a run and following it to its end, over the API."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from flowweaver_cli.client import Client

TERMINAL = {"SUCCESS", "FAILED", "CANCELLED"}
TASK_TERMINAL = {"SUCCESS", "FAILED", "CANCELLED", "SKIPPED", "UPSTREAM_FAILED"}

Run = dict[str, Any]


def start(client: Client, workflow_id: str, values: dict[str, Any], key: str) -> str:
    """The run's id; the same for the same key."""
    return str(client.post(f"/v0/workflows/{workflow_id}/run", {"input": values}, key=key)["run_id"])


def follow(client: Client, run_id: str, changed: Callable[[Run], None], *, poll_s: float = 0.3) -> Run:
    """The run as it ended; `changed` sees it as often as it is asked for."""
    while True:
        run: Run = client.get(f"/v0/workflow-runs/{run_id}")
        changed(run)
        if run["state"] in TERMINAL:
            return run
        time.sleep(poll_s)


def tasks(run: Run) -> Iterator[dict[str, Any]]:
    for job in run["jobs"]:
        yield from job["tasks"]


def output(client: Client, run: Run, key: str) -> dict[str, Any]:
    """A task's output; {} when it has none."""
    for task in tasks(run):
        if task["key"] == key and task["state"] == "SUCCESS":
            return dict(client.get("/v0/tasks/io-data", task_run_id=task["task_run_id"])["output"] or {})
    return {}


def error_codes(run: Run) -> set[str]:
    return {task["error"]["code"] for task in tasks(run) if task["error"]}
