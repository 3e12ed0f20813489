"""Runs and lists followed live over real HTTP: at the replica that commits, at another one, and again after a break."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import orjson
import pytest
from edge_house import bearer, open_http
from engine_house import ORGANIZATION, Definitions, House, chain, fan_out, now, open_house, until

from execution_service.domain.events import Pause
from execution_service.domain.run import RunState
from execution_service.storage import live, tables
from execution_service.storage.log import save_log
from execution_service.storage.purge import begin_purge
from kit.database import Database
from kit.ids import new_id

RUNS = "/v0/workflow-runs"


@dataclass(frozen=True)
class Event:
    name: str
    id: str
    data: Any


class Stream:
    """An event stream that is open. `ended`: the server closed it, whole."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.ended = False

    async def next(self, name: str = "", seconds: float = 20) -> Event | None:
        """The next event (of that name); None at the end of the stream."""
        async with asyncio.timeout(seconds):
            while True:
                found = await self._read()
                if found is None or name in ("", found.name):
                    return found

    async def _read(self) -> Event | None:
        said: dict[str, str] = {}
        async for line in self._lines:
            if line:
                key, _, value = line.partition(": ")
                said[key] = value
            elif "event" in said:
                return Event(said["event"], said["id"], orjson.loads(said["data"]))
            else:
                said = {}  # a sign of life
        self.ended = True
        return None

    async def rest(self, seconds: float = 30) -> list[Event]:
        """All events until the stream ends."""
        found = []
        while (event := await self.next(seconds=seconds)) is not None:
            found.append(event)
        return found

    async def until_run(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first summary in a list's stream that is so."""
        while True:
            event = await self.next("runs")
            assert event is not None
            for item in event.data["items"]:
                if wanted(item):
                    return dict(item)


@asynccontextmanager
async def following(
    http: httpx.AsyncClient, path: str, last: str | None = None, headers: dict[str, str] | None = None
) -> AsyncIterator[Stream]:
    headers = {**(headers or {}), **({} if last is None else {"Last-Event-ID": last})}
    async with http.stream("GET", path, headers=headers, timeout=30) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        yield Stream(answer)


def lines(run_id: str, *events: str) -> list[dict[str, Any]]:
    return [
        {
            "workflow_run_id": run_id, "organization_id": ORGANIZATION, "task_run_id": f"{run_id}-0", "attempt": 1,
            "worker": "w", "at": now(), "level": "info", "event": event, "fields": "{}",
        }
        for event in events
    ]  # fmt: skip


async def log_to(house: House, run_id: str, *events: str) -> None:
    """As a worker does it, and the loop that saves."""
    said = {
        "run_id": run_id, "organization_id": ORGANIZATION, "task_run_id": f"{run_id}-0", "attempt": 1, "worker": "w",
        "lines": [{"at": now(), "level": "info", "event": event, "fields": {}} for event in events],
    }  # fmt: skip
    await house.nc.publish("engine.log", orjson.dumps(said))
    await until(house.lines.run_once)


@pytest.fixture
async def http(idle_house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with open_http(idle_house) as client:
        yield client


async def test_a_stream_ends_behind_the_lines_that_the_runs_attempts_wrote(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    async def act(task: dict[str, Any]) -> dict[str, Any]:
        return {"output": {"n": 1}, "log_lines": 1}

    idle_house.worker.act = act
    run_id = await idle_house.start(chain(3))
    async with following(http, f"{RUNS}/{run_id}/events") as stream:
        idle_house.work()
        while (event := await stream.next()) is not None and event.data["state"] != "SUCCESS":
            pass
        for n in range(3):
            await log_to(idle_house, run_id, f"e{n}")
        told = await stream.rest()
    assert [line["event"] for event in told for line in event.data["items"]] == ["e0", "e1", "e2"]


def test_lines_of_a_run_that_ended_long_ago_are_not_waited_for() -> None:
    head = live.Head(1, RunState.SUCCESS, 1, 10_000_000, 2)
    assert head.lacks_lines(14_999_999)
    assert not head.lacks_lines(15_000_000)
    assert not replace(head, lines=2).lacks_lines(10_000_000)
    assert not replace(head, finished_at=None).lacks_lines(10_000_000)


# --- one run ---------------------------------------------------------------------------------------------------------


async def test_a_run_is_followed_until_it_is_terminal(http: httpx.AsyncClient, idle_house: House) -> None:
    run_id = await idle_house.start(chain(4))
    async with following(http, f"{RUNS}/{run_id}/events") as stream:
        first = await stream.next()
        assert first is not None
        assert (first.name, first.id) == ("run", "1.0")
        assert first.data == (await http.get(f"{RUNS}/{run_id}")).json()
        idle_house.work()
        seen = [first, *await stream.rest()]
    versions = [event.data["version"] for event in seen]
    assert {event.name for event in seen} == {"run"}
    assert versions == sorted(set(versions))
    assert [event.data["state"] for event in seen][-1] == "SUCCESS"
    assert [event.data["state"] for event in seen[:-1]] == ["RUNNING"] * (len(seen) - 1)
    for last in (seen[-2].id, str(versions[-2])):
        async with following(http, f"{RUNS}/{run_id}/events", last) as stream:
            assert await stream.rest() == seen[-1:]
    async with following(http, f"{RUNS}/{run_id}/events", seen[-1].id) as stream:
        assert await stream.rest() == []


async def test_a_stream_begins_at_once_for_who_has_seen_the_newest_version(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    run_id = await idle_house.start(chain(1))
    async with following(http, f"{RUNS}/{run_id}/events", "1"):
        pass
    idle_house.work()
    assert (await idle_house.finished(run_id))["state"] == "SUCCESS"


async def test_log_lines_are_told_while_the_task_runs_and_a_break_loses_and_repeats_none(idle_house: House) -> None:
    async with open_http(idle_house, after_end_s=60) as http:
        await break_and_go_on(http, idle_house)


async def break_and_go_on(http: httpx.AsyncClient, idle_house: House) -> None:
    run_id = await idle_house.start(chain(1))
    await log_to(idle_house, run_id, "one", "two")
    async with following(http, f"{RUNS}/{run_id}/events") as stream:
        first = await stream.next("log")
        assert first is not None
        assert first.id == "1.2"
        assert [line["event"] for line in first.data["items"]] == ["one", "two"]
        await log_to(idle_house, run_id, "three")
        second = await stream.next()
        assert second is not None
        assert (second.name, second.id, [line["event"] for line in second.data["items"]]) == ("log", "1.3", ["three"])
    await log_to(idle_house, run_id, "four")
    async with following(http, f"{RUNS}/{run_id}/events", second.id) as stream:
        third = await stream.next()
        assert third is not None
        assert (third.id, [line["event"] for line in third.data["items"]]) == ("1.4", ["four"])
        idle_house.work()
        ended = await stream.next("run")
        while ended is not None and ended.data["state"] != "SUCCESS":
            ended = await stream.next("run")
        # the last lines of a task may be saved after its run has ended
        await log_to(idle_house, run_id, "late")
        late = await stream.next("log")
        assert late is not None
        assert [line["event"] for line in late.data["items"]] == ["late"]
    # as `/logs` shows them, and from where the run itself says
    shown = (await http.get(f"{RUNS}/{run_id}/logs")).json()["items"]
    assert [line["event"] for line in shown] == ["one", "two", "three", "four", "late"]
    assert shown[-1] == late.data["items"][0]
    run = (await http.get(f"{RUNS}/{run_id}")).json()
    assert run["log_position"] == 5
    async with following(http, f"{RUNS}/{run_id}/events", f"{run['version']}.3") as stream:
        rest = await stream.next()
        assert rest is not None
        assert [line["event"] for line in rest.data["items"]] == ["four", "late"]


async def test_a_long_log_comes_in_portions(http: httpx.AsyncClient, idle_house: House) -> None:
    run_id = await idle_house.start(chain(1))
    await asyncio.to_thread(save_log, idle_house.database, lines(run_id, *(str(i) for i in range(450))))
    async with following(http, f"{RUNS}/{run_id}/events", "1.40") as stream:
        told = [await stream.next("log") for _ in range(3)]
    assert [event.id for event in told if event] == ["1.240", "1.440", "1.450"]
    assert [line["event"] for event in told if event for line in event.data["items"]] == [
        str(i) for i in range(40, 450)
    ]


def merge(run: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """What a client makes of a `tasks` event."""
    jobs = {job["key"]: job for job in changes["jobs"]}
    merged = []
    for job in run["jobs"]:
        changed = jobs.get(job["key"])
        if changed is not None:
            tasks = {task["key"]: task for task in changed["tasks"]}
            job = {**changed, "tasks": [tasks.get(task["key"], task) for task in job["tasks"]]}
        merged.append(job)
    return {**run, **changes, "jobs": merged}


def states(run: dict[str, Any]) -> list[str]:
    return [task["state"] for job in run["jobs"] for task in job["tasks"]]


async def test_of_a_large_run_only_what_changed_is_told(http: httpx.AsyncClient, idle_house: House) -> None:
    go, ran = asyncio.Event(), 0

    async def a_few_first(task: dict[str, Any]) -> dict[str, Any]:
        nonlocal ran
        ran += 1
        if ran > 5:
            await go.wait()
        return {"output": {"n": 1}}

    idle_house.worker.act = a_few_first
    run_id = await idle_house.start(fan_out(60))
    async with following(http, f"{RUNS}/{run_id}/events") as stream:
        first = await stream.next()
        assert first is not None
        assert first.name == "run"
        idle_house.work()
        pieced = first.data
        while states(pieced).count("SUCCESS") < 5:
            event = await stream.next()
            assert event is not None
            assert event.name == "tasks"
            assert event.data["version"] > pieced["version"]
            assert not {"input", "log_position"} & set(event.data)
            told = [task for job in event.data["jobs"] for task in job["tasks"]]
            assert 1 <= len(told) <= 5
            pieced = merge(pieced, event.data)
        # pieced together it is what the run is
        assert pieced["jobs"] == (await http.get(f"{RUNS}/{run_id}")).json()["jobs"]
        go.set()
        rest = await stream.rest()
    assert rest[-1].name == "run"
    assert {event.name for event in rest[:-1]} <= {"tasks"}
    assert rest[-1].data == (await http.get(f"{RUNS}/{run_id}")).json()
    assert rest[-1].data["state"] == "SUCCESS"


async def test_who_follows_a_large_run_from_within_gets_all_of_it_first(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    run_id = await idle_house.start(fan_out(60))
    idle_house.work()
    await idle_house.finished(run_id)
    async with following(http, f"{RUNS}/{run_id}/events", "2.0") as stream:
        [event] = await stream.rest()
    assert event.name == "run"
    assert len([task for job in event.data["jobs"] for task in job["tasks"]]) == 61


async def test_a_stream_ends_when_the_token_does_and_another_goes_on(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    run_id = await idle_house.start(chain(1))
    for path in (f"{RUNS}/{run_id}/events", f"{RUNS}/events"):
        await until(lambda path=path: ends_with_its_token(http, path), 60)
    idle_house.work()
    async with following(http, f"{RUNS}/{run_id}/events", "1.0") as stream:
        assert [event.data["state"] for event in await stream.rest()][-1] == "SUCCESS"


async def ends_with_its_token(http: httpx.AsyncClient, path: str) -> bool:
    """False: the token ended before there was a stream, on a machine that stood still."""
    async with http.stream("GET", path, headers=bearer(lasting_s=1), timeout=30) as answer:
        if answer.status_code == 401:
            return False
        stream = Stream(answer)
        if await stream.next() is None:
            return False
        assert await stream.rest() == []
        return stream.ended


async def test_a_run_that_is_removed_ends_its_stream(http: httpx.AsyncClient, idle_house: House) -> None:
    run_id = await idle_house.start(chain(1))
    idle_house.work()
    await idle_house.finished(run_id)
    async with following(http, f"{RUNS}/{run_id}/events") as stream:
        assert await stream.next() is not None
        removed = begin_purge(idle_house.database, [run_id], lambda *_: (f"e{run_id}"[:64], "events.x", b"{}"), now())
        assert removed == 1
        assert await stream.rest() == []


async def test_an_id_that_is_none_is_refused(http: httpx.AsyncClient, idle_house: House) -> None:
    run_id = await idle_house.start(chain(1))
    for last in ("", "x", "-1", "1.", ".1", "1.2.3", "1,2", "9" * 19, "1." + "9" * 19, "١"):
        headers = {"Last-Event-ID": last.encode()}
        for path in (f"{RUNS}/{run_id}/events", f"{RUNS}/events"):
            answer = await http.get(path, headers=headers)  # type: ignore[arg-type]  # bytes are sent as they are
            assert answer.status_code == 422, answer.text
            assert [each["field"] for each in answer.json()["errors"]] == ["header.Last-Event-ID"]


# --- the list --------------------------------------------------------------------------------------------------------


def is_now(run_id: str, *states: str) -> Callable[[dict[str, Any]], bool]:
    return lambda item: item["run_id"] == run_id and item["state"] in states


async def test_a_list_tells_each_run_when_it_begins_and_when_its_state_changes(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    async with following(http, f"{RUNS}/events") as stream:
        first = await stream.next()
        assert first is not None
        assert (first.name, first.data) == ("runs", {"items": []})
        run_id = await idle_house.start(chain(2))
        begun = await stream.until_run(is_now(run_id, "RUNNING"))
        assert begun == (await http.get(RUNS)).json()["items"][0]
        await http.post(f"{RUNS}/{run_id}/pause")
        await stream.until_run(is_now(run_id, "PAUSED"))
        await http.post(f"{RUNS}/{run_id}/resume")
        await stream.until_run(is_now(run_id, "RUNNING"))
        idle_house.work()
        ended = await stream.until_run(is_now(run_id, "SUCCESS"))
        assert ended == (await http.get(RUNS)).json()["items"][0]
        assert ended["version"] > begun["version"]


async def test_a_list_that_is_resumed_tells_what_was_missed_and_repeats_a_little(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    idle_house.work()
    async with following(http, f"{RUNS}/events") as stream:
        run_id = await idle_house.start(chain(1))
        last = None
        while last is None or not any(is_now(run_id, "SUCCESS")(item) for item in last.data["items"]):
            last = await stream.next("runs")
    other = await idle_house.start(chain(1))
    await idle_house.finished(other)
    async with following(http, f"{RUNS}/events", last.id) as stream:
        missed = await stream.next()
        assert missed is not None
        assert {(item["run_id"], item["state"]) for item in missed.data["items"]} >= {(other, "SUCCESS")}
        assert [item["created_at"] for item in missed.data["items"]] == sorted(
            item["created_at"] for item in missed.data["items"]
        )
    async with following(http, f"{RUNS}/events", str(now() - 3600 * 1_000_000)) as stream:
        # an hour is not told again run by run
        reset = await stream.next()
        assert reset is not None
        assert (reset.name, reset.data) == ("reset", {})
        third = await idle_house.start(chain(1))
        await stream.until_run(is_now(third, "SUCCESS"))


async def test_who_comes_when_very_much_has_changed_better_reads_the_list_again(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    async with following(http, f"{RUNS}/events") as stream:
        assert await stream.next("runs") is not None
        await asyncio.to_thread(keep_ended, idle_house.database, 501)
        told: set[str] = set()
        # who keeps up is told all of it, one after the other
        while len(told) < 501:
            event = await stream.next()
            assert event is not None
            if event.name == "reset":
                break
            told |= {item["run_id"] for item in event.data["items"]}
    async with following(http, f"{RUNS}/events") as stream:
        first = await stream.next()
        assert first is not None
        assert first.name == "reset"
    async with following(http, f"{RUNS}/events", str(now() + 60 * 1_000_000)) as stream:
        # whoever has seen all of it begins with nothing
        first = await stream.next()
        assert first is not None
        assert (first.name, first.data) == ("runs", {"items": []})


def keep_ended(database: Database, count: int) -> None:
    """Runs that ended just now, somewhere else."""
    at = now()
    row = {
        "organization_id": ORGANIZATION, "workflow_id": "chain", "workflow_version": 1, "workflow_name": "Chain",
        "state": "SUCCESS", "trigger_kind": "manual", "cause": "", "trace_id": "0" * 32, "input": "{}", "version": 3,
        "created_at": at, "started_at": at, "finished_at": at, "clock": at, "deadline": at, "duration": 0,
    }  # fmt: skip
    with database.write() as connection:
        rows = [{**row, "workflow_run_id": new_id(), "number": number} for number in range(count)]
        connection.execute(tables.workflow_run.insert(), rows)


async def test_a_silent_stream_says_that_it_is_there(idle_house: House) -> None:
    async with open_http(idle_house, beat_s=0.05) as http:
        run_id = await idle_house.start(chain(1))
        for path, last in ((f"{RUNS}/{run_id}/events", "1.0"), (f"{RUNS}/events", str(now()))):
            async with http.stream("GET", path, headers={"Last-Event-ID": last}, timeout=30) as answer:
                signs = 0
                async for line in answer.aiter_lines():
                    signs += line == ":"
                    if signs == 3:
                        break
                assert signs == 3


async def test_a_list_of_one_workflow_and_another_organisation_hear_nothing_of_other_runs(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    idle_house.work()
    async with (
        following(http, f"{RUNS}/events?workflow_id=fan") as own,
        following(http, f"{RUNS}/events", headers=bearer("org2")) as foreign,
        following(http, f"{RUNS}/events") as all_runs,
    ):
        for stream in (own, foreign, all_runs):
            event = await stream.next()
            assert event is not None
            assert event.data == {"items": []}
        other = await idle_house.start(chain(1))
        await all_runs.until_run(is_now(other, "SUCCESS"))
        mine = await idle_house.start(fan_out(2))
        while True:
            event = await own.next("runs")
            assert event is not None
            assert {item["workflow_id"] for item in event.data["items"]} == {"fan"}
            if any(is_now(mine, "SUCCESS")(item) for item in event.data["items"]):
                break
        await foreign_hears_of_its_own(idle_house, foreign)


async def foreign_hears_of_its_own(house: House, foreign: Stream) -> None:
    """The first that another organisation is told of is a run of its own."""
    await house.start(replace(chain(1), organization_id="org2", workflow_id="theirs"))
    event = await foreign.next("runs")
    assert event is not None
    assert [item["workflow_id"] for item in event.data["items"]] == ["theirs"]


# --- whose session ends ----------------------------------------------------------------------------------------------


async def test_all_streams_of_an_ended_session_end_and_those_of_others_go_on(
    http: httpx.AsyncClient, idle_house: House
) -> None:
    run_id = await idle_house.start(chain(1))
    people, other = idle_house.definitions.people, bearer(session_id="session-2")
    async with (
        following(http, f"{RUNS}/{run_id}/events") as one_run,
        following(http, f"{RUNS}/events") as all_runs,
        following(http, f"{RUNS}/{run_id}/events", headers=other) as stays,
    ):
        for stream in (one_run, all_runs, stays):
            assert await stream.next() is not None
        await until(lambda: [("session-1", 1), ("session-2", 1)] in people.asked)
        people.ended.add("session-1")
        assert (await one_run.rest(), await all_runs.rest()) == ([], [])
        idle_house.work()
        last = (await stays.rest())[-1]
    assert last.data["state"] == "SUCCESS"


async def test_a_session_that_nobody_can_vouch_for_counts_as_ended(http: httpx.AsyncClient, idle_house: House) -> None:
    run_id = await idle_house.start(chain(1))
    people = idle_house.definitions.people
    people.away = True
    async with following(http, f"{RUNS}/{run_id}/events") as stream, following(http, f"{RUNS}/events") as all_runs:
        assert [event.name for event in await stream.rest()] == ["run"]
        assert [event.name for event in await all_runs.rest()] == ["runs"]
    people.away = False
    async with following(http, f"{RUNS}/{run_id}/events", "1.0") as stream:
        # it was vouched for twice: the first answer may have been on its way
        await until(lambda: len(people.asked) > 1)
        idle_house.work()
        assert (await stream.rest())[-1].data["state"] == "SUCCESS"


# --- several replicas ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def two_replicas(
    empty_schema: Callable[[str], str], nats_url: str, definitions: tuple[Definitions, str], **live_settings: float
) -> AsyncIterator[tuple[House, httpx.AsyncClient]]:
    """One that commits and one that is followed at, on one MariaDB."""
    address = empty_schema("mariadb")
    here, there = Database(address), Database(address)
    async with (
        open_house(here, nats_url, definitions) as committing,
        open_house(there, nats_url, definitions) as followed,
        open_http(committing, **live_settings),
        open_http(followed, **live_settings) as client,
    ):
        yield committing, client
    here.close()
    there.close()


async def test_what_one_replica_commits_a_stream_at_another_tells(
    empty_schema: Callable[[str], str], nats_url: str, definitions: tuple[Definitions, str], anyio_backend: str
) -> None:
    async with (
        two_replicas(empty_schema, nats_url, definitions) as (committing, client),
        following(client, f"{RUNS}/events") as runs,
    ):
        await runs.next()
        run_id = await committing.start(chain(2))
        await runs.until_run(is_now(run_id, "RUNNING"))
        async with following(client, f"{RUNS}/{run_id}/events") as one:
            first = await one.next()
            assert first is not None
            assert first.data["state"] == "RUNNING"
            await asyncio.to_thread(save_log, committing.database, lines(run_id, "said there"))
            log = await one.next("log")
            assert log is not None
            assert [line["event"] for line in log.data["items"]] == ["said there"]
            committing.work()
            told = await one.rest()
            assert [event.data["state"] for event in told if event.name == "run"][-1] == "SUCCESS"
        await runs.until_run(is_now(run_id, "SUCCESS"))


async def test_what_no_message_tells_is_found_by_looking(
    empty_schema: Callable[[str], str],
    nats_url: str,
    definitions: tuple[Definitions, str],
    anyio_backend: str,
) -> None:
    """Nobody believes that anything is followed elsewhere: as if every message between the replicas were lost."""
    async with (
        two_replicas(empty_schema, nats_url, definitions, interest_s=-1.0) as (committing, client),
        following(client, f"{RUNS}/events") as runs,
    ):
        await runs.next()
        run_id = await committing.start(chain(1))
        await runs.until_run(is_now(run_id, "RUNNING"))
        async with following(client, f"{RUNS}/{run_id}/events") as one:
            assert await one.next() is not None
            await committing.execution.send(run_id, Pause(now()))
            paused = await one.next("run")
            assert paused is not None
            assert paused.data["state"] == "PAUSED"
        await runs.until_run(is_now(run_id, "PAUSED"))
