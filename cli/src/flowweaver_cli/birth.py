"""The first moments of a Python child, just forked: its output, environment and ties; then its service's `main`."""

import importlib
import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait

from flowweaver_cli import leash


def enter(name: str, module: str, environment: Mapping[str, str], output: Connection) -> None:
    """Becomes the service whose `main()` stands in `module`. Returns when it ends; its exit status is the child's."""
    os.setsid()
    leash.hold()
    leash.name(name)
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    for text in (sys.stdout, sys.stderr):
        text.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(environment)
    # what a child spawns in turn must not import the supervisor's program
    sys.modules["__main__"] = types.ModuleType("__main__")
    importlib.import_module(module).main()


def _end_with_supervisor() -> None:
    """Where no death signal exists, and should the fork server outlive the supervisor."""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        wait([supervisor.sentinel])
        os._exit(1)
