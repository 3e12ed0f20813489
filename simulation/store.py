"""The one database of all replicas, in memory or on MariaDB. Each replica's own way to it is where it goes wrong."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from execution_service.storage.tables import metadata
from kit.database import Database
from simulation.faulty import Faulty
from simulation.world import Crashed, World


class _InMemory(Database):
    """SQLite with one connection for everybody: whoever uses it is done before anybody else comes.

    A read is a statement or two in between which nothing can happen, so it needs no transaction of its own.
    """

    def __init__(self) -> None:
        self.engine = sa.create_engine(
            "sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False, "isolation_level": None}
        )
        self.url = self.engine.url
        self.sqlite = True
        self._connection = self.engine.connect()
        driver: Any = self._connection.connection.driver_connection
        self.driver: sqlite3.Connection = driver

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        yield self._connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        self.driver.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self.driver.execute("ROLLBACK")
            raise
        self.driver.execute("COMMIT")


class Store:
    """The one database behind all replicas. Made once in a process; every world begins with it empty."""

    def __init__(self, url: str = "") -> None:
        """`url`: an empty MariaDB schema, or a SQLite file; none: SQLite in memory."""
        self._driver: Any
        if url:
            self.database = Database(url)
            self._kept = self.database.engine.raw_connection()
            self._driver = self._kept.driver_connection
            if not self.database.sqlite:
                self._driver.autocommit(True)
        else:
            self.database = _InMemory()
            self._driver = self.database.driver
        metadata.create_all(self.database.engine)

    def empty(self) -> None:
        for table in metadata.tables:
            self._driver.cursor().execute(f"DELETE FROM {table}")  # noqa: S608  # names are our own tables'

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What is committed, past all faults; `?` marks a value."""
        cursor = self._driver.cursor()
        cursor.execute(query if self.database.sqlite else query.replace("?", "%s"), values)
        return list(cursor.fetchall())


class Link(Faulty):
    """How one replica reaches the store. `before` is called when a write begins, `after` when one is committed."""

    def __init__(
        self,
        store: Store,
        world: World,
        *,
        alive: Callable[[], None],
        before: Callable[[], None],
        after: Callable[[], None],
    ) -> None:
        super().__init__(store.database, world.strikes, world.chance.choice)
        self._world = world
        self._alive = alive
        self._before = before
        self._after = after
        self.slow = 0.0
        """Seconds that the calls of whoever is at it have taken: he goes on when they are over."""

    @contextmanager
    def turn(self) -> Iterator[None]:
        yield

    def begins(self) -> None:
        self._alive()
        super().begins()

    def takes(self, seconds: float) -> None:
        self.slow += seconds

    def spent(self) -> float:
        """What `slow` was; from here on it is counted anew."""
        spent, self.slow = self.slow, 0.0
        return spent

    def about_to_write(self) -> None:
        self._before()

    def about_to_commit(self) -> None:
        if self._world.strikes("crash_before_commit"):
            raise Crashed

    def committed(self) -> None:
        self._after()
        if self._world.strikes("crash_after_commit"):
            raise Crashed
