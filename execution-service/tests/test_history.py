"""What people read of runs, on SQLite and MariaDB: lists by every filter and sort, page by page, and times."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pymysql
import pytest
from alembic import command
from alembic.config import Config
from domain_house import job, task, workflow
from engine_house import ORGANIZATION, chain, new_run
from history_house import HOUR, SECOND, T0, Row, ids, keep, run_row, task_row, walk

from execution_service import migrations
from execution_service.domain.decide import decide
from execution_service.domain.definition import Backoff, Retry
from execution_service.domain.events import Begin, Cancel, Event, Finished, Started, Tick
from execution_service.domain.run import Failure, Run, RunState
from execution_service.rest_history import RunSummary
from execution_service.storage import history, tables
from execution_service.storage import runs as stored
from execution_service.storage.commit import RunWrite, commit
from execution_service.storage.history import RUN_SORTS, RunFilter, list_runs
from kit.database import Database
from kit.errors import Invalid
from kit.ids import new_id

# --- lists -----------------------------------------------------------------------------------------------------------


def town(seed: int, count: int = 60) -> list[Row]:
    """Runs of every state, many of the same times, and some of another organisation."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        created_at = T0 + rng.randrange(12) * SECOND
        rows.append(
            run_row(
                organization_id=rng.choice([ORGANIZATION] * 5 + ["org2"]),
                workflow_id=rng.choice(["one", "two"]),
                state=rng.choice([*RunState, "SUCCESS", "SUCCESS"]),
                trigger_kind=rng.choice(["manual", "schedule"]),
                number=number,
                created_at=created_at,
            )
        )
    for row in rows:
        if row["finished_at"] is not None:
            row["duration"] = rng.randrange(5) * SECOND
            row["finished_at"] = row["created_at"] + row["duration"]
    return rows


def expected(rows: Sequence[Row], wanted: RunFilter, sort: str) -> list[str]:
    key, backwards = sort.removeprefix("-"), sort.startswith("-")
    found = [
        row
        for row in rows
        if row["organization_id"] == ORGANIZATION
        and wanted.workflow_id in (None, row["workflow_id"])
        and (not wanted.states or row["state"] in wanted.states)
        and wanted.trigger in (None, row["trigger_kind"])
        and (wanted.created_from is None or row["created_at"] >= wanted.created_from)
        and (wanted.created_to is None or row["created_at"] < wanted.created_to)
    ]
    ended = sorted(
        (row for row in found if row[key] is not None),
        key=lambda row: (row[key], row["workflow_run_id"]),
        reverse=backwards,
    )
    unfinished = sorted((row for row in found if row[key] is None), key=lambda row: row["workflow_run_id"])
    return ids(ended + (unfinished[::-1] if backwards else unfinished), "workflow_run_id")


FILTERS = {
    "all": RunFilter(),
    "a workflow": RunFilter(workflow_id="one"),
    "a state": RunFilter(states=(RunState.SUCCESS,)),
    "an open state": RunFilter(states=(RunState.PAUSED,)),
    "several states": RunFilter(states=(RunState.FAILED, RunState.RUNNING, RunState.PENDING, RunState.FAILED)),
    "a workflow's states": RunFilter(workflow_id="two", states=(RunState.SUCCESS, RunState.RUNNING)),
    "every state": RunFilter(states=tuple(RunState)),
    "a trigger": RunFilter(trigger="schedule"),
    "a range": RunFilter(created_from=T0 + 3 * SECOND, created_to=T0 + 8 * SECOND),
    "from then on": RunFilter(created_from=T0 + 11 * SECOND),
    "all at once": RunFilter(
        "one", (RunState.SUCCESS, RunState.CANCELLED), "manual", T0 + 1 * SECOND, T0 + 11 * SECOND, "flow"
    ),
    "nothing": RunFilter(workflow_id="three"),
}


@pytest.mark.parametrize("sort", RUN_SORTS)
def test_every_filter_in_every_sort_page_by_page_is_what_python_makes_of_the_same_rows(
    database: Database, sort: str
) -> None:
    rows = town(seed=RUN_SORTS.index(sort))
    keep(database, *rows)
    for name, wanted in FILTERS.items():
        found = ids(walk(database, wanted, sort))
        assert found == expected(rows, wanted, sort), (name, sort)
    assert len(ids(walk(database))) > 40


