"""What a task type is: its models, its errors, its texts, and the registry that its decorator writes to."""

import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict

from kit.payloads import PAYLOAD_LIMIT

OUTPUT_LIMIT = PAYLOAD_LIMIT
DEFAULT_TIMEOUT_S = 300.0
# a machine that is busy for a moment must not cost an attempt
SHORTEST_HEARTBEAT_S = 1.0
_TASKS = "worker_service.tasks"
# as workflow-service takes them in a definition
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,99}")
_QUEUE = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,62}")

F = TypeVar("F", bound=Callable[..., Any])
Isolation = Literal["loop", "process"]


class Parameters(BaseModel):
    """A task's input. Unknown fields are refused; the JSON Schema goes into the catalogue."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Output(BaseModel):
    """A task's output, at most 16 MiB of JSON."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, revalidate_instances="always")


@dataclass(frozen=True)
class ErrorCode:
    """A failure that a task type declares. `retryable`: whether the same task may succeed when tried again."""

    code: str
    retryable: bool = False


class TaskError(Exception):
    """A task's expected failure.

    `code` is one of the type's ErrorCodes, `params` fill its text's placeholders, `detail` is for whoever looks closer,
    `field` the parameter at fault. `retryable` overrides what the code declares.
    """

    def __init__(
        self, code: str, detail: str = "", *, retryable: bool | None = None, field: str | None = None, **params: Any
    ) -> None:
        super().__init__(code, detail, params)
        self.code = code
        self.detail = detail
        self.retryable = retryable
        self.field = field
        self.params = params

    def __str__(self) -> str:
        return ": ".join(part for part in (self.code, self.detail) if part)


class WrongTaskType(ValueError):
    """A task type is declared in a way that it could not be run as declared."""


class Cancelled(BaseException):
    """Raised in a task of isolation "process" that must end: its time is over, it was cancelled, its worker stops.

    It passes through `except Exception`, as asyncio.CancelledError does in a task of isolation "loop". `finally` has
    two seconds; the context answers nothing any more.
    """


class StateConflict(Exception):
    """The state entry is not at the version that was named: read it again and decide again."""


# --- task types ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TaskType:
    name: str
    module: str
    function: Callable[..., Any]
    parameters: type[BaseModel]
    output: type[BaseModel]
    errors: tuple[ErrorCode, ...]
    isolation: Isolation
    effect: bool
    timeout_s: float
    queue: str
    heartbeat_s: float | None = None
    # the module that a process slot imports to have it registered: its own, unless an installed package names another
    entry: str = ""

    @cached_property
    def parameters_schema(self) -> dict[str, Any]:
        """JSON Schema, draft 2020-12."""
        return _schema(self.parameters, "validation")

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """JSON Schema, draft 2020-12."""
        return _schema(self.output, "serialization")

    def title(self, lang: str) -> str:
        return texts(self.module).get(self.name, {}).get(lang, self.name)

    def text(self, code: str, lang: str) -> str | None:
        """The text of an error code, placeholders unfilled: the type's own, else the worker's for what it raises."""
        found = texts(self.module).get(code) or _own_texts().get(f"task.{code}") or {}
        return found.get(lang)

    def retryable(self, code: str) -> bool:
        return any(error.retryable for error in self.errors if error.code == code)


_registry: dict[str, TaskType] = {}


def task_type(
    name: str,
    *,
    parameters: type[BaseModel],
    output: type[BaseModel],
    errors: Sequence[ErrorCode] = (),
    isolation: Isolation | None = None,
    effect: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    heartbeat_s: float | None = None,
    queue: str = "default",
) -> Callable[[F], F]:
    """Registers the decorated function as task type `name`.

    `isolation` left out: "loop" for an `async def`, "process" for a `def`. Raises WrongTaskType for what could not be
    run as declared, and for a name that is taken.
    """

    def register(function: F) -> F:
        made = TaskType(
            name=name,
            module=getattr(function, "__module__", ""),
            function=function,
            parameters=parameters,
            output=output,
            errors=tuple(errors),
            isolation=_isolation(name, function, isolation),
            effect=effect,
            timeout_s=timeout_s,
            queue=queue,
            heartbeat_s=heartbeat_s,
        )
        _check(made)
        known = _registry.get(name)
        if known is not None and _place(known) != _place(made):
            raise WrongTaskType(f"two task types are called {name!r}: {_place(known)} and {_place(made)}")
        _registry[name] = made
        return function

    return register


def _place(found: TaskType) -> str:
    return f"{found.module}.{found.function.__qualname__}"


