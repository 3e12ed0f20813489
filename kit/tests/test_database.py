"""One's own database, on SQLite and MariaDB."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kit.database import (
    TABLE_OPTIONS,
    Database,
    Json,
    UtcTime,
    decode_cursor,
    encode_cursor,
    from_micros,
    id_column,
    idempotency_table,
    is_conflict,
    migrate,
    once,
    to_micros,
    utc_now,
)
from kit.errors import Invalid

metadata = sa.MetaData()
account = sa.Table(
    "account",
    metadata,
    id_column("account_id", primary_key=True),
    sa.Column("amount", sa.Integer, nullable=False),
    sa.Column("at", UtcTime),
    sa.Column("note", Json),
    **TABLE_OPTIONS,
)
idempotency_key = idempotency_table(metadata)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    with made.write() as connection:
        metadata.create_all(connection)
    yield made
    made.close()


def _open(database: Database, *ids: str) -> None:
    with database.write() as connection:
        connection.execute(account.insert(), [{"account_id": name, "amount": 0} for name in ids])


def _add(connection: sa.Connection, account_id: str, amount: int = 1) -> None:
    table = account.c
    connection.execute(account.update().where(table.account_id == account_id).values(amount=account.c.amount + amount))


def _amounts(database: Database) -> dict[str, int]:
    with database.read() as connection:
        return {row.account_id: row.amount for row in connection.execute(sa.select(account))}


# --- transactions --------------------------------------------------------------------------------------------------


def test_a_write_is_whole_or_nothing(database: Database) -> None:
    _open(database, "a")

    def fail(connection: sa.Connection) -> None:
        _add(connection, "a")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.transact(fail)
    assert _amounts(database) == {"a": 0}
    assert database.transact(lambda connection: _add(connection, "a")) is None
    assert _amounts(database) == {"a": 1}


def test_a_reader_sees_what_was_committed_only(database: Database) -> None:
    _open(database, "a")
    with database.write() as writing:
        _add(writing, "a")
        assert _amounts(database) == {"a": 0}
    assert _amounts(database) == {"a": 1}


def test_a_write_that_lost_a_deadlock_runs_again(database: Database) -> None:
    _open(database, "a", "b")
    both_hold_one = threading.Barrier(2)
    attempts: list[str] = []

    def move(first: str, second: str) -> None:
        def work(connection: sa.Connection) -> None:
            attempts.append(first)
            _add(connection, first)
            if len(attempts) <= 2 and not database.sqlite:
                both_hold_one.wait(20)  # now each waits for the other's row
            _add(connection, second)

        database.transact(work)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(move, "a", "b"), pool.submit(move, "b", "a")]:
            done.result(30)
    assert _amounts(database) == {"a": 2, "b": 2}
    # on SQLite the second writer waits at its BEGIN instead
    assert len(attempts) == (2 if database.sqlite else 3)


def test_a_write_that_found_sqlite_locked_runs_again(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    impatient = Database(f"sqlite:///{tmp_path / 'x.db'}")
    sa.event.listen(impatient.engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout=1"))
    with database.write() as connection:
        metadata.create_all(connection)
    _open(database, "a")
    seen: list[BaseException] = []
    refused = threading.Event()

    @sa.event.listens_for(impatient.engine, "handle_error")
    def note(context: sa.engine.ExceptionContext) -> None:
        seen.append(context.sqlalchemy_exception or context.original_exception)
        refused.set()

    with ThreadPoolExecutor(1) as pool:
        with database.write() as holding:
            _add(holding, "a")
            waiting = pool.submit(impatient.transact, lambda connection: _add(connection, "a"))
            assert refused.wait(20)
        waiting.result(20)
    assert _amounts(database) == {"a": 2}
    assert all(is_conflict(error) for error in seen)
    impatient.close()
    database.close()


_ADD_100 = """
import sys
import sqlalchemy as sa
from kit.database import Database
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(100):
    database.transact(lambda connection: [
        connection.execute(sa.text("UPDATE account SET amount = amount + 1 WHERE account_id = :id"), {"id": name})
        for name in sys.argv[2:]
    ])
database.close()
"""


def test_processes_that_write_at_once_lose_nothing(database: Database, database_url: str) -> None:
    _open(database, "a", "b")
    processes = _started(_ADD_100, [[database_url, "a", "b"], [database_url, "b", "a"]])
    _ended(processes)
    assert _amounts(database) == {"a": 200, "b": 200}


def _started(script: str, arguments: list[list[str]], **options: Any) -> "list[subprocess.Popen[str]]":
    """Processes that have all come to their line "ready", then go on at once."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, *each],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        for each in arguments
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def _ended(processes: "list[subprocess.Popen[str]]") -> None:
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors


def test_what_is_not_another_writers_doing_is_not_repeated(database: Database) -> None:
    _open(database, "a")
    attempts = []

    def work(connection: sa.Connection) -> None:
        attempts.append(1)
        connection.execute(account.insert().values(account_id="a", amount=0))

    with pytest.raises(sa.exc.IntegrityError) as refused:
        database.transact(work)
    assert len(attempts) == 1
    assert not is_conflict(refused.value)


