"""The broker, a real one that dies and comes back."""

import asyncio
import dataclasses
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from nats.errors import ConnectionClosedError, FlushTimeoutError
from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, BadRequestError

from kit import bus

pytestmark = pytest.mark.anyio
DEADLINE_S = 30


async def test_a_stream_may_be_declared_by_everybody_who_uses_it(nats_url: str) -> None:
    first, second = await bus.connect(nats_url, "one"), await bus.connect(nats_url, "two")
    assert await bus.created_at(first.jetstream(), "TASKS") is None
    made = await bus.declare(first.jetstream(), bus.TASKS)
    await first.jetstream().publish("tasks.default.r1.1", b"1")
    again = await bus.declare(second.jetstream(), bus.TASKS)
    assert again.created == made.created == await bus.created_at(second.jetstream(), "TASKS")
    assert again.state.messages == 1
    await bus.declare(second.jetstream(), bus.EVENTS)
    await first.close()
    await second.close()


async def test_a_stream_with_changed_settings_is_changed_and_keeps_its_messages(nats_url: str) -> None:
    nc = await bus.connect(nats_url, "one")
    js = nc.jetstream()
    before = StreamConfig(name="S", subjects=["s.>"], storage=StorageType.FILE, max_msgs=10)
    made = await bus.declare(js, before)
    await js.publish("s.1", b"1")
    changed = await bus.declare(js, dataclasses.replace(before, subjects=["s.>", "t.>"], max_msgs=20))
    assert (changed.config.max_msgs, changed.config.subjects) == (20, ["s.>", "t.>"])
    assert (changed.created, changed.state.messages) == (made.created, 1)
    await nc.close()


async def test_a_change_that_the_broker_does_not_make_is_said(nats_url: str) -> None:
    nc = await bus.connect(nats_url, "one")
    js = nc.jetstream()
    await bus.declare(js, StreamConfig(name="S", subjects=["s.>"], storage=StorageType.FILE))
    with pytest.raises(APIError):
        await bus.declare(
            js,
            StreamConfig(name="S", subjects=["s.>"], storage=StorageType.MEMORY, retention=RetentionPolicy.WORK_QUEUE),
        )
    await nc.close()


async def test_a_copy_of_an_attempt_is_refused_exactly_while_the_broker_holds_the_first(nats_url: str) -> None:
    nc = await bus.connect(nats_url, "one")
    js = nc.jetstream()
    await bus.declare(js, bus.TASKS)
    await js.publish("tasks.default.r1.1", b"1")
    with pytest.raises(APIError) as refused:
        await js.publish("tasks.default.r1.1", b"1")
    assert isinstance(refused.value, BadRequestError) or "maximum messages per subject" in str(refused.value)
    await js.publish("tasks.default.r1.2", b"2")
    worker = await js.pull_subscribe("tasks.default.>", durable="worker-default")
    [message] = [m for m in await worker.fetch(2, timeout=5) if m.subject == "tasks.default.r1.1"]
    await message.ack_sync()
    await js.publish("tasks.default.r1.1", b"1")
    await nc.close()


async def test_a_connection_waits_for_a_broker_that_is_not_there_yet(broker: Any) -> None:
    connecting = asyncio.ensure_future(bus.connect(broker.url, "early"))
    done, _ = await asyncio.wait([connecting], timeout=0.1)
    assert not done
    broker.start()
    nc = await asyncio.wait_for(connecting, DEADLINE_S)
    assert nc.is_connected
    await nc.close()


async def test_a_connection_outlives_the_brokers_restart_and_says_so(broker: Any) -> None:
    broker.start()
    back = asyncio.Event()
    nc = await bus.connect(broker.url, "one", on_reconnect=back.set)
    js = nc.jetstream()
    made = await bus.declare(js, bus.TASKS)
    await js.publish("tasks.default.r1.1", b"1")
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(message: Any) -> None:
        await heard.put(message.data)

    await nc.subscribe("engine.log", cb=hear)
    broker.kill()
    broker.start()
    await asyncio.wait_for(back.wait(), DEADLINE_S)
    await nc.publish("engine.log", b"still here")
    assert await asyncio.wait_for(heard.get(), DEADLINE_S) == b"still here"
    assert await bus.created_at(js, "TASKS") == made.created
    assert (await js.stream_info("TASKS")).state.messages == 1
    await nc.close()


async def test_a_broker_that_lost_its_folder_has_streams_of_another_time(broker: Any, tmp_path: Path) -> None:
    import shutil

    broker.start()
    back = asyncio.Event()
    nc = await bus.connect(broker.url, "one", on_reconnect=back.set)
    js = nc.jetstream()
    made = await bus.declare(js, bus.TASKS)
    broker.kill()
    shutil.rmtree(tmp_path / "nats")
    broker.start()
    await asyncio.wait_for(back.wait(), DEADLINE_S)
    assert await bus.created_at(js, "TASKS") is None
    assert (await bus.declare(js, bus.TASKS)).created != made.created
    await nc.close()


async def test_a_connection_without_anybody_to_tell_comes_back_too(broker: Any) -> None:
    broker.start()
    nc = await bus.connect(broker.url, "one")
    broker.kill()
    broker.start()
    while True:
        try:
            await nc.flush(1)
            break
        except (TimeoutError, ConnectionClosedError):  # the test's time-out is the deadline
            continue
    assert nc.is_connected
    await nc.close()


async def test_a_pong_that_nobody_waits_for_any_more_leaves_the_connection_as_it_is(broker: Any) -> None:
    broker.start()
    back = asyncio.Event()
    nc = await bus.connect(broker.url, "one", on_reconnect=back.set)
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(message: Any) -> None:
        await heard.put(message.data)

    await nc.subscribe("engine.log", cb=hear)
    await nc.flush()
    broker.freeze()
    with pytest.raises(FlushTimeoutError):
        await nc.flush(timeout=0.2)  # type: ignore[arg-type]
    broker.wake()
    await nc.publish("engine.log", b"as before")
    assert await asyncio.wait_for(heard.get(), DEADLINE_S) == b"as before"
    # it was heard by the connection that there was, not by one made anew because nobody read the first
    assert not back.is_set()
    await nc.close()


async def test_a_ping_goes_behind_what_was_published_before_it() -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A broker as far as needed, that notes in which order its client speaks."""
        writer.write(b'INFO {"server_id": "x", "version": "2.12.0", "max_payload": 1048576, "headers": true}\r\n')
        with suppress(asyncio.CancelledError):
            while line := await reader.readline():
                heard.append(line.strip())
                if line == b"PING\r\n":
                    writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    nc = await bus.connect(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", "one")
    for said in (b"first", b"second", b"third"):
        del heard[:]
        await nc.publish("workflow.changes", said)
        await nc.flush()
        assert [line.split()[0] for line in heard] == [b"PUB", said, b"PING"]
    await nc.close()
    server.close()
