"""What a decision makes of a run: tasks handed out, ended, spread over lists and joined again, until nothing is ready.

`decide` says by a rule what an event does; `Draft` carries out what follows from it, within the same decision.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson

from execution_service.domain.definition import FailurePolicy
from execution_service.domain.events import (
    Admit,
    CancelChild,
    Command,
    Dispatch,
    LookBack,
    StartChild,
    Withdraw,
)
from execution_service.domain.plan import STRIDE, Step
from execution_service.domain.run import (
    MISSING,
    RUN,
    STOPPED,
    Changes,
    Claim,
    Failure,
    Group,
    JobRun,
    JobState,
    Run,
    RunHead,
    RunState,
    Slot,
    TaskRun,
    TaskState,
    blocks_dependents,
    items_of,
)
from execution_service.domain.waits import Kind, WrongWait, wait_for
from expressions import ExpressionError, Template
from kit.payloads import INLINE_LIMIT, PAYLOAD_LIMIT, Stored

REMIND_AFTER = 2_000_000
"""A queued task that has not started by then is handed out again, later and later: its message may never have left."""
KEY_LIMIT = 128
"""Characters that a concurrency key may have."""
MOST_ITEMS = 10_000
"""Items that a list may have which a task runs over."""


@dataclass(frozen=True, slots=True)
class Decision:
    changes: Changes
    commands: list[Command]


class PayloadsNeeded(Exception):
    """The decision reads these tasks' inputs (`in`) or outputs (`out`), which this copy of the run does not hold."""

    def __init__(self, direction: str, indexes: list[int]) -> None:
        super().__init__(direction, indexes)
        self.direction = direction
        self.indexes = indexes


