"""Some tasks of a workflow saved as one: what runs afterwards gives what ran before, and stops and goes on with it."""

from typing import Any

import httpx
import pytest
from platform_house import Platform, created, eventually, ok

from execution_service.waiting import DEPTH
from workflow_service.domain import engine_types

pytestmark = pytest.mark.process

SHOP: list[dict[str, Any]] = [
    {"key": "start", "type": "test.increment", "parameters": {"n": "${{ run.input.n }}"}},
    {
        "key": "sum",
        "type": "test.increment",
        "parameters": {"n": "${{ tasks.start.output.n + run.input.step }}"},
        "depends_on": ["start"],
    },
    {
        "key": "shaky",
        "type": "test.fail",
        "parameters": {"times": 1, "error_class": "retryable"},
        "retry": {"max_attempts": 2, "delay_s": 0, "backoff": "fixed"},
        "depends_on": ["sum"],
    },
    {
        "key": "large",
        "type": "test.increment",
        "parameters": {"n": "${{ tasks.sum.output.n * 10 }}"},
        "when": "${{ tasks.sum.output.n > optional(run.input.limit, 100) }}",
        "depends_on": ["shaky"],
    },
    {
        "key": "each",
        "type": "test.increment",
        "for_each": "${{ run.input.list }}",
        "parameters": {"n": "${{ item + tasks.start.output.n }}"},
        "depends_on": ["sum"],
    },
    {
        "key": "after",
        "type": "test.increment",
        "parameters": {"n": "${{ tasks.sum.output.n + optional(tasks.large.output, {'n': 1000}).n }}"},
        "depends_on": ["large", "each"],
    },
    {
        "key": "listed",
        "type": "test.increment",
        "parameters": {"n": "${{ tasks.each.output[1].n }}"},
        "depends_on": ["each"],
    },
    {"key": "beside", "type": "test.increment", "parameters": {"n": 1}, "depends_on": ["after"]},
]
GROUP = ["sum", "shaky", "large", "each"]


def replaced(api: httpx.Client, workflow_id: str, keys: list[str], **said: Any) -> dict[str, Any]:
    body = {"name": "Sum it up", "keys": keys, "replace": True, **said}
    return dict(created(api.post(f"/workflows/{workflow_id}/composite-tasks", json=body)))


def task(run: dict[str, Any], key: str) -> dict[str, Any]:
    return next(task for job in run["jobs"] for task in job["tasks"] if task["key"] == key)


def child(api: httpx.Client, workflow_id: str, run_id: str) -> dict[str, Any]:
    """The run of the inner workflow that a run's composite started."""

    def look() -> Any:
        runs = ok(api.get("/workflow-runs", params={"workflow_id": workflow_id}))["items"]
        return next((run for run in runs if run["cause"].startswith(run_id)), None)

    found = eventually(look, 20, "the child run")
    return dict(ok(api.get(f"/workflow-runs/{found['run_id']}")))


@pytest.mark.parametrize(
    "given", [{"n": 1, "step": 2, "list": [5, 6]}, {"n": 1, "step": 2, "list": [5, 6], "limit": 3}]
)
def test_a_composite_in_place_gives_what_the_tasks_gave(platform: Platform, given: dict[str, Any]) -> None:
    workflow_id = platform.compose(SHOP)
    before = platform.finished(platform.run(workflow_id, given))
    assert before["state"] == "SUCCESS"
    with platform.client() as api:
        made = replaced(api, workflow_id, GROUP, key="summed")
        keys = [spec["key"] for spec in ok(api.get(f"/workflows/{workflow_id}/detail"))["jobs"][0]["tasks"]]
        assert keys == ["start", "summed", "after", "listed", "beside"]
        after = platform.finished(platform.run(workflow_id, given))
        assert after["state"] == "SUCCESS", after
        inner = child(api, made["workflow_id"], after["run_id"])
    for key in ("start", "after", "listed", "beside"):
        assert platform.output(after, key) == platform.output(before, key), key
    assert {key: task(inner, key)["state"] for key in GROUP} == {key: task(before, key)["state"] for key in GROUP}
    assert task(inner, "shaky")["attempt"] == 2
    for key in GROUP:
        assert platform.output(inner, key) == platform.output(before, key), key
    assert ("limit" in given) is (task(inner, "large")["state"] == "SUCCESS"), "the condition decided both ways"


