"""Limits that runs share, on a real database: never more at a time than they say, and nobody waits for ever."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from engine_house import ORGANIZATION, Definitions, House, chain, open_house, until

from execution_service.app import Parent, cancel_run, start_run
from execution_service.domain.definition import Concurrency, Definition, JobSpec, Overflow, TaskSpec
from execution_service.domain.run import Failure
from execution_service.storage import limits, tables
from execution_service.storage import runs as stored
from kit.database import Database


def limited(limit: int, overflow: Overflow = Overflow.QUEUE, name: str = "limited", **said: Any) -> Definition:
    task = TaskSpec("a", "test.increment", parameters={"n": 1}, **said)
    return Definition(
        ORGANIZATION, name, 1, "Limited", (JobSpec("main", (task,)),), concurrency=Concurrency(limit, overflow)
    )


def keyed(name: str = "keyed", organization_id: str = ORGANIZATION, **said: Any) -> Definition:
    task = TaskSpec("a", "test.increment", parameters={"n": 1}, **said)
    return Definition(organization_id, name, 1, "Keyed", (JobSpec("main", (task,)),))


def places(database: Database) -> "Counter[str]":
    with database.read() as connection:
        return Counter(connection.execute(sa.select(tables.scope_place.c.state)).scalars())


def scopes(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(tables.scope)).scalar_one())


async def taken(house: House, amount: int, waiting: int) -> None:
    await until(lambda: places(house.database) == Counter({"taken": amount, "waiting": waiting}))


class Crowd:
    """A worker's `act` that keeps what it is given, counts how many that are at a time, and ends them when let go."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.kept: list[dict[str, Any]] = []
        self.most = 0
        self.open = False

    async def __call__(self, sent: dict[str, Any]) -> dict[str, Any] | None:
        if self.open:
            return await self.house.worker.increment(sent)
        self.kept.append(sent)
        self.most = max(self.most, len(self.kept))
        return None

    async def let_go(self) -> None:
        self.open = True
        for sent in self.kept:
            assert (await self.house.worker.send(sent, await self.house.worker.increment(sent)))["ok"]


async def test_a_task_tells_its_key_as_its_runs_own_version_has_it(idle_house: House) -> None:
    first = keyed("w1", concurrency_key="${{ run.input.shop }}", concurrency_limit=2)
    run_id = await idle_house.start(first, {"shop": "naver"})
    later = replace(first, version=2, jobs=keyed("w1", concurrency_key="other").jobs)
    newer = await idle_house.start(later, {"shop": "naver"})
    plain = await idle_house.start(chain(1))

    async def told(run: str) -> tuple[Any, Any]:
        task = (await idle_house.show(run))["jobs"][0]["tasks"][0]
        return task["concurrency_key"], task["concurrency_limit"]

    assert await told(run_id) == ("${{ run.input.shop }}", 2)
    assert await told(newer) == ("other", 1)
    assert await told(plain) == (None, None)


async def test_no_more_runs_of_a_workflow_than_its_limit_and_all_of_them_in_the_end(house: House) -> None:
    crowd = house.worker.act = Crowd(house)
    runs = [await house.start(limited(2)) for _ in range(7)]
    await until(lambda: len(crowd.kept) == 2)
    await taken(house, 2, 5)
    states = Counter([(await house.show(run_id))["state"] for run_id in runs])
    assert states == {"RUNNING": 2, "PENDING": 5}
    await crowd.let_go()
    for run_id in runs:
        assert (await house.finished(run_id))["state"] == "SUCCESS"
    assert crowd.most == 2
    assert not places(house.database)
    assert [each["run_id"] for each in house.worker.ran] == runs
    assert await house.places.drop_unused() == 1
    assert scopes(house.database) == 0


async def test_no_more_tasks_under_a_key_than_its_limit_whatever_their_workflow(house: House) -> None:
    crowd = house.worker.act = Crowd(house)
    shops = ["seoul", "busan"]
    runs = [
        await house.start(
            keyed(f"w{number}", concurrency_key="${{ run.input.shop }}", concurrency_limit=2), {"shop": shop}
        )
        for number in range(4)
        for shop in shops
    ]
    await until(lambda: len(crowd.kept) == 4)
    await taken(house, 4, 4)
    await crowd.let_go()
    for run_id in runs:
        assert (await house.finished(run_id))["state"] == "SUCCESS"
    assert crowd.most == 4
    assert not places(house.database)


async def test_a_limited_queue_goes_by_priority_then_in_turn_between_organisations(
    database: Database, nats_url: str, definitions: tuple[Definitions, str], anyio_backend: str
) -> None:
    async with open_house(database, nats_url, definitions, queue_limits={"default": 1}) as house:
        crowd = house.worker.act = Crowd(house)
        house.work()
        first = await house.start(keyed("first"))
        await until(lambda: len(crowd.kept) == 1)
        names = {}
        for name, organization_id, priority in (
            ("many1", ORGANIZATION, 3), ("many2", ORGANIZATION, 3), ("few1", "org2", 3), ("few2", "org2", 3),
            ("late", ORGANIZATION, 1),
        ):  # fmt: skip
            names[await house.start(keyed(name, organization_id, priority=priority))] = name
        await taken(house, 1, 5)
        await crowd.let_go()
        await until(lambda: len(house.worker.ran) == 6)
        assert [names.get(each["run_id"], "first") for each in house.worker.ran] == [
            "first", "late", "few1", "many1", "few2", "many2",
        ]  # fmt: skip
        assert crowd.most == 1
        assert (await house.finished(first))["state"] == "SUCCESS"
        await until(lambda: not places(database))


