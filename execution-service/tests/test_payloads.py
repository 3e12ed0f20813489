"""Inputs and outputs too large for a row or a message, on both databases: kept apart, and read like any other."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import sqlalchemy as sa
from edge_house import open_http
from engine_house import ORGANIZATION, PAYLOADS, Definitions, House, chain, now, open_house, until

from execution_service.app import Again, rerun
from execution_service.domain.definition import Definition, JobSpec, TaskSpec
from execution_service.domain.events import Finished, Remind
from execution_service.storage import history, tables
from execution_service.storage import runs as stored
from kit.database import Database
from kit.ids import new_id
from kit.payloads import INLINE_LIMIT, PAYLOAD_LIMIT, PayloadMissing, Stored

LARGE = "x" * (INLINE_LIMIT + 1)
IO = "/v0/tasks/io-data"


def two() -> Definition:
    """What the first makes, the second is given whole."""
    first = TaskSpec("a", "test.increment", parameters={"n": 1})
    given = {"n": 1, "a": "${{ tasks.a.output }}"}
    second = TaskSpec("b", "test.increment", parameters=given, depends_on=("a",))
    return Definition(ORGANIZATION, "two", 1, "Two", (JobSpec("main", (first, second)),))


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with open_http(house) as client:
        yield client


def by_reference(house: House, output: Any) -> Any:
    """A worker's `act` that keeps the first task's output apart, and remembers what it was given."""

    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        if "parameters_ref" in sent:
            sent["parameters"] = orjson.loads(PAYLOADS.get(sent["parameters_ref"]))
        if sent["key"] != "a":
            return await house.worker.increment(sent)
        kept = PAYLOADS.put(sent["organization_id"], sent["run_id"], orjson.dumps(output))
        return {"output_ref": kept.reference, "output_size": kept.size}

    return act


def bodies(database: Database, run_id: str) -> dict[str, tuple[int, bool]]:
    """By task and direction, how long the row's body is, and whether it names another place."""
    data = tables.task_io_data.c
    with database.read() as connection:
        rows = connection.execute(sa.select(data).where(data.workflow_run_id == run_id)).all()
    return {row.task_io_data_id.rpartition("-")[2]: (len(row.body), row.reference is not None) for row in rows}


async def test_a_large_output_reaches_the_next_task_and_no_row_or_message_holds_it(
    http: httpx.AsyncClient, house: House
) -> None:
    house.worker.act = by_reference(house, {"text": LARGE})
    run_id = await house.start(two())
    assert (await house.finished(run_id))["state"] == "SUCCESS"
    assert house.worker.ran[1]["parameters"]["a"] == {"text": LARGE}
    assert bodies(house.database, run_id) == {
        "0.in": (7, False), "0.out": (0, True), "1.in": (0, True), "1.out": (7, False),
    }  # fmt: skip
    shown = (await http.get(IO, params={"task_run_id": f"{run_id}-0"})).json()
    assert (shown["output"], shown["input"], shown["input_url"]) == (None, {"n": 1}, None)
    assert shown["output_size"] == len(LARGE) + 11
    content = await http.get(shown["output_url"])
    assert content.json() == {"text": LARGE}
    assert content.headers["content-type"] == "application/json"
    small = await http.get(f"{IO}/content", params={"task_run_id": f"{run_id}-1", "direction": "output"})
    assert small.json() == {"n": 2}
    for query in ({"task_run_id": "x-0", "direction": "input"}, {"task_run_id": f"{run_id}-9", "direction": "output"}):
        assert (await http.get(f"{IO}/content", params=query)).status_code == 404
    assert (await http.get(f"{IO}/content", params={"task_run_id": "x-0", "direction": "up"})).status_code == 422
    PAYLOADS.purge(ORGANIZATION, run_id)
    assert (await http.get(shown["output_url"])).status_code == 404


async def test_an_engine_that_knows_nothing_of_the_run_reads_what_was_kept_apart(
    database: Database, nats_url: str, definitions: tuple[Definitions, str], anyio_backend: str
) -> None:
    async with open_house(database, nats_url, definitions) as first:
        run_id = await first.start(two())
        kept = PAYLOADS.put(ORGANIZATION, run_id, orjson.dumps(LARGE))
        await first.tell(run_id, Finished(now(), 0, 1, stored=kept))
    async with open_house(database, nats_url, definitions) as second:
        run = stored.load_run(database, run_id, second.execution.engine.plan)
        assert run is not None
        assert isinstance(stored.find_payloads(database, run, [1], "in")[1], Stored)
        assert stored.load_payloads(database, run, [0], "out", PAYLOADS) == {0: orjson.dumps(LARGE)}
        # the second task's message is made anew of what the row says
        second.worker.act = by_reference(second, None)
        second.work()
        await second.tell(run_id, Remind(now()))
        assert (await second.finished(run_id))["state"] == "SUCCESS"
        [given] = [each["parameters"] for each in second.worker.ran if each["key"] == "b"]
        assert given["a"] == LARGE


