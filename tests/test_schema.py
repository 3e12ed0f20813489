"""What the migrations make is what the tables say, on SQLite and MariaDB; and the tables keep our rules."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from kit.database import Database, migrate

ROOT = Path(__file__).resolve().parents[1]


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_erd", ROOT / "docs" / "generate_erd.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ERD = _generator()
TABLES = [(service, table) for service in ERD.SERVICES for table in ERD.tables_of(service)]
every_table = pytest.mark.parametrize(
    ("service", "table"), TABLES, ids=[f"{service}.{table.name}" for service, table in TABLES]
)

# tables of no organisation, and why
NOT_A_TENANTS = {
    "identity.user": "one person may be a member of several organisations: membership says of which",
    "identity.permission": "what may be permitted at all, the same for everybody",
    "identity.role_permission": "of its role, which has the organisation",
    "identity.membership_role": "of its membership, which has the organisation",
    "identity.refresh_token": "of its session, which has the organisation; found by its hash before anybody is known",
    "identity.login_attempt": "counts what was typed, before anybody is known",
    "identity.signing_key": "the platform's own",
    "workflow.definition_lock": "one row for each organisation, whose id is its key: writers of definitions lock it",
    "workflow.task_type": "what the workers can run, the same for everybody",
    "execution.start_key": "its id is a hash of organisation, workflow and key",
    "execution.scope": "a lock; a queue's limit is shared by all organisations, whose places have them",
    "execution.run_counter": "of its workflow, whose runs have the organisation",
    "execution.dead_event": "of its run, which has the organisation; only operators of the platform read it",
    "execution.outbox": "carries events of all organisations to the broker; the event names its own",
    "execution.stream_seen": "what this platform knows of its broker",
}
# tables whose key is not <table>_id, and why
OTHER_KEYS = {
    "execution.run_counter": "one row for each workflow: the workflow's id is its key",
    "execution.stream_seen": "one row for each stream of the broker: its name is its key",
}
# singular words that end as plurals do
SINGULAR = {"status", "access", "address", "process", "progress", "alias", "bus", "news"}


@pytest.fixture
def empty(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.mark.parametrize("service", ERD.SERVICES)
def test_the_migrated_schema_is_what_the_tables_say(service: str, empty: Database) -> None:
    migrate(empty, f"{service}_service")
    with empty.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert not compare_metadata(context, ERD.metadata_of(service))
        found = set(sa.inspect(connection).get_table_names())
    assert found == {table.name for table in ERD.tables_of(service)} | {"alembic_version"}


@pytest.mark.parametrize("service", ERD.SERVICES)
def test_a_difference_between_schema_and_tables_would_be_seen(service: str, empty: Database) -> None:
    migrate(empty, f"{service}_service")
    with empty.write() as connection:
        table = ERD.tables_of(service)[0].name
        connection.execute(sa.text(f"ALTER TABLE {table} ADD COLUMN nobody_said_so INTEGER"))
    with empty.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        [difference] = compare_metadata(context, ERD.metadata_of(service))
    assert difference[0] == "remove_column"


@every_table
def test_a_table_has_a_singular_name(service: str, table: sa.Table) -> None:
    last = table.name.rsplit("_", 1)[-1]
    assert table.name == table.name.lower()
    assert last in SINGULAR or not last.endswith("s")


@every_table
def test_a_table_has_one_key_named_after_it(service: str, table: sa.Table) -> None:
    keys = [column.name for column in table.primary_key]
    assert (keys == [f"{table.name}_id"]) is (f"{service}.{table.name}" not in OTHER_KEYS)
    assert len(keys) == 1


@every_table
def test_a_table_has_no_physical_foreign_key(service: str, table: sa.Table) -> None:
    assert not table.foreign_keys


@every_table
def test_a_table_of_tenants_has_their_column(service: str, table: sa.Table) -> None:
    assert ("organization_id" in table.columns) is (f"{service}.{table.name}" not in NOT_A_TENANTS)
    if "organization_id" in table.columns:
        assert not table.columns["organization_id"].nullable


def test_the_exceptions_are_still_there() -> None:
    assert (set(NOT_A_TENANTS) | set(OTHER_KEYS)) <= {f"{service}.{table.name}" for service, table in TABLES}


@every_table
def test_texts_are_compared_alike_on_every_database(service: str, table: sa.Table) -> None:
    # SQLite compares bytes; MariaDB would take A for a unless told otherwise
    assert table.kwargs["mysql_collate"] == "utf8mb4_bin"
    assert table.kwargs["mysql_engine"] == "InnoDB"


def test_the_page_of_the_tables_is_drawn_from_them() -> None:
    stale = [path.name for path, text in ERD.outputs().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run `make docs`"


def test_the_drawing_relates_what_belongs_together() -> None:
    page = ERD.erd()
    for line in (
        "organization ||--o{ membership : organization_id",
        "department |o--o{ membership : department_id",
        "workflow ||--o{ workflow_job : workflow_id",
        "workflow_run ||--o{ task_run : workflow_run_id",
        "schedule ||--o{ firing : schedule_id",
        "- `organization_id`: identity-service's `organization`",
    ):
        assert line in page
