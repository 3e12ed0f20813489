"""Task types of installed packages: entry points of the group `flowweaver.task_types`, read once, when a worker starts.

An entry point's value is a module that registers its types with `sdk.task_type`. A package is taken whole or refused
whole; a refused one is named in the log with its reason, and stops neither the worker nor another package. What is
FlowWeaver's own comes first, then packages by name: of two types of one name the first stays.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import structlog
from prometheus_client import Gauge

from worker_service import sdk
from worker_service.sdk import TaskType, WrongTaskType

GROUP = "flowweaver.task_types"
# what the engine does itself goes by these names, and the types of tests
RESERVED = ("human.", "test.", "wait.", "workflow.")

log = structlog.get_logger()
_plugins = Gauge("worker_plugins", "Packages of task types that the worker found at its start", ["package", "state"])


@dataclass(frozen=True)
class Plugin:
    """An entry point that was found. `refused` is the reason, empty for one that was taken."""

    package: str
    version: str
    module: str
    types: tuple[str, ...] = ()
    refused: str = ""


def discover(own: Mapping[str, TaskType]) -> tuple[dict[str, TaskType], list[Plugin]]:
    """`own` and the types of installed packages, by name; and what was found, taken or refused."""
    types, plugins = dict(own), []
    for entry in _entry_points():
        package = entry.dist.name if entry.dist else "?"
        found = Plugin(package, entry.dist.version if entry.dist else "?", entry.value)
        about = {"package": found.package, "version": found.version, "module": found.module}
        before = sdk.registered()
        try:
            brought = _load(entry, types)
        # a module that calls sys.exit() must not end the worker either
        except (Exception, SystemExit) as error:
            sdk.forget(sdk.registered().keys() - before.keys())
            found = replace(found, refused=f"{type(error).__name__}: {error}")
            log.error("plugin_refused", **about, reason=found.refused, exc_info=error)
        else:
            types |= brought
            found = replace(found, types=tuple(sorted(brought)))
            log.info("plugin_loaded", **about, types=found.types)
        _plugins.labels(package, "refused" if found.refused else "loaded").set(1)
        plugins.append(found)
    return dict(sorted(types.items())), plugins


def _entry_points() -> list[EntryPoint]:
    try:
        found = entry_points(group=GROUP)
    except Exception as error:
        # one package's metadata is not as it should be, and the library does not say whose
        log.error("plugins_unreadable", exc_info=error)
        return []
    return sorted(found, key=lambda entry: (entry.dist.name.lower() if entry.dist else "", entry.name))


def _load(entry: EntryPoint, taken: Mapping[str, TaskType]) -> dict[str, TaskType]:
    """The types that an entry point's module registers. Raises whatever keeps it from being taken."""
    if entry.attr:
        raise WrongTaskType(f"the entry point names {entry.attr!r} inside of {entry.module}; its value is a module")
    before = sdk.registered()
    importlib.import_module(entry.module)
    brought = {
        name: replace(found, entry=entry.module)
        for name, found in sdk.registered().items()
        if name not in before or found.module == entry.module or found.module.startswith(f"{entry.module}.")
    }
    if not brought:
        raise WrongTaskType(f"importing {entry.module} registers no task type")
    for name, found in brought.items():
        if name in taken:
            raise WrongTaskType(f"the task type {name!r} exists already, in {taken[name].module}")
        if name.startswith(RESERVED):
            raise WrongTaskType(f"the task type {name!r}: names that begin with {', '.join(RESERVED)} are FlowWeaver's")
        _check(found)
    return brought


def _check(found: TaskType) -> None:
    """What would otherwise fail when somebody asks for the list of types: its schemas and its texts."""
    for name in ("parameters_schema", "output_schema"):
        getattr(found, name)
    for code, said in sdk.texts(found.module).items():
        if not _is_text(said):
            raise WrongTaskType(f"the texts of {found.module}: {code!r} needs a `ko` and an `en`")


def _is_text(said: Any) -> bool:
    return isinstance(said, Mapping) and all(isinstance(said.get(lang), str) for lang in ("ko", "en"))
