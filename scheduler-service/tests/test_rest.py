"""Schedules over HTTP: what people can say, what they get back, and what they must not see."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from fastapi.testclient import TestClient
from jose import jwk, jwt

from kit import http
from kit.auth import AUDIENCE, ISSUER, Verifier
from kit.database import utc_now
from scheduler_service.app import Scheduling
from scheduler_service.rest import make_router

PRIVATE = ec.generate_private_key(ec.SECP256R1())
PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
PUBLIC = PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
JWKS = {"keys": [jwk.construct(PUBLIC, "ES256").to_dict() | {"kid": "k1"}]}

DAILY = {"cron": "0 8 * * *"}
HERE = "/v0/workflows/workflow-1/schedules"


def token(organization_id: str = "org-1", permissions: tuple[str, ...] = ("schedule:read", "schedule:write")) -> str:
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "org": organization_id,
        "sid": "session-1",
        "permissions": list(permissions),
        "authz": 1,
        "exp": int(time.time()) + 900,
    }
    return str(jwt.encode(claims, PEM, algorithm="ES256", headers={"kid": "k1"}))


def bearer(*said: Any, language: str = "ko") -> dict[str, str]:
    return {"Authorization": f"Bearer {token(*said)}", "Accept-Language": language}


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: statements are tried on both databases by test_storage.py and test_app.py."""
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def app(scheduling: Scheduling) -> FastAPI:
    made = http.make_app("scheduler-service")
    made.state.verifier = Verifier(lambda: JWKS)
    made.include_router(make_router(scheduling))
    return made


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, headers=bearer()) as opened:
        yield opened


def create(client: TestClient, **said: Any) -> dict[str, Any]:
    answer = client.post(HERE, json=DAILY | said)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_schedule_is_created_with_what_it_means(client: TestClient) -> None:
    answer = client.post(HERE, json={**DAILY, "text": "아침 글", "values": {"keyword": "캠핑"}})
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/v0/schedules/{made['schedule_id']}"
    assert answer.headers["etag"] == '"1"'
    assert made | {"schedule_id": 0, "next_fires": 0, "next_fire_at": 0, "created_at": 0, "updated_at": 0} == {
        "schedule_id": 0,
        "workflow_id": "workflow-1",
        "cron": "0 8 * * *",
        "time_zone": "Asia/Seoul",
        "text": "아침 글",
        "active": True,
        "paused": False,
        "values": {"keyword": "캠핑"},
        "misfire": "fire_once",
        "overlap": "allow",
        "description": "매일 08:00",
        "next_fires": 0,
        "next_fire_at": 0,
        "last_firing": None,
        "version": 1,
        "created_at": 0,
        "updated_at": 0,
    }
    fires = [datetime.fromisoformat(moment) for moment in made["next_fires"]]
    assert all(moment.endswith("T23:00:00.000Z") for moment in made["next_fires"])
    assert [later - earlier for earlier, later in pairwise(fires)] == [timedelta(days=1)] * 4
    assert made["next_fire_at"] == made["next_fires"][0]
    assert client.get(f"/v0/schedules/{made['schedule_id']}").json() == made


def test_the_description_follows_the_callers_language(client: TestClient) -> None:
    made = create(client, cron="30 9 * * 1")
    english = client.get(f"/v0/schedules/{made['schedule_id']}", headers={"Accept-Language": "en"})
    assert (made["description"], english.json()["description"]) == ("매주 월요일 09:30", "Every Monday at 09:30")


def test_both_ways_to_a_schedule_change_and_remove_it(client: TestClient) -> None:
    for number, base in enumerate((HERE, "/v0/schedules")):
        made = create(client)
        path = f"{base}/{made['schedule_id']}"
        changed = client.put(path, json={"cron": "0 0 9 ? * 2", "time_zone": "Europe/Berlin", "values": {"n": number}})
        assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
        assert changed.json()["description"] == "매주 월요일 09:00"
        assert changed.json()["values"] == {"n": number}
        assert client.delete(path).status_code == 204
        assert client.delete(path).status_code == 404
        assert client.get(f"/v0/schedules/{made['schedule_id']}").status_code == 404


def test_a_workflow_has_several_schedules_and_deleting_one_keeps_the_rest(client: TestClient) -> None:
    made = [create(client, cron=f"{minute} 8 * * *")["schedule_id"] for minute in range(3)]
    client.delete(f"{HERE}/{made[1]}")
    assert [item["schedule_id"] for item in client.get(HERE).json()["items"]] == [made[2], made[0]]


