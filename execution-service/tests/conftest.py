"""Fixtures of the engine's tests; what they are made of stands in engine_house.py."""

import os
from collections.abc import Callable, Iterator

import pymysql
import pytest
import sqlalchemy as sa
from engine_house import definitions, house, idle_house

from execution_service.storage.tables import metadata
from kit import logs
from kit.database import Database, migrate

__all__ = ["definitions", "house", "idle_house"]


@pytest.fixture(scope="session", autouse=True)
def _lines_as_in_production() -> None:
    logs.configure("execution", "test")


@pytest.fixture(scope="session")
def _schemas(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], str]]:
    """The address of one migrated schema per kind of database, made when first asked for: migrating takes a second."""
    made: dict[str, str] = {}
    name = f"fwtest_{os.getpid()}_execution"

    def address(kind: str) -> str:
        if kind not in made:
            made[kind] = f"sqlite:///{tmp_path_factory.mktemp('database') / 'execution.db'}"
            if kind == "mariadb":
                port = request.getfixturevalue("mariadb_port")
                if port is None:
                    pytest.skip("no MariaDB: see NOT COVERED")
                made[kind] = f"mysql+pymysql://root@127.0.0.1:{port}/{name}?charset=utf8mb4"
            database = Database(made[kind])
            migrate(database, "execution_service")
            database.close()
        return made[kind]

    yield address
    if "mariadb" in made:
        url = sa.make_url(made["mariadb"])
        with pymysql.connect(host="127.0.0.1", port=url.port or 0, user="root") as connection:
            connection.cursor().execute(f"DROP DATABASE `{name}`")


@pytest.fixture
def empty_schema(_schemas: Callable[[str], str]) -> Callable[[str], str]:
    """Gives the address of an empty, migrated database of that kind."""

    def emptied(kind: str) -> str:
        database = Database(_schemas(kind))
        with database.write() as connection:
            for table in metadata.tables.values():
                connection.execute(table.delete())
        database.close()
        return _schemas(kind)

    return emptied


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(request: pytest.FixtureRequest, empty_schema: Callable[[str], str]) -> str:
    """SQLite, then MariaDB."""
    return empty_schema(request.param)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()
