"""The shell with the real database and the real broker: what was accepted ends, once, whatever is repeated or lost."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import orjson
import pytest
from domain_house import job, task, workflow
from engine_house import ORGANIZATION, Definitions, Down, Gated, House, chain, fan_out, open_house, until
from nats.js.errors import NotFoundError
from prometheus_client import REGISTRY

from execution_service.app import Again, cancel_run, pause_run, rerun, resume_run
from execution_service.domain.definition import Backoff, Definition, Retry
from execution_service.domain.events import Remind
from execution_service.storage import history
from kit.database import Database
from kit.errors import Conflict

pytestmark = pytest.mark.anyio

BROKEN = {"error": {"code": "broken", "message": "no", "retryable": True}}


async def test_a_chain_runs_each_task_on_the_output_before(house: House) -> None:
    run_id = await house.start(chain(5), {"n": 1})
    run: dict[str, Any] = await house.finished(run_id)
    assert run["state"] == "SUCCESS"
    last = run["jobs"][0]["tasks"][-1]
    assert history.read_io(house.database, ORGANIZATION, last["task_run_id"])["output"] == {"n": 6}
    assert [each["key"] for each in house.worker.ran] == [f"t{i}" for i in range(5)]


async def test_a_fan_out_comes_together_again(house: House) -> None:
    run = await house.finished(await house.start(fan_out(60)))
    assert run["state"] == "SUCCESS"
    assert Counter(each["key"] for each in house.worker.ran).most_common(1)[0][1] == 1
    assert house.worker.ran[-1]["parameters"]["t59"] == {"n": 60}


async def test_an_attempt_says_all_that_a_worker_needs(house: House) -> None:
    definition = workflow(job("main", task("a", parameters={"n": "${{ run.input.n }}"}, timeout_s=7.5)))
    run = await house.finished(await house.start(definition, {"n": 3}))
    [sent] = house.worker.ran
    assert sent == {
        "task_run_id": f"{run['run_id']}-0", "run_id": run["run_id"], "organization_id": ORGANIZATION,
        "workflow_id": "workflow", "key": "a", "type": "test.increment", "attempt": 1, "parameters": {"n": 3},
        "timeout_s": 7.5, "heartbeat_s": 0.0,
        "run_version": 1, "reply": house.dispatcher.reply, "trace_id": run["trace_id"],
    }  # fmt: skip


async def test_a_result_is_answered_only_after_its_commit(
    database_url: str, nats_url: str, definitions: tuple[Definitions, str]
) -> None:
    gated = Gated(database_url)
    async with open_house(gated, nats_url, definitions) as house:
        answers: list[Any] = []

        async def act(sent: dict[str, Any]) -> None:
            gated.waiting.clear()
            gated.gate.clear()
            asking = asyncio.create_task(house.worker.send(sent, {"output": {"n": 1}}))
            await asyncio.to_thread(gated.waiting.wait, 10)
            await house.nc.flush()
            assert not asking.done()
            gated.gate.set()
            answers.append(await asking)

        house.worker.act = act
        house.work()
        run = await house.finished(await house.start(chain(1)))
        assert run["state"] == "SUCCESS"
        await until(lambda: answers == [{"ok": True}])
    gated.close()


async def test_a_result_that_could_not_be_committed_is_refused_and_taken_later(
    database_url: str, nats_url: str, definitions: tuple[Definitions, str]
) -> None:
    down = Down(database_url)
    async with open_house(down, nats_url, definitions) as house:
        answers: list[Any] = []

        async def act(sent: dict[str, Any]) -> None:
            down.refused_writes = 1000
            answers.append(await house.worker.send(sent, {"output": {"n": 1}}))
            down.refused_writes = 0
            answers.append(await house.worker.send(sent, {"output": {"n": 1}}))

        house.worker.act = act
        house.work()
        run = await house.finished(await house.start(chain(1)))
        assert run["state"] == "SUCCESS"
        await until(lambda: [answer["ok"] for answer in answers] == [False, True])
    down.close()


async def test_a_result_told_twice_is_answered_twice_and_recorded_once(house: House) -> None:
    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        assert await house.worker.send(sent, {"output": {"n": 1}}) == {"ok": True}
        return {"output": {"n": 1_000}}

    house.worker.act = act
    run = await house.finished(await house.start(chain(3)))
    outputs = [
        history.read_io(house.database, ORGANIZATION, each["task_run_id"])["output"] for each in run["jobs"][0]["tasks"]
    ]
    assert outputs == [{"n": 1}] * 3


async def test_a_long_task_is_shown_running_with_its_worker(house: House) -> None:
    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        await house.worker.say_started(sent, worker="w7")
        await until(lambda: is_running(sent["run_id"]))
        return {"output": {}}

    async def is_running(run_id: str) -> bool:
        return await house.state(run_id, "t0") == "RUNNING"

    house.worker.act = act
    run = await house.finished(await house.start(chain(1)))
    [ended] = run["jobs"][0]["tasks"]
    assert ended["state"] == "SUCCESS"
    assert ended["ran_ms"] is not None


async def test_a_failed_attempt_is_tried_again_when_its_time_has_come(house: House) -> None:
    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        return BROKEN if sent["attempt"] < 3 else {"output": {}}

    house.worker.act = act
    run_id = await house.start(chain(1, retry=Retry(3, Backoff.FIXED, delay_s=0.05)))
    ending = asyncio.create_task(house.finished(run_id))

    async def ended() -> bool:
        await house.timers.run_once()
        return ending.done()

    await until(ended)
    assert (await ending)["state"] == "SUCCESS"
    kept = history.read_io(house.database, ORGANIZATION, f"{run_id}-0")["failed_attempts"]
    assert [(each["attempt"], each["error"]["code"]) for each in kept] == [(1, "broken"), (2, "broken")]


async def test_a_retry_wait_survives_the_engines_restart(
    database: Database, nats_url: str, definitions: tuple[Definitions, str]
) -> None:
    async with open_house(database, nats_url, definitions) as house:
        house.worker.act = lambda sent: asyncio.sleep(0, BROKEN)
        house.work()
        run_id = await house.start(chain(2, retry=Retry(2, Backoff.FIXED, delay_s=3600)))
        await until(lambda: waits(house, run_id))
    async with open_house(database, nats_url, definitions) as house:
        house.work()
        assert await house.timers.run_once() == 0
        await house.later(run_id, 3601)
        assert (await house.finished(run_id))["state"] == "SUCCESS"
        assert [each["attempt"] for each in house.worker.ran] == [2, 1]


async def waits(house: House, run_id: str) -> bool:
    return await house.state(run_id, "t0") == "RETRY_WAIT"


async def test_a_result_whose_engine_is_gone_is_taken_by_the_next_one(
    database: Database, nats_url: str, definitions: tuple[Definitions, str]
) -> None:
    taken: list[dict[str, Any]] = []
    async with open_house(database, nats_url, definitions) as house:
        house.worker.act = lambda sent: asyncio.sleep(0, taken.append(sent))
        house.work()
        run_id = await house.start(chain(2))
        await until(lambda: taken)
    async with open_house(database, nats_url, definitions) as house:
        assert await house.worker.send(taken[0], {"output": {"n": 1}}) == {"ok": True}
        house.work()
        assert (await house.finished(run_id))["state"] == "SUCCESS"


async def test_an_attempt_whose_message_was_lost_is_handed_out_again(idle_house: House) -> None:
    house = idle_house
    run_id = await house.start(chain(2))
    await until(house.held_by_broker)
    await house.nc.jetstream().purge_stream("TASKS")
    house.work()
    await house.later(run_id, 3)
    assert (await house.finished(run_id))["state"] == "SUCCESS"
    assert [each["key"] for each in house.worker.ran] == ["t0", "t1"]


async def test_a_reminder_while_the_broker_holds_the_message_makes_no_second_one(idle_house: House) -> None:
    house = idle_house
    run_id = await house.start(chain(1))
    await until(house.held_by_broker)
    for _ in range(3):
        await house.tell(run_id, Remind(0))
    await house.nc.flush()
    assert await house.held_by_broker() == 1
    house.work()
    await house.finished(run_id)
    assert len(house.worker.ran) == 1


async def test_after_the_brokers_stream_was_deleted_everything_still_ends(idle_house: House) -> None:
    house = idle_house
    runs = [await house.start(chain(2)) for _ in range(3)]
    taken: list[dict[str, Any]] = []
    house.worker.act = lambda sent: asyncio.sleep(0, taken.append(sent))
    pull = await house.worker.pull()
    [message] = await pull.fetch(1, timeout=5)
    await house.worker.handle(message)
    await house.worker.say_started(taken[0])
    await until(lambda: is_state(house, taken[0]["run_id"], "RUNNING"))
    await house.nc.jetstream().delete_stream("TASKS")
    house.worker.act = house.worker.increment
    assert await house.watch.run_once()
    house.work()
    for run_id in runs:
        assert (await house.finished(run_id))["state"] == "SUCCESS"
    assert not await house.watch.run_once()


async def is_state(house: House, run_id: str, state: str) -> bool:
    return await house.state(run_id, "t0") == state


async def test_a_publication_without_a_stream_is_noticed_and_the_watch_mends_it(idle_house: House) -> None:
    house = idle_house
    troubles = REGISTRY.get_sample_value("dispatch_trouble_total") or 0
    await house.nc.jetstream().delete_stream("TASKS")
    run_id = await house.start(chain(2))
    await until(lambda: REGISTRY.get_sample_value("dispatch_trouble_total") == troubles + 1)
    house.tasks.append(asyncio.create_task(house.watch.run()))
    await until(lambda: mended(house))
    house.work()
    assert (await house.finished(run_id))["state"] == "SUCCESS"


async def mended(house: House) -> bool:
    try:
        return await house.held_by_broker() > 0
    except NotFoundError:
        return False


# --- what people do --------------------------------------------------------------------------------------------------


async def test_a_cancelled_run_that_nobody_took_ends_at_once_and_leaves_nothing_in_the_broker(
    idle_house: House,
) -> None:
    house = idle_house
    run_id = await house.start(fan_out(3))
    await until(house.held_by_broker)
    assert await cancel_run(house.execution, ORGANIZATION, run_id) == "CANCELLED"
    await until(lambda: nothing_held(house))
    house.work()
    assert await house.finished(await house.start(chain(1)))
    assert [each["run_id"] for each in house.worker.ran if each["run_id"] == run_id] == []


async def nothing_held(house: House) -> bool:
    return await house.held_by_broker() == 0


async def test_a_cancel_reaches_the_worker_and_its_word_ends_the_run(house: House) -> None:
    taken: list[dict[str, Any]] = []

    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        await house.worker.say_started(sent)
        taken.append(sent)
        await until(lambda: house.worker.cancelled)
        return {"cancelled": True}

    house.worker.act = act
    run_id = await house.start(chain(2))
    await until(lambda: taken)
    await until(lambda: is_state(house, run_id, "RUNNING"))
    assert await cancel_run(house.execution, ORGANIZATION, run_id) == "CANCELLING"
    run = await house.finished(run_id)
    assert run["state"] == "CANCELLED"
    assert house.worker.cancelled == [{"task_run_id": f"{run_id}-0", "attempt": 1}]
    assert await cancel_run(house.execution, ORGANIZATION, run_id) == "CANCELLED"


async def test_a_cancelled_run_ends_without_its_worker_and_the_heartbeat_names_its_attempt(house: House) -> None:
    async def act(sent: dict[str, Any]) -> None:
        await house.worker.say_started(sent)

    house.worker.act = act
    run_id = await house.start(chain(2))
    await until(lambda: is_state(house, run_id, "RUNNING"))
    await cancel_run(house.execution, ORGANIZATION, run_id)
    said = orjson.dumps({"worker": "w", "tasks": [[run_id, f"{run_id}-0", 1], [run_id, f"{run_id}-1", 1]]})
    for _ in range(2):
        answer = await house.nc.request("engine.heartbeat", said, timeout=5)
        assert [f"{run_id}-0", 1] in orjson.loads(answer.data)["cancel"]
        run = await house.later(run_id, 9)
    assert run.head.state == "CANCELLED"
    assert (await house.finished(run_id))["state"] == "CANCELLED"


async def test_an_ended_run_cannot_be_cancelled(house: House) -> None:
    run_id = await house.start(chain(1))
    await house.finished(run_id)
    with pytest.raises(Conflict) as refused:
        await cancel_run(house.execution, ORGANIZATION, run_id)
    assert refused.value.params == {"state": "SUCCESS"}


async def test_a_paused_run_waits_until_it_is_resumed(idle_house: House) -> None:
    house = idle_house
    run_id = await house.start(chain(2))
    assert await pause_run(house.execution, ORGANIZATION, run_id) == "PAUSED"
    house.work()
    await until(lambda: is_state(house, run_id, "SUCCESS"))
    assert await house.state(run_id, "t1") == "PENDING"
    assert await resume_run(house.execution, ORGANIZATION, run_id) == "RUNNING"
    assert (await house.finished(run_id))["state"] == "SUCCESS"


async def test_a_rerun_of_what_failed_reuses_the_rest(house: House) -> None:
    failing = {"t1"}

    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        return BROKEN if sent["key"] in failing else await house.worker.increment(sent)

    house.worker.act = act
    first = await house.start(chain(3), {"n": 10})
    assert (await house.finished(first))["state"] == "FAILED"
    failing.clear()
    house.worker.ran.clear()
    second, created = await rerun(house.execution, ORGANIZATION, first, Again(failed=True), idempotency_key="once")
    assert created
    run = await house.finished(second)
    assert (run["state"], run["trigger"], run["rerun_of"]) == ("SUCCESS", "rerun", first)
    assert [each["key"] for each in house.worker.ran] == ["t1", "t2"]
    assert history.read_io(house.database, ORGANIZATION, f"{second}-0")["output"] == {"n": 11}
    again = await rerun(house.execution, ORGANIZATION, first, Again(failed=True), idempotency_key="once")
    assert again == (second, False)


async def test_a_rerun_of_what_failed_leaves_skipped_what_was(house: House) -> None:
    reading = {"skipped": "${{ optional(tasks.t1.output, null) }}", "n": "${{ tasks.t0.output.n }}"}
    definition = workflow(
        job(
            "main",
            task("t0", parameters={"n": 1}),
            task("t1", "t0", when="tasks.t0.output.n > 5", parameters={"n": 1}),
            task("t2", "t1", parameters=reading),
            task("t3", "t2", parameters=reading),
        )
    )
    failing = {"t3"}

    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        return BROKEN if sent["key"] in failing else await house.worker.increment(sent)

    house.worker.act = act
    first = await house.start(definition)
    assert (await house.finished(first))["state"] == "FAILED"
    failing.clear()
    house.worker.ran.clear()
    second, _ = await rerun(house.execution, ORGANIZATION, first, Again(failed=True))
    run = await house.finished(second)
    assert [(each["key"], each["state"]) for each in run["jobs"][0]["tasks"]] == [
        ("t0", "SUCCESS"), ("t1", "SKIPPED"), ("t2", "SUCCESS"), ("t3", "SUCCESS"),
    ]  # fmt: skip
    assert [each["key"] for each in house.worker.ran] == ["t3"]


# --- several replicas ------------------------------------------------------------------------------------------------


async def test_two_replicas_carry_the_same_runs_without_losing_or_doubling_anything(
    database: Database, nats_url: str, definitions: tuple[Definitions, str]
) -> None:
    async with (
        open_house(database, nats_url, definitions, sole_writer=False) as one,
        open_house(database, nats_url, definitions, sole_writer=False) as two,
    ):
        replies = [one.dispatcher.reply, two.dispatcher.reply]

        async def act(sent: dict[str, Any]) -> dict[str, Any]:
            # each result goes to whoever did not dispatch it, and again to who did
            sent["reply"] = replies[replies[0] == sent["reply"]]
            result = await one.worker.increment(sent)
            assert (await one.worker.send(sent, result))["ok"]
            sent["reply"] = replies[replies[0] == sent["reply"]]
            return result

        one.worker.act = act
        one.work()
        runs = [await house.start(chain(8)) for house in (one, two)] + [await two.start(fan_out(20))]
        for run_id in runs:
            assert (await one.finished(run_id, 40))["state"] == "SUCCESS"
        counted = Counter(each["task_run_id"] for each in one.worker.ran)
        assert set(counted.values()) == {1}


# --- the window ------------------------------------------------------------------------------------------------------


def single(workflow_id: str, organization_id: str = ORGANIZATION, priority: int = 3) -> Definition:
    spec = task("only", priority=priority)
    return replace(workflow(job("main", spec)), workflow_id=workflow_id, organization_id=organization_id)


async def test_the_broker_holds_a_window_and_the_rest_goes_by_priority_and_in_turn(
    database: Database, nats_url: str, definitions: tuple[Definitions, str]
) -> None:
    async with open_house(database, nats_url, definitions, window=2) as house:
        for name in ("first", "second"):
            await house.start(single(name))
        for name in ("low",):
            await house.start(single(name, priority=5))
        for number in range(3):
            await house.start(single(f"a{number}"))
        for number in range(2):
            await house.start(single(f"b{number}", "org2"))
        await house.start(single("urgent", priority=1))
        gone = await house.start(single("cancelled", priority=1))
        await cancel_run(house.execution, ORGANIZATION, gone)
        pull, order = await house.worker.pull(), []
        for _ in range(9):
            assert await house.held_by_broker() <= 2
            [message] = await pull.fetch(1, timeout=10)
            await house.worker.handle(message)
            order.append(house.worker.ran[-1]["workflow_id"])
        assert order == ["first", "second", "urgent", "a0", "b0", "a1", "b1", "a2", "low"]
        await until(lambda: nothing_held(house))


async def test_what_waits_for_the_window_is_not_doubled_by_reminders(
    database: Database, nats_url: str, definitions: tuple[Definitions, str]
) -> None:
    async with open_house(database, nats_url, definitions, window=1) as house:
        run_id = await house.start(fan_out(4))
        for seconds in (3, 8, 20):
            await house.later(run_id, seconds)
        assert await house.held_by_broker() == 1
        house.work()
        assert (await house.finished(run_id))["state"] == "SUCCESS"
        assert Counter(each["key"] for each in house.worker.ran) == Counter([*(f"t{i}" for i in range(4)), "last"])
