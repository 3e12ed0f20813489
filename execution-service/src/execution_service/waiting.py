"""What waiting tasks are joined to: events, people's answers, and the runs that other runs start.

Every join is made at once by who sees its second half, and again by a sweep, since anybody may die in between. All of
them end in an event for the engine, which takes the first and knows the others for repetitions.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from prometheus_client import Counter

from execution_service import app as use
from execution_service.domain.events import CancelChild, Finished, LookBack, StartChild
from execution_service.domain.run import Failure, Run, RunState, TaskState
from execution_service.domain.waits import HUMAN, Kind, instant, matches
from execution_service.engine import Item, Outcome, Outgoing
from execution_service.storage import history
from execution_service.storage import runs as stored
from execution_service.storage import waits as waits_stored
from execution_service.storage.waits import ReceivedEvent, Waiting
from kit import schemas
from kit.database import key_reused
from kit.errors import Conflict, Error, Invalid, NotFound, Unavailable

DEPTH = 10
"""So many runs may stand below one another."""
PAGE = 200
EVENT_LIMIT = 64 * 1024
"""Bytes of JSON that an event's data may have."""
OVERLAP = 60_000_000
"""Microseconds that one sweep looks back behind the last: for clocks that differ and commits that took long."""
PATIENCE = 2_000_000
"""Microseconds that whoever decided to start a child has for it, before the sweep does."""
EVENTS_KEPT = 31 * 24 * 3600 * 1_000_000
"""Longer than a run lasts that says nothing else: no wait looks back further."""

log = structlog.get_logger()
_answered = Counter("waits_answered_total", "Waiting tasks that were given what they waited for", ["kind"])


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's: `approved` to an approval, `values` to a form."""

    by: str
    approved: bool | None = None
    values: dict[str, Any] | None = None
    comment: str = ""


