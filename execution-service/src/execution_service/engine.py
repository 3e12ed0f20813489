"""The shell around `decide`: takes events in batches, commits each batch in one transaction, then lets the world know.

Its rules:
- Nothing leaves (no command, no answer) before the transaction that decided it is durable.
- Versions guard writes only. An event that would change nothing is decided again on the run as the database has it
  before it is acknowledged, unless this process is the database's only writer: a stale copy would take a valid result
  for a duplicate.
- A batch that fails is decided again from the database: every event may be decided twice, since the second time it is
  a duplicate. One event that makes the engine fail is buried alone and its run ended; the others go on.

All of it runs in one thread, the writer; `submit` may be called from anywhere.
"""

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import sqlalchemy as sa
import structlog
from prometheus_client import Counter, Histogram

from execution_service import notices
from execution_service.cache import CACHE_BYTES, Cache
from execution_service.domain.decide import decide
from execution_service.domain.definition import Definition
from execution_service.domain.draft import Decision, PayloadsNeeded
from execution_service.domain.events import Begin, Command, Dispatch, Event, Finished, Poisoned
from execution_service.domain.plan import Plan, compile_plan
from execution_service.domain.run import Changes, Failure, Run
from execution_service.outside import REAL, Outside
from execution_service.storage import runs as stored
from execution_service.storage.commit import RunWrite, StartKey, commit
from execution_service.storage.runs import RunRows
from kit.database import Database, is_conflict
from kit.payloads import INLINE_LIMIT, PayloadStore, Stored

BATCH = 256
DAY = 24 * 3600 * 1_000_000
ATTEMPTS = 8
"""How often an event is decided anew when its commits fail, before its sender is told to ask again."""

log = structlog.get_logger()
_events = Counter("engine_events_total", "Events decided", ["event"])
_commits = Counter("engine_commits_total", "Transactions", ["outcome"])
_batch_size = Histogram("engine_batch_size", "Events per transaction", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))
_commit_seconds = Histogram("engine_commit_seconds", "Time of a transaction")
_dead = Counter("engine_dead_events_total", "Events that made the engine fail")
_unknown = Counter("engine_unknown_run_total", "Events of runs that do not exist (any more)")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A command with what its message needs. `parameters` is the resolved input as JSON, or where that is kept."""

    command: Command
    run: Run
    parameters: bytes | Stored | None = None


@dataclass(slots=True)
class Outcome:
    """What became of one event. `run` is the run afterwards (None: there is none).

    `known`: a start whose key was taken: (body hash, run id). `failed`: not decided, ask again.
    """

    run: Run | None = None
    known: tuple[str, str] | None = None
    failed: bool = False
    outgoing: list[Outgoing] = field(default_factory=list)


@dataclass(slots=True)
class Item:
    """An event on its way. `begin` carries a new run. `seen_version`: the run's version that the sender knew."""

    run_id: str
    event: Event
    done: Callable[[Outcome], None]
    new: Run | None = None
    start_key: StartKey | None = None
    seen_version: int = 0
    attempts: int = 0
    reload: bool = False


@dataclass(slots=True)
class _Work:
    """One run's part of the batch in the making."""

    run: Run
    write: RunWrite
    fresh: bool
    items: list[Item] = field(default_factory=list)
    commands: list[tuple[Item, list[Command]]] = field(default_factory=list)


@dataclass(slots=True)
class _Batch:
    """What becomes of the events of a batch. `ahead`: what was read for it, by run: the copy that it is newer than, and
    the rows. `doubtful`: events that would change nothing on a copy that may be old; `second`: it is their turn."""

    works: dict[str, _Work] = field(default_factory=dict)
    ahead: dict[str, tuple[Run | None, RunRows | None]] = field(default_factory=dict)
    doubtful: list[Item] = field(default_factory=list)
    second: bool = False
    again: list[Item] = field(default_factory=list)
    outcomes: list[tuple[Item, Outcome]] = field(default_factory=list)


