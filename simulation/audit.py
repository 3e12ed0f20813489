"""What must hold after every commit, and at the end: the promise of the engine, as questions to its database."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from execution_service.domain.definition import FailurePolicy
from execution_service.domain.plan import STRIDE, Plan, Step
from execution_service.domain.run import TERMINAL_RUN, TERMINAL_TASK, RunState, TaskState, items_of
from simulation import capabilities
from simulation.replica import payloads
from simulation.store import Store
from simulation.world import World

_RUNS = (
    "SELECT workflow_run_id, workflow_id, state, version, clock, number, next_due_at, failure, parent FROM workflow_run"
)
_TASKS = "SELECT task_run_id, workflow_run_id, position, state, attempt, version, failure, item_count FROM task_run"
_OUTPUTS = "SELECT task_run_id, body, reference FROM task_io_data WHERE direction = 'out'"
_GOING = (RunState.RUNNING, RunState.PAUSED, RunState.CANCELLING)
_HANDED_OUT = (TaskState.QUEUED, TaskState.RUNNING)


@dataclass
class Seen:
    state: str
    version: int
    attempt: int = 0
    clock: int = 0
    workflow_id: str = ""
    items: int | None = None
    parent: str = ""
    """The run whose child it is."""


def _whole(body: str) -> str:
    """The payload that a row has, or names."""
    return payloads().get(body[1:]).decode() if body.startswith("@") else body


@dataclass
class Audit:
    """Compares the database with what it said before."""

    world: World
    store: Store
    plans: dict[str, Plan]
    runs: dict[str, Seen] = field(default_factory=dict)
    tasks: dict[str, Seen] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    did: dict[str, set[str]] = field(default_factory=dict)
    """What each run made use of (simulation/capabilities.py)."""
    _may_begin: list[tuple[str, int]] = field(default_factory=list)
    _failed_items: set[tuple[str, int]] = field(default_factory=set)

    def after_commit(self) -> None:
        try:
            self._look()
        except Exception as error:
            # else the engine would take it for its own and try again
            self.world.violated(f"the audit failed: {error!r}")

    def _look(self) -> None:
        """At what belongs to the runs that this commit changed; `at_the_end` looks at everything."""
        changed = self._runs()
        if changed:
            names = ", ".join("?" * len(changed))
            tasks = self.store.rows(f"{_TASKS} WHERE workflow_run_id IN ({names})", *changed)
            outputs = self.store.rows(f"{_OUTPUTS} AND workflow_run_id IN ({names})", *changed)
            states = self._tasks(changed, tasks)
            self._outputs(outputs)
            self._inputs(changed, states)
            self._items(changed, states)
            self._limited_runs({*changed.values()})
            self._places()

    def _runs(self) -> dict[str, str]:
        """Runs whose version changed: id → workflow."""
        changed = {}
        for run_id, workflow_id, state, version, clock, _, due, failure, parent in self.store.rows(_RUNS):
            seen = self.runs.get(run_id)
            if seen is not None and seen.version == version:
                if seen.state != state:
                    self.world.violated(f"{run_id} became {state} without a new version")
                continue
            changed[run_id] = workflow_id
            if seen is not None:
                if version < seen.version:
                    self.world.violated(f"{run_id} went back from version {seen.version} to {version}")
                if seen.state in TERMINAL_RUN:
                    self.world.violated(f"{run_id} changed after it was {seen.state}: {state}")
                if clock < seen.clock:
                    self.world.violated(f"{run_id}: time ran backwards")
            if (state in TERMINAL_RUN) != (due is None):
                self.world.violated(f"{run_id} is {state} and due at {due}")
            did = self.did.setdefault(run_id, set())
            did |= capabilities.of_run(self.plans[workflow_id], seen.state if seen else None, state, failure)
            above = (parent or "").rpartition("-")[0]
            self.runs[run_id] = Seen(state, version, clock=clock, workflow_id=workflow_id, parent=above)
        return changed

    def _tasks(self, run_ids: Iterable[str], rows: list[tuple[Any, ...]]) -> dict[str, dict[int, str]]:
        """The states of the tasks of these runs, by position."""
        states: dict[str, dict[int, str]] = {run_id: {} for run_id in run_ids}
        for task_run_id, run_id, position, state, attempt, version, failure, items in rows:
            states.setdefault(run_id, {})[position] = state
            seen = self.tasks.get(task_run_id)
            if seen is not None and (seen.state, seen.attempt, seen.version) == (state, attempt, version):
                continue
            if seen is not None:
                if seen.state in TERMINAL_TASK:
                    self.world.violated(f"{task_run_id} changed after it was {seen.state}: {state}")
                if attempt not in (seen.attempt, seen.attempt + 1) and seen.attempt:
                    self.world.violated(f"{task_run_id} went from attempt {seen.attempt} to {attempt}")
            self.tasks[task_run_id] = Seen(state, version, attempt, items=items)
            if run_id not in self.runs:
                continue  # it is being purged
            step = self.plans[self.runs[run_id].workflow_id].step(position)
            self.did[run_id] |= capabilities.of_task(step, position, state, failure)
            if failure is not None:
                self._failure_fits(task_run_id, attempt, json.loads(failure))
            begun = state in (TaskState.QUEUED, TaskState.WAITING) or items is not None
            if begun and state not in TERMINAL_TASK and (seen is None or seen.state == TaskState.PENDING):
                self._may_begin.append((run_id, position))
        return states

    def _inputs(self, changed: dict[str, str], states: dict[str, dict[int, str]]) -> None:
        """A task that begins has what it needs, and all that it is ordered after has ended."""
        for run_id, position in self._may_begin:
            plan, known = self.plans[changed[run_id]], states[run_id]
            step = plan.step(position)
            if position >= STRIDE:
                self._item_may_begin(run_id, position, step, known)
                continue
            for need in {*step.needs, *step.asks}:
                if known.get(need) != TaskState.SUCCESS:
                    self.world.violated(f"{run_id}-{position} began without the output of {need}: {known.get(need)}")
            earlier = list(step.after)
            for stage in plan.stages[step.job].after:
                earlier += plan.stages[stage].steps
            for other in earlier:
                if other not in known or known[other] not in TERMINAL_TASK:
                    self.world.violated(f"{run_id}-{position} began before {other} had ended: {known.get(other)}")
        self._may_begin.clear()

    def _item_may_begin(self, run_id: str, position: int, step: Step, known: dict[int, str]) -> None:
        """An item begins while its task runs, and after a failed one only if that stops nobody."""
        if known.get(step.index) != TaskState.RUNNING:
            self.world.violated(f"{run_id}-{position} began while its task was {known.get(step.index)}")
        if step.spec.failure_policy is FailurePolicy.STOP and (run_id, step.index) in self._failed_items:
            self.world.violated(f"{run_id}-{position} began after another item had failed")

    def _items(self, changed: dict[str, str], states: dict[str, dict[int, str]]) -> None:
        """No more items are open than the task allows, and none without it."""
        for run_id, known in states.items():
            open_ones: Counter[int] = Counter()
            for position, state in known.items():
                if position >= STRIDE:
                    if state not in TERMINAL_TASK:
                        open_ones[position % STRIDE] += 1
                    elif state == TaskState.FAILED:
                        self._failed_items.add((run_id, position % STRIDE))
            for index, count in open_ones.items():
                step = self.plans[changed[run_id]].steps[index]
                if count > step.parallel or known.get(index) != TaskState.RUNNING:
                    self.world.violated(
                        f"{run_id}-{index} is {known.get(index)} with {count} of {step.parallel} items open"
                    )

    def _limited_runs(self, workflows: set[str]) -> None:
        """No more runs of a workflow go on than it allows, but for those that a run above them has a place for."""
        for workflow_id in workflows:
            limit = self.plans[workflow_id].definition.concurrency
            if limit is not None:
                going = [
                    run_id
                    for run_id, seen in self.runs.items()
                    if seen.workflow_id == workflow_id and seen.state in _GOING and not self._stands_below(seen)
                ]
                if len(going) > limit.limit:
                    self.world.violated(f"{workflow_id} has a limit of {limit.limit}: {going}")

    def _stands_below(self, seen: Seen) -> bool:
        """Whether another run of its workflow is among its ancestors."""
        above = self.runs.get(seen.parent)
        while above is not None and above.workflow_id != seen.workflow_id:
            above = self.runs.get(above.parent)
        return above is not None

    def _places(self) -> None:
        """No more places under a limit are held than there are, and whatever runs under one has its place."""
        query = "SELECT scope_name, COUNT(*), MAX(place_limit) FROM scope_place WHERE state <> 'waiting'"
        for scope, held, limit in self.store.rows(f"{query} GROUP BY scope_name"):
            if held > limit:
                self.world.violated(f"{held} of {limit} places of {scope} are held")

    def began(self, task_run_id: str, attempt: int) -> None:
        """A worker begins an attempt: while that is the current one, it has all the places that it needs."""
        seen = self.tasks.get(task_run_id)
        run_id, _, index = task_run_id.rpartition("-")
        run = self.runs.get(run_id)
        if seen is None or run is None or seen.attempt != attempt or seen.state not in _HANDED_OUT:
            return
        if self.plans[run.workflow_id].step(int(index)).limited:
            query = "SELECT scope_name, state FROM scope_place WHERE owner = ?"
            places = self.store.rows(query, task_run_id)
            if not places or any(state != "taken" for _, state in places):
                self.world.violated(f"{task_run_id} was begun and has {places}")

    def _outputs(self, rows: list[tuple[Any, ...]]) -> None:
        fresh = []
        for task_run_id, row, reference in rows:
            # of what is kept apart the row has nothing but the place
            body = row or f"@{reference}"
            seen = self.outputs.get(task_run_id)
            if seen is None:
                self.outputs[task_run_id] = body
                fresh.append((task_run_id, body))
            elif seen != body:
                self.world.violated(f"{task_run_id} has another output now")
        for task_run_id, body in fresh:
            task = self.tasks.get(task_run_id)
            if task is None or task.state != TaskState.SUCCESS:
                self.world.violated(f"{task_run_id} has an output and is {task.state if task else 'unknown'}")
            elif task.attempt == 0:
                if body not in self._earlier(task_run_id):
                    self.world.violated(f"{task_run_id} took over an output that no run has: {body}")
            elif task.items is not None:
                self._joins(task_run_id, task.items, body)
            else:
                self._fits(task_run_id, task.attempt, json.loads(_whole(body)))

    def _joins(self, task_run_id: str, items: int, body: str) -> None:
        """What a task over a list gives is what its items gave, in order, each made from its own value."""
        run_id, _, index = task_run_id.rpartition("-")
        each = [_whole(self.outputs.get(f"{run_id}-{item}", "none")) for item in items_of(int(index), items)]
        joined = _whole(body)
        if joined != f"[{','.join(each)}]":
            self.world.violated(f"{task_run_id} does not join its {items} items: {joined[:1000]} from {each}"[:2000])
            return
        query = "SELECT body, reference FROM task_io_data WHERE task_io_data_id = ?"
        [(row, reference)] = self.store.rows(query, f"{task_run_id}.in")
        values = json.loads(_whole(row or f"@{reference}"))
        for output, value in zip(json.loads(joined), values, strict=True):
            if "item" in output and output["item"] != value:
                self.world.violated(f"{task_run_id}: {output['item']} was made of {value}")

    def _fits(self, task_run_id: str, attempt: int, output: Any) -> None:
        """A worker says which attempt it ran; a child names its run, which that very attempt must have started."""
        if "attempt" in output and output["attempt"] != attempt:
            self.world.violated(f"{task_run_id}: attempt {output['attempt']} was recorded for {attempt}")
        if "run_id" in output:
            query = "SELECT parent, state FROM workflow_run WHERE workflow_run_id = ?"
            found = self.store.rows(query, output["run_id"])
            if found != [(f"{task_run_id}.{attempt}", RunState.SUCCESS)]:
                self.world.violated(f"{task_run_id}: {output['run_id']} was recorded for attempt {attempt}: {found}")

    def _failure_fits(self, task_run_id: str, attempt: int, failure: dict[str, Any]) -> None:
        said = failure.get("details") or {}
        if said.get("attempt", attempt) != attempt:
            self.world.violated(f"{task_run_id}: the failure of attempt {said['attempt']} was recorded for {attempt}")

    def _earlier(self, task_run_id: str) -> set[str]:
        """Outputs of the same task in the run that this one is a rerun of."""
        run_id, _, position = task_run_id.rpartition("-")
        found = self.store.rows("SELECT rerun_of FROM workflow_run WHERE workflow_run_id = ?", run_id)
        return {self.outputs.get(f"{row[0]}-{position}", "") for row in found}

    def _may_be_gone(self, seen: Seen) -> bool:
        """Only a run that has ended, of a workflow whose runs are not kept for ever."""
        return seen.state in TERMINAL_RUN and self.plans[seen.workflow_id].definition.retention_days > 0

    def answered(self, task_run_id: str, attempt: int) -> None:
        """A worker was told that its result is committed: then its attempt has ended, or was not the current one."""
        query = "SELECT state FROM task_run WHERE task_run_id = ? AND attempt = ? AND state IN ('QUEUED', 'RUNNING')"
        for (state,) in self.store.rows(query, task_run_id, attempt):
            self.world.violated(f"{task_run_id}: the result of attempt {attempt} was answered, and it is still {state}")

    # --- at the end -------------------------------------------------------------------------------------------------

    def at_the_end(self, accepted: dict[str, Any]) -> None:
        """`accepted`: ids of runs whose start was answered."""
        self._runs()
        found = {row[0]: row for row in self.store.rows(_RUNS)}
        self._tasks(found, self.store.rows(_TASKS))
        self._outputs(self.store.rows(_OUTPUTS))
        numbers: set[tuple[str, int]] = set()
        for run_id in accepted:
            seen = self.runs.get(run_id)
            if run_id not in found and (seen is None or not self._may_be_gone(seen)):
                self.world.violated(f"{run_id} was accepted and is gone: {seen}")
        for table in ("job_run", "task_run", "task_attempt", "task_io_data", "task_wait"):
            left = self.store.rows(
                f"SELECT COUNT(*) FROM {table} WHERE workflow_run_id NOT IN"  # noqa: S608  # names of our own
                " (SELECT workflow_run_id FROM workflow_run)"
            )
            if left != [(0,)]:
                self.world.violated(f"{left[0][0]} rows of {table} belong to no run")
        tasks: dict[str, dict[int, str]] = {}
        for _, run_id, position, state, *_ in self.store.rows(_TASKS):
            tasks.setdefault(run_id, {})[position] = state
        for run_id, workflow_id, state, _, _, number, *_ in found.values():
            if (workflow_id, number) in numbers:
                self.world.violated(f"number {number} of {workflow_id} was given twice")
            numbers.add((workflow_id, number))
            known = tasks.get(run_id, {})
            if state not in TERMINAL_RUN:
                self.world.violated(f"{run_id} is still {state}: {sorted(known.items())}")
                continue
            open_ones = [position for position, one in known.items() if one not in TERMINAL_TASK]
            if open_ones:
                self.world.violated(f"{run_id} is {state} with open tasks {open_ones}")
            if state == RunState.SUCCESS:
                ends = (TaskState.SUCCESS, TaskState.SKIPPED)
                missing = [step.index for step in self.plans[workflow_id].steps if known.get(step.index) not in ends]
                if missing:
                    self.world.violated(f"{run_id} is SUCCESS without tasks {missing}")
        for task_run_id, seen in self.tasks.items():
            if (seen.state == TaskState.SUCCESS) != (task_run_id in self.outputs):
                self.world.violated(f"{task_run_id} is {seen.state}; output: {task_run_id in self.outputs}")
        for parent, count in self.store.rows(
            "SELECT parent, COUNT(*) FROM workflow_run WHERE parent IS NOT NULL GROUP BY parent HAVING COUNT(*) > 1"
        ):
            self.world.violated(f"{parent} started {count} runs")
        waiting = self.store.rows("SELECT task_wait_id, kind FROM task_wait")
        if waiting:
            self.world.violated(f"nobody waits any more, but it is written: {waiting[:3]}")
        places = self.store.rows("SELECT scope_name, owner, state FROM scope_place")
        if places:
            self.world.violated(f"nothing runs any more, but places are held: {places[:3]}")
        buried = self.store.rows("SELECT event, error FROM dead_event")
        if buried:
            self.world.violated(f"events were buried: {buried[:3]}")
