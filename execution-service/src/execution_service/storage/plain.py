"""A write transaction in the driver's own statements, for the one path whose every microsecond counts: the commit.

Between SQLAlchemy's statement and the driver's lies more time than SQLite takes for it. Errors are SQLAlchemy's, as
everywhere, so that who catches them need not know which path it was.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from kit.database import Database


class Statements:
    """What the block of `transaction` works with. `mark` is how the driver writes a parameter."""

    __slots__ = ("_cursor", "_mark", "statement")

    def __init__(self, cursor: Any, mark: str) -> None:
        self._cursor = cursor
        self._mark = mark
        self.statement = ""

    def select_in(self, query: str, keys: Sequence[Any], tail: str = "") -> list[tuple[Any, ...]]:
        """The rows of `<query> IN (<keys>) <tail>`."""
        self.statement = f"{query} IN ({', '.join([self._mark] * len(keys))}) {tail}"
        self._cursor.execute(self.statement, keys)
        return list(self._cursor.fetchall())

    def exec_driver_sql(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        """Once for each row, in one round trip where the driver can."""
        self.statement = statement
        if len(rows) == 1:
            self._cursor.execute(statement, rows[0])
        else:
            self._cursor.executemany(statement, rows)


@contextmanager
def transaction(database: Database) -> Iterator[Statements]:
    """As `database.write()`: commits at the end of the block; when that raises, nobody knows what was written."""
    dialect = database.engine.dialect
    failures: Any = dialect.dbapi.Error  # type: ignore[union-attr]  # every engine of ours has its driver
    with database.write() as connection:
        driver: Any = connection.connection.dbapi_connection
        cursor = driver.cursor()
        statements = Statements(cursor, "?" if database.sqlite else "%s")
        try:
            yield statements
        except failures as error:
            if dialect.is_disconnect(error, driver, cursor):
                connection.invalidate(error)
            raise sa.exc.DBAPIError.instance(statements.statement, None, error, failures, dialect=dialect) from error
        finally:
            cursor.close()
