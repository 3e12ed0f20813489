"""Statistics of runs, on SQLite and MariaDB: what Python makes of the same rows, day by day in a time zone."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from history_house import DAY, HOUR, T0, Row, ids, keep, run_row, summed, task_row

from execution_service.domain.run import RunState
from kit.database import Database, to_micros


def rank(values: Sequence[int], wanted: float) -> float | None:
    """The nearest rank, as its textbook says it; in milliseconds."""
    return sorted(values)[math.ceil(wanted * len(values)) - 1] / 1000 if values else None


def test_nothing_adds_up_to_nothing(database: Database) -> None:
    keep(database, run_row(organization_id="org2"), run_row(created_at=T0 - 1), run_row(created_at=T0 + 2 * DAY))
    found = summed(database, T0, T0 + 2 * DAY)
    assert (found["total"], found["success_rate"], found["workflows"], found["task_types"]) == (0, None, [], [])
    assert set(found["states"]) == set(RunState)
    assert [each["day"] for each in found["days"]] == ["2026-03-01", "2026-03-02"]
    assert {each["duration_ms_p50"] for each in found["days"]} == {None}
    assert not found["truncated"]
    assert (found["created_from"], found["counted_from"]) == ("2026-03-01T00:00:00.000Z",) * 2


def test_one_run_is_its_own_percentiles(database: Database) -> None:
    row = run_row(finished_at=T0 + 1500)
    keep(database, row, task_row(row, 0, finished_at=T0 + 700))
    found = summed(database, T0, T0 + 1)
    assert (found["total"], found["success_rate"], found["states"]["SUCCESS"]) == (1, 1.0, 1)
    for each in (*found["workflows"], *found["days"]):
        assert (each["total"], each["duration_ms_p50"], each["duration_ms_p95"]) == (1, 1.5, 1.5)
    [of_type] = found["task_types"]
    assert (of_type["type"], of_type["total"], of_type["ran_ms_p50"], of_type["ran_ms_p95"]) == ("http", 1, 0.7, 0.7)


@pytest.mark.parametrize("count", [1, 2, 19, 20, 21, 100])
def test_percentiles_are_the_nearest_rank(database: Database, count: int) -> None:
    took = random.Random(count).sample(range(1, 10**6), count)
    rows = [run_row(finished_at=T0 + each) for each in took]
    keep(database, *rows, run_row(state="RUNNING"))
    [found] = summed(database, T0, T0 + DAY)["workflows"]
    assert (found["duration_ms_p50"], found["duration_ms_p95"]) == (rank(took, 0.5), rank(took, 0.95))


@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul", "America/New_York", "Australia/Lord_Howe"])
def test_statistics_are_what_python_makes_of_the_same_rows(database: Database, zone: str) -> None:
    """Over both days on which New York's clocks are turned, and Lord Howe's, by half an hour."""
    rng, tz = random.Random(zone), ZoneInfo(zone)
    begin, end = to_micros(datetime(2026, 3, 6, 7, 30, tzinfo=UTC)), to_micros(datetime(2026, 11, 3, 5, tzinfo=UTC))
    moments = ((3, 8, 7), (11, 1, 6), (4, 4, 15), (10, 3, 15, 30))
    turned = [to_micros(datetime(2026, *moment, tzinfo=UTC)) for moment in moments]
    rows, tasks = [], []
    for number in range(400):
        created_at = rng.randrange(begin - DAY, end + DAY)
        if number % 2:
            created_at = rng.choice(turned) + rng.randrange(-12, 12) * HOUR
        state = rng.choice(["SUCCESS"] * 5 + list(RunState))
        ended = RunState(state).terminal
        workflow_id = rng.choice("abc")
        row = run_row(
            created_at=created_at, state=state, workflow_id=workflow_id, workflow_name=f"{workflow_id}{number}",
            finished_at=created_at + rng.randrange(1000) * 1000 if ended else None,
        )  # fmt: skip
        rows.append(row)
        for position in range(rng.randrange(3)):
            ran = rng.choice([None, rng.randrange(10**6)])
            tasks.append(
                task_row(
                    row, position, type=rng.choice(["http", "mail"]), started_at=None if ran is None else T0,
                    state=rng.choice(["SUCCESS", "FAILED", "SKIPPED", "RUNNING", "UPSTREAM_FAILED"]),
                    finished_at=None if ran is None else T0 + ran,
                )
            )  # fmt: skip
    keep(database, *rows, *tasks)
    mine = [row for row in rows if begin <= row["created_at"] < end]
    found = summed(database, begin, end, tz)

    def of(rows: Sequence[Row]) -> Row:
        states = {str(state): sum(row["state"] == state for row in rows) for state in RunState}
        ended = states["SUCCESS"] + states["FAILED"]
        took = [row["duration"] for row in rows if row["duration"] is not None]
        return {
            "total": len(rows), "states": states, "success_rate": states["SUCCESS"] / ended if ended else None,
            "duration_ms_p50": rank(took, 0.5), "duration_ms_p95": rank(took, 0.95),
        }  # fmt: skip

    def day(row: Row) -> str:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["created_at"])
        return moment.astimezone(tz).date().isoformat()

    assert {name: found[name] for name in ("total", "states", "success_rate")} == {
        name: value for name, value in of(mine).items() if not name.startswith("duration")
    }
    first = datetime.fromisoformat(day({"created_at": begin}))
    days = [(first + timedelta(n)).date().isoformat() for n in range(400)]
    days = days[: days.index(day({"created_at": end - 1})) + 1]
    assert found["days"] == [{"day": each, **of([row for row in mine if day(row) == each])} for each in days]
    newest = {row["workflow_id"]: row["workflow_name"] for row in mine}
    by_workflow = [
        {"workflow_id": name, "workflow_name": newest[name], **of([row for row in mine if row["workflow_id"] == name])}
        for name in newest
    ]
    assert found["workflows"] == sorted(by_workflow, key=lambda each: (-each["total"], each["workflow_id"]))
    shown = {row["workflow_run_id"] for row in mine}
    for each in found["task_types"]:
        own = [row for row in tasks if row["type"] == each["type"] and row["workflow_run_id"] in shown]
        ran = [row["finished_at"] - row["started_at"] for row in own if row["finished_at"] is not None]
        counted = {state: sum(row["state"] == state for row in own) for state in each["states"]}
        ended = counted["SUCCESS"] + counted["FAILED"] + counted["UPSTREAM_FAILED"]
        assert each == {
            "type": each["type"], "total": len(own), "states": counted, "success_rate": counted["SUCCESS"] / ended,
            "ran_ms_p50": rank(ran, 0.5), "ran_ms_p95": rank(ran, 0.95),
        }  # fmt: skip
    assert len(found["task_types"]) == 2
    assert not found["truncated"]
    alone = summed(database, begin, end, tz, workflow_id="a")
    assert [each for each in found["workflows"] if each["workflow_id"] == "a"] == alone["workflows"]
    assert alone["total"] == alone["workflows"][0]["total"]


def test_of_too_many_the_newest_are_counted_and_it_is_said(database: Database) -> None:
    rows = [run_row(created_at=T0 + n * HOUR) for n in range(30)]
    keep(database, *rows, *(task_row(row, position) for row in rows for position in range(2)))
    whole = summed(database, T0, T0 + 2 * DAY, most_runs=30, most_task_runs=60)
    assert (whole["total"], whole["task_types"][0]["total"], whole["truncated"]) == (30, 60, False)
    runs = summed(database, T0, T0 + 2 * DAY, most_runs=29)
    assert (runs["total"], runs["task_types"][0]["total"], runs["truncated"]) == (29, 58, True)
    assert runs["counted_from"] == "2026-03-01T00:00:00.000Z"  # a microsecond later
    assert runs["created_from"] == "2026-03-01T00:00:00.000Z"
    few = summed(database, T0, T0 + 2 * DAY, most_runs=3)
    assert (few["total"], few["counted_from"]) == (3, "2026-03-02T02:00:00.000Z")
    assert [each["day"] for each in few["days"]] == ["2026-03-02"]
    tasks = summed(database, T0, T0 + 2 * DAY, most_task_runs=59)
    assert (tasks["total"], tasks["task_types"][0]["total"], tasks["truncated"]) == (30, 59, True)
    [one] = summed(database, T0, T0 + 2 * DAY, workflow_id="flow", most_runs=7)["workflows"]
    assert one["total"] == 7


def test_runs_of_the_same_moment_are_left_out_together(database: Database) -> None:
    keep(database, *(run_row() for _ in range(4)), run_row(created_at=T0 + 1))
    found = summed(database, T0, T0 + DAY, most_runs=3)
    assert (found["total"], found["truncated"]) == (1, True)


def test_the_fifty_workflows_that_ran_most_are_told_of(database: Database) -> None:
    keep(database, *(run_row(workflow_id=f"w{n:02}") for n in range(60) for _ in range(1 + (n == 59))))
    found = summed(database, T0, T0 + 1)
    assert ids(found["workflows"], "workflow_id") == ["w59", *(f"w{n:02}" for n in range(49))]
    assert found["total"] == 61
