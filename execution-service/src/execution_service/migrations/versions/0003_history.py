"""What lists of runs and their statistics are read through.

Each of these indexes is written once more for every run, and again when its state changes; so there is one for each
way to enter the history, and none for combinations. Each begins with the organisation, ends its order with the run's id
(ties), and goes on with the columns of the other filters, so that what a filter leaves out costs no look at its row:

created    the default list, a range of time, and the statistics, which are read from it (or the next) alone
workflow   one workflow's runs, and its statistics; in place of the one that began with the workflow
state      what runs, waits or failed is rare among a million that succeeded
finished   the order of their ends
duration   the longest and the shortest; `duration` is a column because MariaDB has no index of an expression

`first_task_at` is kept because a list cannot look through up to 10,000 tasks of each of its runs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "workflow_run",
        sa.Column(
            "first_task_at",
            sa.BigInteger(),
            nullable=True,
            comment="when the first attempt of any of its tasks started",
        ),
    )
    op.add_column(
        "workflow_run",
        sa.Column(
            "duration", sa.BigInteger(), nullable=True, comment="from started_at to finished_at, in microseconds"
        ),
    )
    op.execute(
        "UPDATE workflow_run SET duration = finished_at - COALESCE(started_at, created_at), first_task_at ="
        " (SELECT MIN(started_at) FROM task_run WHERE task_run.workflow_run_id = workflow_run.workflow_run_id)"
    )
    # the attempts before a retry
    op.execute(
        "UPDATE workflow_run SET first_task_at ="
        " (SELECT MIN(started_at) FROM task_attempt WHERE task_attempt.workflow_run_id = workflow_run.workflow_run_id)"
        " WHERE first_task_at > (SELECT MIN(started_at) FROM task_attempt"
        " WHERE task_attempt.workflow_run_id = workflow_run.workflow_run_id) OR first_task_at IS NULL"
    )
    op.drop_index("ix_workflow_run_organization", "workflow_run")
    op.drop_index("ix_workflow_run_workflow", "workflow_run")
    op.create_index(
        "ix_workflow_run_created",
        "workflow_run",
        ["organization_id", "created_at", "workflow_run_id", "workflow_id", "state", "trigger_kind", "duration"],
    )
    op.create_index(
        "ix_workflow_run_workflow",
        "workflow_run",
        ["organization_id", "workflow_id", "created_at", "workflow_run_id", "state", "trigger_kind", "duration"],
    )
    op.create_index(
        "ix_workflow_run_state",
        "workflow_run",
        ["organization_id", "state", "created_at", "workflow_run_id", "trigger_kind"],
    )
    op.create_index(
        "ix_workflow_run_finished",
        "workflow_run",
        ["organization_id", "finished_at", "workflow_run_id", "workflow_id", "state", "trigger_kind", "created_at"],
    )
    op.create_index(
        "ix_workflow_run_duration",
        "workflow_run",
        ["organization_id", "duration", "workflow_run_id", "workflow_id", "state", "trigger_kind", "created_at"],
    )
