"""What arrives by itself: each message, tick and turn of a loop on its own."""

import asyncio
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from engine_house import Definitions, House, chain, fan_out, now, open_house, until
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from execution_service.domain.definition import Backoff, Retry
from execution_service.domain.events import Remind
from execution_service.engine import Item
from execution_service.loops import BrokerWatch, Outbox, Timers, finished
from execution_service.storage import runs as stored
from execution_service.storage import tables
from kit import serve
from kit.database import Database

pytestmark = pytest.mark.anyio


async def ask(house: House, subject: str, body: bytes) -> Any:
    return orjson.loads((await house.nc.request(subject, body, timeout=5)).data)


# --- results ---------------------------------------------------------------------------------------------------------

MALFORMED: list[Any] = [
    b"", b"{", b"\xff", b"null", b"[]", b'"text"', b"7", b"{}",
    {"task_run_id": 7}, {"task_run_id": ["x"]}, {"task_run_id": "no-index"}, {"task_run_id": "x-1"},
    {"task_run_id": "x-1", "attempt": "one"}, {"task_run_id": "x-1", "attempt": None},
    {"task_run_id": "x-1", "attempt": 1, "error": "text"}, {"task_run_id": "x-1", "attempt": 1, "error": []},
    {"task_run_id": "x-1", "attempt": 1, "error": {}}, {"task_run_id": "x-1", "attempt": 1, "started_at": "noon"},
    {"task_run_id": "x-1", "attempt": 1, "run_version": "new"}, {"task_run_id": "x-1", "attempt": 1, "delivery": [1]},
]  # fmt: skip


async def test_a_malformed_result_is_answered_so_that_it_does_not_come_again(idle_house: House) -> None:
    for said in MALFORMED:
        body = said if isinstance(said, bytes) else orjson.dumps(said)
        for subject in ("engine.result", f"{idle_house.dispatcher.reply}.result"):
            assert await ask(idle_house, subject, body) == {"ok": True, "malformed": True}, said


async def test_a_result_of_an_unknown_run_is_answered(idle_house: House) -> None:
    body = orjson.dumps({"task_run_id": "nobody-0", "attempt": 1, "output": {}})
    assert await ask(idle_house, "engine.result", body) == {"ok": True}


async def test_a_result_of_an_unknown_task_is_answered(idle_house: House) -> None:
    run_id = await idle_house.start(chain(1))
    body = orjson.dumps({"task_run_id": f"{run_id}-999999", "attempt": 1, "output": {}})
    assert await ask(idle_house, "engine.result", body) == {"ok": True}
    assert await idle_house.state(run_id, "t0") == "QUEUED"


async def test_a_result_that_is_repeated_while_it_waits_is_decided_once_and_answered_each_time(
    idle_house: House,
) -> None:
    run_id = await idle_house.start(chain(2))
    body = orjson.dumps({"task_run_id": f"{run_id}-0", "attempt": 1, "output": {"n": 1}})

    def decided() -> float:
        return REGISTRY.get_sample_value("engine_events_total", {"event": "Finished"}) or 0.0

    before = decided()
    table = tables.workflow_run
    # the engine cannot commit as long as another writer has the run
    with idle_house.database.write() as connection:
        connection.execute(sa.select(table.c.version).where(table.c.workflow_run_id == run_id).with_for_update())
        asked = [asyncio.create_task(ask(idle_house, "engine.result", body)) for _ in range(5)]
        await until(lambda: idle_house.intake.unanswered == 5)
    assert [await answer for answer in asked] == [{"ok": True}] * 5
    assert decided() - before == 1
    assert idle_house.intake.unanswered == 0
    # one that comes later is one of its own
    assert await ask(idle_house, "engine.result", body) == {"ok": True}
    assert decided() - before == 2


async def test_numbers_out_of_all_bounds_do_not_poison_a_run(idle_house: House) -> None:
    run_id = await idle_house.start(chain(1))
    huge = 2**64 - 1
    body = {"task_run_id": f"{run_id}-0", "attempt": 1, "delivery": huge, "started_at": huge, "worker": "w" * 500}
    await idle_house.nc.publish(f"{idle_house.dispatcher.reply}.started", orjson.dumps(body | {"timeout_s": 1e308}))
    assert await ask(idle_house, "engine.result", orjson.dumps(body | {"finished_at": huge, "output": {}})) == {
        "ok": True
    }
    assert (await idle_house.finished(run_id))["state"] == "SUCCESS"


