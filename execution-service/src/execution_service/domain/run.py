"""The aggregate: one run with its jobs and tasks. `decide` reads it, `Run.apply` is the only thing that changes it.

    task   PENDING → QUEUED → RUNNING → SUCCESS | FAILED | CANCELLED
                       ↑          ↓
                   RETRY_WAIT ←───┘          PENDING → UPSTREAM_FAILED (a needed input is missing, or a stop)
                       ↓  ↑                  PENDING → SKIPPED (its condition is false)
          PENDING →  WAITING → SUCCESS | FAILED | CANCELLED (a person, an event, a time, a child run: no worker)
    run    PENDING → RUNNING → SUCCESS | FAILED | CANCELLED, with PAUSED and CANCELLING in between
    job    derived from its tasks
    item   as a task; the task with `for_each` is RUNNING from its expansion until its last item has ended

Times are whole microseconds since the epoch.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from execution_service.domain.definition import FailurePolicy, Overflow
from execution_service.domain.plan import STRIDE, Plan
from kit.payloads import Stored


class RunState(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL_RUN


TERMINAL_RUN = frozenset({RunState.SUCCESS, RunState.FAILED, RunState.CANCELLED})


class TaskState(StrEnum):
    PENDING = "PENDING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    RETRY_WAIT = "RETRY_WAIT"
    WAITING = "WAITING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"
    UPSTREAM_FAILED = "UPSTREAM_FAILED"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL_TASK


TERMINAL_TASK = frozenset(
    {TaskState.SUCCESS, TaskState.FAILED, TaskState.CANCELLED, TaskState.SKIPPED, TaskState.UPSTREAM_FAILED}
)


class JobState(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def terminal(self) -> bool:
        return self not in (JobState.PENDING, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task (or a run) did not succeed. `code` is of the task type's catalogue or one of the engine's own."""

    code: str
    message: str = ""
    retryable: bool = False
    details: Any = None

    def to_json(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"code": self.code, "message": self.message, "retryable": self.retryable}
        return shown if self.details is None else {**shown, "details": self.details}


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task of one run, or one item of one. `due_at`: when QUEUED is handed out again or has waited too long,
    RUNNING passes its deadline, WAITING is over, or RETRY_WAIT ends (None: its time came during a pause). `items`: how
    many its list has; None for one that runs once, and before the list is known."""

    state: TaskState = TaskState.PENDING
    attempt: int = 0
    queued_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    due_at: int | None = None
    delivery: int = 0
    worker: str | None = None
    failure: Failure | None = None
    items: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The items of a task that is being run over a list. `next`: the first that was not looked at yet · `open`: those
    not terminal · `failed`: those that failed for good."""

    next: int = 0
    open: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class JobRun:
    """`open`: tasks not terminal · `waits`: jobs before it not finished · `blocks`: a stop ended in it."""

    state: JobState
    open: int
    waits: int
    started_at: int | None = None
    finished_at: int | None = None
    failed: bool = False
    cancelled: bool = False
    blocks: bool = False

    @property
    def recorded(self) -> tuple[JobState, int | None, int | None]:
        """What its row says; the rest is counted again when a run is loaded."""
        return self.state, self.started_at, self.finished_at


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known at the start and never changes."""

    run_id: str
    organization_id: str
    number: int
    trigger: str
    cause: str
    trace_id: str
    created_at: int
    rerun_of: str | None = None
    parent: str | None = None
    """`<task run>.<attempt>` of the task that waits for this run."""
    depth: int = 0


@dataclass(frozen=True, slots=True)
class RunHead:
    """What changes about the run as a whole. `clock` is the latest time it has seen: it never runs backwards."""

    state: RunState
    clock: int
    deadline: int
    open_jobs: int
    started_at: int | None = None
    finished_at: int | None = None
    cancel_due: int | None = None
    failure: Failure | None = None
    failed: bool = False


RUN = -1
"""Where tasks go by their index, the run as a whole."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place under a limit that is shared: `scope` names it, and at most `limit` places are held at a time."""

    scope: str
    limit: int
    overflow: Overflow = Overflow.QUEUE


@dataclass(frozen=True, slots=True)
class Claim:
    """What becomes of the places that a task or the run has or wants: it waits for `slots`, has `taken` what it was
    granted, or (neither) needs none any more."""

    slots: tuple[Slot, ...] = ()
    taken: bool = False
    attempt: int = 0
    priority: int = 3


