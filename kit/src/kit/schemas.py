"""JSON Schemas that people write, checked in bounded time.

The library matches patterns by backtracking, where `^(a+)+$` takes years and holds its whole process meanwhile. Here
they are matched in time linear in the text, by an engine that in exchange knows no look-around and no back-reference;
and a check as a whole has a bounded number of steps. The library takes 0.25 s to import: the first check does it.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import orjson
from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

STEPS = 300_000
"""Keywords applied in a check, those that lead to others counted more: 10,000 objects of eight fields need 200,000."""
TEXT_LIMIT = 65_536
"""Characters of a text that a pattern is held against."""
REPETITIONS = 1_000
"""What the counts of a pattern may multiply to: `(a{20}){50}`."""

_left: ContextVar[list[int]] = ContextVar("steps_left")


class TooExpensive(Exception):
    """The check was given up: schema and value together ask for more than a caller may cost."""


def errors(schema: bytes, value: Any) -> list[Any]:
    """The jsonschema.ValidationErrors of `value` by a schema (as JSON text). Raises TooExpensive."""
    _left.set([STEPS])
    return list(_validator(schema).iter_errors(value))


def pattern_fault(pattern: str) -> str | None:
    """Why a pattern cannot be used, in the engine's English; None when it can."""
    counts = [int(most or least) for least, most in re.findall(r"\{(\d{1,9})(?:,(\d{0,9}))?\}", pattern)]
    if math.prod(max(count, 1) for count in counts) > REPETITIONS:
        return f"its counts multiply to more than {REPETITIONS}"
    try:
        _matcher(pattern)
    except SchemaError as error:
        return str(error).rpartition("error: ")[2].strip() or str(error)
    return None


@lru_cache(maxsize=200)
def _validator(schema: bytes) -> Any:
    from referencing import Registry

    # an empty registry: a `$ref` elsewhere is an error here, never a download
    return _validator_class()(orjson.loads(schema), registry=Registry())


@lru_cache(maxsize=1)
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    rules: dict[str, Any] = {**Draft202012Validator.VALIDATORS, "uniqueItems": _unique_items}
    rules |= {"pattern": _pattern, "patternProperties": _pattern_properties}
    rules["additionalProperties"] = _additional_properties(rules["additionalProperties"])
    counted = {name: _counted(name, rule) for name, rule in rules.items()}
    return extend(Draft202012Validator, counted)  # type: ignore[no-untyped-call]


Rule = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


_WEIGHTS = {"$ref": 10, "$dynamicRef": 10}
_PER_ITEM = {"enum": 1, "anyOf": 5, "oneOf": 5, "allOf": 5}


def _counted(name: str, rule: Rule) -> Rule:
    weight, per_item = _WEIGHTS.get(name, 1), _PER_ITEM.get(name, 0)

    def counted(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
        left = _left.get()
        left[0] -= weight + (per_item * len(wanted) if per_item else 0)
        if left[0] < 0:
            raise TooExpensive
        yield from rule(validator, wanted, value, schema) or ()

    return counted


@lru_cache(maxsize=1_000)
def _matcher(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex", strict=True))


def _found(pattern: str, text: str) -> bool:
    if len(text) > TEXT_LIMIT:
        raise TooExpensive
    try:
        _matcher(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError as Violation

    if validator.is_type(value, "string") and not _found(pattern, value):
        yield Violation(f"{value[:100]!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], value: Any, schema: Any) -> Iterator[Any]:
    if not validator.is_type(value, "object"):
        return
    for pattern, inner in patterns.items():
        for name, item in value.items():
            if _found(pattern, name):
                yield from validator.descend(item, inner, path=name, schema_path=pattern)


def _additional_properties(rule: Any) -> Rule:
    """The library's own, which meets no pattern any more: what one of them covers is taken out before."""

    def additional(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
        patterns = schema.get("patternProperties")
        if patterns and validator.is_type(value, "object"):
            value = {name: item for name, item in value.items() if not any(_found(one, name) for one in patterns)}
            schema = {name: inner for name, inner in schema.items() if name != "patternProperties"}
        yield from rule(validator, wanted, value, schema) or ()

    return additional


def _unique_items(validator: Any, wanted: bool, value: Any, schema: Any) -> Iterator[Any]:
    """Each item by its text instead of with every other one."""
    from jsonschema import ValidationError as Violation

    if wanted and validator.is_type(value, "array"):
        texts = {orjson.dumps(_plain(item), option=orjson.OPT_SORT_KEYS) for item in value}
        if len(texts) < len(value):
            yield Violation("the items are not unique")


def _plain(value: Any) -> Any:
    """JSON Schema calls 1 and 1.0 equal."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**63 else value