class Draft:
    """The run as it will be: reads fall through to the run, writes stay in `changes`."""

    __slots__ = ("changes", "commands", "head", "now", "ready", "refill", "run")

    def __init__(self, run: Run, now: int) -> None:
        self.run = run
        self.now = now
        self.head: RunHead = run.head
        self.changes = Changes()
        self.commands: list[Command] = []
        self.ready: list[int] = []
        """Tasks that nothing is ordered before any more, in the order in which that happened."""
        self.refill: dict[int, None] = {}
        """Tasks of whose items more may be begun, or whose last item has ended."""

    def decision(self) -> Decision:
        if self.head is not self.run.head:
            self.changes.head = self.head
        if self.changes:
            # the clock is written whenever anything is, so that time never runs backwards within the run
            self.changes.head = replace(self.head, clock=self.now)
        return Decision(self.changes, self.commands)

    def task(self, index: int) -> TaskRun:
        found = self.changes.tasks.get(index)
        return self.run.task(index) if found is None else found

    def record(self, index: int, output: bytes | Stored) -> None:
        if isinstance(output, Stored):
            self.changes.stored[index] = output
        else:
            self.changes.outputs[index] = output

    def group(self, index: int) -> Group | None:
        """What is counted of a task's items; None when it is not being run over a list."""
        return self.changes.groups.get(index) or self.run.groups.get(index)

    def job(self, index: int) -> JobRun:
        found = self.changes.jobs.get(index)
        return self.run.jobs[index] if found is None else found

    def within(self, earliest: int | None, said: int | None) -> int:
        """A time that a worker's clock said (None: it said nothing), not before `earliest` and not in the future."""
        return min(max(said or self.now, earliest or 0), self.now)

    def set_job(self, number: int, job: JobRun) -> None:
        """What is counted changes with every task, what is recorded only when the job begins and ends."""
        if job.recorded != self.run.jobs[number].recorded:
            self.changes.recorded_jobs.add(number)
        self.changes.jobs[number] = job

    def set(self, index: int, task: TaskRun) -> None:
        self.changes.tasks[index] = task

    def held_back(self, index: int) -> bool:
        """Whether it waits for a place."""
        claim = self.changes.claims.get(index)
        return index in self.run.held_back if claim is None else bool(claim.slots)

    def claim(self, index: int, claim: Claim) -> None:
        self.changes.claims[index] = claim
        if not claim.taken and Admit() not in self.commands:
            self.commands.append(Admit())

    def release(self, index: int) -> None:
        """It needs no place any more, or not now."""
        if self.run.plan.step(index).limited:
            self.claim(index, Claim())

    def withdraw(self, index: int, task: TaskRun) -> None:
        """Whoever has this attempt is to let go of it."""
        if task.state in (TaskState.QUEUED, TaskState.RUNNING):
            # nobody has what was held back, and items are asked one by one
            if not self.held_back(index) and self.group(index) is None:
                self.commands.append(Withdraw(index, task.attempt))
        elif task.state is TaskState.WAITING and self.run.plan.step(index).kind is Kind.CHILD:
            self.commands.append(CancelChild(index, task.attempt))

    def open_stages(self) -> None:
        """Every job whose turn has come has it now."""
        for stage in self.run.plan.stages:
            if self.job(stage.index).waits == 0:
                self.open_stage(stage.index)
        self.settle()

    def open_stage(self, stage: int) -> None:
        """The job's turn has come: what nothing in it is ordered before is ready."""
        if self.job(stage).open == 0 and self.job(stage).state is JobState.PENDING:
            self.end_job(stage)
        for index in self.run.plan.stages[stage].steps:
            if self.task(index).state is TaskState.PENDING and self._waits(index) == 0:
                self.ready.append(index)

    def end(self, index: int, task: TaskRun) -> None:
        """Makes a task terminal, and what waited only for it ready; or an item, and room for the next."""
        self.set(index, task)
        self.release(index)
        if index >= STRIDE:
            self._end_item(index % STRIDE, task)
            return
        step = self.run.plan.steps[index]
        job = self.job(step.job)
        ended = replace(
            job,
            state=JobState.RUNNING,
            open=job.open - 1,
            started_at=job.started_at or self.now,
            failed=job.failed or task.state in (TaskState.FAILED, TaskState.UPSTREAM_FAILED),
            cancelled=job.cancelled or task.state is TaskState.CANCELLED,
            blocks=job.blocks or blocks_dependents(task, step.spec.failure_policy),
        )
        self.set_job(step.job, ended)
        for later in step.before:
            waits = self.changes.waits[later] = self._waits(later) - 1
            if waits == 0 and job.waits == 0:
                self.ready.append(later)
        if job.open == 1:
            self.end_job(step.job)

    def end_job(self, number: int) -> None:
        job = self.job(number)
        state = JobState.FAILED if job.failed else JobState.CANCELLED if job.cancelled else JobState.SUCCESS
        self.set_job(number, replace(job, state=state, finished_at=self.now))
        self.head = replace(self.head, open_jobs=self.head.open_jobs - 1, failed=self.head.failed or job.failed)
        for later in self.run.plan.stages[number].before:
            waiting = self.job(later)
            self.set_job(later, replace(waiting, waits=waiting.waits - 1))
            if waiting.waits == 1:
                self.open_stage(later)

    def settle(self) -> None:
        """Decides for every ready task until none is left, then whether the run has ended."""
        while self.ready or self.refill:
            # a stack would go depth first; order of readiness is what people expect to see
            ready, self.ready = self.ready, []
            for index in ready:
                self._enter(index)
            refill, self.refill = self.refill, {}
            for index in refill:
                self._go_on(index)
        if self.head.open_jobs == 0 and not self.head.state.terminal:
            if self.head.state is RunState.CANCELLING:
                self.finish(RunState.CANCELLED, None)
            else:
                self.finish(RunState.FAILED if self.head.failed else RunState.SUCCESS, None)

    def finish(self, state: RunState, failure: Failure | None) -> None:
        self.head = replace(self.head, state=state, finished_at=self.now, cancel_due=None, failure=failure)
        if self.run.plan.definition.concurrency is not None:
            self.claim(RUN, Claim())

    def _enter(self, index: int) -> None:
        """A ready task: never run when stopped or when a needed input is missing, held while paused, skipped when its
        condition is false (which then need not be able to make its input), else queued."""
        task, step = self.task(index), self.run.plan.steps[index]
        if task.state is not TaskState.PENDING or self.head.state is RunState.CANCELLING:
            return
        if self._stopped(step):
            self._fail_upstream(index, Failure(STOPPED))
        elif missing := self._missing(step.asks if step.condition else step.needs):
            self._fail_upstream(index, missing)
        elif self.head.state is RunState.RUNNING:
            self._judge(step)

    def _missing(self, needs: tuple[int, ...]) -> Failure | None:
        """Why a task that needs these outputs can never run; None when all are there."""
        steps = self.run.plan.steps
        missing = [steps[other].spec.key for other in needs if self.task(other).state is not TaskState.SUCCESS]
        return Failure(MISSING, ", ".join(missing)) if missing else None

    def _judge(self, step: Step) -> None:
        """Skips a task whose condition is false; one without a condition, or a true one, is queued."""
        if step.condition is None:
            self._run(step)
            return
        try:
            wanted = self._render(step, step.condition)
        except ExpressionError as error:
            self._fail(step.index, _expression_failure(error))
            return
        if not wanted:
            self.end(step.index, TaskRun(TaskState.SKIPPED, finished_at=self.now))
        elif missing := self._missing(step.needs):
            self._fail_upstream(step.index, missing)
        else:
            self._run(step)

    def _fail(self, index: int, failure: Failure, attempt: int = 0) -> None:
        """A task has failed without running (any more): `attempt` was its last."""
        self.end(index, TaskRun(TaskState.FAILED, attempt, finished_at=self.now, failure=failure))

    def _stopped(self, step: Step) -> bool:
        plan = self.run.plan
        if any(blocks_dependents(self.task(other), plan.steps[other].spec.failure_policy) for other in step.after):
            return True
        return any(self.job(other).blocks for other in plan.stages[step.job].after)

    def _fail_upstream(self, index: int, failure: Failure) -> None:
        self.end(index, TaskRun(TaskState.UPSTREAM_FAILED, finished_at=self.now, failure=failure))

    def _run(self, step: Step) -> None:
        if step.items is None:
            self._queue(step.index)
        else:
            self._expand(step, step.items)

    def _queue(self, index: int, attempt: int = 1) -> None:
        """Makes the task's input and hands it to the workers, or begins to wait for whom it names."""
        step = self.run.plan.step(index)
        try:
            value = self._render(step, step.template, index)
            parameters = orjson.dumps(value)
            wait = None if step.kind is None else wait_for(step.kind, value, self.now)
        except ExpressionError as error:
            self._fail(index, _expression_failure(error), attempt - 1)
            return
        except WrongWait as wrong:
            self._fail(index, Failure("invalid_parameters", wrong.field, details={"field": wrong.field}), attempt - 1)
            return
        # what is waited for is looked up by its row, which holds it whole
        limit = PAYLOAD_LIMIT if wait is None else INLINE_LIMIT
        if len(parameters) > limit:
            self._fail(index, Failure("input_too_large", f"{len(parameters)} > {limit}"), attempt - 1)
            return
        self.changes.inputs[index] = parameters
        if wait is None:
            self._hand_out(index, attempt)
        else:
            self.set(index, TaskRun(TaskState.WAITING, attempt, self.now, self.now, due_at=wait.due_at))
            if step.kind is Kind.CHILD:
                self.commands.append(StartChild(index, attempt))
            elif step.kind is Kind.EVENT:
                self.commands.append(LookBack(index, attempt))
        self._job_runs(step.job)

    def _job_runs(self, number: int) -> None:
        job = self.job(number)
        if job.state is JobState.PENDING:
            self.set_job(number, replace(job, state=JobState.RUNNING, started_at=self.now))

    def _hand_out(self, index: int, attempt: int) -> None:
        step = self.run.plan.step(index)
        task = TaskRun(TaskState.QUEUED, attempt, queued_at=self.now)
        if not step.limited:
            self.set(index, replace(task, due_at=self.patience(index, task)))
            self.commands.append(Dispatch(index, attempt))
            return
        try:
            slots = tuple(self._slots(step, index))
        except ExpressionError as error:
            self._fail(index, _expression_failure(error), attempt - 1)
            return
        limit = int(step.spec.queue_timeout_s * 1_000_000)
        self.set(index, replace(task, due_at=self.now + limit if limit else None))
        self.claim(index, Claim(slots, attempt=attempt, priority=step.spec.priority))

    def patience(self, index: int, task: TaskRun) -> int:
        """When a queued task is looked after: it is handed out again, or has waited too long."""
        limit = int(self.run.plan.step(index).spec.queue_timeout_s * 1_000_000)
        return min(self.now + REMIND_AFTER, (task.queued_at or self.now) + limit) if limit else self.now + REMIND_AFTER

    def _slots(self, step: Step, index: int) -> Iterator[Slot]:
        """The places that an attempt needs. Raises ExpressionError for a key that is no short text."""
        plan, spec = self.run.plan, step.spec
        if spec.queue in plan.queue_limits:
            yield Slot(f"queue:{spec.queue}", plan.queue_limits[spec.queue])
        if step.scope is not None:
            key = self._render(step, step.scope, index)
            if isinstance(key, bool) or not isinstance(key, str | int) or not 0 < len(str(key)) <= KEY_LIMIT:
                raise ExpressionError("evaluation", f"a concurrency key is a text of 1 to {KEY_LIMIT} characters")
            yield Slot(f"{self.run.facts.organization_id}:key:{key}", spec.concurrency_limit)

    def queue_again(self, index: int) -> None:
        """The next attempt, with the input that was resolved for the first; what the engine waits for is asked anew."""
        attempt = self.task(index).attempt + 1
        if self.run.plan.step(index).kind is None:
            self._hand_out(index, attempt)
        else:
            self._queue(index, attempt)

    # a task that runs over a list: its items are task runs of their own, its output is the list of theirs

    def _expand(self, step: Step, template: Template) -> None:
        """Makes the list; `settle` begins the first items."""
        try:
            items = self._render(step, template)
        except ExpressionError as error:
            self._fail(step.index, _expression_failure(error))
            return
        body = orjson.dumps(items)
        if not isinstance(items, list):
            self._fail(step.index, Failure("for_each_no_list", type(items).__name__))
        elif len(items) > MOST_ITEMS:
            self._fail(step.index, Failure("for_each_too_long", f"{len(items)} > {MOST_ITEMS}"))
        elif len(body) > PAYLOAD_LIMIT:
            self._fail(step.index, Failure("input_too_large", f"{len(body)} > {PAYLOAD_LIMIT}"))
        else:
            self.changes.inputs[step.index] = body
            self.changes.lists[step.index] = items
            self.changes.groups[step.index] = Group()
            self.set(step.index, TaskRun(TaskState.RUNNING, 1, self.now, self.now, items=len(items)))
            self._job_runs(step.job)
            self.refill[step.index] = None

    def _end_item(self, index: int, task: TaskRun) -> None:
        group = self.group(index) or Group()
        failed = group.failed + (task.state is TaskState.FAILED)
        self.changes.groups[index] = replace(group, open=group.open - 1, failed=failed)
        self.refill[index] = None

    def _go_on(self, index: int) -> None:
        """Begins as many items as may be open, and ends the task after its last one."""
        task, step, group = self.task(index), self.run.plan.steps[index], self.group(index)
        if group is None or task.state.terminal:
            return
        total, stops = task.items or 0, step.spec.failure_policy is FailurePolicy.STOP
        if self.head.state is RunState.RUNNING:
            while group.next < total and group.open < step.parallel and not (stops and group.failed):
                group = self._begin_item(index, group)
        ended = replace(task, finished_at=self.now)
        if group.open == 0 and self.head.state is RunState.CANCELLING:
            self.end(index, replace(ended, state=TaskState.CANCELLED))
        elif group.open == 0 and (group.next == total or (stops and group.failed)):
            self._join(index, ended, total)

    def _begin_item(self, index: int, group: Group) -> Group:
        item = index + STRIDE * (group.next + 1)
        group = replace(group, next=group.next + 1)
        if item in self.run.items or item in self.changes.tasks:
            self.changes.groups[index] = group  # a rerun has it from the run before
        else:
            self.changes.groups[index] = replace(group, open=group.open + 1)
            self._queue(item)
        return self.changes.groups[index]

    def _join(self, index: int, ended: TaskRun, total: int) -> None:
        """All items that were begun have ended: their outputs in order, or why there is none."""
        items = [item for item in items_of(index, total) if self.run.has(item) or item in self.changes.tasks]
        failed = next((item for item in items if self.task(item).state is TaskState.FAILED), None)
        if failed is not None:
            first = self.task(failed).failure or Failure("internal")
            number = failed // STRIDE - 1
            count = sum(self.task(item).state is TaskState.FAILED for item in items)
            details = {"failed": count, "items": total, "item": number, "error": first.to_json()}
            failure = Failure("items_failed", f"{count}/{total}: [{number}] {first.code}", details=details)
            self.end(index, replace(ended, state=TaskState.FAILED, failure=failure))
            return
        made, held = self.changes.outputs, self.run.outputs
        absent = [item for item in items if item not in made and item not in held]
        if absent:
            raise PayloadsNeeded("out", absent)
        output = b"[" + b",".join(made.get(item) or held[item] for item in items) + b"]"
        if len(output) > PAYLOAD_LIMIT:
            failure = Failure("output_too_large", f"{len(output)} > {PAYLOAD_LIMIT}")
            self.end(index, replace(ended, state=TaskState.FAILED, failure=failure))
            return
        self.changes.outputs[index] = output
        self.end(index, replace(ended, state=TaskState.SUCCESS))

    def _item(self, index: int) -> Any:
        """The value of the list that an item stands for."""
        step, number = index % STRIDE, index // STRIDE - 1
        found = self.changes.lists.get(step) or self.run.lists.get(step)
        if found is None:
            if step not in self.run.inputs:
                raise PayloadsNeeded("in", [step])
            # what a task runs over never changes: keeping it parsed is a memo, not a change
            found = self.run.lists[step] = orjson.loads(self.run.inputs[step])
        return found[number]

    def _render(self, step: Step, template: Template, index: int = 0) -> Any:
        absent = [
            other
            for other in step.reads
            if self.task(other).state is TaskState.SUCCESS
            and other not in self.changes.outputs
            and other not in self.run.outputs
        ]
        if absent:
            raise PayloadsNeeded("out", absent)
        return template.render(partial(self._look_up, index))

    def _look_up(self, index: int, root: tuple[str, ...]) -> Any:
        """The value of a root that an expression of a task or an item names. KeyError when it has none."""
        if root == ("run", "input"):
            return self.run.input
        if root == ("now",):
            return datetime.fromtimestamp(self.now / 1_000_000, UTC)
        if root == ("item",):
            return self._item(index)
        _, key, _ = root  # tasks.<key>.output: plan.NAMES permits no other
        return self._output(self.run.plan.by_key[key])

    def _output(self, index: int) -> Any:
        parsed = self.run.parsed
        if index not in parsed:
            stored = self.changes.outputs.get(index) or self.run.outputs.get(index)
            if stored is None or self.task(index).state is not TaskState.SUCCESS:
                raise KeyError(self.run.plan.steps[index].spec.key)
            # a terminal output never changes: keeping it parsed is a memo, not a change
            parsed[index] = orjson.loads(stored)
        return parsed[index]

    def _waits(self, index: int) -> int:
        found = self.changes.waits.get(index)
        return self.run.waits[index] if found is None else found


def _expression_failure(error: ExpressionError) -> Failure:
    return Failure(f"expression_{error.code}", str(error), details={"path": error.path})
