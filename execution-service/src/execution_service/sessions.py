"""Whether the sessions of open streams are still alive.

The gateway asks about a session when a request comes; a stream goes on long after that. So identity-service is asked
about all sessions that have a stream here, together, every ASK_EVERY_S, and one answer serves all streams of a session.
A session that nobody vouched for within TRUST_S counts as ended: no message has to arrive for that, and while
identity-service is away the gateway lets nobody in either. Whose session lives goes on behind the last event.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from anyio import CapacityLimiter, to_thread

from kit.auth import Caller

ASK_EVERY_S = 1.0
TRUST_S = 3.0
"""The gateway may have let a stream in by what identity-service knew 1.5 s before: together less than 5 s."""
AT_ONCE = 200

Grant = tuple[str, int]
"""A session's id and the `authz` of the token: a session lives on when its roles change, what the token grants ends."""

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Session:
    """One that has streams here. Its `end` wakes them."""

    ended: bool = False
    streams: list[asyncio.Event] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None

    def trust(self, until: float) -> None:
        """Believes in it until then, by the event loop's clock."""
        self.forget()
        self.timer = asyncio.get_running_loop().call_at(until, self.end)

    def forget(self) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def end(self) -> None:
        self.forget()
        self.ended = True
        for woken in self.streams:
            woken.set()


class Sessions:
    """Those with streams at this replica. `ask`: whether each is alive, in order; it blocks, and raises kit.errors."""

    def __init__(self, ask: Callable[[list[Grant]], list[bool]]) -> None:
        self._ask = ask
        self._open: dict[Grant, Session] = {}
        self._opened = asyncio.Event()
        # a thread of its own: requests that hold theirs for long must not end anybody's stream
        self._thread = CapacityLimiter(1)

    @contextmanager
    def stream(self, caller: Caller, woken: asyncio.Event) -> Iterator[Session]:
        """The session of a stream that was let in just now; `woken` is set when it ends."""
        grant = (caller.session_id, caller.authz)
        session = self._open.get(grant)
        if session is None or session.ended:
            session = self._open[grant] = Session()
            session.trust(asyncio.get_running_loop().time() + TRUST_S)
            self._opened.set()
        session.streams.append(woken)
        try:
            yield session
        finally:
            session.streams.remove(woken)
            if not session.streams:
                session.forget()
                if self._open.get(grant) is session:
                    del self._open[grant]

    async def run(self) -> None:
        """Asks again and again, while there are streams."""
        while True:
            await self._opened.wait()
            try:
                await self.run_once()
            except Exception as error:
                log.warning("sessions_not_checked", error=repr(error)[:500])
            await asyncio.sleep(ASK_EVERY_S)

    async def run_once(self) -> None:
        """Asks about every session once, and ends those that are no more. Raises what `ask` does."""
        open_now = [(grant, session) for grant, session in self._open.items() if not session.ended]
        if not open_now:
            self._opened.clear()
        for at in range(0, len(open_now), AT_ONCE):
            some = open_now[at : at + AT_ONCE]
            # what is answered was so when it was asked
            began = asyncio.get_running_loop().time()
            asked = [grant for grant, _ in some]
            alive = await to_thread.run_sync(self._ask, asked, limiter=self._thread)
            for (_, session), lives in zip(some, alive, strict=True):
                if not lives:
                    session.end()
                elif session.streams and not session.ended:
                    session.trust(began + TRUST_S)
