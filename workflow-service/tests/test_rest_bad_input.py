"""Definitions over HTTP that cannot be: each is refused by its field, for a reason in the reader's language."""

from typing import Any

import pytest
from rest_house import database_url, errors, problem

__all__ = ["database_url"]
TASK = {"name": "t", "type": "x"}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/tasks", {"type": "x"}, "body.name"),
        ("/tasks", {**TASK, "extra": 1}, "body.extra"),
        ("/tasks", {**TASK, "name": ""}, "body.name"),
        ("/tasks", {**TASK, "name": "   "}, "body.name"),
        ("/tasks", {**TASK, "name": "줄\n바꿈"}, "body.name"),
        ("/tasks", {**TASK, "name": "x" * 201}, "body.name"),
        ("/tasks", {**TASK, "name": 5}, "body.name"),
        ("/tasks", {**TASK, "type": "Bad Type"}, "body.type"),
        ("/tasks", {**TASK, "description": "\0"}, "body.description"),
        ("/tasks", {**TASK, "parameters": []}, "body.parameters"),
        ("/tasks", {**TASK, "parameters": {"a": "x" * 66_000}}, "body.parameters"),
        ("/tasks", {**TASK, "parameters": {"a": [{"b": 2**70}]}}, "body.parameters.a[0].b"),
        ("/tasks", {**TASK, "parameters": {"a": "${{ nobody.x }}"}}, "body.parameters.a"),
        ("/tasks", {**TASK, "retry": {"max_attempts": 0}}, "body.retry.max_attempts"),
        ("/tasks", {**TASK, "retry": {"backoff": "linear"}}, "body.retry.backoff"),
        ("/tasks", {**TASK, "timeout_s": -1}, "body.timeout_s"),
        ("/tasks", {**TASK, "queue": "Bad Queue"}, "body.queue"),
        ("/tasks", {**TASK, "priority": 6}, "body.priority"),
        ("/tasks", {**TASK, "failure_policy": "explode"}, "body.failure_policy"),
        ("/jobs", {"name": "j", "failure_policy": 1}, "body.failure_policy"),
        ("/workflows", {"name": "w", "default_config": {"a": 1}}, "body.default_config.a"),
        ("/workflows", {"name": "w", "default_config": {"a": {"b": "x" * 270_000}}}, "body.default_config"),
        ("/workflows", {"name": "w", "input_schema": {"type": "objekt"}}, "body.input_schema.type"),
        ("/workflows", {"name": "w", "input_schema": True}, "body.input_schema"),
        ("/workflows", [], "body"),
    ],
)
def test_a_bad_body_is_refused_with_its_field_named(client: Any, path: str, body: Any, field: str) -> None:
    found = errors(client.post(path, json=body))
    assert list(found) == [field]
    assert found[field]
    assert client.get(path).json()["items"] == []


def test_an_input_schema_of_another_draft_is_refused_and_the_accepted_one_told(client: Any) -> None:
    body = {"name": "w", "input_schema": {"$schema": "http://json-schema.org/draft-07/schema#"}}
    accepted = "https://json-schema.org/draft/2020-12/schema"
    korean = errors(client.post("/workflows", json=body))
    english = errors(client.post("/workflows", json=body, headers={"Accept-Language": "en"}))
    assert korean == {"body.input_schema.$schema": f"지원하지 않는 JSON Schema 버전입니다. 쓸 수 있는 값: {accepted}"}
    assert english == {
        "body.input_schema.$schema": f"This version of JSON Schema is not supported. Accepted: {accepted}"
    }
    body["input_schema"] = {"$schema": accepted, "type": "object"}
    assert client.post("/workflows", json=body).status_code == 201


def test_reasons_are_in_the_readers_language(client: Any) -> None:
    body = {**TASK, "name": "\n", "parameters": {"a": "x" * 66_000}}
    korean = errors(client.post("/tasks", json=body))
    english = errors(client.post("/tasks", json=body, headers={"Accept-Language": "en"}))
    assert korean["body.name"].startswith("이름에는")
    assert english["body.name"].startswith("A name has no")
    assert english["body.parameters"] == "At most 65536 bytes of JSON."


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 422),
        (b'{"name": NaN}', 422),
        (b'{"name": "\xff"}', 422),
        (b"[" * 100 + b"]" * 100, 422),
        (b" " * 2**21, 413),
    ],
)
def test_what_is_no_sound_json_or_too_much_is_refused(client: Any, content: bytes, status: int) -> None:
    problem(client.post("/workflows", content=content, headers={"Content-Type": "application/json"}), status)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "cursor=x", "cursor=WzFd", "sort=size", "active=perhaps", "nobody=1", "text="],
)
def test_a_bad_query_is_refused_with_its_parameter_named(client: Any, query: str) -> None:
    name = query.partition("=")[0]
    assert list(errors(client.get(f"/workflows?{query}"))) == [f"query.{name}"]


