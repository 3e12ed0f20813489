"""Puts copies of real runs into the database by LOAD DATA, in the order of their keys, a portion at a time.

One process writes a portion's files while the server reads those before, over two connections: the payloads, which are
half of all rows, by one, everything else by the other. The platform is stopped meanwhile.
"""

import hashlib
import multiprocessing
import random
import signal
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pymysql

from bench.history.patterns import DAY, Copy, Pattern, columns

PORTION = 10_000
"""Runs that one file holds."""
AHEAD = 3
"""Portions that are under way at once: the one that is written, and those that are read."""
OUTBOX_DAYS = 3
"""The default of FLOWWEAVER_OUTBOX_DAYS: of older runs the domain events are gone."""
FIRST_NUMBER = 1_000_001
"""Below are the numbers of the runs that the platform does itself."""
RARE = 5
"""Copies of a run that has no share."""
SCHEMA = "flowweaver_execution"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True)
class Span:
    """Microseconds between which the runs were accepted."""

    begin: int
    end: int

    @property
    def events_from(self) -> int:
        """Of runs since then the domain events are still kept."""
        return self.end - OUTBOX_DAYS * DAY


@dataclass(frozen=True)
class Loaded:
    """How many rows of each table, in how long; the first copy of each pattern."""

    rows: dict[str, int]
    seconds: float
    first: dict[int, Copy]


def draw(patterns: Sequence[Pattern], runs: int, span: Span, first_number: int = FIRST_NUMBER) -> Iterator[Copy]:
    """So many copies, oldest first: of each pattern its share; of one without a share a few, evenly spread."""
    rng = random.Random(runs)  # noqa: S311  # the same number is the same history
    shares = [pattern.share for pattern in patterns]
    rare = [number for number, share in enumerate(shares) if share == 0]
    special = {
        runs * (2 * turn + 1) // (2 * RARE) + at: number for turn in range(RARE) for at, number in enumerate(rare)
    }
    numbers: Counter[str] = Counter()
    step = (span.end - span.begin) / runs
    for index in range(runs):
        if index % 1000 == 0:
            choices = iter(rng.choices(range(len(patterns)), shares, k=1000))
        usual = next(choices)
        chosen = special.get(index, usual)
        pattern = patterns[chosen]
        created_at = span.begin + int((index + rng.random() * 0.9) * step)
        run_id = _ulid(created_at // 1000, rng.getrandbits(80))
        number = first_number + numbers[pattern.workflow_id]
        numbers[pattern.workflow_id] += 1
        stretch = 1.0 if chosen in rare else rng.lognormvariate(0.7, 0.8)
        yield Copy(
            chosen, run_id, created_at, number, f"{rng.getrandbits(128):032x}", _start_key(pattern, run_id), stretch
        )


def _start_key(pattern: Pattern, run_id: str) -> str:
    """The hash under which the Idempotency-Key of the run's start is kept: its own id was that key."""
    return hashlib.sha256("\0".join((pattern.organization_id, pattern.workflow_id, run_id)).encode()).hexdigest()


def _ulid(milliseconds: int, chance: int) -> str:
    number = (milliseconds << 80) | chance
    return "".join([_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)])


# --- the process that writes files ------------------------------------------------------------------------------------

_patterns: Sequence[Pattern] = ()
_events_from = 0


def _prepare(patterns: Sequence[Pattern], events_from: int) -> None:
    global _patterns, _events_from
    _patterns, _events_from = patterns, events_from
    # Ctrl-C is the parent's to understand
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write(folder: Path, copies: Sequence[Copy]) -> dict[str, tuple[Path, int]]:
    """A file of each table, and how many rows it has."""
    names = {name for pattern in _patterns for name in pattern.texts}
    parts: dict[str, list[bytes]] = {name: [] for name in names}
    rows: Counter[str] = Counter()
    old = names - {"outbox"}
    for copy in copies:
        pattern = _patterns[copy.pattern]
        for name, text in pattern.render(copy, names if copy.created_at >= _events_from else old):
            parts[name].append(text)
            rows[name] += pattern.count(name)
    # hashes come in no order
    parts.get("start_key", []).sort()
    folder.mkdir()
    for name, found in parts.items():
        if found:
            (folder / name).write_bytes(b"".join(found))
    return {name: (folder / name, rows[name]) for name, found in parts.items() if found}


# --- loading ----------------------------------------------------------------------------------------------------------


