"""What the database itself notes while the faults strike: triggers write it in the transaction that does it.

Reading the tables afterwards shows what was written last; this shows every write of an output, every change of what had
ended, every change of hands, every claim of an effect, every place under a limit, also where one was written over
another. What is noted at a time was committed later, and what was read before by whoever notes it was committed before.
"""

import sqlalchemy as sa

from execution_service.domain.run import RunState, TaskState


def _states(states: "type[RunState] | type[TaskState]") -> str:
    return ", ".join(f"'{state}'" for state in states if state.terminal)


_ENDED_RUN, _ENDED_TASK = _states(RunState), _states(TaskState)

_NOW = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS UNSIGNED)"
_TABLES = (
    # every write of an output that was committed
    "CREATE TABLE chaos.output (at BIGINT, task_run_id VARCHAR(80))",
    # every change of a run or a task that had ended
    "CREATE TABLE chaos.changed (at BIGINT, what VARCHAR(80), was VARCHAR(255), became VARCHAR(255))",
    # every attempt that another worker began again
    "CREATE TABLE chaos.moved (at BIGINT, task_run_id VARCHAR(80), attempt INT, was VARCHAR(128), began_at BIGINT)",
    # every write of the effect ledger
    "CREATE TABLE chaos.claim (at BIGINT, effect_id VARCHAR(64), state VARCHAR(16), holder VARCHAR(128), "
    "claimed_at BIGINT)",
    # every attempt that was over: from then on it counts no more, whatever still runs
    "CREATE TABLE chaos.over (at BIGINT, task_run_id VARCHAR(80), attempt INT)",
    # every place under a limit that was handed out (1) and given back (0)
    "CREATE TABLE chaos.place (at BIGINT, scope VARCHAR(255), owner VARCHAR(80), place_limit INT, held INT)",
)


def _output(when: str) -> str:
    return f"""
CREATE TRIGGER flowweaver_execution.chaos_output_{when.split()[1].lower()} {when} ON flowweaver_execution.task_io_data
FOR EACH ROW IF NEW.direction = 'out' THEN
    INSERT INTO chaos.output VALUES ({_NOW}, NEW.task_run_id);
END IF"""  # noqa: S608  # all of it is ours


def _described(row: str, *names: str) -> str:
    return f"CONCAT_WS(' ', {', '.join(f'{row}.{name}' for name in names)})"


_RUN = ("state", "version", "finished_at", "failure")
_TASK = ("state", "attempt", "worker", "finished_at", "failure")
_CLAIM = f"INSERT INTO chaos.claim VALUES ({_NOW}, NEW.effect_id, NEW.state, NEW.claimed_by, NEW.claimed_at)"  # noqa: S608

_HELD = "IN ('granted', 'taken')"


def _place(when: str, condition: str, row: str, held: int) -> str:
    return f"""
CREATE TRIGGER flowweaver_execution.chaos_place_{when.lower()}_{held} AFTER {when} ON flowweaver_execution.scope_place
FOR EACH ROW IF {condition} THEN
    INSERT INTO chaos.place VALUES ({_NOW}, {row}.scope_name, {row}.owner, {row}.place_limit, {held});
END IF"""  # noqa: S608


_TRIGGERS = (
    _place("INSERT", f"NEW.state {_HELD}", "NEW", 1),
    _place("UPDATE", f"NEW.state {_HELD} AND NOT OLD.state {_HELD}", "NEW", 1),
    _place("UPDATE", f"OLD.state {_HELD} AND NOT NEW.state {_HELD}", "OLD", 0),
    _place("DELETE", f"OLD.state {_HELD}", "OLD", 0),
    _output("AFTER INSERT"),
    # before: an update that changes nothing is a second write, too
    _output("BEFORE UPDATE"),
    f"""
CREATE TRIGGER flowweaver_execution.chaos_run AFTER UPDATE ON flowweaver_execution.workflow_run
FOR EACH ROW IF OLD.state IN ({_ENDED_RUN}) THEN
    INSERT INTO chaos.changed VALUES ({_NOW}, NEW.workflow_run_id, {_described("OLD", *_RUN)},
        {_described("NEW", *_RUN)});
END IF""",  # noqa: S608
    f"""
CREATE TRIGGER flowweaver_execution.chaos_task AFTER UPDATE ON flowweaver_execution.task_run
FOR EACH ROW BEGIN
    IF OLD.state IN ({_ENDED_TASK}) THEN
        INSERT INTO chaos.changed VALUES ({_NOW}, NEW.task_run_id, {_described("OLD", *_TASK)},
            {_described("NEW", *_TASK)});
    END IF;
    IF OLD.state = 'RUNNING' AND OLD.attempt = NEW.attempt AND OLD.worker <> NEW.worker THEN
        INSERT INTO chaos.moved VALUES ({_NOW}, NEW.task_run_id, NEW.attempt, OLD.worker, NEW.started_at);
    END IF;
    IF OLD.state IN ('QUEUED', 'RUNNING') AND
            (NEW.attempt <> OLD.attempt OR NEW.state NOT IN ('QUEUED', 'RUNNING')) THEN
        INSERT INTO chaos.over VALUES ({_NOW}, NEW.task_run_id, OLD.attempt);
    END IF;
END""",  # noqa: S608
    f"CREATE TRIGGER flowweaver_worker.chaos_claim AFTER INSERT ON flowweaver_worker.effect FOR EACH ROW {_CLAIM}",
    f"CREATE TRIGGER flowweaver_worker.chaos_renewal AFTER UPDATE ON flowweaver_worker.effect FOR EACH ROW {_CLAIM}",
)


def install(url: str) -> None:
    """Begins to note, on a MariaDB that a platform is running on."""
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE chaos CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        for statement in (*_TABLES, *_TRIGGERS):
            connection.exec_driver_sql(statement)
