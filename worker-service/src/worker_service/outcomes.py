"""How a task ended, as the engine is told: an output within the limit, an error with a text, or cancelled.

Nothing of an unexpected exception but its class leaves the worker; its traceback goes to the log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from kit import messages
from kit.payloads import Stored
from worker_service.sdk import OUTPUT_LIMIT, StateConflict, TaskError, TaskType

MESSAGE_LIMIT = 2_000
_ERRORS_NAMED = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """Exactly one of the first three. `output` is JSON text; `error` is {code, message, retryable, details?}. An output
    that is too large for a message is also `stored`."""

    output: bytes | None = None
    error: dict[str, Any] | None = None
    cancelled: bool = False
    stored: Stored | None = None

    def members(self) -> dict[str, Any]:
        """What a result says of it."""
        if self.stored is not None:
            return {"output_ref": self.stored.reference, "output_size": self.stored.size}
        if self.output is not None:
            return {"output": orjson.Fragment(self.output)}
        if self.error is not None:
            return {"error": self.error}
        return {"cancelled": True}

    def as_json(self) -> dict[str, Any]:
        """`{output, error}`, one of them null."""
        output = None if self.output is None else orjson.loads(self.output)
        return {"output": output, "error": self.error or (_CANCELLED_ERROR if self.cancelled else None)}


_CANCELLED_ERROR = {"code": "cancelled", "message": "cancelled", "retryable": True}
CANCELLED = Outcome(cancelled=True)


def failed(code: str, *, retryable: bool, details: Mapping[str, Any] | None = None, **params: Any) -> Outcome:
    """A failure that the worker itself sees; its text is `task.<code>` in our catalogue."""
    return _error(code, messages.text(f"task.{code}", **params), retryable, details or {})


def of_output(task_type: TaskType, returned: Any) -> Outcome:
    """What the function returned, held against the type's output model."""
    try:
        output = task_type.output.model_validate(returned)
        content = output.__pydantic_serializer__.to_json(output)
    except ValidationError as error:
        return failed("invalid_output", retryable=False, details={"errors": _fields(error)})
    except Exception as error:
        return failed("invalid_output", retryable=False, details={"detail": type(error).__name__})
    if len(content) > OUTPUT_LIMIT:
        return failed("output_too_large", retryable=False, size=len(content), limit=OUTPUT_LIMIT)
    return Outcome(output=content)


def of_exception(task_type: TaskType, error: BaseException, lang: str) -> Outcome:
    """What the function raised."""
    match error:
        case TaskError():
            template = task_type.text(error.code, lang)
            try:
                message = template.format(**{"field": error.field, **error.params}) if template else error.code
            except (KeyError, IndexError, ValueError, AttributeError):
                message = str(template)
            retryable = task_type.retryable(error.code) if error.retryable is None else error.retryable
            details = {"detail": error.detail[:MESSAGE_LIMIT], "field": error.field}
            return _error(error.code, message, retryable, {key: value for key, value in details.items() if value})
        case StateConflict():
            return failed("state_conflict", retryable=True)
        case _:
            return failed("internal", retryable=True, details={"detail": type(error).__name__})


def parse_parameters(task_type: TaskType, parameters: Any) -> BaseModel | Outcome:
    """The parameters as the type's model, or the failure that names what is wrong with them."""
    try:
        return task_type.parameters.model_validate(parameters)
    except ValidationError as error:
        fields = _fields(error)
        return failed(
            "invalid_parameters",
            retryable=False,
            details={"field": fields[0]["field"], "errors": fields},
            field=fields[0]["field"],
            reason=fields[0]["reason"],
        )


def from_json(said: Mapping[str, Any], content: bytes) -> Outcome:
    """The Outcome that a process slot wrote."""
    return Outcome(output=content) if said.get("error") is None else Outcome(error=said["error"])


def _error(code: str, message: str, retryable: bool, details: Mapping[str, Any]) -> Outcome:
    error: dict[str, Any] = {"code": code, "message": message[:MESSAGE_LIMIT], "retryable": retryable}
    if details:
        error["details"] = dict(details)
    return Outcome(error=error)


def _fields(error: ValidationError) -> list[dict[str, str]]:
    """Which fields are wrong and why; the values themselves stay out of it."""
    fields = []
    for item in error.errors(include_url=False, include_input=False)[:_ERRORS_NAMED]:
        reason = messages.text(item["type"], **(item.get("ctx") or {}))
        path = ""
        for part in item["loc"]:
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        fields.append({"field": path, "reason": item["msg"] if reason == item["type"] else reason})
    return fields