@pytest.mark.parametrize("sort", RUN_SORTS)
def test_a_page_that_takes_all_there_is_has_no_next(database: Database, sort: str) -> None:
    assert list_runs(database, ORGANIZATION, sort=sort) == ([], None)
    keep(database, run_row())
    for limit in (1, 2):
        [only], cursor = list_runs(database, ORGANIZATION, sort=sort, limit=limit)
        assert cursor is None
    keep(database, run_row(state="RUNNING"))
    for limit in (1, 2, 3):
        assert len(walk(database, sort=sort, limit=limit)) == 2
    assert list_runs(database, "org2", sort=sort) == ([], None)
    RunSummary.model_validate_json(orjson.dumps(only))


@pytest.mark.parametrize("sort", RUN_SORTS)
def test_runs_that_come_while_pages_are_turned_neither_hide_nor_repeat_others(database: Database, sort: str) -> None:
    rows = town(seed=100)
    keep(database, *rows)
    mine = expected(rows, RunFilter(), sort)
    rng = random.Random(7)
    found: list[str] = []
    cursor = None
    while True:
        page, cursor = list_runs(database, ORGANIZATION, sort=sort, cursor=cursor, limit=4)
        found += ids(page)
        if cursor is None:
            break
        # before, between and after what was shown
        moment = T0 + rng.randrange(-2, 14) * SECOND
        keep(database, run_row(created_at=moment), run_row(created_at=moment, state="RUNNING"))
        assert len(found) < 500
    assert len(found) == len(set(found))
    assert [run_id for run_id in found if run_id in set(mine)] == mine


def test_a_cursor_belongs_to_its_sort(database: Database) -> None:
    keep(database, *(run_row(created_at=T0 + n) for n in range(3)))
    for sort in RUN_SORTS:
        _, cursor = list_runs(database, ORGANIZATION, sort=sort, limit=1)
        for other in RUN_SORTS:
            if other != sort:
                with pytest.raises(Invalid) as refused:
                    list_runs(database, ORGANIZATION, sort=other, cursor=cursor)
                [field] = refused.value.fields
                assert (field.field, field.code) == ("query.cursor", "cursor_of_another_sort")


@pytest.mark.parametrize("cursor", ["", "!", "nonsense", history.encode_cursor("an id, as cursors were")])
def test_what_is_no_cursor_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        list_runs(database, ORGANIZATION, cursor=cursor)
    assert [field.field for field in refused.value.fields] == ["query.cursor"]


def test_text_is_looked_for_literally_and_whatever_its_case(database: Database) -> None:
    rows = {
        "percent": run_row(workflow_name="50% of 100", number=7),
        "under": run_row(workflow_name="snake_case", number=17),
        "slash": run_row(workflow_name=r"back\slash!", number=70),
        "korean": run_row(workflow_name="블로그 발행", cause="schedule:NIGHTLY", number=8),
        "traced": run_row(trace_id="ab" * 16, number=9),
    }
    keep(database, *rows.values())
    names = {row["workflow_run_id"]: name for name, row in rows.items()}

    def found(text: str) -> set[str]:
        return {names[each["run_id"]] for each in walk(database, RunFilter(text=text))}

    assert found("%") == {"percent"}
    assert found("_") == {"under"}
    assert found("!") == found("\\") == {"slash"}
    assert found("SNAKE_") == {"under"}
    assert found("로그") == {"korean"}
    assert found("Nightly") == {"korean"}
    assert found("7") == found("#7") | {"under"}
    assert found("#7") == {"percent", "slash"}
    assert found("user-1") == set(rows) - {"korean"}
    assert found(rows["under"]["workflow_run_id"].upper()) == {"under"}
    assert found(rows["under"]["workflow_run_id"][1:]) == set()
    assert found("AB" * 16) == {"traced"}
    assert found("ab" * 15) == set()
    assert found("' OR '1'='1") == found("\U0001f600") == set()
    assert [each["number"] for each in walk(database, RunFilter(text="7", workflow_id="flow"), "created_at", 1)] == [
        *(7, 17, 70),
    ]


