"""`python -m simulation`: many histories on all cores. Exit code 1 on a violation; the last line is JSON.

N=5000 SEED=1 BREAK= DATABASE= STORAGE= python -m simulation
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from simulation import capabilities
from simulation.history import PEOPLE, Result
from simulation.play import Wish, play
from simulation.replica import FOLDER

MEMORY = "/dev/shm"  # noqa: S108  # a folder of our own is made there


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    arguments.add_argument("--runs", type=int, default=int(os.environ.get("N") or 1000), help="how many runs at least")
    arguments.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 1))
    arguments.add_argument("--break", dest="breaking", default=os.environ.get("BREAK", ""))
    arguments.add_argument(
        "--database", default=os.environ.get("DATABASE", ""), help="an empty MariaDB schema or a file, not memory"
    )
    arguments.add_argument(
        "--storage", type=float, default=float(os.environ.get("STORAGE") or 1), help="so many times as often it fails"
    )
    arguments.add_argument("--people", type=int, default=PEOPLE, help="how many start runs in each history")
    arguments.add_argument("--one", action="store_true", help="only the history of this seed")
    arguments.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    said = arguments.parse_args()
    # in memory where there is such a folder: nothing of it is to be kept
    with tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None) as folder:
        os.environ[FOLDER] = folder
        return _play(said)


def _play(said: argparse.Namespace) -> int:
    began = time.monotonic()
    total = {"runs": 0, "tasks": 0, "children": 0, "purged": 0}
    faults: Counter[str] = Counter()
    states: Counter[str] = Counter()
    used: Counter[str] = Counter(dict.fromkeys(capabilities.ALL, 0))
    sizes: list[int] = []
    struck: list[float] = []
    """Faults per run of each history."""
    failed: list[int] = []
    violations = 0
    for result in _results(said):
        total["runs"] += result.runs
        total["tasks"] += sum(result.tasks)
        total["children"] += result.children
        total["purged"] += result.purged
        sizes += result.tasks
        struck.append(sum(result.faults.values()) / max(result.runs, 1))
        faults += result.faults
        states += result.states
        used.update(result.capabilities)
        violations += len(result.violations)
        if result.violations:
            failed.append(result.seed)
            for one in result.violations[:5]:
                print(f"seed {result.seed}: {one}", file=sys.stderr)
            print(f"    again: {_replay(said, result.seed)}", file=sys.stderr)
        if total["runs"] >= said.runs or said.one or (failed and said.breaking):
            break
    print(
        json.dumps(
            {
                **total,
                "tasks_median": statistics.median(sizes) if sizes else 0,
                "faults": dict(sorted(faults.items())),
                "faults_median": round(statistics.median(struck), 1) if struck else 0,
                "states": dict(sorted(states.items())),
                "capabilities": dict(sorted(used.items())),
                "violations": violations,
                "seed": failed[0] if failed else said.seed,
                "seconds": round(time.monotonic() - began, 1),
            }
        )
    )
    return 1 if violations else 0


def _results(said: argparse.Namespace) -> Iterator[Result]:
    first = said.seed if said.one else said.seed * 1_000_000
    wishes = (Wish(seed, said.breaking, said.database, said.storage, said.people) for seed in range(first, 10**12))
    if said.one or said.processes == 1 or said.database:
        yield from map(play, wishes)
        return
    with multiprocessing.get_context("forkserver").Pool(said.processes) as pool:
        # the pool takes all it can get: a few more histories than could be needed
        yield from pool.imap_unordered(play, islice(wishes, said.runs), chunksize=4)


def _replay(said: argparse.Namespace, seed: int) -> str:
    """The command that plays a history again."""
    options = (
        ("--break", said.breaking),
        ("--database", said.database),
        ("--storage", "" if said.storage == 1 else f"{said.storage:g}"),
        ("--people", "" if said.people == PEOPLE else str(said.people)),
    )
    told = "".join(f" {name} {value}" for name, value in options if value)
    return f"python -m simulation --one --seed {seed}{told}"


if __name__ == "__main__":
    sys.exit(main())
