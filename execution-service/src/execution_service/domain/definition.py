"""What one version of a workflow says, as workflow-service compiled it. Immutable; the engine never edits it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class FailurePolicy(StrEnum):
    """What a failed task means for the tasks ordered after it. A missing needed input stops a task under every one."""

    CONTINUE = "continue"
    STOP = "stop"
    ISOLATE = "isolate"


class Overflow(StrEnum):
    """What becomes of a run that would be one too many: it waits, it ends at once, or the oldest ends for it."""

    QUEUE = "queue"
    SKIP = "skip"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most `limit` runs of the workflow at a time."""

    limit: int
    overflow: Overflow = Overflow.QUEUE


class Backoff(StrEnum):
    FIXED = "fixed"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how soon a task is tried again. `max_attempts` counts the first one; times in seconds."""

    max_attempts: int = 1
    backoff: Backoff = Backoff.EXPONENTIAL
    delay_s: float = 1.0
    max_delay_s: float = 300.0
    jitter: float = 0.0

    def delay_micros(self, attempt: int, draw: float) -> int:
        """The wait after failed attempt number `attempt`; `draw` in [0, 1) says where in the jitter it falls."""
        delay = self.delay_s
        if self.backoff is Backoff.EXPONENTIAL:
            delay *= 2.0 ** min(attempt - 1, 60)
        delay = min(delay, self.max_delay_s)
        return int(delay * (1 - self.jitter * draw) * 1_000_000)


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One placement of a task. `depends_on` names tasks of the same job; `when`: a condition, None for always.

    `timeout_s` bounds one attempt, `queue_timeout_s` its wait for a worker, `heartbeat_s` the silence of one that runs;
    0: the task type's own, and no bound. `for_each`: a list, or an expression that gives one: the task runs once per
    item, `max_parallel` at a time (0: the engine's own bound), and its output is the list of theirs. Of all tasks of
    the organisation with one `concurrency_key` (text, or an expression that gives it) at most `concurrency_limit` run.
    """

    key: str
    type: str
    name: str = ""
    task_id: str = ""
    parameters: Any = None
    depends_on: tuple[str, ...] = ()
    failure_policy: FailurePolicy = FailurePolicy.CONTINUE
    retry: Retry = Retry()
    timeout_s: float = 0.0
    queue: str = "default"
    priority: int = 3
    when: str | None = None
    queue_timeout_s: float = 0.0
    heartbeat_s: float = 0.0
    for_each: Any = None
    max_parallel: int = 0
    concurrency_key: str | None = None
    concurrency_limit: int = 1


@dataclass(frozen=True, slots=True)
class JobSpec:
    key: str
    tasks: tuple[TaskSpec, ...]
    name: str = ""
    job_id: str = ""
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Definition:
    """`(workflow_id, version)` always names the same content. `timeout_s` bounds a whole run; 0 means 30 days.
    `retention_days`: how long its ended runs are kept; 0: as the installation says."""

    organization_id: str
    workflow_id: str
    version: int
    name: str
    jobs: tuple[JobSpec, ...]
    input_schema: Any = None
    timeout_s: float = 0.0
    retention_days: float = 0.0
    concurrency: Concurrency | None = None
