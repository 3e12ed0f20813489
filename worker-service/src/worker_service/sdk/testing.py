"""Runs a task type as a worker would, for the tests of whoever writes it: no broker, no platform, no network.

    from worker_service.sdk import testing

    def test_words_are_counted() -> None:
        ran = testing.run("text.word_count", {"text": "a b a"})
        assert ran.output == {"words": 3, "distinct": 2, …}
        assert ran.events == ["counted"]

It is the worker itself that runs it: the parameters are checked, a plain function runs in a process, the output is
held against its model, time-outs, heartbeats and cancels end it, and an effect is done once. What it stores goes to a
folder that is removed afterwards. Each run is of an organisation of its own and sees nothing of another, unless it is
the next attempt of one (`again`).
"""

import asyncio
import atexit
import logging
import shutil
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kit import messages
from kit.database import Database, migrate
from kit.ids import new_id
from kit.payloads import PayloadStore
from kit.vault import Vault
from worker_service import app as use_cases
from worker_service import plugins, sdk, storage
from worker_service.app import App
from worker_service.artifacts import ArtifactStore
from worker_service.effects import Ledger
from worker_service.processes import ProcessSlots
from worker_service.reports import Lines
from worker_service.runtime import Runtime
from worker_service.sdk.context import TaskIds
from worker_service.settings import WorkerSettings
from worker_service.wire import Dispatch


@dataclass(frozen=True)
class Line:
    """A line of the execution log."""

    level: str
    event: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Ran:
    """One attempt, ended: by an `output`, by an `error` {code, message, retryable, details?}, or `cancelled`.

    `raised` is the traceback of an exception that was no TaskError: a bug, which a worker's log would hold.
    `progress` holds every call of `ctx.progress`, also those that a run's log would have left out.
    """

    ids: TaskIds
    output: dict[str, Any] | None
    error: dict[str, Any] | None
    cancelled: bool
    lines: tuple[Line, ...]
    progress: tuple[tuple[float, str], ...]
    artifacts: Mapping[str, bytes] = field(repr=False)
    state: Mapping[tuple[str, str], Any]
    note: Any
    raised: str

    @property
    def events(self) -> list[str]:
        """Names of the log lines, in order."""
        return [line.event for line in self.lines]

    def __repr__(self) -> str:
        # a failed assertion shows this: the traceback is what one wants to read
        shown = {"output": self.output, "error": self.error, "cancelled": self.cancelled, "events": self.events}
        return f"Ran({', '.join(f'{name}={value!r}' for name, value in shown.items())})\n{self.raised}"


def run(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    timeout_s: float | None = None,
    connections: Mapping[str, Mapping[str, Any]] | None = None,
    artifacts: Mapping[str, bytes] | None = None,
    state: Mapping[tuple[str, str], Any] | None = None,
    cancel_on: str | None = None,
    again: Ran | None = None,
    language: str = "en",
    **settings: Any,
) -> Ran:
    """Runs one attempt of task type `name` and returns how it ended. LookupError when there is no such type.

    - `timeout_s`: instead of the type's own.
    - `connections`: name → {kind, settings, credentials}, for `ctx.connection`.
    - `artifacts`: path → bytes, in the task's run before it begins; `state`: (namespace, key) → value.
    - `cancel_on`: cancels the task as soon as it writes a log line of this event.
    - `again`: the next attempt of a task that was run before, with what that one stored and noted.
    - `settings`: fields of the worker's settings, e.g. `allowed_hosts="127.0.0.1:8080"` for a server of the test's.

    In an async test: `await asyncio.to_thread(testing.run, …)`.
    """
    found = _type(name)
    # one worker serves all runs of the same settings, so that processes are used again
    worker = _worker(language, *sorted(settings.items()))
    ids = _ids(name, again)
    worker.lay_out(ids, connections or {}, artifacts or {}, state or {})
    tape = _Tape(ids, worker, cancel_on)
    dispatch = Dispatch(ids, name, dict(parameters or {}), timeout_s or found.timeout_s, 0, "")
    outcome = worker.attempt(found, dispatch, tape)
    said = outcome.as_json()
    return Ran(
        ids=ids,
        output=said["output"],
        error=None if outcome.cancelled else said["error"],
        cancelled=outcome.cancelled,
        lines=tuple(tape.told),
        progress=tuple(tape.steps),
        artifacts=worker.artifacts(ids),
        state=worker.state(ids),
        note=storage.effect_note(worker.app.database, ids.organization_id, ids.idempotency_key),
        raised=tape.raised,
    )


def missing_texts(name: str) -> list[str]:
    """What people would read a bare code for: `<code>.<language>` of the type's title and errors without a text."""
    found = _type(name)
    lacking = [f"{name}.{lang}" for lang in messages.LANGUAGES if found.title(lang) == name]
    codes = [(error.code, lang) for error in found.errors for lang in messages.LANGUAGES]
    return lacking + [f"{code}.{lang}" for code, lang in codes if not found.text(code, lang)]


