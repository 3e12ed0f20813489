"""Steps that wait, through the gateway: a person, an event and another run in one workflow, over a kill -9."""

from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from platform_house import Platform, eventually, ok

from execution_service.domain.waits import KINDS, WrongWait, wait_for
from kit import schemas
from workflow_service.domain.engine_types import ENGINE_TYPES

pytestmark = pytest.mark.process

ORDER = [
    {"key": "child", "type": "workflow.run", "parameters": {"workflow_id": "?", "input": {"n": 41}}},
    {"key": "pause", "type": "wait.time", "parameters": {"seconds": 0.2}},
    {
        "key": "approve",
        "type": "human.approval",
        "parameters": {"title": "발행할까요?", "shown": "${{ tasks.child.output.output }}"},
    },
    {
        "key": "paid",
        "type": "wait.event",
        "parameters": {"event": "order.paid", "match": {"order": "${{ run.input.order }}"}},
    },
    {
        "key": "sum",
        "type": "test.increment",
        "parameters": {"n": "${{ tasks.child.output.output.one.n + tasks.paid.output.data.amount }}"},
        "when": "${{ tasks.approve.output.approved }}",
    },
]


def task(api: httpx.Client, run_id: str, key: str) -> dict[str, Any]:
    run = ok(api.get(f"/workflow-runs/{run_id}"))
    return next(task for job in run["jobs"] for task in job["tasks"] if task["key"] == key)


def test_a_workflow_waits_for_another_a_person_and_an_event_and_outlives_its_engine(
    own_platform: Callable[..., Platform],
) -> None:
    platform = own_platform()
    small = platform.compose([{"key": "one", "type": "test.increment", "parameters": {"n": "${{ run.input.n }}"}}])
    steps = [{**ORDER[0], "parameters": {"workflow_id": small, "input": {"n": 41}}}, *ORDER[1:]]
    with platform.client() as api:
        run_id = platform.run(platform.compose(steps), {"order": 7})
        eventually(lambda: task(api, run_id, "approve")["state"] == "WAITING", 20, "asks a person")
        platform.kill("execution")
        task_run_id = task_when_back(api, run_id, "approve")["task_run_id"]
        path = f"/workflow-runs/{run_id}/tasks/{task_run_id}/answer"
        refused = api.post(path, json={"values": {}})
        assert refused.status_code == 422, refused.text
        assert accepted(api.post(path, json={"approved": True, "comment": "좋습니다"}))["state"] == "SUCCESS"
        assert api.post(path, json={"approved": True}).status_code == 409
        for order in (8, 7):
            accepted(api.post("/events", json={"name": "order.paid", "data": {"order": order, "amount": order}}))
        run = platform.finished(run_id, 30)
        assert run["state"] == "SUCCESS"
        said = ok(api.get("/tasks/io-data", params={"task_run_id": task_run_id}))
        assert said["input"]["shown"] == {"one": {"n": 42}}
        assert (said["output"]["approved"], said["output"]["comment"]) == (True, "좋습니다")
        summed = ok(api.get("/tasks/io-data", params={"task_run_id": task(api, run_id, "sum")["task_run_id"]}))
        assert summed["output"] == {"n": 42 + 7 + 1}
        [child] = ok(api.get("/workflow-runs", params={"workflow_id": small}))["items"]
        assert (child["trigger"], child["cause"]) == ("parent_run", task(api, run_id, "child")["task_run_id"])


def accepted(answer: httpx.Response) -> Any:
    assert answer.status_code == 202, f"{answer.status_code} {answer.text}"
    return answer.json()


def task_when_back(api: httpx.Client, run_id: str, key: str) -> dict[str, Any]:
    """The task, once execution-service answers again."""
    eventually(lambda: api.get(f"/workflow-runs/{run_id}").status_code == 200, 30, "answers again")
    return task(api, run_id, key)


def test_a_wait_that_cannot_be_is_refused_when_it_is_saved(platform: Platform) -> None:
    with pytest.raises(AssertionError) as refused:
        platform.compose([{"key": "it", "type": "wait.time", "parameters": {"seconds": "soon"}}])
    assert "seconds" in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "parameters", "sound"),
    [
        ("wait.time", {"seconds": 5}, True),
        ("wait.time", {"until": "2027-01-01T00:00:00Z"}, True),
        ("wait.time", {}, False),
        ("wait.time", {"seconds": -1}, False),
        ("wait.event", {"event": "paid", "match": {"a": 1}, "timeout_s": 5}, True),
        ("wait.event", {"match": {}}, False),
        ("wait.event", {"event": "paid", "match": 5}, False),
        ("human.approval", {"on_reject": "continue"}, True),
        ("human.approval", {"on_reject": "shrug"}, False),
        ("human.form", {"schema": {}}, True),
        ("human.form", {"schema": []}, False),
        ("workflow.run", {"workflow_id": "w", "input": {}}, True),
        ("workflow.run", {"input": {}}, False),
    ],
)
def test_the_catalogue_and_the_engine_agree_on_what_can_be_waited_for(
    kind: str, parameters: dict[str, Any], sound: bool
) -> None:

    assert set(ENGINE_TYPES) == set(KINDS)
    assert (not schemas.errors(orjson.dumps(ENGINE_TYPES[kind].parameters_schema), parameters)) is sound
    try:
        wait_for(KINDS[kind], parameters, 0)
        taken = True
    except WrongWait:
        taken = False
    assert taken is sound
