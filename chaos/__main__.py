"""`python -m chaos`: real faults on the real platform. Writes chaos.json; its last line on stdout is the same JSON.

MINUTES=10 SEED=1 python -m chaos

Exit code 1 when anything was lost, doubled or is stuck, or a limit was not kept. 2 when the
platform could not be tried at all.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import mariadb
from chaos import audit, limits, witness
from chaos.book import Book, Library
from chaos.faults import KINDS, Faults, Strike
from chaos.house import House
from chaos.load import Load
from chaos.workflows import compose

WAIT_S = 120.0
"""How long after the last fault everybody may take to be ready, and how long nothing may move while something waits.

Not how long all may take: on a loaded machine what goes on slowly is not stuck.
"""
WAIT_MOST_S = 900.0


def main() -> int:
    said = _arguments()
    if (why := mariadb.missing()) is not None:
        print(f"MariaDB: {why}", file=sys.stderr)
        return 2
    # whoever ends us gets all that we started ended, too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    house, kept = House(folder, said.program), True
    try:
        report, findings = _try(house, said)
        text = json.dumps(report, ensure_ascii=False)
        said.out.write_text(text + "\n")
        if findings:
            print(findings, file=sys.stderr)
        print(text, flush=True)
        kept = bool(findings) or said.keep
        return 1 if findings else 0
    except KeyboardInterrupt:
        kept = said.keep
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        # no second Ctrl-C comes between
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        house.stop()
        if kept:
            print(f"data folder: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _try(house: House, said: argparse.Namespace) -> tuple[dict[str, Any], audit.Findings]:
    began = time.monotonic()
    house.start()
    workflows = compose(house.stack)
    witness.install(house.database.url)
    load = Load(house.stack, workflows, said.seed, said.rate)
    faults = Faults(house, said.seed, said.every, said.faults)
    print(f"ready after {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    load.start()
    faults.run(said.minutes * 60, load.check)
    faults.calm(WAIT_S, load.check)
    calm = time.monotonic()
    load.stop()
    library = Library(house.database.url, house.data / "payloads")
    with contextlib.closing(library):
        waiting = _wait(library, load, calm)
        ended_s = time.monotonic() - calm
        print(f"{waiting} are waiting {ended_s:.1f} s after all was well again", file=sys.stderr, flush=True)
        load.give_up()
        book = library.book(load.starts, workflows, house.stack)
    findings = audit.audit(book)
    report = {
        **_counted(book, findings),
        "kills": dict(sorted(Counter(strike.kind for strike in faults.strikes).items())),
        "missed": dict(faults.missed),
        **_described(book, load, faults.strikes),
        "calm_s": round(ended_s, 1),
        "minutes": said.minutes,
        "seed": said.seed,
        "seconds": round(time.monotonic() - began, 1),
    }
    return report, findings


def _wait(library: Library, load: Load, since: float) -> int:
    """Until nothing waits, or nothing moves any more while something does; how much that is."""
    moved, last = time.monotonic(), library.moved()
    while True:
        answered = load.wait(0.2)
        waiting = library.waiting() + (not answered)
        now = time.monotonic()
        if (current := library.moved()) != last:
            moved, last = now, current
        if not waiting or now - moved > WAIT_S or now - since > WAIT_MOST_S:
            return waiting


# --- the report -------------------------------------------------------------------------------------------------------


def _counted(book: Book, findings: audit.Findings) -> dict[str, int]:
    accepted = {run_id for start in book.starts for run_id in start.answers}
    ended = [run_id for run_id in accepted if run_id in book.runs and book.runs[run_id].finished_at is not None]
    return {
        "accepted": len(accepted),
        "terminal": len(ended),
        "lost": len(findings.lost),
        "doubled": len(findings.doubled),
        "stuck": len(findings.stuck),
        "over": len(findings.over),
        "wrong": len(findings.other),
    }


def _described(book: Book, load: Load, strikes: Sequence[Strike]) -> dict[str, Any]:
    tasks = [task for run in book.runs.values() for task in run.tasks.values()]
    lasted = [(run.finished_at - run.created_at) / 1e6 for run in book.runs.values() if run.finished_at]
    return {
        "states": dict(Counter(run.state for run in book.runs.values())),
        "tasks": len(tasks),
        "starts": {
            "made": len(load.starts),
            "tries": sum(start.tries for start in load.starts),
            "skipped": load.skipped,
            "unrouted": load.unrouted,
        },
        "failed_attempts": dict(audit.failures(book)),
        "effects": {"happened": sum(book.effects.values()), "repeated_explained": audit.repeated(book)},
        "run_s": _spread(lasted),
        "limits": {name: asdict(level) for name, level in limits.levels(book)[0].items()},
        "attempts": {
            "noted": len({(span.task_run_id, span.attempt) for span in book.spans}),
            "delivered_again": limits.delivered_again(book),
            "lingered": limits.lingered(book),
            "of_these_delivered_once": limits.lingered_alone(book),
        },
        "payloads": {"rows": book.payloads.rows, "unclaimed": book.payloads.unclaimed},
        "did": _did(book),
        "recovery": _recovery(book, strikes),
    }


def _did(book: Book) -> dict[str, Any]:
    """How many runs made use of what; of `workflows` those that callers started."""
    runs, starts = book.runs.values(), book.starts
    tasks = [task for run in runs for task in run.tasks.values()]
    items = [item for task in tasks for item in task.items.values()]
    return {
        "workflows": dict(sorted(Counter(start.workflow for start in starts if start.rerun_of is None).items())),
        "answered": sum(len(said) for start in starts for said in start.done.said.values()),
        "cancelled": sum(start.done.cancelled for start in starts),
        "paused": sum(start.done.paused for start in starts),
        "reruns": sum(run.rerun_of is not None for run in runs),
        "children": sum(run.parent is not None for run in runs),
        "skipped": sum(run.code == "concurrency_skipped" for run in runs),
        "replaced": sum(run.workflow == "replaced" and run.state == "CANCELLED" for run in runs),
        "lists": sum(bool(task.items) for task in tasks),
        "items": len(items),
        "items_tried_again": sum(bool(item.failed) for item in items),
    }


def _recovery(book: Book, strikes: Sequence[Strike]) -> dict[str, Any]:
    """For each kind, in seconds: until another process was ready in the struck one's place (`back`), until the next
    task ended anywhere (`still`), and until what a killed worker had been running began again (`again`)."""
    ends = sorted(t.finished_at / 1e6 for run in book.runs.values() for t in run.tasks.values() if t.finished_at)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for strike in strikes:
        times = found[strike.kind]
        if strike.ends and strike.back_at is not None:
            times["back"].append(strike.back_at - strike.at)
        if (after := next((end for end in ends if end > strike.at), None)) is not None:
            times["still"].append(after - strike.at)
        if strike.kind == "worker.kill":
            # a worker is called <host>-<replica>-<pid>-<random>
            left = [move for move in book.moves if move.was.split("-")[-2] == str(strike.pid)]
            times["again"] += [move.began_at / 1e6 - strike.at for move in left if move.began_at / 1e6 > strike.at]
    return {
        kind: {name: _spread(seconds) for name, seconds in times.items() if seconds}
        for kind, times in sorted(found.items())
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    return {"median": round(statistics.median(seconds), 2), "most": round(max(seconds), 2), "count": len(seconds)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument(
        "--minutes",
        type=float,
        default=float(os.environ.get("MINUTES") or 10),
        help="of faults; each kind once at least",
    )
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 1))
    parser.add_argument("--rate", type=float, default=4.0, help="starts a second")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two faults, on average")
    parser.add_argument("--faults", default=",".join(KINDS), help="only these kinds")
    parser.add_argument("--out", type=Path, default=Path("chaos.json"))
    parser.add_argument("--keep", action="store_true", help="leaves the data folder")
    parser.add_argument("--program", type=Path, default=Path(sys.executable).with_name("flowweaver"))
    said = parser.parse_args()
    said.faults = [kind for kind in said.faults.replace(" ", "").split(",") if kind]
    if not said.faults or (unknown := set(said.faults) - set(KINDS)):
        parser.error(f"unknown kinds of faults: {', '.join(sorted(unknown)) if said.faults else 'none'}")
    if said.minutes <= 0 or said.rate <= 0 or said.every <= 0:
        parser.error("--minutes, --rate and --every are more than 0")
    return said


if __name__ == "__main__":
    sys.exit(main())
