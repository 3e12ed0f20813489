"""A broker that behaves as NATS with JetStream does, as far as the engine uses it, and loses, doubles and delays.

Core messages go to who listens now, or to nobody. A stream holds one message per subject and refuses a copy while it
does; who takes a message has ten seconds to acknowledge it. `wipe` is the loss of the whole storage.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import orjson
import sqlalchemy as sa
from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import NotFoundError

from simulation.world import World

ACK_WAIT_S = 10.0
COPY_REFUSED = 10077


@dataclass
class Message:
    """As nats-py shows one."""

    broker: "Broker"
    subject: str
    data: bytes
    reply: str = ""
    headers: dict[str, str] | None = None
    _client: Any = None

    async def respond(self, data: bytes) -> None:
        if self.reply:
            self.broker.publish(self.reply, data)


@dataclass(eq=False)
class Subscription:
    subject: str
    queue: str
    cb: Callable[[Message], Coroutine[Any, Any, None]]
    alive: Callable[[], bool]

    def matches(self, subject: str) -> bool:
        return subject.startswith(self.subject[:-1]) if self.subject.endswith(">") else subject == self.subject


@dataclass
class Held:
    """One message of the task stream. `until`: who took it last has it until then."""

    subject: str
    body: bytes
    sequence: int
    deliveries: int = 0
    until: float = 0.0


@dataclass
class Stream:
    created: int
    held: "OrderedDict[str, Held]" = field(default_factory=OrderedDict)


class Broker:
    def __init__(self, world: World) -> None:
        self.world = world
        self.streams: dict[str, Stream] = {}
        self.subscriptions: list[Subscription] = []
        self.down = False
        self.woken: list[Callable[[], None]] = []
        """Called when a message may be there to take."""
        self._sequence = 0

    # --- core messages ----------------------------------------------------------------------------------------------

    def publish(self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Sends; nobody learns whether it arrives."""
        if self.down or self.world.strikes("lost"):
            return
        if subject.startswith("tasks."):
            self._store_task(subject, data, reply)
            return
        for subscription in self._listeners(subject):
            message = Message(self, subject, data, reply, headers)
            self.world.later(self._delay(), self._hand_over, subscription, message)
            if self.world.strikes("doubled"):
                # the second copy comes when nobody thinks of it any more
                self.world.later(5 * self.world.chance.random(), self._hand_over, subscription, message)

    def _delay(self) -> float:
        if self.world.strikes("late"):
            return self.world.chance.choice([0.5, 3.0, 12.0, 40.0])
        if self.world.strikes("reordered"):
            return self.world.chance.random() * 0.05
        return 0.0003

    def _listeners(self, subject: str) -> list[Subscription]:
        """All without a queue group, and one of each group."""
        groups: dict[str, list[Subscription]] = {}
        chosen = []
        self.subscriptions = [one for one in self.subscriptions if one.alive()]
        for one in self.subscriptions:
            if one.matches(subject):
                if one.queue:
                    groups.setdefault(one.queue, []).append(one)
                else:
                    chosen.append(one)
        return chosen + [self.world.chance.choice(group) for group in groups.values()]

    def _hand_over(self, subscription: Subscription, message: Message) -> None:
        if subscription.alive() and not self.down:
            self.world.start(self._heard(subscription, message))

    @staticmethod
    async def _heard(subscription: Subscription, message: Message) -> None:
        # what fails there the client logs: whoever asked has no answer
        with contextlib.suppress(sa.exc.OperationalError):
            await subscription.cb(message)

    def answers(self, subject: str) -> bool:
        """Whether anybody listens."""
        return not self.down and any(one.alive() and one.matches(subject) for one in self.subscriptions)

    # --- the task stream --------------------------------------------------------------------------------------------

    def _store_task(self, subject: str, body: bytes, reply: str) -> None:
        stream = self.streams.get("TASKS")
        if stream is None:
            answer, headers = b"", {"Status": "503"}
        elif subject in stream.held:
            answer = orjson.dumps({"error": {"err_code": COPY_REFUSED}})
            headers = {}
        else:
            self._sequence += 1
            stream.held[subject] = Held(subject, body, self._sequence)
            answer, headers = orjson.dumps({"stream": "TASKS", "seq": self._sequence}), {}
            self.world.later(self._delay(), self._wake)
        if reply:
            self.publish(reply, answer, headers=headers)

    def _wake(self) -> None:
        for wake in list(self.woken):
            wake()

    def take(self, queue: str) -> Held | None:
        """The oldest message of a queue that nobody holds, for ten seconds."""
        stream = self.streams.get("TASKS")
        if stream is None or self.down:
            return None
        at, prefix = self.world.loop.time(), f"tasks.{queue}."
        for held in stream.held.values():
            if held.until <= at and held.subject.startswith(prefix):
                held.deliveries += 1
                self.extend(held)
                return held
        return None

    def extend(self, held: Held) -> None:
        """The worker says that it is still at it."""
        if not self.down:
            held.until = self.world.loop.time() + ACK_WAIT_S
            self.world.later(ACK_WAIT_S + 0.001, self._wake)

    def acknowledge(self, held: Held) -> None:
        stream = self.streams.get("TASKS")
        if (
            stream is not None
            and not self.down
            and not self.world.strikes("lost")
            and stream.held.get(held.subject) is held
        ):
            del stream.held[held.subject]

    # --- its fate ---------------------------------------------------------------------------------------------------

    def wipe(self) -> None:
        self.world.note("broker_wiped")
        self.streams.clear()

    def stop(self, seconds: float) -> None:
        self.world.note("broker_down")
        self.down = True
        self.world.later(seconds, self.start)

    def start(self) -> None:
        if self.down:
            self.down = False
            for held in self.streams.get("TASKS", Stream(0)).held.values():
                held.until = min(held.until, self.world.loop.time() + 0.5)
            self.world.later(0.6, self._wake)


