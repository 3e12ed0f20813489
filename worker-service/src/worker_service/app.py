"""Use cases: what people and services ask of this service, and what running tasks may wish of their worker."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from kit.database import Database
from kit.errors import Conflict, Invalid, Limited, NotFound
from kit.ids import new_id
from kit.payloads import INLINE_LIMIT, PayloadStore
from kit.vault import Unreadable, Vault
from worker_service import outcomes, sdk, storage
from worker_service.artifacts import ArtifactStore
from worker_service.outcomes import Outcome
from worker_service.sdk import StateConflict, TaskError, TaskIds, TaskType
from worker_service.settings import WorkerSettings
from worker_service.storage import Connection
from worker_service.wire import Dispatch

Attempt = Callable[[Dispatch], Awaitable[Outcome]]
"""Runs one attempt outside any run."""

SETTINGS_LIMIT = 64 * 1024
STATE_LIMIT = 64 * 1024
TRY_LONGEST_S = 60.0
_trials = asyncio.Semaphore(4)


@dataclass(frozen=True)
class App:
    """What every use case stands on, put together in `__main__`."""

    settings: WorkerSettings
    database: Database
    vault: Vault
    artifacts: ArtifactStore
    payloads: PayloadStore
    types: Mapping[str, TaskType]


class TaskTypeNotFound(NotFound):
    def __init__(self, name: str) -> None:
        super().__init__("task_type_not_found", type=name)


# --- connections ---------------------------------------------------------------------------------------------------


def create_connection(
    app: App,
    organization_id: str,
    name: str,
    kind: str,
    settings: dict[str, Any],
    credentials: dict[str, str],
    *,
    request_key: str | None = None,
) -> Connection:
    """Stores credentials sealed; nothing ever returns them but a running task's `ctx.connection`."""
    _check_size("body.settings", settings)
    connection_id = new_id()
    made = {
        "connection_id": connection_id,
        "name": name,
        "kind": kind,
        "settings": settings,
        "sealed_credentials": app.vault.seal(orjson.dumps(credentials), _row(organization_id, connection_id)),
        "credential_names": sorted(credentials),
    }
    # the key's record tells equal requests apart by a keyed hash: a plain one of a password could be guessed
    body = {
        "name": name,
        "kind": kind,
        "settings": settings,
        "credentials": app.vault.fingerprint(orjson.dumps(credentials, option=orjson.OPT_SORT_KEYS)),
    }
    return storage.add_connection(app.database, organization_id, made, request_key=request_key, request_body=body)


def replace_connection(
    app: App,
    organization_id: str,
    connection_id: str,
    version: int | None,
    *,
    name: str,
    kind: str,
    settings: dict[str, Any],
    credentials: dict[str, str] | None,
) -> Connection:
    """`credentials` None keeps those stored."""
    _check_size("body.settings", settings)
    changes: dict[str, Any] = {"name": name, "kind": kind, "settings": settings}
    if credentials is not None:
        changes["sealed_credentials"] = app.vault.seal(orjson.dumps(credentials), _row(organization_id, connection_id))
        changes["credential_names"] = sorted(credentials)
    return storage.change_connection(app.database, organization_id, connection_id, version, changes)


def open_connection(app: App, organization_id: str, name: str) -> dict[str, Any]:
    """A connection with its credentials, for a running task.

    TaskError `connection_missing`, `connection_unreadable`.
    """
    found = storage.sealed_connection(app.database, organization_id, name)
    if found is None:
        raise TaskError("connection_missing", retryable=False, field="connection", name=name)
    connection, sealed = found
    try:
        credentials = orjson.loads(app.vault.open(sealed, _row(organization_id, connection.connection_id)))
    except Unreadable as error:
        raise TaskError("connection_unreadable", retryable=False, field="connection", name=name) from error
    return {
        "name": connection.name,
        "kind": connection.kind,
        "settings": connection.settings,
        "credentials": credentials,
    }


def _row(organization_id: str, connection_id: str) -> str:
    return f"connection/{organization_id}/{connection_id}"


def _check_size(field: str, value: Any) -> None:
    if len(orjson.dumps(value)) > SETTINGS_LIMIT:
        raise Invalid.field(field, "connection_settings_too_large", limit=SETTINGS_LIMIT)


# --- task types ----------------------------------------------------------------------------------------------------


