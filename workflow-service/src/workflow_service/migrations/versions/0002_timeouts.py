"""How long an attempt may wait for a worker, how long a running one may be silent, how long ended runs are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for table in ("task", "job_task"):
        for name in ("queue_timeout_s", "heartbeat_s"):
            op.add_column(table, sa.Column(name, sa.Double))
    op.add_column("workflow", sa.Column("retention_days", sa.Double))