def _type(name: str) -> sdk.TaskType:
    """One that was registered in this process already, else as a worker finds it."""
    known = sdk.registered().get(name)
    if known is not None:
        return known
    types, found = plugins.discover(sdk.discover(test_tasks=True))
    if name in types:
        return types[name]
    refused = "".join(f"\n{plugin.package} ({plugin.module}): {plugin.refused}" for plugin in found if plugin.refused)
    raise LookupError(f"there is no task type {name!r}; known: {', '.join(types)}{refused}")


def _ids(name: str, again: Ran | None) -> TaskIds:
    if again is not None:
        return replace(again.ids, attempt=again.ids.attempt + 1)
    number = new_id()
    return TaskIds(number, f"run-{number}", f"org-{number}", "workflow", name, 1, "")


class _Tape(Lines):
    """Keeps every line as it was written, and cancels at the one it was told."""

    def __init__(self, ids: TaskIds, worker: "_Worker", cancel_on: str | None) -> None:
        super().__init__(ids)
        self._worker = worker
        self._cancel_on = cancel_on
        self.told: list[Line] = []
        self.steps: list[tuple[float, str]] = []
        self.raised = ""

    def write(self, at: int, level: str, event: str, fields: dict[str, Any]) -> bool:
        self.told.append(Line(level, self._hide(event[:500]), self._clean(fields)))
        if event == self._cancel_on:
            self._worker.cancel(self.ids)
        return False

    def tell_progress(self, at: int, fraction: float, message: str) -> bool:
        self.steps.append((fraction, self._hide(message)))
        return False

    def crashed(self, at: int, exception: str, traceback: str) -> bool:
        self.raised = traceback
        return super().crashed(at, exception, traceback)


class _Worker:
    """A worker without its queues, on a loop and in a folder of its own."""

    def __init__(self, language: str, settings: Mapping[str, Any]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="flowweaver-testing-"))
        # nothing of these comes from the environment of whoever tests
        fixed = {"data": self._folder, "language": language, "encryption_key": "testing " * 8, "database_url": None}
        self.settings = WorkerSettings(**{**fixed, **settings})
        logging.getLogger("alembic").setLevel(logging.WARNING)
        database = Database(self.settings.database("worker"))
        migrate(database, "worker_service")
        messages.load("worker_service")
        store = ArtifactStore(self._folder / "artifacts", database)
        self.types: dict[str, sdk.TaskType] = {}
        payloads = PayloadStore(self._folder / "payloads")
        vault = Vault(self.settings.vault_secret(), "testing")
        self.app = App(self.settings, database, vault, store, payloads, self.types)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="testing", daemon=True)
        self._thread.start()
        self._runtime = self._await(self._make())
        atexit.register(self._close)

    async def _make(self) -> Runtime:
        messages.language.set(self.settings.language)
        slots = ProcessSlots(self.settings, self.settings.worker_processes)
        return Runtime(self.app, Ledger(self.app.database), slots)

    def lay_out(
        self,
        ids: TaskIds,
        connections: Mapping[str, Mapping[str, Any]],
        artifacts: Mapping[str, bytes],
        state: Mapping[tuple[str, str], Any],
    ) -> None:
        organization = ids.organization_id
        for name, said in connections.items():
            parts = {"kind": "test", "settings": {}, "credentials": {}, **said}
            use_cases.create_connection(self.app, organization, name, **parts)
        for path, content in artifacts.items():
            self.app.artifacts.put(organization, ids.run_id, ids.task_run_id, path, content, "application/octet-stream")
        for (namespace, key), value in state.items():
            storage.put_entry(self.app.database, organization, namespace, key, value, None)

    def attempt(self, found: sdk.TaskType, dispatch: Dispatch, tape: _Tape) -> Any:
        async def attempt() -> Any:
            messages.language.set(self.settings.language)
            return await self._runtime.attempt(dispatch, tape)

        self.types[found.name] = found
        return self._await(attempt())

    def cancel(self, ids: TaskIds) -> None:
        self._loop.call_soon_threadsafe(self._runtime.cancel, ids.task_run_id, ids.attempt)

    def artifacts(self, ids: TaskIds) -> dict[str, bytes]:
        found = storage.list_artifacts(
            self.app.database, ids.organization_id, run_id=ids.run_id, limit=1_000, before=None
        )
        return {row.path: self.app.artifacts.file(row).read_bytes() for row in reversed(found)}

    def state(self, ids: TaskIds) -> dict[tuple[str, str], Any]:
        table = storage.task_state
        asked = sa.select(table).where(table.c.organization_id == ids.organization_id)
        with self.app.database.read() as session:
            return {(row.namespace, row.entry_key): row.value for row in session.execute(asked)}

    def _await(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _close(self) -> None:
        self._await(self._runtime.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        self.app.database.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@lru_cache(maxsize=32)
def _worker(language: str, *settings: tuple[str, Any]) -> _Worker:
    return _Worker(language, dict(settings))
