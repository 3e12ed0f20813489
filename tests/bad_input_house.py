"""What tests of bad input share: each route with a sound request, and what a refusal has to be."""

import re
import tomllib
from pathlib import Path
from typing import Any

import httpx

ROWS = tomllib.loads((Path(__file__).parent / "routes.toml").read_text())
JSON = {"Content-Type": "application/json"}


def refused(answer: httpx.Response, status: int = 422, field: str | None = None) -> dict[str, Any]:
    """The problem, sound and of that status; for bad input it names at least one field and says why."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text[:500]}"
    assert answer.headers["content-type"] == "application/problem+json", answer.text[:500]
    content: dict[str, Any] = answer.json()
    assert set(content) == {"type", "title", "status", "detail", "code", "errors", "trace_id"}
    assert content["status"] == status
    assert content["trace_id"]
    assert content["detail"]
    assert content["detail"] != content["code"]
    assert not re.search(r"\{\w+\}", content["detail"]), "a placeholder that nothing filled"
    if status == 422:
        assert content["errors"], content
    for error in content["errors"]:
        assert set(error) == {"field", "reason"}
        assert error["field"]
        assert error["reason"]
        # a reason is a sentence, not the name of one
        assert " " in error["reason"] or not error["reason"].islower(), error
    if field is not None:
        assert field in [error["field"] for error in content["errors"]], content["errors"]
    return content


def never_broken(answer: httpx.Response, what: object) -> None:
    """Not a 5xx, and when refused then soundly."""
    assert answer.status_code < 500, f"{what}: {answer.status_code} {answer.text[:500]}"
    if answer.status_code >= 400:
        refused(answer, answer.status_code)


def path_of(name: str, ids: dict[str, str]) -> str:
    return name.split(" /v0", 1)[1].format(**ids)
