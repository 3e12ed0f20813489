"""Composite tasks over HTTP: what is saved and what is answered, all of it or nothing, and who may not."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from workflow_service.domain.engine_types import DEPTH


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: the statements are those of jobs, tasks and workflows, which are tried on both."""
    return f"sqlite:///{tmp_path / 'test.db'}"


def errors(answer: httpx.Response, status: int = 422) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    return {error["field"]: error["reason"] for error in answer.json()["errors"]}


def placed(client: Any, *tasks: dict[str, Any], **workflow: Any) -> tuple[str, str]:
    """A workflow of one job of these placements `{key, parameters, …}`, and the job."""
    rows = []
    for said in tasks:
        own = {
            "name": said["key"],
            "type": said.get("type", "test.increment"),
            "parameters": said.get("parameters", {}),
        }
        rest = {name: value for name, value in said.items() if name not in ("type", "parameters")}
        rows.append({"task_id": client.make("/tasks", **own)["task_id"], **rest})
    job_id = client.make("/jobs", name="job")["job_id"]
    client.set(f"/jobs/{job_id}/tasks", rows)
    workflow_id = client.make("/workflows", **({"name": "w"} | workflow))["workflow_id"]
    client.set(f"/workflows/{workflow_id}/jobs", [{"job_id": job_id}])
    return workflow_id, job_id


THREE: list[dict[str, Any]] = [
    {"key": "a", "parameters": {"n": "${{ run.input.n }}"}},
    {"key": "b", "parameters": {"n": "${{ tasks.a.output.n }}"}},
    {"key": "c", "parameters": {"n": "${{ tasks.b.output.n }}"}},
]


def post(client: Any, workflow_id: str, *keys: str, headers: Any = None, **said: Any) -> httpx.Response:
    body = {"name": "둘", "keys": list(keys), **said}
    answer: httpx.Response = client.post(f"/workflows/{workflow_id}/composite-tasks", json=body, headers=headers)
    return answer


def everything(client: Any) -> list[Any]:
    """All that the organisation has, and as of when."""
    found = []
    for path, name in (("/workflows", "workflow_id"), ("/jobs", "job_id"), ("/tasks", "task_id")):
        found.append([(item[name], item["revision"]) for item in client.get(path).json()["items"]])
    return found


def test_a_composite_is_a_workflow_and_a_task(client: Any, definitions: Any) -> None:
    workflow_id, _ = placed(client, *THREE, retention_days=5)
    before = client.get(f"/workflows/{workflow_id}/detail").json()
    answer = post(client, workflow_id, "b", description="설명")
    made = answer.json()
    assert answer.status_code == 201, made
    assert answer.headers["location"] == f"/v0/tasks/{made['task_id']}"
    assert answer.headers["etag"] == '"1"'
    assert (made["name"], made["description"], made["key"]) == ("둘", "설명", None)
    assert (made["inputs"], made["outputs"]) == ({"a_n": "${{ tasks.a.output.n }}"}, ["b"])
    task = client.get(f"/tasks/{made['task_id']}").json()
    assert (task["type"], task["failure_policy"]) == ("workflow.run", "continue")
    parameters = {"workflow_id": made["workflow_id"], "input": made["inputs"], "outputs": ["b"]}
    assert task["parameters"] == parameters
    inner = client.get(f"/workflows/{made['workflow_id']}").json()
    assert (inner["active"], inner["runnable"], inner["version"], inner["retention_days"]) == (True, True, 1, 5)
    assert inner["input_schema"]["required"] == ["a_n"]
    assert definitions.parameters(made["workflow_id"]) == {"b": {"n": "${{ run.input.a_n }}"}}
    assert client.get(f"/workflows/{workflow_id}/detail").json() == before, "without replace it stays as it was"


def test_in_place_the_workflow_runs_the_composite(client: Any, definitions: Any) -> None:
    workflow_id, job_id = placed(client, *THREE)
    revision = client.get(f"/workflows/{workflow_id}").json()["revision"]
    made = post(client, workflow_id, "a", "b", replace=True, key="both", headers={"If-Match": f'"{revision}"'}).json()
    assert (made["key"], made["workflow_revision"]) == ("both", revision + 1)
    assert definitions.parameters(workflow_id) == {
        "both": {"workflow_id": made["workflow_id"], "input": {"n": "${{ run.input.n }}"}, "outputs": ["b"]},
        "c": {"n": "${{ tasks.both.output.output.b.n }}"},
    }
    assert [task["key"] for task in client.get(f"/jobs/{job_id}").json()["tasks"]] == ["both", "c"]
    assert client.get(f"/workflows/{workflow_id}").headers["etag"] == f'"{revision + 1}"'
    stale = post(client, workflow_id, "c", replace=True, headers={"If-Match": f'"{revision}"'})
    assert stale.status_code == 412, stale.text


