"""One process of execution-service: its real parts, wired as its composition root does, in a simulated surrounding."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from execution_service.app import Execution
from execution_service.dispatch import Dispatcher
from execution_service.domain.definition import Definition
from execution_service.domain.plan import Plan
from execution_service.engine import Engine, Item, Outcome
from execution_service.loops import BrokerWatch, Intake, Outbox, Purge, Timers
from execution_service.outside import Outside
from execution_service.places import Places
from execution_service.waiting import Joins
from execution_service.watch import Watchers
from kit.errors import NotFound
from kit.payloads import PayloadStore
from simulation.broker import Broker, Client
from simulation.definitions import QUEUE_LIMITS, compiled
from simulation.store import Link, Store
from simulation.world import Crashed, World

TIMERS_S, OUTBOX_S, SWEEP_S = 0.7, 2.0, 3.0
"""The product looks more often; here that would be most of the work."""

FOLDER = "SIMULATION_FOLDER"
"""The environment variable that says where all processes of one simulation may write."""


@cache
def payloads() -> PayloadStore:
    """Where this process keeps what is large. Named by their content: its histories may share them."""
    return PayloadStore(Path(os.environ.get(FOLDER) or tempfile.gettempdir(), f"payloads-{os.getpid()}"))


class Definitions:
    """workflow-service, with canned answers."""

    def __init__(self) -> None:
        self.known: dict[str, Definition] = {}

    def resolve(self, organization_id: str, workflow_id: str) -> tuple[int, bool]:
        return self.definition(organization_id, workflow_id, 0).version, True

    def definition(self, organization_id: str, workflow_id: str, version: int) -> Definition:
        found = self.known.get(workflow_id)
        if found is None or found.organization_id != organization_id:
            raise NotFound("workflow_not_found")
        return found


@dataclass(frozen=True)
class Parts:
    """What a replica is made of. Broken ones show whether the simulation notices (simulation/broken.py)."""

    engine: "type[SteppedEngine]"
    watch: type[BrokerWatch] = BrokerWatch
    sole_writer: bool = False


class Replica:
    """Runs until it crashes."""

    def __init__(
        self,
        world: World,
        broker: Broker,
        store: Store,
        definitions: Definitions,
        name: str,
        *,
        committed: Callable[[], None],
        interleave: Callable[["Replica"], None],
        on_death: Callable[["Replica"], None],
        parts: "Parts",
    ) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.skew = 0
        """Microseconds by which this machine's clock is wrong."""
        self._on_death = on_death
        self._tasks: list[asyncio.Task[None]] = []
        self._stepping = False
        self._planned = False
        self._busy_until = 0.0
        life = f"{name}-{world.new_id()}"
        outside = Outside(self._now, world.new_id, self._apart, lambda _: None)
        link = Link(store, world, alive=self._must_live, before=lambda: interleave(self), after=committed)
        self._link = link
        client: Any = Client(broker, lambda: self.alive, self._place)
        watchers = Watchers()
        self.dispatcher = Dispatcher(
            client, life, window=8, on_trouble=lambda: self.watch.wake(), on_committed=watchers.notify,
            on_waiting=lambda outgoing: self.joins.send(outgoing), on_ended=lambda run: self.joins.ended(run),
            on_admit=lambda: self.places.wake(),
        )  # fmt: skip
        self.engine = parts.engine(
            link, self._deliver, payloads(), sole_writer=parts.sole_writer, queue_limits=QUEUE_LIMITS, outside=outside
        )
        self.places = Places(self.engine, link, outside)
        self.engine.submitted = self.plan_step
        self.watch = parts.watch(client, self.engine, link, outside)
        self.intake = Intake(client, self.engine, self.dispatcher, link, outside)
        workflows: Any = definitions
        self.execution = Execution(link, self.engine, workflows, watchers, payloads(), outside)
        self.joins = Joins(self.execution)
        timers = Timers(self.engine, link, outside)
        outbox = Outbox(client, link, 3, outside)
        self._start(self.intake.subscribe)
        self._start(self.dispatcher.run)
        self._start(self.watch.run)
        self._start(self.places.run)
        self._start(lambda: self._every(TIMERS_S, timers.run_once))
        self._start(lambda: self._every(OUTBOX_S, outbox.run_once))
        self._start(lambda: self._every(SWEEP_S, self.joins.run_once))
        self._start(lambda: self._every(4 * SWEEP_S, self.places.drop_unused))
        self._start(lambda: self._every(SWEEP_S, Purge(link, outside).run_once))

    def _now(self) -> int:
        return self.world.now() + self.skew

    # --- its life ---------------------------------------------------------------------------------------------------

    def _start(self, run: Callable[[], Awaitable[None]]) -> None:
        self._tasks.append(self.world.loop.create_task(self._live(run)))

    async def _live(self, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        except Crashed:
            self.die()
        except Exception as error:
            if self.alive:
                self.world.violated(f"a loop of {self.name} ended: {error!r}")

    async def _every(self, seconds: float, run_once: Callable[[], Awaitable[object]]) -> None:
        await asyncio.sleep(seconds * self.world.chance.random())
        while True:
            # what fails is tried again at the next turn, as `kit.serve.every` does
            with contextlib.suppress(Exception):
                await run_once()
            await asyncio.sleep(seconds)

    def die(self) -> None:
        """kill -9."""
        if self.alive:
            self.alive = False
            for task in self._tasks:
                task.cancel()
            self._on_death(self)

    def stop(self) -> None:
        """SIGTERM. Whoever still waits for an answer asks another replica."""
        self.step()
        if self.alive:
            try:
                self.execution.return_numbers()
            except Crashed:
                pass
            self.die()

    def _must_live(self) -> None:
        if not self.alive:
            raise Crashed

    async def _place(self) -> None:
        """Any place where the process waits: it may die there."""
        self._must_live()
        if self.world.strikes("crash_at_await"):
            self.die()
            raise Crashed
        if self.world.chance.random() < 0.1:
            await asyncio.sleep(0)
            self._must_live()

    async def _apart(self, work: Callable[[], Any]) -> Any:
        """What a thread would do: later, and perhaps never."""
        await self._place()
        try:
            result = work()
        except Crashed:
            self.die()
            raise
        finally:
            if slow := self._link.spent():
                await asyncio.sleep(slow)
        await self._place()
        return result

    # --- its writer -------------------------------------------------------------------------------------------------

    def plan_step(self) -> None:
        """The writer's thread will see what was submitted, soon."""
        if not self._planned:
            self._planned = True
            busy = max(self._busy_until - self.world.loop.time(), 0.0)
            self.world.later(busy + self.world.chance.choice([0.0, 0.0002, 0.001, 0.02]), self.step)

    def step(self) -> None:
        """One batch of the writer's."""
        self._planned = False
        if not self.alive or self._stepping:
            return
        if self.world.loop.time() < self._busy_until:
            self.plan_step()
            return
        self._stepping = True
        try:
            while self.engine.pending and self.world.loop.time() >= self._busy_until:
                self.engine.step()
        except Crashed:
            self.die()
        finally:
            self._stepping = False
            self._link.spent()
        if self.engine.pending:
            self.plan_step()

    def _deliver(self, outcomes: list[tuple[Item, Outcome]]) -> None:
        """What was decided is known when the writer's calls have come back, and nothing more is decided before."""
        slow = self._link.spent()
        if slow:
            self._busy_until = self.world.loop.time() + slow + 0.0001
            self.world.later(slow, self.dispatcher.deliver, outcomes)
        else:
            self.dispatcher.deliver(outcomes)


class SteppedEngine(Engine):
    """The real engine without a thread of its own; says when there is something to do."""

    submitted: Callable[[], None]

    def submit(self, item: Item) -> None:
        super().submit(item)
        self.submitted()

    def compile(self, definition: Definition) -> Plan:
        """As the real one, but what many replicas of one history read is compiled only once."""
        return compiled(definition)

    @property
    def pending(self) -> bool:
        return bool(self._again) or not self._inbox.empty()
