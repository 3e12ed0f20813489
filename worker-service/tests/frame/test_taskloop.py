"""The tasks' loop: what is abandoned ends, and nobody else with it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from worker_service.taskloop import Abandoned, TaskLoop


@pytest.fixture
def loop() -> Iterator[TaskLoop]:
    made = TaskLoop()
    yield made
    made.close(10)


class Begun:
    """A task on the loop, and how it ended."""

    def __init__(self, loop: TaskLoop, work: Callable[["Begun"], Coroutine[Any, Any, None]]) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()
        self.how = ""
        self.task: asyncio.Task[None] | None = None
        loop.submit(self._start, work)
        assert self.begun.wait(20)

    def _start(self, work: Callable[["Begun"], Coroutine[Any, Any, None]]) -> None:
        self.task = asyncio.get_running_loop().create_task(self._run(work))

    async def _run(self, work: Callable[["Begun"], Coroutine[Any, Any, None]]) -> None:
        try:
            await work(self)
        except BaseException as error:
            self.how = type(error).__name__
            raise
        finally:
            self.ended.set()

    def has_ended(self) -> bool:
        return self.ended.wait(20)


async def swallow(task: Begun) -> None:
    while True:
        try:
            task.begun.set()
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass


async def wait(task: Begun) -> None:
    task.begun.set()
    await asyncio.sleep(3600)


async def hold(task: Begun) -> None:
    task.begun.set()
    while True:
        pass


def close(loop: TaskLoop, begun: Begun) -> threading.Event:
    assert begun.task is not None
    return loop.close_task(begun.task)


def strike(loop: TaskLoop, begun: Begun, reached: threading.Event) -> bool:
    assert begun.task is not None
    return loop.strike(begun.task, reached)


def test_a_task_that_swallows_its_cancellation_is_closed(loop: TaskLoop) -> None:
    begun, other = Begun(loop, swallow), Begun(loop, wait)
    assert begun.task is not None
    loop.submit(begun.task.cancel)
    reached = close(loop, begun)
    assert begun.has_ended()
    assert begun.how == "GeneratorExit"
    assert reached.wait(20)
    assert strike(loop, begun, reached) is False
    assert not other.ended.is_set()


def test_a_task_that_holds_the_loop_is_struck_and_the_loop_goes_on(loop: TaskLoop) -> None:
    other, begun = Begun(loop, wait), Begun(loop, hold)
    reached = close(loop, begun)
    assert strike(loop, begun, reached) is True
    assert begun.has_ended()
    assert begun.how == Abandoned.__name__
    assert reached.wait(20)
    assert not other.ended.is_set()


def test_a_task_beside_one_that_holds_the_loop_is_ended_without_it(loop: TaskLoop) -> None:
    beside, holder = Begun(loop, swallow), Begun(loop, hold)
    reached = close(loop, beside)
    strike(loop, beside, reached)
    # nothing strikes the one that holds the loop, and nothing reaches the other until it ends
    assert not holder.ended.wait(0.2)
    strike(loop, holder, close(loop, holder))
    assert holder.has_ended()
    assert beside.has_ended()
    assert beside.how == "GeneratorExit"


def test_a_task_that_withstands_being_closed_is_told_of(loop: TaskLoop) -> None:
    async def withstand(task: Begun) -> None:
        while True:
            try:
                task.begun.set()
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return
            except GeneratorExit:
                pass

    with capture_logs() as logged:
        begun = Begun(loop, withstand)
        close(loop, begun)
        # being woken once more ends this one; who withstands everything is left
        assert begun.has_ended()
    assert [line["event"] for line in logged] == ["task_not_closed"]


def test_a_task_that_has_ended_meanwhile_needs_nothing(loop: TaskLoop) -> None:
    async def end(task: Begun) -> None:
        task.begun.set()

    begun = Begun(loop, end)
    assert begun.has_ended()
    assert close(loop, begun).wait(20)
