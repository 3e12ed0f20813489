"""Log lines on their way from the broker to the database: each is kept once, whoever dies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from engine_house import ORGANIZATION, Down, until
from nats.aio.client import Client
from nats.errors import ConnectionClosedError
from nats.js.errors import NotFoundError

from execution_service.lines import PORTIONS_AT_ONCE, Lines
from execution_service.storage import history, tables
from kit import bus
from kit.database import Database

pytestmark = pytest.mark.anyio


def portion(*events: str, run_id: str = "run", **said: Any) -> bytes:
    lines = [
        {"seq": n, "at": 1_800_000_000_000_000, "level": "info", "event": event, "fields": {"password": "x", "n": n}}
        for n, event in enumerate(events)
    ]
    head = {"organization_id": ORGANIZATION, "run_id": run_id, "task_run_id": f"{run_id}-0", "attempt": 1}
    return orjson.dumps(head | {"worker": "w", "lines": lines} | said)


Open = Callable[[], Any]


@pytest.fixture
def replica(database: Database, nats_url: str) -> Open:
    """Opens what one replica keeps lines with, and its connection."""

    @asynccontextmanager
    async def opened(kept_in: Database = database) -> AsyncIterator[tuple[Lines, Client]]:
        nc = await bus.connect(nats_url, "test-lines")
        lines = Lines(nc, kept_in, ack_wait_s=0.2)
        await lines.subscribe()
        try:
            yield lines, nc
        finally:
            await nc.close()

    return opened


async def kept(database: Database, run_id: str = "run") -> list[str]:
    items, after = await asyncio.to_thread(history.read_log, database, ORGANIZATION, run_id, limit=200)
    assert after is None
    return [item["event"] for item in items]


async def nothing_waits(nc: Client) -> bool:
    """Once something was seen to be kept: what was published a moment ago may not be in its stream yet."""
    info = await nc.jetstream().consumer_info("LOG", "engine")
    return not info.num_pending and not info.num_ack_pending


async def test_lines_are_kept_in_order_and_without_secrets(replica: Open, database: Database) -> None:
    async with replica() as (lines, nc):
        await nc.publish("engine.log", portion("one", "two"))
        assert await until(lines.run_once) == 2
        found, _ = await asyncio.to_thread(history.read_log, database, ORGANIZATION, "run")
        assert [(each["event"], each["fields"]) for each in found] == [
            ("one", {"password": "***", "n": 0}), ("two", {"password": "***", "n": 1}),
        ]  # fmt: skip
        await until(lambda: nothing_waits(nc))


async def test_lines_wait_for_a_database_that_is_away(replica: Open, database_url: str) -> None:
    down = Down(database_url)
    async with replica(down) as (lines, nc):
        await nc.publish("engine.log", portion("one"))
        down.refused_writes = 1

        async def refused() -> bool:
            try:
                await lines.run_once()
            except sa.exc.OperationalError:
                return True
            return False

        await until(refused)
        await nc.publish("engine.log", portion("two"))

        async def both() -> bool:
            await lines.run_once()
            return await kept(down) == ["one", "two"]

        await until(both)
    down.close()


async def test_lines_that_are_written_while_no_replica_is_there_wait_in_the_broker(
    replica: Open, database: Database, nats_url: str
) -> None:
    async with replica():
        pass
    nc = await bus.connect(nats_url, "test-worker")
    await nc.publish("engine.log", portion("alone"))
    await nc.close()
    async with replica() as (lines, _):
        await until(lines.run_once)
    assert await kept(database) == ["alone"]


async def test_lines_in_the_hands_of_a_replica_that_dies_go_to_another(replica: Open, database: Database) -> None:
    async with replica() as (_, nc):
        await nc.publish("engine.log", portion("one", "two"))
        await until(lambda: _delivered(nc))
    async with replica() as (lines, nc):
        await until(lines.run_once)
        await until(lambda: nothing_waits(nc))
    assert await kept(database) == ["one", "two"]


async def _delivered(nc: Client) -> bool:
    return bool((await nc.jetstream().consumer_info("LOG", "engine")).num_ack_pending)


async def test_lines_that_were_kept_by_a_replica_that_died_before_it_said_so_are_kept_once(
    replica: Open, database: Database
) -> None:
    async with replica() as (lines, nc):
        await nc.publish("engine.log", portion("one", "two"))
        await until(lambda: _delivered(nc))
        await nc.close()
        with pytest.raises(ConnectionClosedError):
            await until(lines.run_once)
    assert await kept(database) == ["one", "two"]
    async with replica() as (lines, nc):

        async def settled() -> bool:
            await lines.run_once()
            return await kept(database) == ["one", "two", "three"] and await nothing_waits(nc)

        await nc.publish("engine.log", portion("three"))
        await until(settled)
    assert await kept(database) == ["one", "two", "three"]


async def test_a_stream_that_the_broker_forgot_is_made_again(replica: Open, database: Database) -> None:
    async with replica() as (lines, nc):
        await nc.jetstream().delete_stream("LOG")

        async def made() -> bool:
            await lines.run_once()
            try:
                return bool(await nc.jetstream().consumer_info("LOG", "engine"))
            except NotFoundError:
                return False

        await until(made)
        await nc.publish("engine.log", portion("anew"))
        await until(lines.run_once)
    assert await kept(database) == ["anew"]


async def test_two_replicas_keep_each_line_once_and_a_crowd_of_them_in_turns(replica: Open, database: Database) -> None:
    sent = [f"e{n}" for n in range(3 * PORTIONS_AT_ONCE)]
    async with replica() as (one, nc), replica() as (other, _):
        for event in sent:
            await nc.publish("engine.log", portion(event, run_id=f"run{int(event[1:]) % 3}"))
        turns: list[int] = []

        async def settled() -> bool:
            turns.extend(await asyncio.gather(one.run_once(), other.run_once()))
            return sum(turns) >= len(sent) and await nothing_waits(nc)

        await until(settled)
    assert max(turns) <= PORTIONS_AT_ONCE
    with database.read() as connection:
        table = tables.execution_log.c
        rows = connection.execute(sa.select(table.event, table.workflow_run_id, table.position)).all()
    assert sorted(row[0] for row in rows) == sorted(sent)
    for n in range(3):
        assert sorted(row[2] for row in rows if row[1] == f"run{n}") == list(range(1, PORTIONS_AT_ONCE + 1))


async def test_what_nobody_could_understand_does_not_come_again(replica: Open, database: Database) -> None:
    async with replica() as (lines, nc):
        for said in (b"", b"[]", b"{}", b'{"task_run_id":1}', b'{"lines":[7],"run_id":"x"}', b'{"lines":7}'):
            await nc.publish("engine.log", said)
        await nc.publish("engine.log", portion("late", at=1, attempt=-(2**63), run_id="x" * 100))
        odd = orjson.loads(portion("odd"))
        odd["lines"][0] |= {"at": -(2**63), "level": "x" * 100}
        await nc.publish("engine.log", orjson.dumps(odd))
        await nc.publish("engine.log", portion("good"))

        async def settled() -> bool:
            await lines.run_once()
            return await kept(database) == ["odd", "good"] and await nothing_waits(nc)

        await until(settled)
