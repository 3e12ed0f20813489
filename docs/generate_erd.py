"""Writes docs/erd.md from the services' tables: `make docs`. `tests/test_schema.py` holds it.

There are no physical foreign keys: a column `<table>_id` is what relates rows, within a service and across.
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kit.database import Json, LongText, UtcTime

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ("identity", "workflow", "execution", "scheduler", "worker")
# columns that name a row of a table by what it is to theirs
ALIASES = {
    "run_id": "workflow_run",
    "rerun_of": "workflow_run",
    "created_by": "user",
    "updated_by": "user",
    "actor_user_id": "user",
}

_HEAD = """# The tables

Each service has a database of its own; `make docs` draws this page from their tables. Nothing here is a physical
foreign key: a column `<table>_id` relates its row to that table's, and the services keep it so.
"""


def metadata_of(service: str) -> sa.MetaData:
    """A service's tables, e.g. of `identity`."""
    storage = import_module(f"{service}_service.storage")
    if not hasattr(storage, "metadata"):
        storage = import_module(f"{service}_service.storage.tables")
    found: sa.MetaData = storage.metadata
    return found


def tables_of(service: str) -> list[sa.Table]:
    return sorted(metadata_of(service).tables.values(), key=lambda table: table.name)


def target(column: sa.Column[Any]) -> str | None:
    """The name of the table that a column's values are ids of, by its name."""
    if column.primary_key and column.name == f"{column.table.name}_id":
        return None
    if column.name in ALIASES:
        return ALIASES[column.name]
    return column.name.removesuffix("_id") if column.name.endswith("_id") else None


def _kind(column: sa.Column[Any]) -> str:
    match column.type:
        case UtcTime():
            return "time"
        case Json():
            return "json"
        case sa.Boolean():
            return "bool"
        case sa.BigInteger():
            return "bigint"
        case sa.Integer():
            return "int"
        case sa.Double():
            return "double"
        case sa.Text():
            return "text"
        case sa.String(length=length):
            return f"string({length})"
        case kind:
            return "text" if kind is LongText else str(kind).lower()


def _diagram(tables: list[sa.Table]) -> Iterator[str]:
    names = {table.name for table in tables}
    yield "```mermaid"
    yield "erDiagram"
    for table in tables:
        yield f"    {table.name} {{"
        for column in table.columns:
            mark = " PK" if column.primary_key else " FK" if target(column) in names else ""
            note = ' "may be absent"' if column.nullable else ""
            yield f"        {_kind(column)} {column.name}{mark}{note}"
        yield "    }"
    for table in tables:
        for column in table.columns:
            if (other := target(column)) in names:
                one = "|o" if column.nullable else "||"
                # a key that is another table's key: at most one row for each of its rows
                many = "o|" if column.primary_key else "o{"
                yield f"    {other} {one}--{many} {table.name} : {column.name}"
    yield "```"


def _elsewhere(service: str, home: dict[str, str]) -> Iterator[str]:
    """What a service's columns name in another one's database."""
    found: dict[str, set[str]] = {}
    own = {table.name for table in tables_of(service)}
    for table in tables_of(service):
        for column in table.columns:
            other = target(column)
            if other is not None and other not in own and other in home:
                found.setdefault(f"{home[other]}-service's `{other}`", set()).add(column.name)
    for place, columns in sorted(found.items()):
        yield f"- {', '.join(f'`{name}`' for name in sorted(columns))}: {place}"


def erd() -> str:
    """The page."""
    home = {table.name: service for service in SERVICES for table in tables_of(service)}
    parts = [_HEAD]
    for service in SERVICES:
        lines = [f"## {service}-service", *_diagram(tables_of(service))]
        if elsewhere := list(_elsewhere(service, home)):
            lines += ["", "In other services' databases:", "", *elsewhere]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def outputs() -> dict[Path, str]:
    """What each generated file holds."""
    return {ROOT / "docs" / "erd.md": erd()}


if __name__ == "__main__":
    for path, text in outputs().items():
        path.write_text(text, encoding="utf-8")
