"""Ended runs that were kept long enough are removed with all they left: on both databases, a little at a time."""

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from engine_house import ORGANIZATION, Desk, House, chain, done, new_run, now

from execution_service.app import Again, rerun
from execution_service.domain.definition import Definition
from execution_service.domain.run import Run
from execution_service.engine import DAY
from execution_service.loops import PURGED_ROWS, Purge
from execution_service.storage import purge, tables
from execution_service.storage.log import save_log
from kit.database import Database
from kit.errors import NotFound

pytestmark = pytest.mark.anyio

LEFT = ("job_run", "task_run", "task_attempt", "task_io_data", "execution_log", "purged_run")


def kept(days: float, length: int = 2) -> Definition:
    return replace(chain(length), retention_days=days)


def count(database: Database, *names: str) -> dict[str, int]:
    with database.read() as connection:
        return {
            name: connection.execute(sa.select(sa.func.count()).select_from(tables.metadata.tables[name])).scalar_one()
            for name in names
        }


def set_age(database: Database, run_id: str, days: float) -> None:
    """As if the run had ended so long ago."""
    table = tables.workflow_run
    with database.write() as connection:
        mine = table.update().where(table.c.workflow_run_id == run_id)
        connection.execute(mine.values(purge_at=table.c.purge_at - int(days * DAY)))


def purge_at(database: Database, run: Run) -> int | None:
    table = tables.workflow_run.c
    with database.read() as connection:
        return connection.execute(
            sa.select(table.purge_at).where(table.workflow_run_id == run.facts.run_id)
        ).scalar_one()


@pytest.mark.parametrize(("installation", "workflow", "days"), [(0, 0, None), (30, 0, 30), (30, 7, 7), (0, 7, 7)])
async def test_a_run_is_kept_as_long_as_its_workflow_says_else_the_installation(
    database: Database, installation: float, workflow: float, days: float | None
) -> None:
    with Desk(database, retention_days=installation) as desk:
        run = new_run(kept(workflow, 1))
        desk.start(run)
        assert purge_at(database, run) is None, "only what has ended grows old"
        desk.tell(run.facts.run_id, done(0))
        ended = desk.load(run)
        assert ended is not None
        assert ended.head.finished_at is not None
        expected = None if days is None else ended.head.finished_at + int(days * DAY)
        assert purge_at(database, run) == expected


