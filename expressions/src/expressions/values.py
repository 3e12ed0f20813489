"""Values on their way to CEL and back.

The rule kept here: CEL sees only JSON (and times) that it takes unchanged, and what comes back is JSON, with its keys
sorted, so that the same input gives the same bytes.
"""

import re
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

import orjson
from cel_expr_python import cel
from google.protobuf import timestamp_pb2

from .errors import ExpressionError


def for_cel(value: Any) -> Any:
    """CEL takes a datetime only as a declared variable; a message it takes everywhere."""
    if not isinstance(value, datetime):
        return value
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(value)
    return stamp


def size_for_cel(value: Any) -> int:
    """Bytes of JSON; refuses what crashes the extension or what it changes silently (it cuts strings at NUL)."""
    try:
        text = orjson.dumps(value)
    except TypeError as error:
        raise ExpressionError("evaluation", f"CEL cannot take these data: {error}") from error
    if b"\\u0000" in text and re.search(rb"(?<!\\)(?:\\\\)*\\u0000", text):
        raise ExpressionError("evaluation", "CEL cannot take the character NUL")
    return len(text)


def longest_inside(value: Any) -> int:
    """The length of the longest list or object inside the value."""
    longest, waiting = 1, [value]
    while waiting:
        parent = waiting.pop()
        for child in parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list) else ():
            if isinstance(child, (list, dict)):
                longest = max(longest, len(child))
                waiting.append(child)
    return longest


class Unfolding:
    """A CEL result as JSON: parts that it shares are written out, so nodes and characters are counted down."""

    def __init__(self, left: int) -> None:
        self.left = left

    def json(self, value: Any) -> Any:
        if isinstance(value, cel.Value):
            value = value.value()
        self.left -= len(value) if isinstance(value, str) else 1
        if self.left < 0:
            raise ExpressionError("result_too_large", "the result is larger than its limit")
        if isinstance(value, list):
            return [self.json(item) for item in value]
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {key: self.json(value[key]) for key in sorted(value)}  # CEL's order is random
        if isinstance(value, datetime):
            return written_time(value)
        if isinstance(value, timedelta):
            return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
        if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and isfinite(value)):
            return value
        raise ExpressionError("evaluation", f"the result is not JSON: {type(value).__name__} {str(value)[:40]}")


def written_time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
