"""Who writes the same things stands in line. On SQLite every write transaction does already."""

import sqlalchemy as sa

from workflow_service.storage.tables import definition_lock


def lock_definitions(connection: sa.Connection, organization_id: str) -> None:
    """Holds the organisation's definitions until the transaction ends."""
    _hold(connection, organization_id)


def lock_catalogue(connection: sa.Connection) -> None:
    """Holds the catalogue of task types until the transaction ends."""
    _hold(connection, "catalogue")


def _hold(connection: sa.Connection, name: str) -> None:
    if connection.dialect.name == "sqlite":
        return
    connection.execute(definition_lock.insert().prefix_with("IGNORE").values(definition_lock_id=name))
    mine = definition_lock.c.definition_lock_id == name
    connection.execute(sa.select(definition_lock).where(mine).with_for_update()).all()
