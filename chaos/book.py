"""All that is known after the faults: what the callers were told, what the database holds and noted, what was done."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from bench.stack import Stack
from chaos.load import Start
from execution_service.domain.plan import STRIDE


@dataclass(frozen=True)
class Task:
    """A task run. Times in microseconds since the epoch. `failed`: the codes of its earlier attempts, by attempt;
    `items`: of one that runs over a list, those that were begun, by their place."""

    task_run_id: str
    key: str
    type: str
    state: str
    attempt: int
    finished_at: int | None
    code: str | None
    failed: dict[int, str]
    input: Any
    output: Any
    items: "dict[int, Task]" = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A run with its tasks by key. `workflow`: the name; `parent`: `<task run>.<attempt>` that waits for it."""

    run_id: str
    workflow: str
    number: int
    state: str
    input: dict[str, Any]
    created_at: int
    finished_at: int | None
    tasks: dict[str, Task] = field(default_factory=dict)
    code: str | None = None
    parent: str | None = None
    rerun_of: str | None = None


@dataclass(frozen=True)
class Claim:
    """A write of the effect ledger: a claim taken or renewed (`claimed`), let go (`released`), the effect recorded
    (`done`)."""

    state: str
    holder: str
    claimed_at: int


@dataclass(frozen=True)
class Move:
    """An attempt that another worker began again."""

    task_run_id: str
    was: str
    began_at: int


@dataclass(frozen=True)
class Span:
    """From when to when an attempt ran, by its own account; `ended_at`: None when it was killed on the way. There may
    be several of one attempt: it is delivered again when its worker is gone."""

    task_run_id: str
    attempt: int
    began_at: int
    ended_at: int | None


@dataclass(frozen=True)
class Place:
    """A place under a limit was handed out, or (not `held`) given back."""

    at: int
    scope: str
    owner: str
    limit: int
    held: bool


@dataclass(frozen=True)
class Payloads:
    """Outputs and inputs by reference: how many, those `missing`, and how many files no row names (`unclaimed`)."""

    rows: int = 0
    missing: tuple[str, ...] = ()
    unclaimed: int = 0


@dataclass
class Book:
    """`shown`: the states that the gateway shows. `written`: how often an output was recorded. `changed`: what ended
    and changed afterwards. `effects`: lines that each task run's effect left. `buried`: events set aside. `over`: when
    an attempt (task run, number) was over for the engine. `kept`: rows of places and of waits that are still there."""

    starts: list[Start] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    written: "Counter[str]" = field(default_factory=Counter)
    changed: list[str] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    claims: dict[str, list[Claim]] = field(default_factory=dict)
    effects: "Counter[str]" = field(default_factory=Counter)
    buried: list[str] = field(default_factory=list)
    unpublished: int = 0
    spans: list[Span] = field(default_factory=list)
    over: dict[tuple[str, int], int] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    payloads: Payloads = field(default_factory=Payloads)


