"""The use cases of execution-service, one function each. They check the organisation, the state and the input; what a
run does then is the engine's."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
import sqlalchemy as sa
import structlog

from execution_service.clients import WorkflowClient
from execution_service.domain.definition import Definition
from execution_service.domain.events import Cancel, Event, Finished, Pause, Resume
from execution_service.domain.plan import Plan
from execution_service.domain.rerun import (
    EmptyRange,
    chosen_tasks,
    range_of_tasks,
    succeeded_items,
    tasks_to_run,
)
from execution_service.domain.run import Failure, Run, RunFacts, RunState, TaskState
from execution_service.engine import Engine, Item, Outcome, begin
from execution_service.heads import Heads
from execution_service.outside import REAL, Outside
from execution_service.storage import history, live, purge
from execution_service.storage import runs as stored
from execution_service.storage import waits as waits_stored
from execution_service.storage.commit import StartKey
from execution_service.together import Together
from execution_service.watch import Watchers
from expressions import ExpressionError
from kit import logs, schemas
from kit.database import Database, is_away, key_reused
from kit.errors import Conflict, FieldError, Invalid, NotFound, Unavailable
from kit.payloads import PayloadStore, Stored

log = structlog.get_logger()

ENGINE_TIMEOUT_S = 10.0
NUMBERS, NUMBERS_MOST = 20, 640
"""Run numbers that a replica takes at a time: twice as many when it needs the next ones within NUMBERS_LAST_S."""
NUMBERS_LAST_S = 5.0
_LOOK_S = 0.05


@dataclass(slots=True)
class _Numbers:
    """A workflow's run numbers that are this replica's: from `next` up to `end`; when they were taken, and how many."""

    next: int = 0
    end: int = 0
    taken_at: float = 0.0
    count: int = 0


@dataclass
class Execution:
    """What the use cases work with."""

    database: Database
    engine: Engine
    workflows: WorkflowClient
    watchers: Watchers
    payloads: PayloadStore
    outside: Outside = REAL
    heads: Heads | None = None
    """Without it workflow-service is asked at each start."""
    _numbers: dict[str, _Numbers] = field(default_factory=dict)
    _numbers_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.resolve = Together(self._resolve)

    async def _resolve(self, organization_id: str, workflow_id: str) -> tuple[int, bool]:
        """The newest version of a workflow and whether it is active."""
        if self.heads is not None:
            return await self.heads(organization_id, workflow_id)
        return await self.outside.run(self.workflows.resolve, organization_id, workflow_id)

    async def next_number(self, workflow_id: str) -> int:
        own = self._numbers.setdefault(workflow_id, _Numbers())
        if own.next == own.end:
            async with self._numbers_lock:
                if own.next == own.end:
                    await self._take_numbers(workflow_id, own)
        own.next += 1
        return own.next - 1

    async def _take_numbers(self, workflow_id: str, own: _Numbers) -> None:
        at = asyncio.get_running_loop().time()
        soon = at - own.taken_at < NUMBERS_LAST_S
        count = min(own.count * 2, NUMBERS_MOST) if own.count and soon else NUMBERS
        first = await self.outside.run(stored.take_numbers, self.database, workflow_id, count)
        own.next, own.end, own.taken_at, own.count = first, first + count, at, count

    def return_numbers(self) -> None:
        """Gives back the run numbers that nobody got, so that the next process goes on without a gap if it can."""
        for workflow_id, own in self._numbers.items():
            # first they are nobody's: what is given back must not be given away here as well
            first, end, own.end = own.next, own.end, own.next
            try:
                stored.return_numbers(self.database, workflow_id, first, end)
            except sa.exc.SQLAlchemyError as error:
                if not is_away(error):
                    raise
                log.warning("numbers_not_returned", error=repr(error)[:500])
                return

    async def decided(self, make: Callable[[Callable[[Outcome], None]], Item]) -> Outcome:
        """Gives the engine an event and waits for its commit. Raises Unavailable when that takes too long or fails."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()

        def done(outcome: Outcome) -> None:
            if not answer.done():
                answer.set_result(outcome)

        self.engine.submit(make(done))
        try:
            outcome = await asyncio.wait_for(answer, ENGINE_TIMEOUT_S)
        except TimeoutError:
            raise Unavailable("unavailable") from None
        if outcome.failed:
            raise Unavailable("unavailable")
        return outcome

    async def send(self, run_id: str, event: Event) -> Run:
        """The run after `event`. Raises NotFound when there is none."""
        outcome = await self.decided(lambda done: Item(run_id, event, done))
        if outcome.run is None:
            raise NotFound("run_not_found")
        return outcome.run


# --- starting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parent:
    """Whose child a run is: `wait_key` is `<task run>.<attempt>`, `depth` the child's own."""

    wait_key: str
    depth: int
    trace_id: str