async def test_the_sum_of_many_attempts_lines_fits(house: House) -> None:
    async def act(task: dict[str, Any]) -> dict[str, Any]:
        with house.database.write() as connection:
            connection.execute(tables.workflow_run.update().values(log_lines=2**31 - 1))
        return {"output": {"n": 1}, "log_lines": 2**40}

    house.worker.act = act
    run_id = await house.start(chain(1))
    assert (await house.finished(run_id))["state"] == "SUCCESS"
    with house.database.read() as connection:
        assert connection.execute(sa.select(tables.workflow_run.c.log_lines)).scalars().all() == [2**31 + 999_999]


async def test_a_retryable_error_and_its_details_come_through() -> None:
    said = {
        "attempt": 2,
        "error": {"code": "http", "message": "x" * 9000, "retryable": True, "details": {"status": 503}},
    }
    event = finished(said, 4, now())
    assert event.failure is not None
    assert (event.index, event.attempt, event.failure.code, event.failure.retryable) == (4, 2, "http", True)
    assert (len(event.failure.message), event.failure.details) == (4000, {"status": 503})
    assert finished({"attempt": 1, "output": None}, 0, 1).output == b"null"
    assert finished({"attempt": 1, "cancelled": True}, 0, 1).cancelled


async def test_messages_without_sense_change_nothing(idle_house: House) -> None:
    house = idle_house
    run_id = await house.start(chain(1))
    for said in (b"", b"[]", b"{}", b'{"task_run_id":1}', b'{"run_id":"x"}'):
        await house.nc.publish(f"{house.dispatcher.reply}.started", said)
    for said in (b"", b"[]", b"{}", b'{"tasks":[1]}', b'{"tasks":[["a","b"]]}', b'{"tasks":[["a","b","c"]]}'):
        assert await ask(house, "engine.heartbeat", said) == {"cancel": []}
    assert await house.state(run_id, "t0") == "QUEUED"


async def test_a_heartbeat_of_tasks_that_go_on_names_none(idle_house: House) -> None:
    run_id = await idle_house.start(chain(1))
    said = orjson.dumps({"worker": "w", "tasks": [[run_id, f"{run_id}-0", 1]]})
    assert await ask(idle_house, "engine.heartbeat", said) == {"cancel": []}


# --- time ------------------------------------------------------------------------------------------------------------


async def test_timers_tick_what_is_due_once_until_it_was_decided(idle_house: House) -> None:
    house = idle_house
    run_id = await house.start(chain(1, retry=Retry(2, Backoff.FIXED, delay_s=0.01)))
    assert await house.timers.run_once() == 0
    said = {"task_run_id": f"{run_id}-0", "attempt": 1, "error": {"code": "x", "retryable": True}}
    await ask(house, "engine.result", orjson.dumps(said))
    ticked: list[Item] = []

    class Slow:
        """An engine that has not decided yet."""

        submit = staticmethod(ticked.append)

    timers = Timers(Slow(), house.database)  # type: ignore[arg-type]
    await until(timers.run_once)
    assert [item.run_id for item in ticked] == [run_id]
    assert await timers.run_once() == 0
    ticked[0].done(None)  # type: ignore[arg-type]
    assert await timers.run_once() == 1
    await until(house.timers.run_once)
    await until(lambda: queued_again(house, run_id))


async def queued_again(house: House, run_id: str) -> bool:
    shown = await house.show(run_id)
    [found] = shown["jobs"][0]["tasks"]
    return (found["state"], found["attempt"]) == ("QUEUED", 2)


# --- the broker's fate -----------------------------------------------------------------------------------------------


async def test_the_watch_sees_each_loss_of_a_stream_once(idle_house: House) -> None:
    house = idle_house
    assert not await house.watch.run_once()
    js = house.nc.jetstream()
    await js.delete_stream("EVENTS")
    assert not await house.watch.run_once()
    assert (await js.stream_info("EVENTS")).config.name == "EVENTS"
    await js.delete_stream("TASKS")
    assert await house.watch.run_once()
    assert not await house.watch.run_once()


async def test_all_open_runs_are_reminded_page_by_page(idle_house: House) -> None:
    house = idle_house
    runs = {await house.start(chain(1)) for _ in range(5)}
    await until(lambda: holds(house, 5))
    await house.nc.jetstream().delete_stream("TASKS")
    assert await house.watch.run_once()
    await until(lambda: holds(house, 5))
    assert len(runs) == 5


async def test_a_loss_is_minded_until_all_was_handed_out_again(idle_house: House) -> None:
    """Whoever minds it may die before anything left, and another replica must still see the loss."""
    house = idle_house
    await house.start(chain(1))
    await until(lambda: holds(house, 1))
    await serve.end(house.tasks)  # nothing leaves any more
    await house.nc.jetstream().delete_stream("TASKS")
    assert await house.watch.run_once()
    assert not await house.watch.run_once()
    assert not await is_noted(house)
    other = BrokerWatch(house.nc, house.execution.engine, house.database)
    assert await other.run_once()
    assert await house.held_by_broker() == 0

    house.tasks = [asyncio.create_task(house.dispatcher.run())]
    await until(lambda: holds(house, 1))
    await until(lambda: is_noted(house, other))
    assert not await BrokerWatch(house.nc, house.execution.engine, house.database).run_once()


