"""JSON Schema checks: parameters against their task type, and input schemas in themselves.

What an expression will give is not known yet, so whatever holds one is left to the worker. jsonschema takes 0.25 s to
import: it is loaded when the first schema is checked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from kit.schemas import TooExpensive, errors, pattern_fault
from workflow_service.domain.scope import strings

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError


@dataclass(frozen=True)
class Violation:
    """`missing`: a required member is absent, which another layer may still bring."""

    path: tuple[str | int, ...]
    code: str
    params: tuple[tuple[str, Any], ...] = ()
    missing: bool = False


def violations(schema: Mapping[str, Any], value: Any) -> Iterator[Violation]:
    """What in `value` breaks `schema`, expressions aside."""
    seen: set[Violation] = set()
    for error in _validator(orjson.dumps(schema)).iter_errors(value):
        for violation in _violations(error):
            if violation not in seen:
                seen.add(violation)
                yield violation


def _violations(error: "ValidationError") -> Iterator[Violation]:
    path = tuple(error.absolute_path)
    rule: Any = error.validator_value
    schema: Any = error.schema
    instance: Any = error.instance
    if error.validator == "required":
        for name in rule:
            if name not in instance:
                yield Violation((*path, name), "missing", missing=True)
    elif error.validator == "additionalProperties" and rule is False:
        known = schema.get("properties", {})
        for name in instance:
            if name not in known:
                yield Violation((*path, name), "parameter_unknown", (("known", ", ".join(known) or "–"),))
    elif next(strings(instance), None) is None:
        yield _violation(path, error, rule)


def _violation(path: tuple[str | int, ...], error: "ValidationError", rule: Any) -> Violation:
    match error.validator:
        case "type":
            return Violation(path, "schema_type", (("expected", rule if isinstance(rule, str) else ", ".join(rule)),))
        case "enum":
            return Violation(path, "enum", (("expected", ", ".join(map(str, rule))),))
        case "anyOf" | "oneOf":
            # of several ways to be right, the reason of the one that came nearest
            from jsonschema.exceptions import best_match

            return Violation(path, "schema_violated", (("error", _short((best_match([error]) or error).message)),))
        case _:
            return Violation(path, "schema_violated", (("error", _short(error.message)),))


def _short(message: str) -> str:
    return message if len(message) <= 200 else message[:199] + "…"


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> "Draft202012Validator":
    from jsonschema import Draft202012Validator
    from referencing import Registry

    # an empty registry: a `$ref` elsewhere is an error here, never a download
    return Draft202012Validator(orjson.loads(schema), registry=Registry())


DRAFTS = ("https://json-schema.org/draft/2020-12/schema",)
"""What `$schema` may name. An older draft's words mean other things here: it is refused rather than misread."""


def schema_fault(schema: Mapping[str, Any]) -> Violation | None:
    """Why `schema` is not a JSON Schema that stands by itself; None when it is one."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing.exceptions import Unresolvable

    for path, name, target in _named(schema, ()):
        if name == "$schema":
            if not isinstance(target, str) or target.removesuffix("#") not in DRAFTS:
                return Violation((*path, name), "schema_draft_unknown", (("accepted", ", ".join(DRAFTS)),))
        elif not isinstance(target, str) or not target.startswith("#"):
            return Violation((*path, name), "schema_reference_outside")
    try:
        Draft202012Validator.check_schema(dict(schema))
        if (fault := _pattern_fault(schema)) is not None:
            return fault
        # a reference to nowhere, or to itself, shows when it is followed
        errors(orjson.dumps(schema), {})
    except SchemaError as error:
        return Violation(tuple(error.absolute_path), "input_schema_invalid", (("error", _short(error.message)),))
    except TooExpensive:
        return Violation((), "schema_too_expensive")
    except (Unresolvable, RecursionError) as error:
        return Violation((), "schema_reference_broken", (("error", _short(str(error))),))
    return None


def _pattern_fault(schema: Mapping[str, Any]) -> Violation | None:
    """The first pattern that the check of a run's input could not use (`kit.schemas`)."""
    patterns = list(_patterns(schema, ()))
    for path, pattern in patterns:
        if (fault := pattern_fault(pattern)) is not None:
            return Violation(path, "pattern_unsupported", (("error", _short(fault)),))
    # there the library matches the names by itself
    if b"unevaluatedProperties" in orjson.dumps(schema) and any(path[-1] != "pattern" for path, _ in patterns):
        return Violation((), "schema_beside_patterns")
    return None


def _patterns(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _patterns(inner, (*path, index))
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        if name == "pattern" and isinstance(inner, str):
            yield (*path, name), inner
        if name == "patternProperties" and isinstance(inner, dict):
            yield from (((*path, name), pattern) for pattern in inner)
        if name not in ("const", "enum", "default", "examples"):
            yield from _patterns(inner, (*path, name))


def _named(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str, Any]]:
    """Every schema that `value` names: path, keyword and what stands there."""
    if isinstance(value, dict):
        for name, inner in value.items():
            # a property may well be called "$ref"; then its value is a schema, not text
            if name in ("$ref", "$dynamicRef", "$schema") and not isinstance(inner, dict):
                yield path, name, inner
            else:
                yield from _named(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _named(inner, (*path, index))
