"""Definitions over HTTP: what people can say, what they get back, and what they must not see."""

from typing import Any

import httpx
from fastapi import FastAPI
from rest_house import database_url, errors, problem

from flowweaver.scheduler.v1 import scheduler_pb2
from workflow_service import app as cases
from workflow_service.domain.engine_types import ENGINE_TYPES

__all__ = ["database_url"]

# --- each resource ----------------------------------------------------------------------------------------------------


def test_a_task_is_made_read_changed_and_deleted(client: Any) -> None:
    body = {
        "name": "키워드 검색",
        "type": "http",
        "parameters": {"endpoint": "/keywords/search", "method": "POST", "body": {"tag": "String"}},
        "retry": {"max_attempts": 3, "backoff": "fixed", "delay_s": 2},
        "timeout_s": 30,
        "queue": "slow",
        "priority": 1,
        "failure_policy": "stop",
    }
    made = client.post("/tasks", json=body)
    assert made.status_code == 201
    task = made.json()
    assert made.headers["location"] == f"/v0/tasks/{task['task_id']}"
    assert made.headers["etag"] == '"1"'
    assert task["retry"] == {"max_attempts": 3, "backoff": "fixed", "delay_s": 2.0, "max_delay_s": 300.0, "jitter": 0.0}
    assert {name: task[name] for name in body if name != "retry"} == {
        name: value for name, value in body.items() if name != "retry"
    }
    assert task["created_at"].endswith("Z")
    assert task["created_by"] == "user-1"
    path = f"/tasks/{task['task_id']}"
    assert client.get(path).json() == task
    changed = client.put(path, json={"name": "새 이름", "type": "http"}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["etag"], changed.json()["parameters"]) == (200, '"2"', {})
    problem(client.put(path, json={"name": "x", "type": "http"}, headers={"If-Match": '"1"'}), 412)
    problem(client.delete(path, headers={"If-Match": '"1", W/"2"'}), 412)
    assert client.delete(path, headers={"If-Match": '"1", "2"'}).status_code == 204
    assert problem(client.get(path), 404)["code"] == "task_not_found"


def test_a_job_is_composed_of_tasks(client: Any) -> None:
    task_id = client.make("/tasks", name="증가", type="test.increment")["task_id"]
    job = client.make("/jobs", name="작업", description="설명", failure_policy="isolate")
    path = f"/jobs/{job['job_id']}"
    placements = [
        {"task_id": task_id},
        {
            "task_id": task_id,
            "key": "again",
            "name": "다시",
            "depends_on": [],
            "when": "run.input.n > 1",
            "for_each": "run.input.rows",
            "max_parallel": 20,
            "concurrency_key": " shop-${{ item.shop }} ",
            "concurrency_limit": 3,
            "retry": {"max_attempts": 2},
            "timeout_s": 1.5,
            "queue_timeout_s": 2.5,
            "heartbeat_s": 3.5,
            "failure_policy": "stop",
            "parameters": {"n": 1},
        },
    ]
    answer = client.put(f"{path}/tasks", json=placements)
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"2"'
    first, second = answer.json()["tasks"]
    assert second["when"] == "${{ run.input.n > 1 }}"
    assert (second["for_each"], second["max_parallel"]) == ("${{ run.input.rows }}", 20)
    assert (second["concurrency_key"], second["concurrency_limit"]) == ("shop-${{ item.shop }}", 3)
    assert first == {
        "key": "test_increment",
        "task_id": task_id,
        "task_name": "증가",
        "type": "test.increment",
        "name": None,
        "depends_on": None,
        "when": None,
        "for_each": None,
        "max_parallel": None,
        "concurrency_key": None,
        "concurrency_limit": None,
        "retry": None,
        "timeout_s": None,
        "queue_timeout_s": None,
        "heartbeat_s": None,
        "failure_policy": None,
        "parameters": {},
    }
    assert second["retry"]["max_attempts"] == 2
    assert {
        name: second[name]
        for name in (
            "key",
            "name",
            "depends_on",
            "timeout_s",
            "queue_timeout_s",
            "heartbeat_s",
            "failure_policy",
            "parameters",
        )
    } == {
        "key": "again",
        "name": "다시",
        "depends_on": [],
        "timeout_s": 1.5,
        "queue_timeout_s": 2.5,
        "heartbeat_s": 3.5,
        "failure_policy": "stop",
        "parameters": {"n": 1},
    }
    assert client.get(path).json() == answer.json()
    renamed = client.set(path, {"name": "새 작업"})
    assert (renamed["name"], renamed["failure_policy"], renamed["revision"]) == ("새 작업", None, 3)
    in_use = problem(client.delete(f"/tasks/{task_id}"), 409)
    assert in_use["code"] == "task_in_use"
    assert "새 작업" in in_use["detail"]
    assert client.delete(path).status_code == 204
    assert client.delete(f"/tasks/{task_id}").status_code == 204


