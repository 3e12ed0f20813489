"""Whether a copy is what the platform would have made: as people see it, row by row, and as the engine knows it."""

from typing import Any

import httpx
import sqlalchemy as sa

from bench.checks import CheckFailed
from bench.history.factory import ok
from bench.history.patterns import Copy, Pattern, left_by
from bench.stack import Stack
from execution_service.storage import tables


def check(stack: Stack, engine: sa.Engine, patterns: list[Pattern], first: dict[int, Copy]) -> int:
    """Compares a copy of every kind, of either trigger, with its real run; how many. Raises CheckFailed."""
    kinds: dict[tuple[str, bool], tuple[Pattern, Copy]] = {}
    for number, copy in sorted(first.items()):
        pattern = patterns[number]
        kinds.setdefault((pattern.kind, pattern.scheduled), (pattern, copy))
    with stack.client() as api, engine.connect() as connection:
        for pattern, copy in kinds.values():
            _same(f"rows of {copy.run_id}", _rows(connection, pattern.run_id), _rows(connection, copy.run_id))
            _same(f"{pattern.kind}, {copy.run_id}", seen(api, pattern.run_id), seen(api, copy.run_id))
            _known_start(api, pattern, copy)
    return len(kinds)


def seen(api: httpx.Client, run_id: str) -> Any:
    """All that the interface shows of a run, without what is each run's own."""
    run = ok(api.get(f"/workflow-runs/{run_id}"))
    shown = [run, ok(api.get(f"/workflow-runs/{run_id}/logs", params={"limit": 200}))]
    tasks = [task["task_run_id"] for job in run["jobs"] for task in job["tasks"]]
    for task_run_id in (tasks[0], tasks[-1]):
        shown.append(ok(api.get("/tasks/io-data", params={"task_run_id": task_run_id})))
    return _without_its_own(shown, run_id)


_OWN = {"number", "trace_id", "trigger", "cause", "next_cursor", "id"}
"""Beside ids, what two runs of one kind may differ in; their times and durations are only as many."""


def _without_its_own(value: Any, run_id: str, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _without_its_own(inner, run_id, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_its_own(inner, run_id, name) for inner in value]
    own = name in _OWN or name.endswith(("_ms", "_at")) or name == "at"
    if own and value is not None:
        return type(value).__name__
    return value.replace(run_id, "<run>") if isinstance(value, str) else value


def _rows(connection: sa.Connection, run_id: str) -> dict[str, int]:
    """How many rows of each table are the run's. Its domain events are dropped after some days; its start key has no
    index by the run."""
    asked = [table for table in tables.metadata.sorted_tables if table not in (tables.outbox, tables.start_key)]
    return {table.name: len(left_by(connection, table, run_id)) for table in asked}


def _known_start(api: httpx.Client, pattern: Pattern, copy: Copy) -> None:
    """Started again with its key, it is not started again."""
    given = ok(api.get(f"/workflow-runs/{pattern.run_id}"))["input"]
    answer = api.post(
        f"/workflows/{pattern.workflow_id}/run", json={"input": given}, headers={"Idempotency-Key": copy.run_id}
    )
    if ok(answer)["run_id"] != copy.run_id:
        raise CheckFailed(f"the start key of {copy.run_id} is not known")


def _same(what: str, real: Any, copied: Any) -> None:
    if real != copied:
        raise CheckFailed(f"{what}: the copy is not as the real one: {_difference(real, copied)}")


def _difference(real: Any, copied: Any, place: str = "") -> str:
    """The first place in which they differ."""
    if isinstance(real, dict) and isinstance(copied, dict) and real.keys() == copied.keys():
        pairs = [(f"{place}.{key}", real[key], copied[key]) for key in real]
    elif isinstance(real, list) and isinstance(copied, list) and len(real) == len(copied):
        pairs = [(f"{place}[{number}]", *pair) for number, pair in enumerate(zip(real, copied, strict=True))]
    else:
        return f"{place or 'all of it'}: {str(real)[:200]} ≠ {str(copied)[:200]}"
    return next(_difference(one, other, at) for at, one, other in pairs if one != other)
