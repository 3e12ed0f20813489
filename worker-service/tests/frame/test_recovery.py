"""Workers and brokers that die: what was accepted runs again in time, and an effect happens once."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
import orjson
import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.process]
StartWorker = Callable[..., Any]


class Broker:
    """A nats-server that can be killed, started again, and robbed of its storage."""

    def __init__(self, program: str, port: int, folder: Path) -> None:
        self.url = f"nats://127.0.0.1:{port}"
        self.folder = folder
        self._command = [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


@pytest.fixture
def broker(nats_program: str, tmp_path: Path) -> Iterator[Broker]:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = Broker(nats_program, port, tmp_path / "broker")
    yield started
    started.kill()


@pytest.fixture
def nats_url(broker: Broker) -> str:
    return broker.url


class Process:
    """worker-service as it is deployed."""

    def __init__(self, data: Path, url: str, replica: str) -> None:
        settings = {"DATA": str(data), "NATS_URL": url, "TEST_TASKS": "1", "REPLICA": replica, "LANGUAGE": "en"}
        env = {f"FLOWWEAVER_{name}": value for name, value in settings.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker_service"], env={**os.environ, **env}, stdout=subprocess.DEVNULL
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
async def worker_process(nats_url: str, tmp_path: Path) -> AsyncIterator[Callable[[str], Process]]:
    processes: list[Process] = []

    def start(replica: str) -> Process:
        processes.append(Process(tmp_path / "data", nats_url, replica))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


async def test_a_killed_workers_task_runs_on_another_within_15_seconds(
    engine: Any, worker_process: Callable[[str], Process], tmp_path: Path
) -> None:
    trace = tmp_path / "ran"
    first = worker_process("0")
    task = await engine.dispatch("test.effect", {"path": str(trace), "seconds": 4})
    await engine.wait(lambda: engine.started, 60)
    second = worker_process("1")
    probe = await engine.dispatch("test.increment", {})
    await engine.result(probe, 60)
    assert second.process.poll() is None
    first.kill()
    began = time.monotonic()
    await engine.wait(lambda: len(engine.started) >= 2, 30)
    assert time.monotonic() - began < 15
    said = await engine.result(task)
    assert said["delivery"] == 2
    assert len(trace.read_text().splitlines()) == 1
    await engine.until_acknowledged()


async def test_a_task_slot_dies_with_its_killed_worker(engine: Any, worker_process: Callable[[str], Process]) -> None:
    worker = worker_process("0")
    await engine.dispatch("test.compute", {"seconds": 600, "stubborn": True})
    await engine.wait(lambda: engine.started, 60)
    listed = await asyncio.to_thread(_children, worker.process.pid)
    assert listed
    worker.kill()
    async with asyncio.timeout(5):
        while any(_alive(pid) for pid in listed):
            await asyncio.sleep(0.02)


async def test_a_deployed_worker_drains_on_sigterm(engine: Any, worker_process: Callable[[str], Process]) -> None:
    worker = worker_process("0")
    task = await engine.dispatch("test.sleep", {"seconds": 1})
    await engine.wait(lambda: engine.started, 60)
    worker.process.send_signal(signal.SIGTERM)
    assert (await engine.result(task))["output"] == {"slept": 1.0}
    assert await asyncio.to_thread(worker.process.wait, 15) == 0


async def test_the_third_delivery_is_not_run_but_reported_lost(
    engine: Any, start_worker: StartWorker, tmp_path: Path
) -> None:
    trace = tmp_path / "ran"
    task = await engine.dispatch("test.effect", {"path": str(trace)})
    js = engine.client.jetstream()
    from nats.js.api import ConsumerConfig

    from worker_service.pull import ACK_WAIT_S, MAX_ACK_PENDING

    config = ConsumerConfig(
        durable_name="worker-default",
        filter_subject="tasks.default.>",
        ack_wait=ACK_WAIT_S,
        max_deliver=-1,
        max_ack_pending=MAX_ACK_PENDING,
    )
    await js.add_consumer("TASKS", config)
    taken = await js.pull_subscribe_bind("worker-default", "TASKS")
    for _ in range(2):
        (message,) = await taken.fetch(1, timeout=5)
        await message.nak()
    await taken.unsubscribe()
    await start_worker()
    said = await engine.result(task)
    assert (said["error"]["code"], said["error"]["retryable"], said["delivery"]) == ("worker_lost", True, 3)
    assert not trace.exists()
    await engine.until_acknowledged()


async def test_tasks_go_on_after_the_broker_was_killed(engine: Any, start_worker: StartWorker, broker: Broker) -> None:
    await start_worker()
    running = await engine.dispatch("test.sleep", {"seconds": 2})
    await engine.wait(lambda: engine.started)
    broker.kill()
    broker.start()
    began = time.monotonic()
    assert (await engine.result(running, 30))["output"] == {"slept": 2.0}
    task = await _dispatch_again(engine)
    assert (await engine.result(task))["output"] == {"n": 2}
    assert time.monotonic() - began < 15
    await engine.until_acknowledged()


@pytest.mark.parametrize("delete_while_up", [True, False])
async def test_tasks_go_on_after_the_brokers_folder_was_deleted(
    engine: Any, start_worker: StartWorker, broker: Broker, delete_while_up: bool
) -> None:
    await start_worker()
    await engine.result(await engine.dispatch("test.increment", {"n": 1}))
    if delete_while_up:
        shutil.rmtree(broker.folder)
        broker.kill()
    else:
        broker.kill()
        shutil.rmtree(broker.folder)
    broker.start()
    began = time.monotonic()
    # the worker declares the stream itself: nobody else does here
    task = await _dispatch_again(engine)
    assert (await engine.result(task))["output"] == {"n": 2}
    assert time.monotonic() - began < 15


async def test_what_a_wiped_broker_forgot_is_not_acknowledged_in_its_new_stream(
    engine: Any, start_worker: StartWorker, broker: Broker
) -> None:
    await start_worker()
    old = await engine.dispatch("test.sleep", {"seconds": 8})
    await engine.wait(lambda: engine.started)
    broker.kill()
    shutil.rmtree(broker.folder)
    broker.start()
    # it has the number in the new stream that the other had in the old one
    new = await _dispatch_again(engine, "test.sleep", {"seconds": 600})
    await engine.wait(lambda: any(said["task_run_id"] == new for said in engine.started))
    assert engine.results == []
    await engine.result(old)
    await engine.result(await engine.dispatch("test.increment"))
    async with asyncio.timeout(5):
        while await engine.pending() > 1:
            await asyncio.sleep(0.01)
    assert await engine.pending() == 1


async def test_a_stream_that_was_deleted_is_declared_again_within_seconds(
    engine: Any, start_worker: StartWorker
) -> None:
    await start_worker()
    await engine.client.jetstream().delete_stream("TASKS")
    began = time.monotonic()
    task = await _dispatch_again(engine)
    assert (await engine.result(task))["output"] == {"n": 2}
    assert time.monotonic() - began < 10


async def test_an_effect_that_was_done_before_its_worker_died_is_answered_not_repeated(
    engine: Any, start_worker: StartWorker, tmp_path: Path
) -> None:
    trace = tmp_path / "ran"
    first = await start_worker(claim_expires_s=1)
    task = await engine.dispatch("test.effect", {"path": str(trace), "n": 5})
    await engine.result(task)
    await engine.until_acknowledged()
    await first.close()
    await start_worker(claim_expires_s=1)
    engine.results.clear()
    # as after a result that was lost with its worker: the same attempt, then another
    for attempt in (1, 2):
        await engine.dispatch("test.effect", {"path": str(trace), "n": 5}, task_run_id=task, attempt=attempt)
        said = await engine.wait(
            lambda attempt=attempt: next((r for r in engine.results if r["attempt"] == attempt), None)
        )
        assert said["output"] == {"n": 5}
    assert len(trace.read_text().splitlines()) == 1


async def test_an_effect_in_a_process_is_done_once_too(engine: Any, start_worker: StartWorker) -> None:
    worker = await start_worker()
    worker.app.types["test.compute"] = replace(worker.app.types["test.compute"], effect=True)
    task = await engine.dispatch("test.compute", {"seconds": 0.2})
    first = await engine.result(task)
    await engine.until_acknowledged()
    await engine.dispatch("test.compute", {"seconds": 600}, task_run_id=task, attempt=2)
    again = await engine.wait(lambda: next((r for r in engine.results if r["attempt"] == 2), None))
    assert again["output"] == first["output"]
    lost = await engine.dispatch("test.compute", {"exit_status": 1})
    assert (await engine.result(lost))["error"]["code"] == "worker_lost"
    await engine.dispatch("test.compute", {}, task_run_id=lost, attempt=2)
    again = await engine.wait(lambda: next((r for r in engine.results if r["attempt"] == 2 and "output" in r), None))
    assert again["output"]["pid"] > 0


async def test_an_effect_that_failed_or_was_cancelled_may_be_tried_again(
    engine: Any, start_worker: StartWorker, tmp_path: Path
) -> None:
    trace = tmp_path / "ran"
    await start_worker()
    task = await engine.dispatch("test.effect", {"path": str(trace), "seconds": 60})
    await engine.wait(lambda: engine.started)
    await engine.client.publish("worker.cancel", orjson.dumps({"task_run_id": task, "attempt": 1}))
    assert (await engine.result(task))["cancelled"] is True
    await engine.dispatch("test.effect", {"path": str(tmp_path)}, task_run_id=task, attempt=2)
    said = await engine.wait(lambda: next((r for r in engine.results if r["attempt"] == 2), None))
    assert said["error"]["code"] == "internal"
    await engine.dispatch("test.effect", {"path": str(trace)}, task_run_id=task, attempt=3)
    said = await engine.wait(lambda: next((r for r in engine.results if r["attempt"] == 3), None))
    assert said["output"] == {"n": 0}
    assert len(trace.read_text().splitlines()) == 1


async def _dispatch_again(engine: Any, type_name: str = "test.increment", parameters: Any = None) -> str:
    """Dispatches as soon as the broker takes it, as the engine's sweep does."""
    async with asyncio.timeout(20):
        while True:
            try:
                return str(await engine.dispatch(type_name, parameters or {"n": 1}))
            except (nats.errors.Error, nats.js.errors.Error):
                await asyncio.sleep(0.1)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
