"""Payloads too large for a row are kept apart, by reference."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column(
        "task_io_data",
        sa.Column(
            "reference",
            sa.String(length=200),
            nullable=True,
            comment="where a payload too large for a row is kept; its body is empty",
        ),
    )