async def start_run(
    execution: Execution,
    organization_id: str,
    workflow_id: str,
    input: Any,
    *,
    trigger: str = "manual",
    cause: str = "",
    idempotency_key: str | None = None,
    parent: Parent | None = None,
) -> tuple[str, bool]:
    """Accepts a run: its id, and whether it is new. When this returns, the run is durable.

    The same key gives the same run; with another input Invalid. Raises NotFound, Conflict (inactive or empty
    workflow), Invalid (the input does not fit the workflow's schema), Unavailable.
    """
    key = _start_key(organization_id, workflow_id, idempotency_key, input)
    if key is not None:
        # first: a repeated start is answered even when the workflow has changed since
        known = await execution.outside.run(stored.known_start, execution.database, key.start_key_id)
        if known is not None:
            return _known(known, key), False
    plan = await _newest_plan(execution, organization_id, workflow_id)
    if plan.definition.input_schema:
        await execution.outside.run(check_input, plan.definition, input)
    else:
        check_input(plan.definition, input)
    run = await _new_run(execution, plan, input, trigger, cause, parent=parent)
    at_once = False
    if parent is not None and plan.definition.concurrency is not None:
        # it would wait for a place that the run which waits for it holds
        above = await execution.outside.run(stored.ancestors, execution.database, parent.wait_key)
        at_once = workflow_id in above
    return await _begin(execution, run, key, at_once=at_once)


async def _begin(
    execution: Execution,
    run: Run,
    key: StartKey | None,
    reused: dict[int, bytes | Stored] | None = None,
    skipped: tuple[int, ...] = (),
    items: dict[int, bytes | Stored] | None = None,
    at_once: bool = False,
) -> tuple[str, bool]:
    outcome = await execution.decided(lambda done: begin(run, done, key, reused, skipped, items, at_once))
    if outcome.known is not None and key is not None:
        return _known(outcome.known, key), False
    return run.facts.run_id, True


def _known(found: tuple[str, str], key: StartKey) -> str:
    """The run that the key started. Raises Invalid when something else was asked then."""
    body_hash, run_id = found
    if body_hash != key.body_hash:
        raise key_reused()
    return run_id


async def _new_run(
    execution: Execution,
    plan: Plan,
    input: Any,
    trigger: str,
    cause: str,
    *,
    rerun_of: str | None = None,
    parent: Parent | None = None,
) -> Run:
    workflow_id = plan.definition.workflow_id
    number = await execution.next_number(workflow_id)
    facts = RunFacts(
        run_id=execution.outside.new_id(),
        organization_id=plan.definition.organization_id,
        number=number,
        trigger=trigger,
        cause=cause[:255],
        trace_id=parent.trace_id if parent else logs.trace_id.get() or logs.new_trace_id(),
        created_at=execution.outside.now(),
        rerun_of=rerun_of,
        parent=parent.wait_key if parent else None,
        depth=parent.depth if parent else 0,
    )
    return Run(facts, plan, input)


async def _newest_plan(execution: Execution, organization_id: str, workflow_id: str) -> Plan:
    version, active = await execution.resolve(organization_id, workflow_id)
    if not active:
        raise Conflict("workflow_inactive")
    plan = execution.engine.held_plan(workflow_id, version)
    if plan is None:
        plan = await execution.outside.run(_find_plan, execution, organization_id, workflow_id, version)
    return plan


def _find_plan(execution: Execution, organization_id: str, workflow_id: str, version: int) -> Plan:
    try:
        return execution.engine.plan(workflow_id, version)
    except KeyError:
        definition = execution.workflows.definition(organization_id, workflow_id, version)
    try:
        plan = execution.engine.compile(definition)
    except (ValueError, ExpressionError) as error:
        raise Conflict("definition_broken", reason=str(error)) from error
    stored.save_definition(execution.database, definition)
    return execution.engine.keep_plan(plan)


def _start_key(organization_id: str, workflow_id: str, key: str | None, body: Any) -> StartKey | None:
    if key is None:
        return None
    name = hashlib.sha256("\0".join((organization_id, workflow_id, key)).encode()).hexdigest()
    return StartKey(name, hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest())


def check_input(definition: Definition, input: Any) -> None:
    """Raises Invalid naming each field that does not fit the workflow's input schema."""
    if not isinstance(input, dict):
        raise Invalid.field("body.input", "dict_type")
    if not definition.input_schema:
        return
    try:
        found = schemas.errors(orjson.dumps(definition.input_schema), input)
    except schemas.TooExpensive:
        raise Invalid.field("body.input", "schema_too_expensive") from None
    if found:
        raise Invalid("invalid", fields=tuple(schema_faults("body.input", found)))


