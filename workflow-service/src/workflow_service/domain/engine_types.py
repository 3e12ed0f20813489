"""Task types that need no worker: the engine itself waits for a time, an event, a person, or another workflow's run.

What they mean stands in execution-service (domain/waits.py); here is what the catalogue shows and definitions are
checked against. A test of the whole keeps the two alike.
"""

from typing import Any

from workflow_service.domain.model import ErrorCode, TaskType

DEPTH = 10
"""So many runs may stand below one another."""
_SECONDS = {"type": "number", "minimum": 0, "maximum": 366 * 24 * 3600}
_TIMEOUT = {"timeout_s": {**_SECONDS, "exclusiveMinimum": 0, "title": "Timeout"}}
_SAID = {"comment": {"type": "string"}, "by": {"type": "string"}, "at": {"type": "string", "format": "date-time"}}
_TOO_LATE = ErrorCode(
    "wait_timeout", True, "기다리던 것이 제때 오지 않았습니다.", "What was waited for did not come in time."
)


def _object(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    said = {"type": "object", "properties": properties, "additionalProperties": False, **more}
    return {**said, "required": list(required)} if required else said


_TYPES = (
    TaskType(
        type="wait.time",
        parameters_schema=_object(
            {"until": {"type": "string", "format": "date-time"}, "seconds": _SECONDS},
            oneOf=[{"required": ["until"]}, {"required": ["seconds"]}],
        ),
        output_schema=_object({"waited_until": {"type": "string", "format": "date-time"}}, "waited_until"),
        title_ko="시간 기다리기",
        title_en="Wait for a time",
    ),
    TaskType(
        type="wait.event",
        parameters_schema=_object(
            {
                "event": {"type": "string", "minLength": 1, "maxLength": 128},
                "match": {"type": "object", "description": "what the event's data must say"},
                **_TIMEOUT,
            },
            "event",
        ),
        output_schema=_object(
            {"event_id": {"type": "string"}, "name": {"type": "string"}, "data": {"type": "object"}, "at": _SAID["at"]},
            *("event_id", "name", "data", "at"),
        ),
        errors=(_TOO_LATE,),
        title_ko="이벤트 기다리기",
        title_en="Wait for an event",
    ),
    TaskType(
        type="human.approval",
        parameters_schema=_object(
            {
                "title": {"type": "string", "maxLength": 200},
                "description": {"type": "string", "maxLength": 10_000},
                "shown": {"description": "what the person decides about"},
                "on_reject": {"enum": ["fail", "continue"], "default": "fail"},
                **_TIMEOUT,
            }
        ),
        output_schema=_object({"approved": {"type": "boolean"}, **_SAID}, "approved", "comment", "by", "at"),
        errors=(_TOO_LATE, ErrorCode("rejected", False, "승인하지 않았습니다.", "It was not approved.")),
        title_ko="사람의 승인",
        title_en="A person's approval",
    ),
    TaskType(
        type="human.form",
        parameters_schema=_object(
            {
                "title": {"type": "string", "maxLength": 200},
                "description": {"type": "string", "maxLength": 10_000},
                "shown": {"description": "what the person needs to see"},
                "schema": {"type": "object", "description": "JSON Schema of the values"},
                **_TIMEOUT,
            }
        ),
        output_schema=_object({"values": {"type": "object"}, **_SAID}, "values", "comment", "by", "at"),
        errors=(_TOO_LATE,),
        title_ko="사람이 채우는 양식",
        title_en="A form for a person",
    ),
    TaskType(
        type="workflow.run",
        parameters_schema=_object(
            {
                "workflow_id": {"type": "string", "minLength": 1, "maxLength": 64},
                "input": {"type": "object"},
                "outputs": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1, "maxLength": 63},
                    "maxItems": 500,
                    "description": "keys of the tasks whose outputs it gives; absent: those that nothing follows",
                },
                **_TIMEOUT,
            },
            "workflow_id",
        ),
        output_schema=_object(
            {
                "run_id": {"type": "string"},
                "number": {"type": "integer"},
                "state": {"type": "string"},
                "output": {
                    "type": "object",
                    "description": "of the tasks in `outputs`, else of those that nothing follows, by key",
                },
            },
            *("run_id", "number", "state", "output"),
        ),
        errors=(
            _TOO_LATE,
            ErrorCode("child_failed", True, "하위 워크플로의 실행이 실패했습니다.", "The other workflow's run failed."),
            ErrorCode(
                "child_cancelled",
                True,
                "하위 워크플로의 실행이 취소됐습니다.",
                "The other workflow's run was cancelled.",
            ),
            ErrorCode(
                "child_not_started",
                False,
                "하위 워크플로를 실행하지 못했습니다.",
                "The other workflow could not be run.",
            ),
            ErrorCode(
                "child_too_deep", False, "워크플로가 너무 깊이 이어집니다.", "Workflows start one another too deeply."
            ),
        ),
        title_ko="다른 워크플로 실행",
        title_en="Run another workflow",
    ),
)
ENGINE_TYPES = {found.type: found for found in _TYPES}
