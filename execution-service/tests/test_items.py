"""Tasks that run over a list, with a real broker and a real database: what is recorded, shown, and run again."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from edge_house import open_http
from engine_house import ORGANIZATION, Definitions, House, chain, now, open_house, until

from execution_service.app import Again, rerun
from execution_service.domain.definition import Definition, JobSpec, TaskSpec
from execution_service.domain.events import Finished
from execution_service.domain.plan import MOST_PARALLEL
from execution_service.domain.run import items_of
from execution_service.storage import history
from execution_service.storage import runs as stored
from execution_service.storage.log import save_log
from kit.database import Database
from kit.errors import Conflict, Invalid

RUNS = "/v0/workflow-runs"
BROKEN = {"error": {"code": "broken", "message": "it broke", "retryable": False}}


def fan_out(items: Any = "${{ run.input.list }}", version: int = 1, **said: Any) -> Definition:
    """A list, each of its items plus one, then what was made of them."""
    each = TaskSpec("each", "test.increment", parameters={"n": "${{ item.n }}"}, for_each=items, **said)
    reading = {"n": "${{ tasks.each.output[0].n }}", "all": "${{ tasks.each.output }}"}
    after = TaskSpec("after", "test.increment", parameters=reading, depends_on=("each",))
    return Definition(ORGANIZATION, "fan_out", version, "Fan out", (JobSpec("main", (each, after)),))


def numbers(count: int) -> dict[str, Any]:
    return {"list": [{"n": n} for n in range(count)]}


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with open_http(house) as client:
        yield client


async def test_a_list_is_worked_through_and_shown_item_by_item(http: httpx.AsyncClient, house: House) -> None:
    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        return BROKEN if sent["parameters"]["n"] == 4 else await house.worker.increment(sent)

    house.worker.act = act
    run_id = await house.start(fan_out(max_parallel=3), numbers(7))
    assert (await house.finished(run_id))["state"] == "FAILED"
    shown = (await http.get(f"{RUNS}/{run_id}")).json()["jobs"][0]["tasks"]
    assert [each["key"] for each in shown] == ["each", "after"]
    assert shown[0]["items"] == {"total": 7, "succeeded": 6, "failed": 1, "open": 0}
    assert shown[0]["error"]["code"] == "items_failed"
    assert shown[1]["items"] is None
    path = f"{RUNS}/{run_id}/tasks/{shown[0]['task_run_id']}/items"
    first = (await http.get(path, params={"limit": 5})).json()
    rest = (await http.get(path, params={"limit": 5, "cursor": first["next_cursor"]})).json()
    assert [each["item"] for each in first["items"] + rest["items"]] == list(range(7))
    assert rest["next_cursor"] is None
    [failed] = (await http.get(path, params={"state": "FAILED"})).json()["items"]
    assert (failed["item"], failed["key"], failed["error"]["code"]) == (4, "each", "broken")
    io = (await http.get("/v0/tasks/io-data", params={"task_run_id": failed["task_run_id"]})).json()
    assert (io["input"], io["output"]) == ({"n": 4}, None)
    assert (await http.get(f"{RUNS}/{run_id}/tasks/{shown[1]['task_run_id']}/items")).json()["items"] == []
    for unknown in (f"{run_id}-9", f"{run_id}-100000", "x-0"):
        assert (await http.get(f"{RUNS}/{run_id}/tasks/{unknown}/items")).status_code == 404, unknown
    for name, value in (("cursor", "!"), ("from_item", -1), ("from_item", 10_000), ("from_item", "x")):
        bad = await http.get(path, params={name: value})
        assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, f"query.{name}")


async def test_a_page_begins_at_the_item_that_is_asked_for(http: httpx.AsyncClient, house: House) -> None:
    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        return BROKEN if sent["parameters"]["n"] in (1, 5) else await house.worker.increment(sent)

    house.worker.act = act
    run_id = await house.start(fan_out(), numbers(7))
    await house.finished(run_id)

    async def page(**params: Any) -> tuple[list[int], str | None]:
        found = (await http.get(f"{RUNS}/{run_id}/tasks/{run_id}-0/items", params=params)).json()
        return [each["item"] for each in found["items"]], found["next_cursor"]

    assert await page(from_item=0) == (list(range(7)), None)
    first, cursor = await page(from_item=2, limit=3)
    assert first == [2, 3, 4]
    # a cursor goes on from there, with or without where it began
    assert await page(cursor=cursor) == await page(cursor=cursor, from_item=2) == ([5, 6], None)
    assert await page(from_item=2, state="FAILED") == ([5], None)
    assert await page(from_item=6) == ([6], None)
    assert await page(from_item=7) == await page(from_item=9_999) == ([], None)


async def test_log_lines_name_their_item_when_read_and_when_followed(http: httpx.AsyncClient, house: House) -> None:
    run_id = await house.start(fan_out(), numbers(3))
    await house.finished(run_id)
    items = (await http.get(f"{RUNS}/{run_id}/tasks/{run_id}-0/items")).json()["items"]
    wrote = [each["task_run_id"] for each in items] + [f"{run_id}-1", "no task run", f"{run_id}-", None]
    common = {
        "workflow_run_id": run_id, "organization_id": ORGANIZATION, "attempt": 1, "worker": "w", "at": now(),
        "level": "info", "event": "said", "fields": "{}",
    }  # fmt: skip
    save_log(house.database, [{**common, "task_run_id": each} for each in wrote])
    lines = (await http.get(f"{RUNS}/{run_id}/logs")).json()["items"]
    assert [each["task_run_id"] for each in lines] == wrote
    assert [each["item"] for each in lines] == [0, 1, 2, None, None, None, None]
    assert [each["parent_task_run_id"] for each in lines] == [f"{run_id}-0"] * 3 + [None] * 4
    async with http.stream("GET", f"{RUNS}/{run_id}/events", timeout=30) as answer:
        told = [line.partition(": ")[2] async for line in answer.aiter_lines() if line.startswith("data: ")]
    assert orjson.loads(told[-1])["items"] == lines


async def test_the_outputs_come_back_in_order_from_more_items_than_are_open_at_a_time(house: House) -> None:
    count = MOST_PARALLEL + 70
    run_id = await house.start(fan_out(), numbers(count))
    shown = await house.finished(run_id, 60)
    assert shown["state"] == "SUCCESS"
    assert shown["jobs"][0]["tasks"][0]["items"]["succeeded"] == count
    output = history.read_io(house.database, ORGANIZATION, f"{run_id}-0")["output"]
    assert [each["n"] for each in output] == [n + 1 for n in range(count)]
    assert len({each["task_run_id"] for each in house.worker.ran}) == count + 1


async def test_an_engine_that_knows_nothing_of_the_run_goes_on_with_it(
    database: Database, nats_url: str, definitions: tuple[Definitions, str], anyio_backend: str
) -> None:
    def ended(item: int) -> Finished:
        return Finished(now(), items_of(0, 6)[item], 1, output=orjson.dumps(item), worker="test")

    async with open_house(database, nats_url, definitions) as first:
        run_id = await first.start(fan_out(max_parallel=2), numbers(6))
        for item in (1, 0, 2):
            await first.tell(run_id, ended(item))
    async with open_house(database, nats_url, definitions) as second:
        # the list itself is read from its row, and at the end the outputs from theirs
        for item in (4, 3):
            run = await second.tell(run_id, ended(item))
            assert sum(not task.state.terminal for task in run.items.values()) <= 2
        assert (await second.tell(run_id, ended(5))).task(0).state == "SUCCESS"
        assert history.read_io(database, ORGANIZATION, f"{run_id}-0")["output"] == [0, 1, 2, 3, 4, 5]


async def test_a_rerun_of_what_failed_runs_only_the_failed_items(house: House) -> None:
    failing = {2, 5}

    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        return BROKEN if sent["parameters"]["n"] in failing else await house.worker.increment(sent)

    house.worker.act = act
    first = await house.start(fan_out(), numbers(8))
    assert (await house.finished(first))["state"] == "FAILED"
    failing.clear()
    house.worker.ran.clear()
    second, _ = await rerun(house.execution, ORGANIZATION, first, Again(failed=True))
    shown = await house.finished(second)
    assert shown["state"] == "SUCCESS"
    assert sorted(each["parameters"]["n"] for each in house.worker.ran if each["key"] == "each") == [2, 5]
    output = history.read_io(house.database, ORGANIZATION, f"{second}-0")["output"]
    assert output == [{"n": n + 1} for n in range(8)]


async def test_one_item_alone_runs_again(http: httpx.AsyncClient, house: House) -> None:
    first = await house.start(fan_out(), numbers(4))
    await house.finished(first)

    async def twice(sent: dict[str, Any]) -> dict[str, Any]:
        return {"output": {"n": sent["parameters"]["n"] * 2}}

    house.worker.act = twice
    house.worker.ran.clear()
    answer = await http.post(f"{RUNS}/{first}/rerun", json={"mode": "item", "task": "each", "item": 3})
    assert answer.status_code == 202
    second = answer.json()["run_id"]
    shown = await house.finished(second)
    assert (shown["state"], [each["key"] for each in house.worker.ran]) == ("SUCCESS", ["each"])
    assert history.read_io(house.database, ORGANIZATION, f"{second}-0")["output"] == [
        {"n": 1}, {"n": 2}, {"n": 3}, {"n": 6},
    ]  # fmt: skip
    # what follows was not asked for: it has what it had
    assert history.read_io(house.database, ORGANIZATION, f"{second}-1")["output"] == {"n": 2}


async def test_an_item_that_is_not_there_cannot_run_again(house: House) -> None:
    first = await house.start(fan_out(), numbers(2))
    await house.finished(first)
    for again in (Again(tasks=("each",), item=2), Again(tasks=("after",), item=0), Again(tasks=("nothing",), item=0)):
        with pytest.raises(Invalid):
            await rerun(house.execution, ORGANIZATION, first, again)
    house.definitions.known["fan_out"] = fan_out(version=2)
    with pytest.raises(Conflict) as refused:
        await rerun(house.execution, ORGANIZATION, first, Again(tasks=("each",), item=0, latest=True))
    assert refused.value.code == "items_of_another_version"
    # of what failed, items of another version's list are not reused either
    house.worker.ran.clear()
    second, _ = await rerun(house.execution, ORGANIZATION, first, Again(failed=True, latest=True))
    assert (await house.finished(second))["state"] == "SUCCESS"


async def test_a_cancel_ends_all_items(idle_house: House) -> None:
    house = idle_house
    run_id = await house.start(fan_out(max_parallel=5), numbers(9))
    await until(lambda: house.held_by_broker())
    async with open_http(house) as http:
        assert (await http.post(f"{RUNS}/{run_id}/cancel")).status_code == 202
    assert (await house.finished(run_id))["state"] == "CANCELLED"
    run = stored.load_run(house.database, run_id, house.execution.engine.plan)
    assert run is not None
    assert {str(each.state) for _, each in run.everything()} == {"CANCELLED"}
    assert len(run.items) == 5


async def test_ordinary_tasks_have_no_items(house: House) -> None:
    run_id = await house.start(chain(1))
    shown = await house.finished(run_id)
    assert shown["jobs"][0]["tasks"][0]["items"] is None
    assert orjson.loads(orjson.dumps(shown))["jobs"][0]["state"] == "SUCCESS"
