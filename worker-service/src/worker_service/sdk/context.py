"""What a running task may use: one context for each isolation, with the same members."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from worker_service.settings import WorkerSettings

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True)
class Artifact:
    """A stored file. `url` is its address under the gateway (it needs artifact:read); `path` is unique in its run."""

    artifact_id: str
    path: str
    size: int
    sha256: str
    content_type: str
    url: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class StateEntry:
    """A durable value and its version, which counts its writes from 1."""

    value: Any
    version: int


@dataclass(frozen=True)
class TaskIds:
    """Which task run this is. `idempotency_key` is the same for every attempt and delivery."""

    task_run_id: str
    run_id: str
    organization_id: str
    workflow_id: str
    key: str
    attempt: int
    trace_id: str

    @property
    def idempotency_key(self) -> str:
        return self.task_run_id


class Sink(Protocol):
    def __call__(self, level: str, event: str, fields: dict[str, Any]) -> None: ...


class TaskLog:
    """Lines of the execution log, which people see beside the run: `ctx.log.info("page_fetched", url=url, ms=12)`."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def debug(self, event: str, **fields: Any) -> None:
        self._sink("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._sink("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._sink("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._sink("error", event, fields)


# A task's wish, done by the worker: its name, JSON arguments and bytes in; a JSON value and bytes back.
Ask = Callable[[str, dict[str, Any], bytes], Awaitable[tuple[Any, bytes]]]
AskNow = Callable[[str, dict[str, Any], bytes], tuple[Any, bytes]]


# A task's sign of life: (fraction, message) of a progress, None of a heartbeat.
Sign = Callable[[tuple[float, str] | None], None]
MESSAGE_LIMIT = 500
_ROUNDING = 1e-6


def no_sign(progress: tuple[float, str] | None) -> None:
    """For a context that nobody watches."""


class _Shared:
    """The members that both contexts share."""

    def __init__(self, ids: TaskIds, settings: WorkerSettings, log: TaskLog, sign: Sign) -> None:
        self.ids = ids
        self.task_run_id = ids.task_run_id
        self.run_id = ids.run_id
        self.organization_id = ids.organization_id
        self.workflow_id = ids.workflow_id
        self.key = ids.key
        self.attempt = ids.attempt
        self.trace_id = ids.trace_id
        self.idempotency_key = ids.idempotency_key
        self.settings = settings
        self.log = log
        self._sign = sign

    def progress(self, fraction: float, message: str = "") -> None:
        """How far the task is, from 0 to 1: a line of the execution log, event `progress`, and a heartbeat.

        Call it as often as you like: of many only a few a second are written, the last one always. Waits for nothing,
        may be called from a thread. ValueError for what is no fraction.
        """
        if not -_ROUNDING <= fraction <= 1 + _ROUNDING:
            raise ValueError(f"progress is a fraction from 0 to 1, not {fraction!r}")
        self._sign((round(min(max(float(fraction), 0.0), 1.0), 4), str(message)[:MESSAGE_LIMIT]))

    def heartbeat(self) -> None:
        """Says that the task is alive, for types that declare `heartbeat_s`. Waits for nothing, costs next to it."""
        self._sign(None)


class Context(_Shared):
    """What a task of isolation "loop" may use. What it is asked for is awaited."""

    def __init__(self, ids: TaskIds, settings: WorkerSettings, log: TaskLog, ask: Ask, sign: Sign = no_sign) -> None:
        super().__init__(ids, settings, log, sign)
        self._ask = ask
        self.artifacts = Artifacts(ask)
        self.state = State(ask)
        self.effects = Effects(ask)

    async def connection(self, name: str) -> dict[str, Any]:
        """A stored connection: `{name, kind, settings: {…}, credentials: {…}}`. TaskError `connection_missing`."""
        value, _ = await self._ask("connection", {"name": name}, b"")
        return dict(value)

    def http(self) -> "AbstractAsyncContextManager[httpx.AsyncClient]":
        """A client that reaches public addresses and the allowed hosts only, redirects included."""
        from worker_service import fetch

        return fetch.client(self.settings)


class Artifacts:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def put(self, path: str, content: bytes, content_type: str) -> Artifact:
        """Stores `content` whole under this run; an earlier one of the same path is replaced and keeps its id."""
        value, _ = await self._ask("artifact.put", {"path": path, "content_type": content_type}, content)
        return Artifact(**value)

    async def get(self, path: str) -> bytes:
        """The bytes at this run's `path`, or of any artifact id of the organisation. TaskError `artifact_missing`."""
        _, content = await self._ask("artifact.get", {"path": path}, b"")
        return content


class State:
    """Small durable values per organisation, shared by all its runs: `namespace` names whose, e.g. the task type."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def get(self, namespace: str, key: str) -> StateEntry | None:
        value, _ = await self._ask("state.get", {"namespace": namespace, "key": key}, b"")
        return None if value is None else StateEntry(**value)

    async def entries(self, namespace: str) -> dict[str, StateEntry]:
        value, _ = await self._ask("state.entries", {"namespace": namespace}, b"")
        return {key: StateEntry(**entry) for key, entry in value.items()}

    async def put(self, namespace: str, key: str, value: Any, *, version: int | None = None) -> int:
        """Writes and returns the new version. With `version` (0 = absent) raises StateConflict unless it is current."""
        asked = {"namespace": namespace, "key": key, "value": value, "version": version}
        new, _ = await self._ask("state.put", asked, b"")
        return int(new)


class Effects:
    """Notes under the task run's idempotency key, kept over attempts: say what you begin, find it when you return."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def noted(self) -> Any:
        """What an earlier attempt (or this one) noted last; None at first."""
        value, _ = await self._ask("effect.noted", {}, b"")
        return value

    async def note(self, value: Any) -> None:
        """Durable when it returns."""
        await self._ask("effect.note", {"value": value}, b"")


class ProcessContext(_Shared):
    """What a task of isolation "process" may use: the same as Context, without await. Safe to use from threads."""

    def __init__(self, ids: TaskIds, settings: WorkerSettings, log: TaskLog, ask: AskNow, sign: Sign = no_sign) -> None:
        super().__init__(ids, settings, log, sign)
        self._ask = ask
        self.artifacts = ProcessArtifacts(ask)
        self.state = ProcessState(ask)
        self.effects = ProcessEffects(ask)

    def connection(self, name: str) -> dict[str, Any]:
        """As Context.connection."""
        return dict(self._ask("connection", {"name": name}, b"")[0])

    def http(self) -> "AbstractContextManager[httpx.Client]":
        """As Context.http."""
        from worker_service import fetch

        return fetch.sync_client(self.settings)


class ProcessArtifacts:
    def __init__(self, ask: AskNow) -> None:
        self._ask = ask

    def put(self, path: str, content: bytes, content_type: str) -> Artifact:
        """As Artifacts.put."""
        return Artifact(**self._ask("artifact.put", {"path": path, "content_type": content_type}, content)[0])

    def get(self, path: str) -> bytes:
        """As Artifacts.get."""
        return self._ask("artifact.get", {"path": path}, b"")[1]


class ProcessState:
    """As State."""

    def __init__(self, ask: AskNow) -> None:
        self._ask = ask

    def get(self, namespace: str, key: str) -> StateEntry | None:
        value, _ = self._ask("state.get", {"namespace": namespace, "key": key}, b"")
        return None if value is None else StateEntry(**value)

    def entries(self, namespace: str) -> dict[str, StateEntry]:
        value, _ = self._ask("state.entries", {"namespace": namespace}, b"")
        return {key: StateEntry(**entry) for key, entry in value.items()}

    def put(self, namespace: str, key: str, value: Any, *, version: int | None = None) -> int:
        asked = {"namespace": namespace, "key": key, "value": value, "version": version}
        return int(self._ask("state.put", asked, b"")[0])


class ProcessEffects:
    """As Effects."""

    def __init__(self, ask: AskNow) -> None:
        self._ask = ask

    def noted(self) -> Any:
        return self._ask("effect.noted", {}, b"")[0]

    def note(self, value: Any) -> None:
        self._ask("effect.note", {"value": value}, b"")
