"""Until when an ended run is kept, and which runs are being removed."""

import sqlalchemy as sa
from alembic import op

from kit.database import TABLE_OPTIONS

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "workflow_run",
        sa.Column(
            "purge_at", sa.BigInteger(), nullable=True, comment="until then an ended run is kept; null: for ever"
        ),
    )
    op.create_index("ix_workflow_run_purge_at", "workflow_run", ["purge_at"])
    # a run is kept while a rerun of it is, which may show its artifacts
    op.create_index("ix_workflow_run_rerun_of", "workflow_run", ["rerun_of"])
    op.create_index("ix_start_key_created_at", "start_key", ["created_at"])
    op.create_table(
        "purged_run",
        sa.Column("purged_run_id", sa.String(length=64), nullable=False, comment="a run whose rows are being removed"),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("purged_run_id"),
        **TABLE_OPTIONS,
    )
