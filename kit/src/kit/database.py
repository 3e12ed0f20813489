"""One way to a service's own database, SQLite or MariaDB: short transactions, each a snapshot to read or a write.

On SQLite a write begins IMMEDIATE (a deferred one that upgrades fails at once, whatever the busy timeout) and commits
with `synchronous=FULL`. On MariaDB both read committed. `transact` repeats what lost to another writer.
"""

import hashlib
import re
import sqlite3
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random_exponential

from kit.errors import FieldError, Invalid

T = TypeVar("T")

TABLE_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
# deadlock, lock wait timeout, record changed since last read
_CONFLICT_CODES = {1213, 1205, 1020}
# too many connections, shutting down, cannot connect, gone away, lost during a query, killed
_AWAY_CODES = {1040, 1053, 2002, 2003, 2006, 2013, 1927}


class UtcTime(sa.types.TypeDecorator[datetime]):
    """A moment, kept as whole microseconds since the epoch: sorts, compares and survives every driver alike."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


class Json(sa.types.TypeDecorator[Any]):
    """A JSON value as text. SQL NULL is Python's None."""

    impl = LongText
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else orjson.loads(value)


def id_column(name: str, *, primary_key: bool = False, nullable: bool = False) -> sa.Column[str]:
    """A column for one of our ids."""
    return sa.Column(name, sa.String(64), primary_key=primary_key, nullable=nullable)


def to_micros(moment: datetime) -> int:
    """Microseconds since the epoch. A naive datetime raises ValueError."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs its time zone")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_micros(value: int) -> datetime:
    return datetime.fromtimestamp(value // 1_000_000, UTC).replace(microsecond=value % 1_000_000)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """A service's engine. `read()` and `write()` give a connection inside one transaction."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = sa.make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._turn = threading.Lock()
        if self.sqlite:
            Path(str(self.url.database)).parent.mkdir(parents=True, exist_ok=True)
            self.engine = sa.create_engine(
                self.url, pool_size=pool_size, max_overflow=20, connect_args={"check_same_thread": False}
            )
            sa.event.listen(self.engine, "connect", _configure_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        else:
            _create_schema(self.url)
            self.engine = sa.create_engine(
                self.url,
                pool_size=pool_size,
                max_overflow=20,
                pool_pre_ping=True,
                pool_recycle=1800,
                isolation_level="READ COMMITTED",
                connect_args={"connect_timeout": 5, "read_timeout": 60, "write_timeout": 60},
            )

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Commits at the end of the block, rolls back when it raises."""
        with self.turn(), self.engine.connect() as connection:
            connection = connection.execution_options(kit_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def turn(self) -> Iterator[None]:
        """On SQLite this process's writers take turns: one that finds the file locked would sleep up to 0.1 s."""
        # a writer that takes too long is left to the file's own lock
        held = self.sqlite and self._turn.acquire(timeout=10)
        try:
            yield
        finally:
            if held:
                self._turn.release()

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        """Runs `work` in a write transaction, again from its start (≤ 10 s in all) when another writer won.

        `work` must do nothing but read and write through its connection.
        """

        @retry(
            retry=retry_if_exception(is_conflict),
            stop=stop_after_delay(10),
            wait=wait_random_exponential(0.01, max=0.5),
            reraise=True,
        )
        def attempt() -> T:
            with self.write() as connection:
                return work(connection)

        return attempt()

    def ping(self) -> None:
        """Raises when the database does not answer."""
        with self.read() as connection:
            connection.execute(sa.text("SELECT 1"))

    def close(self) -> None:
        self.engine.dispose()


def is_conflict(error: BaseException) -> bool:
    """Whether a statement failed only because another writer was there: run the transaction again."""
    if not isinstance(error, sa.exc.DBAPIError) or error.orig is None:
        return False
    if isinstance(error.orig, sqlite3.OperationalError):
        return "locked" in str(error.orig) or "busy" in str(error.orig)
    if isinstance(error, sa.exc.IntegrityError):
        # two requests with one Idempotency-Key at once: the loser runs again and finds what the winner made
        return "INTO idempotency_key" in (error.statement or "")
    return bool(error.orig.args) and error.orig.args[0] in _CONFLICT_CODES


def is_away(error: BaseException) -> bool:
    """Whether the database did not answer, or not in time: nothing is wrong with what was asked of it."""
    if isinstance(error, sa.exc.TimeoutError) or is_conflict(error):
        return True
    if not isinstance(error, sa.exc.DBAPIError) or error.orig is None:
        return False
    return error.connection_invalidated or bool(error.orig.args and error.orig.args[0] in _AWAY_CODES)


def _configure_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN is deferred: ours is sent by _begin_sqlite
    connection.execute("PRAGMA busy_timeout=10000")
    _use_wal(connection)
    for pragma in ("synchronous=FULL", "cache_size=-8000"):
        connection.execute(f"PRAGMA {pragma}")


@retry(
    # a file's very first change to WAL does not wait for others that make it too: busy_timeout is not asked
    retry=retry_if_exception(lambda error: isinstance(error, sqlite3.OperationalError) and "locked" in str(error)),
    wait=wait_random_exponential(multiplier=0.01, max=0.2),
    stop=stop_after_delay(10),
    reraise=True,
)
def _use_wal(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL")


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("kit_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _create_schema(url: sa.URL) -> None:
    name = str(url.database)
    if not re.fullmatch(r"\w{1,64}", name):
        raise ValueError(f"not a schema name: {name!r}")
    server = sa.create_engine(url._replace(database=None), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))


# --- migrations ---------------------------------------------------------------------------------------------------


def migrate(database: Database, package: str) -> None:
    """Brings the schema to the newest revision of `package.migrations`; several replicas may call it at once.

    Revisions are files `versions/NNNN_what.py` with `revision = "NNNN"`. Alembic takes 0.3 s to import, so it is only
    loaded when the recorded revision is not the newest.
    """
    folder = Path(str(import_module(f"{package}.migrations").__file__)).parent
    newest = max(path.name[:4] for path in (folder / "versions").glob("[0-9][0-9][0-9][0-9]_*.py"))
    with database.read() as connection:
        if sa.inspect(connection).has_table("alembic_version"):
            found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
            if found == newest:
                return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder))
    with database.engine.connect() as connection:
        connection = connection.execution_options(kit_write=True)
        with _alone(connection, f"migrate:{database.url.database}"[:64]), connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


