"""Finished runs as the platform itself left them, cut into patterns for as many copies as one likes.

A pattern is every row of a real run, in every table that has rows of runs, as the text of LOAD DATA. What differs from
run to run is cut out of it: the ids, the trace, the number, and all times. Nothing here knows what a column means, so
what a run leaves tomorrow is copied tomorrow as well.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import sqlalchemy as sa

from execution_service.storage import tables
from kit.database import from_micros

DAY = 86_400_000_000
_A_TIME = 10**15
"""What is not less, in a column of numbers, is microseconds since the epoch: a moment after 2001."""
# in a pattern's text; JSON has no such characters
_RUN, _PREFIX, _TRACE, _KEY, _SPAN = (bytes([code]) for code in range(5))
_NUMBER, _DURATION = -2, -1
"""Places among a copy's values, counted from their end."""
_ID = 26


@dataclass(frozen=True, slots=True)
class Copy:
    """What makes a run of its own out of a pattern. `stretch`: its times are so many times as far apart."""

    pattern: int
    run_id: str
    created_at: int
    number: int
    trace_id: str
    start_key_id: str
    stretch: float = 1.0


@dataclass(frozen=True, slots=True)
class Text:
    """A pattern's rows of one table. `slots`: for each `%d` of the text the place of its value; `isos`: for each `%b`
    the place of the time that it says."""

    text: bytes
    slots: tuple[int, ...]
    rows: int


@dataclass(frozen=True)
class Pattern:
    """A real run, cut. `offsets`: microseconds from its acceptance to each time that it left, `ends` the places of its
    start and end among them; `share`: how many of all runs are its copies."""

    kind: str
    run_id: str
    organization_id: str
    workflow_id: str
    share: float
    offsets: tuple[int, ...] = ()
    ends: tuple[int, int] = (0, 0)
    texts: dict[str, Text] = field(default_factory=dict)
    scheduled: bool = False

    def render(self, copy: Copy, wanted: Iterable[str]) -> Iterable[tuple[str, bytes]]:
        """The copy's rows in each of the wanted tables."""
        at, stretch = copy.created_at, copy.stretch
        # what lies days ahead is a setting, not a measure
        values = [at + (int(offset * stretch) if offset < DAY else offset) for offset in self.offsets]
        values += [copy.number, values[self.ends[1]] - values[self.ends[0]]]
        run_id, trace_id = copy.run_id.encode(), copy.trace_id.encode()
        for table in wanted:
            cut = self.texts.get(table)
            if cut is None:
                continue
            text = cut.text % tuple([values[slot] for slot in cut.slots])
            text = text.replace(_RUN, run_id).replace(_PREFIX, run_id[:20]).replace(_TRACE, trace_id)
            if table == "start_key":
                text = text.replace(_KEY, copy.start_key_id.encode())
            if table == "outbox":
                text = _with_instants(text.replace(_SPAN, _span(copy.run_id).encode()))
            yield table, text

    def count(self, table: str) -> int:
        cut = self.texts.get(table)
        return 0 if cut is None else cut.rows


def cut(connection: sa.Connection, run_id: str, kind: str, share: float) -> Pattern:
    """The pattern of a run that has ended and is at rest."""
    run = connection.execute(
        sa.select(tables.workflow_run).where(tables.workflow_run.c.workflow_run_id == run_id)
    ).one()
    cutter = _Cutter(run_id, run.trace_id, run.created_at, [run.started_at or run.created_at, run.finished_at])
    texts = {}
    for table in tables.metadata.sorted_tables:
        rows = left_by(connection, table, run_id)
        if rows:
            texts[table.name] = cutter.table(table, rows)
    return Pattern(kind, run_id, run.organization_id, run.workflow_id, share, tuple(cutter.offsets), (0, 1), texts)


def scheduled(pattern: Pattern, person: str, schedule_id: str, share: float) -> Pattern:
    """The same, started by a schedule instead of that person."""
    texts = dict(pattern.texts)
    cause = f"schedule:{schedule_id}"
    said = (
        ("workflow_run", f"\tmanual\t{person}\t", f"\tschedule\t{cause}\t"),
        ("outbox", f'"trigger":"manual","cause":"{person}"', f'"trigger":"schedule","cause":"{cause}"'),
    )
    for table, old, new in said:
        before = texts[table]
        after = before.text.replace(old.encode(), new.encode())
        if after == before.text:
            raise RuntimeError(f"{table} does not say who started the run in the way that is known here")
        texts[table] = replace(before, text=after)
    return replace(pattern, share=share, texts=texts, scheduled=True)