def test_a_workflow_says_whether_it_can_run_and_if_not_why(client: Any) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    made = client.make("/workflows", name="흐름", input_schema=schema, failure_policy="stop", timeout_s=60)
    assert (made["runnable"], made["version"], made["active"], made["revision"]) == (False, 0, True, 1)
    assert [found["field"] for found in made["problems"]] == ["jobs"]
    assert (made["input_schema"], made["failure_policy"], made["timeout_s"]) == (schema, "stop", 60.0)
    workflow_id, job_id, _ = client.chain("test.increment", "test.increment")
    composed = client.get(f"/workflows/{workflow_id}").json()
    assert (composed["runnable"], composed["version"], composed["problems"]) == (True, 1, [])
    assert problem(client.delete(f"/jobs/{job_id}"), 409)["code"] == "job_in_use"
    assert client.delete(f"/workflows/{workflow_id}").status_code == 204
    problem(client.get(f"/workflows/{workflow_id}"), 404)
    problem(client.get(f"/workflows/{workflow_id}/detail"), 404)


def test_jobs_are_ordered_or_a_graph(client: Any) -> None:
    workflow_id, job_id, _ = client.chain("test.increment")
    jobs = [
        {"job_id": job_id},
        {"job_id": job_id, "key": "side", "depends_on": []},
        {"job_id": job_id, "depends_on": ["job", "side"]},
    ]
    composed = client.set(f"/workflows/{workflow_id}/jobs", jobs)
    assert [(job["key"], job["depends_on"]) for job in composed["jobs"]] == [
        ("job", []),
        ("side", []),
        ("job_2", ["job", "side"]),
    ]
    assert [job["tasks"][0]["key"] for job in composed["jobs"]] == [
        "test_increment",
        "test_increment_2",
        "test_increment_3",
    ]


def test_schedules_stand_in_the_detail_as_the_scheduler_says(client: Any, house: Any) -> None:
    workflow_id, _, _ = client.chain("test.increment")
    schedule = scheduler_pb2.Schedule(
        schedule_id="s", cron="0 8 * * *", time_zone="Asia/Seoul", text="아침", active=True, values_json='{"n": 1}'
    )
    house.scheduler.schedules = [
        scheduler_pb2.ScheduleSummary(schedule=schedule, description="매일 08:00", next_fire_at=1_767_225_600_000_000),
        scheduler_pb2.ScheduleSummary(schedule=scheduler_pb2.Schedule(schedule_id="t"), paused=True),
    ]
    first, second = client.get(f"/workflows/{workflow_id}/detail").json()["schedules"]
    assert first == {
        "schedule_id": "s",
        "cron": "0 8 * * *",
        "time_zone": "Asia/Seoul",
        "text": "아침",
        "description": "매일 08:00",
        "active": True,
        "paused": False,
        "values": {"n": 1},
        "next_fire_at": "2026-01-01T00:00:00.000Z",
    }
    assert (second["next_fire_at"], second["values"], second["paused"]) == (None, {}, True)
    house.scheduler.away = True
    assert client.get(f"/workflows/{workflow_id}/detail").json()["schedules"] is None


