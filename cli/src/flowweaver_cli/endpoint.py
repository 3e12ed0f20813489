"""What programs outside learn of a running platform: `endpoint.json`, whole while it is ready and gone otherwise.

    {base_url, pid, ready_s, pss_mb, children: [{service, replica, pid, port, pss_mb}], missing: ["worker-0"]}

`pss_mb` of a child counts the processes that it started, too; that of the whole also the supervisor's own.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from flowweaver_cli.gateway import write_whole


@dataclass(frozen=True)
class ChildEntry:
    """A running child. `port` is where it answers: HTTP, or NATS for the broker."""

    service: str
    replica: int
    pid: int
    port: int
    pss_mb: float


@dataclass(frozen=True)
class Endpoint:
    """`ready_s`: seconds from the start of the program until all were ready. `missing`: being started again."""

    base_url: str
    pid: int
    ready_s: float
    pss_mb: float
    children: tuple[ChildEntry, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Holder:
    """The supervisor of a data folder; `started` tells it from another process that got the same pid."""

    pid: int
    started: float
    sqlite: bool


def endpoint_file(data: Path) -> Path:
    return data / "endpoint.json"


def write(data: Path, endpoint: Endpoint) -> None:
    write_whole(endpoint_file(data), json.dumps(asdict(endpoint), indent=1) + "\n")


def remove(data: Path) -> None:
    endpoint_file(data).unlink(missing_ok=True)


def removed_in_any_case(data: Path) -> "subprocess.Popen[bytes]":
    """Starts a shell that waits for our end, even by SIGKILL, and then removes the file: nobody believes in it longer.

    Close its standard input to let it go.
    """
    command = ["/bin/sh", "-c", 'read -r _; rm -f "$1"', "sh", str(endpoint_file(data))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def read(data: Path) -> Endpoint | None:
    """What a live supervisor of this data folder wrote; None when there is none or it is not ready."""
    holder = find_holder(data)
    try:
        found = json.loads(endpoint_file(data).read_text(encoding="utf-8"))
        children = tuple(ChildEntry(**item) for item in found.pop("children"))
        endpoint = Endpoint(**{**found, "children": children, "missing": tuple(found["missing"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    # should it be that of another one, killed
    return endpoint if holder is not None and holder.pid == endpoint.pid else None


def measured(endpoint: Endpoint) -> Endpoint:
    """The same with the memory of this moment."""
    children = [ChildEntry(**{**asdict(child), "pss_mb": tree_pss_mb(child.pid)}) for child in endpoint.children]
    return replace(endpoint, pss_mb=whole_pss_mb(endpoint.pid, children), children=tuple(children))


def whole_pss_mb(supervisor: int, children: Iterable[ChildEntry]) -> float:
    """Everything: the children and what the supervisor itself needs beside them."""
    own = tree_pss_mb(supervisor, without={child.pid for child in children})
    return round(own + sum(child.pss_mb for child in children), 1)


def tree_pss_mb(pid: int, *, without: Iterable[int] = ()) -> float:
    """Megabytes (2^20) of a process and all below it: memory shared by n processes counts 1/n in each."""
    skipped, total, waiting = set(without), 0, [pid]
    below: dict[int, list[int]] = {}
    for process in psutil.process_iter(["ppid"]):
        below.setdefault(process.info["ppid"], []).append(process.pid)
    while waiting:
        one = waiting.pop()
        total += _pss_kb(one)
        waiting += [child for child in below.get(one, ()) if child not in skipped]
    return round(total / 1024, 1)


def _pss_kb(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as lines:
        return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    # no such file here: the nearest there is
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss) // 1024
    return 0


# --- who supervises a data folder -----------------------------------------------------------------------------------


def runtime(data: Path) -> Path:
    """Files of the running platform, written anew at each start."""
    return data / "runtime"


def announce(data: Path, *, sqlite: bool) -> None:
    """Says that this process supervises `data`."""
    own = Holder(os.getpid(), psutil.Process().create_time(), sqlite)
    runtime(data).mkdir(parents=True, exist_ok=True)
    write_whole(runtime(data) / "supervisor.json", json.dumps(asdict(own)))


def withdraw(data: Path) -> None:
    (runtime(data) / "supervisor.json").unlink(missing_ok=True)


def find_holder(data: Path) -> Holder | None:
    """The live supervisor of this data folder."""
    try:
        found: dict[str, Any] = json.loads((runtime(data) / "supervisor.json").read_text(encoding="utf-8"))
        holder = Holder(**found)
        # the moment a process began is told by a clock that may have been set since
        alive = abs(psutil.Process(holder.pid).create_time() - holder.started) < 5
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    return holder if alive else None


def ask_to_stop(holder: Holder) -> None:
    os.kill(holder.pid, signal.SIGTERM)


def ask_for_replicas(data: Path, holder: Holder, counts: dict[str, int]) -> None:
    """Has the supervisor run so many replicas of the named services from now on."""
    write_whole(replicas_file(data), json.dumps(counts))
    os.kill(holder.pid, signal.SIGUSR1)


def replicas_file(data: Path) -> Path:
    return runtime(data) / "replicas.json"