def task_type_for_trial(app: App, name: str) -> TaskType:
    """The type to try. Raises TaskTypeNotFound, or Conflict for one with an effect outside the platform."""
    found = app.types.get(name)
    if found is None:
        raise TaskTypeNotFound(name)
    if found.effect:
        raise Conflict("task_type_has_effect", type=name)
    return found


def trial_ids(organization_id: str, trace_id: str, name: str) -> TaskIds:
    """Ids of a task run that belongs to no run."""
    number = new_id()
    return TaskIds(number, f"try-{number}", organization_id, "", name, 1, trace_id)


async def try_task(
    attempt: Callable[[Dispatch], Awaitable[Outcome]], ids: TaskIds, type_name: str, parameters: Any, timeout_s: float
) -> tuple[Outcome, float]:
    """Runs the task once by `attempt` (the worker's own); how it ended, and the milliseconds that took. An output that
    a run would keep apart is not answered: it ends in `output_not_shown`.

    Raises Limited while four trials run in this worker.
    """
    if _trials.locked():
        raise Limited("too_many_trials", retry_after=5)
    async with _trials:
        began = time.perf_counter()
        outcome = await attempt(Dispatch(ids, type_name, parameters, min(timeout_s, TRY_LONGEST_S), 0, ""))
        ran_ms = round((time.perf_counter() - began) * 1000, 3)
        if outcome.output is not None and len(outcome.output) > INLINE_LIMIT:
            size = len(outcome.output)
            outcome = outcomes.failed("output_not_shown", retryable=False, size=size, limit=INLINE_LIMIT)
        return outcome, ran_ms


# --- what a running task wishes ------------------------------------------------------------------------------------


async def grant(app: App, ids: TaskIds, type_name: str, wish: str, args: dict[str, Any], content: bytes) -> Any:
    """Does what a task asked its context for, off the loop; the pair of JSON value and bytes that answers it."""
    return await asyncio.to_thread(_grant, app, ids, type_name, wish, args, content)


def _grant(
    app: App, ids: TaskIds, type_name: str, wish: str, args: dict[str, Any], content: bytes
) -> tuple[Any, bytes]:
    organization = ids.organization_id
    match wish:
        case "artifact.put":
            made = app.artifacts.put(
                organization, ids.run_id, ids.task_run_id, args["path"], content, args["content_type"]
            )
            return made.as_json(), b""
        case "artifact.get":
            return None, app.artifacts.get(organization, ids.run_id, args["path"])
        case "connection":
            return open_connection(app, organization, args["name"]), b""
        case "state.get":
            entry = storage.get_entry(app.database, organization, args["namespace"], args["key"])
            return None if entry is None else asdict(entry), b""
        case "state.entries":
            found = storage.list_entries(app.database, organization, args["namespace"])
            return {key: asdict(entry) for key, entry in found.items()}, b""
        case "state.put":
            return _put_state(app, organization, args), b""
        case "effect.noted":
            return storage.effect_note(app.database, organization, ids.idempotency_key), b""
        case "effect.note":
            note = {
                "effect_id": ids.idempotency_key,
                "organization_id": organization,
                "run_id": ids.run_id,
                "type": type_name,
            }
            storage.note_effect(app.database, note, _sized(args["value"]))
            return None, b""
    raise ValueError(f"no such wish: {wish!r}")


def _put_state(app: App, organization_id: str, args: dict[str, Any]) -> int:
    namespace, key = args["namespace"], args["key"]
    if not 0 < len(namespace) <= 64 or not 0 < len(key) <= 255:
        raise TaskError("state_refused", "namespace of 1 to 64, key of 1 to 255 characters", limit=STATE_LIMIT)
    try:
        return storage.put_entry(app.database, organization_id, namespace, key, _sized(args["value"]), args["version"])
    except storage.EntryMoved as error:
        raise StateConflict from error


def _sized(value: Any) -> Any:
    if len(orjson.dumps(value)) > STATE_LIMIT:
        raise TaskError("state_refused", limit=STATE_LIMIT)
    return value


def list_task_types(app: App) -> list[TaskType]:
    return list(app.types.values())


def schemas(task_type: sdk.TaskType) -> tuple[bytes, bytes]:
    """JSON Schemas of parameters and output, as JSON text."""
    return orjson.dumps(task_type.parameters_schema), orjson.dumps(task_type.output_schema)