class Client:
    """A replica's connection, as nats-py shows it. Every call is a place where the process may die."""

    def __init__(self, broker: Broker, alive: Callable[[], bool], place: Callable[[], Awaitable[None]]) -> None:
        self._broker = broker
        self._alive = alive
        self._place = place

    async def subscribe(self, subject: str, queue: str = "", cb: Any = None) -> Subscription:
        await self._place()
        one = Subscription(subject, queue, cb, self._alive)
        self._broker.subscriptions.append(one)
        return one

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        await self._place()
        self._broker.publish(subject, payload, reply, headers)

    def jetstream(self, timeout: float = 5) -> "JetStream":
        return JetStream(self._broker, self._place)


class JetStream:
    def __init__(self, broker: Broker, place: Callable[[], Awaitable[None]]) -> None:
        self._broker = broker
        self._place = place

    async def _ask(self) -> None:
        await self._place()
        if self._broker.down:
            await asyncio.sleep(2)
            raise NatsTimeout

    async def stream_info(self, name: str) -> Any:
        await self._ask()
        if name not in self._broker.streams:
            raise NotFoundError
        return SimpleNamespace(created=self._broker.streams[name].created)

    async def add_stream(self, config: Any) -> Any:
        await self._ask()
        stream = self._broker.streams.setdefault(str(config.name), Stream(self._broker.world.now()))
        return SimpleNamespace(created=stream.created)

    async def get_last_msg(self, name: str, subject: str) -> SimpleNamespace:
        await self._ask()
        stream = self._broker.streams.get(name)
        if stream is None or subject not in stream.held:
            raise NotFoundError
        return SimpleNamespace(seq=stream.held[subject].sequence)

    async def delete_msg(self, name: str, seq: int) -> bool:
        await self._ask()
        stream = self._broker.streams.get(name)
        if stream is not None:
            for subject in [subject for subject, held in stream.held.items() if held.sequence == seq]:
                del stream.held[subject]
        return True

    async def publish(self, subject: str, payload: bytes = b"", headers: dict[str, str] | None = None) -> None:
        await self._ask()
        if "EVENTS" not in self._broker.streams:
            raise NatsTimeout
        self._broker.publish(subject, payload, headers=headers)
