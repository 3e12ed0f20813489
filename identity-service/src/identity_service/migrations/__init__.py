"""Alembic's revisions of identity's tables."""