class Library:
    """The databases of the platform, read beside it, and the folder of its payloads."""

    def __init__(self, url: str, payloads: Path | None = None) -> None:
        self._payloads = payloads
        self._engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)

    def close(self) -> None:
        self._engine.dispose()

    def waiting(self) -> int:
        """How many runs are not terminal, and how many domain events are not published."""
        [(runs,)] = self._rows(
            "SELECT COUNT(*) FROM flowweaver_execution.workflow_run WHERE state NOT IN ('SUCCESS','FAILED','CANCELLED')"
        )
        return int(runs) + self._unpublished()

    def moved(self) -> tuple[int, ...]:
        """Another value each time that any run went on."""
        query = "SELECT COUNT(*), COALESCE(SUM(version), 0) FROM flowweaver_execution.workflow_run"
        return tuple(int(number) for number in self._rows(query)[0])

    def _unpublished(self) -> int:
        [(events,)] = self._rows("SELECT COUNT(*) FROM flowweaver_execution.outbox WHERE published_at IS NULL")
        return int(events)

    def book(self, starts: list[Start], workflows: dict[str, str], stack: Stack) -> Book:
        return Book(
            starts=starts,
            runs=self._runs({identity: name for name, identity in workflows.items()}),
            shown=_shown(stack, workflows.values()),
            written=self.written(),
            changed=self.changed(),
            moves=self.moves(),
            claims=self.claims(),
            effects=_effects(stack.data / "test-effects.jsonl"),
            buried=[
                f"{run}: {event}: {error}"
                for run, event, error in self._rows(
                    "SELECT workflow_run_id, event, error FROM flowweaver_execution.dead_event"
                )
            ],
            unpublished=self._unpublished(),
            spans=_spans(stack.data / "test-spans.jsonl"),
            over=self.over(),
            places=self.places(),
            kept=self._kept(),
            payloads=self._stored(),
        )

    def _kept(self) -> list[str]:
        """What only a run that goes on may have."""
        found = self._rows("SELECT scope_name, owner, state FROM flowweaver_execution.scope_place")
        waits = self._rows("SELECT kind, task_wait_id, name FROM flowweaver_execution.task_wait")
        return [" ".join(row) for row in (*found, *waits)]

    # --- what the database noted (see `witness`) ---------------------------------------------------------------------

    def written(self) -> "Counter[str]":
        return Counter(row[0] for row in self._rows("SELECT task_run_id FROM chaos.output"))

    def changed(self) -> list[str]:
        rows = self._rows("SELECT what, was, became FROM chaos.changed ORDER BY at")
        return [f"{what}: {was} → {became}" for what, was, became in rows]

    def moves(self) -> list[Move]:
        return [Move(*row) for row in self._rows("SELECT task_run_id, was, began_at FROM chaos.moved ORDER BY at")]

    def claims(self) -> dict[str, list[Claim]]:
        found = defaultdict(list)
        for effect_id, *claim in self._rows(
            "SELECT effect_id, state, holder, claimed_at FROM chaos.claim ORDER BY effect_id, claimed_at, at"
        ):
            found[effect_id].append(Claim(*claim))
        return dict(found)

    def over(self) -> dict[tuple[str, int], int]:
        rows = self._rows("SELECT task_run_id, attempt, at FROM chaos.over ORDER BY at DESC")
        # the first time counts
        return {(task_run_id, attempt): at for task_run_id, attempt, at in rows}

    def places(self) -> list[Place]:
        rows = self._rows("SELECT at, scope, owner, place_limit, held FROM chaos.place ORDER BY at, held")
        return [Place(at, scope, owner, limit, bool(held)) for at, scope, owner, limit, held in rows]

    # --- what it holds ------------------------------------------------------------------------------------------------

    def _runs(self, names: dict[str, str]) -> dict[str, Run]:
        failed: dict[str, dict[int, str]] = defaultdict(dict)
        for task_run_id, attempt, failure in self._rows(
            "SELECT task_run_id, attempt, failure FROM flowweaver_execution.task_attempt"
        ):
            failed[task_run_id][attempt] = _code(failure) or ""
        io = {
            (task_run_id, direction): self._whole(body, reference)
            for task_run_id, direction, body, reference in self._rows(
                "SELECT task_run_id, direction, body, reference FROM flowweaver_execution.task_io_data"
            )
        }
        runs = {
            row[0]: Run(
                row[0], names[row[1]], row[2], row[3], json.loads(row[4]), row[5], row[6], {}, _code(row[7]), *row[8:]
            )
            for row in self._rows(
                "SELECT workflow_run_id, workflow_id, number, state, input, created_at, finished_at, failure, parent,"
                " rerun_of FROM flowweaver_execution.workflow_run"
            )
        }
        # a list stands before its items
        for run_id, task_run_id, position, key, type, state, attempt, finished_at, failure in self._rows(
            "SELECT workflow_run_id, task_run_id, position, task_key, type, state, attempt, finished_at, failure"
            " FROM flowweaver_execution.task_run ORDER BY position"
        ):
            task = Task(
                task_run_id, key, type, state, attempt, finished_at, _code(failure), failed.get(task_run_id, {}),
                io.get((task_run_id, "in")), io.get((task_run_id, "out")),
            )  # fmt: skip
            if position < STRIDE:
                runs[run_id].tasks[key] = task
            else:
                runs[run_id].tasks[key].items[position // STRIDE - 1] = task
        return runs

    def _whole(self, body: str, reference: str | None) -> Any:
        """None of a payload that is missing."""
        if reference is None:
            return json.loads(body)
        path = self._payloads / f"{reference}.json" if self._payloads else None
        return json.loads(path.read_bytes()) if path and path.exists() else None

    def _stored(self) -> Payloads:
        if self._payloads is None:
            return Payloads()
        rows = self._rows("SELECT reference FROM flowweaver_execution.task_io_data WHERE reference IS NOT NULL")
        named = {f"{row[0]}.json" for row in rows}
        there = {str(path.relative_to(self._payloads)) for path in self._payloads.rglob("*.json")}
        return Payloads(len(named), tuple(sorted(named - there)), len(there - named))

    def _rows(self, statement: str) -> list[Any]:
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(statement)]


def _code(failure: str | None) -> str | None:
    return None if failure is None else str(json.loads(failure)["code"])


def _shown(stack: Stack, workflows: Iterable[str]) -> dict[str, str]:
    """The states of all runs, as a caller pages through them."""
    found: dict[str, str] = {}
    with stack.client() as api:
        for workflow_id in workflows:
            cursor: str | None = None
            while True:
                asked = {"workflow_id": workflow_id, "limit": "200"} | ({"cursor": cursor} if cursor else {})
                page = _page(api, asked)
                found |= {row["run_id"]: row["state"] for row in page["items"]}
                cursor = page["next_cursor"]
                if cursor is None:
                    break
    return found


def _page(api: httpx.Client, asked: dict[str, str]) -> Any:
    """Waits up to a minute for a gateway that does not answer."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return api.get("/workflow-runs", params=asked).raise_for_status().json()
        except httpx.HTTPError as error:
            refused = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
            if refused or time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def _spans(path: Path) -> list[Span]:
    """An attempt's begins and ends in the order in which they were written; a killed one has no end."""
    found: list[Span] = []
    open_ones: dict[tuple[str, int], list[int]] = defaultdict(list)
    for line in path.read_text().splitlines() if path.exists() else []:
        said = json.loads(line)
        attempt = (said["task_run_id"], said["attempt"])
        if said["what"] == "began":
            open_ones[attempt].append(said["at"])
        else:
            # of one that runs twice, whose end it is makes no difference: what counts is the time that they cover
            found.append(Span(*attempt, open_ones[attempt].pop(), said["at"]))
    return found + [Span(*attempt, at, None) for attempt, began in open_ones.items() for at in began]


def _effects(path: Path) -> "Counter[str]":
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(json.loads(line)["task_run_id"] for line in lines)