@dataclass(slots=True)
class Changes:
    """What a decision changes: whole new values by index. Empty when nothing changes."""

    head: RunHead | None = None
    tasks: dict[int, TaskRun] = field(default_factory=dict)
    jobs: dict[int, JobRun] = field(default_factory=dict)
    waits: dict[int, int] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)
    lists: dict[int, list[Any]] = field(default_factory=dict)
    """Of `inputs`, the lists that tasks run over, as values."""
    claims: dict[int, Claim] = field(default_factory=dict)
    inputs: dict[int, bytes] = field(default_factory=dict)
    outputs: dict[int, bytes] = field(default_factory=dict)
    stored: dict[int, Stored] = field(default_factory=dict)
    """Outputs that are kept apart already: only their references are recorded."""
    recorded_jobs: set[int] = field(default_factory=set)
    """Those of `jobs` whose rows change."""
    attempts: list[tuple[int, TaskRun]] = field(default_factory=list)
    """Attempts that ended without ending their task, for the history."""
    log_lines: int = 0
    """How many lines the attempts that ended wrote: they are kept beside the run, and come in their own time."""

    def __bool__(self) -> bool:
        return bool(self.head or self.tasks or self.jobs)


class Run:
    """A run as one replica holds it. `version` is what the database had when this copy was read or written."""

    __slots__ = (
        "_held", "_timers", "facts", "groups", "head", "held_back", "input", "inputs", "items", "jobs", "lists",
        "outputs", "parsed", "plan", "queued", "tasks", "version", "waits",
    )  # fmt: skip

    def __init__(self, facts: RunFacts, plan: Plan, input: Any) -> None:
        """A new run in which nothing has happened."""
        self.facts = facts
        self.plan = plan
        self.input = input
        self.version = 0
        self.head = RunHead(
            RunState.PENDING, facts.created_at, facts.created_at + plan.timeout_micros, len(plan.stages)
        )
        self.tasks = [TaskRun()] * len(plan.steps)
        self.items: dict[int, TaskRun] = {}
        self.groups: dict[int, Group] = {}
        self.lists: dict[int, list[Any]] = {}
        self.jobs = [JobRun(JobState.PENDING, len(stage.steps), len(stage.after)) for stage in plan.stages]
        self.waits = [len(step.after) for step in plan.steps]
        self.inputs: dict[int, bytes] = {}
        self.outputs: dict[int, bytes] = {}
        self.parsed: dict[int, Any] = {}
        self.queued: set[int] = set()
        self.held_back: set[int] = set()
        """Who waits for a place: queued tasks that are not handed out, and RUN."""
        self._held = 0
        self._timers: list[tuple[int, int]] = []

    def task_run_id(self, index: int) -> str:
        """The id of a task run, which is also the idempotency key of its effect: the same for every attempt."""
        return f"{self.facts.run_id}-{index}"

    def has(self, index: int) -> bool:
        """Whether there is such a task, or such an item (yet)."""
        return 0 <= index < len(self.tasks) or index in self.items

    def task(self, index: int) -> TaskRun:
        """A task, or an item that was begun. Raises LookupError for anything else."""
        return self.tasks[index] if index < STRIDE else self.items[index]

    def everything(self) -> Iterator[tuple[int, TaskRun]]:
        """All tasks, then all items that were begun."""
        yield from enumerate(self.tasks)
        yield from self.items.items()

    def apply(self, changes: Changes) -> None:
        """Makes a decision's changes true in this copy. O(changes)."""
        if changes.head is not None:
            self.head = changes.head
        for index, job in changes.jobs.items():
            self.jobs[index] = job
        for index, waits in changes.waits.items():
            self.waits[index] = waits
        self.groups.update(changes.groups)
        self.lists.update(changes.lists)
        for index, claim in changes.claims.items():
            (self.held_back.add if claim.slots else self.held_back.discard)(index)
        self.hold(inputs=changes.inputs, outputs=changes.outputs)
        for index, task in changes.tasks.items():
            self.set_task(index, task)

    def hold(self, *, inputs: Mapping[int, bytes] | None = None, outputs: Mapping[int, bytes] | None = None) -> None:
        """Keeps payloads at hand, as they were recorded."""
        for kept, more in ((self.inputs, inputs or {}), (self.outputs, outputs or {})):
            for index, body in more.items():
                self._held += len(body) - len(kept.get(index, b""))
                kept[index] = body

    def set_task(self, index: int, task: TaskRun) -> None:
        if index < STRIDE:
            self.tasks[index] = task
        else:
            self.items[index] = task
        if task.state is TaskState.QUEUED:
            self.queued.add(index)
        else:
            self.queued.discard(index)
        if task.state.terminal:
            self._held -= len(self.inputs.pop(index, b""))
            if self.groups.pop(index, None) is not None:
                self.lists.pop(index, None)
                for item in items_of(index, task.items or 0):
                    # its list of outputs is what is read from now on
                    self._held -= len(self.outputs.pop(item, b""))
        if task.due_at is not None:
            heapq.heappush(self._timers, (task.due_at, index))

    def due(self, now: int) -> list[int]:
        """Tasks whose time has passed, in order of their times. They stay due until their state changes."""
        self._drop_stale_timers()
        found: dict[int, None] = {}
        # the heap's own order: take what is due from a copy only when something is
        if self._timers and self._timers[0][0] <= now:
            for due_at, index in sorted(timer for timer in self._timers if timer[0] <= now):
                if self.task(index).due_at == due_at:
                    found[index] = None
        return list(found)

    def next_due_at(self) -> int | None:
        """When time alone next changes this run; None when it is terminal."""
        if self.head.state.terminal:
            return None
        times = [self.head.deadline]
        if self.head.cancel_due is not None:
            times.append(self.head.cancel_due)
        else:
            self._drop_stale_timers()
            if self._timers:
                times.append(self._timers[0][0])
        return min(times)

    def _drop_stale_timers(self) -> None:
        while self._timers and self.task(self._timers[0][1]).due_at != self._timers[0][0]:
            heapq.heappop(self._timers)

    def size(self) -> int:
        """Roughly the bytes this copy holds, for the cache's bound. Asked after every commit: counted along."""
        return 2_000 + 200 * (len(self.tasks) + len(self.items)) + 4 * self._held


