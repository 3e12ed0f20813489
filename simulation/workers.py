"""Workers as the engine meets them: they take attempts, say that they began, and report until they are answered.

Each keeps to the protocol of worker-service. They die, stall, and run an attempt again that was delivered again.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import orjson

from simulation.broker import Broker, Held, Message, Subscription
from simulation.replica import payloads
from simulation.world import World

QUEUES = ("default", "gpu", "scarce")
SAY_STARTED_AFTER_S = 0.05
HEARTBEAT_S = 3.0
ANSWER_S = 2.0
MOST_DELIVERIES = 2
NO_TIMEOUT_S = 20.0
"""The time limit of this task type, where the definition names none."""


class Worker:
    """One worker process with so many slots.

    `began` hears of each attempt that is really begun, `answered` of each whose result was taken.
    """

    def __init__(
        self,
        world: World,
        broker: Broker,
        name: str,
        began: Callable[[str, int], None],
        answered: Callable[[str, int], None],
    ) -> None:
        self.world = world
        self.broker = broker
        self.name = name
        self.began = began
        self.answered = answered
        self.slots = 6
        self.alive = True
        self.stalled_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[tuple[str, int], asyncio.Task[None]] = {}
        """What hears a cancel."""
        broker.subscriptions.append(Subscription("worker.cancel", "", self._on_cancel, lambda: self.alive))
        broker.woken.append(self.take)
        self.take()

    def kill(self) -> None:
        self.alive = False
        self.broker.woken.remove(self.take)
        for task in self._tasks:
            task.cancel()

    def stall(self, seconds: float) -> None:
        """SIGSTOP: nothing moves; what came meanwhile is seen afterwards."""
        self.stalled_until = self.world.loop.time() + seconds
        self.world.later(seconds, self.take)

    async def _go_on(self) -> None:
        while self.stalled_until > self.world.loop.time():
            await asyncio.sleep(self.stalled_until - self.world.loop.time())

    def take(self) -> None:
        if not self.alive or self.stalled_until > self.world.loop.time():
            return
        for queue in QUEUES:
            while len(self._tasks) < self.slots:
                held = self.broker.take(queue)
                if held is None:
                    break
                task = self.world.loop.create_task(self._attempt(held))
                self._tasks.add(task)
                task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.world.violated(f"a worker failed: {task.exception()!r}")
        self.take()

    async def _attempt(self, held: Held) -> None:
        delivery = held.deliveries
        told = orjson.loads(held.body)
        if "parameters_ref" in told:
            told["parameters"] = orjson.loads(payloads().get(told["parameters_ref"]))
        beating = self.world.loop.create_task(self._beat(held, told))
        self._tasks.add(beating)
        try:
            result = await self._result(told, delivery)
            await self._report(told, {**result, "delivery": delivery})
            await self._go_on()
            self.broker.acknowledge(held)
        finally:
            beating.cancel()
            self._tasks.discard(beating)

    async def _result(self, told: dict[str, Any], delivery: int) -> dict[str, Any]:
        if delivery > MOST_DELIVERIES:
            return {"error": self._error(told, "worker_lost")}
        name = (told["task_run_id"], told["attempt"])
        started_at = self.world.now()
        self.began(*name)
        act = told["parameters"]["act"]
        working = self.world.loop.create_task(self._work(told, act, started_at, delivery))
        self._tasks.add(working)
        if not act.get("deaf"):
            self._running[name] = working
        try:
            await asyncio.wait([working])
        finally:
            working.cancel()
            self._tasks.discard(working)
            self._running.pop(name, None)
        await self._go_on()
        said = {"started_at": started_at, "finished_at": self.world.now()}
        if working.cancelled():
            return {"cancelled": True, **said}
        if self._silent_for(told, act) < act["seconds"]:
            return {"error": self._error(told, "heartbeat_lost"), **said}
        if act["seconds"] > (told["timeout_s"] or NO_TIMEOUT_S):
            return {"error": self._error(told, "timeout"), **said}
        if told["attempt"] <= act.get("fails", 0):
            return {"error": self._error(told, "broken", act["retryable"]), **said}
        output = {"key": told["key"], "attempt": told["attempt"], "by": f"{self.name}.{delivery}"}
        if "item" in told["parameters"]:
            output["item"] = told["parameters"]["item"]
        else:
            output["list"] = [{"fails": 0, "of": told["key"]}] * (told["attempt"] + 1)
        if not act.get("large"):
            return {"output": output, **said}
        kept = payloads().put(told["organization_id"], told["run_id"], orjson.dumps({**output, "text": "x" * 300_000}))
        # what is larger than it may be nobody looks at
        return {"output_ref": kept.reference, "output_size": kept.size * (100 if act["large"] == "too" else 1), **said}

    @staticmethod
    def _error(told: dict[str, Any], code: str, retryable: bool = True) -> dict[str, Any]:
        return {"code": code, "message": "", "retryable": retryable, "details": {"attempt": told["attempt"]}}

    @staticmethod
    def _silent_for(told: dict[str, Any], act: dict[str, Any]) -> float:
        """How long a task may give no sign of life; without end when it gives some."""
        return (told["heartbeat_s"] if act.get("silent") else 0.0) or math.inf

    async def _work(self, told: dict[str, Any], act: dict[str, Any], started_at: int, delivery: int) -> None:
        seconds = act["seconds"]
        if seconds > SAY_STARTED_AFTER_S:
            await asyncio.sleep(SAY_STARTED_AFTER_S)
            await self._go_on()
            body = self._named(told) | {"started_at": started_at, "delivery": delivery, "timeout_s": NO_TIMEOUT_S}
            self.broker.publish(f"{told['reply']}.started", orjson.dumps(body))
            seconds -= SAY_STARTED_AFTER_S
        await asyncio.sleep(min(seconds, told["timeout_s"] or NO_TIMEOUT_S, self._silent_for(told, act)))
        await self._go_on()

    async def _beat(self, held: Held, told: dict[str, Any]) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self._go_on()
            self.broker.extend(held)
            body = {"tasks": [[told["run_id"], told["task_run_id"], told["attempt"]]]}
            answer = await self._ask("engine.heartbeat", body)
            for task_run_id, attempt in (answer or {}).get("cancel", []):
                self._cancel(task_run_id, attempt)

    async def _on_cancel(self, message: Message) -> None:
        await self._go_on()
        said = orjson.loads(message.data)
        self._cancel(said["task_run_id"], said["attempt"])

    def _cancel(self, task_run_id: str, attempt: int) -> None:
        working = self._running.get((task_run_id, attempt))
        if working is not None:
            working.cancel()

    def _named(self, told: dict[str, Any]) -> dict[str, Any]:
        names = ("task_run_id", "run_id", "attempt", "run_version")
        return {name: told[name] for name in names} | {"worker": self.name}

    async def _report(self, told: dict[str, Any], result: dict[str, Any]) -> None:
        """Asks until the engine says that it is committed: first whoever dispatched, then anybody."""
        body, asked = self._named(told) | result, 0
        while True:
            await self._go_on()
            subject = f"{told['reply']}.result" if asked % 2 == 0 else "engine.result"
            asked += 1
            answer = await self._ask(subject, body)
            if answer is not None and answer.get("ok"):
                self.answered(told["task_run_id"], told["attempt"])
                return
            if asked % 2 == 0:
                await asyncio.sleep(0.1 * min(asked, 20))

    async def _ask(self, subject: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The answer, or None when there is none in time, or nobody listens."""
        if not self.broker.answers(subject):
            await asyncio.sleep(0.001)
            return None
        inbox = f"_INBOX.{self.world.new_id()}"
        answered: asyncio.Future[bytes] = self.world.loop.create_future()

        async def on_answer(message: Message) -> None:
            if not answered.done():
                answered.set_result(message.data)

        subscription = Subscription(inbox, "", on_answer, lambda: not answered.done())
        self.broker.subscriptions.append(subscription)
        self.broker.publish(subject, orjson.dumps(body), reply=inbox)
        try:
            found: dict[str, Any] = orjson.loads(await asyncio.wait_for(answered, ANSWER_S))
        except TimeoutError:
            return None
        finally:
            answered.cancel()
        return found
