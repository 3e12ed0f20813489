"""Task types that the engine carries out itself: they wait, hold no worker, and survive every restart.

    wait.time        until an instant, or for some seconds      → {"waited_until": instant}
    wait.event       for an event of a name whose data match    → {"event_id", "name", "data", "at"}
    human.approval   for a person's yes or no                   → {"approved", "comment", "by", "at"}
    human.form       for values that fit a JSON Schema          → {"values", "comment", "by", "at"}
    workflow.run     for another workflow's run                 → {"run_id", "number", "state", "output"}

All but wait.time take `timeout_s`: when it passes first, the attempt has failed (`wait_timeout`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

LONGEST_S = 366 * 24 * 3600.0
"""A wait in seconds may be this long; the run's own time-out usually ends it before."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(StrEnum):
    TIME = "wait.time"
    EVENT = "wait.event"
    APPROVAL = "human.approval"
    FORM = "human.form"
    CHILD = "workflow.run"


KINDS = {str(kind): kind for kind in Kind}
HUMAN = frozenset({Kind.APPROVAL, Kind.FORM})


class WrongWait(Exception):
    """The resolved parameters cannot be waited for; `field` is the one at fault."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


@dataclass(frozen=True, slots=True)
class Wait:
    """`due_at`: microseconds at which time alone ends it; None: only an answer does."""

    due_at: int | None


def wait_for(kind: Kind, parameters: Any, now: int) -> Wait:
    """Checks the resolved parameters and says until when. Raises WrongWait."""
    if not isinstance(parameters, dict):
        raise WrongWait("parameters")
    match kind:
        case Kind.TIME:
            return Wait(_instant(parameters, now))
        case Kind.EVENT:
            if not _text(parameters.get("event"), 128):
                raise WrongWait("event")
            if not isinstance(parameters.get("match", {}), dict):
                raise WrongWait("match")
        case Kind.CHILD:
            if not _text(parameters.get("workflow_id"), 64):
                raise WrongWait("workflow_id")
            if not isinstance(parameters.get("input", {}), dict):
                raise WrongWait("input")
            if not _texts(parameters.get("outputs", [])):
                raise WrongWait("outputs")
        case Kind.FORM:
            if not isinstance(parameters.get("schema", {}), dict):
                raise WrongWait("schema")
        case Kind.APPROVAL:  # pragma: no branch  # the last of all kinds
            if parameters.get("on_reject", "fail") not in ("fail", "continue"):
                raise WrongWait("on_reject")
    timeout_s = parameters.get("timeout_s")
    return Wait(None if timeout_s is None else now + _seconds("timeout_s", timeout_s))


def matches(wanted: Any, data: Any) -> bool:
    """Whether `data` says what `wanted` says: objects may say more, everything else must be equal."""
    if isinstance(wanted, dict):
        return isinstance(data, dict) and all(
            key in data and matches(value, data[key]) for key, value in wanted.items()
        )
    # 1 == True in Python, not in JSON
    return bool(wanted == data) and isinstance(wanted, bool) == isinstance(data, bool)


def instant(micros: int) -> str:
    """As all times go out: ISO 8601 in UTC, with milliseconds."""
    # whole microseconds are added: a float of this size has no room for them all
    said = (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="milliseconds")
    return said.replace("+00:00", "Z")


def _text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(_text(item, 63) for item in value)


def _seconds(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_S:
        raise WrongWait(field)
    return int(value * 1_000_000)


def _instant(parameters: dict[str, Any], now: int) -> int:
    if ("until" in parameters) == ("seconds" in parameters):
        raise WrongWait("until")
    if "seconds" in parameters:
        return now + _seconds("seconds", parameters["seconds"])
    try:
        until = datetime.fromisoformat(parameters["until"])
    except (TypeError, ValueError):
        raise WrongWait("until") from None
    if until.tzinfo is None:
        raise WrongWait("until")
    return max(now, int(until.timestamp() * 1_000_000))