class Engine:
    """The writer. `deliver` receives each batch's outcomes after its commit, from the writer's thread."""

    def __init__(
        self,
        database: Database,
        deliver: Callable[[list[tuple[Item, Outcome]]], None],
        payloads: PayloadStore,
        *,
        sole_writer: bool,
        retention_days: float = 0.0,
        cache_bytes: int = CACHE_BYTES,
        queue_limits: Mapping[str, int] = MappingProxyType({}),
        outside: Outside = REAL,
    ) -> None:
        self._database = database
        self._deliver = deliver
        self._payloads = payloads
        self._sole_writer = sole_writer
        self._retention_days = retention_days
        self._queue_limits = queue_limits
        self._outside = outside
        self._inbox: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._cache = Cache(cache_bytes)
        self._again: list[Item] = []
        self._stopping = False
        self._plans: OrderedDict[tuple[str, int], Plan] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name="engine-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Decides what was submitted, then ends."""
        self._inbox.put(None)
        self._thread.join(timeout=30)

    def check(self) -> None:
        """Raises RuntimeError when nothing is decided any more."""
        if not self._thread.is_alive():
            raise RuntimeError("the engine's writer has ended")

    def submit(self, item: Item) -> None:
        """Takes an event; `item.done` is called with its outcome through `deliver`."""
        self._inbox.put(item)

    def plan(self, workflow_id: str, version: int) -> Plan:
        """The compiled plan of a version that some run here has. Raises KeyError when it was never stored."""
        plan = self.held_plan(workflow_id, version)
        if plan is None:
            definition = stored.load_definition(self._database, workflow_id, version)
            if definition is None:
                raise KeyError(f"no definition {workflow_id} version {version}")
            plan = self.keep_plan(self.compile(definition))
        return plan

    def compile(self, definition: Definition) -> Plan:
        """Its plan under this installation's limits. Raises ValueError or ExpressionError when it is broken."""
        return compile_plan(definition, self._queue_limits)

    def held_plan(self, workflow_id: str, version: int) -> Plan | None:
        """The plan if it is in memory."""
        return self._plans.get((workflow_id, version))

    def keep_plan(self, plan: Plan) -> Plan:
        self._plans[plan.definition.workflow_id, plan.definition.version] = plan
        while len(self._plans) > 500:
            self._plans.popitem(last=False)
        return plan

    # --- the writer's loop -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self.step(wait=True):
            pass

    def step(self, *, wait: bool = False) -> bool:
        """Decides what was submitted, at most one batch, or waits for something to be. False: stopped, and all is done.

        `start` has a thread do this; who does not call `start` calls it himself.
        """
        batch, self._again = self._again, []
        try:
            while len(batch) < BATCH and not self._stopping:
                item = self._inbox.get(block=wait and not batch)
                if item is None:
                    self._stopping = True
                else:
                    batch.append(item)
        except queue.Empty:
            pass
        if batch:
            try:
                self._again = self._process(batch)
            except Exception as error:
                # a bug in the shell itself: whoever sent these is told to ask again
                log.error("engine_batch_failed", exc_info=error)
                self._cache.drop(item.run_id for item in batch)
                self._deliver([(item, Outcome(failed=True)) for item in batch])
        return bool(self._again) or not self._stopping

    def _process(self, batch: list[Item]) -> list[Item]:
        """Decides and commits a batch; the items to be decided again."""
        doing = _Batch()
        try:
            self._decide_all(batch, doing)
        except Exception as error:
            if not _database_failed(error):
                raise
            doing.again += self._not_read(batch, error, doing)
        works = list(doing.works.values())
        if works:
            try:
                doing.again += self._commit(works, doing.outcomes)
            except Exception as error:
                doing.again += self._commit_failed(works, error, doing.outcomes)
        again = self._give_up(doing.again, doing.outcomes)
        if doing.outcomes:
            self._deliver(doing.outcomes)
        return again

    def _decide_all(self, batch: list[Item], doing: _Batch) -> None:
        # what nobody here holds, or holds in a copy known to be old; after a start of this service hundreds are due
        self._read_ahead([item for item in batch if not item.new and self._must_be_read(item)], doing)
        for item in batch:
            _events.labels(type(item.event).__name__).inc()
            self._decide(item, doing)
        if doing.doubtful:
            # what would change nothing is not believed of a copy that others may have changed
            doing.second = True
            self._read_ahead(doing.doubtful, doing)
            for item in doing.doubtful:
                self._decide(item, doing)

    def _must_be_read(self, item: Item) -> bool:
        held = self._cache.get(item.run_id)
        return held is None or item.reload or held.version < item.seen_version

    def _read_ahead(self, items: list[Item], doing: _Batch) -> None:
        """Reads the runs of these events together: one by one they would take most of the time of a large batch."""
        copies: dict[str, Run | None] = {}
        for item in items:
            work = doing.works.get(item.run_id)
            if work is None or not (work.write.changes or work.items):
                copies[item.run_id] = work.run if work else self._cache.get(item.run_id)
        if len(copies) < 2:
            return
        since = {run_id: copy.version if copy else 0 for run_id, copy in copies.items()}
        try:
            found = stored.read_runs(self._database, since)
        except Exception as error:
            if _database_failed(error):
                raise
            # each is read alone then, and whose rows are to blame shows
            log.warning("read_ahead_failed", runs=len(copies), error=repr(error)[:500])
            return
        doing.ahead = {run_id: (copy, found.get(run_id)) for run_id, copy in copies.items()}

    def _not_read(self, batch: list[Item], error: Exception, doing: _Batch) -> list[Item]:
        """The database gave no answer before anything was committed: all that is not settled is decided again."""
        log.warning("runs_not_read", error=repr(error)[:500])
        self._cache.drop(item.run_id for item in batch)
        self._outside.pause(0.02)
        settled = {id(item) for item, _ in doing.outcomes} | {id(item) for item in doing.again}
        doing.works.clear()
        return [item for item in batch if id(item) not in settled]

    def _decide(self, item: Item, doing: _Batch) -> None:
        work = doing.works.get(item.run_id)
        if work is None:
            try:
                work = self._open(item, doing)
            except Exception as error:
                if _database_failed(error):
                    raise
                doing.outcomes.append((item, self._unreadable(item, error)))
                return
            if work is None:
                _unknown.inc()
                doing.outcomes.append((item, Outcome()))
                return
            doing.works[item.run_id] = work
        try:
            decision = self._decided(work.run, item.event, work.write.changes.stored)
            if not decision.changes and not work.fresh and not item.new:
                if work.write.changes or work.items:
                    # a reload now would lose what this batch already decided
                    item.reload = True
                    doing.again.append(item)
                    return
                if not doing.second:
                    doing.doubtful.append(item)
                    return
                run = self._read(item.run_id, work.run, doing)
                if run is None:
                    del doing.works[item.run_id]
                    doing.outcomes.append((item, Outcome()))
                    return
                work.run = work.write.run = run
                work.fresh = True
                decision = self._decided(run, item.event, {})
        except Exception as error:
            self._bury(item, error, doing)
            return
        work.items.append(item)
        work.run.apply(decision.changes)
        _merge(work.write.changes, decision.changes)
        work.commands.append((item, decision.commands))

    def _open(self, item: Item, doing: _Batch) -> _Work | None:
        """The run an event is about: new, held in memory and not known to be old, or read."""
        if item.new is not None:
            # a start that is decided again may have been committed although its commit seemed to fail
            committed = self._read(item.run_id, None, doing) if item.reload else None
            if committed is not None:
                return _Work(committed, RunWrite(committed, Changes()), fresh=True)
            run = _copy_new(item.new)
            return _Work(run, RunWrite(run, Changes(), new=True, start_key=item.start_key), fresh=True)
        known, fresh = self._cache.get(item.run_id), self._sole_writer
        if self._must_be_read(item):
            known = self._read(item.run_id, known, doing)
            fresh = True
        return None if known is None else _Work(known, RunWrite(known, Changes()), fresh=fresh)

    def _read(self, run_id: str, known: Run | None, doing: _Batch) -> Run | None:
        """The run as the database has it, or had it when this batch was read ahead; None when there is none."""
        self._cache.drop([run_id])
        if run_id in doing.ahead:
            known, rows = doing.ahead.pop(run_id)
        else:
            rows = stored.read_runs(self._database, {run_id: known.version if known else 0}).get(run_id)
        return None if rows is None else stored.restored(self._database, rows, self.plan, known)

    def _decided(self, run: Run, event: Event, uncommitted: Mapping[int, Stored]) -> Decision:
        """`uncommitted`: outputs kept apart that this batch decided on; no row names them yet."""
        while True:
            try:
                return decide(run, event)
            except PayloadsNeeded as needed:
                loaded = {}
                if needed.direction == "out":
                    fresh = {**uncommitted, **_brought(event)}
                    loaded = {i: self._payloads.get(fresh[i].reference) for i in needed.indexes if i in fresh}
                if absent := [index for index in needed.indexes if index not in loaded]:
                    loaded |= stored.load_payloads(self._database, run, absent, needed.direction, self._payloads)
                if len(loaded) != len(needed.indexes):
                    missing = sorted(set(needed.indexes) - set(loaded))[:10]
                    raise KeyError(f"{run.facts.run_id} lacks payloads ({needed.direction}): {missing}") from None
                run.hold(**{"inputs" if needed.direction == "in" else "outputs": loaded})

    def _bury(self, item: Item, error: Exception, doing: _Batch) -> None:
        """Sets a poison event aside and ends its run; the run's other events of this batch are decided again."""
        work = doing.works.pop(item.run_id)
        self._cache.drop([item.run_id])
        if _database_failed(error) or not work.fresh:
            # the database, not the event; or this copy is old, and what it names is gone with the run
            doing.again += [item, *work.items]
            return
        doing.again += work.items
        if isinstance(item.event, Poisoned):
            doing.outcomes.append((item, self._unreadable(item, error)))
            return
        doing.outcomes.append((item, self._buried(item, error)))
        if item.new is None:
            poisoned = Poisoned(self._outside.now(), repr(error)[:500])
            doing.again.append(Item(item.run_id, poisoned, _ignore, reload=True))

    def _unreadable(self, item: Item, error: Exception) -> Outcome:
        """A run that cannot be loaded or told to fail: it ends past the aggregate, else it were due for ever."""
        outcome = self._buried(item, error)
        stored.fail_unreadable(self._database, item.run_id, Failure("internal", repr(error)[:500]), self._outside.now())
        return outcome

    def _buried(self, item: Item, error: Exception) -> Outcome:
        _dead.inc()
        log.error("event_buried", run_id=item.run_id, kind=type(item.event).__name__, exc_info=error)
        try:
            stored.bury(self._database, item.run_id, repr(item.event)[:10_000], repr(error)[:10_000])
        except sa.exc.DBAPIError as trouble:
            log.error("bury_failed", run_id=item.run_id, exc_info=trouble)
        return Outcome(failed=item.new is not None)

    # --- committing --------------------------------------------------------------------------------------------------

    def _commit(self, works: list[_Work], outcomes: list[tuple[Item, Outcome]]) -> list[Item]:
        works, again = self._keep_apart(works)
        writes = [work.write for work in works if work.write.changes]
        for write in writes:
            write.events = notices.of(write, self._outside)
            write.purge_at = self._purge_at(write.run)
        began = time.perf_counter()
        committed = commit(self._database, writes) if writes else None
        if committed is not None:
            _commit_seconds.observe(time.perf_counter() - began)
            _batch_size.observe(sum(len(work.items) for work in works))
            _commits.labels("ok").inc()
        self._hold_inputs(works)
        for work in works:
            key = work.write.start_key
            known = committed.known.get(key.start_key_id) if committed and key else None
            if known is not None and known[1] != work.write.run_id:
                outcomes += [(item, Outcome(known=known)) for item in work.items]
            elif committed is not None and work.write.run_id in committed.lost:
                _commits.labels("lost").inc()
                self._cache.drop([work.write.run_id])
                again += work.items
            else:
                if work.write.changes:
                    work.run.version += 1
                self._cache.keep(work.run)
                outcomes += [(item, self._outcome(work.run, commands)) for item, commands in work.commands]
        return again

    def _keep_apart(self, works: list[_Work]) -> tuple[list[_Work], list[Item]]:
        """Writes what is too large for a row before the row that names it; without the row, it goes with its run.

        When that fails (the disk is full, say) only the runs that need it are decided again: the others go on.
        """
        kept, again = [], []
        for work in works:
            try:
                work.write.apart = self._kept_apart(work.write)
                kept.append(work)
            except OSError as error:
                log.error("payload_not_kept", run_id=work.write.run_id, error=repr(error)[:500])
                self._cache.drop([work.write.run_id])
                again += work.items
        if not kept:
            self._outside.pause(0.02)
        return kept, again

    def _kept_apart(self, write: RunWrite) -> dict[tuple[str, int], Stored]:
        facts, changes = write.run.facts, write.changes
        apart = {("out", index): kept for index, kept in changes.stored.items()}
        for direction, bodies in (("in", changes.inputs), ("out", changes.outputs)):
            for index, body in bodies.items():
                if len(body) > INLINE_LIMIT:
                    apart[direction, index] = self._payloads.put(facts.organization_id, facts.run_id, body)
        return apart

    def _purge_at(self, run: Run) -> int | None:
        days = run.plan.definition.retention_days or self._retention_days
        return run.head.finished_at + int(days * DAY) if days and run.head.finished_at is not None else None

    def _commit_failed(self, works: list[_Work], error: Exception, outcomes: list[tuple[Item, Outcome]]) -> list[Item]:
        """Nobody knows what was written: decide all again on what the database says. One bad run must not fail all."""
        _commits.labels("failed").inc()
        log.warning("commit_failed", runs=len(works), error=repr(error)[:500])
        self._cache.drop(work.write.run_id for work in works)
        for work in works:
            for item in work.items:
                item.reload = True
        if _database_failed(error):
            self._outside.pause(0.02)
            return [item for work in works for item in work.items]
        if len(works) > 1:
            # the culprit shows when each run commits alone
            return [item for work in works for item in self._process(work.items)]
        [work] = works
        if any(isinstance(item.event, Poisoned) for item in work.items):
            # not even that it failed can be written
            outcomes += [(item, self._unreadable(item, error)) for item in work.items]
            return []
        outcomes += [(item, self._buried(item, error)) for item in work.items]
        if work.write.new:
            return []
        return [Item(work.write.run_id, Poisoned(self._outside.now(), repr(error)[:500]), _ignore, reload=True)]

    def _give_up(self, again: list[Item], outcomes: list[tuple[Item, Outcome]]) -> list[Item]:
        kept = []
        for item in again:
            item.attempts += 1
            if item.attempts >= ATTEMPTS:
                outcomes.append((item, Outcome(failed=True)))
            else:
                kept.append(item)
        return kept

    def _hold_inputs(self, works: list[_Work]) -> None:
        """Reads together what the batch's commands need and nobody holds: a reminder may bring back hundreds."""
        wanted = [
            (work.run, command.index)
            for work in works
            for _, commands in work.commands
            for command in commands
            if isinstance(command, Dispatch) and command.index not in work.run.inputs
        ]
        if len(wanted) > 1:
            for run, index, body in stored.find_payloads_of(self._database, wanted, "in"):
                if isinstance(body, bytes):
                    run.hold(inputs={index: body})

    def _outcome(self, run: Run, commands: list[Command]) -> Outcome:
        outgoing = []
        for command in commands:
            parameters: bytes | Stored | None = None
            if isinstance(command, Dispatch):
                task = run.task(command.index)
                if task.attempt != command.attempt or task.state.terminal:
                    continue  # a later event of the same batch overtook it
                parameters = run.inputs.get(command.index)
                if parameters is None:
                    found = stored.find_payloads(self._database, run, [command.index], "in")
                    parameters = found.get(command.index)
                    if isinstance(parameters, bytes):
                        run.hold(inputs={command.index: parameters})
                elif len(parameters) > INLINE_LIMIT:
                    # it is there already: this only says where
                    parameters = self._payloads.put(run.facts.organization_id, run.facts.run_id, parameters)
            outgoing.append(Outgoing(command, run, parameters))
        return Outcome(run=run, outgoing=outgoing)


