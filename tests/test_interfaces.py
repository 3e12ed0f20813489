"""docs/interfaces.md, line by line, as a program from outside relies on it; the process and runs stand beside it."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from platform_house import ADMIN_PASSWORD, MB, TIME, Platform, created, ok

# --- errors -----------------------------------------------------------------------------------------------------------


def test_problems_speak_korean_unless_asked_for_english(platform: Platform, api: httpx.Client) -> None:
    path = f"/workflows/{'0' * 26}"
    token = api.headers["authorization"]
    said = {}
    for language in (None, "ko-KR,ko;q=0.9", "en-GB, en;q=0.8", "fr"):
        headers = {"Authorization": token, **({"Accept-Language": language} if language else {})}
        answer = httpx.get(f"{platform.base_url}/v0{path}", headers=headers)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        content = answer.json()
        assert set(content) == {"type", "title", "status", "detail", "code", "errors", "trace_id"}
        said[language] = content["detail"]
    assert said[None] == said["ko-KR,ko;q=0.9"] == said["fr"] != said["en-GB, en;q=0.8"]
    assert re.search("[가-힣]", said[None])
    assert not re.search("[가-힣]", said["en-GB, en;q=0.8"])


@dataclass(frozen=True)
class Refusal:
    """A request and the status that the table of docs/interfaces.md gives it."""

    status: int
    ask: Callable[[httpx.Client, str], httpx.Response]


REFUSALS = {
    "nobody": Refusal(401, lambda api, _: httpx.get(f"{api.base_url}workflows")),
    "an ended session": Refusal(401, lambda api, _: ended_session(api)),
    "unknown": Refusal(404, lambda api, _: api.get(f"/jobs/{'0' * 26}")),
    "a duplicate": Refusal(409, lambda api, _: twice(api, "/connections", {"name": "twin", "kind": "smtp"})),
    "the wrong state": Refusal(409, lambda api, run: api.post(f"/workflow-runs/{run}/cancel")),
    "older": Refusal(412, lambda api, _: outdated(api)),
    "too large": Refusal(413, lambda api, _: api.post("/jobs", content=b" " * (MB + 1))),
    "bad input": Refusal(422, lambda api, _: api.post("/jobs", json={})),
}


def ended_session(api: httpx.Client) -> httpx.Response:
    with httpx.Client(base_url=api.base_url, headers={"Accept-Language": "en"}) as other:
        token = ok(other.post("/auth/login", json={"email": "admin@example.com", "password": ADMIN_PASSWORD}))
        other.headers["Authorization"] = f"Bearer {token['access_token']}"
        assert other.post("/auth/logout").status_code == 204
        return other.get("/workflows")


def twice(api: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    api.post(path, json=body)
    return api.post(path, json=body)


def outdated(api: httpx.Client) -> httpx.Response:
    made = created(api.post("/jobs", json={"name": "x"}))
    return api.put(f"/jobs/{made['job_id']}", json={"name": "y"}, headers={"If-Match": '"77"'})


@pytest.mark.parametrize("name", REFUSALS)
def test_each_status_means_what_the_table_says(api: httpx.Client, finished_run: dict[str, Any], name: str) -> None:
    answer = REFUSALS[name].ask(api, finished_run["run_id"])
    assert answer.status_code == REFUSALS[name].status, answer.text
    content = answer.json()
    assert (content["status"], answer.headers["content-type"]) == (answer.status_code, "application/problem+json")
    assert bool(content["errors"]) == (answer.status_code == 422)


# --- lists, versions, keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "id_name"), [("/jobs", "job_id"), ("/tasks", "task_id"), ("/workflows", "workflow_id")]
)
def test_lists_are_newest_first_and_paged_without_gaps(api: httpx.Client, path: str, id_name: str) -> None:
    mark = f"page {time.time_ns()}"
    body = {"name": mark, **({"type": "test.increment"} if path == "/tasks" else {})}
    made = [created(api.post(path, json=body))[id_name] for _ in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        query = {"text": mark, "limit": 2, **({"cursor": cursor} if cursor else {})}
        page = ok(api.get(path, params=query))
        assert set(page) == {"items", "next_cursor"}
        assert len(page["items"]) <= 2
        seen += [item[id_name] for item in page["items"]]
        # a new one on top moves nothing that is still to come
        if cursor is None:
            created(api.post(path, json=body))
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    oldest = ok(api.get(path, params={"text": mark, "sort": "created_at", "limit": 1}))["items"]
    assert oldest[0][id_name] == made[0]


def test_runs_and_schedules_are_listed_and_filtered(platform: Platform, api: httpx.Client) -> None:
    good = platform.compose([{"key": "one", "type": "test.increment"}])
    bad = platform.compose([{"key": "one", "type": "test.fail", "parameters": {"times": 9, "error_class": "fatal"}}])
    runs = [platform.finished(platform.run(one))["run_id"] for one in (good, bad, good)]
    found = ok(api.get("/workflow-runs", params={"workflow_id": good}))["items"]
    assert [item["run_id"] for item in found] == [runs[2], runs[0]]
    assert [item["number"] for item in found] == [2, 1]
    failed = ok(api.get("/workflow-runs", params={"workflow_id": bad, "state": "FAILED"}))["items"]
    assert [item["run_id"] for item in failed] == [runs[1]]
    assert ok(api.get("/workflow-runs", params={"workflow_id": good, "trigger": "schedule"}))["items"] == []
    first = ok(api.get("/workflow-runs", params={"workflow_id": good, "limit": 1}))
    second = ok(api.get("/workflow-runs", params={"workflow_id": good, "limit": 1, "cursor": first["next_cursor"]}))
    assert [item["run_id"] for item in first["items"] + second["items"]] == [runs[2], runs[0]]
    assert second["next_cursor"] is None
    both = ok(api.get("/workflow-runs", params={"text": f"#{found[0]['number']}", "state": ["FAILED", "SUCCESS"]}))
    assert runs[2] in [item["run_id"] for item in both["items"]]
    since = {"workflow_id": good, "created_from": found[0]["created_at"], "sort": "-duration"}
    assert [item["run_id"] for item in ok(api.get("/workflow-runs", params=since))["items"]] == [runs[2]]
    made = [
        created(api.post(f"/workflows/{good}/schedules", json={"cron": "0 8 1 1 *", "active": active}))["schedule_id"]
        for active in (True, False)
    ]
    assert [item["schedule_id"] for item in ok(api.get(f"/workflows/{good}/schedules"))["items"]] == made[::-1]
    stopped = ok(api.get("/schedules", params={"workflow_id": good, "active": False}))["items"]
    assert [item["schedule_id"] for item in stopped] == [made[1]]


def creations(platform: Platform, api: httpx.Client) -> dict[str, tuple[str, dict[str, Any], dict[str, Any], str]]:
    """Each route that creates: (path, body, another body, name of the id)."""
    flow = platform.compose([{"key": "one", "type": "test.increment"}])
    run = platform.finished(platform.run(flow))["run_id"]
    number = time.time_ns()
    token = {"name": "x", "permissions": ["run:read"]}
    person = {"name": "사람", "email": f"p{number}@example.com", "roles": ["viewer"]}
    cron = {"cron": "0 8 1 1 *"}
    return {
        "task": ("/tasks", {"name": "x", "type": "http"}, {"name": "y", "type": "http"}, "task_id"),
        "job": ("/jobs", {"name": "x"}, {"name": "y"}, "job_id"),
        "workflow": ("/workflows", {"name": "x"}, {"name": "y"}, "workflow_id"),
        "schedule": (f"/workflows/{flow}/schedules", cron, {**cron, "text": "y"}, "schedule_id"),
        "connection": (
            "/connections",
            {"name": f"c{number}", "kind": "smtp"},
            {"name": f"c{number}", "kind": "imap"},
            "connection_id",
        ),
        "api token": ("/api-tokens", token, {**token, "name": "y"}, "api_token_id"),
        "user": ("/auth/register", person, {**person, "name": "다른 사람"}, "user_id"),
        "run": (f"/workflows/{flow}/run", {"input": {}}, {"input": {"n": 2}}, "run_id"),
        "rerun": (f"/workflow-runs/{run}/rerun", {}, {"mode": "task", "from_task": "one"}, "run_id"),
    }


@pytest.mark.parametrize(
    "kind", ["task", "job", "workflow", "schedule", "connection", "api token", "user", "run", "rerun"]
)
def test_a_creation_says_where_and_its_key_repeats_it(platform: Platform, api: httpx.Client, kind: str) -> None:
    path, body, other, id_name = creations(platform, api)[kind]
    key = {"Idempotency-Key": f"key-{time.time_ns()}"}
    status = 202 if "run" in kind else 201
    first = api.post(path, json=body, headers=key)
    again = api.post(path, json=body, headers=key)
    assert (first.status_code, again.status_code) == (status, status), first.text + again.text
    assert first.json()[id_name] == again.json()[id_name]
    assert first.headers["location"] == again.headers["location"]
    location = first.headers["location"]
    assert location.startswith("/v0/")
    assert ok(httpx.get(f"{platform.base_url}{location}", headers=dict(api.headers)))[id_name] == first.json()[id_name]
    reused = api.post(path, json=other, headers=key)
    assert reused.status_code == 422, reused.text
    # without a key, or with another, it is another one
    if kind not in ("connection", "user"):
        assert api.post(path, json=body).json()[id_name] != first.json()[id_name]


def test_copies_of_one_request_at_once_make_one_thing(platform: Platform, api: httpx.Client) -> None:
    workflow_id = platform.compose([{"key": "one", "type": "test.increment"}])
    headers = {**api.headers, "Idempotency-Key": "at once"}
    answers: list[httpx.Response] = []

    def send() -> None:
        url = f"{platform.base_url}/v0/workflows/{workflow_id}/run"
        answers.append(httpx.post(url, json={}, headers=headers, timeout=30))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert len(ok(api.get("/workflow-runs", params={"workflow_id": workflow_id}))["items"]) == 1


@pytest.mark.parametrize("kind", ["task", "job", "workflow", "schedule", "connection", "user"])
def test_updates_and_deletions_take_the_tag_of_what_was_read(platform: Platform, api: httpx.Client, kind: str) -> None:
    path, body, other, id_name = creations(platform, api)[kind]
    made = created(api.post(path, json=body))
    at = {"schedule": "/schedules", "user": "/users"}.get(kind, path) + f"/{made[id_name]}"
    update, changed = ("PATCH", {"name": "새 이름"}) if kind == "user" else ("PUT", other)
    read = api.get(at)
    tag = read.headers["etag"]
    assert re.fullmatch(r'"\d+"', tag)
    done = api.request(update, at, json=changed, headers={"If-Match": tag})
    assert done.status_code == 200, done.text
    assert done.headers["etag"] != tag
    assert api.get(at).headers["etag"] == done.headers["etag"]
    late = api.request(update, at, json=changed, headers={"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "outdated")
    assert api.request(update, at, json=changed, headers={"If-Match": "*"}).status_code == 200
    assert api.request(update, at, json=changed).status_code == 200
    if kind != "user":
        assert api.delete(at, headers={"If-Match": tag}).status_code == 412
        assert api.delete(at, headers={"If-Match": api.get(at).headers["etag"]}).status_code == 204
        assert api.get(at).status_code == 404


# --- auth, people -----------------------------------------------------------------------------------------------------


def test_a_session_is_opened_kept_and_ended(platform: Platform) -> None:
    with httpx.Client(base_url=f"{platform.base_url}/v0") as person:
        answer = person.post("/auth/login", json={"email": "admin@example.com", "password": ADMIN_PASSWORD})
        assert {"access_token", "expires_in"} <= set(ok(answer))
        [cookie] = answer.headers.get_list("set-cookie")
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        refreshed = ok(person.post("/auth/refresh"))
        person.headers["Authorization"] = f"Bearer {refreshed['access_token']}"
        assert ok(person.get("/auth/check-session"))["active"] is True
        assert "workflow:write" in ok(person.get("/auth/permissions"))["permissions"]
        assert person.post("/auth/logout").status_code == 204
        assert person.get("/auth/check-session").status_code == 401
        assert person.post("/auth/refresh").status_code == 401


def test_people_and_organisations_are_as_described(api: httpx.Client) -> None:
    me = ok(api.get("/users/me"))
    assert me["email"] == "admin@example.com"
    assert ok(api.patch("/users/me", json={"name": "관리자"}))["name"] == "관리자"
    assert ok(api.post("/users/check-email", json={"email": "admin@example.com"})) == {"available": False}
    assert ok(api.post("/users/check-email", json={"email": "free@example.com"})) == {"available": True}
    [organization] = ok(api.get("/organizations"))["items"]
    options = ok(api.get(f"/organizations/{organization['organization_id']}/options"))
    assert set(options) == {"departments", "positions", "roles"}
    assert {role["code"] for role in options["roles"]} == {"admin", "editor", "operator", "viewer"}
    place = {"department": options["departments"][0]["name"], "position": options["positions"][0]["position_id"]}
    new = {"name": "새 사람", "email": f"n{time.time_ns()}@example.com", "roles": ["editor"], **place}
    made = created(api.post("/auth/register", json={**new, "organization": organization["organization_id"]}))
    assert made["user_id"] in [user["user_id"] for user in ok(api.get("/users"))["items"]]
    assert any(entry["resource_id"] == made["user_id"] for entry in ok(api.get("/audit-log"))["items"])


# --- schedules, work --------------------------------------------------------------------------------------------------


def test_a_schedule_has_the_shape_that_is_promised(platform: Platform, api: httpx.Client) -> None:
    workflow_id = platform.compose([{"key": "one", "type": "test.increment"}])
    body = {"cron": "0 0 8 * * ?", "time_zone": "Asia/Seoul", "text": "아침", "active": True, "values": {"n": 1}}
    made = created(api.post(f"/workflows/{workflow_id}/schedules", json=body))
    assert {name: made[name] for name in body} == body
    assert TIME.fullmatch(made["next_fire_at"])
    path = f"/schedules/{made['schedule_id']}"
    assert ok(api.patch(f"{path}/active", json={"active": False}))["next_fire_at"] is None
    assert ok(api.put(path, json={**body, "cron": "30 7 * * 0,7"}))["active"] is True
    assert api.delete(path).status_code == 204


def test_connections_never_show_their_secrets(api: httpx.Client) -> None:
    body = {"name": f"c{time.time_ns()}", "kind": "smtp", "credentials": {"password": "s3cret-of-mine"}}
    answer = api.post("/connections", json=body)
    path = f"/connections/{created(answer)['connection_id']}"
    changed = api.put(path, json={"name": body["name"], "kind": "smtp", "settings": {"host": "x"}})
    for one in (answer, api.get(path), api.get("/connections"), changed):
        assert "s3cret-of-mine" not in one.text
    assert ok(api.get(path))["credential_names"] == ["password"]


def test_a_task_type_is_tried_without_a_run(api: httpx.Client) -> None:
    assert ok(api.post("/task-types/test.increment/try", json={"parameters": {"n": 1}}))["output"] == {"n": 2}
    refused = ok(api.post("/task-types/test.increment/try", json={"parameters": {"n": "x"}}))
    assert (refused["output"], refused["error"]["code"]) == (None, "invalid_parameters")
    # what changes something outside is refused
    assert api.post("/task-types/test.effect/try", json={}).status_code in (409, 422)