def test_a_composite_may_hold_a_composite(client: Any, definitions: Any) -> None:
    workflow_id, _ = placed(client, *THREE)
    inside = post(client, workflow_id, "b", replace=True, key="b_alone").json()
    made = post(client, workflow_id, "a", "b_alone", replace=True, key="both").json()
    assert definitions.parameters(made["workflow_id"])["b_alone"] == {
        "workflow_id": inside["workflow_id"], "input": {"a_n": "${{ tasks.a.output.n }}"}, "outputs": ["b"],
    }  # fmt: skip
    assert definitions.parameters(workflow_id)["c"] == {"n": "${{ tasks.both.output.output.b_alone.output.b.n }}"}


def test_the_same_key_gives_the_same_composite(client: Any) -> None:
    workflow_id, _ = placed(client, *THREE)
    headers = {"Idempotency-Key": "once", "If-Match": '"2"'}
    first = post(client, workflow_id, "a", "b", replace=True, headers=headers)
    again = post(client, workflow_id, "a", "b", replace=True, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201), (first.text, again.text)
    assert again.json() == first.json()
    assert post(client, workflow_id, "a", "c", replace=True, headers=headers).status_code in (409, 422)


@pytest.mark.parametrize(
    ("said", "field", "word"),
    [
        ({"keys": []}, "body.keys", ""),
        ({"keys": ["a", "a"]}, "body.keys", "두 번"),
        ({"keys": ["a", "nobody"]}, "body.keys[1]", "a, b, c"),
        ({"keys": ["a", "c"], "replace": True}, "body.keys", "a → b → c"),
        ({"keys": ["a"], "key": "c", "replace": True}, "body.key", "이미"),
        ({"keys": ["a"], "key": "9", "replace": True}, "body.key", "소문자"),
        ({"keys": ["a"], "key": "new"}, "body.key", "replace"),
        ({"keys": ["a"], "name": " "}, "body.name", ""),
        ({"keys": ["a"], "more": 1}, "body.more", ""),
        ({"keys": "a"}, "body.keys", ""),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_saved(client: Any, said: Any, field: str, word: str) -> None:
    workflow_id, _ = placed(client, *THREE)
    before = everything(client)
    found = errors(post(client, workflow_id, **said) if "keys" not in said else post_body(client, workflow_id, said))
    assert list(found) == [field]
    assert word in found[field]
    assert everything(client) == before


def post_body(client: Any, workflow_id: str, said: dict[str, Any]) -> httpx.Response:
    answer: httpx.Response = client.post(f"/workflows/{workflow_id}/composite-tasks", json={"name": "둘", **said})
    return answer


def test_a_job_that_others_use_is_left_alone(client: Any) -> None:
    workflow_id, job_id = placed(client, *THREE)
    other = client.make("/workflows", name="다른 것")["workflow_id"]
    client.set(f"/workflows/{other}/jobs", [{"job_id": job_id}])
    before = everything(client)
    found = errors(post(client, workflow_id, "a", replace=True))
    assert "다른 것" in found["body.keys"]
    assert everything(client) == before
    assert post(client, workflow_id, "a").status_code == 201


def test_a_workflow_that_cannot_run_has_no_composite(client: Any) -> None:
    empty = client.make("/workflows", name="빈 것")["workflow_id"]
    assert list(errors(post(client, empty, "a"))) == ["body.keys[0]"]


def test_workflows_stand_only_so_deep_in_one_another(client: Any) -> None:
    workflow_id, _ = placed(client, *THREE)
    for depth in range(DEPTH):
        made = post(
            client, workflow_id, "a" if depth == 0 else f"level_{depth - 1}", replace=True, key=f"level_{depth}"
        )
        assert made.status_code == 201, made.text
    before = everything(client)
    found = errors(post(client, workflow_id, f"level_{DEPTH - 1}", replace=True))
    assert str(DEPTH) in found["body.keys"]
    assert everything(client) == before


def test_what_grows_too_long_by_it_is_refused_whole(client: Any) -> None:
    """The composite's key is longer than what it stands for, in an expression that was as long as one may be."""
    long = "tasks.a.output.n == 1 || " * 160
    workflow_id, _ = placed(client, {"key": "a"}, {"key": "b", "when": f"{long} true"})
    before = everything(client)
    found = errors(post(client, workflow_id, "a", replace=True, key="a_key_that_is_long"))
    assert list(found) == ["body.keys"]
    assert everything(client) == before


def test_others_neither_see_nor_make_them(client: Any, make_client: Any) -> None:
    workflow_id, _ = placed(client, *THREE)
    with make_client("org-2") as stranger, make_client("org-1", ("workflow:read",)) as reader:
        assert post(stranger, workflow_id, "a").status_code == 404
        assert post(reader, workflow_id, "a").status_code == 403
    assert post(client, "0" * 26, "a").status_code == 404