def _database_failed(error: Exception) -> bool:
    """Whether the database, the disk or another writer is to blame and not the event: then it is decided again."""
    known = sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError, sa.exc.IntegrityError
    return is_conflict(error) or isinstance(error, (*known, sa.exc.TimeoutError, OSError))


def _brought(event: Event) -> dict[int, Stored]:
    """The outputs that an event brings by reference."""
    match event:
        case Finished(index=index, stored=Stored() as kept):
            return {index: kept}
        case Begin():
            reused = {**event.reused, **event.reused_items}
            return {index: kept for index, kept in reused.items() if isinstance(kept, Stored)}
    return {}


def _copy_new(run: Run) -> Run:
    """A new run may be decided several times: each time from nothing."""
    return Run(run.facts, run.plan, run.input)


def _merge(into: Changes, changes: Changes) -> None:
    into.head = changes.head or into.head
    into.tasks |= changes.tasks
    into.jobs |= changes.jobs
    into.recorded_jobs |= changes.recorded_jobs
    into.claims |= changes.claims
    into.inputs |= changes.inputs
    into.outputs |= changes.outputs
    into.stored |= changes.stored
    into.attempts += changes.attempts
    into.log_lines += changes.log_lines


def _ignore(outcome: Outcome) -> None:
    """For events that nobody waits for."""


def begin(
    run: Run,
    done: Callable[[Outcome], None],
    start_key: StartKey | None,
    reused: dict[int, bytes | Stored] | None = None,
    skipped: tuple[int, ...] = (),
    reused_items: dict[int, bytes | Stored] | None = None,
    at_once: bool = False,
) -> Item:
    """The item that starts a new run."""
    event = Begin(run.facts.created_at, reused or {}, skipped, reused_items or {}, at_once)
    return Item(run.facts.run_id, event, done, new=run, start_key=start_key)
