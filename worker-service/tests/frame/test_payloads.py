"""Inputs and outputs too large for a message: kept apart before anybody is told of them, read before their task."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from kit.payloads import INLINE_LIMIT, PayloadStore

pytestmark = pytest.mark.anyio
StartWorker = Callable[..., Any]
LARGE = INLINE_LIMIT + 1
KINDS = ["test.use", "test.use_process"]


def store_of(worker: Any) -> PayloadStore:
    """As execution-service opens it."""
    return PayloadStore(worker.app.settings.data / "payloads")


def kept(worker: Any, said: dict[str, Any]) -> Any:
    """The output that a result says is kept apart."""
    assert "output" not in said, said["output"].keys()
    content = store_of(worker).get(said["output_ref"])
    assert len(content) == said["output_size"]
    return orjson.loads(content)


@contextlib.asynccontextmanager
async def being_read(path: Path) -> AsyncIterator[int]:
    """Waits for somebody to read a pipe, who then waits as long as this lasts; gives the end to write to."""
    pipe = None
    async with asyncio.timeout(20):
        while pipe is None:
            with contextlib.suppress(OSError):
                pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            await asyncio.sleep(0.01)
    try:
        yield pipe
    finally:
        os.close(pipe)


async def attempt(engine: Any, number: int) -> dict[str, Any]:
    found: dict[str, Any] = await engine.wait(
        lambda: next((said for said in engine.results if said["attempt"] == number), None)
    )
    return found


@pytest.mark.parametrize("type_name", KINDS)
async def test_a_large_output_is_kept_apart_and_the_result_says_where(
    engine: Any, start_worker: StartWorker, type_name: str
) -> None:
    worker = await start_worker()
    task = await engine.dispatch(type_name, {"bytes": 12_000_000})
    said = await engine.result(task)
    assert said["output_ref"].startswith("org1/run1/")
    assert len(kept(worker, said)["seen"]["filler"]) == 12_000_000
    await engine.until_acknowledged()
    small = await engine.result(await engine.dispatch(type_name, {"bytes": 200_000}))
    assert len(small["output"]["seen"]["filler"]) == 200_000
    assert "output_ref" not in small


@pytest.mark.parametrize("type_name", KINDS)
async def test_large_parameters_are_read_before_the_task_begins(
    engine: Any, start_worker: StartWorker, type_name: str
) -> None:
    worker = await start_worker()
    value = {"rows": [{"id": number, "name": f"상품 {number}"} for number in range(12_000)]}
    stored = store_of(worker).put("org1", "run1", orjson.dumps({"value": value}))
    assert stored.size > LARGE
    task = await engine.dispatch(type_name, parameters_ref=stored.reference)
    assert kept(worker, await engine.result(task))["seen"]["value"] == value
    wrong = store_of(worker).put("org1", "run1", orjson.dumps({"values": "x" * LARGE}))
    task = await engine.dispatch(type_name, parameters_ref=wrong.reference)
    error = (await engine.result(task))["error"]
    assert (error["code"], error["details"]["field"]) == ("invalid_parameters", "values")


async def test_a_payload_that_is_not_there_fails_the_task_until_it_is(engine: Any, start_worker: StartWorker) -> None:
    worker = await start_worker()
    store = store_of(worker)
    foreign = store.put("org2", "run1", b'{"n": 1}')
    broken = store.put("org1", "run1", b'{"n": 2}')
    path = worker.app.settings.data / "payloads" / f"{broken.reference}.json"
    path.write_bytes(b'{"n": 3}')
    for reference in (f"org1/run1/{'0' * 64}", "../../etc/passwd", foreign.reference, broken.reference):
        task = await engine.dispatch("test.increment", parameters_ref=reference)
        said = await engine.result(task)
        assert (said["error"]["code"], said["error"]["retryable"]) == ("payload_missing", True), reference
    await engine.until_acknowledged()
    path.write_bytes(b'{"n": 2}')
    await engine.dispatch("test.increment", task_run_id=task, attempt=2, parameters_ref=broken.reference)
    assert (await attempt(engine, 2))["output"] == {"n": 3}


async def test_a_task_is_cancelled_while_its_parameters_are_read(engine: Any, start_worker: StartWorker) -> None:
    worker = await start_worker(worker_slots=1)
    reference = f"org1/run1/{'1' * 64}"
    path = worker.app.settings.data / "payloads" / f"{reference}.json"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    task = await engine.dispatch("test.increment", parameters_ref=reference)
    async with being_read(path):
        assert worker.runtime._places() == 0
        await engine.client.publish("worker.cancel", orjson.dumps({"task_run_id": task, "attempt": 1}))
        assert (await engine.result(task))["cancelled"] is True
    assert (await engine.result(await engine.dispatch("test.increment", {"n": 1})))["output"] == {"n": 2}
    await engine.until_acknowledged()
    assert len(engine.results) == 2


async def test_a_worker_that_stops_gives_back_what_it_is_reading(engine: Any, start_worker: StartWorker) -> None:
    worker = await start_worker(drain_s=300)
    reference = store_of(worker).put("org1", "run1", b'{"n": 7}').reference
    path = worker.app.settings.data / "payloads" / f"{reference}.json"
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    task = await engine.dispatch("test.increment", parameters_ref=reference)
    async with being_read(path) as pipe:
        # far before what runs would have had its time
        async with asyncio.timeout(30):
            await worker.close()
        os.write(pipe, content)
    assert engine.results == []
    path.unlink()
    path.write_bytes(content)
    await start_worker()
    said = await engine.result(task)
    assert (said["output"], said["delivery"]) == ({"n": 8}, 2)


def unusable(data: Path) -> Path:
    """Makes the store refuse whatever is put there, as a full disk does."""
    folder = data / "payloads"
    folder.write_bytes(b"")
    return folder


async def test_an_output_that_cannot_be_stored_fails_its_attempt_alone(engine: Any, start_worker: StartWorker) -> None:
    worker = await start_worker()
    folder = unusable(worker.app.settings.data)
    task = await engine.dispatch("test.use", {"bytes": LARGE})
    said = await engine.result(task)
    assert (said["error"]["code"], said["error"]["retryable"]) == ("output_not_stored", True)
    assert "Not a directory" in said["error"]["message"]
    assert "output_ref" not in said
    await engine.until_acknowledged()
    folder.unlink()
    again = await engine.dispatch("test.use", {"bytes": LARGE})
    assert len(kept(worker, await engine.result(again))["seen"]["filler"]) == LARGE


async def test_the_ledger_answers_a_large_output_without_doing_it_again(engine: Any, start_worker: StartWorker) -> None:
    worker = await start_worker()
    worker.app.types["test.use"] = replace(worker.app.types["test.use"], effect=True)
    task = await engine.dispatch("test.use", {"bytes": LARGE})
    first = await engine.result(task)
    await engine.until_acknowledged()
    # run again, it would meet the state that it left
    await engine.dispatch("test.use", {"bytes": LARGE}, task_run_id=task, attempt=2)
    again = await attempt(engine, 2)
    assert (again["output_ref"], again["output_size"]) == (first["output_ref"], first["output_size"])
    assert len(kept(worker, again)["seen"]["filler"]) == LARGE
    (worker.app.settings.data / "payloads" / f"{first['output_ref']}.json").unlink()
    await engine.dispatch("test.use", {"bytes": LARGE}, task_run_id=task, attempt=3)
    error = (await attempt(engine, 3))["error"]
    assert (error["code"], error["retryable"]) == ("payload_missing", True)


async def test_an_effects_output_waits_for_a_store_that_is_away(engine: Any, start_worker: StartWorker) -> None:
    worker = await start_worker()
    worker.app.types["test.use"] = replace(worker.app.types["test.use"], effect=True)
    folder = unusable(worker.app.settings.data)
    task = await engine.dispatch("test.use", {"bytes": LARGE})
    # it has written its line, and is still running when 50 ms have passed
    await engine.wait(lambda: engine.lines and engine.started)
    folder.unlink()
    seen = kept(worker, await engine.result(task))["seen"]
    assert (len(seen["filler"]), seen["version"]) == (LARGE, 1)
    await engine.until_acknowledged()