async def test_an_old_run_goes_with_all_it_left_and_the_young_stay(house: House) -> None:
    old, young = [await house.start(kept(7), idempotency_key=key) for key in ("old", "young")]
    for run_id in (old, young):
        assert (await house.finished(run_id))["state"] == "SUCCESS"
    before = count(house.database, *LEFT)
    set_age(house.database, old, 7)
    keeper = Purge(house.database)
    assert await keeper.run_once() == 1
    with pytest.raises(NotFound):
        await house.show(old)
    assert count(house.database, "purged_run") == {"purged_run": 1}
    while await keeper.run_once():
        pass
    after = count(house.database, *LEFT)
    assert after == {name: number // 2 for name, number in before.items()}
    assert (await house.show(young))["state"] == "SUCCESS"
    # its key still names it, so that a late repetition starts nothing
    assert await house.start(kept(7), idempotency_key="old") == old


async def test_who_listens_is_told_of_each_purged_run(house: House) -> None:
    run_id = await house.start(kept(7))
    await house.finished(run_id)
    set_age(house.database, run_id, 8)
    await Purge(house.database).run_once()
    with house.database.read() as connection:
        rows = connection.execute(sa.select(tables.outbox.c.subject, tables.outbox.c.body)).all()
    [event] = [orjson.loads(row.body) for row in rows if row.subject == "events.execution.run.purged"]
    assert (event["type"], event["organizationid"], event["data"]) == (
        "flowweaver.run.purged",
        ORGANIZATION,
        {"run_id": run_id},
    )


async def test_open_runs_and_those_that_a_rerun_shows_are_never_purged(idle_house: House) -> None:
    house = idle_house
    running = await house.start(kept(7))
    with house.database.write() as connection:
        connection.execute(tables.workflow_run.update().values(purge_at=1))
    assert await Purge(house.database).run_once() == 0
    house.work()
    assert (await house.finished(running))["state"] == "SUCCESS"
    again, _ = await rerun(house.execution, ORGANIZATION, running, Again(tasks=("t1",)))
    await house.finished(again)
    set_age(house.database, running, 8)
    assert await Purge(house.database).run_once() == 0, "the rerun shows what the first run left"
    set_age(house.database, again, 8)
    keeper = Purge(house.database)
    while await keeper.run_once():
        pass
    assert count(house.database, "workflow_run", *LEFT) == dict.fromkeys(("workflow_run", *LEFT), 0)


async def test_a_run_found_due_stays_for_a_rerun_that_is_made_just_then(house: House) -> None:
    source = await house.start(kept(7))
    await house.finished(source)
    set_age(house.database, source, 8)
    found_at = now()
    assert purge.due_for_purge(house.database, found_at, 10) == [source]
    again, _ = await rerun(house.execution, ORGANIZATION, source, Again(tasks=("t1",)))
    removed = purge.begin_purge(house.database, [source], lambda *_: ("e1", "events.x", b"{}"), found_at)
    assert removed == 0
    shown = await house.finished(again)
    assert [task["state"] for task in shown["jobs"][0]["tasks"]] == ["SUCCESS", "SUCCESS"]
    with pytest.raises(NotFound):
        await rerun(house.execution, "another organisation", source, Again())


async def test_a_rerun_at_the_moment_of_the_purge_is_refused_or_whole(house: House) -> None:
    sources = [await house.start(kept(7)) for _ in range(12)]
    for source in sources:
        await house.finished(source)
        set_age(house.database, source, 8)
    keeper, made = Purge(house.database), []

    async def remove() -> None:
        while await keeper.run_once():
            pass

    async def again(source: str) -> None:
        try:
            made.append((await rerun(house.execution, ORGANIZATION, source, Again(tasks=("t1",))))[0])
        except NotFound:
            with pytest.raises(NotFound):
                await house.show(source)

    await asyncio.gather(remove(), *(again(source) for source in sources))
    for run_id in made:
        shown = await house.finished(run_id)
        assert [task["state"] for task in shown["jobs"][0]["tasks"]] == ["SUCCESS", "SUCCESS"]


async def test_a_large_run_goes_piece_by_piece_over_a_crash(house: House) -> None:
    run_id = await house.start(kept(7, 1))
    await house.finished(run_id)
    line: dict[str, Any] = {
        "workflow_run_id": run_id, "organization_id": ORGANIZATION, "task_run_id": f"{run_id}-0", "attempt": 1,
        "at": 1, "level": "info", "event": "said", "fields": "{}", "worker": "w",
    }  # fmt: skip
    save_log(house.database, [line] * (2 * PURGED_ROWS))
    set_age(house.database, run_id, 8)
    assert await Purge(house.database).run_once() == 1
    assert await Purge(house.database).run_once() == PURGED_ROWS, "no more at a time"
    assert count(house.database, "purged_run") == {"purged_run": 1}
    # another process carries on
    keeper = Purge(house.database)
    while await keeper.run_once():
        pass
    assert count(house.database, *LEFT) == dict.fromkeys(LEFT, 0)


async def test_start_keys_are_dropped_when_nobody_repeats_any_more(house: House) -> None:
    await house.start(chain(1), idempotency_key="young")
    await house.start(chain(1), idempotency_key="old")
    with house.database.write() as connection:
        ids = list(connection.execute(sa.select(tables.start_key.c.start_key_id)).scalars())
        mine = tables.start_key.update().where(tables.start_key.c.start_key_id == ids[0])
        connection.execute(mine.values(created_at=1))
    assert await Purge(house.database).drop_keys() == 1
    assert count(house.database, "start_key") == {"start_key": 1}


def test_a_run_that_is_purged_twice_at_once_is_purged_once(database: Database) -> None:
    assert purge.begin_purge(database, ["nobody"], lambda *_: ("", "", b""), 1) == 0
    assert purge.purge_rows(database, "nobody", 10) == 0
