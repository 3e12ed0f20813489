"""What streams ask again and again: whether a run changed, and which of an organisation's runs did. Each question reads
one range of one index, or rows by their keys, however long the history is; no column or index is kept for it."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from execution_service.domain.run import RunState
from execution_service.storage import tables
from execution_service.storage.history import through
from execution_service.storage.log import last_line
from kit.database import Database

LINES_COME_S = 5.0
"""An ended run's last log lines are kept within so long, or the replica that had them is gone."""
OPEN = tuple(state for state in RunState if not state.terminal)
_RUN = tables.workflow_run.c


@dataclass(frozen=True, slots=True)
class Head:
    """How far a run is: its version, its state, and the number of its newest log line."""

    version: int
    state: RunState
    lines: int
    finished_at: int | None
    log_lines: int
    """How many there must be when all are kept that its ended attempts wrote."""

    def lacks_lines(self, now: int) -> bool:
        """Whether it ended just now, and lines of it are still on their way."""
        recent = self.finished_at is not None and now - self.finished_at < LINES_COME_S * 1_000_000
        return recent and self.lines < self.log_lines


def read_heads(database: Database, run_ids: Collection[str]) -> dict[str, Head]:
    """By run; what is not there (any more) is left out."""
    query = sa.select(
        _RUN.workflow_run_id,
        _RUN.version,
        _RUN.state,
        last_line(_RUN.workflow_run_id),
        _RUN.finished_at,
        _RUN.log_lines,
    ).where(_RUN.workflow_run_id.in_(run_ids))
    with database.read() as connection:
        return {row[0]: Head(row[1], RunState(row[2]), *row[3:]) for row in connection.execute(query)}


def open_states(database: Database, organization_id: str) -> dict[str, str]:
    """The state of each run that has not ended, by its id, out of the index alone."""
    query = through(sa.select(_RUN.workflow_run_id, _RUN.state), database, "ix_workflow_run_state").where(
        _RUN.organization_id == organization_id, _RUN.state.in_(OPEN)
    )
    with database.read() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def ended_states(database: Database, organization_id: str, since: int, limit: int) -> dict[str, str]:
    """The same of the runs that ended at `since` or later, the last to end first."""
    query = through(sa.select(_RUN.workflow_run_id, _RUN.state), database, "ix_workflow_run_finished").where(
        _RUN.organization_id == organization_id, _RUN.finished_at >= since
    )
    with database.read() as connection:
        rows = connection.execute(query.order_by(_RUN.finished_at.desc(), _RUN.workflow_run_id.desc()).limit(limit))
        return {row[0]: row[1] for row in rows}


def stirred_runs(database: Database, organization_id: str, since: int, limit: int) -> list[str]:
    """Ids of open runs in which something happened at `since` or later, the newest first."""
    query = through(sa.select(_RUN.workflow_run_id), database, "ix_workflow_run_state").where(
        _RUN.organization_id == organization_id, _RUN.state.in_(OPEN), _RUN.clock >= since
    )
    with database.read() as connection:
        rows = connection.execute(query.order_by(_RUN.workflow_run_id.desc()).limit(limit))
        return list(rows.scalars())
