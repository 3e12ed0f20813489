"""Process slots: reused, bounded, ended when idle, and their inside in a thread of the test's own."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from worker_service import outcomes
from worker_service.processes import ProcessDied, ProcessSlots
from worker_service.sdk import TaskError, TaskIds
from worker_service.settings import WorkerSettings
from worker_service.slot import LENGTHS, Signs, Wire, frame, serve

pytestmark = pytest.mark.anyio
IDS = TaskIds("t1", "r", "org1", "w", "k", 1, "")
MODULE = "worker_service.tasks.test_tasks"


def job(type_name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"module": MODULE, "type": type_name, "ids": asdict(IDS), "parameters": parameters}


async def refuse(wish: str, args: dict[str, Any], content: bytes) -> tuple[Any, bytes]:
    raise RuntimeError("the worker's own bug")


async def run(slots: ProcessSlots, type_name: str, parameters: dict[str, Any], begun: Any = lambda: None) -> Any:
    said: list[Any] = []
    return await slots.run(
        job(type_name, parameters), begun=begun, ask=refuse, log_line=lambda *line: said.append(line)
    )


def pid_of(outcome: outcomes.Outcome) -> int:
    return int(outcome.as_json()["output"]["pid"])


@pytest.fixture
def settings(tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(data=tmp_path, encryption_key="e" * 40, llm_api_key="llm", database_url="mysql://secret@x")


async def test_a_process_is_used_again_and_ends_when_idle(settings: WorkerSettings) -> None:
    slots = ProcessSlots(settings, 2, idle_s=0.3)
    first = pid_of(await run(slots, "test.compute", {}))
    assert pid_of(await run(slots, "test.compute", {})) == first
    assert slots.idle == 1
    async with asyncio.timeout(10):
        while _exists(first):
            await asyncio.sleep(0.02)
    assert slots.idle == 0
    assert pid_of(await run(slots, "test.compute", {})) != first
    await slots.close()


async def test_no_more_than_the_limit_run_at_once(settings: WorkerSettings) -> None:
    slots = ProcessSlots(settings, 1)
    order: list[str] = []
    tasks = [
        asyncio.create_task(run(slots, "test.compute", {"seconds": 0.2}, lambda n=n: order.append(n))) for n in "ab"
    ]
    first = await tasks[0]
    assert pid_of(await tasks[1]) == pid_of(first)
    assert order == ["a", "b"]
    await slots.close()


async def test_a_process_that_died_idle_is_replaced(settings: WorkerSettings) -> None:
    import os
    import signal

    slots = ProcessSlots(settings, 1)
    first = pid_of(await run(slots, "test.compute", {}))
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(5):
        # a process may look dead while its threads are still ending: it is gone when it can be waited for
        while os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            await asyncio.sleep(0.01)
    assert pid_of(await run(slots, "test.compute", {})) != first
    await slots.close()


async def test_a_process_that_dies_in_its_task_is_told(settings: WorkerSettings) -> None:
    slots = ProcessSlots(settings, 1)
    with pytest.raises(ProcessDied):
        await run(slots, "test.compute", {"exit_status": 3})
    assert pid_of(await run(slots, "test.compute", {})) > 0
    await slots.close()


async def test_a_cancelled_task_ends_its_process(settings: WorkerSettings) -> None:
    slots = ProcessSlots(settings, 1)
    first = pid_of(await run(slots, "test.compute", {}))
    begun = asyncio.Event()
    running = asyncio.create_task(run(slots, "test.compute", {"seconds": 600, "stubborn": True}, begun.set))
    await begun.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    assert not _exists(first)
    await slots.close()


async def test_a_wish_that_fails_in_the_worker_fails_the_task_only(settings: WorkerSettings) -> None:
    slots = ProcessSlots(settings, 1)
    outcome = await run(slots, "test.use_process", {})
    assert outcome.error["code"] == "internal"
    assert outcome.error["retryable"] is True
    assert pid_of(await run(slots, "test.compute", {})) > 0
    await slots.close()


def test_a_slot_gets_no_secret_that_only_its_worker_needs(settings: WorkerSettings) -> None:
    portable = settings.portable()
    assert portable["encryption_key"] is None
    assert portable["database_url"] is None
    again = WorkerSettings(**portable)
    assert again.llm_api_key is not None
    assert again.llm_api_key.get_secret_value() == "llm"
    assert again.blog_folder() == settings.blog_folder()


# --- the inside of a slot ---------------------------------------------------------------------------------------------


@pytest.fixture
def wire(settings: WorkerSettings) -> Iterator[Wire]:
    """The worker's end of a slot that serves in a thread."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve, args=(Wire(theirs),))
    thread.start()
    ours.settimeout(20)
    worker = Wire(ours)
    worker.send({"settings": settings.portable()})
    yield worker
    ours.close()
    thread.join(10)
    theirs.close()
    assert not thread.is_alive()


