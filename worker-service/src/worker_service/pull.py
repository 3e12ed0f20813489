"""Taking tasks from one queue: a standing pull request, topped up as places become free, declared again when lost.

A message is handed on the moment it arrives (nats-py's `fetch` would sit on it until its batch or its time is full).
The broker says every 2 s that the request still stands; when it stops saying so, or says that the consumer is gone, the
stream and the consumer are declared anew and another request is placed.
"""

import asyncio
import random
from collections.abc import Callable

import orjson
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig

from kit import bus
from worker_service.wire import Acknowledgements, Outbox

ACK_WAIT_S = 10.0
# a stopped worker's request still takes messages: it must end before the ones that worker held come again, else they
# come to it again, and a third delivery is never run
EXPIRES_S = 5.0
HEARTBEAT_S = 2.0
SILENCE_S = 2 * HEARTBEAT_S + 1.0
MAX_ACK_PENDING = 1_000

log = structlog.get_logger()


class StandingPull:
    """`places` gives how many more tasks may come; `arrived` takes each message, at once and on this loop."""

    def __init__(
        self,
        queue: str,
        outbox: Outbox,
        acks: Acknowledgements,
        places: Callable[[], int],
        arrived: Callable[[Msg], None],
    ) -> None:
        self.queue = queue
        self.standing = False
        self._outbox = outbox
        self._acks = acks
        self._places = places
        self._arrived = arrived
        self._requested = 0
        self._number = 0
        self._heard = 0.0
        self._inbox = ""
        self._lost = asyncio.Event()
        self._subscription: Subscription | None = None

    async def run(self, client: Client) -> None:
        """Runs until cancelled."""
        prefix = client.new_inbox()
        self._subscription = await client.subscribe(f"{prefix}.*", cb=self._on_message)
        round_number = 0
        while True:
            self.standing = False
            self._lost.clear()
            try:
                await self._declare(client)
            except Exception as error:
                log.warning("queue_not_declared", queue=self.queue, error=repr(error))
                await asyncio.sleep(0.2 + random.random() * 0.3)  # noqa: S311
                continue
            round_number += 1
            self._inbox = f"{prefix}.{round_number}"
            self._requested = 0
            self.standing = True
            log.info("queue_taken", queue=self.queue)
            self.top_up()
            await self._watch()
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """Takes nothing more; the broker drops requests that nobody listens to."""
        self.standing = False
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.unsubscribe()

    def top_up(self) -> None:
        """Asks for as many tasks as there are places; call it whenever one became free."""
        missing = self._places() - self._requested
        if not self.standing or missing <= 0 or missing < self._requested:
            return
        if self._requested == 0:
            self._heard = asyncio.get_running_loop().time()
        self._requested += missing
        self._outbox.send(
            f"$JS.API.CONSUMER.MSG.NEXT.{bus.TASKS.name}.{self._durable}",
            orjson.dumps({"batch": missing, "expires": int(EXPIRES_S * 1e9), "idle_heartbeat": int(HEARTBEAT_S * 1e9)}),
            self._inbox,
        )

    def lose(self, why: str) -> None:
        """The consumer may be gone: declare it again."""
        self._acks.doubt()
        if not self._lost.is_set():
            log.warning("queue_lost", queue=self.queue, why=why)
            self._lost.set()

    @property
    def _durable(self) -> str:
        return f"worker-{self.queue}"

    async def _declare(self, client: Client) -> None:
        js = client.jetstream(timeout=2)
        stream = await bus.declare(js, bus.TASKS)
        await js.add_consumer(
            str(bus.TASKS.name),
            ConsumerConfig(
                durable_name=self._durable,
                filter_subject=f"tasks.{self.queue}.>",
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_deliver=-1,
                max_ack_pending=MAX_ACK_PENDING,
            ),
        )
        self._acks.seen(stream.created)

    async def _watch(self) -> None:
        """Returns when the request no longer stands."""
        loop = asyncio.get_running_loop()
        while not self._lost.is_set():
            try:
                await asyncio.wait_for(self._lost.wait(), 1.0)
            except TimeoutError:
                if self._requested > 0 and loop.time() - self._heard > SILENCE_S:
                    self.lose("silence")
                self.top_up()

    async def _on_message(self, message: Msg) -> None:
        if not message.subject.startswith("_INBOX."):
            self._heard = asyncio.get_running_loop().time()
            self._requested = max(0, self._requested - 1)
            self._arrived(message)
            self.top_up()
        elif message.subject == self._inbox:
            self._on_status(message.headers or {})

    def _on_status(self, headers: dict[str, str]) -> None:
        self._heard = asyncio.get_running_loop().time()
        status, said = headers.get("Status", ""), headers.get("Description", "")
        left = headers.get("Nats-Pending-Messages", "")
        if status == "100":
            return
        if left.isdigit() and status in ("404", "408", "409"):
            # the request ended with so many messages not delivered
            self._requested = max(0, self._requested - int(left))
            if status == "408" or said.startswith(("Batch", "Message Size")):
                self.top_up()
                return
        if status == "408":
            self._requested = 0
            self.top_up()
            return
        self.lose(f"{status} {said}")
