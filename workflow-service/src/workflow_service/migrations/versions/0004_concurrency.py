"""How many runs of a workflow, and how many tasks under one key, go on at once."""

import sqlalchemy as sa
from alembic import op

from kit.database import LongText

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("workflow", sa.Column("concurrency", LongText))
    op.add_column("job_task", sa.Column("concurrency_key", LongText))
    op.add_column("job_task", sa.Column("concurrency_limit", sa.Integer))
