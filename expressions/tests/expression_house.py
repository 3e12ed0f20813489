"""Names and data for the tests of expressions, and rendering over them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from expressions import FULL, Budget, ExpressionError, Names, compile_template

Root = tuple[str, ...]


def _not_the_later(root: Root) -> str | None:
    return "it does not come before this task" if root == ("tasks", "later", "output") else None


NAMES = Names(
    frozenset({("run", "input"), ("tasks", "*", "output"), ("item",), ("event",), ("now",)}),
    _not_the_later,
)
NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC)
DATA: dict[Root, Any] = {
    ("run", "input"): {
        "n": 3,
        "half": 0.5,
        "name": "한글",
        "none": None,
        "yes": True,
        "k-1": {"list": [10, 20]},
        "rows": [{"id": i, "name": f"상품 {i}", "tags": ["a", "b"]} for i in range(100)],
        "nul": "a\0b",
        "backslash": "a\\u0000b",
        "surrogate": "\ud800",
        "wide": 2**63,
        "wider": 2**64,
    },
    ("tasks", "trend", "output"): {"keyword": "봄", "items": [1, 2, 3]},
    ("tasks", "empty", "output"): None,
    ("item",): 7,
    ("event",): {"type": "order.paid"},
    ("now",): NOON,
}


def lookup(root: Root) -> Any:
    return DATA[root]


def render(value: Any, find: Callable[[Root], Any] = lookup, budget: Budget = FULL) -> Any:
    return compile_template(value, NAMES).render(find, budget)


def refused(value: Any, budget: Budget = FULL) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        render(value, budget=budget)
    return caught.value
