"""Alembic's entry: kit holds the connection, the tables are storage's."""

from kit.database import run_migrations
from workflow_service.storage import metadata

run_migrations(metadata)
