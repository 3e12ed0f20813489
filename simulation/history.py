"""One history: a world, two replicas, workers, people who press buttons, faults for a while, then peace."""

import asyncio
import contextlib
import random
import traceback
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
import sqlalchemy as sa

from execution_service import app as use
from execution_service.domain.definition import Definition
from execution_service.domain.events import Poisoned
from execution_service.domain.plan import Plan
from execution_service.domain.run import TERMINAL_RUN
from execution_service.domain.waits import Kind
from execution_service.engine import Item
from execution_service.loops import ignore
from execution_service.waiting import Answer
from kit.errors import Conflict, Error, Unavailable
from simulation.audit import Audit
from simulation.broken import PARTS
from simulation.broker import Broker
from simulation.definitions import (
    NEWS,
    ORGANIZATIONS,
    broken_definitions,
    child_definitions,
    compiled,
    draw_definition,
    draw_input,
)
from simulation.replica import Definitions, Replica
from simulation.store import Store
from simulation.workers import Worker
from simulation.world import Crashed, Stuck, World

PEOPLE = 16
FAULTS_S = 30.0
TROUBLE_S = 0.45
"""Between two things that befall a whole process, on average."""
PEACE_S = 400.0
"""Longer than every retry, time-out and redelivery of these definitions together."""


