"""Medians, and what a figure looks like when it is printed."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all are not above."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -(-int(len(ranked) * share * 1000) // 1000) - 1))]


def spread(values: Sequence[float]) -> str:
    return f"{min(values):.4g}–{max(values):.4g}"


def per_task(before: Mapping[str, float], after: Mapping[str, float], tasks: int) -> dict[str, float]:
    """CPU milliseconds per task by service, of two readings of CPU seconds."""
    used = {service: (after[service] - before.get(service, 0.0)) * 1000 / tasks for service in after}
    return {service: round(ms, 3) for service, ms in sorted(used.items(), key=lambda one: -one[1]) if ms >= 0.0005}


def line(name: str, **values: Any) -> str:
    return f"  {name}  " + "  ".join(f"{key}={_shown(value)}" for key, value in values.items())


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
