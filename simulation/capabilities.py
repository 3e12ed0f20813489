"""What a definition can say and a person can do, and which runs really made use of it: nothing may be left untried.

Most count only when they took effect: `retry` when an attempt was to be followed by another, `stop` when a task failed
under that policy.
"""

import json

from execution_service.domain.definition import Overflow
from execution_service.domain.plan import STRIDE, Plan, Step
from execution_service.domain.run import RunState, TaskState

ALL = (
    "dag_jobs", "dag_tasks", "when", "optional_input", "priority", "for_each", "for_each_failed_item", "retry",
    "attempt_timeout", "queue_timeout", "heartbeat", "run_timeout", "continue", "stop", "isolate", "child_run",
    "wait_time", "wait_event", "approval", "form", "pause", "resume", "cancel", "rerun_start", "rerun_failed",
    "rerun_from", "rerun_range", "rerun_tasks", "rerun_item", "start_key_repeated", "purge",
    "limited_runs", "limited_runs_skip", "limited_runs_cancel", "limited_queue", "limited_key",
)  # fmt: skip
_WAITS = {
    "wait.time": "wait_time",
    "wait.event": "wait_event",
    "human.approval": "approval",
    "human.form": "form",
    "workflow.run": "child_run",
}
_FAILURES = {"timeout": "attempt_timeout", "queue_timeout": "queue_timeout", "heartbeat_lost": "heartbeat"}


def of_run(plan: Plan, before: str | None, state: str, failure: str | None) -> set[str]:
    """What a run made use of when it became `state`."""
    found = set()
    if before is None:
        if any(stage.after for stage in plan.stages):
            found.add("dag_jobs")
        if any(step.after for step in plan.steps):
            found.add("dag_tasks")
        if len({step.spec.priority for step in plan.steps}) > 1:
            found.add("priority")
    if state == RunState.PAUSED:
        found.add("pause")
    elif state == RunState.CANCELLING or (state == RunState.CANCELLED and before != RunState.CANCELLING):
        found.add("cancel")
    code = None if failure is None else json.loads(failure)["code"]
    if code == "run_timeout":
        found.add(code)
    elif code == "concurrency_skipped":
        found.add("limited_runs_skip")
    limit = plan.definition.concurrency
    if limit is not None and before == RunState.PENDING and state == RunState.RUNNING:
        found.add("limited_runs")
    elif limit is not None and limit.overflow is Overflow.CANCEL and state == RunState.CANCELLED:
        found.add("limited_runs_cancel")
    return found


def of_task(step: Step, position: int, state: str, failure: str | None) -> set[str]:
    """What a run made use of when this task, or item of it, became `state`."""
    found = set()
    if position >= STRIDE:
        found.add("for_each_failed_item" if state == TaskState.FAILED else "for_each")
    if step.condition is not None and state in (TaskState.SKIPPED, TaskState.QUEUED):
        found.add("when")
    if state == TaskState.QUEUED and len(step.reads) > len({*step.needs, *step.asks}):
        found.add("optional_input")
    if state == TaskState.QUEUED and step.limited:
        found.add("limited_queue" if step.scope is None else "limited_key")
    if state == TaskState.RETRY_WAIT:
        found.add("retry")
    elif state == TaskState.WAITING:
        found.add(_WAITS[step.spec.type])
    elif state in (TaskState.FAILED, TaskState.UPSTREAM_FAILED):
        found.add(str(step.spec.failure_policy))
    code = None if failure is None else json.loads(failure)["code"]
    if code in _FAILURES:
        found.add(_FAILURES[code])
    return found