class Joins:
    """Lives on the event loop; `send` is the dispatcher's way in, `run_once` the sweep."""

    def __init__(self, execution: use.Execution) -> None:
        self._execution = execution
        self._outside = execution.outside
        self._database = execution.database
        self._tasks: set[asyncio.Task[None]] = set()
        self._swept = 0

    # --- at once -----------------------------------------------------------------------------------------------------

    def send(self, outgoing: Outgoing) -> None:
        """Carries out a command about a waiting task, without being waited for."""
        task_run_id = outgoing.run.task_run_id(outgoing.command.index)
        match outgoing.command:
            case StartChild():
                self._in_background(self._start_waited(task_run_id))
            case CancelChild(_, attempt):
                self._in_background(self._cancel_child(f"{task_run_id}.{attempt}"))
            case LookBack():
                self._in_background(self._look_back_for(task_run_id))

    def ended(self, run: Run) -> None:
        """A run has ended: who waits for it is answered."""
        if run.facts.parent is not None:
            self._in_background(self._answer_parent(run.facts.run_id))

    def _in_background(self, work: Any) -> None:
        async def quietly() -> None:
            try:
                await work
            except Exception as error:
                log.warning("join_failed", error=repr(error)[:500])  # the sweep does it again

        task = asyncio.get_running_loop().create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- the sweep ---------------------------------------------------------------------------------------------------

    async def run_once(self) -> int:
        """Makes the joins that nobody made; how many it tried."""
        at, run = self._outside.now(), self._outside.run
        tried = 0
        for wait in await run(waits_stored.childless, self._database, at - PATIENCE, PAGE):
            await self._start_child(wait)
            tried += 1
        for run_id in await run(waits_stored.ended_children, self._database, PAGE):
            await self._answer_parent(run_id)
            tried += 1
        for organization_id, run_id in await run(waits_stored.orphans, self._database, PAGE):
            await self._cancel(organization_id, run_id)
            tried += 1
        for organization_id, run_id in await run(waits_stored.unpaused_children, self._database, PAGE):
            await self._pause(organization_id, run_id)
            tried += 1
        return tried + await self._sweep_events(at)

    async def _sweep_events(self, at: int) -> int:
        tried, since, after = 0, self._swept, ""
        while waits := await self._outside.run(waits_stored.recent_event_waits, self._database, since, after, PAGE):
            for wait in waits:
                await self._look_back(wait)
            tried, after = tried + len(waits), waits[-1].task_run_id
        place = (0, "")
        # what every wait has looked back at needs no second look on the first sweep of a process
        while since and (
            events := await self._outside.run(waits_stored.recent_events, self._database, since, place, PAGE)
        ):
            for organization_id, event in events:
                await self._tell(organization_id, event)
            tried, place = tried + len(events), (events[-1][1].at, events[-1][1].event_id)
        self._swept = max(at - OVERLAP, 1)
        return tried

    async def drop_old(self) -> int:
        """Removes events that no wait looks back to any more, a small batch at a time; how many."""
        return await self._outside.run(
            waits_stored.drop_events, self._database, self._outside.now() - EVENTS_KEPT, 1000
        )

    # --- events ------------------------------------------------------------------------------------------------------

    async def publish(self, organization_id: str, name: str, data: Any, key: str | None) -> tuple[str, bool]:
        """Records an event, then gives it to who waits for it: its id, and whether it is new.

        When this returns, the event is durable. The same key gives the same event; with another body Invalid, as for a
        name that is none or data that is no object or too large.
        """
        if not isinstance(name, str) or not 0 < len(name) <= 128 or not name.isprintable():
            raise Invalid.field("body.name", "event_name_invalid")
        if not isinstance(data, dict):
            raise Invalid.field("body.data", "dict_type")
        if len(orjson.dumps(data)) > EVENT_LIMIT:
            raise Invalid.field("body.data", "event_too_large", limit=EVENT_LIMIT)
        event_id = self._outside.new_id()
        if key is not None:
            event_id = hashlib.sha256("\0".join((organization_id, "event", key)).encode()).hexdigest()[:64]
        event = ReceivedEvent(event_id, name, data, self._outside.now())
        new = await self._outside.run(waits_stored.save_event, self._database, organization_id, event)
        if not new:
            known = await self._outside.run(waits_stored.read_event, self._database, organization_id, event_id)
            if known is None or (known.name, known.data) != (name, data):
                raise key_reused()
            event = known
        await self._tell(organization_id, event)
        return event_id, new

    async def _tell(self, organization_id: str, event: ReceivedEvent) -> None:
        after = ""
        while waits := await self._outside.run(
            waits_stored.waits_for_event, self._database, organization_id, event.name, event.at, after, PAGE
        ):
            for wait in waits:
                if matches(wait.body.get("match", {}), event.data):
                    self._answer_event(wait, event)
            after = waits[-1].task_run_id

    async def _look_back_for(self, task_run_id: str) -> None:
        wait = await self._outside.run(waits_stored.read_wait, self._database, task_run_id)
        if wait is not None:
            await self._look_back(wait)

    async def _look_back(self, wait: Waiting) -> None:
        """Gives a wait the first event that matches and came since its run began."""
        place = (0, "")
        while events := await self._outside.run(waits_stored.events_for, self._database, wait, place, PAGE):
            for event in events:
                if matches(wait.body.get("match", {}), event.data):
                    self._answer_event(wait, event)
                    return
            place = (events[-1].at, events[-1].event_id)

    def _answer_event(self, wait: Waiting, event: ReceivedEvent) -> None:
        output = {"event_id": event.event_id, "name": event.name, "data": event.data, "at": instant(event.at)}
        self._submit(wait, Kind.EVENT, output=output)

    # --- children ----------------------------------------------------------------------------------------------------

    async def _start_waited(self, task_run_id: str) -> None:
        wait = await self._outside.run(waits_stored.read_wait, self._database, task_run_id)
        if wait is not None:
            await self._start_child(wait)

    async def _start_child(self, wait: Waiting) -> None:
        """Starts the run that a task waits for, once: its attempt is the start key. What cannot be started fails it.

        Of a run that is paused nothing is started: the sweep does it when it goes on.
        """
        if wait.paused:
            return
        if wait.depth >= DEPTH:
            self._submit(wait, Kind.CHILD, failure=Failure("child_too_deep", str(DEPTH)))
            return
        try:
            await use.start_run(
                self._execution,
                wait.organization_id,
                wait.name,
                wait.body.get("input", {}),
                trigger="parent_run",
                cause=wait.task_run_id,
                idempotency_key=f"child {wait.wait_key}",
                parent=use.Parent(wait.wait_key, wait.depth + 1, wait.trace_id),
            )
        except Unavailable:
            raise
        except Error as error:
            details = {"workflow_id": wait.name, "reason": error.code}
            self._submit(wait, Kind.CHILD, failure=Failure("child_not_started", error.code, details=details))

    async def _answer_parent(self, run_id: str) -> None:
        child = await self._outside.run(stored.load_run, self._database, run_id, self._execution.engine.plan)
        if child is None or child.facts.parent is None or not child.head.state.terminal:
            return
        wait_key = child.facts.parent
        wait = await self._outside.run(waits_stored.read_wait, self._database, wait_key.rpartition(".")[0])
        if wait is None or wait.wait_key != wait_key:
            return
        said = {"run_id": run_id, "number": child.facts.number, "state": str(child.head.state)}
        if child.head.state is RunState.SUCCESS:
            self._submit(wait, Kind.CHILD, output={**said, "output": await self._output_of(child, wait)})
        else:
            code = "child_cancelled" if child.head.state is RunState.CANCELLED else "child_failed"
            message = f"#{child.facts.number} {child.head.state}"
            details = {**said, **_first_failure(child)}
            self._submit(wait, Kind.CHILD, failure=Failure(code, message, retryable=True, details=details))

    async def _output_of(self, child: Run, wait: Waiting) -> dict[str, Any]:
        """What a run that succeeded gives to who waits for it: the outputs of its last tasks, or of those that are
        asked for by key, where a task that was skipped has null as everywhere."""
        asked = [child.plan.by_key[key] for key in wait.body.get("outputs", ()) if key in child.plan.by_key]
        done = [index for index in asked or child.plan.ends if child.tasks[index].state is TaskState.SUCCESS]
        found = await self._outside.run(
            stored.load_payloads, self._database, child, done, "out", self._execution.payloads
        )
        skipped = {child.plan.steps[index].spec.key: None for index in asked}
        return skipped | {child.plan.steps[index].spec.key: orjson.loads(found[index]) for index in done}

    async def _cancel_child(self, wait_key: str) -> None:
        found = await self._outside.run(waits_stored.child_of, self._database, wait_key)
        if found is not None:
            await self._cancel(*found)

    async def _cancel(self, organization_id: str, run_id: str) -> None:
        try:
            await use.cancel_run(self._execution, organization_id, run_id)
        except (Conflict, NotFound):
            pass  # it ended meanwhile

    async def _pause(self, organization_id: str, run_id: str) -> None:
        try:
            await use.pause_run(self._execution, organization_id, run_id)
        except (Conflict, NotFound):
            pass  # it ended meanwhile

    # --- people ------------------------------------------------------------------------------------------------------

    async def answer(self, organization_id: str, run_id: str, task_run_id: str, answer: Answer) -> TaskState:
        """Gives a task the answer of the person it waits for: its state afterwards.

        The same answer of the same person may come again: who lost its acceptance asks again. Raises NotFound, Conflict
        (it waits for nobody, and has another answer or none; naming its state), Invalid (not what was asked for).
        """
        await self._outside.run(history.read_state, self._database, organization_id, run_id)
        at, index = use.split_task_run_id(task_run_id)
        if at != run_id:
            raise NotFound("task_run_not_found")
        wait = await self._outside.run(waits_stored.read_wait, self._database, task_run_id)
        run = await self._outside.run(stored.load_run, self._database, run_id, self._execution.engine.plan)
        if run is None or not run.has(index):
            raise NotFound("task_run_not_found")
        kind, task = run.plan.step(index).kind, run.task(index)
        if kind is None or kind not in HUMAN:
            raise Conflict("task_not_waiting", state=str(task.state))
        if wait is None or task.state is not TaskState.WAITING:
            return await self._answered_before(run, index, _said(kind, answer))
        said = {**_said(kind, answer), "at": instant(self._outside.now())}
        failure = None
        if kind is Kind.FORM:
            await self._outside.run(_check_values, wait.body.get("schema", {}), said["values"])
        elif not answer.approved and wait.body.get("on_reject", "fail") == "fail":
            failure = Failure("rejected", answer.comment, details=said)
        done = await self._execution.send(run_id, self._event(wait, said, failure))
        state = await self._answered_before(done, index, said)
        _answered.labels(kind).inc()
        return state

    async def _answered_before(self, run: Run, index: int, said: dict[str, Any]) -> TaskState:
        """The task's state when it is this answer that it has: who asks again because the acceptance was lost on its
        way is told so. Raises Conflict when it has another one, or none."""
        recorded = await self._outside.run(self._recorded, run, index)
        if recorded is None or {**recorded, "at": None} != {**said, "at": None}:
            raise Conflict("task_not_waiting", state=str(run.task(index).state))
        return run.task(index).state

    def _recorded(self, run: Run, index: int) -> dict[str, Any] | None:
        """The answer that a task has."""
        failure = run.task(index).failure
        if failure is not None:
            return dict(failure.details) if failure.code == "rejected" else None
        found = stored.load_payloads(self._database, run, [index], "out", self._execution.payloads)
        answer: dict[str, Any] | None = orjson.loads(found[index]) if index in found else None
        return answer

    # --- what all of them end in -------------------------------------------------------------------------------------

    def _submit(self, wait: Waiting, kind: Kind, output: Any = None, failure: Failure | None = None) -> None:
        def done(outcome: Outcome) -> None:
            if not outcome.failed:
                _answered.labels(kind).inc()

        self._execution.engine.submit(Item(wait.run_id, self._event(wait, output, failure), done))

    def _event(self, wait: Waiting, output: Any, failure: Failure | None) -> Finished:
        _, index = use.split_task_run_id(wait.task_run_id)
        body = None if failure else orjson.dumps(output)
        return Finished(self._outside.now(), index, wait.attempt, output=body, failure=failure)


