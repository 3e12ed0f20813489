"""Statements, on SQLite and on MariaDB: whose schedule it is, who wins a race, what one commit holds."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from kit import database as kit_database
from kit.errors import Invalid, Outdated
from kit.ids import new_id
from scheduler_service import migrations
from scheduler_service.domain.schedule import Due, FiringState, Schedule, ScheduleId, Timetable
from scheduler_service.storage import ScheduleNotFound, Storage, Wanted, metadata

NINE = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
TIMETABLE = Timetable("*/15 * * * *", "Asia/Seoul", "매 15분 \0 🐱", True, {"키": [1, 2.5, None, "값"]})


def fresh(organization_id: str = "org-1", workflow_id: str = "workflow-1", text: str | None = None) -> Schedule:
    table = TIMETABLE if text is None else replace(TIMETABLE, text=text)
    return Schedule(ScheduleId(new_id()), organization_id, workflow_id, table, False, NINE + QUARTER, 1, NINE, NINE)


def test_a_schedule_comes_back_as_it_was_written(storage: Storage) -> None:
    schedule = fresh()
    storage.schedules.insert(schedule)
    assert storage.schedules.get("org-1", schedule.schedule_id) == schedule
    assert storage.schedules.get("org-1", schedule.schedule_id, "workflow-1") == schedule


@pytest.mark.parametrize(("organization_id", "workflow_id"), [("org-2", None), ("org-1", "workflow-2")])
def test_another_organisations_or_workflows_schedule_is_not_found(
    storage: Storage, organization_id: str, workflow_id: str | None
) -> None:
    schedule = fresh()
    storage.schedules.insert(schedule)
    schedules, key = storage.schedules, schedule.schedule_id
    with pytest.raises(ScheduleNotFound):
        schedules.get(organization_id, key, workflow_id)
    with pytest.raises(ScheduleNotFound):
        schedules.update(organization_id, key, lambda before: before, workflow_id=workflow_id)
    with pytest.raises(ScheduleNotFound):
        schedules.delete(organization_id, key, NINE, workflow_id=workflow_id)
    assert schedules.change_all("org-2", "workflow-1", lambda before: before.with_paused(True, NINE)) == 0
    assert schedules.delete_all("org-2", "workflow-1", NINE) == 0
    assert schedules.page("org-2").items == []
    assert schedules.get("org-1", key) == schedule


def test_pages_run_from_the_newest_to_the_oldest_without_gap(storage: Storage) -> None:
    made = [fresh(workflow_id=f"workflow-{number % 2}") for number in range(7)]
    for schedule in made:
        storage.schedules.insert(schedule)
    seen, cursor = [], None
    while True:
        page = storage.schedules.page("org-1", limit=3, cursor=cursor)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == made[::-1]
    assert storage.schedules.page("org-1", workflow_id="workflow-1").items == made[1::2][::-1]
    assert storage.schedules.page("org-1", active=False).items == []
    with pytest.raises(Invalid):
        storage.schedules.page("org-1", cursor="no-cursor")


def test_an_idempotency_key_makes_one_schedule(storage: Storage) -> None:
    first = storage.schedules.insert(fresh(), key="k", body={"cron": "a"})
    assert storage.schedules.insert(fresh(), key="k", body={"cron": "a"}) == first
    assert storage.schedules.insert(fresh(organization_id="org-2"), key="k", body={"cron": "a"}) != first
    with pytest.raises(Invalid, match="idempotency_key_reused"):
        storage.schedules.insert(fresh(), key="k", body={"cron": "b"})
    assert len(storage.schedules.page("org-1").items) == 1


def test_an_update_from_an_outdated_version_is_refused(storage: Storage) -> None:
    schedule = fresh()
    storage.schedules.insert(schedule)
    changed = storage.schedules.update("org-1", schedule.schedule_id, lambda one: replace(one, paused=True), version=1)
    assert changed.version == 2
    with pytest.raises(Outdated):
        storage.schedules.update("org-1", schedule.schedule_id, lambda one: replace(one, paused=False), version=1)
    with pytest.raises(Outdated):
        storage.schedules.delete("org-1", schedule.schedule_id, NINE, version=1)
    assert storage.schedules.get("org-1", schedule.schedule_id) == changed


def together(count: int, work: "list[object]", run: "object") -> None:
    """Runs `run(number)` in so many threads that begin at once; `work` collects what they give or raise."""
    barrier = threading.Barrier(count)

    def body(number: int) -> None:
        barrier.wait()
        try:
            work.append(run(number))  # type: ignore[operator]
        except Exception as error:
            work.append(error)

    threads = [threading.Thread(target=body, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_of_writers_at_once_none_overwrites_another(storage: Storage) -> None:
    schedule = fresh(text="")
    storage.schedules.insert(schedule)
    results: list[object] = []

    def add(number: int) -> Schedule:
        def change(one: Schedule) -> Schedule:
            return replace(one, timetable=replace(one.timetable, text=one.timetable.text + str(number)))

        return storage.schedules.update("org-1", schedule.schedule_id, change)

    together(4, results, add)
    won = [result for result in results if isinstance(result, Schedule)]
    after = storage.schedules.get("org-1", schedule.schedule_id)
    assert len(after.timetable.text) == len(won) == after.version - 1
    assert all(isinstance(result, (Schedule, Outdated)) for result in results)


def test_of_replicas_at_once_one_writes_the_firing_down(storage: Storage) -> None:
    schedule = fresh()
    storage.schedules.insert(schedule)
    owed = Due((NINE + QUARTER,), None, NINE + 2 * QUARTER)
    results: list[object] = []
    together(4, results, lambda _: storage.firings.record_due(schedule, owed, NINE + QUARTER))
    assert sorted(results) == [0, 0, 0, 1]  # type: ignore[type-var]
    assert len(storage.firings.pending(NINE + QUARTER, 10)) == 1


def test_a_change_in_between_wins_over_what_was_due(storage: Storage) -> None:
    schedule = fresh()
    storage.schedules.insert(schedule)
    storage.schedules.update("org-1", schedule.schedule_id, lambda one: one)
    assert storage.firings.record_due(schedule, Due((NINE,), None, NINE + QUARTER), NINE) == 0
    assert storage.firings.pending(NINE + QUARTER, 10) == []


def test_due_are_those_whose_instant_has_come_the_longest_waiting_first(storage: Storage) -> None:
    early, late = fresh(), replace(fresh(), next_fire_at=NINE + 2 * QUARTER)
    stopped = replace(fresh(), next_fire_at=None)
    for schedule in (late, early, stopped):
        storage.schedules.insert(schedule)
    assert storage.firings.next_due_at() == NINE + QUARTER
    assert storage.firings.due(NINE + QUARTER, 10) == [early]
    assert storage.firings.due(NINE + 2 * QUARTER, 10) == [early, late]
    assert storage.firings.due(NINE + 2 * QUARTER, 1) == [early]


def test_last_of_gives_each_schedule_its_latest_instant(storage: Storage) -> None:
    one, other, silent = fresh(), fresh(), fresh()
    for schedule in (one, other, silent):
        storage.schedules.insert(schedule)
    storage.firings.record_due(one, Due((NINE, NINE + QUARTER), NINE - QUARTER, None), NINE)
    storage.firings.record_due(other, Due((), NINE, None), NINE)
    found = storage.firings.last_of([one.schedule_id, other.schedule_id, silent.schedule_id])
    assert {key: (firing.instant, firing.state, firing.reason) for key, firing in found.items()} == {
        one.schedule_id: (NINE + QUARTER, FiringState.PENDING, None),
        other.schedule_id: (NINE, FiringState.SKIPPED, "missed"),
    }


def test_replacing_all_is_all_or_nothing(storage: Storage) -> None:
    kept, gone = fresh(), fresh()
    storage.schedules.insert(kept)
    storage.schedules.insert(gone)

    def changed(before: Schedule | None) -> Schedule:
        return replace(before or fresh(), timetable=replace(TIMETABLE, text="changed"))

    with pytest.raises(ScheduleNotFound):
        storage.schedules.replace_all(
            "org-1", "workflow-1", [Wanted(kept.schedule_id, changed), Wanted("unknown", changed)], NINE
        )
    assert storage.schedules.of_workflow("org-1", "workflow-1") == [kept, gone]
    wanted = [Wanted("", changed), Wanted(kept.schedule_id, changed)]
    made = storage.schedules.replace_all("org-1", "workflow-1", wanted, NINE, key="k", body="b")
    assert [schedule.timetable.text for schedule in made] == ["changed", "changed"]
    assert made[1].schedule_id == kept.schedule_id
    again = storage.schedules.replace_all("org-1", "workflow-1", wanted, NINE, key="k", body="b")
    assert {schedule.schedule_id for schedule in again} == {schedule.schedule_id for schedule in made}
    assert len(storage.schedules.of_workflow("org-1", "workflow-1")) == 2


def test_the_migrations_make_the_tables_that_the_code_names(database_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database = kit_database.Database(database_url)
    kit_database.migrate(database, "scheduler_service")
    kit_database.migrate(database, "scheduler_service")
    with database.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
        tables = set(sa.inspect(connection).get_table_names())
    database.close()
    assert differences == []
    assert tables == {*metadata.tables, "alembic_version"}
    assert (Path(str(migrations.__file__)).parent / "versions").is_dir()


def test_tables_are_singular_and_keyed_by_their_own_name_without_foreign_keys() -> None:
    for table in metadata.tables.values():
        assert [column.name for column in table.primary_key] == [f"{table.name}_id"]
        assert not table.foreign_keys
        assert not table.name.endswith("s")
