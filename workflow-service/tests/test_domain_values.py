"""Merging, http blueprints, schemas, and expressions that follow a renamed task."""

from typing import Any

import pytest

from kit import messages
from workflow_service.domain.http_blueprint import Fault, expand
from workflow_service.domain.merge import holds, merge
from workflow_service.domain.schemas import Violation, schema_fault, violations
from workflow_service.domain.scope import rename, strings


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        # the appendix of RFC 7396
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_values_merge_as_rfc_7396_says(target: Any, patch: Any, merged: Any) -> None:
    assert merge(target, patch) == merged


def test_merging_changes_nothing_in_place() -> None:
    target = {"a": {"b": 1}}
    assert merge(target, {"a": {"b": 2}}) == {"a": {"b": 2}}
    assert target == {"a": {"b": 1}}


def test_a_path_is_held_or_not() -> None:
    value = {"a": [{"b": 1}]}
    assert holds(value, ("a", 0, "b"))
    assert not any(holds(value, path) for path in [("a", 1), ("a", "b"), ("x",), ("a", 0, "b", "c"), (0,)])


SEED = {"endpoint": "/keywords/search", "method": "post", "body": {"tag": "string"}}


@pytest.mark.parametrize("given", [{"tag": "naver"}, {"body": {"tag": "naver"}}, {"values": {"tag": "naver"}}])
def test_the_seeds_blueprint_takes_its_value_however_it_is_written(given: dict[str, Any]) -> None:
    assert expand(SEED, [given]) == {
        "endpoint": "/keywords/search",
        "method": "POST",
        "body": {"tag": "String"},
        "values": {"tag": "naver"},
    }


def test_a_field_without_a_value_takes_the_run_inputs() -> None:
    fields = {"tag": "String", "쪽 번호": "INTEGER", "filter": {"color": "String", "sizes": "Array"}}
    expanded = expand({"endpoint": "/x", "body": fields}, [{"filter": {"color": "red"}}])
    assert expanded["body"] == {"tag": "String", "쪽 번호": "Integer", "filter": "Object"}
    assert expanded["values"] == {
        "tag": "${{ optional(run.input.tag, null) }}",
        "쪽 번호": '${{ optional(run.input["쪽 번호"], null) }}',
        "filter": {"color": "red", "sizes": "${{ optional(run.input.filter.sizes, null) }}"},
    }


def test_the_later_layer_wins_and_null_gives_the_field_back_to_the_input() -> None:
    blueprint = {**SEED, "values": {"tag": "fixed"}}
    assert expand(blueprint, [])["values"] == {"tag": "fixed"}
    assert expand(blueprint, [{"tag": "a"}, {"tag": "b"}])["values"] == {"tag": "b"}
    assert expand(blueprint, [{"tag": None}])["values"] == {"tag": "${{ optional(run.input.tag, null) }}"}


def test_a_field_whose_name_is_a_wrappers_is_still_a_field() -> None:
    assert expand({"body": {"values": "Object"}}, [{"values": {"a": 1}}])["values"] == {"values": {"a": 1}}


@pytest.mark.parametrize(
    ("blueprint", "given", "path", "code"),
    [
        ({"body": {"tag": "Text"}}, {}, ("body", "tag"), "http_field_type"),
        ({"body": {"tag": {"a": 5}}}, {}, ("body", "tag", "a"), "http_field_type"),
        ({"body": ["tag"]}, {}, ("body",), "dict_type"),
        ({"values": 1}, {}, ("values",), "dict_type"),
        ({"body": {}, "values": {"x": 1}}, {}, ("values", "x"), "http_field_unknown"),
        (SEED, {"tags": "naver"}, ("tags",), "http_field_unknown"),
        (SEED, {"body": {"tags": "naver"}}, ("body", "tags"), "http_field_unknown"),
        (SEED, {"endpoint": "/elsewhere"}, ("endpoint",), "http_field_unknown"),
        ({"body": {"f": {"a": "String"}}}, {"f": {"b": 1}}, ("f", "b"), "http_field_unknown"),
    ],
)
def test_what_is_no_field_or_no_type_is_refused(blueprint: Any, given: Any, path: tuple[str, ...], code: str) -> None:
    with pytest.raises(Fault) as caught:
        expand(blueprint, [given])
    assert (caught.value.path, caught.value.code, caught.value.given) == (path, code, bool(given))


SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["source", "rule"],
    "properties": {
        "source": {"enum": ["list", "naver"]},
        "rule": {"type": "string"},
        "count": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
        "items": {"type": "array", "items": {"type": ["integer", "null"]}, "minItems": 1},
        "nested": {
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"type": "integer"}},
            "additionalProperties": False,
        },
    },
}