def test_only_a_databases_complaint_is_a_conflict(database: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError) as wrong, database.read() as connection:
        connection.execute(sa.text("SELECT nothing FROM nowhere"))
    assert not is_conflict(wrong.value)
    assert not is_conflict(RuntimeError("database is locked"))
    assert not is_conflict(sa.exc.DBAPIError("SELECT 1", {}, None))  # type: ignore[arg-type]


def test_a_database_that_answers_is_told_from_one_that_does_not(database: Database, port: int) -> None:
    database.ping()
    with pytest.raises(sa.exc.OperationalError):
        Database(f"mysql+pymysql://root@127.0.0.1:{port}/nowhere")


def test_a_schema_name_that_needs_quoting_is_refused() -> None:
    with pytest.raises(ValueError, match="not a schema name"):
        Database("mysql+pymysql://root@127.0.0.1:1/x`y")


# --- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 3, 29, 1, 30, 0, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 6, 1, 9, 0, tzinfo=timezone(timedelta(hours=9))),
        None,
    ],
)
def test_a_moment_comes_back_to_the_microsecond(database: Database, moment: datetime | None) -> None:
    with database.write() as connection:
        connection.execute(account.insert().values(account_id="a", amount=0, at=moment))
        found = connection.execute(sa.select(account.c.at)).scalar_one()
    assert found == moment
    assert moment is None or found.tzinfo is UTC


def test_moments_sort_as_they_passed(database: Database) -> None:
    now = utc_now()
    moments = {"b": now, "a": now + timedelta(microseconds=1), "c": now - timedelta(days=30_000)}
    with database.write() as connection:
        for name, at in moments.items():
            connection.execute(account.insert().values(account_id=name, amount=0, at=at))
        found = connection.execute(sa.select(account.c.account_id).order_by(account.c.at)).scalars().all()
    assert found == ["c", "b", "a"]


def test_a_moment_without_its_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        to_micros(datetime(2026, 1, 1))
    assert from_micros(to_micros(datetime(2026, 1, 1, tzinfo=UTC))) == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        {"이름": "값 😀 'quoted\" \\ \u0000"},
        [1, -(2**63), 2**63 - 1, 0.1, True, None, {"x": []}],
        "text",
        0,
        False,
        "",
        {"long": "가" * 100_000},
        None,
    ],
)
def test_a_json_value_comes_back_as_it_was(database: Database, value: Any) -> None:
    with database.write() as connection:
        connection.execute(account.insert().values(account_id="a", amount=0, note=value))
        found, is_null = connection.execute(sa.select(account.c.note, account.c.note.is_(None))).one()
    assert found == value
    assert type(found) is type(value)
    assert bool(is_null) is (value is None)


# --- migrations ----------------------------------------------------------------------------------------------------

_VERSION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{number}", {before}


def upgrade() -> None:
    op.create_table("{table}", sa.Column("{table}_id", sa.String(64), primary_key=True))
    op.bulk_insert(sa.table("{table}", sa.column("{table}_id")), [{{"{table}_id": "seed"}}])
