"""Alembic runs this; the connection comes from `kit.database.migrate`."""

from identity_service.storage import metadata
from kit.database import run_migrations

run_migrations(metadata)
