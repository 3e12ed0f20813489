"""Alembic revisions of worker-service's schema."""
