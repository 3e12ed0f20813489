"""Following live, at any replica: one run with its log, or all runs of an organisation.

What is told is read from the database; everything else only says that a look is worth it: a commit in this process at
once, another replica's by a message of the broker, and when that is lost, a look every LOOK_S. One look serves all who
follow, and nothing is asked while nobody does (docs/decisions/0016).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import sqlalchemy as sa
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import Gauge

from execution_service.app import Execution
from execution_service.domain.run import Run
from execution_service.sessions import Session, Sessions
from execution_service.storage import history, live
from execution_service.storage.live import LINES_COME_S
from execution_service.storage.log import read_lines
from kit.auth import Caller
from kit.database import is_away
from kit.errors import NotFound
from kit.ids import new_id

LOOK_S = 0.5
"""What no message told of is seen this late at most."""
PACE_S, PACE = 0.05, 5
"""From one look for a follower to the next is this time, or so many times as long as the look took (≤ LOOK_S)."""
WHOLE_MOST = 50
"""A run of more tasks is told by what changed of it."""
LINES_AT_ONCE = 200
OVERLAP = 30 * 1_000_000
"""Microseconds that are told again when a list is resumed: a commit may be later than the times it writes."""
RUNS_MOST = 500
"""When more runs changed than this, the list is better read again."""
ENDED_MOST = 10_000
"""Ended runs that one look compares; of more at once the oldest are told of only by messages."""

log = structlog.get_logger()
_following = Gauge("live_streams", "Event streams open", ["kind"])


@dataclass(frozen=True, slots=True)
class Place:
    """How far a run was followed: its version, and the number of its newest log line."""

    version: int = 0
    line: int = 0

    @classmethod
    def parse(cls, text: str) -> "Place":
        """`<version>.<line>`, or only a version as older streams numbered their events."""
        version, _, line = text.partition(".")
        return cls(int(version), int(line or 0))

    def __str__(self) -> str:
        return f"{self.version}.{self.line}"


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a stream; without a name it is a sign of life."""

    event: str = ""
    id: str = ""
    data: Any = None


@dataclass(slots=True, eq=False)
class _Reader:
    """Somebody who follows a list: what changed and was not told yet, by run."""

    workflow_id: str | None
    waiting: dict[str, dict[str, Any]] = field(default_factory=dict)
    too_much: bool = False
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, summaries: Iterable[dict[str, Any]]) -> None:
        for summary in summaries:
            if self.workflow_id in (None, summary["workflow_id"]):
                self.waiting[summary["run_id"]] = summary
        if len(self.waiting) > RUNS_MOST:
            self.waiting, self.too_much = {}, True
        if self.waiting or self.too_much:
            self.woken.set()


@dataclass(slots=True)
class _Feed:
    """What is known of an organisation's runs while somebody follows them: the states of those that are open or ended
    lately. `heard`: runs that may have another. `looked_at`: all that was committed by then was told."""

    organization_id: str
    known: dict[str, str] | None = None
    heard: set[str] = field(default_factory=set)
    looked_at: int = 0
    readers: set[_Reader] = field(default_factory=set)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None


@dataclass(frozen=True, slots=True)
class _Interest:
    """What another replica's followers want to hear of, for a while."""

    until: float
    runs: frozenset[str]
    organizations: frozenset[str]


