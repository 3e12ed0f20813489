"""What execution-service keeps of workflow-service's newest versions is never older than what anybody was answered."""

import asyncio
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.aio.client import Client
from platform_house import free_port

from execution_service.heads import Heads
from kit import bus
from workflow_service.changes import SUBJECT, Changes

pytestmark = [pytest.mark.anyio, pytest.mark.process]


@dataclass
class Truth:
    """workflow-service's own answer, and how often it was asked for."""

    version: int = 1
    asked: int = 0
    slow: asyncio.Event | None = None

    async def __call__(self, organization_id: str, workflow_id: str) -> tuple[int, bool]:
        self.asked += 1
        found = self.version
        await asyncio.sleep(0)  # as every call, it lets others go on
        if self.slow is not None:
            await self.slow.wait()
        return found, True


@asynccontextmanager
async def connected(url: str, truth: Truth) -> AsyncIterator[tuple[Heads, Changes, Client]]:
    nc = await bus.connect(url, "execution")
    heads, changes = Heads(nc, truth), Changes(url, "workflow")
    await heads.subscribe()
    running = asyncio.create_task(changes.run())
    try:
        await until(lambda: changes.connected)
        yield heads, changes, nc
    finally:
        running.cancel()
        await changes.close()
        await nc.close()


async def until(seen: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_what_was_asked_once_is_known(nats_url: str) -> None:
    truth = Truth()
    async with connected(nats_url, truth) as (heads, _, _):
        assert [await heads("o1", "w1") for _ in range(20)] == [(1, True)] * 20
        assert truth.asked == 1
        await heads("o1", "w2")
        assert truth.asked == 2


async def test_who_starts_after_a_change_was_answered_finds_it(nats_url: str) -> None:
    truth = Truth()
    async with connected(nats_url, truth) as (heads, changes, _):
        going_on = True

        async def start_again_and_again() -> None:
            while going_on:
                await heads("o1", "w1")

        def change(version: int) -> None:
            with changes.announced("o1"):
                truth.version = version

        others = [asyncio.create_task(start_again_and_again()) for _ in range(3)]
        for version in range(2, 202):
            await asyncio.to_thread(change, version)
            assert await heads("o1", "w1") == (version, True)
        assert not any(other.done() for other in others)
        # those who start at once do not keep each other from keeping it
        await until_kept(heads, truth)
        going_on = False
        await asyncio.gather(*others)


async def test_what_was_said_counts_although_nobody_has_read_it_yet(nats_url: str) -> None:
    truth, ready, go_on, done = Truth(), threading.Event(), threading.Event(), threading.Event()

    async def change() -> None:
        changes = Changes(nats_url, "workflow")
        running = asyncio.create_task(changes.run())
        await until(lambda: changes.connected)
        ready.set()
        for version in range(2, 22):
            await asyncio.to_thread(go_on.wait, 20)
            go_on.clear()
            await asyncio.to_thread(save, changes, version)
            done.set()
        running.cancel()
        await changes.close()

    def save(changes: Changes, version: int) -> None:
        with changes.announced("o1"):
            truth.version = version

    nc = await bus.connect(nats_url, "execution")
    heads = Heads(nc, truth)
    await heads.subscribe()
    service = threading.Thread(target=asyncio.run, args=(change(),))
    service.start()
    await asyncio.to_thread(ready.wait, 20)
    for version in range(2, 22):
        await until_kept(heads, truth)
        go_on.set()
        # this holds the event loop: what the broker has passed on lies in the socket
        assert done.wait(20)
        done.clear()
        assert await heads("o1", "w1") == (version, True)
    service.join(20)
    await nc.close()


async def test_while_something_changes_nothing_is_kept_of_that_organisation(nats_url: str) -> None:
    truth = Truth()
    async with connected(nats_url, truth) as (heads, changes, _):
        begun, over = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def change() -> None:
            with changes.announced("o1"):
                loop.call_soon_threadsafe(begun.set)
                asyncio.run_coroutine_threadsafe(over.wait(), loop).result()

        await heads("o1", "w1")
        await heads("o2", "w1")
        changing = asyncio.create_task(asyncio.to_thread(change))
        await begun.wait()
        for _ in range(3):
            await heads("o1", "w1")
            await heads("o2", "w1")
        assert truth.asked == 5
        over.set()
        await changing
        await until_kept(heads, truth)


async def until_kept(heads: Heads, truth: Truth) -> None:
    """The last word of a change is waited for by nobody."""
    deadline = time.monotonic() + 20
    while True:
        asked = truth.asked
        await heads("o1", "w1")
        if truth.asked == asked:
            return
        assert time.monotonic() < deadline


async def test_an_answer_that_was_under_way_while_something_changed_is_not_kept(nats_url: str) -> None:
    truth = Truth(slow=asyncio.Event())
    async with connected(nats_url, truth) as (heads, changes, _):
        first = asyncio.create_task(heads("o1", "w1"))
        await until(lambda: truth.asked == 1)

        def change() -> None:
            with changes.announced("o1"):
                truth.version = 2

        await asyncio.to_thread(change)
        assert truth.slow is not None
        truth.slow.set()
        assert await first == (1, True)
        assert await heads("o1", "w1") == (2, True)


async def test_a_change_without_an_end_holds_until_the_end_comes(nats_url: str) -> None:
    truth = Truth()
    async with connected(nats_url, truth) as (heads, _, nc):
        await nc.publish(SUBJECT, b'{"organization_id": "o1", "change": "c1", "over": false}')
        await nc.publish(SUBJECT, b'{"organization_id": "o1", "change": "c2", "over": false}')
        await nc.publish(SUBJECT, b'{"organization_id": "o1", "change": "c2", "over": true}')
        await nc.flush()
        for _ in range(3):
            await heads("o1", "w1")
        assert truth.asked == 3
        await nc.publish(SUBJECT, b'{"organization_id": "o1", "change": "c1", "over": true}')
        await until_kept(heads, truth)


class Broker:
    """One that can be killed and started again at the same place."""

    def __init__(self, program: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._command = [program, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(folder)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


@pytest.fixture
def broker(nats_program: str, tmp_path: Path) -> Iterator[Broker]:
    found = Broker(nats_program, tmp_path / "nats")
    yield found
    found.kill()


def nothing_said(changes: Changes) -> None:
    with changes.announced("o1"):
        pass


async def test_nothing_is_believed_across_a_lost_connection(broker: Broker) -> None:
    truth = Truth()
    async with connected(broker.url, truth) as (heads, changes, nc):
        await heads("o1", "w1")
        broker.kill()
        truth.version = 2
        await asyncio.to_thread(nothing_said, changes)  # saved all the same, and nobody is told
        assert await heads("o1", "w1") == (2, True)
        truth.version = 3
        broker.start()
        await until(lambda: nc.is_connected)
        assert await heads("o1", "w1") == (3, True)
        await until(lambda: nc.is_connected and changes.connected)
        await until_kept(heads, truth)


async def test_who_changes_something_does_not_wait_for_a_broker(tmp_path: Path) -> None:
    changes = Changes(f"nats://127.0.0.1:{free_port()}", "workflow")
    running = asyncio.create_task(changes.run())
    await asyncio.to_thread(nothing_said, changes)
    assert not changes.connected
    running.cancel()
    await changes.close()
