"""W6: what people read of a long history, through the gateway with a token, and by which plans the database finds it.

A plan is that of the statement which the service really sent: the server's general log notes it, once, before anything
is measured, and it is explained over a connection of the benchmark's own.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import sqlalchemy as sa

from bench.checks import CheckFailed
from bench.figures import median, percentile
from bench.history.factory import LONG_KIND, LONG_LINES, WIDE, WIDE_KIND, ok
from bench.history.loading import Span
from bench.history.patterns import Copy, Pattern
from bench.stack import Stack
from kit.database import from_micros

WARM, TIMES = 10, 60
"""Requests before those that count, and those."""
PAGES = 20
"""Pages of 200 that are turned to be in the middle of a list which cannot be entered there."""


@dataclass(frozen=True)
class Question:
    """One thing to read. `part` is `list`, `detail` or `log`; `least` is how many entries the answer must have."""

    part: str
    name: str
    path: str
    least: int
    about: str
    """What stands in its statements: an organisation's id, or a run's."""


def questions(stack: Stack, patterns: list[Pattern], first: dict[int, Copy], span: Span) -> list[Question]:
    """Lists, first page and one in the middle; runs of 1,000 and of 10 tasks; a log."""
    found: list[Question] = []
    organization_id, largest = patterns[0].organization_id, patterns[0].workflow_id
    begin, end = (_instant(span.begin + (span.end - span.begin) * tenth // 10) for tenth in (3, 6))
    half = _instant((span.begin + span.end) // 2)
    with stack.client() as api:
        lists = {
            "newest first": ("", f"created_to={half}"),
            "failed runs of the largest workflow": (
                f"workflow_id={largest}&state=FAILED", f"workflow_id={largest}&state=FAILED&created_to={half}"
            ),
            "slowest of some weeks": (f"sort=-duration&created_from={begin}&created_to={end}", None),
            "last to end, started by a schedule": ("sort=-finished_at&trigger=schedule", None),
            "of a number": ("text=%231000100", ""),
            "a text that no run has": ("text=nowhere-to-be-found", ""),
        }  # fmt: skip
        for name, (asked, halfway) in lists.items():
            path = f"/v0/workflow-runs?{asked}"
            found.append(Question("list", name, path, 0 if "text=" in asked else 1, organization_id))
            if halfway != "":
                cursor = _turn(api, asked) if halfway is None else _cursor(api, f"{halfway}&limit=50")
                if cursor is not None:
                    found.append(
                        Question("list", f"{name}, in the middle", f"{path}&cursor={cursor}", 1, organization_id)
                    )
        kinds = {patterns[number].kind: copy.run_id for number, copy in first.items()}
        wide, long = kinds[WIDE_KIND], kinds[LONG_KIND]
        found.append(Question("detail", f"a run of {WIDE:,} tasks", f"/v0/workflow-runs/{wide}", WIDE, wide))
        usual = first[0].run_id
        found.append(Question("detail", "a run of 10 tasks", f"/v0/workflow-runs/{usual}", 10, usual))
        path = f"/v0/workflow-runs/{long}/logs?limit=200"
        found.append(Question("log", f"of {LONG_LINES:,} lines", path, 200, long))
        cursor = None
        for _ in range(LONG_LINES // 200 // 2):
            cursor = ok(api.get(path.removeprefix("/v0") + ("" if cursor is None else f"&cursor={cursor}")))[
                "next_cursor"
            ]
        found.append(Question("log", f"of {LONG_LINES:,} lines, in the middle", f"{path}&cursor={cursor}", 200, long))
    return found


def _instant(micros: int) -> str:
    return quote(from_micros(micros).isoformat())


def _cursor(api: httpx.Client, asked: str) -> str | None:
    found: str | None = ok(api.get(f"/workflow-runs?{asked}"))["next_cursor"]
    return found


def _turn(api: httpx.Client, asked: str) -> str | None:
    """The cursor behind some pages, or behind half of all when there are fewer."""
    cursors: list[str] = []
    while len(cursors) < PAGES:
        at = f"&cursor={cursors[-1]}" if cursors else ""
        cursor = _cursor(api, f"{asked}&limit=200{at}")
        if cursor is None:
            break
        cursors.append(cursor)
    return cursors[-1 if len(cursors) == PAGES else len(cursors) // 2] if cursors else None


def measure(stack: Stack, engine: sa.Engine, asked: list[Question]) -> dict[str, Any]:
    """Milliseconds and plans of each question, and of each part the slowest p95 (`<part>_p95_ms`)."""
    found: list[dict[str, Any]] = []
    for question in asked:
        waits = asyncio.run(_ask(stack, question))
        found.append(
            {
                "part": question.part,
                "name": question.name,
                "path": question.path,
                "p50_ms": round(median(waits), 2),
                "p95_ms": round(percentile(waits, 0.95), 2),
                "max_ms": round(max(waits), 2),
                "requests": len(waits),
                "plans": _plans(stack, engine, question),
            }
        )
    slowest = {part: max(one["p95_ms"] for one in found if one["part"] == part) for part in ("list", "detail", "log")}
    return {**{f"{part}_p95_ms": value for part, value in slowest.items()}, "requests": found}


async def _ask(stack: Stack, question: Question) -> list[float]:
    """Milliseconds of each request that counts, one after the other on one connection."""
    [connection] = await stack.connections(1)
    waits = []
    for _ in range(WARM + TIMES):
        began = time.perf_counter()
        status, body = await connection.request("GET", question.path)
        waits.append((time.perf_counter() - began) * 1000)
        _check(question, status, body)
    connection.close()
    return waits[WARM:]


def _check(question: Question, status: int, body: bytes) -> None:
    if status != 200:
        raise CheckFailed(f"{question.path}: {status} {body[:300]!r}")
    answer = json.loads(body)
    entries = answer["items"] if "items" in answer else [task for job in answer["jobs"] for task in job["tasks"]]
    if len(entries) < question.least:
        raise CheckFailed(f"{question.path}: {len(entries)} of at least {question.least} entries")


def _plans(stack: Stack, engine: sa.Engine, question: Question) -> list[dict[str, Any]]:
    """What the service asks for that question, and how the server goes about it."""
    with engine.connect() as connection, stack.client() as api:
        connection.exec_driver_sql("SET GLOBAL log_output = 'TABLE'")
        connection.exec_driver_sql("TRUNCATE TABLE mysql.general_log")
        connection.exec_driver_sql("SET GLOBAL general_log = ON")
        try:
            ok(api.get(question.path.removeprefix("/v0")))
        finally:
            connection.exec_driver_sql("SET GLOBAL general_log = OFF")
        query = "SELECT argument FROM mysql.general_log WHERE command_type = 'Query' ORDER BY event_time"
        said = [row[0] for row in connection.exec_driver_sql(query)]
        texts = [text.decode() if isinstance(text, bytes) else text for text in said]
        statements = [text for text in texts if text.lstrip("( ").startswith("SELECT") and question.about in text]
        plans = [{"statement": " ".join(text.split()), "plan": _explain(connection, text)} for text in statements]
        connection.exec_driver_sql("TRUNCATE TABLE mysql.general_log")
    if not plans:
        raise CheckFailed(f"{question.path}: the database was asked nothing about {question.about}")
    return plans


def _explain(connection: sa.Connection, statement: str) -> list[dict[str, Any]]:
    # the driver would take a percent sign for a parameter
    rows = connection.exec_driver_sql(f"EXPLAIN {statement}".replace("%", "%%")).mappings()
    return [
        {name: row[name] for name in ("id", "select_type", "table", "type", "key", "rows", "Extra")} for row in rows
    ]
