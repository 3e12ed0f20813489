"""The ledger, state, connections and the artifact index, on SQLite and on MariaDB."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kit.database import Database, migrate, utc_now
from kit.errors import Conflict, Invalid, NotFound, Outdated
from kit.ids import new_id
from kit.payloads import PayloadStore
from kit.vault import Vault
from worker_service import app as use_cases
from worker_service import loops, storage
from worker_service.app import App
from worker_service.artifacts import MOST_BYTES, ArtifactStore
from worker_service.effects import Ledger
from worker_service.sdk import TaskError, TaskIds
from worker_service.settings import WorkerSettings


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    migrate(opened, "worker_service")
    yield opened
    opened.close()


@pytest.fixture
def app(database: Database, tmp_path: Path) -> App:
    store = ArtifactStore(tmp_path / "artifacts", database)
    payloads = PayloadStore(tmp_path / "payloads")
    return App(WorkerSettings(data=tmp_path), database, Vault("k" * 40, "worker-service"), store, payloads, {})


def claim(database: Database, who: str, key: str = "t1", expires_s: float = 10) -> storage.Claim:
    row = {"effect_id": key, "organization_id": "org1", "run_id": "r", "type": "test.effect"}
    return storage.claim_effect(database, row, who, expires_s)


def test_the_migrated_schema_is_the_declared_one(database: Database) -> None:
    with database.read() as connection:
        found = sa.inspect(connection)
        for table in storage.metadata.sorted_tables:
            assert [column["name"] for column in found.get_columns(table.name)] == [c.name for c in table.columns]
            assert found.get_pk_constraint(table.name)["constrained_columns"] == [f"{table.name}_id"]
            assert found.get_foreign_keys(table.name) == []
            declared = {index.name for index in table.indexes}
            assert declared <= {index["name"] for index in found.get_indexes(table.name)}


def test_an_effect_has_one_holder_at_a_time(database: Database) -> None:
    assert claim(database, "a").mine
    assert claim(database, "a").mine
    assert claim(database, "b") == storage.Claim(False)
    storage.release_effect(database, "org1", "t1", "b")
    assert claim(database, "b") == storage.Claim(False)
    storage.release_effect(database, "org1", "t1", "a")
    assert claim(database, "b").mine


def test_a_claim_that_nobody_renews_may_be_taken(database: Database) -> None:
    assert claim(database, "a").mine
    assert claim(database, "b", expires_s=0).mine
    assert not claim(database, "a").mine


def test_a_renewed_claim_stays_with_its_holder(database: Database) -> None:
    assert claim(database, "a").mine
    with database.write() as connection:
        connection.execute(storage.effect.update().values(claimed_at=utc_now() - timedelta(seconds=60)))
    Ledger(database).renew([("t1", "a")])
    assert not claim(database, "b").mine
    with database.write() as connection:
        connection.execute(storage.effect.update().values(claimed_at=utc_now() - timedelta(seconds=60)))
    Ledger(database).renew([("t1", "somebody else")])
    assert claim(database, "b").mine


def test_what_was_done_first_is_what_everybody_is_answered(database: Database) -> None:
    claim(database, "a")
    assert storage.finish_effect(database, "org1", "t1", {"output": 1}) == {"output": 1}
    assert storage.finish_effect(database, "org1", "t1", {"output": 2}) == {"output": 1}
    assert claim(database, "b") == storage.Claim(False, {"output": 1})
    storage.release_effect(database, "org1", "t1", "a")
    assert claim(database, "a") == storage.Claim(False, {"output": 1})


def test_of_many_that_claim_at_once_one_gets_it(database: Database) -> None:
    for round_number in range(5):
        ready = threading.Barrier(8)

        def race(number: int, key: str = f"race{round_number}", ready: threading.Barrier = ready) -> bool:
            ready.wait(10)
            return claim(database, f"w{number}", key).mine

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(race, range(8))) == 1


@pytest.mark.anyio
async def test_who_waits_for_a_claim_gets_the_outcome_of_its_holder(database: Database) -> None:
    import asyncio

    ids = TaskIds("t1", "r", "org1", "w", "k", 1, "")
    ledger = Ledger(database)
    assert (await ledger.claim(ids, "test.effect", "a")).mine
    waiting = asyncio.create_task(ledger.claim(ids, "test.effect", "b"))
    await asyncio.sleep(0)
    assert await ledger.finish(ids, {"output": {"n": 1}}) == {"output": {"n": 1}}
    assert await waiting == storage.Claim(False, {"output": {"n": 1}})


@pytest.mark.anyio
async def test_a_claim_waits_for_a_database_that_goes_away(database: Database) -> None:
    import asyncio

    if database.sqlite:
        pytest.skip("a file does not go away")
    ids = TaskIds("t1", "r", "org1", "w", "k", 1, "")
    claim(database, "a", "t1")
    ledger = Ledger(database, claim_expires_s=0)
    with database.write() as other:
        # it cannot get on as long as we hold the row
        other.execute(sa.select(storage.effect).with_for_update())
        waiting = asyncio.create_task(ledger.claim(ids, "test.effect", "b"))
        number = None
        while number is None and not waiting.done():
            asked = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE '%effect%UPDATE'"
            number = (await asyncio.to_thread(other.execute, sa.text(asked))).scalar()
        other.execute(sa.text(f"KILL {number}"))
    assert (await waiting).mine


def test_notes_outlive_claims(database: Database) -> None:
    row = {"effect_id": "t1", "organization_id": "org1", "run_id": "r", "type": "test.effect"}
    assert storage.effect_note(database, "org1", "t1") is None
    storage.note_effect(database, row, {"draft": 7})
    claim(database, "a")
    storage.release_effect(database, "org1", "t1", "a")
    assert storage.effect_note(database, "org1", "t1") == {"draft": 7}
    assert storage.effect_note(database, "org2", "t1") is None


@pytest.mark.anyio
async def test_only_old_effects_are_forgotten(app: App) -> None:
    claim(app.database, "a", "old")
    claim(app.database, "a", "new")
    with app.database.write() as connection:
        old = utc_now() - timedelta(days=loops.KEEP_EFFECTS_DAYS + 1)
        connection.execute(storage.effect.update().where(storage.effect.c.effect_id == "old").values(claimed_at=old))
    assert await loops.forget_old_effects(app) == 1
    with app.database.read() as connection:
        assert connection.execute(sa.select(storage.effect.c.effect_id)).scalars().all() == ["new"]


def test_state_is_written_by_who_knows_its_version(database: Database) -> None:
    assert storage.get_entry(database, "org1", "ns", "k") is None
    assert storage.put_entry(database, "org1", "ns", "k", {"n": 1}, 0) == 1
    with pytest.raises(storage.EntryMoved):
        storage.put_entry(database, "org1", "ns", "k", {"n": 2}, 0)
    assert storage.put_entry(database, "org1", "ns", "k", {"n": 2}, 1) == 2
    assert storage.put_entry(database, "org1", "ns", "k", None, None) == 3
    assert storage.list_entries(database, "org1", "ns") == {"k": storage.Entry(None, 3)}
    assert storage.list_entries(database, "org2", "ns") == {}


def test_of_two_writers_of_one_state_version_one_wins(database: Database) -> None:
    ready = threading.Barrier(6)

    def write(number: int) -> bool:
        ready.wait(10)
        try:
            storage.put_entry(database, "org1", "ns", "k", number, 0)
        except storage.EntryMoved:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(write, range(6))) == 1


def test_credentials_are_sealed_at_rest_and_opened_for_tasks_only(app: App) -> None:
    made = use_cases.create_connection(app, "org1", "blog", "wordpress", {"url": "u"}, {"password": "hunter2hunter2"})
    assert made.credential_names == ("password",)
    assert "hunter2" not in str(made)
    with app.database.read() as connection:
        assert "hunter2" not in str(connection.execute(sa.select(storage.connection)).all())
    assert use_cases.open_connection(app, "org1", "blog") == {
        "name": "blog",
        "kind": "wordpress",
        "settings": {"url": "u"},
        "credentials": {"password": "hunter2hunter2"},
    }
    with pytest.raises(TaskError, match="connection_missing"):
        use_cases.open_connection(app, "org2", "blog")


def test_credentials_of_one_row_do_not_open_in_another(app: App) -> None:
    for organization in ("org1", "org2"):
        use_cases.create_connection(app, organization, "blog", "k", {}, {"password": organization})
    with app.database.write() as connection:
        stolen = connection.execute(
            sa.select(storage.connection.c.sealed_credentials).where(storage.connection.c.organization_id == "org1")
        ).scalar_one()
        connection.execute(storage.connection.update().values(sealed_credentials=stolen))
    assert use_cases.open_connection(app, "org1", "blog")["credentials"] == {"password": "org1"}
    with pytest.raises(TaskError, match="connection_unreadable"):
        use_cases.open_connection(app, "org2", "blog")


def test_a_connection_is_made_once_per_idempotency_key(app: App) -> None:
    first = use_cases.create_connection(app, "org1", "blog", "k", {}, {"p": "1"}, request_key="x")
    again = use_cases.create_connection(app, "org1", "blog", "k", {}, {"p": "1"}, request_key="x")
    assert again.connection_id == first.connection_id
    with pytest.raises(Invalid, match="idempotency_key_reused"):
        use_cases.create_connection(app, "org1", "blog", "k", {}, {"p": "2"}, request_key="x")
    with pytest.raises(Conflict, match="connection_exists"):
        use_cases.create_connection(app, "org1", "blog", "k", {}, {})


def test_a_connection_changes_only_at_the_version_its_writer_saw(app: App) -> None:
    made = use_cases.create_connection(app, "org1", "blog", "k", {}, {"p": "kept"})
    fields: dict[str, Any] = {"name": "blog2", "kind": "k", "settings": {"a": 1}, "credentials": None}
    with pytest.raises(Outdated):
        use_cases.replace_connection(app, "org1", made.connection_id, 9, **fields)
    changed = use_cases.replace_connection(app, "org1", made.connection_id, 1, **fields)
    assert (changed.version, changed.name, changed.settings) == (2, "blog2", {"a": 1})
    assert use_cases.open_connection(app, "org1", "blog2")["credentials"] == {"p": "kept"}
    use_cases.replace_connection(app, "org1", made.connection_id, None, **{**fields, "credentials": {"q": "new"}})
    assert use_cases.open_connection(app, "org1", "blog2")["credentials"] == {"q": "new"}
    use_cases.create_connection(app, "org1", "other", "k", {}, {})
    with pytest.raises(Conflict):
        use_cases.replace_connection(app, "org1", made.connection_id, None, **{**fields, "name": "other"})
    with pytest.raises(Invalid):
        use_cases.replace_connection(
            app, "org1", made.connection_id, None, **{**fields, "settings": {"a": "x" * 70_000}}
        )
    with pytest.raises(NotFound):
        storage.delete_connection(app.database, "org2", made.connection_id, None)
    with pytest.raises(Outdated):
        storage.delete_connection(app.database, "org1", made.connection_id, 1)
    storage.delete_connection(app.database, "org1", made.connection_id, 3)
    with pytest.raises(NotFound):
        storage.get_connection(app.database, "org1", made.connection_id)


def test_lists_come_newest_first_and_never_of_another_organisation(app: App) -> None:
    ids = [use_cases.create_connection(app, "org1", f"c{n}", "k", {}, {}).connection_id for n in range(3)]
    use_cases.create_connection(app, "org2", "c0", "k", {}, {})
    found = storage.list_connections(app.database, "org1", 2, None)
    assert [row.connection_id for row in found] == [ids[2], ids[1]]
    assert [row.connection_id for row in storage.list_connections(app.database, "org1", 2, ids[1])] == [ids[0]]


def test_an_artifact_is_stored_whole_and_found_by_path_and_id(app: App, tmp_path: Path) -> None:
    made = app.artifacts.put("org1", "r1", "t1", "상품/1.png", b"first", "image/png")
    assert made.url == f"/v0/artifacts/{made.artifact_id}/content"
    again = app.artifacts.put("org1", "r1", "t1", "상품/1.png", b"second", "image/png")
    assert again.artifact_id == made.artifact_id
    assert again.sha256 != made.sha256
    assert again.size == 6
    assert app.artifacts.get("org1", "r1", "상품/1.png") == b"second"
    assert app.artifacts.get("org1", "r2", made.artifact_id) == b"second"
    for organization, run, path in (
        ("org2", "r1", "상품/1.png"),
        ("org2", "r1", made.artifact_id),
        ("org1", "r1", "x"),
    ):
        with pytest.raises(TaskError, match="artifact_missing"):
            app.artifacts.get(organization, run, path)
    assert [path.name for path in (tmp_path / "artifacts" / "org1" / "r1" / "상품").iterdir()] == ["1.png"]
    (tmp_path / "artifacts/org1/r1/상품/1.png").unlink()
    with pytest.raises(TaskError, match="artifact_missing"):
        app.artifacts.get("org1", "r1", "상품/1.png")


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/etc/passwd", "a//b", "", ".", "a/./b", "a\\b", "a\0b", "n\n", "x" * 513, "가" * 70]
)
def test_no_path_leads_out_of_its_run(app: App, path: str) -> None:
    with pytest.raises(TaskError, match="artifact_refused"):
        app.artifacts.put("org1", "r1", "t1", path, b"x", "text/plain")


def test_a_link_in_the_folder_leads_nowhere(app: App, tmp_path: Path) -> None:
    (tmp_path / "artifacts/org1/r1").mkdir(parents=True)
    (tmp_path / "artifacts/org1/r1/out").symlink_to(tmp_path)
    with pytest.raises(TaskError, match="artifact_refused"):
        app.artifacts.put("org1", "r1", "t1", "out/x", b"x", "text/plain")
    with pytest.raises(TaskError, match="artifact_refused"):
        app.artifacts.put("../org2", "r1", "t1", "x", b"x", "text/plain")


def test_an_artifact_has_a_sound_type_and_a_bounded_size(app: App) -> None:
    with pytest.raises(TaskError, match="artifact_refused"):
        app.artifacts.put("org1", "r1", "t1", "x", b"x", "text/html\r\nX-Evil: 1")
    with pytest.raises(TaskError, match="artifact_refused"):
        app.artifacts.put("org1", "r1", "t1", "x", b"x" * (MOST_BYTES + 1), "text/plain")


@pytest.mark.anyio
async def test_wishes_out_of_bounds_are_refused(app: App) -> None:
    ids = TaskIds(new_id(), "r", "org1", "w", "k", 1, "")
    for args in (
        {"namespace": "", "key": "k", "value": 1, "version": None},
        {"namespace": "n", "key": "k" * 256, "value": 1, "version": None},
        {"namespace": "n", "key": "k", "value": "x" * 70_000, "version": None},
    ):
        with pytest.raises(TaskError, match="state_refused"):
            await use_cases.grant(app, ids, "t", "state.put", args, b"")
    with pytest.raises(ValueError, match="no such wish"):
        await use_cases.grant(app, ids, "t", "root.shell", {}, b"")
