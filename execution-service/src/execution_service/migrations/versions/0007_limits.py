"""Limits that runs share: who waits for a place under one, and who holds one."""

import sqlalchemy as sa
from alembic import op

from kit.database import TABLE_OPTIONS

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "scope",
        sa.Column("scope_id", sa.String(length=64), nullable=False, comment="hash of the limit's name"),
        sa.Column("last_organization_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("scope_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "scope_place",
        sa.Column("scope_place_id", sa.String(length=160), nullable=False, comment="<owner>.<scope>"),
        sa.Column("owner", sa.String(length=80), nullable=False, comment="a run, or a task run"),
        sa.Column("scope_id", sa.String(length=64), nullable=False),
        sa.Column("scope_name", sa.String(length=255), nullable=False),
        sa.Column("workflow_run_id", sa.String(length=64), nullable=False),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.String(length=8),
            nullable=False,
            comment="waiting, granted (its run does not know yet), taken",
        ),
        sa.Column("place_limit", sa.Integer(), nullable=False),
        sa.Column("overflow", sa.String(length=8), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope_place_id"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_scope_place_scope", "scope_place", ["scope_id", "state", "priority", "since"])
    op.create_index("ix_scope_place_state", "scope_place", ["state", "scope_id"])
    op.create_index("ix_scope_place_owner", "scope_place", ["owner"])
    op.create_index("ix_scope_place_workflow_run", "scope_place", ["workflow_run_id"])