def _isolation(name: str, function: Callable[..., Any], asked: Isolation | None) -> Isolation:
    """Where the function runs. Raises WrongTaskType where it must not."""
    if not inspect.isfunction(function):
        raise WrongTaskType(f"{name!r}: a task type is a function, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise WrongTaskType(f"{name!r}: {function.__qualname__} yields; a task returns its output once")
    fitting: Isolation = "loop" if inspect.iscoroutinefunction(function) else "process"
    if asked in (None, fitting):
        return fitting
    if asked not in get_args(Isolation):
        raise WrongTaskType(f'{name!r}: isolation is "loop" or "process", not {asked!r}')
    if asked == "loop":
        raise WrongTaskType(
            f'{name!r}: {function.__qualname__} is a plain `def` and cannot have isolation="loop": it would hold the '
            "loop of every other task, and in a thread it could not be ended. Make it `async def`, or leave isolation "
            "out: a plain function runs in a process"
        )
    raise WrongTaskType(
        f'{name!r}: {function.__qualname__} is an `async def` and cannot have isolation="process": a process runs '
        "plain functions. Make it a `def`, or leave isolation out: an async function runs on the tasks' loop"
    )


def _check(made: TaskType) -> None:
    """Raises WrongTaskType, naming what is wrong."""
    name = made.name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise WrongTaskType(
            f"{name!r} is no task type's name: small letters, digits and _ . -, at most 100, a letter first"
        )
    try:
        inspect.signature(made.function).bind(None, None)
    except TypeError as error:
        raise WrongTaskType(f"{name!r}: {made.function.__qualname__} must take (ctx, parameters): {error}") from error
    for said, model in (("parameters", made.parameters), ("output", made.output)):
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise WrongTaskType(f"{name!r}: {said} is a pydantic model (sdk.{said.title()}), not {model!r}")
    if not made.timeout_s > 0:
        raise WrongTaskType(f"{name!r}: timeout_s is more than 0, not {made.timeout_s!r}")
    if made.heartbeat_s is not None and not made.heartbeat_s >= SHORTEST_HEARTBEAT_S:
        raise WrongTaskType(f"{name!r}: heartbeat_s is {SHORTEST_HEARTBEAT_S:g} or more, not {made.heartbeat_s!r}")
    if not _QUEUE.fullmatch(made.queue):
        raise WrongTaskType(f"{name!r}: {made.queue!r} is no queue's name: small letters, digits and _ -, at most 63")
    for code in made.errors:
        if not isinstance(code, ErrorCode) or not _CODE.fullmatch(code.code):
            raise WrongTaskType(f"{name!r}: {code!r} is no ErrorCode of small letters, digits and _, at most 63")


def registered() -> dict[str, TaskType]:
    """All types that were registered in this process so far, by name."""
    return dict(_registry)


def forget(names: Iterable[str]) -> None:
    """Takes types out of the registry: those of a package that is refused as a whole."""
    for name in names:
        _registry.pop(name, None)


def discover(*, test_tasks: bool = False) -> dict[str, TaskType]:
    """All task types of `worker_service.tasks` by name; those of `test_tasks` only when asked for."""
    package = importlib.import_module(_TASKS)
    wanted = {
        f"{_TASKS}.{module.name}"
        for module in pkgutil.iter_modules(package.__path__)
        if test_tasks or module.name != "test_tasks"
    }
    for module in sorted(wanted):
        importlib.import_module(module)
    return {name: found for name, found in sorted(_registry.items()) if found.module in wanted}


def load(module: str, name: str) -> TaskType:
    """One type, importing only its module: what a process slot does. Raises LookupError when it is not in there."""
    importlib.import_module(module)
    if name not in _registry:
        raise LookupError(f"importing {module} does not register the task type {name!r}")
    return _registry[name]


@lru_cache(maxsize=64)
def texts(module: str) -> Mapping[str, Mapping[str, str]]:
    """What a task module says to people: code → language → text. Empty when it has no catalogue.

    Of `messages.toml` in its package and `<module>.messages.toml` beside it the latter has the last word. Raises
    ValueError for one that is not TOML.
    """
    package, _, stem = module.rpartition(".")
    found: dict[str, Mapping[str, str]] = {}
    for home, name in ((package, "messages.toml"), (module, "messages.toml"), (package, f"{stem}.messages.toml")):
        found |= _catalogue(home, name)
    return found


def _catalogue(package: str, name: str) -> dict[str, Any]:
    try:
        content = files(package).joinpath(name).read_text(encoding="utf-8")
    except (OSError, ImportError, TypeError, ValueError):
        # no such package, a module that is none, no such file
        return {}
    return tomllib.loads(content)


@lru_cache(maxsize=1)
def _own_texts() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(files("worker_service").joinpath("messages.toml").read_text(encoding="utf-8"))


def _schema(model: type[BaseModel], mode: Literal["validation", "serialization"]) -> dict[str, Any]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema(mode=mode)}