@pytest.mark.parametrize("id_", ["nobody", "x" * 500, "%00", "한글", "'; drop table task; --"])
def test_an_unknown_id_is_just_not_found(client: Any, id_: str) -> None:
    for path in ("workflows", "jobs", "tasks"):
        assert client.get(f"/{path}/{id_}").status_code == 404
    assert client.put(f"/workflows/{id_}/jobs", json=[]).status_code == 404


def test_a_bad_placement_is_refused_with_its_index(client: Any) -> None:
    workflow_id, job_id, (task_id,) = client.chain("test.increment")
    found = errors(client.put(f"/jobs/{job_id}/tasks", json=[{"task_id": task_id}, {"key": "a"}]))
    assert list(found) == ["body[1].task_id"]
    found = errors(client.put(f"/jobs/{job_id}/tasks", json=[{"task_id": task_id, "parameters": {"a": "${{ x }}"}}]))
    assert list(found) == ["body[0].parameters.a"]
    found = errors(client.put(f"/workflows/{workflow_id}/jobs", json=[{"job_id": job_id, "depends_on": ["nobody"]}]))
    assert list(found) == ["body[0].depends_on[0]"]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"for_each": {"n": 1}}, "for_each"),
        ({"for_each": 3}, "for_each"),
        ({"for_each": " "}, "for_each"),
        ({"for_each": "x" * 4097}, "for_each"),
        ({"for_each": [0] * 10_001}, "for_each"),
        ({"for_each": ["x" * 262_144]}, "for_each"),
        ({"for_each": "run.input.rows", "max_parallel": 0}, "max_parallel"),
        ({"for_each": [1], "max_parallel": 501}, "max_parallel"),
        ({"for_each": [1], "max_parallel": 1.5}, "max_parallel"),
        ({"max_parallel": 3}, "max_parallel"),
        ({"for_each": None, "max_parallel": 3}, "max_parallel"),
        ({"for_each": "tasks.nobody.output.rows +"}, "for_each"),
        ({"for_each": [{"n": "${{ item.n }}"}]}, "for_each[0].n"),
        ({"for_each": [1], "when": "item > 1"}, "when"),
        ({"parameters": {"n": "${{ item }}"}}, "parameters.n"),
    ],
)
def test_a_list_of_items_that_cannot_be_is_refused_by_its_field(client: Any, said: Any, field: str) -> None:
    task_id = client.make("/tasks", name="t", type="test.increment")["task_id"]
    job_id = client.make("/jobs", name="job")["job_id"]
    answer = client.put(f"/jobs/{job_id}/tasks", json=[{"task_id": task_id, **said}])
    assert list(errors(answer)) == [f"body[0].{field}"]


def test_a_task_that_reads_the_item_waits_for_a_placement_over_a_list(client: Any) -> None:
    task_id = client.make("/tasks", name="t", type="test.increment", parameters={"n": "${{ item.n }}"})["task_id"]
    job_id = client.make("/jobs", name="job")["job_id"]
    path = f"/jobs/{job_id}/tasks"
    (field,) = errors(client.put(path, json=[{"task_id": task_id}]))
    assert field == "tasks.test_increment.parameters.n"
    rows = [{"n": number} for number in range(10_000)]
    (placed,) = client.set(path, [{"task_id": task_id, "for_each": rows, "max_parallel": 500}])["tasks"]
    assert (placed["for_each"], placed["max_parallel"]) == (rows, 500)
    workflow_id = client.make("/workflows", name="w")["workflow_id"]
    composed = client.set(f"/workflows/{workflow_id}/jobs", [{"job_id": job_id}])
    (spec,) = composed["jobs"][0]["tasks"]
    assert (composed["runnable"], spec["for_each"], spec["max_parallel"]) == (True, rows, 500)


