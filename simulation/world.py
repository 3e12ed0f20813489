"""Simulated time and chance: an event loop that never waits, one source of randomness, and the list of faults."""

import asyncio
import random
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from simulation import faulty

T0 = 1_800_000_000_000_000
"""When every world begins, in microseconds since the epoch."""


class Crashed(BaseException):
    """A process died here: nothing of it runs any more. Not an Exception: nothing in the product may catch it."""


class Stuck(Exception):
    """Nothing is left that could ever happen."""


class _NoWaiting(selectors.SelectSelector):
    """Instead of waiting for files, time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck
        self.passed += max(timeout, 0.0)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop on which an hour takes as long as what happens in it."""

    def __init__(self) -> None:
        self._clock = _NoWaiting()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.passed

    def _write_to_self(self) -> None:
        """There is one thread: nobody has to be woken."""


@dataclass(frozen=True)
class Odds:
    """How likely each fault is, each time it could happen. A world draws its own: mild ones, and cruel ones."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    reordered: float = 0.0
    crash_at_await: float = 0.0
    crash_before_commit: float = 0.0
    crash_after_commit: float = 0.0
    commit_doubtful: float = 0.0
    commit_refused: float = 0.0
    read_refused: float = 0.0
    read_timed_out: float = 0.0
    storage_slow: float = 0.0
    interleaved: float = 0.0

    @staticmethod
    def draw(chance: random.Random, storage: float) -> "Odds":
        scale = chance.choice([0.5, 1.0, 1.5, 2.5])
        return Odds(
            lost=0.04 * scale,
            doubled=0.05 * scale,
            late=0.06 * scale,
            reordered=0.12 * scale,
            crash_at_await=0.003 * scale,
            crash_before_commit=0.017 * scale,
            crash_after_commit=0.016 * scale,
            interleaved=0.7,
            **{kind: odds * scale * storage for kind, odds in faulty.ODDS.items()},
        )


@dataclass
class World:
    """What everybody in one simulation shares."""

    seed: int
    storage: float = 1.0
    """How many times as often as usual storage fails."""
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    quiet: bool = False
    """Faults have stopped: from here on everything must come to an end."""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.odds = Odds.draw(self.chance, self.storage)
        self.loop = SimulatedLoop()
        self._ids = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self.loop.set_exception_handler(self._unexpected)
        self.trace: list[str] = []

    def now(self) -> int:
        return T0 + int(self.loop.time() * 1_000_000)

    def new_id(self) -> str:
        self._ids += 1
        return f"{self._ids:026d}"

    def strikes(self, fault: str) -> bool:
        """Whether that fault happens now; counted when it does."""
        if self.quiet or self.chance.random() >= getattr(self.odds, fault):
            return False
        self.faults[fault] += 1
        return True

    def note(self, fault: str) -> None:
        self.faults[fault] += 1

    def violated(self, what: str) -> None:
        self.violations.append(f"{self.loop.time():.3f} s: {what}")

    def _unexpected(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Crashed):
            self.violated(f"{context['message']}: {error!r}")

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Runs something that nobody waits for."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Crashed):
            self.violated(f"a callback failed: {error!r}")

    def later(self, seconds: float, do: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        return self.loop.call_later(seconds, do, *args)
