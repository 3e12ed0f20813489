"""What every answer must be, whatever was asked: as the document says, sound when it refuses, without any secret."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemathesis import Case, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

PROMISED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ANSWERED_WITHIN_S = 30
PROBLEM = {"type", "title", "status", "detail", "code", "errors", "trace_id"}
# of a program's inside: nobody outside should see any
INSIDE = re.compile(
    r"Traceback \(most recent call last\)|File \"/|\bsite-packages\b|sqlalchemy\.|pymysql\.|sqlite3\.|pydantic_core|"
    r"\b[a-z]+_service\.[a-z]+|<object object at 0x|<class '"
)


@dataclass(frozen=True)
class Fault:
    """What is wrong with an answer: `check` and `summary` tell one fault from another, `detail` shows this one."""

    check: str
    summary: str
    detail: str = ""


def faults(case: Case, answer: Response, secrets: frozenset[str], *, wrong: bool) -> Iterator[Fault]:
    """`wrong`: the request is one that the document does not allow, sent as it was made."""
    accepted = 200 <= answer.status_code < 300
    checks: list[Callable[..., Any]] = [*PROMISED, negative_data_rejection] if wrong and accepted else PROMISED
    try:
        case.validate_response(answer, checks=checks)
    except FailureGroup as found:
        for failure in found.exceptions:
            yield Fault(type(failure).__name__, failure.title, str(failure))
    if answer.elapsed > ANSWERED_WITHIN_S:
        yield Fault("slow", f"not answered within {ANSWERED_WITHIN_S} s", f"{answer.elapsed:.1f} s")
    if answer.status_code >= 400:
        yield from _unsound(answer)
    text = answer.content.decode("utf-8", "replace")
    if leaked := INSIDE.search(text):
        yield Fault("inside", f"shows its inside: {leaked[0]}", text[max(0, leaked.start() - 200) : leaked.end() + 200])
    for secret in secrets:
        if secret in text:
            yield Fault("secret", "shows a secret", text.replace(secret, "[secret]")[:400])


def _unsound(answer: Response) -> Iterator[Fault]:
    """What is wrong with a problem beyond its schema."""
    kind = (answer.headers.get("content-type") or [""])[0]
    if kind != "application/problem+json":
        yield Fault(
            "problem", f"{answer.status_code} as {kind or 'nothing'}", answer.content[:300].decode("utf-8", "replace")
        )
        return
    content = json.loads(answer.content)
    said = json.dumps(content, ensure_ascii=False)[:600]
    if set(content) != PROBLEM or content["status"] != answer.status_code:
        yield Fault("problem", "not the shape of a problem", said)
    elif content["status"] == 422 and not content["errors"]:
        yield Fault("problem", f"names no field ({content['code']})", said)
    elif (
        not content["trace_id"]
        or content["detail"] in ("", content["code"])
        or re.search(r"\{\w+\}", content["detail"])
    ):
        yield Fault("problem", f"a detail or trace that says nothing ({content['code']})", said)
    else:
        for error in content["errors"]:
            reason = error["reason"]
            # a code that stands in no catalogue is shown as it is
            if not reason or not error["field"] or (" " not in reason and reason.islower() and reason.isascii()):
                yield Fault("problem", f"no reason in words ({reason})", said)


def secrets_of(data: Path) -> frozenset[str]:
    """The keys of an installation, as they are written in its folder."""
    return frozenset(
        text for file in (data / "secrets").iterdir() if len(text := file.read_text(errors="replace").strip()) >= 8
    )
