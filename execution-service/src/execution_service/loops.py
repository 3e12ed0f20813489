"""What arrives by itself: results and signs of life from workers, the passing of time, the broker's fate.

Each loop is a `run_once` that a test can call; `Intake` turns the workers' messages into events.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from prometheus_client import Counter, Gauge

from execution_service.app import split_task_run_id
from execution_service.dispatch import Dispatcher
from execution_service.domain.events import Event, Finished, Remind, Started, Tick
from execution_service.domain.run import Failure
from execution_service.engine import Engine, Item, Outcome
from execution_service.notices import cloud_event
from execution_service.outside import REAL, Outside
from execution_service.storage import purge
from execution_service.storage import runs as stored
from kit import bus
from kit.database import Database
from kit.errors import NotFound
from kit.payloads import Stored

DUE_AT_ONCE = 500
EVENTS_KEPT = 3 * 24 * 3600 * 1_000_000
"""Microseconds for which the broker keeps domain events."""
START_KEYS_KEPT = 100 * 24 * 3600 * 1_000_000
"""Microseconds for which a start key names its run."""
PURGED_RUNS, PURGED_ROWS = 50, 500
"""Old runs taken out of the history at a time, and rows of theirs removed."""
JOINED_FOR = 60 * 1_000_000
"""Microseconds for which a repeated result counts as the one that is not decided yet."""
_NOT_UNDERSTOOD = (ValueError, KeyError, TypeError, AttributeError, NotFound)

log = structlog.get_logger()
_malformed = Counter("intake_malformed_total", "Messages of workers that could not be understood", ["kind"])
_lag = Gauge("timers_lag_seconds", "How late the latest due run was noticed")


class Intake:
    """The workers' messages. Callbacks never wait: an event goes to the engine, its answer leaves after the commit."""

    def __init__(
        self,
        nc: Client,
        engine: Engine,
        dispatcher: Dispatcher,
        database: Database,
        outside: Outside = REAL,
        *,
        on_refused: Callable[[str, str], object] = lambda organization_id, run_id: None,
    ) -> None:
        """`on_refused` is called in a thread with a run that is gone, and left a payload behind just now."""
        self._on_refused = on_refused
        self._removing: set[asyncio.Task[None]] = set()
        self._nc = nc
        self._outside = outside
        self._engine = engine
        self._dispatcher = dispatcher
        self._database = database
        self._undecided: dict[tuple[str, int, int, int], tuple[int, list[str]]] = {}
        """Results that the engine has, and who waits for its answer: since when, and where to."""

    async def subscribe(self) -> None:
        """Hears on this replica's own subjects and, in turn with the other replicas, on the common ones."""
        reply = self._dispatcher.reply
        for subject, group in ((f"{reply}.result", ""), ("engine.result", "engine")):
            await self._nc.subscribe(subject, queue=group, cb=self._on_result)
        await self._nc.subscribe(f"{reply}.started", cb=self._on_started)
        await self._nc.subscribe("engine.heartbeat", queue="engine", cb=self._on_heartbeat)

    async def _on_result(self, message: Msg) -> None:
        try:
            said = orjson.loads(message.data)
            run_id, index = split_task_run_id(said["task_run_id"])
            event = finished(said, index, self._outside.now())
            seen = int(said.get("run_version") or 0)
        except _NOT_UNDERSTOOD as error:
            # it will never be understood: answered, so that it does not come again for ever
            _malformed.labels("result").inc()
            log.error("result_malformed", error=repr(error))
            await message.respond(b'{"ok":true,"malformed":true}')
            return
        asked = (run_id, index, event.attempt, event.delivery)
        at, replies = self._undecided.get(asked, (0, []))
        if replies and 0 <= event.at - at < JOINED_FOR:
            # its worker asks again while the first is not decided: the one answer is for both
            replies.append(message.reply)
            return
        replies = [message.reply]
        self._undecided[asked] = event.at, replies

        def answer(outcome: Outcome) -> None:
            if self._undecided.get(asked, (0, []))[1] is replies:
                del self._undecided[asked]
            if event.stored is not None and outcome.run is None and not outcome.failed:
                removing = asyncio.create_task(self._refuse(event.stored))
                self._removing.add(removing)
                removing.add_done_callback(self._removing.discard)
            said = b'{"ok":false,"error":"not committed"}' if outcome.failed else b'{"ok":true}'
            for reply in replies:
                self._dispatcher.answer(reply, said)

        self._engine.submit(Item(run_id, event, answer, seen_version=seen))

    @property
    def unanswered(self) -> int:
        """How many wait for an answer about a result."""
        return sum(len(replies) for _, replies in self._undecided.values())

    async def _refuse(self, kept: Stored) -> None:
        """A run that was purged while its last attempt still ran: what that wrote came after what removed the rest."""
        try:
            await self._outside.run(self._on_refused, kept.organization_id, kept.run_id)
        except Exception as error:
            log.warning("payload_not_removed", reference=kept.reference, error=repr(error)[:500])

    async def _on_started(self, message: Msg) -> None:
        try:
            said = orjson.loads(message.data)
            run_id, index = split_task_run_id(said["task_run_id"])
            event = Started(
                at=self._outside.now(),
                index=index,
                attempt=int(said["attempt"]),
                worker=str(said["worker"])[:128],
                started_at=int(said["started_at"]),
                delivery=_delivery(said),
                timeout_s=min(float(said.get("timeout_s") or 0), 1e9),
            )
            seen = int(said.get("run_version") or 0)
        except _NOT_UNDERSTOOD:
            _malformed.labels("started").inc()
            return
        self._engine.submit(Item(run_id, event, ignore, seen_version=seen))

    async def _on_heartbeat(self, message: Msg) -> None:
        try:
            tasks = [(str(run), str(task), int(attempt)) for run, task, attempt in orjson.loads(message.data)["tasks"]]
        except _NOT_UNDERSTOOD:
            _malformed.labels("heartbeat").inc()
            await message.respond(b'{"cancel":[]}')
            return
        stop = await self._outside.run(stored.cancelled_among, self._database, tasks)
        await message.respond(orjson.dumps({"cancel": stop}))


