"""A database that fails as databases do: a call is refused, or is done and then said to have timed out, or is slow.

`Faulty` stands where a Database stands, and so around every storage call: all of them read or write through it. What
goes wrong when, is drawn by whoever made it; the errors are the driver's own.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pymysql
import sqlalchemy as sa

from kit.database import Database

ODDS = {
    "read_refused": 0.004,
    "read_timed_out": 0.004,
    "commit_refused": 0.016,
    "commit_doubtful": 0.016,
    "storage_slow": 0.004,
}
"""The kinds, and how likely each is per call. A doubtful commit has happened."""
_SQLITE = ((sqlite3.OperationalError("database is locked"), False), (sqlite3.OperationalError("disk I/O error"), True))
_MARIADB = (
    (pymysql.err.OperationalError(1205, "Lock wait timeout exceeded; try restarting transaction"), False),
    (pymysql.err.OperationalError(2013, "Lost connection to server during query"), True),
)
"""Driver errors, and whether the connection is lost with them."""
_SLOW_S = (0.2, 1.0, 4.0, 12.0)
"""The last is longer than anybody waits for the engine."""


class Faulty(Database, ABC):
    """`behind` does the work. `strikes(kind)`: whether that goes wrong now; `choose` picks one of several."""

    def __init__(
        self, behind: Database, strikes: Callable[[str], bool], choose: Callable[[Sequence[Any]], Any]
    ) -> None:
        self.engine = behind.engine
        self.url = behind.url
        self.sqlite = behind.sqlite
        self._behind = behind
        self._strikes = strikes
        self._choose = choose

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        self.begins()
        self._perhaps("read_refused", "SELECT")
        with self._behind.read() as connection:
            yield connection
        self._perhaps("read_timed_out", "SELECT")

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        self.begins()
        self._perhaps("commit_refused", "BEGIN")
        self.about_to_write()
        with self._behind.write() as connection:
            yield connection
            self.about_to_commit()
        self.committed()
        self._perhaps("commit_doubtful", "COMMIT")

    def _perhaps(self, kind: str, statement: str) -> None:
        if self._strikes(kind):
            error, lost = self._choose(_SQLITE if self.sqlite else _MARIADB)
            raise sa.exc.OperationalError(statement, {}, error, connection_invalidated=lost)

    def begins(self) -> None:
        """Called before each call."""
        if self._strikes("storage_slow"):
            self.takes(self._choose(_SLOW_S))

    @abstractmethod
    def takes(self, seconds: float) -> None:
        """The call lasts so long."""

    def about_to_write(self) -> None: ...

    def about_to_commit(self) -> None: ...

    def committed(self) -> None: ...
