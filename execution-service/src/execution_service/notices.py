"""Domain events about runs, as CloudEvents: the outbox takes them in the commit that makes them true."""

from typing import Any

import orjson

from execution_service.domain.run import Run
from execution_service.outside import Outside
from execution_service.storage.commit import RunWrite
from kit.database import from_micros


def of(write: RunWrite, outside: Outside) -> list[tuple[str, str, bytes]]:
    """What a commit tells of a run: that it started, that it ended."""
    kinds = []
    if write.new:
        kinds.append("run.started")
    if write.changes.head is not None and write.run.head.state.terminal:
        kinds.append("run.finished")
    return [_run_event(write.run, kind, outside) for kind in kinds]


def _run_event(run: Run, kind: str, outside: Outside) -> tuple[str, str, bytes]:
    facts = run.facts
    data = {
        "run_id": facts.run_id,
        "workflow_id": run.plan.definition.workflow_id,
        "workflow_version": run.plan.definition.version,
        "number": facts.number,
        "state": run.head.state,
        "trigger": facts.trigger,
        "cause": facts.cause,
    }
    return cloud_event(kind, facts.run_id, facts.organization_id, data, outside, facts.trace_id)


def cloud_event(
    kind: str, run_id: str, organization_id: str, data: dict[str, Any], outside: Outside, trace_id: str = ""
) -> tuple[str, str, bytes]:
    """A domain event about a run as the outbox takes it: id, subject, CloudEvents JSON."""
    event_id = outside.new_id()
    body = {
        "specversion": "1.0",
        "id": event_id,
        "source": "execution-service",
        "type": f"flowweaver.{kind}",
        "time": from_micros(outside.now()).isoformat().replace("+00:00", "Z"),
        "subject": run_id,
        "organizationid": organization_id,
        "data": data,
    }
    if trace_id:
        body["traceparent"] = f"00-{trace_id}-{run_id[-16:].encode().hex()[:16]}-01"
    return event_id, f"events.execution.{kind}", orjson.dumps(body)