class Live:
    """The followers of this replica. `alone`: no other replica commits. Lives on the event loop.

    `after_end_s`: how long a stream waits for lines of an ended run that nobody counted, as of a worker that died; for
    those that it lacks it waits longer. `interest_s`: how long another replica's
    followers are believed to be there. `beat_s`: how often a silent stream says that it is there.
    """

    def __init__(
        self,
        execution: Execution,
        nc: Client,
        sessions: Sessions,
        *,
        alone: bool = False,
        stopping: Callable[[], bool] = lambda: False,
        after_end_s: float = 1.5,
        interest_s: float = 3.0,
        beat_s: float = 15.0,
    ) -> None:
        self._execution = execution
        self._database = execution.database
        self._ask = execution.outside.run
        self._nc = nc
        self._sessions = sessions
        self._alone = alone
        self._stopping = stopping
        self._after_end_s = after_end_s
        self._interest_s = interest_s
        self._beat_s = beat_s
        self._name = new_id()
        self._runs: dict[str, set[asyncio.Event]] = {}
        self._heads: dict[str, tuple[int, int]] = {}
        self._feeds: dict[str, _Feed] = {}
        self._followed = asyncio.Event()
        self._others: dict[str, _Interest] = {}
        self._hints: list[tuple[str, str, str]] = []
        self._sending: set[asyncio.Task[None]] = set()
        execution.watchers.listen(self.committed)

    async def subscribe(self) -> None:
        """Hears of the other replicas' commits, and of what they want to hear."""
        if not self._alone:
            await self._nc.subscribe("engine.followed", cb=self._on_followed)
            await self._nc.subscribe("engine.changed", cb=self._on_changed)

    async def run(self) -> None:
        """Looks after those who follow, for ever."""
        while True:
            await self._followed.wait()
            try:
                await self.run_once()
            except Exception as error:
                log.warning("live_look_failed", error=repr(error)[:500])
            await asyncio.sleep(LOOK_S)

    async def run_once(self) -> None:
        """Tells the other replicas what is followed here, and looks whether the followed runs changed."""
        if not (self._runs or self._feeds):
            self._followed.clear()
            return
        if self._stopping():
            # whoever follows goes on at another replica
            for run_id in self._runs:
                self._wake(run_id)
            for feed in self._feeds.values():
                for reader in feed.readers:
                    reader.woken.set()
        if self._alone:
            return
        await self._say_followed()
        heads = await self._ask(live.read_heads, self._database, list(self._runs))
        for run_id in list(self._runs):
            head = heads.get(run_id)
            seen = (0, 0) if head is None else (head.version, head.lines)
            if self._heads.get(run_id) != seen:
                self._heads[run_id] = seen
                self._wake(run_id)

    # --- what is worth a look ----------------------------------------------------------------------------------------

    def committed(self, run_id: str, run: Run | None = None) -> None:
        """Something of this run was committed here."""
        if not (self._runs or self._feeds or self._others):
            return
        organization_id, state = ("", "") if run is None else (run.facts.organization_id, str(run.head.state))
        self._heard(run_id, organization_id, state)
        if self._others:
            self._hint(run_id, organization_id, state)

    def _heard(self, run_id: str, organization_id: str, state: str) -> None:
        self._wake(run_id)
        feed = self._feeds.get(organization_id)
        if feed is not None and feed.known is not None and feed.known.get(run_id) != state:
            feed.heard.add(run_id)
            feed.woken.set()

    def _wake(self, run_id: str) -> None:
        for woken in self._runs.get(run_id, ()):
            woken.set()

    def _hint(self, run_id: str, organization_id: str, state: str) -> None:
        at = time.monotonic()
        self._others = {name: other for name, other in self._others.items() if other.until > at}
        if any(run_id in other.runs or organization_id in other.organizations for other in self._others.values()):
            self._hints.append((run_id, organization_id, state))
            if len(self._hints) == 1:
                # those of the same batch go along
                asyncio.get_running_loop().call_soon(self._send_hints)

    def _send_hints(self) -> None:
        hints, self._hints = self._hints, []
        self._send("engine.changed", {"by": self._name, "runs": hints})

    async def _on_changed(self, message: Msg) -> None:
        said = orjson.loads(message.data)
        if said["by"] != self._name:
            for run_id, organization_id, state in said["runs"]:
                self._heard(run_id, organization_id, state)

    async def _on_followed(self, message: Msg) -> None:
        said = orjson.loads(message.data)
        if said["by"] != self._name:
            until = time.monotonic() + self._interest_s
            self._others[said["by"]] = _Interest(until, frozenset(said["runs"]), frozenset(said["organizations"]))

    async def _say_followed(self) -> None:
        said = {"by": self._name, "runs": list(self._runs), "organizations": list(self._feeds)}
        await self._nc.publish("engine.followed", orjson.dumps(said))

    def _send(self, subject: str, said: Any) -> None:
        async def send() -> None:
            try:
                await self._nc.publish(subject, orjson.dumps(said))
            except Exception as error:
                # it is seen by looking, a little later
                log.info("hint_not_sent", error=repr(error)[:500])

        sending = asyncio.create_task(send())
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    def _begin(self) -> None:
        """Somebody follows what nobody did: the other replicas learn it now and not at the next look."""
        self._followed.set()
        if not self._alone:
            said = {"by": self._name, "runs": list(self._runs), "organizations": list(self._feeds)}
            self._send("engine.followed", said)

    # --- one run -----------------------------------------------------------------------------------------------------

    async def follow_run(self, caller: Caller, run_id: str, place: Place) -> AsyncIterator[Told]:
        """The run behind `place`, and its log lines: whole at first and when its state changes, else what changed of
        it; until it is terminal and its last lines are told, or the caller's token or session ends."""
        organization_id, until = caller.organization_id, caller.expires_at
        state, many, ends_at = "", False, float("inf")
        clock = asyncio.get_running_loop().time
        with self._run_followed(run_id) as woken, self._sessions.stream(caller, woken) as session:
            while self._goes_on(session, until):
                woken.clear()
                began = clock()
                try:
                    head = (await self._ask(live.read_heads, self._database, [run_id])).get(run_id)
                    if head is None:
                        return  # removed meanwhile
                    if head.version > place.version:
                        told, many = await self._changes(organization_id, run_id, place, state, many)
                        place, state = Place(told.data["version"], place.line), told.data["state"]
                        yield told
                    async for told in self._lines(organization_id, run_id, place, head.lines):
                        place = Place.parse(told.id)
                        yield told
                        if session.ended:
                            return
                except sa.exc.SQLAlchemyError as error:
                    if not is_away(error):
                        raise
                    log.warning("stream_ended", run_id=run_id, error=repr(error)[:500])
                    return
                except NotFound:
                    return
                if head.state.terminal:
                    if clock() >= ends_at:
                        return
                    lacks = head.lacks_lines(self._execution.outside.now())
                    wait_s = max(self._after_end_s, LINES_COME_S) if lacks else self._after_end_s
                    ends_at = min(ends_at, clock() + wait_s - self._ago_s(head.finished_at))
                took = clock() - began
                pause = min(self._beat_s, until - time.time(), ends_at - clock())
                if not await _woken(woken, pause) and pause == self._beat_s:
                    yield Told()
                await _paced(began, took, clock)

    def _ago_s(self, at: int | None) -> float:
        return 0.0 if at is None else max(0.0, (self._execution.outside.now() - at) / 1_000_000)

    async def _changes(
        self, organization_id: str, run_id: str, place: Place, state: str, many: bool
    ) -> tuple[Told, bool]:
        """The next event about the run itself, and whether it has many tasks. `state`: told last, none at first."""
        plan = self._execution.engine.plan
        if many:
            found, _ = await self._ask(
                history.read_changes, self._database, organization_id, run_id, plan, place.version
            )
            if found["state"] == state:
                return Told("tasks", str(Place(found["version"], place.line)), found), many
        found = await self._ask(history.read_run, self._database, organization_id, run_id, plan)
        many = sum(len(job["tasks"]) for job in found["jobs"]) > WHOLE_MOST
        return Told("run", str(Place(found["version"], place.line)), found), many

    async def _lines(self, organization_id: str, run_id: str, place: Place, newest: int) -> AsyncIterator[Told]:
        while place.line < newest:
            lines = await self._ask(read_lines, self._database, organization_id, run_id, place.line, LINES_AT_ONCE)
            if not lines:
                return
            place = Place(place.version, lines[-1][0])
            yield Told("log", str(place), {"items": [shown for _, shown in lines]})

    @contextmanager
    def _run_followed(self, run_id: str) -> Iterator[asyncio.Event]:
        woken = asyncio.Event()
        waiting = self._runs.setdefault(run_id, set())
        waiting.add(woken)
        if len(waiting) == 1:
            self._begin()
        _following.labels("run").inc()
        try:
            yield woken
        finally:
            _following.labels("run").dec()
            waiting.discard(woken)
            if not waiting:
                del self._runs[run_id]
                self._heads.pop(run_id, None)

    def _goes_on(self, session: Session, until: float) -> bool:
        """`until`: seconds since the epoch."""
        return not (self._stopping() or session.ended) and time.time() < until

    # --- an organisation's runs --------------------------------------------------------------------------------------

    async def follow_runs(self, caller: Caller, workflow_id: str | None, since: int | None) -> AsyncIterator[Told]:
        """Summaries of the organisation's runs (of one workflow): first those that changed since `since`, microseconds,
        with some overlap, then each when it is accepted and when its state changes. `reset`: too much to tell."""
        clock, until = asyncio.get_running_loop().time, caller.expires_at
        with (
            self._list_followed(caller.organization_id, workflow_id) as (feed, reader),
            self._sessions.stream(caller, reader.woken) as session,
        ):
            if not await self._first_look(feed, session, until):
                return
            try:
                yield await self._missed(feed, reader, since)
            except sa.exc.SQLAlchemyError as error:
                if not is_away(error):
                    raise
                return
            while self._goes_on(session, until):
                began = clock()
                pause = min(self._beat_s, until - time.time())
                if not await _woken(reader.woken, pause):
                    if pause == self._beat_s:
                        yield Told()
                    continue
                reader.woken.clear()
                at, waiting, too_much = str(feed.looked_at), reader.waiting, reader.too_much
                reader.waiting, reader.too_much = {}, False
                if too_much:
                    yield Told("reset", at, {})
                elif waiting:
                    yield Told("runs", at, {"items": sorted(waiting.values(), key=_age)})
                await _paced(began, 0.0, clock)

    async def _first_look(self, feed: _Feed, session: Session, until: float) -> bool:
        while self._goes_on(session, until) and not feed.ready.is_set():
            await _woken(feed.ready, LOOK_S)
        return feed.ready.is_set()

    async def _missed(self, feed: _Feed, reader: _Reader, since: int | None) -> Told:
        """What who comes now has not seen."""
        at = feed.looked_at
        begin = (at if since is None else since) - OVERLAP
        organization_id, most = feed.organization_id, RUNS_MOST + 1
        if since is not None and at - since > 20 * OVERLAP:
            return Told("reset", str(at), {})
        ids = await self._ask(live.stirred_runs, self._database, organization_id, begin, most)
        ids += await self._ask(live.ended_states, self._database, organization_id, begin, most)
        if len(ids) > RUNS_MOST:
            return Told("reset", str(at), {})
        found = await self._ask(history.read_summaries, self._database, organization_id, ids)
        items = [summary for summary in found if reader.workflow_id in (None, summary["workflow_id"])]
        return Told("runs", str(at), {"items": sorted(items, key=_age)})

    @contextmanager
    def _list_followed(self, organization_id: str, workflow_id: str | None) -> Iterator[tuple[_Feed, _Reader]]:
        reader = _Reader(workflow_id)
        feed = self._feeds.get(organization_id)
        if feed is None:
            feed = self._feeds[organization_id] = _Feed(organization_id)
            feed.task = asyncio.create_task(self._feed(feed), name=f"runs of {organization_id}")
            self._begin()
        feed.readers.add(reader)
        _following.labels("runs").inc()
        try:
            yield feed, reader
        finally:
            _following.labels("runs").dec()
            feed.readers.discard(reader)
            if not feed.readers and self._feeds.get(organization_id) is feed:
                del self._feeds[organization_id]
                if feed.task is not None:
                    feed.task.cancel()

    async def _feed(self, feed: _Feed) -> None:
        """Keeps a feed's readers informed, for as long as it has any."""
        clock = asyncio.get_running_loop().time
        all_at = 0.0
        while True:
            began = clock()
            feed.woken.clear()
            try:
                if began >= all_at:
                    await self._look_at_all(feed)
                    # of very many open runs more seldom
                    all_at = began + max(LOOK_S, PACE * (clock() - began))
                elif feed.heard:
                    heard, feed.heard = feed.heard, set()
                    await self._look_at(feed, heard)
            except Exception as error:
                log.warning("live_look_failed", error=repr(error)[:500])
                all_at = began + LOOK_S
            took = clock() - began
            await _woken(feed.woken, all_at - clock())
            await _paced(began, took, clock)

    async def _look_at_all(self, feed: _Feed) -> None:
        """Finds what nobody told of: which states are others than the known ones."""
        at, organization_id = self._execution.outside.now(), feed.organization_id
        heard, feed.heard = feed.heard, set()
        states = await self._ask(live.open_states, self._database, organization_id)
        since = (feed.looked_at or at) - OVERLAP
        ended = await self._ask(live.ended_states, self._database, organization_id, since, ENDED_MOST)
        # second: what was open may have ended between the two
        states |= ended
        if feed.known is None:
            feed.known = states
        else:
            changed = {run_id for run_id, state in states.items() if feed.known.get(run_id) != state}
            # open before, and now neither open nor lately ended: ended by a commit that came very late, or removed
            changed |= {run_id for run_id, state in feed.known.items() if run_id not in states and state in live.OPEN}
            await self._look_at(feed, changed | heard)
            feed.known = {run_id: feed.known.get(run_id, state) for run_id, state in states.items()}
        feed.looked_at = at
        feed.ready.set()

    async def _look_at(self, feed: _Feed, run_ids: set[str]) -> None:
        assert feed.known is not None  # noqa: S101  # all was looked at first
        ids = list(run_ids)
        for at in range(0, len(ids), RUNS_MOST):
            some = ids[at : at + RUNS_MOST]
            found = await self._ask(history.read_summaries, self._database, feed.organization_id, some)
            fresh = [summary for summary in found if feed.known.get(summary["run_id"]) != summary["state"]]
            feed.known |= {summary["run_id"]: summary["state"] for summary in fresh}
            for reader in feed.readers:
                reader.add(fresh)


def _age(summary: dict[str, Any]) -> tuple[str, str]:
    return summary["created_at"], summary["run_id"]


async def _woken(event: asyncio.Event, seconds: float) -> bool:
    """Whether it was set within so many seconds."""
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _paced(began: float, took: float, clock: Callable[[], float]) -> None:
    """Leaves others their turn before the next look."""
    pause = began + max(PACE_S, min(PACE * took, LOOK_S)) - clock()
    if pause > 0:
        await asyncio.sleep(pause)
