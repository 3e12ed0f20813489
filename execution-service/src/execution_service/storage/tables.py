"""What is kept. Times are microseconds (BIGINT), payloads are JSON text; integrity is the engine's, not foreign keys'.

A task_run row appears when its task leaves PENDING: what has not happened stands in the definition.
"""

import sqlalchemy as sa

from kit.database import TABLE_OPTIONS, LongText, id_column

metadata = sa.MetaData()


def _micros(name: str, *, nullable: bool = True) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


workflow_run = sa.Table(
    "workflow_run",
    metadata,
    id_column("workflow_run_id", primary_key=True),
    id_column("organization_id"),
    id_column("workflow_id"),
    sa.Column("workflow_version", sa.BigInteger, nullable=False),
    sa.Column("workflow_name", sa.String(255), nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("trigger_kind", sa.String(16), nullable=False),
    sa.Column("cause", sa.String(255), nullable=False),
    sa.Column("trace_id", sa.String(32), nullable=False),
    id_column("rerun_of", nullable=True),
    sa.Column("parent", sa.String(96), comment="<task run>.<attempt> that waits for this run"),
    sa.Column("depth", sa.Integer, nullable=False, server_default="0"),
    sa.Column("input", LongText, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    _micros("created_at", nullable=False),
    _micros("started_at"),
    _micros("finished_at"),
    _micros("clock", nullable=False),
    _micros("deadline", nullable=False),
    _micros("cancel_due"),
    _micros("next_due_at"),
    sa.Column("failure", LongText),
    sa.Column("first_task_at", sa.BigInteger, comment="when the first attempt of any of its tasks started"),
    sa.Column("duration", sa.BigInteger, comment="from started_at to finished_at, in microseconds"),
    sa.Column("purge_at", sa.BigInteger, comment="until then an ended run is kept; null: for ever"),
    sa.Column(
        "log_lines",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="how many lines its ended attempts wrote; they are kept a moment later",
    ),
    # for people's lists and statistics alone (migrations/versions/0003_history.py says which is for what): each begins
    # with the organisation, and holds all that a filter may ask for, so that rows are read only to be shown
    sa.Index(
        "ix_workflow_run_created",
        *("organization_id", "created_at", "workflow_run_id", "workflow_id", "state", "trigger_kind", "duration"),
    ),
    sa.Index(
        "ix_workflow_run_workflow",
        *("organization_id", "workflow_id", "created_at", "workflow_run_id", "state", "trigger_kind", "duration"),
    ),
    sa.Index(
        "ix_workflow_run_state",
        *("organization_id", "state", "created_at", "workflow_run_id", "trigger_kind"),
    ),
    sa.Index(
        "ix_workflow_run_finished",
        *("organization_id", "finished_at", "workflow_run_id", "workflow_id", "state", "trigger_kind", "created_at"),
    ),
    sa.Index(
        "ix_workflow_run_duration",
        *("organization_id", "duration", "workflow_run_id", "workflow_id", "state", "trigger_kind", "created_at"),
    ),
    sa.Index("ix_workflow_run_next_due_at", "next_due_at"),
    sa.Index("ix_workflow_run_parent", "parent"),
    sa.Index("ix_workflow_run_purge_at", "purge_at"),
    sa.Index("ix_workflow_run_rerun_of", "rerun_of"),
    **TABLE_OPTIONS,
)

job_run = sa.Table(
    "job_run",
    metadata,
    sa.Column("job_run_id", sa.String(80), primary_key=True),
    id_column("workflow_run_id"),
    id_column("organization_id"),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    _micros("started_at"),
    _micros("finished_at"),
    sa.Index("ix_job_run_workflow_run", "workflow_run_id", "position"),
    **TABLE_OPTIONS,
)

task_run = sa.Table(
    "task_run",
    metadata,
    sa.Column("task_run_id", sa.String(80), primary_key=True),
    id_column("workflow_run_id"),
    id_column("organization_id"),
    # in the plan; that of its item n: position + (n + 1) * 100,000
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("task_key", sa.String(64), nullable=False),
    sa.Column("type", sa.String(128), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("delivery", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(128)),
    _micros("queued_at"),
    _micros("started_at"),
    _micros("finished_at"),
    _micros("due_at"),
    sa.Column("failure", LongText),
    sa.Column("version", sa.BigInteger, nullable=False, comment="the run's version that last changed this row"),
    sa.Column("item_count", sa.Integer, comment="of a task that runs over a list, how many that has"),
    sa.Index("ix_task_run_workflow_run", "workflow_run_id", "version"),
    **TABLE_OPTIONS,
)

task_attempt = sa.Table(
    "task_attempt",
    metadata,
    sa.Column("task_attempt_id", sa.String(96), primary_key=True),
    sa.Column("task_run_id", sa.String(80), nullable=False),
    id_column("workflow_run_id"),
    id_column("organization_id"),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(128)),
    _micros("queued_at"),
    _micros("started_at"),
    _micros("finished_at"),
    sa.Column("failure", LongText),
    sa.Index("ix_task_attempt_workflow_run", "workflow_run_id"),
    **TABLE_OPTIONS,
)

task_io_data = sa.Table(
    "task_io_data",
    metadata,
    sa.Column("task_io_data_id", sa.String(84), primary_key=True, comment="<task run>.in or <task run>.out"),
    sa.Column("task_run_id", sa.String(80), nullable=False),
    id_column("workflow_run_id"),
    id_column("organization_id"),
    sa.Column("direction", sa.String(3), nullable=False),
    sa.Column("body", LongText, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("reference", sa.String(200), comment="where a payload too large for a row is kept; its body is empty"),
    sa.Index("ix_task_io_data_workflow_run", "workflow_run_id"),
    **TABLE_OPTIONS,
)

purged_run = sa.Table(
    "purged_run",
    metadata,
    sa.Column("purged_run_id", sa.String(64), primary_key=True, comment="a run whose rows are being removed"),
    id_column("organization_id"),
    **TABLE_OPTIONS,
)

task_wait = sa.Table(
    "task_wait",
    metadata,
    sa.Column("task_wait_id", sa.String(80), primary_key=True, comment="the task run's id"),
    sa.Column("wait_key", sa.String(96), nullable=False, comment="<task run>.<attempt>"),
    id_column("workflow_run_id"),
    id_column("organization_id"),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("name", sa.String(128), nullable=False, comment="of the event, or the workflow's id"),
    sa.Column("body", LongText, nullable=False, comment="the resolved parameters"),
    sa.Column("since", sa.BigInteger, nullable=False, comment="events from then on count"),
    _micros("waiting_since", nullable=False),
    sa.Index("ix_task_wait_name", "organization_id", "kind", "name"),
    sa.Index("ix_task_wait_kind", "kind", "task_wait_id"),
    sa.Index("ix_task_wait_key", "wait_key"),
    **TABLE_OPTIONS,
)

received_event = sa.Table(
    "received_event",
    metadata,
    id_column("received_event_id", primary_key=True),
    id_column("organization_id"),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("body", LongText, nullable=False),
    _micros("received_at", nullable=False),
    sa.Index("ix_received_event_name", "organization_id", "name", "received_at"),
    sa.Index("ix_received_event_received_at", "received_at"),
    **TABLE_OPTIONS,
)

scope = sa.Table(
    "scope",
    metadata,
    sa.Column("scope_id", sa.String(64), primary_key=True, comment="hash of the limit's name"),
    id_column("last_organization_id"),
    **TABLE_OPTIONS,
)

scope_place = sa.Table(
    "scope_place",
    metadata,
    sa.Column("scope_place_id", sa.String(160), primary_key=True, comment="<owner>.<scope>"),
    sa.Column("owner", sa.String(80), nullable=False, comment="a run, or a task run"),
    sa.Column("scope_id", sa.String(64), nullable=False),
    sa.Column("scope_name", sa.String(255), nullable=False),
    id_column("workflow_run_id"),
    id_column("organization_id"),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("state", sa.String(8), nullable=False, comment="waiting, granted (its run does not know yet), taken"),
    sa.Column("place_limit", sa.Integer, nullable=False),
    sa.Column("overflow", sa.String(8), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    _micros("since", nullable=False),
    sa.Index("ix_scope_place_scope", "scope_id", "state", "priority", "since"),
    sa.Index("ix_scope_place_state", "state", "scope_id"),
    sa.Index("ix_scope_place_owner", "owner"),
    sa.Index("ix_scope_place_workflow_run", "workflow_run_id"),
    **TABLE_OPTIONS,
)

start_key = sa.Table(
    "start_key",
    metadata,
    sa.Column("start_key_id", sa.String(64), primary_key=True, comment="hash of organisation, workflow and key"),
    sa.Column("body_hash", sa.String(64), nullable=False),
    id_column("workflow_run_id"),
    _micros("created_at", nullable=False),
    sa.Index("ix_start_key_created_at", "created_at"),
    **TABLE_OPTIONS,
)

run_counter = sa.Table(
    "run_counter",
    metadata,
    id_column("workflow_id", primary_key=True),
    sa.Column("next_number", sa.BigInteger, nullable=False),
    **TABLE_OPTIONS,
)

definition = sa.Table(
    "definition",
    metadata,
    sa.Column("definition_id", sa.String(96), primary_key=True, comment="<workflow>.<version>"),
    id_column("organization_id"),
    sa.Column("body", LongText, nullable=False),
    **TABLE_OPTIONS,
)

execution_log = sa.Table(
    "execution_log",
    metadata,
    id_column("execution_log_id", primary_key=True),
    id_column("workflow_run_id"),
    id_column("organization_id"),
    sa.Column("task_run_id", sa.String(80)),
    sa.Column("attempt", sa.Integer),
    _micros("at", nullable=False),
    sa.Column("level", sa.String(16), nullable=False),
    sa.Column("event", LongText, nullable=False),
    sa.Column("fields", LongText, nullable=False),
    sa.Column("worker", sa.String(128)),
    sa.Column("position", sa.BigInteger, comment="within its run, in the order of the commits"),
    sa.Index("ix_execution_log_position", "workflow_run_id", "position", unique=True),
    **TABLE_OPTIONS,
)

dead_event = sa.Table(
    "dead_event",
    metadata,
    id_column("dead_event_id", primary_key=True),
    id_column("workflow_run_id"),
    sa.Column("event", LongText, nullable=False),
    sa.Column("error", LongText, nullable=False),
    _micros("at", nullable=False),
    **TABLE_OPTIONS,
)

outbox = sa.Table(
    "outbox",
    metadata,
    id_column("outbox_id", primary_key=True),
    sa.Column("subject", sa.String(255), nullable=False),
    sa.Column("body", LongText, nullable=False),
    _micros("created_at", nullable=False),
    _micros("published_at"),
    sa.Index("ix_outbox_published_at", "published_at", "outbox_id"),
    **TABLE_OPTIONS,
)

stream_seen = sa.Table(
    "stream_seen",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("created", sa.String(64), nullable=False, comment="another creation time means that the broker forgot"),
    **TABLE_OPTIONS,
)