def test_a_failure_within_is_the_composites_and_a_rerun_of_what_failed_mends_it(platform: Platform) -> None:
    given = {"n": 1, "step": 2, "list": [5]}
    steps = [
        {**step, "depends_on": []} if step["key"] == "beside" else step for step in SHOP if step["key"] != "listed"
    ]
    workflow_id = platform.compose(steps)
    with platform.client() as api:
        made = replaced(api, workflow_id, GROUP)
        specs = ok(api.get(f"/workflows/{made['workflow_id']}/detail"))["jobs"][0]["tasks"]
        shaky = next(spec["task_id"] for spec in specs if spec["key"] == "shaky")
        body = {"name": "shaky", "type": "test.fail", "retry": {"max_attempts": 2, "delay_s": 0, "backoff": "fixed"}}
        ok(api.put(f"/tasks/{shaky}", json={**body, "parameters": {"times": 9, "error_class": "retryable"}}))
        run = platform.finished(platform.run(workflow_id, given))
        states = {task["key"]: task["state"] for task in run["jobs"][0]["tasks"]}
        assert states == {
            "start": "SUCCESS", "sum_it_up": "FAILED", "after": "UPSTREAM_FAILED", "beside": "SUCCESS",
        }  # fmt: skip
        error = task(run, "sum_it_up")["error"]
        assert (error["code"], error["details"]["task"]) == ("child_failed", "shaky")
        assert error["details"]["error"] == task(child(api, made["workflow_id"], run["run_id"]), "shaky")["error"]
        ok(api.put(f"/tasks/{shaky}", json={**body, "parameters": {"times": 0, "error_class": "retryable"}}))
        answer = api.post(f"/workflow-runs/{run['run_id']}/rerun", json={"mode": "failed"})
        assert answer.status_code == 202, answer.text
        again = platform.finished(answer.json()["run_id"])
    assert again["state"] == "SUCCESS"
    assert platform.output(again, "after") == {"n": 4 + 1 + 1000 + 1}


def test_a_pause_and_a_cancel_go_through_to_what_is_inside(platform: Platform) -> None:
    workflow_id = platform.compose([{"key": "ask", "type": "human.approval"}, {"key": "then", "type": "test.use"}])
    with platform.client() as api:
        made = replaced(api, workflow_id, ["ask"])
        run_id = platform.run(workflow_id)
        inner_id = child(api, made["workflow_id"], run_id)["run_id"]

        def asked() -> bool:
            return bool(task(ok(api.get(f"/workflow-runs/{inner_id}")), "ask")["state"] == "WAITING")

        eventually(asked, 20, "asks a person")
        for action, state in (("pause", "PAUSED"), ("resume", "RUNNING")):
            assert api.post(f"/workflow-runs/{run_id}/{action}").status_code == 202
            assert ok(api.get(f"/workflow-runs/{inner_id}"))["state"] == state
        assert api.post(f"/workflow-runs/{run_id}/cancel").status_code == 202
    assert platform.finished(run_id)["state"] == "CANCELLED"
    assert platform.finished(inner_id)["state"] == "CANCELLED"


def test_a_composite_stands_in_another_workflow_as_any_task_does(platform: Platform) -> None:
    workflow_id = platform.compose(SHOP)
    with platform.client() as api:
        made = replaced(api, workflow_id, ["sum"], replace=False)
        assert made["key"] is None
        job = created(api.post("/jobs", json={"name": "elsewhere"}))
        given = {"input": dict.fromkeys(made["inputs"], 5)}
        ok(api.put(f"/jobs/{job['job_id']}/tasks", json=[{"task_id": made["task_id"], "parameters": given}]))
        other = created(api.post("/workflows", json={"name": "elsewhere"}))["workflow_id"]
        ok(api.put(f"/workflows/{other}/jobs", json=[{"job_id": job["job_id"]}]))
    run = platform.finished(platform.run(other))
    assert run["state"] == "SUCCESS", run
    assert platform.output(run, "workflow_run")["output"] == {"sum": {"n": 11}}


def test_both_services_know_how_deep_runs_may_stand() -> None:
    assert engine_types.DEPTH == DEPTH