def test_a_workflow_is_deactivated_and_activated(client: Any, house: Any) -> None:
    workflow_id, _, _ = client.chain("test.increment")
    assert client.patch(f"/workflows/{workflow_id}/deactivate").json()["active"] is False
    assert [item["workflow_id"] for item in client.get("/workflows", params={"active": "false"}).json()["items"]] == [
        workflow_id
    ]
    assert client.patch(f"/workflows/{workflow_id}/activate").json()["active"] is True
    assert [(request.paused, request.deleted) for request in house.scheduler.told] == [(True, False), (False, False)]


def test_task_types_are_listed_in_the_readers_language(client: Any, ctx: Any, house: Any, make_task_type: Any) -> None:
    house.worker.types = [make_task_type(name, source_={"type": "string"}) for name in ("b.b", "a.a", "c.c")]
    cases.refresh_task_types(ctx)
    listed = client.get("/task-types").json()
    assert listed["next_cursor"] is None
    assert [item["type"] for item in listed["items"]] == ["a.a", "b.b", "c.c", *sorted(ENGINE_TYPES)]
    first = listed["items"][0]
    assert (first["title"], first["errors"]) == (
        "a.a 작업",
        [{"code": "timeout", "retryable": True, "text": "시간 초과"}],
    )
    assert first["parameters_schema"]["required"] == ["source"]
    page = client.get("/task-types", params={"limit": 2}, headers={"Accept-Language": "en"}).json()
    assert page["items"][0]["errors"][0]["text"] == "Timed out"
    rest = client.get("/task-types", params={"cursor": page["next_cursor"], "limit": 2}).json()
    assert [item["type"] for item in rest["items"]] == ["c.c", "human.approval"]


def test_the_seeds_blueprint_is_saved_as_it_is_and_filled_by_the_workflow(client: Any, definitions: Any) -> None:
    blueprint = {"endpoint": "/keywords/search", "method": "POST", "body": {"tag": "String"}}
    task_id = client.make("/tasks", name="키워드 검색", type="http", parameters=blueprint)["task_id"]
    job_id = client.make("/jobs", name="job")["job_id"]
    client.set(f"/jobs/{job_id}/tasks", [{"task_id": task_id}])
    filled = {}
    for source in ("naver", "google_trends"):
        workflow = client.make("/workflows", name=source, default_config={task_id: {"tag": source}})
        client.set(f"/workflows/{workflow['workflow_id']}/jobs", [{"job_id": job_id}])
        filled[source] = definitions.parameters(workflow["workflow_id"])["http"]["values"]
    assert filled == {"naver": {"tag": "naver"}, "google_trends": {"tag": "google_trends"}}
    assert client.get(f"/tasks/{task_id}").json()["parameters"] == blueprint
    config = {"http": {"tags": "naver"}}
    wrong = client.put(f"/workflows/{workflow['workflow_id']}", json={"name": "w", "default_config": config})
    assert list(errors(wrong)) == ["body.default_config.http.tags"]


def test_a_workflow_says_how_many_of_its_runs_go_on_at_once(client: Any) -> None:
    made = client.make("/workflows", name="w", concurrency={"limit": 5})
    assert made["concurrency"] == {"limit": 5, "overflow": "queue"}
    path = f"/workflows/{made['workflow_id']}"
    for limit in ({"limit": 1000, "overflow": "cancel"}, {"limit": 1, "overflow": "skip"}, None):
        assert client.set(path, {"name": "w", "concurrency": limit})["concurrency"] == limit
        assert client.get(f"{path}/detail").json()["concurrency"] == limit
        (listed,) = client.get("/workflows").json()["items"]
        assert listed["concurrency"] == limit


# --- lists and repeats ------------------------------------------------------------------------------------------------


