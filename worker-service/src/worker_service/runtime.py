"""The life of a task in a worker: taken, run, reported, and only then acknowledged.

The protocol runs on the main loop; tasks run on the tasks' loop or in process slots. So progress, heartbeats, time-outs
and cancels go on whatever a task does.

A message is acknowledged when the engine has answered its result, never before; every copy of an attempt that arrives
meanwhile joins the first and is acknowledged with it. From the third delivery on a task is not run: it may have felled
two workers already.
"""

import asyncio
import os
import secrets
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import Counter, Histogram

from kit import bus
from kit.payloads import PayloadMissing
from worker_service import outcomes
from worker_service.app import App
from worker_service.effects import Ledger
from worker_service.execution import Execution, Stage, Stop, now
from worker_service.outcomes import CANCELLED, Outcome
from worker_service.processes import ProcessSlots
from worker_service.pull import StandingPull
from worker_service.reports import FLUSH_S, LINES_AT_ONCE, Lines, Results, send_lines
from worker_service.runner import Home, Runner
from worker_service.sdk import TaskType
from worker_service.taskloop import TaskLoop
from worker_service.wire import (
    ACK,
    IN_PROGRESS,
    NAK,
    TERM,
    Acknowledgements,
    Dispatch,
    Malformed,
    Outbox,
    delivery_of,
    read_dispatch,
)

BEAT_S = 3.0
STARTED_AFTER_S = 0.05
LAST_DELIVERY = 2
# a task that ignores its cancellation is given up
GRACE_S = 3.0
STRIKE_S = 1.0
# a sign of life on its way, from a process and over two loops
SIGN_SLACK_S = 0.5
# a task that lasts long tells of its progress less often, so that a run's log stays readable
PROGRESS_LINES = 1_000
UNANSWERED_MOST = 512
REMEMBERED_CANCELS = 10_000
_TIMERS_KEPT = 8

log = structlog.get_logger()
_tasks = Counter("worker_tasks_total", "Tasks that ended here", ["type", "outcome"])
_seconds = Histogram("worker_task_seconds", "Time a task ran", ["type"])


