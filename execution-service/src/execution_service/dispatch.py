"""What leaves after a commit: attempts to the workers, withdrawals, and answers to whoever sent an event.

The broker holds at most a window of each queue's attempts; the rest waits here (and as QUEUED rows), released by
priority, then in turn between organisations. Publishing is never waited for: the broker refuses a copy exactly while it
holds the first, so a message that may be lost is simply sent again when its task is reminded of.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError
from prometheus_client import Counter, Gauge

from execution_service.domain.events import Admit, CancelChild, Dispatch, Finished, LookBack, StartChild, Withdraw
from execution_service.domain.run import Run
from execution_service.engine import Item, Outcome, Outgoing
from kit import bus
from kit.payloads import Stored

FORGET_AFTER_S = 60.0
"""An attempt whose end this replica never hears of (another one committed it) leaves the window after this time."""
_COPY_REFUSED = 10077
_NO_SUCH_MESSAGE = (10043, 10057)
"""Gone before it was deleted, or while it was."""

log = structlog.get_logger()
_published = Counter("dispatch_published_total", "Attempts handed to the broker", ["queue"])
_waiting = Gauge("dispatch_waiting", "Attempts that wait for the window", ["queue"])
_refused = Counter("dispatch_trouble_total", "Publications that the broker did not take")


@dataclass(slots=True)
class _Message:
    subject: str
    task_run_id: str
    queue: str
    priority: int
    organization_id: str
    body: bytes


@dataclass(slots=True)
class _Queue:
    """One queue's window: what the broker has, and what waits, by priority and organisation."""

    in_flight: dict[str, float] = field(default_factory=dict)
    waiting: dict[int, "OrderedDict[str, deque[_Message]]"] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    def hold(self, message: _Message) -> None:
        if message.subject in self.known:
            return
        self.known.add(message.subject)
        turns = self.waiting.setdefault(message.priority, OrderedDict())
        turns.setdefault(message.organization_id, deque()).append(message)

    def withdraw(self, subject: str) -> None:
        """A waiting attempt is not sent any more."""
        self.known.discard(subject)

    def next(self) -> _Message | None:
        """The next to go: the smallest priority number, there the organisation whose turn it is. None: withdrawn."""
        for priority in sorted(self.waiting):
            turns = self.waiting[priority]
            organization_id, messages = turns.popitem(last=False)
            message = messages.popleft()
            if messages:
                turns[organization_id] = messages
            if not turns:
                del self.waiting[priority]
            if message.subject not in self.known:
                return None
            self.known.discard(message.subject)
            return message
        return None


def _parameters(given: bytes | Stored | None) -> dict[str, Any]:
    if isinstance(given, Stored):
        return {"parameters_ref": given.reference}
    return {"parameters": orjson.Fragment(given or b"null")}