@contextmanager
def _alone(connection: sa.Connection, name: str) -> Iterator[None]:
    """Holds MariaDB's lock `name` until the block's transaction is committed; SQLite's writers are alone anyway."""
    if connection.dialect.name == "sqlite":
        yield
        return
    held = connection.execute(sa.text("SELECT GET_LOCK(:name, 50)"), {"name": name}).scalar()
    connection.commit()
    if held != 1:
        raise TimeoutError(f"another process holds {name!r}")
    try:
        yield
    finally:
        connection.execute(sa.text("SELECT RELEASE_LOCK(:name)"), {"name": name})
        connection.commit()


def run_migrations(metadata: sa.MetaData) -> None:
    """What a service's `migrations/env.py` calls: runs on the connection that `migrate` holds."""
    from alembic import context

    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    context.run_migrations()


# --- pages --------------------------------------------------------------------------------------------------------


def encode_cursor(*position: Any) -> str:
    return urlsafe_b64encode(orjson.dumps(position)).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """The position inside a cursor: exactly one value of each kind, else Invalid."""
    try:
        position = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError):
        position = None
    if (
        not isinstance(position, list)
        or len(position) != len(kinds)
        or not all(type(value) is kind for value, kind in zip(position, kinds, strict=True))
        or any(isinstance(value, int) and value >= 2**63 for value in position)  # no column holds it
    ):
        raise Invalid.field("query.cursor", "cursor_invalid")
    return tuple(position)


# --- idempotent writes ---------------------------------------------------------------------------------------------


def idempotency_table(metadata: sa.MetaData) -> sa.Table:
    """The table of `Idempotency-Key`s of a service's writes: (organisation, operation, key) → what the write made."""
    return sa.Table(
        "idempotency_key",
        metadata,
        sa.Column("idempotency_key_id", sa.String(64), primary_key=True),
        id_column("organization_id"),
        sa.Column("body_hash", sa.String(64), nullable=False),
        id_column("resource_id"),
        sa.Column("created_at", UtcTime, nullable=False),
        **TABLE_OPTIONS,
    )


def key_reused() -> Invalid:
    """The refusal of an Idempotency-Key that named something else before."""
    name = "idempotency_key_reused"
    return Invalid(name, fields=(FieldError("header.Idempotency-Key", name),))


def once(
    connection: sa.Connection,
    table: sa.Table,
    *,
    organization_id: str,
    operation: str,
    key: str | None,
    body: Any,
    make: Callable[[], str],
) -> str:
    """Runs `make` (it writes through `connection` and returns the new resource's id) unless `key` already did.

    The same key with the same body gives the first one's id; with another body raises Invalid. Without a key it
    always makes. The key is recorded in the same transaction as what it made.
    """
    if key is None:
        return make()
    name = hashlib.sha256("\0".join((organization_id, operation, key)).encode()).hexdigest()
    body_hash = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
    row = connection.execute(sa.select(table).where(table.c.idempotency_key_id == name)).one_or_none()
    if row is not None:
        if row.body_hash != body_hash:
            raise key_reused()
        return str(row.resource_id)
    resource_id = make()
    connection.execute(
        table.insert().values(
            idempotency_key_id=name,
            organization_id=organization_id,
            body_hash=body_hash,
            resource_id=resource_id,
            created_at=utc_now(),
        )
    )
    return resource_id
