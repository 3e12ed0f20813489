"""Runs over HTTP: every route, who may, what is refused and how, and following a run live."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest
from domain_house import job, maybe, task, workflow
from edge_house import bearer, open_http
from engine_house import ORGANIZATION, Definitions, Down, House, chain, open_house, until

from execution_service.domain.definition import Definition
from execution_service.rest_history import RunStatistics
from kit.database import encode_cursor

pytestmark = pytest.mark.anyio

RUNS = "/v0/workflow-runs"


@pytest.fixture
def database_url(empty_schema: Callable[[str], str]) -> str:
    """SQLite alone: the statements are tried on both databases elsewhere."""
    return empty_schema("sqlite")


@pytest.fixture
async def http(idle_house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with open_http(idle_house) as client:
        yield client


def known(house: House, definition: Definition) -> str:
    house.definitions.known[definition.workflow_id] = definition
    return definition.workflow_id


async def start(http: httpx.AsyncClient, house: House, definition: Definition, **body: Any) -> str:
    answer = await http.post(f"/v0/workflows/{known(house, definition)}/run", json=body or {"input": {"n": 0}})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["run_id"])


def fields(answer: httpx.Response) -> list[str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return [each["field"] for each in answer.json()["errors"]]


# --- starting --------------------------------------------------------------------------------------------------------


async def test_a_run_is_accepted_and_found_where_location_says(http: httpx.AsyncClient, idle_house: House) -> None:
    known(idle_house, chain(2))
    answer = await http.post("/v0/workflows/chain/run", json={"input": {"n": 5}})
    assert answer.status_code == 202
    run_id = answer.json()["run_id"]
    assert answer.headers["location"] == f"{RUNS}/{run_id}"
    run = (await http.get(answer.headers["location"])).json()
    assert (run["state"], run["trigger"], run["cause"], run["input"]) == ("RUNNING", "manual", "user-1", {"n": 5})
    assert (run["workflow_id"], run["workflow_version"], run["workflow_name"]) == ("chain", 1, "Chain")
    assert [each["state"] for each in run["jobs"][0]["tasks"]] == ["QUEUED", "PENDING"]
    assert run["created_at"].endswith("Z")
    assert len(run["trace_id"]) == 32


async def test_a_run_may_be_started_without_a_body(http: httpx.AsyncClient, idle_house: House) -> None:
    name = known(idle_house, workflow(job("main", task("a"))))
    assert (await http.post(f"/v0/workflows/{name}/run")).status_code == 202


async def test_the_same_key_gives_the_same_run_and_with_another_input_it_is_refused(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    known(idle_house, chain(1))
    headers = {"Idempotency-Key": "once"}
    first = await http.post("/v0/workflows/chain/run", json={"input": {"n": 1}}, headers=headers)
    again = await http.post("/v0/workflows/chain/run", json={"input": {"n": 1}}, headers=headers)
    assert again.status_code == 202
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    other = await http.post("/v0/workflows/chain/run", json={"input": {"n": 2}}, headers=headers)
    assert other.status_code == 422
    assert fields(other) == ["header.Idempotency-Key"]
    assert len((await http.get(RUNS)).json()["items"]) == 1


async def test_a_key_is_answered_even_when_its_workflow_was_switched_off_since(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    known(idle_house, chain(1))
    headers = {"Idempotency-Key": "once"}
    first = await http.post("/v0/workflows/chain/run", json={"input": {"n": 1}}, headers=headers)
    idle_house.definitions.inactive.add("chain")
    again = await http.post("/v0/workflows/chain/run", json={"input": {"n": 1}}, headers=headers)
    assert again.json() == first.json()


async def test_starts_with_one_key_at_once_are_one_run(http: httpx.AsyncClient, idle_house: House) -> None:
    known(idle_house, chain(1))
    starts = [http.post("/v0/workflows/chain/run", headers={"Idempotency-Key": "once"}) for _ in range(8)]
    answers = await asyncio.gather(*starts)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["run_id"] for answer in answers}) == 1


async def test_what_cannot_be_started_says_why(http: httpx.AsyncClient, idle_house: House) -> None:
    assert (await http.post("/v0/workflows/nobody/run")).status_code == 404
    idle_house.definitions.inactive.add(known(idle_house, chain(1)))
    inactive = await http.post("/v0/workflows/chain/run")
    assert (inactive.status_code, inactive.json()["code"]) == (409, "workflow_inactive")
    broken = replace(workflow(job("main", task("a", "a"))), workflow_id="broken")
    answer = await http.post(f"/v0/workflows/{known(idle_house, broken)}/run")
    assert (answer.status_code, answer.json()["code"]) == (409, "definition_broken")


async def test_an_input_that_does_not_fit_the_schema_names_its_fields(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "list": {"items": {"type": "string"}}},
        "required": ["n"],
    }
    name = known(idle_house, replace(chain(1), input_schema=schema))
    answer = await http.post(f"/v0/workflows/{name}/run", json={"input": {"n": "five", "list": ["a", 1]}})
    assert answer.status_code == 422
    assert fields(answer) == ["body.input.list[1]", "body.input.n"]
    assert (await http.post(f"/v0/workflows/{name}/run", json={})).status_code == 422
    assert (await http.post(f"/v0/workflows/{name}/run", json={"input": {"n": 1}})).status_code == 202


async def test_while_the_database_is_away_it_is_503_and_nothing_was_begun(
    database_url: str, nats_url: str, definitions: tuple[Definitions, str]
) -> None:
    down = Down(database_url)
    async with open_house(down, nats_url, definitions) as house, open_http(house) as http:
        await start(http, house, chain(1))
        down.refused_writes = 1000
        assert (await http.post("/v0/workflows/chain/run")).status_code == 503
        down.refused_writes = 0
        assert len((await http.get(RUNS)).json()["items"]) == 1
        down.refused_reads = 1
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/readyz")).status_code == 200
    down.close()


# --- bad requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"{", "body"), (b"NaN", "body"), (b"[]", "body"), (b'{"input": 7}', "body.input"),
        (b'{"input": []}', "body.input"),
        (b'{"input": {}, "more": 1}', "body.more"), (b'{"input":{"deep":' + b"[" * 70 + b"]" * 70 + b"}}", "body"),
    ],
)  # fmt: skip
async def test_a_bad_body_is_422_and_names_its_field(
    http: httpx.AsyncClient, idle_house: House, content: bytes, field: str
) -> None:
    known(idle_house, chain(1))
    headers = {"Content-Type": "application/json"}
    answer = await http.post("/v0/workflows/chain/run", content=content, headers=headers)
    assert answer.status_code == 422
    assert fields(answer) == [field]


async def test_a_huge_body_is_413(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v0/workflows/chain/run", json={"input": {"x": "x" * 1_100_000}})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"{RUNS}?limit=0", "query.limit"), (f"{RUNS}?limit=201", "query.limit"), (f"{RUNS}?limit=x", "query.limit"),
        (f"{RUNS}?cursor=nonsense", "query.cursor"), (f"{RUNS}?cursor={encode_cursor(7)}", "query.cursor"),
        (f"{RUNS}?state=DONE", "query.state"), (f"{RUNS}?trigger=dog", "query.trigger"),
        (f"{RUNS}?state=FAILED&state=DONE", "query.state"), (f"{RUNS}?sort=name", "query.sort"),
        (f"{RUNS}?text=", "query.text"), (f"{RUNS}?text={'x' * 201}", "query.text"),
        (f"{RUNS}?text=%00", "query.text"), (f"{RUNS}?created_from=yesterday", "query.created_from"),
        (f"{RUNS}?created_from=2026-01-01", "query.created_from"),
        (f"{RUNS}?created_to=1700000000", "query.created_to"),
        (f"{RUNS}?created_to=2026-01-01T00:00:00", "query.created_to"),
        (f"{RUNS}?created_to=2026-02-30T00:00:00Z", "query.created_to"),
        (f"{RUNS}?created_from=2026-01-02T00:00:00Z&created_to=2026-01-02T09:00:00%2B09:00", "query.created_to"),
        (f"{RUNS}?cursor={encode_cursor('duration', 7, 'x')}", "query.cursor"),
        (f"{RUNS}?cursor={encode_cursor('-created_at', '7', 'x')}", "query.cursor"),
        (f"{RUNS}/statistics?time_zone=Mars", "query.time_zone"), (f"{RUNS}/statistics?time_zone=", "query.time_zone"),
        (f"{RUNS}/statistics?time_zone=../../etc/passwd", "query.time_zone"),
        (f"{RUNS}/statistics?time_zone=America", "query.time_zone"),
        (f"{RUNS}/statistics?created_from=2025-01-01T00:00:00Z&created_to=2026-01-03T00:00:00Z", "query.created_from"),
        (f"{RUNS}/statistics?created_from=2999-01-01T00:00:00Z", "query.created_to"),
        (f"{RUNS}/statistics?created_to=0001-01-01T00:00:00%2B14:00", "query.created_to"),
        (f"{RUNS}/statistics?created_from=1969-12-31T00:00:00Z", "query.created_from"),
        (f"{RUNS}/statistics?state=FAILED", "query.state"),
        (f"{RUNS}?page=1", "query.page"), (f"{RUNS}/{'x' * 65}", "path.run_id"),
        ("/v0/tasks/io-data", "query.task_run_id"), (f"/v0/tasks/io-data?task_run_id={'x' * 81}", "query.task_run_id"),
    ],
)  # fmt: skip
async def test_a_bad_question_is_422_and_names_its_field(http: httpx.AsyncClient, path: str, field: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 422, answer.text
    assert fields(answer) == [field]


async def test_bad_questions_about_one_run_are_422(http: httpx.AsyncClient, idle_house: House) -> None:
    run_id = await start(http, idle_house, chain(1))
    assert fields(await http.get(f"{RUNS}/{run_id}/logs?cursor=!")) == ["query.cursor"]
    assert fields(await http.get(f"{RUNS}/{run_id}/logs?limit=1000")) == ["query.limit"]
    bad_id = await http.get(f"{RUNS}/{run_id}/events", headers={"Last-Event-ID": "-1"})
    assert (bad_id.status_code, fields(bad_id)) == (422, ["header.Last-Event-ID"])
    for body, field in (
        ({"mode": "some"}, "body.mode"), ({"mode": "task"}, "body.from_task"), ({"from_task": "t0"}, "body.from_task"),
        ({"version": 3}, "body.version"), ({"unknown": 1}, "body.unknown"),
        ({"mode": "item", "task": "t0"}, "body.item"), ({"mode": "item", "item": 0}, "body.task"),
        ({"task": "t0"}, "body.task"), ({"item": 0}, "body.item"),
        ({"mode": "item", "task": "t0", "item": -1}, "body.item"),
    ):  # fmt: skip
        answer = await http.post(f"{RUNS}/{run_id}/rerun", json=body)
        assert (answer.status_code, fields(answer)) == (422, [field])


# --- who may ---------------------------------------------------------------------------------------------------------


def requests(run_id: str) -> list[tuple[str, str, str]]:
    """(method, path, the permission it needs) of every route."""
    return [
        ("POST", "/v0/workflows/chain/run", "workflow:run"),
        ("GET", RUNS, "run:read"),
        ("GET", f"{RUNS}/statistics", "run:read"),
        ("GET", f"{RUNS}/{run_id}", "run:read"),
        ("POST", f"{RUNS}/{run_id}/cancel", "run:write"),
        ("POST", f"{RUNS}/{run_id}/pause", "run:write"),
        ("POST", f"{RUNS}/{run_id}/resume", "run:write"),
        ("POST", f"{RUNS}/{run_id}/rerun", "run:write"),
        ("POST", f"{RUNS}/{run_id}/tasks/{run_id}-0/answer", "run:write"),
        ("GET", f"{RUNS}/{run_id}/tasks/{run_id}-0/items", "run:read"),
        ("POST", "/v0/events", "run:write"),
        ("GET", f"{RUNS}/{run_id}/logs", "run:read"),
        ("GET", f"{RUNS}/{run_id}/events", "run:read"),
        ("GET", f"{RUNS}/events", "run:read"),
        ("GET", f"/v0/tasks/io-data?task_run_id={run_id}-0", "run:read"),
        ("GET", f"/v0/tasks/io-data/content?task_run_id={run_id}-0&direction=input", "run:read"),
    ]


async def test_the_list_of_routes_above_is_complete(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/internal/openapi.json")).json()["paths"]
    routes = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    asked = requests("{run_id}")
    assert routes == {
        (
            method,
            path.partition("?")[0]
            .replace("workflows/chain", "workflows/{workflow_id}")
            .replace("{run_id}-0", "{task_run_id}"),
        )
        for method, path, _ in asked
    }


async def test_nobody_known_is_401(http: httpx.AsyncClient, idle_house: House) -> None:
    run_id = await start(http, idle_house, chain(1))
    for method, path, _ in requests(run_id):
        for token in ("", "Bearer x.y.z", "Basic abc"):
            answer = await http.request(method, path, headers={"Authorization": token})
            assert answer.status_code == 401, path


async def test_without_the_routes_own_permission_it_is_403(http: httpx.AsyncClient, idle_house: House) -> None:
    run_id = await start(http, idle_house, chain(1))
    for method, path, needed in requests(run_id):
        others = tuple({"workflow:run", "run:read", "run:write", "workflow:write"} - {needed})
        answer = await http.request(method, path, headers=bearer(permissions=others))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path


async def test_another_organisations_run_is_404_as_if_it_were_not_there(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    run_id = await start(http, idle_house, chain(1))
    for method, path, _ in requests(run_id):
        if path == f"{RUNS}/events":
            continue  # it does not end: test_follow.py
        answer = await http.request(method, path, headers=bearer("org2"))
        if path == RUNS:
            assert answer.json() == {"items": [], "next_cursor": None}
        elif path == f"{RUNS}/statistics":
            assert (answer.json()["total"], answer.json()["workflows"]) == (0, [])
        elif path == "/v0/events":
            assert (answer.status_code, fields(answer)) == (422, ["body"])  # it names nothing of anybody's
        else:
            unknown = await http.request(method, path.replace(run_id, "nobody").replace("chain", "nobody"))
            assert (answer.status_code, unknown.status_code) == (404, 404), path
            assert answer.json()["code"] == unknown.json()["code"]
    assert (await http.get(f"{RUNS}/{run_id}")).json()["state"] == "RUNNING"


# --- lists -----------------------------------------------------------------------------------------------------------


async def test_runs_are_listed_newest_first_page_by_page(http: httpx.AsyncClient, idle_house: House) -> None:
    ids = [await start(http, idle_house, chain(1)) for _ in range(5)]
    other = await start(http, idle_house, replace(chain(1), workflow_id="other"))
    found, cursor = [], ""
    while cursor is not None:
        page = (await http.get(RUNS, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        found += [each["run_id"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert found == [other, *reversed(ids)]
    assert [each["number"] for each in (await http.get(f"{RUNS}?workflow_id=chain")).json()["items"]] == [5, 4, 3, 2, 1]
    await http.post(f"{RUNS}/{ids[0]}/cancel")
    [cancelled] = (await http.get(f"{RUNS}?state=CANCELLED&trigger=manual&workflow_id=chain")).json()["items"]
    assert cancelled["run_id"] == ids[0]
    assert (await http.get(f"{RUNS}?trigger=schedule")).json()["items"] == []


async def test_runs_are_narrowed_and_sorted(http: httpx.AsyncClient, idle_house: House) -> None:
    first, second, third = [await start(http, idle_house, chain(1)) for _ in range(3)]
    for run_id in (second, first):
        await http.post(f"{RUNS}/{run_id}/cancel")

    async def found(query: str) -> list[str]:
        answer = await http.get(f"{RUNS}?{query}")
        assert answer.status_code == 200, answer.text
        return [each["run_id"] for each in answer.json()["items"]]

    assert await found("state=CANCELLED&state=FAILED") == [second, first]
    assert await found("state=CANCELLED&state=RUNNING&sort=created_at") == [first, second, third]
    assert await found("sort=-finished_at") == [first, second, third]
    assert await found("sort=finished_at&state=CANCELLED&state=CANCELLED") == [second, first]
    assert await found(f"text={third}") == [third]
    assert await found("text=CHAIN&workflow_id=chain&sort=created_at") == [first, second, third]
    made = [(await http.get(f"{RUNS}/{run_id}")).json()["created_at"] for run_id in (second, third)]
    # as shown, to the millisecond: no later than they are
    later = f"{made[0][:-1]}+00:00".replace("+", "%2B")
    assert set(await found(f"created_from={later}")) >= {second, third}
    assert await found(f"created_to={made[0][:4]}-01-01T00:00:00Z") == []
    page = (await http.get(f"{RUNS}?sort=finished_at&limit=1")).json()
    rest = (await http.get(RUNS, params={"sort": "finished_at", "cursor": page["next_cursor"]})).json()
    assert [each["run_id"] for each in page["items"] + rest["items"]] == [second, first, third]
    [waiting] = [each for each in rest["items"] if each["run_id"] == third]
    assert (waiting["waited_ms"], waiting["ran_ms"], waiting["duration_ms"]) == (None, None, None)
    refused = await http.get(RUNS, params={"cursor": page["next_cursor"]})
    assert (refused.status_code, fields(refused)) == (422, ["query.cursor"])
    korean = await http.get(RUNS, params={"created_from": "1"}, headers={"Accept-Language": "ko"})
    assert "ISO 8601" in korean.json()["errors"][0]["reason"]
    assert korean.json()["errors"][0]["reason"].startswith("시차")


async def test_runs_are_summed_up(http: httpx.AsyncClient, idle_house: House) -> None:
    idle_house.work()
    run_id = await start(http, idle_house, chain(2))
    run = await idle_house.finished(run_id)
    other = await start(http, idle_house, replace(chain(1), workflow_id="other"))
    await idle_house.finished(other)
    answer = await http.get(f"{RUNS}/statistics?time_zone=Asia/Seoul")
    found = RunStatistics.model_validate_json(answer.content)
    assert (found.total, found.success_rate, found.time_zone, found.truncated) == (2, 1.0, "Asia/Seoul", False)
    assert len(found.days) in (30, 31, 32)
    assert sum(day.total for day in found.days) == 2
    [of_type] = found.task_types
    assert (of_type.type, of_type.total, of_type.states["SUCCESS"]) == ("test.increment", 3, 3)
    [chained] = [each for each in found.workflows if each.workflow_id == "chain"]
    shown = (await http.get(f"{RUNS}/{run_id}")).json()
    assert chained.duration_ms_p50 == chained.duration_ms_p95 == shown["duration_ms"]
    assert shown["waited_ms"] is not None
    assert run["state"] == "SUCCESS"
    alone = (await http.get(f"{RUNS}/statistics?workflow_id=other")).json()
    assert (alone["total"], [each["workflow_id"] for each in alone["workflows"]]) == (1, ["other"])


async def test_what_a_task_got_and_gave_is_shown(http: httpx.AsyncClient, idle_house: House) -> None:
    idle_house.work()
    run_id = await start(http, idle_house, chain(2), input={"n": 5})
    await idle_house.finished(run_id)
    shown = (await http.get("/v0/tasks/io-data", params={"task_run_id": f"{run_id}-1"})).json()
    [only] = shown.pop("attempts")
    assert (only["attempt"], only["state"], only["error"]) == (1, "SUCCESS", None)
    assert shown == {
        "task_run_id": f"{run_id}-1", "run_id": run_id, "input": {"n": 6}, "input_size": 7, "output": {"n": 7},
        "output_size": 7, "input_url": None, "output_url": None, "failed_attempts": [],
    }  # fmt: skip
    assert (await http.get("/v0/tasks/io-data", params={"task_run_id": f"{run_id}-9"})).status_code == 404


async def test_a_runs_log_is_read_forwards(http: httpx.AsyncClient, idle_house: House) -> None:
    run_id = await start(http, idle_house, chain(1))
    said = {"organization_id": ORGANIZATION, "run_id": run_id, "task_run_id": f"{run_id}-0", "attempt": 1}
    lines = [{"seq": n, "at": 1_800_000_000_000_000, "level": "info", "event": f"e{n}"} for n in range(3)]
    await idle_house.nc.publish("engine.log", orjson.dumps(said | {"lines": lines}))
    await until(idle_house.lines.run_once)
    page = (await http.get(f"{RUNS}/{run_id}/logs?limit=2")).json()
    assert [each["event"] for each in page["items"]] == ["e0", "e1"]
    rest = (await http.get(f"{RUNS}/{run_id}/logs", params={"cursor": page["next_cursor"]})).json()
    assert [each["event"] for each in rest["items"]] == ["e2"]
    assert rest["next_cursor"] is None
    of_another = await http.get(f"{RUNS}/{run_id}/logs", params={"task_run_id": f"{run_id}-1"})
    assert of_another.json()["items"] == []


async def test_who_saw_a_run_end_reads_its_last_lines(http: httpx.AsyncClient, idle_house: House) -> None:
    async def act(task: dict[str, Any]) -> dict[str, Any]:
        return {"output": {"n": 1}, "log_lines": 2}

    idle_house.worker.act = act
    idle_house.work()
    run_id = await start(http, idle_house, chain(2))
    await idle_house.finished(run_id)
    reading = asyncio.create_task(http.get(f"{RUNS}/{run_id}/logs"))
    said = {"organization_id": ORGANIZATION, "run_id": run_id, "attempt": 1}
    for index in (0, 1):
        lines = [{"at": 1, "level": "info", "event": f"{index}.{n}"} for n in (1, 2)]
        told = said | {"task_run_id": f"{run_id}-{index}", "lines": lines}
        await idle_house.nc.publish("engine.log", orjson.dumps(told))
        await until(idle_house.lines.run_once)
    assert [each["event"] for each in (await reading).json()["items"]] == ["0.1", "0.2", "1.1", "1.2"]


# --- steering --------------------------------------------------------------------------------------------------------


async def test_a_run_is_cancelled_and_an_ended_one_names_its_state(http: httpx.AsyncClient, idle_house: House) -> None:
    run_id = await start(http, idle_house, chain(2))
    for _ in range(2):
        answer = await http.post(f"{RUNS}/{run_id}/cancel")
        assert (answer.status_code, answer.json()) == (202, {"run_id": run_id, "state": "CANCELLED"})
    idle_house.work()
    ended = await start(http, idle_house, chain(1))
    await idle_house.finished(ended)
    refused = await http.post(f"{RUNS}/{ended}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "run_finished")
    assert "SUCCESS" in refused.json()["detail"]


async def test_a_run_is_paused_and_resumed_and_in_the_wrong_state_it_is_409(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    run_id = await start(http, idle_house, chain(2))
    not_paused = await http.post(f"{RUNS}/{run_id}/resume")
    assert (not_paused.status_code, not_paused.json()["code"]) == (409, "run_not_paused")
    assert "RUNNING" in not_paused.json()["detail"]
    assert (await http.post(f"{RUNS}/{run_id}/pause")).json()["state"] == "PAUSED"
    assert (await http.post(f"{RUNS}/{run_id}/pause")).status_code == 202
    assert (await http.post(f"{RUNS}/{run_id}/resume")).json()["state"] == "RUNNING"
    await http.post(f"{RUNS}/{run_id}/cancel")
    refused = await http.post(f"{RUNS}/{run_id}/pause")
    assert (refused.status_code, refused.json()["code"]) == (409, "run_not_running")
    assert "CANCELLED" in refused.json()["detail"]


async def test_an_ended_run_is_rerun_whole_from_a_task_or_from_its_failures(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    broken = {"t1"}

    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        failure = {"error": {"code": "broken", "message": "no", "retryable": False}}
        return failure if sent["key"] in broken else await idle_house.worker.increment(sent)

    idle_house.worker.act = act
    first = await start(http, idle_house, chain(3))
    running = await http.post(f"{RUNS}/{first}/rerun")
    assert (running.status_code, running.json()["code"]) == (409, "run_not_finished")
    idle_house.work()
    await idle_house.finished(first)
    broken.clear()
    for body, ran in (
        ({"mode": "failed"}, ["t1", "t2"]),
        ({"mode": "task", "from_task": "t2"}, ["t1", "t2"]),
        (None, ["t0", "t1", "t2"]),
        ({"mode": "failed", "version": "latest"}, ["t1", "t2"]),
    ):
        idle_house.worker.ran.clear()
        answer = await http.post(f"{RUNS}/{first}/rerun", json=body)
        assert answer.status_code == 202
        second = answer.json()["run_id"]
        assert answer.headers["location"] == f"{RUNS}/{second}"
        run = await idle_house.finished(second)
        assert (run["state"], run["rerun_of"], run["trigger"], run["cause"]) == ("SUCCESS", first, "rerun", "user-1")
        assert [each["key"] for each in idle_house.worker.ran] == ran
    unknown = await http.post(f"{RUNS}/{first}/rerun", json={"mode": "task", "from_task": "nobody"})
    assert (unknown.status_code, fields(unknown)) == (422, ["body.from_task"])


async def test_a_rerun_with_the_latest_version_runs_what_is_new_in_it(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    idle_house.work()
    first = await start(http, idle_house, chain(2))
    await idle_house.finished(first)
    grown = chain(2).jobs[0]
    new = task("added", "t1", parameters={"n": "${{ tasks.t1.output.n }}", "x": maybe("t0")})
    known(idle_house, replace(chain(2), version=2, jobs=(replace(grown, tasks=(*grown.tasks, new)),)))
    idle_house.worker.ran.clear()
    answer = await http.post(f"{RUNS}/{first}/rerun", json={"mode": "failed", "version": "latest"})
    run = await idle_house.finished(answer.json()["run_id"])
    assert (run["workflow_version"], run["state"]) == (2, "SUCCESS")
    assert [each["key"] for each in idle_house.worker.ran] == ["added"]


async def test_probes_and_metrics_are_there(http: httpx.AsyncClient, idle_house: House) -> None:
    await start(http, idle_house, chain(1))
    assert (await http.get("/readyz")).json() == {"status": "ready"}
    assert "engine_commits_total" in (await http.get("/metrics")).text
