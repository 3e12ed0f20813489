"""`make fuzz`: a platform of its own, driven over several connections; the last line on standard output is JSON.

python -m fuzz [--requests 20000] [--seed 1] [--minutes 20] [--connections 4]

Exit 0 without a finding, 1 with one (the data folder stays), 2 when the platform does not start.
"""

import argparse
import json
import math
import multiprocessing
import shutil
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx
from platform_house import Platform, ok

from fuzz import aftermath
from fuzz.cases import load
from fuzz.drive import Tally, drive_round

# requests of a round
MOST = 3000
WANTED_SHARE_2XX = 0.3


def drive(platform: Platform, document: dict[str, Any], asked: argparse.Namespace) -> Tally:
    """Rounds side by side until that many requests were answered, or the time is over."""
    tally, number, began = Tally(), asked.seed * 1000, time.monotonic()
    until = time.time() + asked.minutes * 60
    running: dict[Future[Tally], int] = {}
    with ProcessPoolExecutor(asked.connections, multiprocessing.get_context("spawn")) as pool:
        while running or (tally.requests < asked.requests and time.time() < until):
            missing = asked.requests - tally.requests - sum(running.values())
            while len(running) < asked.connections and missing > 0 and time.time() < until:
                number += 1
                # the last rounds are shorter: none is waited for long
                most = min(MOST, missing, max(500, math.ceil(missing / asked.connections)))
                running[pool.submit(drive_round, platform.data, document, number, until, most)] = most
                missing -= most
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                del running[future]
                tally.add(future.result())
            seconds = time.monotonic() - began
            rate, share = tally.requests / seconds, tally.share_2xx
            print(
                f"{tally.requests} requests in {seconds:.0f} s ({rate:.0f}/s), {share:.0%} 2xx, "
                f"{len(tally.findings)} findings",
                file=sys.stderr,
            )
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--connections", type=int, default=4)
    asked = parser.parse_args()
    data = Path(tempfile.mkdtemp(prefix="flowweaver-fuzz-"))
    platform = Platform(data)
    try:
        platform.start(120)
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 2
    problems: list[str] = []
    try:
        document = ok(httpx.get(f"{platform.base_url}/openapi.json", timeout=30))
        operations, pids, began = len(load(document)), aftermath.processes(platform), time.monotonic()
        port = httpx.URL(platform.base_url).port
        tally = drive(platform, document, asked)
        seconds = time.monotonic() - began
        for where, fault in aftermath.faults(platform, pids):
            tally.note(where, fault, "")
        problems += [str(finding) for finding in tally.findings.values()]
        problems += _missed(tally, document, asked)
    finally:
        if platform.stop() != 0:
            problems.append("the platform did not stop cleanly")
    for problem in problems:
        print(problem)
    if problems:
        print(f"To ask again: FLOWWEAVER_DATA={data} FLOWWEAVER_PORT={port} FLOWWEAVER_TEST_TASKS=1 flowweaver up")
    else:
        shutil.rmtree(data, ignore_errors=True)
    said = {
        "requests": tally.requests,
        "seconds": round(seconds, 1),
        "seed": asked.seed,
        "by_status": tally.by_status,
        "share_2xx": round(tally.share_2xx, 3),
        "operations": operations,
        "findings": len(problems),
    }
    print(json.dumps(said))
    return 1 if problems else 0


def _missed(tally: Tally, document: dict[str, Any], asked: argparse.Namespace) -> list[str]:
    """What makes a run worth nothing: too few requests, or too few that got anywhere."""
    found = []
    if tally.requests < asked.requests:
        found.append(f"only {tally.requests} of {asked.requests} requests in {asked.minutes:g} minutes")
    if tally.share_2xx < WANTED_SHARE_2XX:
        found.append(f"only {tally.share_2xx:.0%} of the answers are 2xx")
    if unasked := [operation.label for operation in load(document) if not tally.of(operation.label)]:
        # a round or two may end before it came to all of them
        found += [f"never asked: {', '.join(unasked)}"] if asked.requests >= 5000 else []
    return found


if __name__ == "__main__":
    sys.exit(main())