def left_by(connection: sa.Connection, table: sa.Table, run_id: str) -> Sequence[Any]:
    """The rows of a table that are a run's, in the order of their keys."""
    [key] = table.primary_key
    query = sa.select(table).order_by(key)
    if "workflow_run_id" in table.c:
        return connection.execute(query.where(table.c.workflow_run_id == run_id)).all()
    if table is tables.outbox:
        rows = connection.execute(query.where(table.c.body.contains(run_id, autoescape=True))).all()
        return [row for row in rows if orjson.loads(row.body)["subject"] == run_id]
    return []


def columns(table: str) -> list[str]:
    """As the text has them."""
    return [column.name for column in tables.metadata.tables[table].columns]


class _Cutter:
    """Cuts one run's rows. `offsets` grows by each time that is met."""

    def __init__(self, run_id: str, trace_id: str, created_at: int, ends: Sequence[int]) -> None:
        self._run_id = run_id
        self._trace_id = trace_id
        self._created_at = created_at
        self.offsets = [end - created_at for end in ends]
        self._slots: list[int] = []

    def table(self, table: sa.Table, rows: Sequence[Any]) -> Text:
        self._slots = []
        text = b"".join(self._row(table, row, number) for number, row in enumerate(rows))
        return Text(text, tuple(self._slots), len(rows))

    def _row(self, table: sa.Table, row: Any, number: int) -> bytes:
        [key] = table.primary_key
        own = getattr(row, key.name)
        name = self._key(table, own, number)
        cells = []
        for column in table.columns:
            value = getattr(row, column.name)
            if column is key and name is not None:
                cells.append(name)
            elif isinstance(value, str):
                text = self._text(value) if table is not tables.outbox else self._event(value)
                cells.append(text if name is None else text.replace(own.encode(), name))
            else:
                cells.append(self._number(table, column.name, value))
        return b"\t".join(cells) + b"\n"

    def _key(self, table: sa.Table, key: str, number: int) -> bytes | None:
        """What stands for a key that is not made of the run's; None for one that is."""
        if table is tables.start_key:
            return _KEY
        if self._run_id in key:
            return None
        if len(key) != _ID:
            raise RuntimeError(f"{table.name}: a key of a kind that is not known here: {key}")
        # unique and in order, as the runs' own ids are
        return _PREFIX + f"{number:06d}".encode()

    def _number(self, table: sa.Table, column: str, value: int | None) -> bytes:
        if value is None:
            return b"\\N"
        if value >= _A_TIME:
            self._slots.append(self._place(value))
        elif table is tables.workflow_run and column in ("number", "duration"):
            self._slots.append(_NUMBER if column == "number" else _DURATION)
        else:
            return str(value).encode()
        return b"%d"

    def _place(self, at: int) -> int:
        offset = at - self._created_at
        if offset not in self.offsets:
            self.offsets.append(offset)
        return self.offsets.index(offset)

    def _text(self, value: str) -> bytes:
        text = value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("%", "%%").encode()
        return text.replace(self._run_id.encode(), _RUN).replace(self._trace_id.encode(), _TRACE)

    def _event(self, body: str) -> bytes:
        """A domain event says the run's number, when it happened, and part of the run's id in other letters."""
        text = self._text(body).replace(_span(self._run_id).encode(), _SPAN)

        def cut(found: re.Match[bytes]) -> bytes:
            if found[1] is not None:
                self._slots.append(_NUMBER)
                return b'"number":%d'
            self._slots.append(0)
            return b'"time":"\x05%d"'

        return re.sub(rb'"number":(\d+)|"time":"[^"]+"', cut, text)


def _span(run_id: str) -> str:
    return run_id[-16:].encode().hex()[:16]


def _with_instants(text: bytes) -> bytes:
    def say(found: re.Match[bytes]) -> bytes:
        return from_micros(int(found[1])).isoformat().replace("+00:00", "Z").encode()

    return re.sub(rb"\x05(\d+)", say, text)
