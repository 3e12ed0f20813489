"""Callers share a call, and none gets an answer that was asked for before it came."""

import asyncio

import pytest

from execution_service.together import Together

pytestmark = pytest.mark.anyio


class Peer:
    """Answers with how often it was asked, once `answer` is set."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = asyncio.Event()
        self.together = Together(self.ask)

    async def ask(self, name: str) -> int:
        self.asked += 1
        asked = self.asked
        await self.answer.wait()
        if name == "broken":
            raise LookupError(name)
        return asked

    async def call(self, name: str = "a") -> "asyncio.Task[int]":
        task = asyncio.create_task(self.together(name))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task


async def test_who_comes_while_a_call_is_under_way_shares_the_next_one() -> None:
    peer = Peer()
    first = await peer.call()
    later = [await peer.call() for _ in range(30)]
    peer.answer.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 30
    assert await peer.together("a") == 3


async def test_other_questions_do_not_wait() -> None:
    peer = Peer()
    await peer.call("a")
    await peer.call("b")
    assert peer.asked == 2
    peer.answer.set()


async def test_an_error_goes_to_those_who_share_it_and_to_nobody_later() -> None:
    peer = Peer()
    tasks = [await peer.call("broken") for _ in range(3)]
    peer.answer.set()
    assert all(isinstance(one, LookupError) for one in await asyncio.gather(*tasks, return_exceptions=True))
    with pytest.raises(LookupError):
        await peer.together("broken")
    assert peer.asked == 3


async def test_one_who_gives_up_leaves_the_answer_to_the_others() -> None:
    peer = Peer()
    first, second, third = [await peer.call() for _ in range(3)]
    first.cancel()
    second.cancel()
    peer.answer.set()
    assert await third == 2