class Dispatcher:
    """Runs on the event loop. `deliver` takes batches of outcomes from the engine's thread."""

    def __init__(
        self,
        nc: Client,
        replica: str,
        *,
        window: int = 256,
        on_trouble: Callable[[], object] = lambda: None,
        on_committed: Callable[[str, Run | None], object] = lambda run_id, run: None,
        on_waiting: Callable[[Outgoing], object] = lambda outgoing: None,
        on_ended: Callable[[Run], object] = lambda run: None,
        on_admit: Callable[[], object] = lambda: None,
    ) -> None:
        self._nc = nc
        self._replica = replica
        self._window = window
        self._on_trouble = on_trouble
        self._on_committed = on_committed
        self._on_waiting = on_waiting
        self._on_ended = on_ended
        self._on_admit = on_admit
        self._loop = asyncio.get_running_loop()
        self._batches: asyncio.Queue[list[tuple[Item, Outcome]]] = asyncio.Queue()
        self._queues: dict[str, _Queue] = {}
        self._answers: list[tuple[str, bytes]] = []

    @property
    def reply(self) -> str:
        """The subject prefix on which this replica hears of what it dispatched."""
        return f"engine.{self._replica}"

    def deliver(self, outcomes: list[tuple[Item, Outcome]]) -> None:
        self._loop.call_soon_threadsafe(self._batches.put_nowait, outcomes)

    def answer(self, subject: str, body: bytes) -> None:
        """Sends an answer after the commands of the same batch have left."""
        self._answers.append((subject, body))

    async def run(self) -> None:
        """Sends what the engine decided, for ever."""
        await self._nc.subscribe(f"{self.reply}.ack", cb=self._on_ack)
        while True:
            await self.run_once(await self._batches.get())

    async def run_once(self, outcomes: list[tuple[Item, Outcome]]) -> None:
        try:
            for item, outcome in outcomes:
                self._release(item, outcome)
                for outgoing in outcome.outgoing:
                    await self._send(outgoing)
            await self._fill()
        except Exception as error:
            # the broker is away: reminders send all of it again
            log.warning("dispatch_failed", error=repr(error))
        for item, outcome in outcomes:
            item.done(outcome)
            self._on_committed(item.run_id, outcome.run)
            if outcome.run is not None and outcome.run.head.state.terminal:
                self._on_ended(outcome.run)
        answers, self._answers = self._answers, []
        for subject, body in answers:
            await self._quietly(self._nc.publish(subject, body))

    def _release(self, item: Item, outcome: Outcome) -> None:
        if outcome.run is not None and isinstance(item.event, Finished) and outcome.run.has(item.event.index):
            queue = outcome.run.plan.step(item.event.index).spec.queue
            self._queue(queue).in_flight.pop(outcome.run.task_run_id(item.event.index), None)

    def _queue(self, name: str) -> _Queue:
        return self._queues.setdefault(name, _Queue())

    async def _send(self, outgoing: Outgoing) -> None:
        run, command = outgoing.run, outgoing.command
        if isinstance(command, Admit):
            self._on_admit()
            return
        if isinstance(command, StartChild | CancelChild | LookBack):
            self._on_waiting(outgoing)
            return
        spec = run.plan.step(command.index).spec
        task_run_id = run.task_run_id(command.index)
        subject = f"tasks.{spec.queue}.{task_run_id}.{command.attempt}"
        match command:
            case Withdraw():
                self._queue(spec.queue).in_flight.pop(task_run_id, None)
                self._queue(spec.queue).withdraw(subject)
                self._purge(subject, task_run_id, command.attempt)
                body = orjson.dumps({"task_run_id": task_run_id, "attempt": command.attempt})
                await self._nc.publish("worker.cancel", body)
            case Dispatch():  # pragma: no branch  # the last of all kinds
                if outgoing.parameters is None:
                    log.error("input_missing", task_run_id=task_run_id)
                    return
                message = _Message(
                    subject, task_run_id, spec.queue, spec.priority, run.facts.organization_id, self._body(outgoing)
                )
                queue = self._queue(spec.queue)
                if task_run_id in queue.in_flight or (len(queue.in_flight) < self._window and not queue.waiting):
                    await self._publish(queue, message)
                else:
                    queue.hold(message)
                    _waiting.labels(spec.queue).set(len(queue.known))

    def _body(self, outgoing: Outgoing) -> bytes:
        run, command = outgoing.run, outgoing.command
        spec = run.plan.step(command.index).spec
        return orjson.dumps(
            {
                "task_run_id": run.task_run_id(command.index),
                "run_id": run.facts.run_id,
                "organization_id": run.facts.organization_id,
                "workflow_id": run.plan.definition.workflow_id,
                "key": spec.key,
                "type": spec.type,
                "attempt": command.attempt,
                **_parameters(outgoing.parameters),
                "timeout_s": spec.timeout_s,
                "heartbeat_s": spec.heartbeat_s,
                "run_version": run.version,
                "reply": self.reply,
                "trace_id": run.facts.trace_id,
            }
        )

    async def _publish(self, queue: _Queue, message: _Message) -> None:
        queue.in_flight[message.task_run_id] = self._loop.time()
        _published.labels(message.queue).inc()
        await self._nc.publish(message.subject, message.body, reply=f"{self.reply}.ack")

    async def _fill(self) -> None:
        """Lets waiting attempts go while there is room in their window."""
        for name, queue in self._queues.items():
            if not queue.waiting:
                continue
            if len(queue.in_flight) >= self._window:
                horizon = self._loop.time() - FORGET_AFTER_S
                queue.in_flight = {key: at for key, at in queue.in_flight.items() if at > horizon}
            while queue.waiting and len(queue.in_flight) < self._window:
                message = queue.next()
                if message is not None:
                    await self._publish(queue, message)
            _waiting.labels(name).set(len(queue.known))

    def _purge(self, subject: str, task_run_id: str, attempt: int) -> None:
        """The broker forgets the attempt if nobody has taken it yet."""
        self._loop.create_task(self._quietly(self._remove(subject)), name=f"purge {task_run_id}.{attempt}")

    async def _remove(self, subject: str) -> None:
        # by its number: where a subject is purged, nats-server moves the consumer's floor past deliveries of others
        # that are still open ("bad pending entry"), and never gives them to anybody again
        js = self._nc.jetstream()
        try:
            held = await js.get_last_msg(str(bus.TASKS.name), subject)
            await js.delete_msg(str(bus.TASKS.name), held.seq or 0)
        except APIError as error:
            if error.code != 404 and error.err_code not in _NO_SUCH_MESSAGE:
                raise

    async def _on_ack(self, message: Msg) -> None:
        """The broker's answer to a publication: only trouble is of interest."""
        status = (message.headers or {}).get("Status")
        if status is None and b'"error"' not in message.data:
            return
        code = 503 if status else orjson.loads(message.data)["error"].get("err_code")
        if code != _COPY_REFUSED:
            _refused.inc()
            log.warning("publication_refused", code=code)
            self._on_trouble()

    @staticmethod
    async def _quietly(sending: Awaitable[object]) -> None:
        try:
            await sending
        except Exception as error:
            log.warning("send_failed", error=repr(error))
