"""What people save (bodies, placements) and what the engine gets (specs). Nothing here is ever changed in place.

A workflow places jobs, a job places tasks; the same one may be placed many times. Two kinds of keys: a *local* key is
unique in its job and is what the job's own expressions say; a *key* is unique in the workflow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType, TypeAlias

WorkflowId = NewType("WorkflowId", str)
JobId = NewType("JobId", str)
TaskId = NewType("TaskId", str)
PlacementId = NewType("PlacementId", str)
JsonObject: TypeAlias = Mapping[str, Any]

DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 3


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


@dataclass(frozen=True)
class Concurrency:
    """At most `limit` runs of the workflow at a time."""

    limit: int
    overflow: Overflow = Overflow.QUEUE


class Backoff(StrEnum):
    FIXED = "fixed"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True)
class Retry:
    """How often and how soon a task is tried again. `max_attempts` counts the first one; times in seconds."""

    max_attempts: int = 1
    backoff: Backoff = Backoff.EXPONENTIAL
    delay_s: float = 1.0
    max_delay_s: float = 300.0
    jitter: float = 0.0


@dataclass(frozen=True)
class Stamp:
    """Who changed a thing and when. `revision` grows with each change of the thing itself: it is the ETag."""

    revision: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True)
class TaskBody:
    """None: the placement, the job, the workflow or the task type decides."""

    name: str
    type: str
    description: str = ""
    parameters: JsonObject = field(default_factory=dict)
    retry: Retry | None = None
    timeout_s: float | None = None
    queue_timeout_s: float | None = None
    heartbeat_s: float | None = None
    queue: str | None = None
    priority: int | None = None
    failure_policy: FailurePolicy | None = None


@dataclass(frozen=True)
class JobBody:
    name: str
    description: str = ""
    failure_policy: FailurePolicy | None = None


@dataclass(frozen=True)
class WorkflowBody:
    """`default_config`: values per placement key (or task id); `input_schema`: JSON Schema of a run's input."""

    name: str
    description: str = ""
    default_config: Mapping[str, JsonObject] = field(default_factory=dict)
    input_schema: JsonObject | None = None
    failure_policy: FailurePolicy = FailurePolicy.CONTINUE
    timeout_s: float | None = None
    retention_days: float | None = None
    concurrency: Concurrency | None = None


@dataclass(frozen=True)
class Task:
    task_id: TaskId
    body: TaskBody
    stamp: Stamp


@dataclass(frozen=True)
class Job:
    job_id: JobId
    body: JobBody
    stamp: Stamp


@dataclass(frozen=True)
class Problem:
    """Something wrong in a composition.

    `where` says whose value it is: ("default_config", key, …), ("task", task id, …), ("placement", job id, index, …),
    ("jobs", index, …) or ("workflow", …). `field` is the same as a path that a reader of the workflow understands.
    One that does not block may be saved (more is to come), but the workflow cannot run until it is gone.
    """

    where: tuple[str | int, ...]
    field: str
    code: str
    params: tuple[tuple[str, Any], ...] = ()
    blocking: bool = True


@dataclass(frozen=True)
class Workflow:
    """`version`: the newest definition, 0 before the first. `problems`: why what is saved now cannot run."""

    workflow_id: WorkflowId
    organization_id: str
    body: WorkflowBody
    active: bool
    version: int
    problems: tuple[Problem, ...]
    stamp: Stamp


@dataclass(frozen=True)
class TaskPlacement:
    """A task in a job. `key` is local; `depends_on`: local keys, None for the task before it.

    `when`: a condition in `${{ }}`; the task is skipped when it is false. `for_each`: a list, or an expression in
    `${{ }}` that gives one; the task runs once per item, at most `max_parallel` at a time. Of all tasks of the
    organisation with one `concurrency_key` (text, or text with `${{ }}`) at most `concurrency_limit` run (None: one).
    """

    placement_id: PlacementId
    key: str
    task: Task
    name: str | None = None
    depends_on: tuple[str, ...] | None = None
    when: str | None = None
    retry: Retry | None = None
    timeout_s: float | None = None
    queue_timeout_s: float | None = None
    heartbeat_s: float | None = None
    failure_policy: FailurePolicy | None = None
    parameters: JsonObject = field(default_factory=dict)
    for_each: list[Any] | str | None = None
    max_parallel: int | None = None
    concurrency_key: str | None = None
    concurrency_limit: int | None = None


@dataclass(frozen=True)
class JobPlacement:
    """A job in a workflow. `depends_on`: keys of other jobs, None for the job before it."""

    placement_id: PlacementId
    key: str
    job: Job
    depends_on: tuple[str, ...] | None = None
    tasks: tuple[TaskPlacement, ...] = ()


@dataclass(frozen=True)
class Composition:
    workflow: Workflow
    jobs: tuple[JobPlacement, ...] = ()


@dataclass(frozen=True)
class ErrorCode:
    code: str
    retryable: bool
    text_ko: str
    text_en: str


@dataclass(frozen=True)
class TaskType:
    """What workers said of a type they can run; schemas are JSON Schema 2020-12."""

    type: str
    parameters_schema: JsonObject
    output_schema: JsonObject
    errors: tuple[ErrorCode, ...] = ()
    effect: bool = False
    timeout_s: float = 0.0
    queue: str = DEFAULT_QUEUE
    title_ko: str = ""
    title_en: str = ""


# --- compiled ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TaskSpec:
    """One placement, ready to run. `parameters`: blueprint and default_config merged; `depends_on`: keys;
    `max_parallel` 0: as many as the engine lets; `concurrency_limit`: None without a key."""

    placement_id: PlacementId
    local_key: str
    key: str
    task_id: TaskId
    name: str
    type: str
    parameters: JsonObject
    depends_on: tuple[str, ...]
    failure_policy: FailurePolicy
    retry: Retry
    timeout_s: float
    queue: str
    priority: int
    when: str | None = None
    queue_timeout_s: float = 0.0
    heartbeat_s: float = 0.0
    for_each: list[Any] | str | None = None
    max_parallel: int = 0
    concurrency_key: str | None = None
    concurrency_limit: int | None = None


@dataclass(frozen=True)
class JobSpec:
    placement_id: PlacementId
    key: str
    job_id: JobId
    name: str
    depends_on: tuple[str, ...]
    tasks: tuple[TaskSpec, ...]


@dataclass(frozen=True)
class Definition:
    """(workflow_id, version) always names the same content. `timeout_s`, `retention_days` 0: the installation's."""

    organization_id: str
    workflow_id: WorkflowId
    version: int
    name: str
    input_schema: JsonObject | None
    timeout_s: float
    jobs: tuple[JobSpec, ...]
    retention_days: float = 0.0
    concurrency: Concurrency | None = None


def path_text(path: tuple[str | int, ...]) -> str:
    """`("tasks", "a", "list", 0)` → `tasks.a.list[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
