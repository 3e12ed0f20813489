"""A placement that runs once per item of a list, and how many items at once."""

import sqlalchemy as sa
from alembic import op

from kit.database import LongText

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("job_task", sa.Column("for_each", LongText))
    op.add_column("job_task", sa.Column("max_parallel", sa.Integer))