@dataclass
class Result:
    """What one history came to."""

    seed: int
    runs: int = 0
    children: int = 0
    """Runs that other runs started, which `tasks` leaves out."""
    purged: int = 0
    tasks: list[int] = field(default_factory=list)
    capabilities: Counter[str] = field(default_factory=Counter)
    """How many of `runs` made use of each."""
    faults: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class History:
    def __init__(self, seed: int, store: Store, breaking: str = "", storage: float = 1.0, people: int = PEOPLE) -> None:
        self.people = people
        self.world = World(seed, storage)
        self.chance = self.world.chance
        self.store = store
        self.parts = PARTS[breaking]
        self.broker = Broker(self.world)
        self.definitions = Definitions()
        self.plans: dict[str, Plan] = {}
        self.audit = Audit(self.world, store, self.plans)
        self.replicas: list[Replica] = []
        self.workers: list[Worker] = []
        self.accepted: dict[str, str] = {}
        """Run id → the key that started it."""
        self.started: dict[str, str] = {}
        """Key → run id."""
        for organization_id in ORGANIZATIONS:
            for definition in child_definitions(organization_id):
                self._know(definition)
            for definition in broken_definitions(organization_id):
                self.definitions.known[definition.workflow_id] = definition

    def _know(self, definition: Definition) -> None:
        self.definitions.known[definition.workflow_id] = definition
        self.plans[definition.workflow_id] = compiled(definition)

    def play(self) -> Result:
        self.store.empty()
        asyncio.set_event_loop(self.world.loop)
        try:
            self.world.loop.run_until_complete(self._play())
        except Stuck:
            self.world.violated("nothing could ever happen any more")
        except Exception:
            # a use case raised what none of its callers expects
            self.world.violated(traceback.format_exc(limit=-4))
        finally:
            self._close()
        result = Result(self.world.seed, faults=self.world.faults, violations=self.world.violations)
        result.runs = len(self.accepted)
        gone = set(self.accepted) - {row[0] for row in self.store.rows("SELECT workflow_run_id FROM workflow_run")}
        result.purged = len(gone)
        for run_id in gone:
            self._did(run_id, "purge")
        for run_id in self.accepted:
            result.capabilities.update(self.audit.did.get(run_id, ()))
        for run_id, seen in self.audit.runs.items():
            result.states[seen.state] += 1
            if run_id in self.accepted:
                result.tasks.append(len(self.plans[seen.workflow_id].steps))
            else:
                result.children += 1
        return result

    def _close(self) -> None:
        loop = self.world.loop
        for replica in self.replicas:
            replica.alive = False
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.set_exception_handler(lambda *_: None)
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        asyncio.set_event_loop(None)

    async def _play(self) -> None:
        for number in range(2):
            self._begin_replica(f"r{number}")
        for number in range(2):
            self._begin_worker(f"w{number}")
        people = [self.world.loop.create_task(self._person(number)) for number in range(self.people)]
        trouble = self.world.loop.create_task(self._trouble())
        await asyncio.sleep(FAULTS_S)
        trouble.cancel()
        self.world.quiet = True
        self._heal()
        await asyncio.wait(people)
        for person in people:
            if not person.cancelled() and person.exception() is not None:
                self.world.violated(f"a person met {person.exception()!r}")
        deadline = self.world.loop.time() + PEACE_S
        while self.world.loop.time() < deadline:
            self._resume_all()
            await self._answer_all(self.chance)
            if all(seen.state in TERMINAL_RUN for seen in self.audit.runs.values()):
                break
            await asyncio.sleep(2)
        while self.world.loop.time() < deadline and self.store.rows("SELECT 1 FROM purged_run"):
            await asyncio.sleep(2)
        self.audit.at_the_end(self.accepted)

    def _did(self, run_id: str, what: str) -> None:
        self.audit.did.setdefault(run_id, set()).add(what)

    # --- who lives here ---------------------------------------------------------------------------------------------

    def _begin_replica(self, name: str) -> None:
        replica = Replica(
            self.world, self.broker, self.store, self.definitions, name,
            committed=self.audit.after_commit, interleave=self._interleave, on_death=self._replica_died,
            parts=self.parts,
        )  # fmt: skip
        self.replicas.append(replica)

    def _replica_died(self, replica: Replica) -> None:
        self.world.note("replica_killed")
        self.replicas.remove(replica)
        self.world.later(0.1 + 2 * self.chance.random(), self._begin_replica, replica.name)

    def _interleave(self, replica: Replica) -> None:
        """Another replica's whole batch happens between what this one read and what it writes."""
        others = [one for one in self.replicas if one is not replica and one.engine.pending]
        if others and self.world.strikes("interleaved"):
            others[0].step()

    def _begin_worker(self, name: str) -> None:
        self.workers.append(Worker(self.world, self.broker, name, self.audit.began, self.audit.answered))

    def _heal(self) -> None:
        self.broker.start()
        while len(self.workers) < 2:
            self._begin_worker(f"w{self.world.new_id()}")

    # --- trouble ----------------------------------------------------------------------------------------------------

    async def _trouble(self) -> None:
        """What happens to whole processes and machines, now and then."""
        kinds = (
            self._kill_worker, self._stall_worker, self._wipe, self._stop_broker, self._kill_replica,
            self._stop_replica, self._jump_forward, self._jump_back, self._poison, self._poison, self._talk_nonsense,
        )  # fmt: skip
        while True:
            for strike in self.chance.sample(kinds, len(kinds)):
                await asyncio.sleep(self.chance.expovariate(1 / TROUBLE_S))
                while not self.replicas:
                    await asyncio.sleep(0.1)
                strike()

    def _kill_worker(self) -> None:
        if self.workers:
            self.world.note("worker_killed")
            worker = self.workers.pop(0)
            worker.kill()
            self.world.later(3 * self.chance.random(), self._begin_worker, f"w{self.world.new_id()}")

    def _stall_worker(self) -> None:
        if self.workers:
            self.world.note("worker_stalled")
            self.chance.choice(self.workers).stall(self.chance.choice([2.0, 12.0, 30.0]))

    def _wipe(self) -> None:
        self.broker.wipe()

    def _stop_broker(self) -> None:
        if not self.broker.down:
            self.broker.stop(self.chance.choice([0.5, 4.0]))

    def _kill_replica(self) -> None:
        if self.replicas:
            self.chance.choice(self.replicas).die()

    def _stop_replica(self) -> None:
        """SIGTERM: what was submitted is decided, unused run numbers are given back."""
        if self.replicas:
            self.world.note("replica_stopped")
            self.chance.choice(self.replicas).stop()

    def _jump_forward(self) -> None:
        if self.replicas:
            self.world.note("clock_jumped_forward")
            self.chance.choice(self.replicas).skew += 1_000_000 * self.chance.choice([1, 10])

    def _jump_back(self) -> None:
        if self.replicas:
            self.world.note("clock_jumped_back")
            self.chance.choice(self.replicas).skew -= 1_000_000 * self.chance.choice([1, 10])

    def _poison(self) -> None:
        """The engine meets an event of some run that it fails over."""
        open_ones = [run_id for run_id, seen in self.audit.runs.items() if seen.state not in TERMINAL_RUN]
        if self.replicas and open_ones:
            self.world.note("poisoned")
            event = Poisoned(self.world.now(), "poison")
            self.chance.choice(self.replicas).engine.submit(Item(self.chance.choice(open_ones), event, ignore))

    def _talk_nonsense(self) -> None:
        """A worker names what is not there, answers for a task whose items are asked, or cannot be understood."""
        self.world.note("nonsense")
        over_lists = [task_run_id for task_run_id, seen in self.audit.tasks.items() if seen.items is not None]
        unknown = [f"{run_id}-{index}" for run_id in self.audit.runs for index in (99, 100_099, 4_200_000)]
        for said in (over_lists, unknown):
            if said and self.replicas:
                task_run_id = self.chance.choice(said)
                body = {"task_run_id": task_run_id, "attempt": 1, "worker": "w", "started_at": 1, "output": None}
                reply = self.chance.choice(self.replicas).dispatcher.reply
                for subject in ("engine.result", f"{reply}.started"):
                    self.broker.publish(subject, orjson.dumps(body))
        for subject in ("engine.result", "engine.heartbeat"):
            self.broker.publish(subject, b"{}")

    # --- people -----------------------------------------------------------------------------------------------------

    async def _person(self, number: int) -> None:
        """Starts a run, asks again when the answer is lost, and perhaps presses buttons."""
        chance = random.Random(self.world.seed * 1000 + number)
        await asyncio.sleep(chance.random() * 12)
        workflow_id = f"workflow-{number}"
        definition = draw_definition(chance, workflow_id)
        self._know(definition)
        given = draw_input(chance, definition)
        start = partial(self._start, definition.organization_id, workflow_id, f"key-{number}", given)
        run_id = await start()
        if chance.random() < 0.3:
            await start()
            self._did(run_id, "start_key_repeated")
        if definition.concurrency is not None:
            for again in range(chance.randint(1, 3)):
                key = f"key-{number}-{again}"
                await self._start(definition.organization_id, workflow_id, key, draw_input(chance, definition))
        if chance.random() < 0.1:
            await self._start_broken(chance, definition.organization_id)
        while chance.random() < 0.6:
            await asyncio.sleep(chance.random() * 6)
            if chance.random() < 0.4:
                await self._answer_all(chance, definition.organization_id)
            else:
                button = chance.choice(["cancel", "pause", "pause", "resume", "resume", "rerun"])
                await self._press(chance, definition.organization_id, run_id, button)
                if button == "pause":
                    await asyncio.sleep(chance.random() * 3)
                    await self._press(chance, definition.organization_id, run_id, "resume")
        for _ in range(10):
            if self.audit.runs[run_id].state not in TERMINAL_RUN:
                await asyncio.sleep(2)
        for _ in range(chance.randint(1, 2)):
            await self._press(chance, definition.organization_id, run_id, "rerun")

    async def _start(self, organization_id: str, workflow_id: str, key: str, given: dict[str, Any]) -> str:
        async def begin(replica: Replica) -> str:
            run_id, _ = await use.start_run(replica.execution, organization_id, workflow_id, given, idempotency_key=key)
            return run_id

        run_id: str = await self._ask(begin)
        known = self.started.setdefault(key, run_id)
        if known != run_id:
            self.world.violated(f"{key} started {known} and {run_id}")
        self.accepted[run_id] = key
        return run_id

    async def _start_broken(self, chance: random.Random, organization_id: str) -> None:
        """What cannot be compiled is refused, whoever asks."""
        workflow_id = chance.choice(broken_definitions(organization_id)).workflow_id
        try:
            await self._ask(lambda replica: use.start_run(replica.execution, organization_id, workflow_id, {}))
        except Conflict:
            return
        self.world.violated(f"{workflow_id} was started")

    async def _press(self, chance: random.Random, organization_id: str, run_id: str, button: str) -> None:
        kind, again = self._draw_again(chance, run_id)

        async def press(replica: Replica) -> None:
            execution = replica.execution
            if button == "cancel":
                await use.cancel_run(execution, organization_id, run_id)
            elif button == "pause":
                await use.pause_run(execution, organization_id, run_id)
            elif button == "resume":
                await use.resume_run(execution, organization_id, run_id)
                self._did(run_id, "resume")
            else:
                key = f"again-{run_id}-{again}"
                new_id, _ = await use.rerun(execution, organization_id, run_id, again, idempotency_key=key)
                self.accepted[new_id] = "rerun"
                self._did(new_id, kind)

        try:
            await self._ask(press)
        except Error:
            pass  # not possible in this state

    def _draw_again(self, chance: random.Random, run_id: str) -> tuple[str, use.Again]:
        """What is to run again, and what that is called among the capabilities."""
        found = self.store.rows("SELECT workflow_id FROM workflow_run WHERE workflow_run_id = ?", run_id)
        # a run that was purged meanwhile has no tasks to name
        keys = list(self.plans[found[0][0]].by_key if found else ()) or ["none"]
        query = "SELECT task_key, item_count FROM task_run WHERE workflow_run_id = ? AND item_count IS NOT NULL"
        lists = self.store.rows(f"{query} ORDER BY position", run_id)
        if lists and chance.random() < 0.8:
            key, count = chance.choice(lists)
            return "rerun_item", use.Again(tasks=(key,), item=chance.randint(0, count))
        match chance.choice(["failed", "start", "task", "range", "range", "tasks"]):
            case "failed":
                return "rerun_failed", use.Again(failed=True)
            case "task":
                return "rerun_from", use.Again(from_task=chance.choice(keys))
            case "range":
                first, last = chance.choice(keys), chance.choice(keys)
                return "rerun_range", use.Again(from_task=first, to_task=last if chance.random() < 0.4 else first)
            case "tasks":
                return "rerun_tasks", use.Again(tasks=tuple(chance.sample(keys, min(len(keys), chance.randint(1, 3)))))
        return "rerun_start", use.Again()

    async def _answer_all(self, chance: random.Random, organization_id: str = "") -> None:
        """Answers whoever waits for a person, of one organisation or all, and lets it be known what is new."""
        query = "SELECT organization_id, workflow_run_id, task_wait_id, kind FROM task_wait ORDER BY task_wait_id"
        for owner, run_id, task_run_id, kind in self.store.rows(query):
            if organization_id in ("", owner):
                if kind in (Kind.APPROVAL, Kind.FORM):
                    await self._answer(chance, owner, run_id, task_run_id, kind)
                elif kind == Kind.EVENT:
                    await self._publish(chance, owner)

    async def _answer(
        self, chance: random.Random, organization_id: str, run_id: str, task_run_id: str, kind: str
    ) -> None:
        if kind == Kind.APPROVAL:
            answer = Answer("person", approved=chance.random() < 0.7)
        else:
            answer = Answer("person", values={"n": 1} if chance.random() < 0.9 else {"m": 1})
        try:
            await self._ask(lambda replica: replica.joins.answer(organization_id, run_id, task_run_id, answer))
        except Error:
            pass  # somebody answered before, it waits no more, or that was no answer

    async def _publish(self, chance: random.Random, organization_id: str) -> None:
        name, data, key = chance.choice(NEWS), {"of": chance.randint(0, 2)}, self.world.new_id()
        await self._ask(lambda replica: replica.joins.publish(organization_id, name, data, key))

    async def _ask(self, what: Any) -> Any:
        """Sends a request to any replica until one answers. A person whose process died never hears."""
        while True:
            while not self.replicas:
                await asyncio.sleep(0.2)
            replica = self.chance.choice(self.replicas)
            asking = self.world.loop.create_task(what(replica))
            while not asking.done():
                await asyncio.wait([asking], timeout=0.2)
                if not replica.alive and not asking.done():
                    asking.cancel()
                    await asyncio.wait([asking])
            if asking.cancelled():
                continue
            error = asking.exception()
            if error is None:
                return asking.result()
            if isinstance(error, Crashed):
                continue
            # the edges answer both with 503
            if not isinstance(error, (Unavailable, sa.exc.OperationalError)):
                raise error
            await asyncio.sleep(0.2)

    def _resume_all(self) -> None:
        query = "SELECT organization_id, workflow_run_id FROM workflow_run WHERE state = 'PAUSED'"
        for organization_id, run_id in self.store.rows(f"{query} ORDER BY workflow_run_id"):
            if self.replicas:
                self.world.start(self._resume(self.chance.choice(self.replicas), organization_id, run_id))

    async def _resume(self, replica: Replica, organization_id: str, run_id: str) -> None:
        with contextlib.suppress(Conflict):  # it ended meanwhile
            await use.resume_run(replica.execution, organization_id, run_id)
            self._did(run_id, "resume")
