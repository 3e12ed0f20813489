"""Schemas of people: the rules of the library, in bounded time."""

import json
import random
import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kit import schemas
from kit.schemas import TooExpensive


def paths(schema: dict[str, Any], value: Any) -> list[tuple[Any, ...]]:
    return sorted(tuple(map(str, error.absolute_path)) for error in schemas.errors(json.dumps(schema).encode(), value))


CASES: list[tuple[dict[str, Any], Any]] = [
    ({"pattern": "^a+$"}, "aaa"),
    ({"pattern": "^a+$"}, "aab"),
    ({"pattern": "b"}, "abc"),
    ({"pattern": "^[가-힣]+$"}, "한글"),
    ({"pattern": "x"}, 5),
    ({"patternProperties": {"^x": {"type": "integer"}}}, {"x1": 1, "x2": "a", "y": "b"}),
    ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"x1": 1}),
    ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"x1": 1, "y": 2}),
    ({"properties": {"a": {}}, "patternProperties": {"^x": {}}, "additionalProperties": {"type": "null"}},
     {"a": 1, "x": 2, "z": 3, "n": None}),
    ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1, "b": 2}),
    ({"uniqueItems": True}, [1, 2, 3]),
    ({"uniqueItems": True}, [1, 1.0]),
    ({"uniqueItems": True}, [True, 1]),
    ({"uniqueItems": True}, [{"a": 1, "b": 2}, {"b": 2.0, "a": 1}]),
    ({"uniqueItems": True}, [[1], ["1"], None, "null", False, 0]),
    ({"uniqueItems": False}, [1, 1]),
    ({"uniqueItems": True}, "aa"),
    ({"$defs": {"n": {"type": "integer"}}, "items": {"$ref": "#/$defs/n"}}, [1, "a", 2, "b"]),
    ({"anyOf": [{"type": "integer"}, {"pattern": "^a"}]}, "b"),
    ({"not": {"pattern": "^a"}}, "abc"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value"), CASES, ids=str)
def test_the_verdict_is_the_librarys(schema: dict[str, Any], value: Any) -> None:
    expected = sorted(tuple(map(str, error.absolute_path)) for error in Draft202012Validator(schema).iter_errors(value))
    assert paths(schema, value) == expected


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 50_000 + "!"),
        ({"pattern": "(a|a)*b"}, "a" * 50_000),
        ({"patternProperties": {"^(a+)+$": {}}}, {"a" * 50_000 + "!": 1}),
        ({"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}, {"a" * 50_000 + "!": 1}),
        ({"uniqueItems": True}, [{"a": [number]} for number in range(10_000)]),
    ],
    ids=["pattern", "alternatives", "names", "other names", "unique"],
)
def test_what_takes_others_years_takes_no_time(schema: dict[str, Any], value: Any) -> None:
    began = time.process_time()
    schemas.errors(json.dumps(schema).encode(), value)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "a"}, "b" * 65_537),
        ({"patternProperties": {"a": {}}}, {"b" * 65_537: 1}),
        ({"items": {"enum": list(range(5_000))}}, [-1] * 1_000),
        (
            {
                "$defs": {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 9} for n in range(9)}
                | {"d9": {"type": "null"}},
                "$ref": "#/$defs/d0",
            },
            1,
        ),
        ({"items": {"anyOf": [{"required": [str(n)]} for n in range(500)]}}, [{}] * 10_000),
    ],
    ids=["a long text", "a long name", "choices", "a tree", "ways"],
)
def test_what_asks_for_too_much_is_given_up(schema: dict[str, Any], value: Any) -> None:
    began = time.process_time()
    with pytest.raises(TooExpensive):
        schemas.errors(json.dumps(schema).encode(), value)
    assert time.process_time() - began < 10


def test_an_ordinary_list_of_ten_thousand_is_within_the_bounds() -> None:
    names = [f"field{number}" for number in range(8)]
    item = {
        "type": "object",
        "required": names,
        "properties": {name: {"type": "string", "pattern": "^[a-z]+$"} for name in names},
    }
    drawn = random.Random(1)
    value = [{name: drawn.choice(["a", "b"]) for name in names} for _ in range(10_000)]
    assert schemas.errors(json.dumps({"type": "array", "items": item}).encode(), value) == []


@pytest.mark.parametrize("pattern", ["", "a", r"^\d{4}-\d{2}-\d{2}$", "^[a-z][a-z0-9_]{0,62}$", r"^[^\s@]+@[^\s@]+$"])
def test_ordinary_patterns_are_sound(pattern: str) -> None:
    assert schemas.pattern_fault(pattern) is None


@pytest.mark.parametrize(
    "pattern", ["(", "(a+", "[", r"(a)\1", "(?=a)b", "(?<!a)b", "(a{100}){100}", "a{1001}", "((a{0,20}){20,}){30}", "*"]
)
def test_patterns_that_are_none_or_cannot_be_bounded_are_told(pattern: str) -> None:
    assert schemas.pattern_fault(pattern)