def test_lists_are_newest_first_and_paged_by_cursor(client: Any) -> None:
    made = [client.make("/jobs", name=f"작업 {number}")["job_id"] for number in range(5)]
    seen, cursor = [], None
    while True:
        page = client.get("/jobs", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item["job_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]


def test_lists_are_sorted_and_searched(client: Any) -> None:
    for name in ("Banana", "apple", "100% 사과", "사과"):
        client.make("/tasks", name=name, type="x")
    names = [item["name"] for item in client.get("/tasks", params={"sort": "name"}).json()["items"]]
    assert names == ["100% 사과", "Banana", "apple", "사과"]
    page = client.get("/tasks", params={"sort": "-name", "limit": 3}).json()
    rest = client.get("/tasks", params={"sort": "-name", "cursor": page["next_cursor"]}).json()
    assert [item["name"] for item in page["items"] + rest["items"]] == names[::-1]

    def found(text: str) -> list[str]:
        return [item["name"] for item in client.get("/tasks", params={"text": text}).json()["items"]]

    assert (found("APPLE"), found("사과"), found("0%"), found("_")) == (
        ["apple"],
        ["사과", "100% 사과"],
        ["100% 사과"],
        [],
    )


def test_a_repeated_create_makes_nothing_new(client: Any) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.post("/workflows", json={"name": "w"}, headers=headers)
    again = client.post("/workflows", json={"name": "w"}, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    problem(client.post("/workflows", json={"name": "other"}, headers=headers), 422)
    assert len(client.get("/workflows").json()["items"]) == 1


# --- who may ----------------------------------------------------------------------------------------------------------


def walk(app: FastAPI) -> list[tuple[str, str]]:
    return [
        (method.upper(), path.format(workflow_id="w", job_id="j", task_id="t"))
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    ]


def test_the_routes_are_these(app: FastAPI) -> None:
    routes = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    one = {("GET", ""), ("PUT", ""), ("DELETE", "")}
    assert routes == {
        *((method, f"/v0/{name}s") for name in ("workflow", "job", "task") for method in ("GET", "POST")),
        *((method, f"/v0/{name}s/{{{name}_id}}{end}") for name in ("workflow", "job", "task") for method, end in one),
        ("GET", "/v0/workflows/{workflow_id}/detail"),
        ("PUT", "/v0/workflows/{workflow_id}/jobs"),
        ("PATCH", "/v0/workflows/{workflow_id}/activate"),
        ("PATCH", "/v0/workflows/{workflow_id}/deactivate"),
        ("PUT", "/v0/jobs/{job_id}/tasks"),
        ("POST", "/v0/workflows/{workflow_id}/composite-tasks"),
        ("GET", "/v0/task-types"),
    }


def body_of(method: str, path: str) -> Any:
    if method not in ("POST", "PUT"):
        return None
    if path.count("/") == 4:
        return []
    return {"name": "x", "type": "x"} if "/tasks" in path else {"name": "x"}


def test_no_route_answers_anybody_it_does_not_know(app: FastAPI, address: str) -> None:
    for method, path in walk(app):
        answer = httpx.request(method, address + path, json=body_of(method, path), trust_env=False)
        assert problem(answer, 401)["code"] == "unauthenticated", path


def test_reading_is_not_writing(app: FastAPI, address: str, make_client: Any) -> None:
    with make_client("org-1", ("workflow:read",)) as reader, make_client("org-1", ("run:read",)) as nobody:
        for method, path in walk(app):
            said = {"json": body_of(method, path)}
            assert nobody.request(method, path.removeprefix("/v0"), **said).status_code == 403, path
            status = reader.request(method, path.removeprefix("/v0"), **said).status_code
            assert (status == 403) == (method != "GET"), path


def test_another_organisations_things_are_not_there(client: Any, make_client: Any) -> None:
    workflow_id, job_id, (task_id,) = client.chain("test.increment")
    with make_client("org-2") as stranger:
        for path in (f"/workflows/{workflow_id}", f"/jobs/{job_id}", f"/tasks/{task_id}"):
            problem(stranger.get(path), 404)
            problem(stranger.put(path, json=body_of("PUT", f"/v0{path}")), 404)
            problem(stranger.delete(path), 404)
        assert stranger.get("/workflows").json() == {"items": [], "next_cursor": None}
        mine = stranger.make("/workflows", name="w")["workflow_id"]
        assert errors(stranger.put(f"/workflows/{mine}/jobs", json=[{"job_id": job_id}])).keys() == {"body[0].job_id"}
    assert client.get(f"/workflows/{workflow_id}").json()["version"] == 1


def test_probes_answer_without_a_token(address: str) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        assert httpx.get(address + path, trust_env=False).status_code == 200