@pytest.mark.parametrize("sort", RUN_SORTS)
def test_a_search_goes_on_behind_what_it_looked_through(database: Database, sort: str) -> None:
    rows = town(5)
    for row in rows:
        row["workflow_name"] = "needle" if row["number"] % 7 == 0 else "hay"
    keep(database, *rows)
    for wanted in (RunFilter(), RunFilter(states=(RunState.SUCCESS, RunState.RUNNING, RunState.PAUSED))):
        found: list[str] = []
        pages, cursor = 0, None
        while pages == 0 or cursor is not None:
            page, cursor = list_runs(
                database,
                ORGANIZATION,
                replace(wanted, text="NEEDLE"),
                sort=sort,
                cursor=cursor,
                limit=2,
                look_through=5,
            )
            found, pages = found + ids(page), pages + 1
        named = [row for row in rows if row["workflow_name"] == "needle"]
        assert found == expected(named, wanted, sort)
        # every page looked at five runs or ended with its second find
        assert pages >= len(expected(rows, wanted, sort)) / 5


def test_who_has_an_id_is_found_however_many_are_newer_and_with_it_what_its_tasks_started(database: Database) -> None:
    parent = run_row(created_at=T0, number=1)
    name = parent["workflow_run_id"]
    children = [
        run_row(parent=f"{name}-{task}.{attempt}", created_at=T0 + SECOND + attempt, state=state)
        for task, attempt, state in ((3, 1, "FAILED"), (3, 2, "RUNNING"), (31, 1, "SUCCESS"))
    ]
    keep(database, parent, *children, *(run_row(created_at=T0 + HOUR) for _ in range(20)))
    first, second, other = ids(children, "workflow_run_id")

    def found(text: str, sort: str = "-created_at", **said: Any) -> list[str]:
        listed: list[str] = []
        cursor = None
        while not listed or cursor is not None:
            page, cursor = list_runs(
                database, ORGANIZATION, RunFilter(text=text, **said), sort=sort, cursor=cursor, limit=1, look_through=5
            )
            listed += ids(page)
        return listed

    assert found(name) == found(name.upper()) == [second, *sorted([first, other], reverse=True), name]
    assert found(name, "created_at")[0] == name
    assert found(name, "-finished_at")[-1] == second
    assert found(name, states=(RunState.FAILED,)) == [first]
    assert found(f"{name}-3") == [second, first]
    assert found(f"{name}-31") == [other]
    assert list_runs(database, "org2", RunFilter(text=name)) == ([], None)


# --- times -----------------------------------------------------------------------------------------------------------


def told(database: Database, run: Run, *events: Event) -> None:
    for event in events:
        changes = decide(run, event).changes
        run.apply(changes)
        commit(database, [RunWrite(run, changes, new=isinstance(event, Begin))])
        run.version += 1


def begun(database: Database, run: Run, at: int = T0 + SECOND) -> Run:
    """Accepted at T0, it began at `at`."""
    run = Run(replace(run.facts, created_at=T0), run.plan, run.input)
    stored.save_definition(database, run.plan.definition)
    told(database, run, Begin(at))
    return run


def times(database: Database, run: Run) -> tuple[Any, ...]:
    shown = next(each for each in walk(database) if each["run_id"] == run.facts.run_id)
    return shown["waited_ms"], shown["ran_ms"], shown["duration_ms"]


def done_at(at: int, index: int, started_at: int, **said: Any) -> Finished:
    said = {"output": b"1"} | said
    return Finished(at, index, said.pop("attempt", 1), **said, started_at=started_at, finished_at=at)


def test_a_run_waits_until_its_first_task_starts_whichever_is_told_of_first(database: Database) -> None:
    run = begun(database, new_run(workflow(job("main", task("a"), task("b")))))
    assert times(database, run) == (None, None, None)
    # the second started later and ended before
    told(database, run, done_at(T0 + 6 * SECOND, 1, T0 + 5 * SECOND))
    assert times(database, run) == (5000, None, None)
    told(database, run, done_at(T0 + 9 * SECOND, 0, T0 + 3 * SECOND))
    assert run.head.state is RunState.SUCCESS
    assert times(database, run) == (3000, 6000, 8000)
    [only] = history.read_run(database, ORGANIZATION, run.facts.run_id, lambda *_: run.plan)["jobs"]
    assert [(each["waited_ms"], each["ran_ms"]) for each in only["tasks"]] == [(2000, 6000), (4000, 1000)]