class Runtime:
    """One worker process's consumption of its queues. Lives on the loop it was made on."""

    def __init__(self, app: App, ledger: Ledger, slots: ProcessSlots) -> None:
        settings = app.settings
        self.worker = f"{socket.gethostname()}-{settings.replica}-{os.getpid()}-{secrets.token_hex(3)}"
        self._app = app
        self._ledger = ledger
        self._slots = slots
        self._loop = asyncio.get_running_loop()
        self._home = Home(
            self._loop, self._begun, self._lines_wait, self._progress_waits, self._watch_signs, self._ended
        )
        self._runner = Runner(app, ledger, slots, self.worker, self._home)
        self._client: Client | None = None
        self._outbox = Outbox()
        self._acks = Acknowledgements(self._outbox, self._messages_forgotten)
        self._results = Results(self._outbox)
        self._pulls = [
            StandingPull(queue, self._outbox, self._acks, self._places, self._arrived) for queue in settings.queues()
        ]
        self._task_loop = TaskLoop()
        self._held: dict[tuple[str, int], Execution] = {}
        self._waiting: deque[Execution] = deque()
        self._active = 0
        self._loading = 0
        self._cancels: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._draining = False
        self._background: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    # --- running as a service ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Takes tasks until cancelled; `close` then drains what runs."""
        self._client = await bus.connect(
            self._app.settings.nats_url, f"worker-{self.worker}", on_reconnect=self._reconnected
        )
        self._outbox.connect(self._client)
        await self._results.connect(self._client)
        await self._client.subscribe("worker.cancel", cb=self._on_cancel)
        self._in_background(self._outbox.carry())
        self._in_background(self._beat())
        await asyncio.gather(*(pull.run(self._client) for pull in self._pulls))

    def ready(self) -> None:
        """Raises while no queue is being consumed."""
        if self._client is None or not self._client.is_connected or not all(p.standing for p in self._pulls):
            raise RuntimeError("not consuming")

    async def close(self) -> None:
        """Takes nothing more, lets what runs end within `drain_s`, and gives the rest back to the queue."""
        self._draining = True
        for pull in self._pulls:
            await pull.stop()
        for execution in [e for e in self._held.values() if e.stage in (Stage.LOADING, Stage.WAITING)]:
            self._give_back(execution)
        try:
            await asyncio.wait_for(self._idle.wait(), self._app.settings.drain_s)
        except TimeoutError:
            await self._give_all_back()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._slots.close()
        self._task_loop.close()
        if self._client is not None:
            await self._outbox.flush()
            await self._client.close()

    async def _give_all_back(self) -> None:
        self._results.forget_all()
        for execution in list(self._held.values()):
            if execution.stage is Stage.RUNNING:
                self._stop(execution, Stop.DRAIN)
            else:
                self._give_back(execution)
        try:
            await asyncio.wait_for(self._idle.wait(), GRACE_S + 1)
        except TimeoutError:
            log.warning("tasks_left_running", count=len(self._held))

    def _reconnected(self) -> None:
        for pull in self._pulls:
            pull.lose("reconnected")

    def _messages_forgotten(self) -> None:
        """What runs goes on; the engine sends each attempt again, and the copy joins it."""
        for execution in self._held.values():
            execution.replies.clear()

    # --- a task comes -----------------------------------------------------------------------------------------------

    def _places(self) -> int:
        if self._draining or self._results.unanswered > UNANSWERED_MOST:
            return 0
        return self._app.settings.worker_slots - self._active - self._loading - len(self._waiting)

    def _arrived(self, message: Msg) -> None:
        try:
            dispatch = read_dispatch(message.data)
        except Malformed as error:
            # nobody could ever run it, and nobody can be told
            log.error("dispatch_malformed", subject=message.subject, error=str(error))
            self._acks.say(message.reply, TERM)
            return
        known = self._held.get(dispatch.attempt_key)
        if known is not None:
            known.replies.append(message.reply)
            return
        if self._draining:
            self._acks.say(message.reply, NAK)
            return
        execution = Execution(dispatch, delivery_of(message.reply), [message.reply], Lines(dispatch.ids))
        self._held[dispatch.attempt_key] = execution
        self._idle.clear()
        self._judge(execution, self._refusal(execution))

    def _judge(self, execution: Execution, refused: Outcome | None) -> None:
        if refused is not None:
            execution.started_at = now()
            self._report(execution, refused)
        elif execution.dispatch.parameters_ref and execution.stage is not Stage.LOADING:
            execution.stage = Stage.LOADING
            self._loading += 1
            self._in_background(self._load(execution))
        else:
            self._admit(execution)

    def _refusal(self, execution: Execution) -> Outcome | None:
        """Why the task is not run; None when it is to be."""
        dispatch = execution.dispatch
        if dispatch.attempt_key in self._cancels:
            return CANCELLED
        if execution.delivery > LAST_DELIVERY:
            return outcomes.failed("worker_lost", retryable=True)
        found = self._app.types.get(dispatch.type)
        if found is None:
            return outcomes.failed("unknown_task_type", retryable=False, type=dispatch.type)
        if dispatch.parameters_ref:
            execution.type = found
            return None
        return self._parse(execution, found, dispatch.parameters)

    @staticmethod
    def _parse(execution: Execution, found: TaskType, value: Any) -> Outcome | None:
        parameters = outcomes.parse_parameters(found, value)
        if isinstance(parameters, Outcome):
            return parameters
        execution.type, execution.parameters = found, parameters
        return None

    async def _load(self, execution: Execution) -> None:
        """Reads parameters that are kept apart; then the task is judged as one that came with them."""
        try:
            refused = await asyncio.to_thread(self._read, execution)
        except Exception as error:
            log.error("parameters_not_read", task_run_id=execution.dispatch.ids.task_run_id, exc_info=error)
            refused = outcomes.failed("internal", retryable=True)
        self._loading -= 1
        # unless it was cancelled or given back meanwhile
        if execution.stage is Stage.LOADING:
            self._judge(execution, refused)
        for pull in self._pulls:
            pull.top_up()

    def _read(self, execution: Execution) -> Outcome | None:
        """In a thread. Why the task is not run; None when it is to be."""
        dispatch = execution.dispatch
        assert execution.type is not None  # noqa: S101
        try:
            if not dispatch.parameters_ref.startswith(f"{dispatch.ids.organization_id}/"):
                raise PayloadMissing(dispatch.parameters_ref)
            content = self._app.payloads.get(dispatch.parameters_ref)
        except (PayloadMissing, OSError) as error:
            log.error("payload_missing", task_run_id=dispatch.ids.task_run_id, error=repr(error))
            return outcomes.failed("payload_missing", retryable=True)
        if execution.type.isolation == "process":
            execution.content = content
            return None
        return self._parse(execution, execution.type, orjson.loads(content))

    def _admit(self, execution: Execution) -> None:
        if self._active < self._app.settings.worker_slots:
            self._start(execution)
        else:
            execution.stage = Stage.WAITING
            self._waiting.append(execution)

    def _start(self, execution: Execution) -> None:
        assert execution.type is not None  # noqa: S101
        self._active += 1
        execution.stage = Stage.RUNNING
        if execution.type.isolation == "process":
            self._begin(execution)
        else:
            execution.on = self._task_loop
            if not execution.type.effect:
                self._begun(execution)
            self._task_loop.submit(self._begin, execution)

    def _begin(self, execution: Execution) -> None:
        """On the loop that runs the task."""
        try:
            execution.ticket.pop()
        except IndexError:
            return
        execution.task = asyncio.get_running_loop().create_task(self._runner.run(execution))
        # cancelled before its first step it never runs, and so could not say that it ended
        execution.task.add_done_callback(
            lambda task: self._home.tell_ended(execution, CANCELLED) if task.cancelled() else None
        )
        if execution.stop is not None:
            execution.task.cancel()

    def _begun(self, execution: Execution) -> None:
        """On the main loop, when the task's own work starts: the clock of its time-out runs from here."""
        if execution.stage is not Stage.RUNNING:
            return
        execution.started_at = now()
        self._later(execution, STARTED_AFTER_S, self._announce, execution)
        self._later(execution, execution.timeout_s, self._stop, execution, Stop.TIMEOUT)

    # --- a task ends ------------------------------------------------------------------------------------------------

    def _stop(self, execution: Execution, why: Stop) -> None:
        """Ends a task that waits or runs; one that does not heed it within the grace is given up."""
        if execution.stage in (Stage.LOADING, Stage.WAITING):
            if execution.stage is Stage.WAITING:
                self._waiting.remove(execution)
            execution.started_at = now()
            self._report(execution, CANCELLED)
        if execution.stage is not Stage.RUNNING or execution.stop is not None:
            return
        execution.stop = why
        if execution.on is None:
            self._cancel_task(execution)
        else:
            execution.on.submit(self._cancel_task, execution)
            # the process of the other kind is killed, which takes no longer
            self._later(execution, GRACE_S, self._give_up, execution)

    @staticmethod
    def _cancel_task(execution: Execution) -> None:
        if execution.task is not None:
            execution.task.cancel()

    def _give_up(self, execution: Execution) -> None:
        log.error("task_ignores_stop", task_run_id=execution.dispatch.ids.task_run_id, type=execution.dispatch.type)
        execution.lines.write(now(), "error", "stop_ignored", {"grace_s": GRACE_S})
        self._ended(execution, CANCELLED)
        if execution.on is not None and execution.task is not None:
            self._strike_later(execution.on, execution.task, execution.on.close_task(execution.task))

    def _strike_later(self, on: TaskLoop, task: "asyncio.Task[None]", reached: threading.Event) -> None:
        """A task that holds its loop, so that it could not even be closed, is struck until it ends."""

        def strike() -> None:
            if on.strike(task, reached):
                self._strike_later(on, task, reached)

        self._loop.call_later(STRIKE_S, strike)

    def _ended(self, execution: Execution, outcome: Outcome) -> None:
        if execution.stage is not Stage.RUNNING:
            return
        for _, timer in execution.timers:
            timer.cancel()
        self._active -= 1
        while self._waiting and self._active < self._app.settings.worker_slots:
            self._start(self._waiting.popleft())
        if execution.stop is Stop.DRAIN and outcome.output is None:
            self._give_back(execution)
        else:
            if execution.stop is not None and outcome.output is None:
                outcome = _stopped(execution, execution.stop)
            self._report(execution, outcome)
        for pull in self._pulls:
            pull.top_up()

    def _report(self, execution: Execution, outcome: Outcome) -> None:
        execution.stage = Stage.REPORTING
        finished_at = now()
        started_at = execution.started_at or finished_at
        kind = "success" if outcome.output is not None else "cancelled" if outcome.cancelled else "error"
        _tasks.labels(execution.dispatch.type if execution.type else "unknown", kind).inc()
        if execution.type is not None:
            _seconds.labels(execution.type.name).observe((finished_at - started_at) / 1e6)
        execution.lines.take_progress()
        if execution.trial is not None:
            if not execution.trial.done():
                execution.trial.set_result(outcome)
            self._forget(execution)
            return
        send_lines(self._outbox, execution.lines, self.worker)
        said = self._about(execution, started_at)
        said |= {"finished_at": finished_at, "log_lines": execution.lines.sent, **outcome.members()}
        self._results.report(execution.dispatch.reply, orjson.dumps(said), lambda: self._answered(execution))

    def _about(self, execution: Execution, started_at: int) -> dict[str, Any]:
        ids = execution.dispatch.ids
        return {
            "task_run_id": ids.task_run_id,
            "run_id": ids.run_id,
            "attempt": ids.attempt,
            "run_version": execution.dispatch.run_version,
            "delivery": execution.delivery,
            "worker": self.worker,
            "started_at": started_at,
        }

    def _answered(self, execution: Execution) -> None:
        for reply in execution.replies:
            self._acks.say(reply, ACK)
        self._forget(execution)
        if self._results.unanswered == UNANSWERED_MOST:
            for pull in self._pulls:
                pull.top_up()

    def _give_back(self, execution: Execution) -> None:
        if execution.stage is Stage.WAITING:
            self._waiting.remove(execution)
        execution.lines.take_progress()
        send_lines(self._outbox, execution.lines, self.worker)
        for reply in execution.replies:
            self._acks.say(reply, NAK)
        self._forget(execution)

    def _forget(self, execution: Execution) -> None:
        execution.stage = Stage.GONE
        self._held.pop(execution.dispatch.attempt_key, None)
        if not self._held:
            self._idle.set()

    # --- meanwhile --------------------------------------------------------------------------------------------------

    def _announce(self, execution: Execution) -> None:
        if execution.trial is None:
            said = orjson.dumps(self._about(execution, execution.started_at))
            self._outbox.send(f"{execution.dispatch.reply}.started", said)

    def _lines_wait(self, execution: Execution) -> None:
        if len(execution.lines.waiting) >= LINES_AT_ONCE:
            self._send_lines(execution)
        elif execution.stage is Stage.RUNNING:
            self._later(execution, FLUSH_S, self._send_lines, execution)

    def _progress_waits(self, execution: Execution) -> None:
        """Writes it a little later, with what it has become by then."""
        if execution.stage is Stage.RUNNING:
            lasted_s = (now() - execution.started_at) / 1e6 if execution.started_at else 0.0
            self._later(execution, max(FLUSH_S, lasted_s / PROGRESS_LINES), self._send_progress, execution)

    def _send_progress(self, execution: Execution) -> None:
        execution.lines.take_progress()
        self._send_lines(execution)

    def _watch_signs(self, execution: Execution) -> None:
        """Ends a task that gives no sign of life for as long as its placement, or its type, allows."""
        assert execution.type is not None  # noqa: S101
        heartbeat_s = execution.heartbeat_s
        if execution.stage is not Stage.RUNNING or heartbeat_s is None:
            return
        left = execution.signed_at + heartbeat_s + SIGN_SLACK_S - time.monotonic()
        if left > 0:
            self._later(execution, left, self._look_for_sign, execution, self._loop.time() + left)
        else:
            log.warning("heartbeat_lost", task_run_id=execution.dispatch.ids.task_run_id, type=execution.type.name)
            self._stop(execution, Stop.SILENCE)

    def _look_for_sign(self, execution: Execution, due: float) -> None:
        if self._loop.time() - due > SIGN_SLACK_S:
            # this worker stood still, and its tasks perhaps with it
            execution.signed_at = max(execution.signed_at, time.monotonic() - SIGN_SLACK_S)
        self._watch_signs(execution)

    def _later(self, execution: Execution, seconds: float, function: Callable[..., None], *args: Any) -> None:
        """Calls `function` unless the task has ended by then."""
        if len(execution.timers) >= _TIMERS_KEPT:
            execution.timers = [(at, timer) for at, timer in execution.timers if at > self._loop.time()]
        # its time is kept beside it: a timer that is due at once has none of its own in uvloop
        execution.timers.append((self._loop.time() + seconds, self._loop.call_later(seconds, function, *args)))

    def _send_lines(self, execution: Execution) -> None:
        if execution.trial is None:
            send_lines(self._outbox, execution.lines, self.worker)

    async def _beat(self) -> None:
        """Every 3 s: keeps messages in progress and claims held, tells the engine what runs, minds the tasks' loop."""
        while True:
            await asyncio.sleep(BEAT_S)
            for execution in self._held.values():
                if execution.replies:
                    self._acks.say(execution.replies[-1], IN_PROGRESS)
            self._mind_task_loop()
            running = [e for e in self._held.values() if e.stage is Stage.RUNNING]
            if claims := [(e.dispatch.ids.idempotency_key, e.claim) for e in running if e.claim]:
                self._in_background(self._renew(claims))
            if tasks := [[e.dispatch.ids.run_id, *e.dispatch.attempt_key] for e in running if e.trial is None]:
                self._in_background(self._tell(tasks))

    async def _renew(self, claims: list[tuple[str, str]]) -> None:
        try:
            await asyncio.to_thread(self._ledger.renew, claims)
        except Exception as error:
            log.warning("claims_not_renewed", error=repr(error))

    async def _tell(self, tasks: list[list[Any]]) -> None:
        assert self._client is not None  # noqa: S101
        said = orjson.dumps({"worker": self.worker, "tasks": tasks})
        try:
            answer = await self._client.request("engine.heartbeat", said, timeout=2)
            for task_run_id, attempt in orjson.loads(answer.data)["cancel"]:
                self.cancel(str(task_run_id), int(attempt))
        except Exception as error:
            log.info("heartbeat_unanswered", error=repr(error))

    def _mind_task_loop(self) -> None:
        """Moves what has not begun from a blocked loop to a fresh one."""
        blocked = self._task_loop
        if blocked.responded():
            return
        log.error("task_loop_blocked", types=sorted({e.dispatch.type for e in self._held.values() if e.on is blocked}))
        self._task_loop = TaskLoop()
        blocked.retire()
        for execution in self._held.values():
            if execution.on is blocked and execution.stage is Stage.RUNNING and execution.task is None:
                execution.on = self._task_loop
                self._task_loop.submit(self._begin, execution)

    async def _on_cancel(self, message: Msg) -> None:
        try:
            said = orjson.loads(message.data)
            self.cancel(str(said["task_run_id"]), int(said["attempt"]))
        except (ValueError, TypeError, KeyError) as error:
            log.warning("cancel_malformed", error=repr(error))

    def cancel(self, task_run_id: str, attempt: int) -> None:
        """Ends an attempt that waits, runs or is on its way."""
        key = (task_run_id, attempt)
        execution = self._held.get(key)
        if execution is not None:
            self._stop(execution, Stop.CANCEL)
            return
        # it may be on its way
        self._cancels[key] = None
        self._cancels.move_to_end(key)
        while len(self._cancels) > REMEMBERED_CANCELS:
            self._cancels.popitem(last=False)

    # --- trials -----------------------------------------------------------------------------------------------------

    async def attempt(self, dispatch: Dispatch, lines: Lines | None = None) -> Outcome:
        """Runs a task outside any run and any queue: nothing is reported but to the caller, who may bring `lines`."""
        execution = Execution(dispatch, 1, [], lines or Lines(dispatch.ids), trial=self._loop.create_future())
        refused = self._refusal(execution)
        if refused is not None:
            return refused
        assert execution.trial is not None  # noqa: S101
        self._held[dispatch.attempt_key] = execution
        self._idle.clear()
        self._admit(execution)
        try:
            return await execution.trial
        except asyncio.CancelledError:
            self._stop(execution, Stop.CANCEL)
            raise

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _stopped(execution: Execution, why: Stop) -> Outcome:
    """How a task ended that was stopped before it had an output."""
    match why:
        case Stop.TIMEOUT:
            return outcomes.failed("timeout", retryable=True, seconds=f"{execution.timeout_s:g}")
        case Stop.SILENCE:
            return outcomes.failed("heartbeat_lost", retryable=True, seconds=f"{execution.heartbeat_s:g}")
        case Stop.CANCEL | Stop.DRAIN:
            return CANCELLED
