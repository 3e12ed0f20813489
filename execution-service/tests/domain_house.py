"""A run told by hand: no clock, no database, no broker. `Story` keeps what a database would, to restore from it."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from execution_service.domain.decide import decide
from execution_service.domain.definition import Definition, JobSpec, TaskSpec
from execution_service.domain.draft import Decision, PayloadsNeeded
from execution_service.domain.events import (
    Admit,
    Begin,
    Cancel,
    CancelChild,
    Command,
    Dispatch,
    Event,
    Finished,
    Grant,
    LookBack,
    Pause,
    Remind,
    Resume,
    StartChild,
    Started,
    Tick,
    Withdraw,
)
from execution_service.domain.plan import STRIDE, Plan, compile_plan
from execution_service.domain.run import (
    RUN,
    Claim,
    Failure,
    JobRun,
    JobState,
    Run,
    RunFacts,
    RunState,
    TaskRun,
    TaskState,
    items_of,
    restore,
)

T0 = 1_800_000_000_000_000
SECOND = 1_000_000


def task(key: str, *after: str, parameters: Any = None, **said: Any) -> TaskSpec:
    """A placement ordered after those tasks of its job."""
    return TaskSpec(key, "test.increment", parameters=parameters, depends_on=after, **said)


def reads(key: str, *after: str, **said: Any) -> TaskSpec:
    """A placement ordered after those tasks whose input is made of all their outputs."""
    return task(key, *after, parameters={other: out(other) for other in after}, **said)


def out(key: str) -> str:
    return f"${{{{ tasks.{key}.output }}}}"


def maybe(key: str) -> str:
    return f"${{{{ optional(tasks.{key}.output, null) }}}}"


def job(key: str, *tasks: TaskSpec, after: tuple[str, ...] = ()) -> JobSpec:
    return JobSpec(key, tasks, depends_on=after)


def workflow(*jobs: JobSpec, **said: Any) -> Definition:
    return Definition("org1", "workflow", 1, "Workflow", jobs, **said)


def sequence(length: int, **said: Any) -> Definition:
    """One job of tasks that each read the one before."""
    tasks = [task("t0", **said)] + [reads(f"t{i}", f"t{i - 1}", **said) for i in range(1, length)]
    return workflow(job("main", *tasks))


class Story:
    """One run from its acceptance on. `tell` decides and applies; the commands of every decision are kept."""

    def __init__(self, definition: Definition | Plan, input: Any = None, run_id: str = "run") -> None:
        self.plan = definition if isinstance(definition, Plan) else compile_plan(definition)
        self.claims: dict[int, Claim] = {}
        self.facts = RunFacts(run_id, "org1", 1, "manual", "user", "0" * 32, T0)
        self.input = input if input is not None else {}
        self.run = Run(self.facts, self.plan, self.input)
        self.now = T0
        self.rows: dict[int, TaskRun] = {}
        self.job_rows: dict[int, JobRun] = {}
        self.recorded: dict[int, list[bytes]] = {}
        self.inputs: dict[int, bytes] = {}
        self.attempts: list[tuple[int, TaskRun]] = []

    # --- telling ---

    def decide(self, event: Event) -> Decision:
        """What the event would do; outputs that this copy does not hold are loaded as the shell would."""
        while True:
            try:
                return decide(self.run, event)
            except PayloadsNeeded as needed:
                if needed.direction == "in":
                    self.run.hold(inputs={index: self.inputs[index] for index in needed.indexes})
                else:
                    self.run.hold(outputs={index: self.recorded[index][-1] for index in needed.indexes})

    def tell(self, event: Event) -> Decision:
        decision = self.decide(event)
        self.apply(decision)
        return decision

    def apply(self, decision: Decision) -> None:
        changes = decision.changes
        self.run.apply(changes)
        self.rows |= changes.tasks
        self.job_rows |= {index: self.run.jobs[index] for index in changes.recorded_jobs}
        for index, body in changes.outputs.items():
            self.recorded.setdefault(index, []).append(body)
        self.inputs |= changes.inputs
        self.claims |= changes.claims
        self.attempts += changes.attempts

    def begin(self, **reused: Any) -> Decision:
        outputs = {self.index(key): orjson.dumps(value) for key, value in reused.items()}
        return self.tell(Begin(self.now, outputs))

    def started(self, key: str, attempt: int = 1, **said: Any) -> Decision:
        return self.tell(
            Started(**{"at": self.now, "started_at": self.now, "worker": "w"} | said, **self._at(key, attempt))
        )

    def done(self, key: str, output: Any = 1, attempt: int = 1, **said: Any) -> Decision:
        return self.tell(Finished(self.now, output=orjson.dumps(output), **said, **self._at(key, attempt)))

    def fails(self, key: str, code: str = "broken", retryable: bool = False, attempt: int = 1, **said: Any) -> Decision:
        failure = Failure(code, "it broke", retryable)
        return self.tell(Finished(self.now, failure=failure, **said, **self._at(key, attempt)))

    def stops(self, key: str, attempt: int = 1) -> Decision:
        """The worker reports that the attempt was cancelled."""
        return self.tell(Finished(self.now, cancelled=True, **self._at(key, attempt)))

    def after(self, seconds: float) -> Decision:
        """Time passes, and the run is told."""
        self.now += int(seconds * SECOND)
        return self.tell(Tick(self.now))

    def cancel(self) -> Decision:
        return self.tell(Cancel(self.now))

    def pause(self) -> Decision:
        return self.tell(Pause(self.now))

    def grant(self, key: str | None = None, attempt: int = 1) -> Decision:
        """There is a place: for the run, or for this attempt."""
        return self.tell(Grant(self.now, RUN) if key is None else Grant(self.now, self.index(key), attempt))

    def resume(self) -> Decision:
        return self.tell(Resume(self.now))

    def remind(self, lost: bool = False) -> Decision:
        return self.tell(Remind(self.now, lost=lost))

    # --- asking ---

    def index(self, key: str) -> int:
        """Of a task by its key, of an item by `key[number]`."""
        name, _, item = key.partition("[")
        index = self.plan.by_key[name]
        return items_of(index, int(item[:-1]) + 1)[-1] if item else index

    def name(self, index: int) -> str:
        key = self.plan.step(index).spec.key
        return key if index < STRIDE else f"{key}[{index // STRIDE - 1}]"

    def _at(self, key: str, attempt: int) -> dict[str, Any]:
        return {"index": self.index(key), "attempt": attempt}

    def task(self, key: str) -> TaskRun:
        return self.run.task(self.index(key))

    def states(self) -> dict[str, TaskState]:
        return {self.name(index): task.state for index, task in self.run.everything()}

    def jobs(self) -> dict[str, JobState]:
        return {stage.key: self.run.jobs[stage.index].state for stage in self.plan.stages}

    @property
    def state(self) -> RunState:
        return self.run.head.state

    def input_of(self, key: str) -> Any:
        return orjson.loads(self.inputs[self.index(key)])

    def named(self, commands: list[Command]) -> list[str]:
        """Commands as text: `+key.attempt` is a dispatch, `-` a withdrawal, `>` and `x` start and cancel a child, `<`
        looks back at events, `admit` asks for places."""
        marks = {Dispatch: "+", Withdraw: "-", StartChild: ">", CancelChild: "x", LookBack: "<"}
        return [
            "admit" if isinstance(c, Admit) else f"{marks[type(c)]}{self.name(c.index)}.{c.attempt}" for c in commands
        ]

    def restored(self) -> Run:
        """The run as another process would read it from its rows."""
        fresh = Run(self.facts, self.plan, self.input)
        rows = {index: JobRun(row.state, 0, 0, row.started_at, row.finished_at) for index, row in self.job_rows.items()}
        waiting = [index for index, claim in self.claims.items() if claim.slots]
        restore(fresh, replace(self.run.head, open_jobs=0, failed=False), self.rows, rows, waiting)
        return fresh


def begun(definition: Definition, input: object = None) -> Story:
    story = Story(definition, input)
    story.begin()
    return story


def pair(**first: object) -> Story:
    """`a` with what is said, and `b` ordered after it without reading it."""
    return begun(workflow(job("main", task("a", **first), task("b", "a"))))


def snapshot(run: Run) -> Mapping[str, Any]:
    """All that a run is, deeply copied, but for payloads."""
    return {
        "head": run.head,
        "tasks": list(run.tasks),
        "items": dict(run.items),
        "groups": dict(run.groups),
        "jobs": list(run.jobs),
        "waits": list(run.waits),
        "queued": set(run.queued),
        "held_back": set(run.held_back),
        "input": copy.deepcopy(run.input),
        "version": run.version,
        "next": run.next_due_at(),
    }


def payloads(run: Run) -> Mapping[str, Any]:
    return {"inputs": dict(run.inputs), "outputs": dict(run.outputs), "size": run.size()}
