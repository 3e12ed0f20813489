"""What happens on the loop that runs a task: the task itself, in its kind of isolation, perhaps under the ledger.

Nothing here touches what the main loop keeps: it is told, in its own time, that a task began, wrote lines and ended.
"""

import asyncio
import secrets
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson
import structlog

from kit import logs, messages
from kit.payloads import INLINE_LIMIT, PayloadMissing, Stored
from worker_service import app as use_cases
from worker_service import outcomes
from worker_service.app import App
from worker_service.effects import Ledger
from worker_service.execution import Execution, now
from worker_service.outcomes import CANCELLED, Outcome
from worker_service.processes import Crashed, ProcessDied, ProcessSlots
from worker_service.sdk import Context, Sign, StateConflict, TaskError, TaskIds, TaskLog

_RECORD_DELAYS_S = (0.1, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0, 0.0)

log = structlog.get_logger()


@dataclass(frozen=True)
class Home:
    """What the main loop hears of a task, from whatever loop."""

    loop: asyncio.AbstractEventLoop
    begun: Callable[[Execution], None]
    lines: Callable[[Execution], None]
    progress: Callable[[Execution], None]
    watch: Callable[[Execution], None]
    ended: Callable[[Execution, Outcome], None]

    def tell_begun(self, execution: Execution) -> None:
        self.loop.call_soon_threadsafe(self.begun, execution)

    def tell_lines(self, execution: Execution) -> None:
        self.loop.call_soon_threadsafe(self.lines, execution)

    def tell_progress(self, execution: Execution) -> None:
        self.loop.call_soon_threadsafe(self.progress, execution)

    def tell_watch(self, execution: Execution) -> None:
        """Its own code has begun, and says how often it will give a sign of life."""
        self.loop.call_soon_threadsafe(self.watch, execution)

    def tell_ended(self, execution: Execution, outcome: Outcome) -> None:
        self.loop.call_soon_threadsafe(self.ended, execution, outcome)