def schema_faults(field: str, found: list[Any]) -> Iterator[FieldError]:
    """What a schema found wrong with a value that stands in `field`, each at its place."""
    for error in sorted(found, key=lambda error: [str(part) for part in error.path])[:20]:
        place = f"{field}{_json_path(error.absolute_path)}"
        yield FieldError(place, "schema_error", (("reason", _short(error.message)),))


def _short(message: str) -> str:
    """The library quotes the whole value."""
    return message if len(message) <= 300 else message[:299] + "…"


def _json_path(path: Any) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


# --- what a person can do to a run ------------------------------------------------------------------------------------


async def cancel_run(execution: Execution, organization_id: str, run_id: str) -> RunState:
    """Asks a run to end; it is terminal within ten seconds. Raises NotFound; Conflict when it ended otherwise."""
    await execution.outside.run(history.read_state, execution.database, organization_id, run_id)
    run = await execution.send(run_id, Cancel(execution.outside.now()))
    if run.head.state in (RunState.SUCCESS, RunState.FAILED):
        raise Conflict("run_finished", state=str(run.head.state))
    return run.head.state


async def pause_run(execution: Execution, organization_id: str, run_id: str) -> RunState:
    """No further task is handed out until `resume_run`, of it and of the runs below it; what runs goes on.

    Raises Conflict naming the state.
    """
    await execution.outside.run(history.read_state, execution.database, organization_id, run_id)
    # the run goes on after this event: what it is then is no answer to this one
    state = (await execution.send(run_id, Pause(execution.outside.now()))).head.state
    if state is not RunState.PAUSED:
        raise Conflict("run_not_running", state=str(state))
    for child in await execution.outside.run(waits_stored.open_children, execution.database, organization_id, run_id):
        with suppress(Conflict, NotFound):  # it waits for its turn, or has ended meanwhile
            await pause_run(execution, organization_id, child)
    return state


async def resume_run(execution: Execution, organization_id: str, run_id: str) -> RunState:
    state = await execution.outside.run(history.read_state, execution.database, organization_id, run_id)
    if state is not RunState.PAUSED:
        raise Conflict("run_not_paused", state=str(state))
    # those below first: who dies in between leaves a run that is paused and can be resumed again, and not one that goes
    # on and waits for a paused one for ever
    await _resume_children(execution, organization_id, run_id)
    resumed = (await execution.send(run_id, Resume(execution.outside.now()))).head.state
    # the sweep, which pauses what goes on below a paused run, may have come in between
    await _resume_children(execution, organization_id, run_id)
    return resumed


async def _resume_children(execution: Execution, organization_id: str, run_id: str) -> None:
    for child in await execution.outside.run(waits_stored.open_children, execution.database, organization_id, run_id):
        with suppress(Conflict, NotFound):
            await resume_run(execution, organization_id, child)


MOST_CHOSEN = 1_000
"""Tasks that a rerun may name."""
_MAKING_A_RERUN = 600 * 1_000_000
"""Microseconds, more than any takes from its first look at the source to its commit."""


@dataclass(frozen=True, slots=True)
class Again:
    """What a rerun runs again: everything; `failed`; `from_task` on, or only up to `to_task`; just `tasks` (keys); or
    of one task that ran over a list just item number `item`, and such items as have no output.

    `latest`: by the workflow's newest version instead of the run's own.
    """

    failed: bool = False
    from_task: str | None = None
    to_task: str | None = None
    tasks: tuple[str, ...] = ()
    latest: bool = False
    item: int | None = None


async def rerun(
    execution: Execution,
    organization_id: str,
    run_id: str,
    again: Again = Again(),
    *,
    cause: str = "",
    idempotency_key: str | None = None,
) -> tuple[str, bool]:
    """Starts a new run of an ended one. Recorded outputs of what does not run again are copied; without one it is
    skipped. Raises NotFound, Conflict (not ended, naming its state; items of another version's list), Invalid (an
    unknown task or item, an empty range)."""
    # what is read and reused of it must not be removed meanwhile; from the commit on the rerun itself keeps it
    until = execution.outside.now() + _MAKING_A_RERUN
    await execution.outside.run(purge.put_off, execution.database, organization_id, run_id, until)
    await execution.outside.run(history.read_state, execution.database, organization_id, run_id)
    old = await execution.outside.run(stored.load_run, execution.database, run_id, execution.engine.plan)
    if old is None:
        raise NotFound("run_not_found")
    if not old.head.state.terminal:
        raise Conflict("run_not_finished", state=str(old.head.state))
    plan = old.plan
    if again.latest:
        plan = await _newest_plan(execution, organization_id, plan.definition.workflow_id)
    chosen = _chosen(old, plan, again)
    recorded = {
        old.plan.by_key[step.spec.key]: step.index
        for step in plan.steps
        if step.index not in chosen and _succeeded(old, step.spec.key)
    }
    loaded = await execution.outside.run(stored.find_payloads, execution.database, old, list(recorded), "out")
    reused = {recorded[index]: body for index, body in loaded.items()}
    skipped = tuple(step.index for step in plan.steps if step.index not in chosen and step.index not in reused)
    kept = _kept_items(old, plan, chosen, again)
    items = await execution.outside.run(stored.find_payloads, execution.database, old, kept, "out") if kept else {}
    body = {"rerun_of": run_id, **{name: value for name, value in asdict(again).items() if value is not None}}
    key = _start_key(organization_id, plan.definition.workflow_id, idempotency_key, body)
    run = await _new_run(execution, plan, old.input, "rerun", cause, rerun_of=run_id)
    return await _begin(execution, run, key, reused, skipped, items)


