"""docs/interfaces.md on runs, line by line: their shape, their events, and how they are stopped and run again."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
from platform_house import TERMINAL, TIME, Platform, eventually, ok, states


def times_of(value: Any) -> list[str]:
    """Every text of a field that is called a time."""
    if isinstance(value, list):
        return [found for item in value for found in times_of(item)]
    if not isinstance(value, dict):
        return []
    own = [inner for name, inner in value.items() if name.endswith("_at") and inner is not None]
    return own + [found for inner in value.values() for found in times_of(inner)]


COUNT = {"total", "states", "success_rate"}
TIMES = COUNT | {"duration_ms_p50", "duration_ms_p95"}


def test_runs_are_summed_up_in_the_shape_that_is_promised(api: httpx.Client, finished_run: dict[str, Any]) -> None:
    query = {"workflow_id": finished_run["workflow_id"], "time_zone": "Asia/Seoul"}
    found = ok(api.get("/workflow-runs/statistics", params=query))
    about = {"created_from", "created_to", "counted_from", "truncated", "time_zone", "workflows", "task_types", "days"}
    assert set(found) >= COUNT | about
    assert all(TIME.fullmatch(found[name]) for name in ("created_from", "created_to", "counted_from"))
    [of_workflow] = found["workflows"]
    assert set(of_workflow) >= TIMES | {"workflow_id", "workflow_name"}
    assert of_workflow["total"] == found["total"] == sum(found["states"].values()) >= 1
    assert all(set(day) >= TIMES | {"day"} for day in found["days"])
    assert sum(day["total"] for day in found["days"]) == found["total"]
    assert all(set(each) >= COUNT | {"type", "ran_ms_p50", "ran_ms_p95"} for each in found["task_types"])
    long_ago = {"created_from": "2020-01-01T00:00:00Z", "created_to": "2021-01-02T00:00:00Z"}
    assert api.get("/workflow-runs/statistics", params=long_ago).status_code == 422


RUN = {
    "run_id", "number", "state", "version", "trigger", "cause", "workflow_id", "workflow_version", "workflow_name",
    "rerun_of", "trace_id", "input", "created_at", "started_at", "finished_at", "error", "jobs", "waited_ms", "ran_ms",
    "duration_ms",
}  # fmt: skip
JOB = {"key", "name", "state", "started_at", "finished_at", "tasks"}
TASK = {
    "task_run_id", "key", "name", "type", "state", "attempt", "waited_ms", "ran_ms", "queued_at", "started_at",
    "finished_at", "worker", "error",
}  # fmt: skip
ERROR = {"code", "message", "retryable"}


def test_a_run_has_the_shape_that_is_promised(platform: Platform, finished_run: dict[str, Any]) -> None:
    assert set(finished_run) >= RUN
    assert finished_run["state"] == "SUCCESS"
    assert (finished_run["trigger"], finished_run["input"]) == ("manual", {"n": 1})
    for job in finished_run["jobs"]:
        assert set(job) >= JOB
        for task in job["tasks"]:
            assert set(task) >= TASK
            assert task["waited_ms"] >= 0
            assert task["ran_ms"] >= 0
    found = times_of(finished_run)
    assert len(found) >= 10
    assert all(TIME.fullmatch(text) for text in found), found
    failing = platform.compose(
        [{"key": "one", "type": "test.fail", "parameters": {"times": 9, "error_class": "fatal"}}]
    )
    error = platform.finished(platform.run(failing))["jobs"][0]["tasks"][0]["error"]
    assert set(error) - {"details"} == ERROR
    assert (error["code"], error["retryable"]) == ("test_fatal", False)


def test_all_times_of_all_resources_are_in_utc(platform: Platform, api: httpx.Client, finished_run: Any) -> None:
    for path in (
        "/workflows", "/jobs", "/tasks", "/schedules", "/workflow-runs", "/users", "/audit-log", "/api-tokens",
        "/connections", "/artifacts", f"/workflow-runs/{finished_run['run_id']}/logs",
    ):  # fmt: skip
        page = ok(api.get(path))
        assert all(TIME.fullmatch(text) for text in times_of(page)), path
        assert all(
            isinstance(value, str)
            for item in page["items"]
            for name, value in item.items()
            if name.endswith("_id") and value is not None
        ), path


def test_input_output_and_log_of_a_task_are_kept(api: httpx.Client, finished_run: dict[str, Any]) -> None:
    use, one = finished_run["jobs"][0]["tasks"]
    data = ok(api.get("/tasks/io-data", params={"task_run_id": one["task_run_id"]}))
    assert (data["input"], data["output"], data["run_id"]) == ({"n": 1}, {"n": 2}, finished_run["run_id"])
    path = f"/workflow-runs/{finished_run['run_id']}/logs"
    page = eventually(lambda: found if (found := ok(api.get(path)))["items"] else None, 5, "log lines")
    [line] = [item for item in page["items"] if item["event"] == "begun"]
    assert (line["task_run_id"], line["attempt"], line["fields"]["n"]) == (use["task_run_id"], 1, 1)
    assert "x" not in json.dumps(line["fields"].get("password"))
    assert ok(api.get(path, params={"task_run_id": one["task_run_id"]}))["items"] == []
    artifact = ok(api.get("/artifacts", params={"run_id": finished_run["run_id"]}))["items"][0]
    assert api.get(f"/artifacts/{artifact['artifact_id']}/content").content == b"hello"


def events(platform: Platform, run_id: str, last: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The run's `run` events with their ids through the gateway, as they arrive."""
    with platform.client() as api:
        headers = {"Last-Event-ID": last} if last else {}
        with api.stream("GET", f"/workflow-runs/{run_id}/events", headers=headers) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            event: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, event[name] = line.partition(": ")
                if name == "data" and event["event"] == "run":
                    yield event["id"], json.loads(event["data"])


