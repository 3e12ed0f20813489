"""`python -m bench.history`: fills a MariaDB of its own with finished runs, measures, prints, writes `history` into
bench/results.json. Exits 1 when a check fails; a figure that misses what it must be is told, and no failure.

RUNS=1000000 HISTORY_POOL=4G python -m bench.history
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench import checks, mariadb, work
from bench.__main__ import FOLDER, about, place
from bench.history import factory, loading, others, reading, report, sameness
from bench.history.patterns import DAY, Pattern
from bench.stack import Stack
from bench.store import Store
from kit.database import to_micros, utc_now

DAYS, PAST_RETENTION = 90, (400, 367)
"""Days over which the runs are spread, and between which those lie that the default retention of 365 days removes."""
WORK = ("W1", "W2", "W3", "W4")
BYTES_PER_RUN, BYTES_BESIDE = 14_000, 3_000_000_000
"""Of disk, with room to spare: what a run takes; redo logs, the files that are being read, everything else."""
LOADING = (
    "--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite", "--innodb-log-file-size=2G",
    "--innodb-stats-auto-recalc=OFF", "--innodb-io-capacity=4000",
)  # fmt: skip


def main() -> int:
    asked = _arguments()
    if (why := mariadb.missing()) is not None:
        print(f"MariaDB: {why}", file=sys.stderr)
        return 2
    needed = (asked.runs + 20_000) * BYTES_PER_RUN + BYTES_BESIDE
    free = shutil.disk_usage(place()).free
    if free < needed:
        print(
            f"{asked.runs:,} runs take up to {needed / 1e9:.0f} GB in {place()}, where {free / 1e9:.0f} GB are free;"
            f" RUNS={max(0, (free - BYTES_BESIDE) // BYTES_PER_RUN - 20_000)} would fit",
            file=sys.stderr,
        )
        return 2
    # whoever ends us gets all that we started ended, too, and the folder removed
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="history-", dir=place()))
    history = History(asked, folder)
    try:
        found = history.measure()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        print(f"FAILED: {error}", flush=True)
        if not isinstance(error, checks.CheckFailed):
            traceback.print_exc()
        return 1
    finally:
        # no second Ctrl-C comes between
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        history.stop()
        shutil.rmtree(folder, ignore_errors=True)
    _write(asked, found)
    return 0


def _write(asked: argparse.Namespace, found: dict[str, Any]) -> None:
    # a smaller history does not replace the figures that stand
    out = asked.out or (FOLDER / "results.json" if asked.runs >= 1_000_000 and asked.work == WORK else None)
    if out is not None:
        known = json.loads(out.read_text()) if out.exists() else {}
        out.write_text(json.dumps({**known, "history": found}, indent=2, ensure_ascii=False) + "\n")


class History:
    """One measurement: the server, the platform on it, and what was found so far."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self._asked = asked
        self._folder = folder
        self._server = mariadb.Server(folder / "mariadb", options=self._measured())
        self._stack: Stack | None = None
        self._loading_cpu_s = 0.0

    def _measured(self) -> list[str]:
        return [f"--innodb-buffer-pool-size={self._asked.pool}"]

    def stop(self) -> None:
        if self._stack is not None:
            self._stack.stop()
        self._server.stop(600)

    def measure(self) -> dict[str, Any]:
        began, asked = time.monotonic(), self._asked
        found: dict[str, Any] = {
            **about(),
            "runs": asked.runs,
            "days": DAYS,
            "pool": asked.pool,
            "folder": self._folder.name,
        }
        self._server.install()
        self._server.start()
        self._server.wait()
        stack = self._stack = Stack(asked.program, self._folder / "data", self._server.url)
        with self._platform(stack) as engine:
            found["pool_bytes"] = engine.connect().exec_driver_sql("SELECT @@innodb_buffer_pool_size").scalar()
            found["before"] = self._work(stack, "with no history")
            _tell("real runs, to be copied")
            patterns = factory.patterns(stack, engine, asked.workflows)
        loaded, old, span = self._load(patterns)
        found |= {"loading_s": round(loaded.seconds, 1), "loading_cpu_s": self._loading_cpu_s, "rows": loaded.rows}
        with self._platform(stack) as engine:
            found["purge"] = others.purged(engine, old, asked.runs)
            _tell(f"{len(old)} runs of before the retention were removed in {found['purge']['seconds']} s")
            found["compared"] = sameness.check(stack, engine, patterns, loaded.first)
            _tell(f"{found['compared']} kinds of loaded runs are as the platform's own")
            questions = reading.questions(stack, patterns, loaded.first, span)
            found["W6"] = reading.measure(stack, engine, questions)
            found["statistics"] = others.statistics(stack, patterns[0].workflow_id)
            found["stream"] = others.stream(stack, patterns[0].workflow_id, factory.KINDS["succeeded"][1])
            found["after"] = self._work(stack, f"with {asked.runs:,} finished runs")
            found["bytes"] = _size(self._folder / "mariadb")
        found["seconds"] = round(time.monotonic() - began, 1)
        found["ratio"] = report.ratios(found["before"], found["after"])
        print(report.table(found), flush=True)
        return found

    @contextlib.contextmanager
    def _platform(self, stack: Stack) -> Iterator[sa.Engine]:
        """The platform while the block runs, checked to be as everybody gets it; and its execution-service's schema."""
        stack.start()
        base, mark, query = self._server.url.partition("?")
        engine = sa.create_engine(f"{base}/{loading.SCHEMA}{mark}{query}", isolation_level="AUTOCOMMIT")
        try:
            checks.settings(stack)
            checks.durability(stack)
            yield engine
        finally:
            engine.dispose()
            stack.stop()

    def _work(self, stack: Stack, title: str) -> dict[str, Any]:
        """W1–W4, measured as `make bench` does."""
        _tell(f"{' '.join(self._asked.work)} {title} (load average {os.getloadavg()[0]:.1f})")
        store = Store(stack.data, stack.database_url)
        pids = {child["service"]: child["pid"] for child in stack.endpoint["children"]}
        try:
            bench = work.Bench(stack, store, self._asked.repeat)
            found = {name: bench.run(name) for name in self._asked.work}
            checks.alive(stack, pids)
        finally:
            store.close()
        return found

    def _load(self, patterns: list[Pattern]) -> tuple[loading.Loaded, list[str], loading.Span]:
        """Loads the history, with the server told not to sync; then it runs again as before. The second: ids of runs
        that were kept long enough."""
        server, runs = self._server, self._asked.runs
        server.restart([*self._measured(), *LOADING])
        now = to_micros(utc_now())
        files = self._folder / "files"
        files.mkdir()

        def say(done: int, seconds: float) -> None:
            _tell(f"loaded {done:,} of {runs:,} runs in {seconds:.0f} s")

        span = loading.Span(now - DAYS * DAY, now - DAY // 96)
        past = loading.Span(*(now - days * DAY for days in PAST_RETENTION))
        usual = [pattern for pattern in patterns if pattern.share]
        old = [copy.run_id for copy in loading.draw(usual, self._asked.old, past)]
        loading.load(server.port, files, usual, self._asked.old, past, lambda done, seconds: None)
        used = server.cpu_seconds()
        loaded = loading.load(server.port, files, patterns, runs, span, say)
        self._loading_cpu_s = round(server.cpu_seconds() - used, 1)
        loading.settle(server.port, patterns, runs)
        began = time.monotonic()
        server.restart(self._measured())
        _tell(f"the server runs with its defaults again after {time.monotonic() - began:.0f} s")
        return loaded, old, span


def _tell(what: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')}  {what}", flush=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.history", description="Measures a platform with a long history.")
    parser.add_argument("--runs", type=int, default=int(os.environ.get("RUNS") or 1_000_000))
    parser.add_argument("--pool", default=os.environ.get("HISTORY_POOL") or "4G", help="InnoDB's buffer pool")
    parser.add_argument("--old", type=int, default=50, help="runs beside those, kept long enough already")
    parser.add_argument("--work", default=",".join(WORK), help="what is measured before and after; - for nothing")
    parser.add_argument("--workflows", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=3, help="how often each of W1–W4 is measured")
    parser.add_argument("--out", type=Path, help="results.json when absent, if it is all and of a million runs")
    parser.add_argument("--program", type=Path, default=Path(sys.executable).with_name("flowweaver"))
    asked = parser.parse_args()
    if asked.runs < 100:
        parser.error("at least 100 runs")
    asked.work = tuple(name for name in WORK if name in asked.work.split(","))
    return asked


if __name__ == "__main__":
    sys.exit(main())