def load(
    port: int, folder: Path, patterns: Sequence[Pattern], runs: int, span: Span, say: Callable[[int, float], None]
) -> Loaded:
    """Loads so many runs; `say(done, seconds)` is told of every portion. Raises when a row was not taken as it is."""
    began, done = time.monotonic(), 0
    folder = Path(tempfile.mkdtemp(dir=folder))
    rows: Counter[str] = Counter()
    first: dict[int, Copy] = {}
    copies = draw(patterns, runs, span)
    under_way: deque[tuple[int, Future[dict[str, tuple[Path, int]]], list[Future[None]]]] = deque()
    connections = [_connect(port) for _ in range(2)]
    spawned = multiprocessing.get_context("spawn")
    writer = ProcessPoolExecutor(1, mp_context=spawned, initializer=_prepare, initargs=(patterns, span.events_from))
    readers = [ThreadPoolExecutor(1) for _ in connections]
    try:
        portions = iter(lambda: list(islice(copies, PORTION)), [])
        for number, portion in enumerate(portions):
            for copy in portion:
                first.setdefault(copy.pattern, copy)
            under_way.append((len(portion), writer.submit(_write, folder / str(number), portion), []))
            _hand_over(under_way, readers, connections, wait=len(under_way) >= AHEAD)
            while len(under_way) >= AHEAD:
                done += _finish(under_way, rows)
                say(done, time.monotonic() - began)
        while under_way:
            _hand_over(under_way, readers, connections, wait=True)
            done += _finish(under_way, rows)
            say(done, time.monotonic() - began)
    finally:
        writer.shutdown(wait=False, cancel_futures=True)
        for reader in readers:
            reader.shutdown(wait=False, cancel_futures=True)
        for connection in connections:
            connection.close()
    return Loaded(dict(rows), time.monotonic() - began, first)


_UnderWay = deque[tuple[int, "Future[dict[str, tuple[Path, int]]]", "list[Future[None]]"]]


def _hand_over(
    under_way: _UnderWay,
    readers: Sequence[ThreadPoolExecutor],
    connections: "Sequence[pymysql.Connection[pymysql.cursors.Cursor]]",
    *,
    wait: bool,
) -> None:
    """Gives the server each portion that is written; waits for the oldest one's files when told so."""
    for place, (_, written, reading) in enumerate(under_way):
        if reading or not (written.done() or (wait and place == 0)):
            continue
        files = written.result()
        payloads = {name: found for name, found in files.items() if name == "task_io_data"}
        others = {name: found for name, found in files.items() if name != "task_io_data"}
        for reader, connection, part in zip(readers, connections, (payloads, others), strict=True):
            reading.append(reader.submit(_read, connection, part))


def _finish(under_way: _UnderWay, rows: Counter[str]) -> int:
    """Waits for the oldest portion; how many runs it had."""
    count, written, reading = under_way.popleft()
    for one in reading:
        one.result()
    rows.update({name: amount for name, (_, amount) in written.result().items()})
    return count


def _connect(port: int) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    connection = pymysql.connect(host="127.0.0.1", port=port, user="root", database=SCHEMA, autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute("SET unique_checks = 0, foreign_key_checks = 0")
    return connection


def _read(connection: "pymysql.Connection[pymysql.cursors.Cursor]", files: dict[str, tuple[Path, int]]) -> None:
    for name, (path, amount) in sorted(files.items()):
        with connection.cursor() as cursor:
            taken = cursor.execute(
                f"LOAD DATA INFILE '{path}' INTO TABLE {name} CHARACTER SET utf8mb4 ({', '.join(columns(name))})"
            )
            cursor.execute("SHOW WARNINGS LIMIT 3")
            warnings = cursor.fetchall()
        if taken != amount or warnings:
            raise RuntimeError(f"{name}: {taken} of {amount} rows were taken; {warnings}")
        path.unlink()


def settle(port: int, patterns: Sequence[Pattern], runs: int) -> None:
    """After the load: run numbers go on behind the copies', and the statistics of tables are those of their rows."""
    connection = _connect(port)
    with connection, connection.cursor() as cursor:
        for workflow_id in sorted({pattern.workflow_id for pattern in patterns}):
            cursor.execute(
                "UPDATE run_counter SET next_number = %s WHERE workflow_id = %s", (FIRST_NUMBER + runs, workflow_id)
            )
        names = sorted({name for pattern in patterns for name in pattern.texts})
        cursor.execute(f"ANALYZE TABLE {', '.join(names)}")
