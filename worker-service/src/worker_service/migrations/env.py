"""Run by Alembic."""

from kit.database import run_migrations
from worker_service.storage import metadata

run_migrations(metadata)