class Runner:
    """Runs tasks for `worker`, a name that its claims carry."""

    def __init__(self, app: App, ledger: Ledger, slots: ProcessSlots, worker: str, home: Home) -> None:
        self._app = app
        self._ledger = ledger
        self._slots = slots
        self._worker = worker
        self._home = home

    async def run(self, execution: Execution) -> None:
        logs.trace_id.set(execution.dispatch.ids.trace_id)
        messages.language.set(self._app.settings.language)
        assert execution.type is not None  # noqa: S101
        try:
            work = self._run_effect if execution.type.effect else self._run
            outcome = await work(execution)
        except asyncio.CancelledError:
            # a task that cancels itself has failed
            outcome = CANCELLED if execution.stop else outcomes.failed("internal", retryable=True)
        except Exception as error:
            log.error("task_not_run", task_run_id=execution.dispatch.ids.task_run_id, exc_info=error)
            outcome = outcomes.failed("internal", retryable=True)
        self._home.tell_ended(execution, outcome)

    async def _run(self, execution: Execution) -> Outcome:
        """The task, and its output where it belongs. Raises CancelledError, when the task was told to stop."""
        outcome = await self._call(execution)
        if execution.trial is not None:
            return outcome
        try:
            return await self._keep(execution, outcome)
        except OSError as error:
            return self._not_stored(execution, outcome, error)

    async def _keep(self, execution: Execution, outcome: Outcome) -> Outcome:
        """A large output is in the store before anybody is told of it. Raises OSError when it cannot be."""
        output, ids = outcome.output, execution.dispatch.ids
        if output is None or len(output) <= INLINE_LIMIT or outcome.stored is not None:
            return outcome
        stored = await asyncio.to_thread(self._app.payloads.put, ids.organization_id, ids.run_id, output)
        return replace(outcome, stored=stored)

    @staticmethod
    def _not_stored(execution: Execution, outcome: Outcome, error: BaseException | None) -> Outcome:
        log.error("output_not_stored", task_run_id=execution.dispatch.ids.task_run_id, error=repr(error))
        reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        return outcomes.failed("output_not_stored", retryable=True, size=len(outcome.output or b""), reason=reason)

    async def _call(self, execution: Execution) -> Outcome:
        """The task itself. Raises only CancelledError, when the task was told to stop."""
        task_type, ids = execution.type, execution.dispatch.ids
        assert task_type is not None  # noqa: S101

        async def ask(wish: str, args: dict[str, Any], content: bytes) -> tuple[Any, bytes]:
            answer: tuple[Any, bytes] = await use_cases.grant(self._app, ids, task_type.name, wish, args, content)
            if wish == "connection":
                execution.lines.hide(answer[0]["credentials"].values())
            return answer

        def write(level: str, event: str, fields: dict[str, Any]) -> None:
            if execution.lines.write(now(), level, event, fields):
                self._home.tell_lines(execution)

        def sign(progress: tuple[float, str] | None) -> None:
            first, execution.signed_at = not execution.signed_at, time.monotonic()
            if first and execution.heartbeat_s is not None:
                self._home.tell_watch(execution)
            if progress is not None and execution.lines.tell_progress(now(), *progress):
                self._home.tell_progress(execution)

        def crashed(exception: str, trace: str, error: BaseException | None = None) -> None:
            told: dict[str, Any] = {"exc_info": error} if error else {"traceback": trace}
            log.error("task_crashed", type=task_type.name, task_run_id=ids.task_run_id, **told)
            if execution.lines.crashed(now(), exception, trace):
                self._home.tell_lines(execution)

        try:
            if task_type.isolation == "process":
                return await self._call_process(execution, ask, write, sign, crashed)
            ctx = Context(ids, self._app.settings, TaskLog(write), ask, sign)
            ctx.heartbeat()
            return outcomes.of_output(task_type, await task_type.function(ctx, execution.parameters))
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            if not isinstance(error, (TaskError, StateConflict)):
                crashed(type(error).__name__, "".join(traceback.format_exception(error)), error)
            return outcomes.of_exception(task_type, error, self._app.settings.language)

    async def _call_process(self, execution: Execution, ask: Any, write: Any, sign: Sign, crashed: Crashed) -> Outcome:
        task_type = execution.type
        assert task_type is not None  # noqa: S101
        job = {
            "module": task_type.entry or task_type.module,
            "type": task_type.name,
            "ids": _ids_json(execution.dispatch.ids),
            "parameters": _parameters(execution),
        }
        begun = (lambda: None) if task_type.effect else (lambda: self._home.tell_begun(execution))
        try:
            return await self._slots.run(job, begun=begun, ask=ask, log_line=write, sign=sign, crashed=crashed)
        except ProcessDied as death:
            write("error", "process_died", {"status": death.args[0]})
            return outcomes.failed("worker_lost", retryable=True)

    async def _run_effect(self, execution: Execution) -> Outcome:
        """As `_call`, under the ledger: one holder at a time, and what was done is not done again."""
        task_type, ids = execution.type, execution.dispatch.ids
        assert task_type is not None  # noqa: S101
        holder = f"{self._worker}.{secrets.token_hex(4)}"
        found = await self._ledger.claim(ids, task_type.name, holder)
        if not found.mine:
            try:
                return await self._recorded(found.outcome)
            except (PayloadMissing, OSError) as error:
                log.error("recorded_output_missing", task_run_id=ids.task_run_id, error=repr(error))
                return outcomes.failed("payload_missing", retryable=True)
        execution.claim = holder
        self._home.tell_begun(execution)
        try:
            outcome = await self._call(execution)
        except asyncio.CancelledError:
            await asyncio.shield(self._ledger.release(ids, holder))
            raise
        if outcome.output is None:
            await self._ledger.release(ids, holder)
            return outcome
        # it happened: from here on neither a cancel nor a slow database may leave it unrecorded
        return await asyncio.shield(self._record(execution, outcome))

    async def _record(self, execution: Execution, outcome: Outcome) -> Outcome:
        """Keeps the output and records it; what was recorded first. What the store does not take cannot be recorded:
        then the attempt has failed, as one whose worker died before its report."""
        ids, problem = execution.dispatch.ids, None
        for delay in _RECORD_DELAYS_S:
            try:
                outcome = await self._keep(execution, outcome)
                done = _record_of(outcome)
                recorded = await self._ledger.finish(ids, done)
                return outcome if recorded == done else await self._recorded(recorded)
            except Exception as error:
                log.error("effect_not_recorded", task_run_id=ids.task_run_id, exc_info=error)
                problem = error
                await asyncio.sleep(delay)
        if outcome.stored is None and len(outcome.output or b"") > INLINE_LIMIT:
            await self._ledger.release(ids, execution.claim)
            return self._not_stored(execution, outcome, problem)
        return outcome

    async def _recorded(self, said: Any) -> Outcome:
        """What the ledger holds. A large output is read, so that none is named that is not there.

        Raises PayloadMissing, OSError.
        """
        if "output_ref" not in said:
            return Outcome(output=orjson.dumps(said["output"]))
        stored = Stored(said["output_ref"], said["output_size"])
        return Outcome(output=await asyncio.to_thread(self._app.payloads.get, stored.reference), stored=stored)


def _record_of(outcome: Outcome) -> dict[str, Any]:
    if outcome.stored is not None:
        return {"output_ref": outcome.stored.reference, "output_size": outcome.stored.size}
    return {"output": orjson.loads(outcome.output or b"null")}


def _parameters(execution: Execution) -> Any:
    """As a process gets them: what is large goes on as it came."""
    return execution.dispatch.parameters if execution.content is None else orjson.Fragment(execution.content)


def _ids_json(ids: TaskIds) -> dict[str, Any]:
    return {
        "task_run_id": ids.task_run_id,
        "run_id": ids.run_id,
        "organization_id": ids.organization_id,
        "workflow_id": ids.workflow_id,
        "key": ids.key,
        "attempt": ids.attempt,
        "trace_id": ids.trace_id,
    }
