"""RFC 7396 JSON merge patch, on values that are never changed in place."""

from typing import Any


def merge(target: Any, patch: Any) -> Any:
    """`patch` over `target`: objects deeply, lists and the rest replaced, null removes a member."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def holds(value: Any, path: tuple[str | int, ...]) -> bool:
    """Whether there is something at `path` inside `value`."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return False
            value = value[step]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            return False
    return True
