"""One OpenAPI document for the whole API: what people see of the services, merged. The source of API clients.

<data>/runtime/openapi.json
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from flowweaver_cli.endpoint import runtime

_PUBLIC = {
    ("post", "/v0/auth/login"),
    ("post", "/v0/auth/refresh"),
    ("get", "/.well-known/jwks.json"),
    ("get", "/health"),
    ("get", "/openapi.json"),
}
# every refusal, of whichever service and of the gateway, has this one shape
_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457, in the language of Accept-Language; `errors` names each field that is wrong.",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "reason": {"type": "string"}},
                "required": ["field", "reason"],
            },
        },
        "trace_id": {"type": "string"},
    },
    "required": ["type", "title", "status", "code", "detail", "errors", "trace_id"],
}
_REFUSED = {
    "description": "Refused",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
# what FastAPI says of the 422 that our problems replace
_REPLACED = ("HTTPValidationError", "ValidationError")
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def path_of(data: Path) -> Path:
    return runtime(data) / "openapi.json"


def is_missing(data: Path) -> bool:
    return not path_of(data).exists()


def write(data: Path, documents: Mapping[str, bytes]) -> None:
    """Merges the services' documents (JSON) by service name. One that cannot be read is left out."""
    parsed = {}
    for service, document in documents.items():
        try:
            parsed[service] = orjson.loads(document)
        except orjson.JSONDecodeError:
            continue
    fresh = path_of(data).with_suffix(".tmp")
    fresh.write_bytes(orjson.dumps(merge(parsed), option=orjson.OPT_INDENT_2))
    fresh.replace(path_of(data))


def merge(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """All paths that the gateway routes; a schema whose name two services give to different things gets a prefix."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    for service, document in documents.items():
        defined = document.get("components", {}).get("schemas", {})
        own = {name: schema for name, schema in defined.items() if name not in _REPLACED}
        names = _names(own, schemas, service)
        schemas.update({names[name]: _renamed(schema, names) for name, schema in own.items()})
        for path, item in document.get("paths", {}).items():
            if not path.startswith("/internal/"):
                paths.setdefault(path, {}).update(_renamed(_secured(path, item, service), names))
    return {
        "openapi": "3.1.0",
        "info": {"title": "FlowWeaver", "version": "0.1.0"},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {"Refused": _REFUSED},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _names(own: Mapping[str, Any], known: Mapping[str, Any], service: str) -> dict[str, str]:
    """What a service's schemas are called in the merged document."""
    other = {name for name, schema in own.items() if known.get(name, schema) != schema}
    # what speaks of a renamed schema means something else than its namesake, though it reads the same
    while more := {name for name in own.keys() - other if name in known and _references(own[name]) & other}:
        other |= more
    return {name: f"{service.capitalize()}{name}" if name in other else name for name in own}


def _references(value: Any) -> set[str]:
    """Names of the schemas that `value` speaks of."""
    if isinstance(value, dict):
        own = {str(value["$ref"]).rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(_references(inner) for inner in value.values()))
    return set().union(*(_references(inner) for inner in value)) if isinstance(value, list) else set()


def _secured(path: str, item: Mapping[str, Any], service: str) -> dict[str, Any]:
    """Operations under their service's tag; the public ones need no token."""
    operations: dict[str, Any] = {}
    for method, operation in item.items():
        if method not in _METHODS:
            operations[method] = operation
            continue
        open_to_all = (method, path) in _PUBLIC or path.startswith("/blog")
        answers = {status: answer for status, answer in operation.get("responses", {}).items() if status != "422"}
        operations[method] = {
            "tags": [service],
            **operation,
            "responses": {**answers, "4XX": {"$ref": "#/components/responses/Refused"}},
            "operationId": f"{service}_{operation.get('operationId', method)}",
            **({"security": []} if open_to_all else {}),
        }
    return operations


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """`value` with its references to schemas following their new names."""
    if isinstance(value, dict):
        return {
            key: _reference(inner, names) if key == "$ref" and isinstance(inner, str) else _renamed(inner, names)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    return value


def _reference(text: str, names: Mapping[str, str]) -> str:
    head, _, name = text.rpartition("/")
    return f"{head}/{names.get(name, name)}"