def items_of(index: int, count: int) -> range:
    """The indexes of a task's items."""
    return range(index + STRIDE, index + STRIDE * (count + 1), STRIDE)


def restore(
    run: Run,
    head: RunHead,
    tasks: Mapping[int, TaskRun],
    job_times: Mapping[int, JobRun],
    held_back: Iterable[int] = (),
) -> None:
    """Makes a new Run what its rows say. Counters are derived here, once, instead of being stored."""
    run.held_back.update(held_back)
    plan = run.plan
    # not derived from the tasks: a job without tasks has its turn, too
    finished = {index for index, job in job_times.items() if job.state.terminal}
    for index, task in tasks.items():
        run.set_task(index, task)
    for stage in plan.stages:
        ends = [run.tasks[index] for index in stage.steps]
        stored = job_times.get(stage.index)
        run.jobs[stage.index] = JobRun(
            state=stored.state if stored else JobState.PENDING,
            open=sum(not task.state.terminal for task in ends),
            waits=sum(other not in finished for other in stage.after),
            started_at=stored.started_at if stored else None,
            finished_at=stored.finished_at if stored else None,
            failed=any(task.state in (TaskState.FAILED, TaskState.UPSTREAM_FAILED) for task in ends),
            cancelled=any(task.state is TaskState.CANCELLED for task in ends),
            blocks=any(blocks(run, index) for index in stage.steps),
        )
    for step in plan.steps:
        if step.items is not None and run.tasks[step.index].state is TaskState.RUNNING:
            run.groups[step.index] = _group(run, step.index)
        run.waits[step.index] = sum(not run.tasks[other].state.terminal for other in step.after)
    run.head = replace(
        head,
        open_jobs=len(plan.stages) - len(finished),
        failed=any(run.jobs[index].failed for index in finished),
    )


def _group(run: Run, index: int) -> Group:
    begun = [run.items.get(item) for item in items_of(index, run.tasks[index].items or 0)]
    known = [task for task in begun if task is not None]
    return Group(
        next=begun.index(None) if None in begun else len(begun),
        open=sum(not task.state.terminal for task in known),
        failed=sum(task.state is TaskState.FAILED for task in known),
    )


STOPPED = "upstream_stopped"
MISSING = "upstream_missing"


def blocks_dependents(task: TaskRun, policy: FailurePolicy) -> bool:
    """Whether this end keeps the tasks ordered after it from running, whatever they need."""
    if task.state not in (TaskState.FAILED, TaskState.UPSTREAM_FAILED):
        return False
    stopped = task.failure is not None and task.failure.code == STOPPED
    return stopped or policy is not FailurePolicy.CONTINUE


def blocks(run: Run, index: int) -> bool:
    return blocks_dependents(run.tasks[index], run.plan.steps[index].spec.failure_policy)