"""


@pytest.fixture
def package(tmp_path: Path) -> Iterator[str]:
    """A package with one migration, importable here and in children."""
    name = f"house_{tmp_path.name}_{id(tmp_path)}"
    versions = tmp_path / name / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / name / "__init__.py").touch()
    (versions.parent / "__init__.py").touch()
    (versions.parent / "env.py").write_text(
        "import sqlalchemy as sa\nfrom kit.database import run_migrations\n\nrun_migrations(sa.MetaData())\n"
    )
    (versions / "0001_first.py").write_text(_VERSION.format(number="0001", before=None, table="first"))
    sys.path.insert(0, str(tmp_path))
    yield name
    sys.path.remove(str(tmp_path))
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]


def _revisions(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars())


def test_a_schema_is_brought_to_its_newest_revision_and_no_revision_runs_twice(
    database_url: str, package: str, tmp_path: Path
) -> None:
    database = Database(database_url)
    migrate(database, package)
    migrate(database, package)
    assert _revisions(database) == ["0001"]
    later = tmp_path / package / "migrations" / "versions" / "0002_second.py"
    later.write_text(_VERSION.format(number="0002", before='"0001"', table="second"))
    migrate(database, package)
    assert _revisions(database) == ["0002"]
    with database.read() as connection:
        assert {"first", "second"} <= set(sa.inspect(connection).get_table_names())
    database.close()


_MIGRATE = """
import sys
from kit.database import Database, migrate
import alembic.command
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
migrate(database, sys.argv[2])
"""


def test_replicas_that_start_together_migrate_once(database_url: str, package: str, tmp_path: Path) -> None:
    versions = tmp_path / package / "migrations" / "versions"
    for number in range(2, 8):
        (versions / f"000{number}_more.py").write_text(
            _VERSION.format(number=f"000{number}", before=f'"000{number - 1}"', table=f"table_{number}")
        )
    _ended(_started(_MIGRATE, [[database_url, package]] * 3, cwd=tmp_path))
    database = Database(database_url)
    assert _revisions(database) == ["0007"]
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM table_7")).scalar_one() == 1
    database.close()


def test_a_migration_waits_for_another_processes_until_that_is_committed(mariadb_port: int | None) -> None:
    if mariadb_port is None:
        pytest.skip("no MariaDB: see NOT COVERED")
    from kit.database import _alone

    engine = sa.create_engine(f"mysql+pymysql://root@127.0.0.1:{mariadb_port}/")
    try:
        with engine.connect() as first, engine.connect() as second:
            free = sa.text("SELECT IS_FREE_LOCK('migrate:kit-test')")
            with _alone(first, "migrate:kit-test"):
                with first.begin():
                    assert second.execute(free).scalar_one() == 0
                assert second.execute(free).scalar_one() == 0
            assert second.execute(free).scalar_one() == 1
    finally:
        engine.dispose()


# --- pages ---------------------------------------------------------------------------------------------------------


def test_a_cursor_is_its_position() -> None:
    cursor = encode_cursor("이름", 5, 0.5)
    assert decode_cursor(cursor, str, int, float) == ("이름", 5, 0.5)
    assert cursor.isascii()
    assert not set("+/=") & set(cursor)


@pytest.mark.parametrize(
    ("cursor", "kinds"),
    [
        ("", (str,)),
        ("nonsense", (str,)),
        ("한글", (str,)),
        ("!!!!", (str,)),
        ("a", (str,)),
        (encode_cursor(5), (str,)),
        (encode_cursor("5"), (int,)),
        (encode_cursor(True), (int,)),
        (encode_cursor("a", "b"), (str,)),
        (encode_cursor("a"), (str, str)),
        (encode_cursor(2**63), (int,)),
        (encode_cursor(None), (str,)),
        ("eyJhIjoxfQ", (str,)),
    ],
)
def test_a_cursor_that_we_did_not_make_is_refused(cursor: str, kinds: tuple[type, ...]) -> None:
    with pytest.raises(Invalid) as refused:
        decode_cursor(cursor, *kinds)
    assert [(error.field, error.code) for error in refused.value.fields] == [("query.cursor", "cursor_invalid")]


# --- idempotent writes ---------------------------------------------------------------------------------------------


def _once(
    connection: sa.Connection,
    key: str | None,
    body: Any,
    made: str,
    *,
    organization_id: str = "o1",
    operation: str = "open",
    before: Callable[[], object] = lambda: None,
) -> str:
    def make() -> str:
        before()
        connection.execute(account.insert().values(account_id=made, amount=0))
        return made

    return once(
        connection,
        idempotency_key,
        organization_id=organization_id,
        operation=operation,
        key=key,
        body=body,
        make=make,
    )


def test_the_same_key_with_the_same_body_makes_once(database: Database) -> None:
    first = database.transact(lambda connection: _once(connection, "k", {"a": 1, "b": 2}, "one"))
    second = database.transact(lambda connection: _once(connection, "k", {"b": 2, "a": 1}, "two"))
    assert (first, second) == ("one", "one")
    assert _amounts(database) == {"one": 0}


def test_the_same_key_with_another_body_is_refused(database: Database) -> None:
    database.transact(lambda connection: _once(connection, "k", {"a": 1}, "one"))
    with pytest.raises(Invalid) as refused:
        database.transact(lambda connection: _once(connection, "k", {"a": 2}, "two"))
    assert refused.value.code == "idempotency_key_reused"
    assert _amounts(database) == {"one": 0}


def test_keys_of_other_organisations_operations_and_no_keys_are_apart(database: Database) -> None:
    made = [
        database.transact(lambda connection: _once(connection, "k", {}, "one")),
        database.transact(lambda connection: _once(connection, "k", {}, "two", organization_id="o2")),
        database.transact(lambda connection: _once(connection, "k", {}, "three", operation="close")),
        database.transact(lambda connection: _once(connection, None, {}, "four")),
        database.transact(lambda connection: _once(connection, None, {}, "five")),
    ]
    assert made == ["one", "two", "three", "four", "five"]


def test_a_write_that_failed_leaves_its_key_free(database: Database) -> None:
    def fail(connection: sa.Connection) -> None:
        _once(connection, "k", {}, "one")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.transact(fail)
    assert database.transact(lambda connection: _once(connection, "k", {}, "two")) == "two"


def test_two_requests_with_one_key_at_once_make_once(database: Database) -> None:
    both_found_nothing = threading.Barrier(2)
    attempts: list[str] = []

    def request(made: str) -> str:
        def work(connection: sa.Connection) -> str:
            attempts.append(made)
            # on SQLite the second one's BEGIN waits for the first one's COMMIT
            meet = len(attempts) <= 2 and not database.sqlite
            before = (lambda: both_found_nothing.wait(20)) if meet else lambda: 0
            return _once(connection, "k", {}, made, before=before)

        return database.transact(work)

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.submit(request, "one"), pool.submit(request, "two")
        results = {one.result(30), two.result(30)}
    assert len(results) == 1
    assert set(_amounts(database)) == results
    assert len(attempts) == (2 if database.sqlite else 3)
