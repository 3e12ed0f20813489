"""How many log lines a run's attempts wrote is known when it ends, so that a reader can wait for the last of them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column(
        "workflow_run",
        sa.Column(
            "log_lines",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="how many lines its ended attempts wrote; they are kept a moment later",
        ),
    )
