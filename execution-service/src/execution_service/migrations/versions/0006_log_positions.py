"""Log lines are numbered within their run in the order of their commits (docs/decisions/0016).

Older lines have no number: they come first, in the order of their ids.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column(
        "execution_log",
        sa.Column("position", sa.BigInteger(), nullable=True, comment="within its run, in the order of the commits"),
    )
    op.create_index("ix_execution_log_position", "execution_log", ["workflow_run_id", "position"], unique=True)
    op.drop_index("ix_execution_log_workflow_run", "execution_log")