async def test_a_rerun_reuses_a_large_output_without_copying_it(house: House) -> None:
    house.worker.act = by_reference(house, LARGE)
    first = await house.start(two())
    await house.finished(first)
    house.worker.ran.clear()
    second, _ = await rerun(house.execution, ORGANIZATION, first, Again(from_task="b"))
    assert (await house.finished(second))["state"] == "SUCCESS"
    assert [each["key"] for each in house.worker.ran] == ["b"]
    assert house.worker.ran[0]["parameters"]["a"] == LARGE
    assert bodies(house.database, second)["0.out"] == (0, True)
    reference = history.find_io(house.database, ORGANIZATION, f"{second}-0", "out")
    assert reference == history.find_io(house.database, ORGANIZATION, f"{first}-0", "out")


async def test_the_outputs_of_many_items_together_may_be_large(house: House) -> None:
    each = TaskSpec("a", "test.increment", parameters={"n": "${{ item }}"}, for_each="${{ run.input.list }}")
    after = TaskSpec("b", "test.increment", parameters={"n": 1, "a": "${{ tasks.a.output }}"}, depends_on=("a",))
    definition = Definition(ORGANIZATION, "items", 1, "Items", (JobSpec("main", (each, after)),))

    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        return {"output": "y" * 100_000} if sent["key"] == "a" else await by_reference(house, None)(sent)

    house.worker.act = act
    run_id = await house.start(definition, {"list": [1, 2, 3]})
    assert (await house.finished(run_id))["state"] == "SUCCESS"
    assert bodies(house.database, run_id)["0.out"] == (0, True)
    assert house.worker.ran[-1]["parameters"]["a"] == ["y" * 100_000] * 3


async def test_what_comes_after_its_run_was_purged_leaves_no_file(idle_house: House) -> None:
    def result(kept: Stored) -> bytes:
        return orjson.dumps({
            "task_run_id": f"{kept.run_id}-0", "attempt": 1, "worker": "w",
            "output_ref": kept.reference, "output_size": kept.size,
        })  # fmt: skip

    gone, lives = new_id(), await idle_house.start(two())
    late, due = (PAYLOADS.put(ORGANIZATION, run_id, orjson.dumps(LARGE)) for run_id in (gone, lives))
    for kept in (late, due):
        answer = await idle_house.nc.request("engine.result", result(kept), timeout=20)
        assert orjson.loads(answer.data) == {"ok": True}

    def missing() -> bool:
        try:
            PAYLOADS.get(late.reference)
        except PayloadMissing:
            return True
        return False

    await until(missing)
    assert orjson.loads(PAYLOADS.get(due.reference)) == LARGE


async def test_more_than_the_limit_fails_its_task(idle_house: House) -> None:
    run_id = await idle_house.start(chain(1))
    size = PAYLOAD_LIMIT + 1
    run = await idle_house.tell(
        run_id, Finished(now(), 0, 1, stored=Stored(f"{ORGANIZATION}/{run_id}/{'0' * 64}", size))
    )
    failure = run.task(0).failure
    assert failure is not None
    assert failure.code == "output_too_large"


async def test_an_output_that_is_not_there_ends_its_run_alone(house: House) -> None:
    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        if sent["workflow_id"] != "two":
            return await house.worker.increment(sent)
        return {"output_ref": f"{ORGANIZATION}/{sent['run_id']}/{'0' * 64}", "output_size": 300_000}

    house.worker.act = act
    broken, sound = await house.start(two()), await house.start(chain(3))
    assert (await house.finished(sound))["state"] == "SUCCESS"
    ended = await house.finished(broken)
    assert (ended["state"], ended["error"]["code"]) == ("FAILED", "internal")


async def test_an_output_of_another_run_is_no_result(house: House) -> None:
    run_id = await house.start(chain(1))
    await house.finished(run_id)
    body = {"task_run_id": f"{run_id}-0", "run_id": run_id, "attempt": 1, "output_size": 3}
    for reference in (f"{ORGANIZATION}/other/{'0' * 64}", "../../etc/passwd", 7, ""):
        answer = await house.nc.request("engine.result", orjson.dumps({**body, "output_ref": reference}), timeout=5)
        assert orjson.loads(answer.data) == {"ok": True, "malformed": True}