def converse(wire: Wire, asked: dict[str, Any], answer: Callable[[str, dict[str, Any], bytes], Any]) -> Any:
    lines: list[Any] = []
    wire.send(asked)
    while True:
        head, content = wire.receive()
        if "log" in head:
            lines.append(head["log"])
        elif "sign" in head:
            pass
        elif "crash" in head:
            lines.append(["crash", head["crash"]])
        elif "ask" in head:
            head, content = answer(head["ask"], head["args"], content)
            wire.send(head, content)
        else:
            return outcomes.from_json(head, content), lines


def test_a_slot_asks_its_worker_for_everything(wire: Wire) -> None:
    wishes: list[str] = []
    versions = iter([{"answer": 1}, {"refused": "conflict"}])

    def answer(wish: str, args: dict[str, Any], content: bytes) -> Any:
        wishes.append(wish)
        found: dict[str, Any] = {
            "connection": {"credentials": {"p": "1"}},
            "artifact.put": {
                "artifact_id": "a",
                "path": "seen/hello.txt",
                "size": 5,
                "sha256": "x",
                "content_type": "text/plain",
                "url": "/",
            },
            "state.get": {"value": 1, "version": 1},
            "state.entries": {"k": {"value": 1, "version": 1}},
            "effect.noted": "noted",
        }
        if wish == "state.put":
            return next(versions), b""
        return {"answer": found.get(wish)}, b"hello" if wish == "artifact.get" else b""

    outcome, lines = converse(wire, job("test.use_process", {"connection": "c"}), answer)
    seen = outcome.as_json()["output"]["seen"]
    assert (seen["artifact"], seen["conflict"], seen["note"], seen["entries"]) == ("hello", True, "noted", 1)
    assert [line[1] for line in lines] == ["begun", "opened"]
    assert wishes[:3] == ["connection", "artifact.put", "artifact.get"]


def test_a_slot_reports_what_its_task_raises(wire: Wire) -> None:
    def deny(wish: str, args: dict[str, Any], content: bytes) -> Any:
        refused = {"code": "artifact_refused", "detail": "no", "retryable": True, "field": "path", "params": {}}
        return {"refused": refused}, b""

    outcome, _ = converse(wire, job("test.use_process", {}), deny)
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["retryable"]) == ("artifact_refused", True)
    outcome, lines = converse(wire, job("test.use_process", {"crash": True}), deny)
    assert outcome.error is not None
    assert outcome.error["code"] == "internal"
    assert "the text of a bug" in lines[-1][1]
    outcome, _ = converse(wire, job("test.use_process", {"wrong": 1}), deny)
    assert outcome.error is not None
    assert outcome.error["code"] == "invalid_parameters"


def test_signs_of_life_are_few_and_the_latest_progress_is_among_them() -> None:
    sent: list[Any] = []
    arrived = threading.Event()

    def send(said: dict[str, Any]) -> None:
        sent.append(said["sign"])
        if said["sign"] == (0.9, "last"):
            arrived.set()

    signs = Signs(send)
    signs.give(None)
    for n in range(1_000):
        signs.give((n / 10_000, "step"))
        signs.give(None)
    signs.give((0.9, "last"))
    # without another call: nobody knows that it was the last
    assert arrived.wait(20)
    assert sent[0] is None
    assert len(sent) < 100
    signs.give((1.0, "done"))
    signs.end()
    assert sent[-1] == (1.0, "done")
    signs.give((1.0, "from a thread that was left behind"))
    assert sent[-1] == (1.0, "done")


def test_a_frame_says_its_lengths() -> None:
    content = frame({"a": 1}, b"xyz")
    assert LENGTHS.unpack(content[: LENGTHS.size]) == (7, 3)
    assert content.endswith(b'{"a":1}xyz')


def test_a_task_error_keeps_its_parts() -> None:
    error = TaskError("code", "detail", field="f", n=1)
    assert (str(error), error.params) == ("code: detail", {"n": 1})
    assert str(TaskError("code")) == "code"


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
