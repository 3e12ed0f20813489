"""The event loop that tasks run on: a thread of its own, so that a task that blocks it does not silence its worker."""

import asyncio
import ctypes
import threading
from collections.abc import Callable
from typing import Any

import structlog
import uvloop

log = structlog.get_logger()


class Abandoned(BaseException):
    """Raised in a task that holds its loop beyond its time, wherever it is."""


class TaskLoop:
    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._heard = threading.Event()
        self._heard.set()
        self._thread = threading.Thread(target=self._serve, name="tasks", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., object], *args: Any) -> None:
        """Calls `function` on the loop, in the order of submission."""
        self._loop.call_soon_threadsafe(function, *args)

    def responded(self) -> bool:
        """Whether it answered since it was last asked; asks again."""
        if not self._heard.is_set():
            return False
        self._heard.clear()
        self.submit(self._heard.set)
        return True

    def close_task(self, task: "asyncio.Task[None]") -> threading.Event:
        """Ends a task that swallowed its cancellation, where it waits; nobody waits for it any more.

        The answer is set once the loop has come to it: a task that holds the loop keeps it from that, see `strike`.
        One that withstands being closed stays until it ends.
        """
        reached = threading.Event()
        self.submit(_close, task, reached)
        return reached

    def strike(self, task: "asyncio.Task[None]", reached: threading.Event) -> bool:
        """Raises Abandoned in a task that holds the loop, at its next instruction (a call into C ends first).

        Whether it may be needed again. Call it a second after `close_task`: a loop that came to nothing for so long
        is held by whichever task it runs, and only that one is struck.
        """
        if reached.is_set() or self._thread.ident is None:
            return False
        if asyncio.current_task(self._loop) is task:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(Abandoned))
        return True

    def retire(self) -> None:
        """Ends the loop once its tasks have ended; a blocked one whenever it is no longer."""
        self.submit(self._end_when_idle)

    def close(self, seconds: float = 1.0) -> None:
        """Ends the loop now, cancelling what runs; a blocked thread is left behind."""
        self.submit(self._cancel_all)
        self._thread.join(seconds)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _end_when_idle(self) -> None:
        if asyncio.all_tasks(self._loop):
            self._loop.call_later(0.5, self._end_when_idle)
        else:
            self._loop.stop()

    def _cancel_all(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._end_when_idle()


def _close(task: "asyncio.Task[None]", reached: threading.Event) -> None:
    """On the task's loop."""
    reached.set()
    # what it ends with is of no interest
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    coroutine = task.get_coro()
    if task.done() or coroutine is None:
        return
    try:
        coroutine.close()
    except BaseException as error:
        # it awaits again, or its clean-up failed
        log.warning("task_not_closed", error=repr(error))
    # wakes it, so that it leaves the loop
    task.cancel()
