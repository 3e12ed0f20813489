"""A job's expressions mean the job's own tasks: when a workflow gives one another key, the expressions follow.

Only names inside `${{ }}` change, never text or string literals.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TOKEN = re.compile(
    r"""(?P<skip>\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|//[^\n]*)"""
    r"""|(?P<field>(?<![\w.\])])tasks\s*\.\s*(?P<name>[A-Za-z_]\w*))"""
    r"""|(?P<index>(?<![\w.\])])tasks\s*\[\s*(?P<quote>["'])(?P<key>\w+)(?P=quote)\s*\])"""
    r"""|(?P<brace>[{}])|\w+|.""",
    re.DOTALL,
)


def is_expression(value: Any) -> bool:
    return isinstance(value, str) and "${{" in value


def strings(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every string that holds an expression, with its path."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from strings(inner, (*path, index))
    elif is_expression(value):
        yield path, value


def rename(value: Any, keys: Mapping[str, str]) -> Any:
    """`value` with `tasks.<key>` in its expressions replaced as `keys` says."""
    if not keys:
        return value
    if isinstance(value, dict):
        return {name: rename(inner, keys) for name, inner in value.items()}
    if isinstance(value, list):
        return [rename(inner, keys) for inner in value]
    return _rename_text(value, keys) if is_expression(value) else value


def _rename_text(text: str, keys: Mapping[str, str]) -> str:
    written, position = "", 0
    while (start := text.find("${{", position)) >= 0:
        written += text[position : start + 3]
        position = start + 3
        if start and text[start - 1] == "$":
            continue
        code, position = _rename_code(text, position, keys)
        written += code
    return written + text[position:]


def _rename_code(text: str, position: int, keys: Mapping[str, str]) -> tuple[str, int]:
    """The expression from `position` on with names replaced, and where it ends (before its `}}`)."""
    written, braces = "", 0
    for match in _TOKEN.finditer(text, position):
        if not braces and text.startswith("}}", match.start()):
            return written, match.start()
        word = match[0]
        if match["brace"]:
            braces = max(0, braces + (1 if word == "{" else -1))
        name = match["name"] or match["key"]
        if name in keys:
            group = "name" if match["name"] else "key"
            offset = match.start(group) - match.start()
            word = word[:offset] + keys[name] + word[offset + len(name) :]
        written += word
    return written, len(text)