def test_events_arrive_as_they_happen_until_the_end(platform: Platform) -> None:
    workflow_id = platform.compose(
        [{"key": "one", "type": "test.increment"}, {"key": "wait", "type": "test.sleep", "parameters": {"seconds": 1}}]
    )
    run_id = platform.run(workflow_id)
    began, seen = time.monotonic(), []
    for name, run in events(platform, run_id):
        assert name.partition(".")[0] == str(run["version"])
        seen.append((run["version"], run["state"], time.monotonic() - began))
    assert [number for number, _, _ in seen] == sorted({number for number, _, _ in seen})
    assert seen[-1][1] == "SUCCESS"
    # not held back until there is more, or all
    running = [at for _, state, at in seen if state not in TERMINAL]
    assert running
    assert seen[-1][2] - running[0] >= 0.5
    rest = list(events(platform, run_id, str(seen[-2][0])))
    assert [run["version"] for _, run in rest] == [seen[-1][0]]


def sleeping(platform: Platform, seconds: float) -> str:
    return platform.compose(
        [
            {"key": "wait", "type": "test.sleep", "parameters": {"seconds": seconds}},
            {"key": "one", "type": "test.increment"},
        ]
    )


def running(api: httpx.Client, run_id: str) -> bool:
    return states(ok(api.get(f"/workflow-runs/{run_id}")))["wait"] == "RUNNING"


def test_a_cancelled_run_ends_and_stays_ended(platform: Platform, api: httpx.Client) -> None:
    run_id = platform.run(sleeping(platform, 60))
    eventually(lambda: running(api, run_id), 10, "running")
    answer = api.post(f"/workflow-runs/{run_id}/cancel")
    assert answer.status_code == 202
    assert answer.json()["run_id"] == run_id
    run = platform.finished(run_id, 10)
    assert run["state"] == "CANCELLED"
    assert states(run)["one"] == "CANCELLED"
    # cancelling what is cancelled asks for nothing new
    assert api.post(f"/workflow-runs/{run_id}/cancel").json() == {"run_id": run_id, "state": "CANCELLED"}
    assert api.post(f"/workflow-runs/{run_id}/pause").status_code == 409
    assert api.post(f"/workflow-runs/{run_id}/resume").status_code == 409


def test_a_paused_run_hands_out_nothing_until_it_is_resumed(platform: Platform, api: httpx.Client) -> None:
    run_id = platform.run(sleeping(platform, 0.7))
    eventually(lambda: running(api, run_id), 10, "running")
    assert api.post(f"/workflow-runs/{run_id}/pause").json()["state"] == "PAUSED"
    eventually(lambda: states(ok(api.get(f"/workflow-runs/{run_id}")))["wait"] == "SUCCESS", 10, "what ran went on")
    found = ok(api.get(f"/workflow-runs/{run_id}"))
    assert (found["state"], states(found)["one"]) == ("PAUSED", "PENDING")
    assert api.post(f"/workflow-runs/{run_id}/rerun", json={}).status_code == 409
    assert api.post(f"/workflow-runs/{run_id}/resume").status_code == 202
    assert platform.finished(run_id)["state"] == "SUCCESS"


def test_a_run_is_run_again_from_where_one_likes(platform: Platform, api: httpx.Client) -> None:
    tasks = [
        {"key": "one", "type": "test.increment", "parameters": {"n": "${{ run.input.n }}"}},
        {"key": "effect", "type": "test.effect"},
        {"key": "last", "type": "test.increment", "parameters": {"n": "${{ tasks.one.output.n }}"}},
    ]
    workflow_id = platform.compose(tasks)
    run = platform.finished(platform.run(workflow_id, {"n": 1}))

    def again(**body: str) -> dict[str, Any]:
        answer = api.post(f"/workflow-runs/{run['run_id']}/rerun", json=body)
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"/v0/workflow-runs/{answer.json()['run_id']}"
        return platform.finished(answer.json()["run_id"])

    whole = again()
    assert (whole["trigger"], whole["rerun_of"], whole["state"]) == ("rerun", run["run_id"], "SUCCESS")
    assert platform.output(whole, "last") == {"n": 3}
    part = again(mode="task", from_task="last")
    assert (part["state"], platform.output(part, "last")) == ("SUCCESS", {"n": 3})
    mine = {task["task_run_id"] for found in (run, whole, part) for task in found["jobs"][0]["tasks"]}
    lines = [json.loads(line) for line in (platform.data / "test-effects.jsonl").read_text().splitlines()]
    # what stands before the task does not happen again
    assert len([line for line in lines if line["task_run_id"] in mine]) == 2