def test_the_first_attempt_ends_the_wait_though_another_runs_later(database: Database) -> None:
    run = begun(database, new_run(chain(1, retry=Retry(2, Backoff.FIXED, 1))))
    told(
        database,
        run,
        Started(T0 + 3 * SECOND, 0, 1, "w", T0 + 2 * SECOND, 1, 60.0),
        done_at(T0 + 4 * SECOND, 0, T0 + 2 * SECOND, output=None, failure=Failure("broken", "", True), worker="w1"),
    )
    waiting = history.read_io(database, ORGANIZATION, run.task_run_id(0))
    assert [each["attempt"] for each in waiting["attempts"]] == [1]
    told(
        database,
        run,
        Tick(T0 + 10 * SECOND),
        done_at(T0 + 20 * SECOND, 0, T0 + 15 * SECOND, attempt=2),
    )
    assert times(database, run) == (2000, 18_000, 19_000)
    shown = history.read_io(database, ORGANIZATION, run.task_run_id(0))
    assert [(each["worker"], each["error"]["code"]) for each in shown["failed_attempts"]] == [("w1", "broken")]
    assert [(each["state"], each["waited_ms"], each["ran_ms"], each["worker"]) for each in shown["attempts"]] == [
        *(("FAILED", 1000, 2000, "w1"), ("SUCCESS", 5000, 5000, None)),
    ]


def test_a_run_whose_tasks_never_started_has_only_waited(database: Database) -> None:
    run = begun(database, new_run(chain(2)))
    told(database, run, Cancel(T0 + 4 * SECOND))
    assert run.head.state is RunState.CANCELLED
    assert times(database, run) == (4000, None, 3000)
    broken = begun(database, new_run(chain(2)))
    stored.fail_unreadable(database, broken.facts.run_id, Failure("internal"), T0 + 8 * SECOND)
    assert times(database, broken) == (8000, None, 7000)
    assert ids(walk(database, sort="duration")) == [run.facts.run_id, broken.facts.run_id]


# --- how it came to be -----------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "mariadb"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database in which nothing was ever made."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'bare.db'}")
        yield database
        database.close()
        return
    port = request.getfixturevalue("mariadb_port")
    if port is None:
        pytest.skip("no MariaDB: see NOT COVERED")
    name = f"fwtest_bare_{new_id()}"
    database = Database(f"mysql+pymysql://root@127.0.0.1:{port}/{name}?charset=utf8mb4")
    yield database
    database.close()
    with pymysql.connect(host="127.0.0.1", port=port, user="root") as connection:
        connection.cursor().execute(f"DROP DATABASE `{name}`")


def test_runs_that_were_there_before_have_their_times(bare: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))

    def upgrade(revision: str) -> None:
        with bare.engine.connect() as connection:
            connection = connection.execution_options(kit_write=True)
            with connection.begin():
                config.attributes["connection"] = connection
                command.upgrade(config, revision)

    upgrade("0002")
    retried, never, running = run_row(), run_row(), run_row(state="RUNNING")
    retried |= {"started_at": T0 + 1, "finished_at": T0 + 9}
    tasks = [task_row(retried, 0, started_at=T0 + 5), task_row(retried, 1, started_at=T0 + 6)]
    tasks.append(task_row(running, 0, started_at=T0 + 3))
    attempt = {
        "task_attempt_id": "a", "task_run_id": "t", "workflow_run_id": retried["workflow_run_id"], "attempt": 1,
        "organization_id": ORGANIZATION, "started_at": T0 + 2,
    }  # fmt: skip
    older = [
        {name: value for name, value in row.items() if name not in ("first_task_at", "duration")}
        for row in (retried, never, running)
    ]
    keep(bare, *older, *tasks)
    with bare.write() as connection:
        connection.execute(tables.task_attempt.insert(), [attempt])
    upgrade("head")
    found = {each["run_id"]: (each["waited_ms"], each["ran_ms"], each["duration_ms"]) for each in walk(bare)}
    assert found == {
        retried["workflow_run_id"]: (0.002, 0.007, 0.008),
        never["workflow_run_id"]: (1000, None, 1000),
        running["workflow_run_id"]: (0.003, None, None),
    }
