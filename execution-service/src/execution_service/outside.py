"""What the shell takes from the world outside: the time, new ids, and a thread for what would block the event loop.

Passed in, so that a simulation can hand it a world of its own, in which every run of events can be had again.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from anyio import to_thread

from kit.database import to_micros, utc_now
from kit.ids import new_id

P = ParamSpec("P")
T = TypeVar("T")


def _now() -> int:
    return to_micros(utc_now())


async def _in_a_thread(work: Callable[[], Any]) -> Any:
    return await to_thread.run_sync(work)


@dataclass(frozen=True)
class Outside:
    """`now`: microseconds since the epoch. `apart` runs a blocking call elsewhere. `pause` waits so many seconds."""

    now: Callable[[], int] = _now
    new_id: Callable[[], str] = new_id
    apart: Callable[[Callable[[], Any]], Awaitable[Any]] = _in_a_thread
    pause: Callable[[float], None] = time.sleep

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a blocking `work` returns or raises, without holding the event loop."""
        result: T = await self.apart(partial(work, *args, **kwargs))
        return result


REAL = Outside()
