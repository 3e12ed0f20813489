"""What the tests of definitions over HTTP share: one database, and how a refusal is read."""

from pathlib import Path
from typing import Any

import httpx
import pytest


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: statements are tried on both databases by test_app.py and test_storage.py."""
    return f"sqlite:///{tmp_path / 'test.db'}"


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return dict(answer.json())


def errors(answer: httpx.Response, status: int = 422) -> dict[str, str]:
    return {error["field"]: error["reason"] for error in problem(answer, status)["errors"]}