def test_parameters_are_held_against_the_schema() -> None:
    found = {violation.path: violation for violation in violations(SCHEMA, {"source": "x", "items": ["a"], "y": 1})}
    assert found[("rule",)] == Violation(("rule",), "missing", missing=True)
    assert found[("source",)].code == "enum"
    assert found[("items", 0)] == Violation(("items", 0), "schema_type", (("expected", "integer, null"),))
    assert found[("y",)].code == "parameter_unknown"
    assert len(found) == 4


def test_what_fits_no_alternative_says_what_was_nearest() -> None:
    (found,) = violations(SCHEMA, {"source": "list", "rule": "r", "count": 0})
    assert (found.path, found.code) == (("count",), "schema_violated")
    assert "minimum" in dict(found.params)["error"]


def test_what_an_expression_will_give_is_not_judged() -> None:
    later = "${{ run.input.x }}"
    values = {"source": later, "rule": later, "count": later, "items": [later], "nested": {"a": later}}
    assert list(violations(SCHEMA, values)) == []
    # but that something is missing or unknown shows beside it
    assert {found.path for found in violations(SCHEMA, {"source": later, "nested": {"b": later}})} == {
        ("rule",),
        ("nested", "a"),
        ("nested", "b"),
    }


def test_a_long_reason_is_cut() -> None:
    (found,) = violations({"maxLength": 3}, "x" * 500)
    assert len(dict(found.params)["error"]) == 200


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "objekt"}, ("type",)),
        ({"properties": {"a": {"minimum": "1"}}}, ("properties", "a", "minimum")),
        ({"properties": {"a": {"pattern": "("}}}, ("properties", "a", "pattern")),
        ({"properties": {"a": {"$ref": "https://example.com/a.json"}}}, ("properties", "a", "$ref")),
        ({"allOf": [{"$ref": 5}]}, ("allOf", 0, "$ref")),
        ({"$ref": "#/nowhere"}, ()),
        ({"$ref": "#"}, ()),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}, ("$schema",)),
        ({"$schema": "https://example.com/nothing"}, ("$schema",)),
        ({"$schema": 7}, ("$schema",)),
        ({"$defs": {"a": {"$schema": "http://json-schema.org/draft-04/schema#"}}}, ("$defs", "a", "$schema")),
    ],
)
def test_an_input_schema_must_be_one_and_stand_by_itself(schema: Any, path: tuple[Any, ...]) -> None:
    fault = schema_fault(schema)
    assert fault is not None
    assert fault.path == path
    assert fault.code


def test_a_sound_input_schema_has_no_fault() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/a"}, "$ref": {"type": "string"}},
        "$defs": {"a": {"type": "integer"}},
    }
    assert schema_fault(schema) is None
    assert schema_fault({}) is None
    assert schema_fault({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}) is None
    assert schema_fault({"properties": {"$schema": {"type": "string"}}}) is None


@pytest.mark.parametrize(
    ("text", "renamed"),
    [
        ("${{ tasks.a.output.x }}", "${{ tasks.b.output.x }}"),
        ("tasks.a ${{ tasks . a.output }} tasks.a", "tasks.a ${{ tasks . b.output }} tasks.a"),
        ("${{ tasks[\"a\"].output + tasks['a'].output }}", "${{ tasks[\"b\"].output + tasks['b'].output }}"),
        ("${{ 'tasks.a' + \"tasks.a\" + tasks.a.output }}", "${{ 'tasks.a' + \"tasks.a\" + tasks.b.output }}"),
        ("${{ {'x': {'y': tasks.a.output}} }}", "${{ {'x': {'y': tasks.b.output}} }}"),
        ("${{ run.input.tasks.a }}", "${{ run.input.tasks.a }}"),
        ("${{ mytasks.a + tasks.aa.output }}", "${{ mytasks.a + tasks.aa.output }}"),
        ("$${{ tasks.a }} ${{ tasks.a.output }}", "$${{ tasks.a }} ${{ tasks.b.output }}"),
        ("${{ tasks.a", "${{ tasks.b"),
        ("tasks.a", "tasks.a"),
    ],
)
def test_a_renamed_task_is_renamed_in_expressions_and_nowhere_else(text: str, renamed: str) -> None:
    assert rename(text, {"a": "b"}) == renamed
    assert rename({"x": [text, 1]}, {"a": "b"}) == {"x": [renamed, 1]}
    assert rename(text, {}) == text


def test_expressions_are_found_with_their_paths() -> None:
    value = {"a": ["x", "${{ 1 }}"], "b": {"c": "t ${{ 2 }}"}, "d": 1}
    assert dict(strings(value)) == {("a", 1): "${{ 1 }}", ("b", "c"): "t ${{ 2 }}"}


@pytest.mark.parametrize(
    "code", ["syntax", "unknown_name", "too_long", "too_expensive", "evaluation", "result_too_large"]
)
def test_every_fault_of_an_expression_has_a_text_in_both_languages(code: str) -> None:
    texts = {messages.text(f"expression_{code}", lang=language, error="?") for language in messages.LANGUAGES}
    assert len(texts) == 2
    assert all("?" in text for text in texts)