def finished(said: dict[str, Any], index: int, at: int) -> Finished:
    """A worker's result message as an event. Raises ValueError, KeyError or TypeError when it is none."""
    failure = None
    if said.get("error") is not None:
        error = said["error"]
        failure = Failure(
            str(error["code"])[:128], str(error.get("message", ""))[:4000], bool(error.get("retryable")),
            error.get("details"),
        )  # fmt: skip
    kept = None
    if failure is None and said.get("output_ref") is not None:
        kept = Stored(str(said["output_ref"]), int(said["output_size"]))
        if kept.run_id != said["task_run_id"].rpartition("-")[0]:
            raise ValueError("an output of another run")
    return Finished(
        at=at,
        index=index,
        attempt=int(said["attempt"]),
        stored=kept,
        output=orjson.dumps(said["output"]) if failure is None and "output" in said else None,
        failure=failure,
        cancelled=bool(said.get("cancelled")),
        worker=str(said.get("worker", ""))[:128],
        started_at=int(said["started_at"]) if said.get("started_at") else None,
        finished_at=int(said["finished_at"]) if said.get("finished_at") else None,
        delivery=_delivery(said),
        log_lines=max(0, min(int(said.get("log_lines") or 0), 1_000_000)),
    )


def _delivery(said: dict[str, Any]) -> int:
    return min(int(said.get("delivery") or 1), 1_000_000)


def ignore(outcome: Outcome) -> None:
    """For events that nobody waits for."""


class Timers:
    """Turns due times in the database into ticks; one per run at a time."""

    def __init__(self, engine: Engine, database: Database, outside: Outside = REAL) -> None:
        self._outside = outside
        self._engine = engine
        self._database = database
        self._ticking: set[str] = set()

    async def run_once(self) -> int:
        """Ticks the runs that are due; how many."""
        at = self._outside.now()
        due = await self._outside.run(stored.due_runs, self._database, at, DUE_AT_ONCE)
        fresh = [(run_id, when) for run_id, when in due if run_id not in self._ticking]
        _lag.set(max((at - when for _, when in fresh), default=0) / 1_000_000)
        for run_id, _ in fresh:
            self._tick(run_id, Tick(at))
        return len(fresh)

    def _tick(self, run_id: str, event: Event) -> None:
        self._ticking.add(run_id)
        self._engine.submit(Item(run_id, event, lambda _: self._ticking.discard(run_id)))


