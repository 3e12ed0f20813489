"""How the history of runs is read, on SQLite and MariaDB: from which index each list, search and sum comes."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from engine_house import ORGANIZATION
from history_house import DAY, T0, keep, run_row, summed

from execution_service.domain.run import RunState
from execution_service.storage import history, live, tables
from execution_service.storage.history import RUN_SORTS, RunFilter, list_runs
from kit.database import Database


@pytest.fixture
def many(database: Database) -> Database:
    """Enough rows for a planner to prefer an index, and statistics to know it by."""
    rng = random.Random(3)
    for _ in range(4):
        keep(
            database,
            *(
                run_row(
                    created_at=T0 + rng.randrange(30) * DAY, workflow_id=f"w{rng.randrange(20)}",
                    state=rng.choice(["SUCCESS"] * 20 + ["FAILED", "RUNNING"]),
                )
                for _ in range(500)
            ),
        )  # fmt: skip
    if not database.sqlite:
        with database.write() as connection:
            connection.exec_driver_sql("ANALYZE TABLE workflow_run")
    return database


def plans(database: Database, ask: Callable[[], Any]) -> Iterator[list[str]]:
    """How the database goes about each statement of `ask`, as lines: `index` or `scan`, `sort`, with what it says."""
    asked: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    sa.event.listen(database.engine, "before_cursor_execute", note)
    ask()
    sa.event.remove(database.engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if database.sqlite else "EXPLAIN "
    with database.read() as connection:
        for statement, parameters in asked:
            rows = connection.exec_driver_sql(explain + statement, parameters).mappings().all()
            yield [
                str(row["detail"]) if database.sqlite else f"{row['table']} {row['type']} {row['key']} {row['Extra']}"
                for row in rows
            ]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (RunFilter(), "ix_workflow_run_created"),
        (RunFilter(created_from=T0 + DAY, created_to=T0 + 3 * DAY), "ix_workflow_run_created"),
        (RunFilter(trigger="event"), "ix_workflow_run_created"),
        (RunFilter(workflow_id="w1"), "ix_workflow_run_workflow"),
        (RunFilter(workflow_id="w1", states=(RunState.FAILED,)), "ix_workflow_run_workflow"),
        (RunFilter(workflow_id="w1", created_from=T0 + DAY), "ix_workflow_run_workflow"),
        (RunFilter(states=(RunState.FAILED,)), "ix_workflow_run_state"),
        (RunFilter(states=(RunState.FAILED,), created_to=T0 + DAY), "ix_workflow_run_state"),
    ],
)
@pytest.mark.parametrize("sort", ["-created_at", "created_at"])
def test_a_list_is_read_from_one_index_alone_in_its_order(
    many: Database, wanted: RunFilter, index: str, sort: str
) -> None:
    for plan in plans(many, lambda: two_pages(many, wanted, sort)):
        held_to_an_index(plan, index, sorts=0)


@pytest.mark.parametrize("sort", ["-finished_at", "finished_at", "-duration", "duration"])
@pytest.mark.parametrize("wanted", [RunFilter(), RunFilter(workflow_id="w1", states=(RunState.FAILED,))])
def test_the_other_sorts_have_their_index_too(many: Database, wanted: RunFilter, sort: str) -> None:
    index = "ix_workflow_run_duration" if "duration" in sort else "ix_workflow_run_finished"
    for plan in plans(many, lambda: two_pages(many, wanted, sort)):
        # what has ended and what has not are put together: as many as a page of each
        held_to_an_index(plan, index, sorts=2)


def test_a_workflows_open_runs_are_looked_for_among_the_open_ones(many: Database) -> None:
    wanted = RunFilter(workflow_id="w1", states=(RunState.RUNNING, RunState.PAUSED))
    for plan in plans(many, lambda: list_runs(many, ORGANIZATION, wanted)):
        # SQLite cannot be told so, and reads the workflow's own index
        index, other = ("workflow", "state") if many.sqlite else ("state", "workflow")
        assert any(f"ix_workflow_run_{index}" in line for line in plan), plan
        assert not [line for line in plan if f"ix_workflow_run_{other}" in line or reads_all(line)], plan


@pytest.mark.parametrize("sort", RUN_SORTS)
def test_a_text_is_looked_for_in_so_many_runs_and_no_more(many: Database, sort: str) -> None:
    for wanted in (RunFilter(text="nowhere"), RunFilter(text="nowhere", workflow_id="w1")):
        for plan in plans(many, lambda wanted=wanted: list_runs(many, ORGANIZATION, wanted, sort=sort)):
            assert not [line for line in plan if reads_all(line)], plan


def test_what_an_id_names_is_found_by_keys(many: Database) -> None:
    [known], _ = list_runs(many, ORGANIZATION, limit=1)
    for text in (known["run_id"], f"{known['run_id']}-0"):
        for plan in plans(many, lambda text=text: list_runs(many, ORGANIZATION, RunFilter(text=text))):
            assert not [line for line in plan if reads_all(line)], plan


def test_several_states_are_each_read_in_order(many: Database) -> None:
    wanted = RunFilter(states=(RunState.FAILED, RunState.RUNNING))
    for plan in plans(many, lambda: list_runs(many, ORGANIZATION, wanted)):
        held_to_an_index(plan, "ix_workflow_run_state", sorts=2)


def test_statistics_read_runs_from_one_index_alone(many: Database) -> None:
    for workflow_id, index in ((None, "ix_workflow_run_created"), ("w1", "ix_workflow_run_workflow")):
        found = list(plans(many, partial(summed, many, T0, T0 + 3 * DAY, workflow_id=workflow_id)))
        assert len(found) >= 4
        assert sum(index in line for plan in found for line in plan) >= 4
        assert not [line for plan in found for line in plan if reads_all(line)]


def test_what_streams_ask_again_and_again_reads_a_range_or_keys_however_long_the_history_is(many: Database) -> None:
    keys = [each["run_id"] for each in list_runs(many, ORGANIZATION, limit=20)[0]]
    late = T0 + 30 * DAY - 1
    asked = {
        "ix_workflow_run_state": [partial(live.open_states, many, ORGANIZATION)],
        "ix_workflow_run_finished": [partial(live.ended_states, many, ORGANIZATION, late, 100)],
        "": [
            partial(live.stirred_runs, many, ORGANIZATION, late, 100),
            partial(live.read_heads, many, keys),
            partial(history.read_summaries, many, ORGANIZATION, keys),
        ],
    }
    for index, questions in asked.items():
        for ask in questions:
            [plan] = plans(many, ask)
            assert not [line for line in plan if reads_all(line)], plan
            if index:
                held_to_an_index(plan, index, sorts=0)
    [by_key] = plans(many, lambda: history.read_summaries(many, ORGANIZATION, keys))
    assert "sqlite_autoindex_workflow_run_1" in by_key[0] or "PRIMARY" in by_key[0], by_key


def two_pages(database: Database, wanted: RunFilter, sort: str) -> None:
    _, cursor = list_runs(database, ORGANIZATION, wanted, sort=sort, limit=3)
    if cursor is not None:
        list_runs(database, ORGANIZATION, wanted, sort=sort, cursor=cursor, limit=3)


def reads_all(line: str) -> bool:
    """Whether a line of a plan says that all runs, or all tasks, are looked at."""
    parts = ("SCAN workflow_run", "SCAN task_run", "workflow_run ALL", "task_run ALL", "workflow_run index")
    return line.startswith(parts)


def held_to_an_index(plan: list[str], index: str, *, sorts: int) -> None:
    told = "\n".join(plan)
    assert index in told, told
    assert not [line for line in plan if reads_all(line)], told
    # rows are read by their id, ids from the index alone
    assert all("COVERING" in line or "Using index" in line for line in plan if index in line), told
    others = set(tables.workflow_run.indexes) - {each for each in tables.workflow_run.indexes if each.name == index}
    assert not [each.name for each in others if str(each.name) in told], told
    assert told.count("FOR ORDER BY") + told.count("filesort") <= sorts, told
