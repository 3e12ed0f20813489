"""How many items a task runs over; each item is a row of task_run of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column(
        "task_run",
        sa.Column(
            "item_count", sa.Integer(), nullable=True, comment="of a task that runs over a list, how many that has"
        ),
    )