class BrokerWatch:
    """Declares the streams, and when the broker has forgotten what it held, hands everything out again.

    A loss is noted, so that no replica minds it any more, only when all that was handed out again has reached the
    broker: what a worker runs is reminded of at no other time, and whoever minds the loss may die in the middle of it.
    """

    def __init__(self, nc: Client, engine: Engine, database: Database, outside: Outside = REAL) -> None:
        self._outside = outside
        self._js = nc.jetstream(timeout=2)
        self._engine = engine
        self._database = database
        self._woken = asyncio.Event()
        self._minded = ""
        self._unsent: set[str] = set()

    def wake(self) -> None:
        """Looks at once: the connection came back, or a publication was refused. What was on its way may be lost."""
        self._minded = ""
        self._woken.set()

    async def run(self) -> None:
        while True:
            try:
                await self.run_once()
            except Exception as error:
                log.warning("broker_watch_failed", error=repr(error))
            try:
                await asyncio.wait_for(self._woken.wait(), 1.0)
                await asyncio.sleep(0.1)  # many refusals at once are one reason to look
            except TimeoutError:
                pass
            self._woken.clear()

    async def run_once(self) -> bool:
        """Whether the task stream was made anew since it was last seen; then all open runs were reminded."""
        tasks, created = str(bus.TASKS.name), {}
        # the broker's answer below shows that it has read what was sent before
        handed_out = "" if self._unsent else self._minded
        for config in (bus.TASKS, bus.EVENTS):
            try:
                info = await self._js.stream_info(str(config.name))
            except NotFoundError:
                info = await bus.declare(self._js, config)
            created[str(config.name)] = str(info.created)
        anew = await self._outside.run(stored.stream_is_new, self._database, created)
        lost = tasks in anew and created[tasks] != self._minded
        if lost:
            log.warning("broker_forgot", stream=tasks)
            self._minded = created[tasks]
            try:
                reminded = await self._remind_all()
            except BaseException:
                self._minded = ""
                raise
            if not reminded:
                handed_out = created[tasks]
        if str(bus.EVENTS.name) in anew:
            since = self._outside.now() - EVENTS_KEPT
            await self._outside.run(stored.publish_again, self._database, since)
        if not created[tasks] == handed_out == self._minded:
            anew.discard(tasks)
        if anew:
            # only now: a crash before this repeats the reminding, which is harmless
            seen = {name: created[name] for name in anew}
            await self._outside.run(stored.note_streams, self._database, seen)
        return lost

    async def _remind_all(self) -> int:
        """How many runs are open."""
        after, at, count = "", self._outside.now(), 0
        unsent = self._unsent = set()
        while True:
            ids = await self._outside.run(stored.open_runs, self._database, after, DUE_AT_ONCE)
            unsent.update(ids)
            count += len(ids)
            for run_id in ids:
                self._engine.submit(Item(run_id, Remind(at, lost=True), self._sent(run_id, unsent)))
            if len(ids) < DUE_AT_ONCE:
                return count
            after = ids[-1]

    def _sent(self, run_id: str, unsent: set[str]) -> Callable[[Outcome], None]:
        """Called when the reminder of a run was decided, and what came of it was sent."""

        def done(outcome: Outcome) -> None:
            unsent.discard(run_id)
            if outcome.failed:
                self._minded = ""
            if not unsent:
                self._woken.set()

        return done


class Purge:
    """Removes ended runs that were kept long enough: a little at a time, so that work at hand does not feel it."""

    def __init__(self, database: Database, outside: Outside = REAL) -> None:
        self._outside = outside
        self._database = database

    async def run_once(self) -> int:
        """Removes at most PURGED_ROWS rows; how many. A run with open work is never among them."""
        removed, run = 0, self._outside.run
        for run_id in await run(purge.half_purged, self._database, PURGED_RUNS):
            removed += await run(purge.purge_rows, self._database, run_id, PURGED_ROWS - removed)
            if removed >= PURGED_ROWS:
                return removed
        at = self._outside.now()
        due = await run(purge.due_for_purge, self._database, at, PURGED_RUNS)
        if due:
            removed += await run(purge.begin_purge, self._database, due, self._purged, at)
        return removed

    async def drop_keys(self) -> int:
        """Removes start keys that need not be known any more; how many."""
        before = self._outside.now() - START_KEYS_KEPT
        return await self._outside.run(purge.drop_start_keys, self._database, before, PURGED_ROWS)

    def _purged(self, organization_id: str, run_id: str) -> tuple[str, str, bytes]:
        """The domain event by which other services let go of what belongs to the run."""
        data = {"run_id": run_id}
        return cloud_event("run.purged", run_id, organization_id, data, self._outside)


class Outbox:
    """Publishes domain events, at least once and in order; who listens knows them by their id."""

    def __init__(self, nc: Client, database: Database, keep_days: float, outside: Outside = REAL) -> None:
        self._outside = outside
        self._js = nc.jetstream(timeout=5)
        self._database = database
        self._keep = int(keep_days * 24 * 3600 * 1_000_000)

    async def run_once(self) -> int:
        """Publishes what is waiting; how many."""
        waiting = await self._outside.run(stored.unpublished, self._database, 500)
        if not waiting:
            return 0
        sent = []
        try:
            for event_id, subject, body in waiting:
                await self._js.publish(subject, body.encode(), headers={"Nats-Msg-Id": event_id})
                sent.append(event_id)
        except (NatsError, OSError) as error:
            log.warning("outbox_waits", error=repr(error))
        if sent:
            await self._outside.run(stored.mark_published, self._database, sent, self._outside.now())
        return len(sent)

    async def drop_old(self) -> int:
        """Removes what was published long ago, a small batch at a time; how many."""
        return await self._outside.run(stored.drop_published, self._database, self._outside.now() - self._keep, 1000)
