"""One attempt of a task in this worker, from its message to its acknowledgement.

(LOADING →) WAITING → RUNNING → REPORTING → GONE
"""

import asyncio
import time
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import BaseModel

from worker_service.outcomes import Outcome
from worker_service.reports import Lines
from worker_service.sdk import TaskType
from worker_service.taskloop import TaskLoop
from worker_service.wire import Dispatch


class Stage(StrEnum):
    LOADING = "loading"
    WAITING = "waiting"
    RUNNING = "running"
    REPORTING = "reporting"
    GONE = "gone"


class Stop(StrEnum):
    """Why a running task is being ended."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"
    DRAIN = "drain"
    SILENCE = "silence"


@dataclass(eq=False, slots=True)
class Execution:
    """One attempt in this worker. `replies` acknowledge its message's copies, the latest last."""

    dispatch: Dispatch
    delivery: int
    replies: list[str]
    lines: Lines
    stage: Stage = Stage.WAITING
    type: TaskType | None = None
    parameters: BaseModel | None = None
    # JSON of the parameters that were loaded for a process, which reads them itself
    content: bytes | None = None
    stop: Stop | None = None
    started_at: int = 0
    task: "asyncio.Task[None] | None" = None
    # whoever takes the ticket begins the task: it may be moved from a blocked loop to another
    ticket: list[bool] = field(default_factory=lambda: [True])
    on: TaskLoop | None = None
    # when each is due, by the loop's clock
    timers: list[tuple[float, asyncio.Handle]] = field(default_factory=list)
    claim: str = ""
    # on the monotonic clock: when it last gave a sign of life, 0 before its own code began
    signed_at: float = 0.0
    trial: "asyncio.Future[Outcome] | None" = None

    @property
    def timeout_s(self) -> float:
        assert self.type is not None  # noqa: S101
        return self.dispatch.timeout_s or self.type.timeout_s

    @property
    def heartbeat_s(self) -> float | None:
        """How long it may be silent; None: as long as it likes."""
        assert self.type is not None  # noqa: S101
        return self.dispatch.heartbeat_s or self.type.heartbeat_s


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000