@pytest.mark.parametrize(
    ("said", "korean", "english"),
    [
        ({"for_each": 3}, "목록이거나", "a list, or"),
        ({"for_each": [0] * 10_001}, "10000개까지", "at most 10000"),
        ({"for_each": ""}, "1자에서 4096자", "1 to 4096"),
        ({"max_parallel": 3}, "for_each가 있는", "with for_each"),
    ],
)
def test_why_a_list_is_refused_is_said_in_both_languages(client: Any, said: Any, korean: str, english: str) -> None:
    job_id = client.make("/jobs", name="job")["job_id"]
    for language, words in (("ko", korean), ("en", english)):
        headers = {"Accept-Language": language}
        answer = client.put(f"/jobs/{job_id}/tasks", json=[{"task_id": "t", **said}], headers=headers)
        assert [words in reason for reason in errors(answer).values()] == [True], answer.text


NO_KEYS: list[Any] = [
    ({"concurrency_key": ""}, "concurrency_key"),
    ({"concurrency_key": " \n "}, "concurrency_key"),
    ({"concurrency_key": "a\0b"}, "concurrency_key"),
    ({"concurrency_key": 7}, "concurrency_key"),
    ({"concurrency_key": ["a"]}, "concurrency_key"),
    ({"concurrency_key": "x" * 4097}, "concurrency_key"),
    ({"concurrency_key": "x" * 129}, "concurrency_key"),
    ({"concurrency_key": "${{ " + "x" * 4000}, "concurrency_key"),
    ({"concurrency_key": "${{ item.n }}"}, "concurrency_key"),
    ({"concurrency_key": "k", "concurrency_limit": 0}, "concurrency_limit"),
    ({"concurrency_key": "k", "concurrency_limit": 1001}, "concurrency_limit"),
    ({"concurrency_key": "k", "concurrency_limit": 10**30}, "concurrency_limit"),
    ({"concurrency_key": "k", "concurrency_limit": 1.5}, "concurrency_limit"),
    ({"concurrency_key": "k", "concurrency_limit": True}, "concurrency_limit"),
    ({"concurrency_limit": 3}, "concurrency_limit"),
    ({"concurrency_key": None, "concurrency_limit": 3}, "concurrency_limit"),
]


def test_a_key_that_cannot_be_is_refused_by_its_field(client: Any) -> None:
    task_id = client.make("/tasks", name="t", type="test.increment")["task_id"]
    job_id = client.make("/jobs", name="job")["job_id"]
    for said, field in NO_KEYS:
        answer = client.put(f"/jobs/{job_id}/tasks", json=[{"task_id": task_id, **said}])
        assert list(errors(answer)) == [f"body[0].{field}"], said


NO_LIMITS: list[Any] = [
    (3, [""]),
    ([], [""]),
    ({}, [".limit"]),
    ({"limit": 0}, [".limit"]),
    ({"limit": 1001}, [".limit"]),
    ({"limit": "3"}, [".limit"]),
    ({"limit": None}, [".limit"]),
    ({"limit": 2.5}, [".limit"]),
    ({"limit": 3, "overflow": "drop"}, [".overflow"]),
    ({"limit": 3, "overflow": None}, [".overflow"]),
    ({"limit": 3, "key": "k"}, [".key"]),
    ({"limit": -1, "overflow": 1}, [".limit", ".overflow"]),
]


def test_a_limit_that_cannot_be_is_refused_by_its_field(client: Any) -> None:
    for said, fields in NO_LIMITS:
        answer = client.post("/workflows", json={"name": "w", "concurrency": said})
        assert list(errors(answer)) == [f"body.concurrency{field}" for field in fields], said


WHY_NO_KEY: list[Any] = [
    ("http", {"concurrency_key": "x" * 129}, "128자까지", "1 to 128 characters"),
    ("http", {"concurrency_key": " "}, "128자까지", "1 to 128 characters"),
    ("http", {"concurrency_limit": 3}, "concurrency_key가 있는", "with concurrency_key"),
    ("wait.time", {"concurrency_key": "k", "parameters": {"seconds": 1}}, "기다리는 단계", "that waits"),
]


def test_why_a_key_is_refused_is_said_in_both_languages(client: Any) -> None:
    job_id = client.make("/jobs", name="job")["job_id"]
    for type_, said, korean, english in WHY_NO_KEY:
        task_id = client.make("/tasks", name="t", type=type_)["task_id"]
        for language, words in (("ko", korean), ("en", english)):
            headers = {"Accept-Language": language}
            answer = client.put(f"/jobs/{job_id}/tasks", json=[{"task_id": task_id, **said}], headers=headers)
            assert [words in reason for reason in errors(answer).values()] == [True], answer.text