async def test_a_run_too_many_is_skipped_where_the_workflow_says_so(house: House) -> None:
    crowd = house.worker.act = Crowd(house)
    first = await house.start(limited(1, Overflow.SKIP))
    await taken(house, 1, 0)
    second = await house.start(limited(1, Overflow.SKIP))
    ended = await house.finished(second)
    assert (ended["state"], ended["error"]["code"]) == ("CANCELLED", "concurrency_skipped")
    await crowd.let_go()
    assert (await house.finished(first))["state"] == "SUCCESS"
    third = await house.start(limited(1, Overflow.SKIP))
    assert (await house.finished(third))["state"] == "SUCCESS"


async def test_the_older_runs_make_room_where_the_workflow_says_so(house: House) -> None:
    house.worker.act = house.worker.vanish
    runs = [await house.start(limited(1, Overflow.CANCEL)) for _ in range(3)]
    await until(lambda: house.worker.ran)
    for run_id in runs[:2]:
        # its worker is gone: it ends when its grace is over
        await until(lambda run_id=run_id: _cancelling(house, run_id))
        await house.later(run_id, 9)
        assert (await house.finished(run_id))["state"] == "CANCELLED"
    await taken(house, 1, 0)
    assert (await house.show(runs[2]))["state"] == "RUNNING"


async def _cancelling(house: House, run_id: str) -> bool:
    return (await house.show(run_id))["state"] in ("CANCELLING", "CANCELLED")


async def test_who_ends_while_waiting_leaves_the_line(house: House) -> None:
    crowd = house.worker.act = Crowd(house)
    runs = [await house.start(limited(1)) for _ in range(3)]
    await taken(house, 1, 2)
    assert await cancel_run(house.execution, ORGANIZATION, runs[1]) == "CANCELLED"
    await taken(house, 1, 1)
    await crowd.let_go()
    assert (await house.finished(runs[2]))["state"] == "SUCCESS"


async def test_a_child_does_not_wait_for_the_place_that_its_parent_holds(house: House) -> None:
    house.worker.act = house.worker.vanish
    parent = await house.start(limited(1))
    other = await house.start(keyed("other"))
    await taken(house, 1, 0)
    for above, state in ((parent, "RUNNING"), (other, "PENDING")):
        child, _ = await start_run(
            house.execution, ORGANIZATION, "limited", {"n": 0}, parent=Parent(f"{above}-0.1", 1, "0" * 32)
        )
        assert (await house.show(child))["state"] == state


async def test_a_place_of_a_run_that_the_engine_could_not_end_is_free_again(house: House) -> None:
    house.worker.act = house.worker.vanish
    broken, next_one = [await house.start(limited(1)) for _ in range(2)]
    await taken(house, 1, 1)
    with house.database.write() as connection:
        run = tables.workflow_run
        connection.execute(run.update().where(run.c.workflow_run_id == broken).values(next_due_at=None, state="FAILED"))
    assert await house.places.drop_unused() == 1
    house.places.wake()
    await until(lambda: _is(house, next_one, "RUNNING"))
    third = await house.start(limited(1))
    stored.fail_unreadable(house.database, next_one, Failure("internal"), 1)
    house.places.wake()
    await until(lambda: _is(house, third, "RUNNING"))


async def _is(house: House, run_id: str, state: str) -> bool:
    return bool((await house.show(run_id))["state"] == state)


async def test_a_grant_that_nobody_heard_is_told_again(idle_house: House) -> None:
    """The replica that handed the place out died before its engine knew."""
    house = idle_house
    house.tasks.pop().cancel()  # nobody hands anything out
    run_id = await house.start(limited(1))
    assert [each.run_id for each in limits.admit(house.database).granted] == [run_id]
    assert places(house.database) == {"granted": 1}
    assert (await house.show(run_id))["state"] == "PENDING"
    await house.places.run_once()
    await until(lambda: _is(house, run_id, "RUNNING"))
    assert places(house.database) == {"taken": 1}


async def test_two_replicas_never_hand_out_the_same_place(
    database: Database, nats_url: str, definitions: tuple[Definitions, str], anyio_backend: str
) -> None:
    async with (
        open_house(database, nats_url, definitions, sole_writer=False) as one,
        open_house(database, nats_url, definitions, sole_writer=False) as other,
    ):
        crowd = one.worker.act = Crowd(one)
        await crowd.let_go()
        one.work()
        starts = [house.start(limited(3)) for _ in range(15) for house in (one, other)]
        runs = await asyncio.gather(*starts)
        most = 0
        while not all([(await one.show(run_id))["finished_at"] for run_id in runs]):
            held = places(database)
            most = max(most, held["taken"] + held["granted"])
        assert most <= 3
        assert crowd.most <= 3
        assert len(one.worker.ran) == 30
        await until(lambda: not places(database))


@pytest.mark.parametrize("limit", [1, 4])
async def test_a_task_under_two_limits_has_both_places_or_none(
    database: Database, nats_url: str, definitions: tuple[Definitions, str], anyio_backend: str, limit: int
) -> None:
    async with open_house(database, nats_url, definitions, queue_limits={"default": 2}) as house:
        crowd = house.worker.act = Crowd(house)
        house.work()
        said = {"concurrency_key": "shop", "concurrency_limit": limit}
        runs = [await house.start(keyed(f"w{number}", **said)) for number in range(5)]
        most = min(2, limit)
        await until(lambda: len(crowd.kept) == most)
        await taken(house, most * 2, (5 - most) * 2)
        await crowd.let_go()
        for run_id in runs:
            await house.finished(run_id)
        assert crowd.most == most
