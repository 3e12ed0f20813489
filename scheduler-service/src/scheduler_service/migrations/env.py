"""Alembic's entry: runs on the connection that kit.database.migrate holds."""

from kit.database import run_migrations
from scheduler_service.storage import metadata

run_migrations(metadata)