def _said(kind: Kind, answer: Answer) -> dict[str, Any]:
    """What an answer says, as the task's output has it. Raises Invalid when it answers another kind of question."""
    if kind is Kind.APPROVAL:
        if answer.approved is None or answer.values is not None:
            raise Invalid.field("body.approved", "missing" if answer.approved is None else "approval_has_no_values")
        given: dict[str, Any] = {"approved": answer.approved}
    else:
        if answer.values is None or answer.approved is not None:
            raise Invalid.field("body.values", "missing" if answer.values is None else "form_has_no_approval")
        given = {"values": answer.values}
    return {**given, "comment": answer.comment, "by": answer.by}


def _check_values(schema: Any, values: dict[str, Any]) -> None:
    try:
        found = schemas.errors(orjson.dumps(schema), values)
    except schemas.TooExpensive:
        raise Invalid.field("body.values", "schema_too_expensive") from None
    except Exception as error:  # the schema came with the run: whatever the library says of a broken one
        raise Conflict("form_broken", reason=repr(error)[:300]) from error
    if found:
        raise Invalid("invalid", fields=tuple(use.schema_faults("body.values", found)))


def _first_failure(run: Run) -> dict[str, Any]:
    """The task that failed first and why, for who waited for the run; nothing when the run itself ended it."""
    failed = [
        (task.finished_at or 0, index, task.failure)
        for index, task in enumerate(run.tasks)
        if task.state is TaskState.FAILED and task.failure is not None
    ]
    if not failed:
        return {}
    _, index, failure = min(failed, key=lambda each: each[:2])
    return {"task": run.plan.steps[index].spec.key, "error": failure.to_json()}
