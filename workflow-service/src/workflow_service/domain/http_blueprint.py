"""Type `http`: a blueprint names the fields of a request's body and their types; values come from elsewhere.

`{"endpoint": "/keywords/search", "method": "POST", "body": {"tag": "String"}}` with the values `{"tag": "naver"}`
becomes the worker's `{"endpoint", "method", "body": {"tag": "String"}, "values": {"tag": "naver"}}`. A field without a
value takes the run input's of the same name. A field may be an object of fields: the worker knows it as an Object. It
checks the types when the values are known.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import orjson

from workflow_service.domain.merge import merge

TYPE = "http"
FIELD_TYPES = {name.lower(): name for name in ("String", "Integer", "Number", "Boolean", "Object", "Array")}
WRAPPERS = ("body", "values")
Path: TypeAlias = tuple[str | int, ...]


class Fault(Exception):
    """A blueprint or its values are not what they must be. `given`: the path is within default_config's values."""

    def __init__(self, path: Path, code: str, *, given: bool = False, **params: Any) -> None:
        super().__init__(path, code, params)
        self.path, self.code, self.given, self.params = path, code, given, params


def expand(blueprint: Mapping[str, Any], given: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The worker's parameters. `given` is default_config's, later over earlier: body fields, flat or in WRAPPERS.

    Raises Fault.
    """
    body = blueprint.get("body", {})
    if not isinstance(body, dict):
        raise Fault(("body",), "dict_type")
    fields = _fields(body, ("body",))
    fixed = blueprint.get("values", {})
    if not isinstance(fixed, dict):
        raise Fault(("values",), "dict_type")
    _known(fixed, fields, ("values",), given=False)
    values: Any = fixed
    for patch in given:
        values = merge(values, flat(patch, fields))
    kinds = {name: "Object" if isinstance(kind, dict) else kind for name, kind in fields.items()}
    expanded = {**blueprint, "body": kinds, "values": _filled(fields, values, "run.input")}
    if isinstance(blueprint.get("method"), str):
        expanded["method"] = blueprint["method"].upper()
    return expanded


def _fields(body: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Field → type name as the worker writes it, or the fields of a nested object."""
    fields: dict[str, Any] = {}
    for name, kind in body.items():
        if isinstance(kind, dict):
            fields[name] = _fields(kind, (*path, name))
        elif isinstance(kind, str) and kind.lower() in FIELD_TYPES:
            fields[name] = FIELD_TYPES[kind.lower()]
        else:
            raise Fault((*path, name), "http_field_type", expected=", ".join(FIELD_TYPES.values()))
    return fields


def flat(given: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The given values by field, whether they stand flat or under `body` or `values`. Raises Fault."""
    direct: dict[str, Any] = {}
    nested: dict[str, Any] = {}
    for name, value in given.items():
        if name in fields:
            _known({name: value}, fields, (), given=True)
            direct[name] = value
        elif name in WRAPPERS and isinstance(value, dict):
            _known(value, fields, (name,), given=True)
            nested.update(value)
        else:
            raise Fault((name,), "http_field_unknown", given=True, field=name, known=_listed(fields))
    return {**nested, **direct}


def _known(values: Mapping[str, Any], fields: Mapping[str, Any], path: Path, *, given: bool) -> None:
    """Raises Fault for a value whose field the blueprint does not name."""
    for name, value in values.items():
        if name not in fields:
            raise Fault((*path, name), "http_field_unknown", given=given, field=name, known=_listed(fields))
        if isinstance(fields[name], dict) and isinstance(value, dict):
            _known(value, fields[name], (*path, name), given=given)


def _listed(fields: Mapping[str, Any]) -> str:
    return ", ".join(fields) or "–"


def _filled(fields: Mapping[str, Any], values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """A value for every field: the given one, else an expression that takes the run input's."""
    filled: dict[str, Any] = {}
    for name, kind in fields.items():
        where = f"{source}.{name}" if name.isidentifier() and name.isascii() else f"{source}[{_quoted(name)}]"
        value = values.get(name)
        if isinstance(kind, dict) and (value is None or isinstance(value, dict)):
            filled[name] = _filled(kind, value or {}, where)
        else:
            filled[name] = f"${{{{ optional({where}, null) }}}}" if value is None else value
    return filled


def _quoted(name: str) -> str:
    return orjson.dumps(name).decode()
