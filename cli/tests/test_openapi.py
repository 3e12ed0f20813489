"""One document out of several: nothing lost, nothing mixed up."""

from pathlib import Path
from typing import Any

import orjson

from flowweaver_cli import openapi


def document(paths: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    return {"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas}}


def answering(schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"operationId": "read", "responses": {"200": {"content": content}}}


def schema_of(merged: dict[str, Any], path: str) -> Any:
    content = merged["paths"][path]["get"]["responses"]["200"]["content"]
    return merged["components"]["schemas"][content["application/json"]["schema"]["$ref"].rpartition("/")[2]]


def test_each_operation_keeps_its_own_schemas_when_two_services_use_one_name() -> None:
    user, run = {"title": "A user's page"}, {"title": "A run's page"}
    nested = {"items": {"$ref": "#/components/schemas/Page"}}
    merged = openapi.merge(
        {
            "identity": document(
                {"/v0/users": {"get": answering("Page")}, "/v0/roles": {"get": answering("Nested")}},
                {"Page": user, "Nested": nested},
            ),
            "execution": document(
                {"/v0/workflow-runs": {"get": answering("Page")}, "/v0/stats": {"get": answering("Nested")}},
                {"Page": run, "Nested": nested},
            ),
        }
    )
    assert schema_of(merged, "/v0/users") == user
    assert schema_of(merged, "/v0/workflow-runs") == run
    for path, schema in (("/v0/stats", run), ("/v0/roles", user)):
        inner = schema_of(merged, path)["items"]["$ref"].rpartition("/")[2]
        assert merged["components"]["schemas"][inner] == schema


def test_a_schema_that_two_services_share_stays_one() -> None:
    error = {"title": "ValidationError"}
    merged = openapi.merge(
        {
            "identity": document({"/v0/users": {"get": answering("E")}}, {"E": error}),
            "worker": document({"/v0/artifacts": {"get": answering("E")}}, {"E": error}),
        }
    )
    assert {name: schema for name, schema in merged["components"]["schemas"].items() if name != "Problem"} == {
        "E": error
    }


def test_paths_of_the_inside_stay_inside_and_public_operations_need_no_token() -> None:
    paths = {
        "/internal/authorize": {"get": answering("E")},
        "/v0/auth/login": {"post": {"operationId": "log_in"}, "get": {"operationId": "other"}},
        "/v0/users": {"get": {"operationId": "list"}, "parameters": [{"name": "x"}]},
    }
    merged = openapi.merge({"identity": document(paths, {"E": {}})})
    assert set(merged["paths"]) == {"/v0/auth/login", "/v0/users"}
    assert merged["paths"]["/v0/auth/login"]["post"]["security"] == []
    assert "security" not in merged["paths"]["/v0/auth/login"]["get"]
    assert merged["security"] == [{"bearer": []}]
    assert merged["paths"]["/v0/users"]["get"]["tags"] == ["identity"]
    assert merged["paths"]["/v0/users"]["get"]["operationId"] == "identity_list"
    assert merged["paths"]["/v0/users"]["parameters"] == [{"name": "x"}]


def test_a_service_that_does_not_answer_leaves_the_others_documented(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir()
    assert openapi.is_missing(tmp_path)
    users = orjson.dumps(document({"/v0/users": {"get": answering("E")}}, {"E": {}}))
    openapi.write(tmp_path, {"identity": users, "worker": b""})
    assert not openapi.is_missing(tmp_path)
    assert set(orjson.loads(openapi.path_of(tmp_path).read_bytes())["paths"]) == {"/v0/users"}
