from execution_service.storage.tables import metadata
from kit.database import run_migrations

run_migrations(metadata)
