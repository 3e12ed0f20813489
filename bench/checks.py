"""What must hold for a figure to count: the work was done, elsewhere, durably, and with the settings everybody gets."""

import asyncio
import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nats
import sqlalchemy as sa

from bench.stack import Stack
from bench.store import Store, Task
from kit.database import Database

ALLOWED = {
    "FLOWWEAVER_DATA", "FLOWWEAVER_PORT", "FLOWWEAVER_ADMIN_EMAIL", "FLOWWEAVER_ADMIN_PASSWORD",
    "FLOWWEAVER_TEST_TASKS",
}  # fmt: skip
TUNING = (
    "PYTHONOPTIMIZE", "PYTHONMALLOC", "PYTHONDEVMODE", "PYTHONASYNCIODEBUG", "PYTHONPROFILEIMPORTTIME", "UVLOOP_",
    "MALLOC_", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GODEBUG", "LD_PRELOAD", "TRAEFIK_",
)  # fmt: skip
"""Variables that would make a process of ours run otherwise than a plain one."""


class CheckFailed(Exception):
    """The figure does not count."""


def work(stack: Stack, store: Store, runs: Sequence[str], inputs: Sequence[Sequence[int]]) -> None:
    """Each run's tasks are all SUCCESS, each output is its input + 1 and the next one's input, all in other processes.

    `inputs`: for each task the positions of the tasks whose output it may have taken (none: the run's own, 0).
    """
    found = store.tasks(runs)
    workers = {child["pid"] for child in stack.children("worker")}
    engines = {child["pid"] for child in stack.children("execution")}
    for run_id in runs:
        tasks = found[run_id]
        _expect(len(tasks) == len(inputs), f"{run_id}: {len(tasks)} tasks recorded of {len(inputs)}")
        for task, before in zip(tasks, inputs, strict=True):
            _check_task(task, [tasks[position] for position in before])
            pid = _pid(task.worker)
            _expect(pid in workers and pid not in engines, f"{task.task_run_id} ran in {task.worker}, no worker")
    last = found[runs[-1]][-1]
    _expect(stack.output(last.task_run_id) == last.output, f"the gateway shows another output of {last.task_run_id}")


def slept(store: Store, runs: Sequence[str], tasks: int) -> None:
    """Each run's tasks are all recorded and ended well."""
    for run_id, found in store.tasks(runs).items():
        _expect(len(found) == tasks, f"{run_id}: {len(found)} tasks recorded of {tasks}")
        for task in found:
            _expect(task.state == "SUCCESS", f"{task.task_run_id} is {task.state}")


def _check_task(task: Task, before: Sequence[Task]) -> None:
    _expect(task.state == "SUCCESS", f"{task.task_run_id} is {task.state}")
    given, made = (task.input or {}).get("n"), (task.output or {}).get("n")
    _expect(isinstance(given, int) and made == given + 1, f"{task.task_run_id}: {given} became {made}")
    for other in before:
        _expect(other.output == task.input, f"{task.task_run_id} did not take {other.task_run_id}'s output")
        _expect(other.finished_at <= task.started_at, f"{task.task_run_id} began before {other.task_run_id} ended")


def _pid(worker: str) -> int:
    """A worker is called `<host>-<replica>-<pid>-<random>`."""
    rest = worker.removeprefix(socket.gethostname())
    return int(rest.split("-")[2])


def settings(stack: Stack) -> None:
    """The running platform was told nothing but where it lies and who its administrator is."""
    assert stack.process is not None  # noqa: S101
    text = Path(f"/proc/{stack.process.pid}/environ").read_bytes().decode()
    names = {line.partition("=")[0] for line in text.split("\0") if line}
    allowed = ALLOWED if stack.database_url is None else ALLOWED | {"FLOWWEAVER_DATABASE_URL"}
    told = {name for name in names if name.startswith("FLOWWEAVER_")}
    _expect(told <= allowed, f"settings other than the defaults: {sorted(told - allowed)}")
    tuned = {name for name in names if name.startswith(TUNING)}
    _expect(not tuned, f"variables that change how processes run: {sorted(tuned)}")
    command = Path(f"/proc/{stack.process.pid}/cmdline").read_bytes().decode().split("\0")
    _expect([part for part in command if part][-1] == "up", f"options on the command line: {command}")
    children = [child["service"] for child in stack.endpoint["children"]]
    _expect(len(children) == len(set(children)), f"more than one replica: {children}")


def durability(stack: Stack) -> None:
    """SQLite syncs at every commit (as services open it: `kit.database`), MariaDB flushes; JetStream keeps files."""
    if stack.database_url is None:
        database = Database(f"sqlite:///{stack.data / 'databases' / 'execution.db'}")
        with database.read() as connection:
            synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
            journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        database.close()
        _expect(synchronous == 2 and journal == "wal", f"SQLite: synchronous={synchronous}, journal_mode={journal}")
    else:
        engine = sa.create_engine(stack.database_url)
        with engine.connect() as connection:
            shown = connection.exec_driver_sql("SELECT @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite").one()
        engine.dispose()
        _expect(str(shown[0]) == "1", f"MariaDB: innodb_flush_log_at_trx_commit={shown[0]}")
    port = stack.children("nats")[0]["port"]
    storage = asyncio.run(_storage(f"nats://127.0.0.1:{port}"))
    _expect(storage == "file", f"JetStream keeps tasks in {storage}")
    kind = _filesystem(stack.data)
    _expect(kind not in ("tmpfs", "ramfs"), f"the data folder lies on {kind}")


async def _storage(url: str) -> str:
    client = await nats.connect(url)
    try:
        info = await client.jetstream().stream_info("TASKS")
        return str(getattr(info.config.storage, "value", info.config.storage))
    finally:
        await client.close()


def _filesystem(path: Path) -> str:
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    inside = [(point, kind) for point, kind in mounts if path.resolve().is_relative_to(point)]
    return max(inside, key=lambda one: len(one[0]))[1] if inside else "unknown"


def alive(stack: Stack, pids: dict[str, Any]) -> None:
    """No process ended and was started again meanwhile."""
    now = {child["service"]: child["pid"] for child in stack.endpoint["children"]}
    _expect(now == pids, f"processes changed: {json.dumps(pids)} → {json.dumps(now)} at {time.ctime()}")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CheckFailed(otherwise)
