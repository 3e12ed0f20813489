"""Attempts that are withdrawn from a real broker while others are taken, given back and done."""

import asyncio
import random

import pytest
from engine_house import chain, new_run, now
from nats.js.api import AckPolicy, ConsumerConfig

from execution_service.dispatch import Dispatcher
from execution_service.domain.events import Command, Dispatch, Remind, Withdraw
from execution_service.engine import Item, Outcome, Outgoing
from kit import bus

ATTEMPTS, AT_ONCE = 3000, 10


@pytest.mark.anyio
async def test_who_is_withdrawn_takes_nobody_elses_delivery_along(nats_url: str) -> None:
    nc = await bus.connect(nats_url, "test")
    js = nc.jetstream()
    await bus.declare(js, bus.TASKS)
    config = ConsumerConfig(durable_name="worker-default", ack_policy=AckPolicy.EXPLICIT, ack_wait=1, max_deliver=-1)
    await js.add_consumer("TASKS", config, filter_subject="tasks.default.>")
    taken = await js.pull_subscribe_bind("worker-default", "TASKS")
    dispatcher, run, chance = Dispatcher(nc, "replica", window=ATTEMPTS), new_run(chain(1)), random.Random(1)

    async def tell(*commands: Command) -> None:
        outgoing = [Outgoing(command, run, b"{}") for command in commands]
        await dispatcher.run_once([(Item(run.facts.run_id, Remind(now()), lambda _: None), Outcome(outgoing=outgoing))])

    async def hand_out() -> None:
        for first in range(0, ATTEMPTS, AT_ONCE):
            await tell(*(Dispatch(0, first + attempt) for attempt in range(AT_ONCE)))
            # some of those that wait, are with a worker, or are done already
            await tell(*(Withdraw(0, chance.randrange(first + AT_ONCE)) for _ in range(2)))
            await nc.flush()

    async def work(handing: "asyncio.Task[None] | None") -> None:
        """Takes what there is; as long as more comes, one in ten is not answered, as by a worker that dies."""
        while True:
            try:
                for message in await taken.fetch(16, timeout=3 if handing is None else 0.2):
                    if handing is None or chance.random() < 0.9:
                        await message.ack()
            except TimeoutError:
                if handing is None or handing.done():
                    return

    handing = asyncio.create_task(hand_out())
    await asyncio.gather(handing, work(handing), work(handing))
    await work(None)
    assert (await js.stream_info("TASKS")).state.messages == 0
    await nc.close()