def test_lists_are_newest_first_paged_and_filtered(client: TestClient, peers: Any) -> None:
    peers.workflow.known["org-1", "workflow-2"] = True
    made = [create(client)["schedule_id"] for _ in range(3)]
    other = client.post("/v0/workflows/workflow-2/schedules", json=DAILY | {"active": False}).json()["schedule_id"]
    first = client.get("/v0/schedules?limit=3").json()
    second = client.get("/v0/schedules", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [item["schedule_id"] for item in first["items"] + second["items"]] == [other, *made[::-1]]
    assert second["next_cursor"] is None
    for query, expected in (
        ("active=false", [other]),
        ("workflow_id=workflow-1", made[::-1]),
        ("active=true", made[::-1]),
    ):
        found = client.get(f"/v0/schedules?{query}").json()["items"]
        assert [item["schedule_id"] for item in found] == expected


def test_a_schedule_is_stopped_and_started(client: TestClient) -> None:
    path = f"/v0/schedules/{create(client)['schedule_id']}"
    stopped = client.patch(f"{path}/active", json={"active": False}).json()
    assert (stopped["active"], stopped["next_fire_at"], stopped["next_fires"]) == (False, None, [])
    started = client.patch(f"{path}/active", json={"active": True}).json()
    assert (started["active"], len(started["next_fires"]), started["version"]) == (True, 5, 3)


def test_the_last_firing_is_told(client: TestClient, scheduling: Scheduling, peers: Any) -> None:
    made = create(client, cron="* * * * * ?")
    now = utc_now() + timedelta(seconds=2)
    scheduling.fire_due(now)
    scheduling.start_pending(now)
    last = client.get(f"/v0/schedules/{made['schedule_id']}").json()["last_firing"]
    assert last["state"] == "started"
    assert last["run_id"] in peers.execution.runs.values()


def test_an_idempotency_key_creates_once(client: TestClient) -> None:
    key = {"Idempotency-Key": "k-1"}
    first, second = (client.post(HERE, json=DAILY, headers=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["schedule_id"] == second.json()["schedule_id"]
    assert client.post(HERE, json={"cron": "0 9 * * *"}, headers=key).status_code == 422


@pytest.mark.parametrize("way", ["put", "delete", "patch"])
def test_an_outdated_if_match_changes_nothing(client: TestClient, way: str) -> None:
    made = create(client)
    path, body = f"/v0/schedules/{made['schedule_id']}", DAILY
    if way == "patch":
        path, body = f"{path}/active", {"active": False}
    arguments: dict[str, Any] = {} if way == "delete" else {"json": body}
    for etag, status in (('"2"', 412), ('"0"', 412), ("1", 412), ('"1', 412)):
        answer = client.request(way, path, headers={"If-Match": etag}, **arguments)
        assert answer.status_code == status, answer.text
    assert client.get(f"/v0/schedules/{made['schedule_id']}").json() == made
    etag = "*" if way == "patch" else 'W/"1"'
    assert client.request(way, path, headers={"If-Match": etag}, **arguments).is_success


# --- who may


def each_route(schedule_id: str) -> list[tuple[str, str, Any]]:
    return [
        ("GET", HERE, None),
        ("POST", HERE, DAILY),
        ("PUT", f"{HERE}/{schedule_id}", DAILY),
        ("DELETE", f"{HERE}/{schedule_id}", None),
        ("GET", f"/v0/schedules/{schedule_id}", None),
        ("PUT", f"/v0/schedules/{schedule_id}", DAILY),
        ("PATCH", f"/v0/schedules/{schedule_id}/active", {"active": False}),
        ("DELETE", f"/v0/schedules/{schedule_id}", None),
    ]


def test_another_organisation_finds_nothing(client: TestClient) -> None:
    made = create(client)
    for method, path, body in each_route(made["schedule_id"]):
        answer = client.request(method, path, json=body, headers=bearer("org-2"))
        assert answer.status_code == 404, (method, path)
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/v0/schedules", headers=bearer("org-2")).json()["items"] == []
    assert client.get(f"/v0/schedules/{made['schedule_id']}").json() == made


def test_every_route_wants_a_token_and_its_permission(client: TestClient, app: FastAPI) -> None:
    made = create(client)
    routes = [*each_route(made["schedule_id"]), ("GET", "/v0/schedules", None)]
    assert len(routes) == sum(len(methods) for methods in app.openapi()["paths"].values())
    for method, path, body in routes:
        anonymous = client.request(method, path, json=body, headers={"Authorization": ""})
        assert anonymous.status_code == 401, (method, path)
        wrong = ("schedule:write",) if method == "GET" else ("schedule:read",)
        refused = client.request(method, path, json=body, headers=bearer("org-1", wrong))
        assert refused.status_code == 403, (method, path)


def test_a_schedule_under_another_workflow_is_not_found(client: TestClient, peers: Any) -> None:
    peers.workflow.known["org-1", "workflow-2"] = True
    made = create(client)
    path = f"/v0/workflows/workflow-2/schedules/{made['schedule_id']}"
    assert client.put(path, json=DAILY).status_code == 404
    assert client.delete(path).status_code == 404
    assert client.get("/v0/workflows/workflow-2/schedules").json() == {"items": [], "next_cursor": None}


# --- bad input


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({}, "body.cron"),
        ({"cron": 5}, "body.cron"),
        ({"cron": ""}, "body.cron"),
        ({"cron": "x" * 201}, "body.cron"),
        ({"cron": "61 8 * * *"}, "body.cron.minute"),
        ({"cron": "0 8 * * 8"}, "body.cron.day_of_week"),
        ({"cron": "0 8 30 2 *"}, "body.cron.day_of_month"),
        ({"cron": "0 8 * *"}, "body.cron"),
        ({"cron": "0 0 8 1 1 ? 2020"}, "body.cron"),
        (DAILY | {"time_zone": "Seoul"}, "body.time_zone"),
        (DAILY | {"time_zone": "../../etc/passwd"}, "body.time_zone"),
        (DAILY | {"time_zone": None}, "body.time_zone"),
        (DAILY | {"text": "x" * 501}, "body.text"),
        (DAILY | {"active": "yes"}, "body.active"),
        (DAILY | {"values": []}, "body.values"),
        (DAILY | {"values": {"n": 10**30}}, "body.values.n"),
        (DAILY | {"misfire": "never"}, "body.misfire"),
        (DAILY | {"overlap": "queue"}, "body.overlap"),
        (DAILY | {"extra": 1}, "body.extra"),
    ],
)
def test_a_wrong_body_is_refused_with_field_and_reason(client: TestClient, said: Any, field: str) -> None:
    made = create(client)
    for method, path in (("POST", HERE), ("PUT", f"/v0/schedules/{made['schedule_id']}")):
        answer = client.request(method, path, json=said)
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        [error] = answer.json()["errors"]
        assert error["field"] == field
        assert error["reason"]
        assert "{" not in error["reason"]


def test_the_reason_of_a_wrong_cron_is_in_the_callers_language(client: TestClient) -> None:
    reasons = [
        client.post(HERE, json={"cron": "61 8 * * *"}, headers={"Accept-Language": language}).json()["errors"][0]
        for language in ("ko", "en")
    ]
    assert reasons == [
        {"field": "body.cron.minute", "reason": "61은(는) 0에서 59 사이의 값이 아닙니다."},
        {"field": "body.cron.minute", "reason": "61 is not between 0 and 59."},
    ]


def test_wrong_queries_and_malformed_json_are_refused(client: TestClient) -> None:
    for path in ("/v0/schedules", HERE):
        for query in ("limit=0", "limit=201", "limit=-1", "limit=x", "cursor=abc", "page=2"):
            assert client.get(f"{path}?{query}").status_code == 422, query
    assert client.get("/v0/schedules?active=perhaps").status_code == 422
    assert client.post(HERE, content=b"{", headers={"Content-Type": "application/json"}).status_code == 422


def test_unknown_workflows_and_schedules_are_not_found(client: TestClient) -> None:
    assert client.post("/v0/workflows/nobody/schedules", json=DAILY).status_code == 404
    assert client.get("/v0/workflows/nobody/schedules").status_code == 404
    assert client.get("/v0/schedules?workflow_id=nobody").status_code == 404
    assert client.get("/v0/schedules/nobody").status_code == 404
    assert client.get(f"/v0/schedules/{'x' * 3000}").status_code == 404
