"""`python -m bench`: measures, prints, writes bench/results.json, and exits 1 when a check fails.

ONLY=W1,W3 python -m bench            only these
python -m bench --database sqlite     without MariaDB
"""

import argparse
import contextlib
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from bench import checks, mariadb, work
from bench.figures import line
from bench.stack import Stack
from bench.store import Store

ALL = ("W1", "W2", "W3", "W4", "W9", "W7", "W5")
FOLDER = Path(__file__).parent


def main() -> int:
    asked = _arguments()
    names = [name for name in ALL if name in asked.only]
    results: dict[str, Any] = about()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=place()))
    failed = False
    try:
        if asked.database != "mariadb":
            found, failed = _measure(Stack(asked.program, folder / "sqlite"), names, asked.repeat, "SQLite")
            results |= found
        reason = "not asked for" if asked.database == "sqlite" else mariadb.missing()
        results["mariadb"], results["mariadb_reason"] = None, reason
        if reason is None:
            try:
                with mariadb.server(folder / "mariadb") as url:
                    stack = Stack(asked.program, folder / "on-mariadb", url)
                    results["mariadb"], broken = _measure(stack, names, asked.repeat, "MariaDB")
                    failed = failed or broken
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                failed, results["mariadb_reason"] = True, str(error)
                traceback.print_exc()
        else:
            print(f"MariaDB: {reason}")
    finally:
        if not failed and not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"data folders: {folder}")
    results["checks"] = "failed" if failed else "passed"
    # figures that were not all measured, or not all valid, do not replace those that stand
    if (not failed and len(names) == len(ALL)) or asked.out != FOLDER / "results.json":
        # what `make bench-history` found stays
        known = json.loads(asked.out.read_text()) if asked.out.exists() else {}
        results |= {name: known[name] for name in ("history",) if name in known}
        asked.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    return 1 if failed else 0


def _measure(stack: Stack, names: list[str], repeat: int, title: str) -> tuple[dict[str, Any], bool]:
    """The figures, and whether a check failed (then without the figure that it was about)."""
    print(f"{title} (load average {os.getloadavg()[0]:.1f})", flush=True)
    found: dict[str, Any] = {}
    failed = False
    # the first start sets the platform up; what is measured is one that was set up
    stack.start()
    store = Store(stack.data, stack.database_url)
    try:
        checks.settings(stack)
        checks.durability(stack)
        bench = work.Bench(stack, store, repeat)
        for name in names:
            if name == "W7" and stack.database_url is None:
                found[name] = None
                print("  W7  not on SQLite: it has one process per service", flush=True)
                continue
            pids = {child["service"]: child["pid"] for child in stack.endpoint["children"]}
            try:
                if name == "W5":
                    found[name] = work.starting(stack, repeat)
                    checks.settings(stack)
                else:
                    found[name] = bench.run(name)
                    if name != "W7":  # it starts and stops workers
                        checks.alive(stack, pids)
            except Exception as error:
                failed = True
                found[name] = None
                print(f"  {name}  FAILED: {error}", flush=True)
                if not isinstance(error, checks.CheckFailed):
                    traceback.print_exc()
                continue
            shown = {key: value for key, value in found[name].items() if not isinstance(value, dict)}
            print(line(name, **shown, **{"min–max": found[name]["spread"]}), flush=True)
            if cpu := found[name].get("cpu_ms_per_task") or found[name].get("cpu_ms_per_request"):
                print(line("    CPU ms", **cpu), flush=True)
    except checks.CheckFailed as error:
        failed = True
        print(f"  FAILED: {error}", flush=True)
    finally:
        store.close()
        stack.stop()
    return found, failed


def about() -> dict[str, Any]:
    """When, of which commit and on what it is measured."""

    def git(*command: str) -> str:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            return subprocess.run(
                ["git", *command], cwd=FOLDER, check=True, capture_output=True, text=True
            ).stdout.strip()
        return ""

    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else ""),
        "cpu_count": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "python": sys.version.split()[0],
    }


def place() -> Path:
    """Where data folders go: on the checkout's own disk, never in memory."""
    place = FOLDER.parent / ".cache" / "bench"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measures FlowWeaver; see the module's docstring.")
    parser.add_argument("--only", default=os.environ.get("ONLY", ""), help="W1,W3; all when empty")
    parser.add_argument("--database", choices=("both", "sqlite", "mariadb"), default="both")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is measured (a figure takes 3)")
    parser.add_argument("--out", type=Path, default=FOLDER / "results.json")
    parser.add_argument("--keep", action="store_true", help="leaves the data folders")
    parser.add_argument("--program", type=Path, default=Path(sys.executable).with_name("flowweaver"))
    asked = parser.parse_args()
    asked.only = {name for name in asked.only.replace(" ", "").split(",") if name} or set(ALL)
    if unknown := asked.only - set(ALL):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