def _kept_items(old: Run, plan: Plan, chosen: set[int], again: Again) -> list[int]:
    """The items that do not run again although their task does, by index."""
    if again.item is not None:
        [task] = chosen
        if plan is not old.plan:
            raise Conflict("items_of_another_version", version=old.plan.definition.version)
        if not 0 <= again.item < (old.tasks[task].items or 0):
            raise Invalid.field("body.item", "item_unknown", items=old.tasks[task].items or 0)
        return succeeded_items(old, task, but=again.item)
    if again.failed and plan is old.plan:
        return [
            item for task in sorted(chosen) if not chosen.intersection(plan.steps[task].reads)
            for item in succeeded_items(old, task)
        ]  # fmt: skip
    return []


def _chosen(old: Run, plan: Plan, again: Again) -> set[int]:
    """The tasks of `plan` that run again."""
    try:
        if again.tasks:
            return chosen_tasks(plan, again.tasks)
        if again.from_task is not None and again.to_task is not None:
            return range_of_tasks(plan, again.from_task, again.to_task)
        return tasks_to_run(old, plan, failed=again.failed, from_task=again.from_task)
    except KeyError as error:
        [key] = error.args
        field = "from_task" if key == again.from_task else "to_task"
        if again.tasks:
            field = "tasks" if again.item is None else "task"
        raise Invalid.field(f"body.{field}", "task_key_unknown", key=key) from None
    except EmptyRange:
        raise Invalid.field("body.to_task", "task_not_after", key=again.from_task) from None


def _succeeded(run: Run, key: str) -> bool:
    index = run.plan.by_key.get(key)
    return index is not None and run.tasks[index].state is TaskState.SUCCESS


async def complete_task(
    execution: Execution,
    organization_id: str,
    task_run_id: str,
    attempt: int,
    *,
    output: Any = None,
    failure: Failure | None = None,
) -> bool:
    """Gives a task's result from outside a worker. False when the attempt is stale or the task has ended."""
    run_id, index = split_task_run_id(task_run_id)
    await execution.outside.run(history.read_state, execution.database, organization_id, run_id)
    body = None if failure else orjson.dumps(output)
    run = await execution.send(
        run_id, Finished(execution.outside.now(), index, attempt, output=body, failure=failure, worker="peer")
    )
    if not run.has(index):
        raise NotFound("task_run_not_found")
    task = run.task(index)
    return task.attempt == attempt and task.worker == "peer" and task.state is not TaskState.QUEUED


def split_task_run_id(task_run_id: str) -> tuple[str, int]:
    """`<run>-<index>`. Raises NotFound for anything else."""
    run_id, mark, index = task_run_id.rpartition("-")
    if not mark or not index.isascii() or not index.isdigit() or len(index) > 10:
        raise NotFound("task_run_not_found")
    return run_id, int(index)


# --- following -------------------------------------------------------------------------------------------------------


async def until_logged(execution: Execution, run_id: str) -> None:
    """Waits for the last lines of a run that ended just now: they are kept beside its commits, a moment later."""
    for _ in range(int(live.LINES_COME_S / _LOOK_S)):
        head = (await execution.outside.run(live.read_heads, execution.database, [run_id])).get(run_id)
        if head is None or not head.lacks_lines(execution.outside.now()):
            return
        await asyncio.sleep(_LOOK_S)


async def watch_run(
    execution: Execution, organization_id: str, run_id: str, after_version: int = 0
) -> AsyncIterator[dict[str, Any]]:
    """The run as it is, then again after each change, until it is terminal. Raises NotFound before the first."""
    seen = after_version
    while True:
        found = await execution.outside.run(
            history.read_run, execution.database, organization_id, run_id, execution.engine.plan
        )
        if found["version"] > seen:
            seen = found["version"]
            yield found
        if RunState(found["state"]).terminal:
            return
        version = found["version"]
        while version == found["version"]:
            await execution.watchers.changed(run_id)
            # only its number: a run may have thousands of tasks
            version = await execution.outside.run(history.read_version, execution.database, organization_id, run_id)