async def test_a_connection_that_was_lost_meanwhile_begins_the_reminding_again(idle_house: House) -> None:
    house = idle_house
    await house.start(chain(1))
    await until(lambda: holds(house, 1))
    await house.nc.jetstream().delete_stream("TASKS")
    assert await house.watch.run_once()
    house.watch.wake()
    assert await house.watch.run_once()
    await until(lambda: is_noted(house, house.watch))
    assert not await house.watch.run_once()


async def is_noted(house: House, watch: BrokerWatch | None = None) -> bool:
    """Whether nobody minds a loss of the task stream any more; `watch` looks once before."""
    if watch is not None:
        await watch.run_once()
    created = str((await house.nc.jetstream().stream_info("TASKS")).created)
    return not await asyncio.to_thread(stored.stream_is_new, house.database, {"TASKS": created})


async def holds(house: House, number: int) -> bool:
    return await house.held_by_broker() == number


async def test_a_woken_watch_looks_at_once_and_goes_on_looking(idle_house: House) -> None:
    house = idle_house
    looping = asyncio.create_task(house.watch.run())
    house.tasks.append(looping)
    await house.nc.jetstream().delete_stream("TASKS")
    house.watch.wake()
    await until(lambda: stream_is_back(house))
    assert not looping.done()


async def test_a_watch_without_its_broker_tries_again(
    database: Database, nats_url: str, definitions: tuple[Definitions, str]
) -> None:
    async with open_house(database, nats_url, definitions) as house:
        looping = asyncio.create_task(house.watch.run())
        house.tasks.append(looping)
        await house.nc.close()
        with capture_logs() as lines:
            house.watch.wake()
            await until(lambda: any(line["event"] == "broker_watch_failed" for line in lines))
        assert not looping.done()


async def stream_is_back(house: House) -> bool:
    try:
        await house.nc.jetstream().stream_info("TASKS")
    except NotFoundError:
        return False
    return True


# --- the outbox ------------------------------------------------------------------------------------------------------


async def test_domain_events_are_published_once_and_again_after_their_stream_was_lost(house: House) -> None:
    heard: list[tuple[str, str]] = []

    async def hear(message: Msg) -> None:
        event = orjson.loads(message.data)
        assert (message.headers or {})["Nats-Msg-Id"] == event["id"]
        heard.append((event["id"], f"{message.subject} {event['data']['state']}"))

    await house.nc.subscribe("events.>", cb=hear)
    run_id = await house.start(chain(1))
    await house.finished(run_id)
    assert await house.outbox.run_once() == 2
    assert await house.outbox.run_once() == 0
    await house.nc.flush()
    await until(lambda: len(heard) == 2)
    assert [said for _, said in heard] == [
        "events.execution.run.started RUNNING", "events.execution.run.finished SUCCESS",
    ]  # fmt: skip
    await house.nc.jetstream().delete_stream("EVENTS")
    await house.watch.run_once()
    assert await house.outbox.run_once() == 2
    await until(lambda: len(heard) == 4)
    assert heard[:2] == heard[2:]
    assert (await house.nc.jetstream().stream_info("EVENTS")).state.messages == 2


async def test_the_outbox_waits_while_its_stream_is_missing(idle_house: House) -> None:
    house = idle_house
    await house.start(chain(1))
    await house.nc.jetstream().delete_stream("EVENTS")
    assert await house.outbox.run_once() == 0
    await house.watch.run_once()
    assert await house.outbox.run_once() == 1


async def test_published_events_are_dropped_when_they_are_old(idle_house: House) -> None:
    house = idle_house
    await house.start(chain(1))
    assert await house.outbox.run_once() == 1
    assert await house.outbox.drop_old() == 0
    brief = Outbox(house.nc, house.database, -1)
    assert await brief.drop_old() == 1
    await asyncio.to_thread(stored.publish_again, house.database, 0)
    assert await house.outbox.run_once() == 0


# --- dispatch --------------------------------------------------------------------------------------------------------


async def test_a_dispatcher_without_its_broker_still_answers(idle_house: House) -> None:
    """The broker is gone: commands are lost, but whoever gave the engine an event gets its outcome."""
    house = idle_house
    run_id = await house.start(fan_out(2))
    await house.nc.close()
    run = await house.tell(run_id, Remind(0))
    assert run.facts.run_id == run_id
