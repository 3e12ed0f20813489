"""Limits that runs share, through the gateway: of a workflow's runs, and of tasks under one key wherever they stand."""

from datetime import datetime
from itertools import pairwise
from typing import Any

import httpx
from platform_house import Platform, eventually, ok, states

ASK = {"key": "ask", "type": "human.approval"}
"""Holds its run, without a worker, for as long as the test likes."""


def look(api: httpx.Client, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = ok(api.get(f"/workflow-runs/{run_id}"))
    return found


def waits(api: httpx.Client, run_id: str) -> None:
    """Until the run has begun and asks."""
    eventually(lambda: states(look(api, run_id)) == {"ask": "WAITING"}, 60, f"run {run_id} asks")


def cancel(api: httpx.Client, run_id: str) -> None:
    assert api.post(f"/workflow-runs/{run_id}/cancel").status_code == 202


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- of a workflow's runs ---------------------------------------------------------------------------------------------


def test_a_run_that_is_one_too_many_waits_until_another_ends(platform: Platform, api: httpx.Client) -> None:
    workflow_id = platform.compose([ASK], concurrency={"limit": 2})
    first, second = platform.run(workflow_id), platform.run(workflow_id)
    waits(api, first)
    waits(api, second)
    third = platform.run(workflow_id)
    assert (look(api, third)["state"], look(api, third)["started_at"]) == ("PENDING", None)
    cancel(api, first)
    waits(api, third)
    ended, begun = platform.finished(first), look(api, third)
    assert moment(ended["finished_at"]) <= moment(begun["started_at"])
    for run_id in (second, third):
        cancel(api, run_id)
        assert platform.finished(run_id)["state"] == "CANCELLED"


def test_a_run_that_is_one_too_many_is_skipped_where_the_workflow_says_so(
    platform: Platform, api: httpx.Client
) -> None:
    workflow_id = platform.compose([ASK], concurrency={"limit": 1, "overflow": "skip"})
    first = platform.run(workflow_id)
    waits(api, first)
    skipped = platform.finished(platform.run(workflow_id))
    assert (skipped["state"], skipped["error"]["code"]) == ("CANCELLED", "concurrency_skipped")
    assert (states(skipped), skipped["started_at"]) == ({"ask": "CANCELLED"}, None)
    cancel(api, first)
    platform.finished(first)
    # there is a place again
    again = platform.run(workflow_id)
    waits(api, again)
    cancel(api, again)


def test_the_oldest_run_gives_way_where_the_workflow_says_so(platform: Platform, api: httpx.Client) -> None:
    workflow_id = platform.compose([ASK], concurrency={"limit": 1, "overflow": "cancel"})
    first = platform.run(workflow_id)
    waits(api, first)
    second = platform.run(workflow_id)
    waits(api, second)
    assert platform.finished(first)["state"] == "CANCELLED"
    cancel(api, second)


def test_a_run_that_a_run_of_the_same_workflow_started_does_not_wait_for_it(platform: Platform) -> None:
    child = {"workflow_id": "${{ run.input.itself }}", "input": {"deep": "${{ false }}", "itself": "-"}}
    workflow_id = platform.compose(
        [
            {"key": "one", "type": "test.increment", "parameters": {"n": 1}},
            {"key": "inner", "type": "workflow.run", "when": "run.input.deep", "parameters": child},
        ],
        concurrency={"limit": 1},
    )
    run = platform.finished(platform.run(workflow_id, {"deep": True, "itself": workflow_id}))
    assert (run["state"], states(run)) == ("SUCCESS", {"one": "SUCCESS", "inner": "SUCCESS"})


# --- of tasks under one key -------------------------------------------------------------------------------------------


def test_tasks_of_two_workflows_under_one_key_run_one_after_the_other(platform: Platform, api: httpx.Client) -> None:
    held = {"key": "held", "type": "test.sleep", "parameters": {"seconds": 600}, "concurrency_key": "site-1"}
    keyed = {"key": "keyed", "type": "test.increment", "concurrency_key": "site-${{ run.input.site }}"}
    holder = platform.run(platform.compose([held]))
    eventually(lambda: states(look(api, holder)) == {"held": "RUNNING"}, 60, "the place is held")
    workflow_id = platform.compose([{**keyed, "parameters": {"n": 1}}])
    waiting = platform.run(workflow_id, {"site": 1})
    # another key is another place
    assert platform.finished(platform.run(workflow_id, {"site": 2}))["state"] == "SUCCESS"
    assert states(look(api, waiting)) == {"keyed": "QUEUED"}
    cancel(api, holder)
    after, before = platform.finished(waiting), platform.finished(holder)
    assert after["state"] == "SUCCESS"
    [first], [second] = before["jobs"][0]["tasks"], after["jobs"][0]["tasks"]
    assert moment(first["finished_at"]) <= moment(second["started_at"])


def test_each_item_takes_the_place_of_its_own_key(platform: Platform, api: httpx.Client) -> None:
    workflow_id = platform.compose(
        [
            {
                "key": "each",
                "type": "test.sleep",
                "for_each": [{"shop": "a"}, {"shop": "a"}, {"shop": "b"}, {"shop": "a"}],
                "parameters": {"seconds": 0.1},
                "concurrency_key": "shop ${{ item.shop }} of ${{ run.input.n }}",
            }
        ]
    )
    run = platform.finished(platform.run(workflow_id, {"n": 1}))
    assert run["state"] == "SUCCESS", run
    [task] = run["jobs"][0]["tasks"]
    items = ok(api.get(f"/workflow-runs/{run['run_id']}/tasks/{task['task_run_id']}/items"))["items"]
    same = sorted((items[n]["started_at"], items[n]["finished_at"]) for n in (0, 1, 3))
    for (_, ended), (began, _) in pairwise(same):
        assert moment(ended) <= moment(began)


def test_what_comes_to_no_key_fails_its_task(platform: Platform) -> None:
    keyed = {"key": "keyed", "type": "test.increment", "concurrency_key": "${{ run.input.key }}"}
    workflow_id = platform.compose([{**keyed, "parameters": {"n": 1}}])
    for run_id in [platform.run(workflow_id, {"key": key}) for key in ("", ["a"], True, "x" * 129)]:
        run = platform.finished(run_id)
        [task] = run["jobs"][0]["tasks"]
        assert (run["state"], task["state"], task["error"]["code"]) == ("FAILED", "FAILED", "expression_evaluation")
