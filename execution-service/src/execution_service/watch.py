"""Who waits for a run's next change is woken by the commit itself when it happens here, else by a short look again."""

import asyncio
from collections.abc import Callable

from execution_service.domain.run import Run

LOOK_AGAIN_S = 0.5
"""Another replica's commits are seen this late at most."""

Listener = Callable[[str, Run | None], None]


class Watchers:
    """Waiting readers by run, and listeners to all. Lives on the event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def notify(self, run_id: str, run: Run | None = None) -> None:
        """Something of a run was committed here; `run` is how it is now, or will soon be, when that is known."""
        for event in self._waiting.get(run_id, ()):
            event.set()
        for listener in self._listeners:
            listener(run_id, run)

    async def changed(self, run_id: str) -> None:
        """Returns after the run may have changed."""
        event = asyncio.Event()
        self._waiting.setdefault(run_id, set()).add(event)
        try:
            await asyncio.wait_for(event.wait(), LOOK_AGAIN_S)
        except TimeoutError:
            pass
        finally:
            waiting = self._waiting[run_id]
            waiting.discard(event)
            if not waiting:
                del self._waiting[run_id]
