"""The schema, and what it keeps, on both databases."""

import importlib
import re
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from kit.database import Database, utc_now
from kit.errors import NotFound
from workflow_service import storage
from workflow_service.domain.model import Problem, Retry, TaskBody, WorkflowBody
from workflow_service.storage import Actor, Query
from workflow_service.storage.tables import metadata


def actor(organization_id: str = "org-1") -> Actor:
    return Actor(organization_id, "user-1", utc_now())


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []


def plain(type_: str) -> str:
    """A type as it is written, without the display width and the collation that MariaDB adds."""
    return re.sub(r"(INT|INTEGER)\(\d+\)", r"\1", type_).replace("BOOL", "TINYINT").partition(" ")[0]


def test_the_migrated_types_are_those_that_the_code_writes(database: Database) -> None:
    """A SQLite column takes anything; MariaDB cuts or refuses, so there the types are compared."""
    with database.read() as connection:
        inspector = sa.inspect(connection)
        dialect = connection.dialect
        for table in metadata.tables.values():
            found = {column["name"]: column["type"] for column in inspector.get_columns(table.name)}
            for column in table.columns:
                expected, actual = (
                    plain(type_.compile(dialect)) for type_ in (column.type.dialect_impl(dialect), found[column.name])
                )
                assert actual == expected, (table.name, column.name)


def test_no_table_has_a_physical_foreign_key_and_each_key_is_named_after_its_table() -> None:
    for table in metadata.tables.values():
        assert not table.foreign_keys
        assert [column.name for column in table.primary_key.columns] == [f"{table.name}_id"]


def test_a_workflow_comes_back_as_it_was_saved(database: Database) -> None:
    body = WorkflowBody("이름 😀", "줄\n바꿈", {"k": {"n": [1, 2.5, None, "글"]}}, {"type": "object"}, timeout_s=0.1)
    problem = Problem(("jobs", 0), "jobs.a", "job_empty", (("job", "작업"),), False)
    who = actor()
    with database.write() as connection:
        workflow_id = storage.insert_workflow(connection, who, body)
        storage.set_problems(connection, "org-1", workflow_id, [problem])
    with database.read() as connection:
        found = storage.get_workflow(connection, "org-1", workflow_id)
        with pytest.raises(NotFound):
            storage.get_workflow(connection, "org-2", workflow_id)
    assert found.body == body
    assert found.problems == (problem,)
    assert found.stamp.created_at == who.now


def test_a_task_comes_back_as_it_was_saved(database: Database) -> None:
    body = TaskBody("t", "x", "d", {"a": {}}, Retry(3, jitter=0.25), 1.5, 2.5, 3.5, "slow", 2)
    with database.write() as connection:
        task_id = storage.insert_task(connection, actor(), body)
    with database.read() as connection:
        assert storage.get_task(connection, "org-1", task_id).body == body


def test_statements_of_one_organisation_touch_no_other(database: Database) -> None:
    with database.write() as connection:
        workflow_id = storage.insert_workflow(connection, actor("org-1"), WorkflowBody("w"))
        storage.update_workflow(connection, actor("org-2"), workflow_id, WorkflowBody("stolen"))
        storage.set_active(connection, actor("org-2"), workflow_id, False)
        storage.set_problems(connection, "org-2", workflow_id, [Problem((), "", "x")])
        found = storage.get_workflow(connection, "org-1", workflow_id)
        assert (found.body.name, found.active, found.problems) == ("w", True, ())
        assert storage.list_workflows(connection, "org-2", Query()).items == ()
        assert storage.latest_definition(connection, "org-2", workflow_id) is None


def test_a_page_never_repeats_and_never_skips(database: Database) -> None:
    with database.write() as connection:
        for number in range(7):
            storage.insert_workflow(connection, actor(), WorkflowBody("same name" if number % 2 else f"n{number}"))
    for sort in ("created_at", "-created_at", "name", "-name"):
        seen: list[str] = []
        cursor: Any = None
        while True:
            with database.read() as connection:
                page = storage.list_workflows(connection, "org-1", Query(sort=sort, limit=2, cursor=cursor))
            seen += [item.workflow_id for item in page.items]
            if (cursor := page.next_cursor) is None:
                break
        assert len(seen) == len(set(seen)) == 7


def test_the_package_knows_its_newest_revision() -> None:
    versions = importlib.import_module("workflow_service.migrations.versions.0001_initial")
    assert versions.revision == "0001"
