"""Callers that wait for the same answer share a call. Each gets one that was asked for after it came, so none is older
than what the caller may already have seen; of many at once, most find a call about to be made."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Together(Generic[P, T]):
    """Wraps `ask`, whose arguments are hashable and positional. Lives on one event loop."""

    def __init__(self, ask: Callable[P, Awaitable[T]]) -> None:
        self._ask = ask
        self._asking: dict[tuple[object, ...], asyncio.Task[T]] = {}
        self._next: dict[tuple[object, ...], asyncio.Task[T]] = {}

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        if args not in self._asking:
            mine = self._asking[args] = asyncio.create_task(self._call(None, *args, **kwargs))
        elif args not in self._next:
            mine = self._next[args] = asyncio.create_task(self._call(self._asking[args], *args, **kwargs))
        else:
            mine = self._next[args]
        # one caller who gives up does not take the others' answer away
        return await asyncio.shield(mine)

    async def _call(self, before: "asyncio.Task[T] | None", *args: P.args, **kwargs: P.kwargs) -> T:
        if before is not None:
            await asyncio.wait([before])
            self._asking[args] = self._next.pop(args)
        try:
            return await self._ask(*args, **kwargs)
        finally:
            if args not in self._next:
                del self._asking[args]
