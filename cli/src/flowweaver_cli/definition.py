"""A workflow as a YAML file says it, made over the API: its tasks, its jobs of them, the workflow of its jobs.

Applied again, what the file changed is changed and what it did not is left alone: placements are known by their keys,
jobs and the workflow by their names.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from flowweaver_cli.client import ApiError, Client
from kit.messages import text

_TASK_FIELDS = (
    "name",
    "type",
    "description",
    "parameters",
    "retry",
    "timeout_s",
    "queue_timeout_s",
    "heartbeat_s",
    "queue",
    "priority",
)
_PLACEMENT_FIELDS = ("depends_on", "when", "for_each", "max_parallel", "concurrency_key", "concurrency_limit")
_EXPRESSIONS = ("when", "for_each")
_WORKFLOW_FIELDS = (
    "name",
    "description",
    "default_config",
    "input_schema",
    "failure_policy",
    "timeout_s",
    "retention_days",
    "concurrency",
)


class DefinitionInvalid(Exception):
    """The file is no workflow, or one that cannot run."""


def read(path: Path) -> dict[str, Any]:
    """Raises DefinitionInvalid."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionInvalid(str(error)) from error


def blog_workflow() -> dict[str, Any]:
    """The sample that everybody can run."""
    return parse(files("flowweaver_cli").joinpath("blog_workflow.yaml").read_text(encoding="utf-8"))


def parse(content: str) -> dict[str, Any]:
    """Raises DefinitionInvalid unless it holds a name and jobs of tasks, each task with key, name and type."""
    try:
        found = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise DefinitionInvalid(str(error)) from error
    if not isinstance(found, dict) or not isinstance(found.get("name"), str) or not isinstance(found.get("jobs"), list):
        raise DefinitionInvalid(text("definition_shape"))
    for job in found["jobs"]:
        tasks = job.get("tasks") if isinstance(job, dict) else None
        if not isinstance(tasks, list) or "name" not in job:
            raise DefinitionInvalid(text("definition_shape"))
        for task in tasks:
            if not isinstance(task, dict) or not {"key", "name", "type"} <= task.keys():
                raise DefinitionInvalid(text("definition_task_shape", job=job["name"]))
    return found


def apply(client: Client, definition: Mapping[str, Any]) -> str:
    """The workflow's id. Raises ApiError, and DefinitionInvalid when what was saved cannot run."""
    existing = _find(client, definition["name"])
    known_jobs = {job["name"]: job["job_id"] for job in existing.get("jobs", ())}
    known_tasks = {task["key"]: task["task_id"] for job in existing.get("jobs", ()) for task in job["tasks"]}
    jobs = [_apply_job(client, job, known_jobs.get(job["name"]), known_tasks) for job in definition["jobs"]]

    body = {name: definition[name] for name in _WORKFLOW_FIELDS if name in definition}
    if not existing:
        workflow_id = client.post("/v0/workflows", body)["workflow_id"]
    else:
        workflow_id = existing["workflow_id"]
        if _differs(existing, body):
            client.put(f"/v0/workflows/{workflow_id}", body)
    saved = client.get(f"/v0/workflows/{workflow_id}/detail")
    if [job["job_id"] for job in saved["jobs"]] != jobs:
        saved = client.put(f"/v0/workflows/{workflow_id}/jobs", [{"job_id": job_id} for job_id in jobs])
    if not saved["runnable"]:
        problems = "; ".join(f"{problem['field']}: {problem['reason']}" for problem in saved["problems"])
        raise DefinitionInvalid(text("definition_not_runnable", problems=problems))
    return str(workflow_id)


def _find(client: Client, name: str) -> dict[str, Any]:
    """The workflow of this very name, with its jobs; {} when there is none."""
    for item in client.items("/v0/workflows", text=name):
        if item["name"] == name:
            return dict(client.get(f"/v0/workflows/{item['workflow_id']}/detail"))
    return {}


def _apply_job(client: Client, job: Mapping[str, Any], job_id: str | None, known_tasks: Mapping[str, str]) -> str:
    body = {"name": job["name"], "description": job.get("description", "")}
    if job_id is None:
        job_id = str(client.post("/v0/jobs", body)["job_id"])
    saved = client.get(f"/v0/jobs/{job_id}")
    if _differs(saved, body):
        client.put(f"/v0/jobs/{job_id}", body)
    bodies = {task["key"]: {name: task[name] for name in _TASK_FIELDS if name in task} for task in job["tasks"]}
    ids = {key: known_tasks.get(key) or str(client.post("/v0/tasks", body)["task_id"]) for key, body in bodies.items()}
    placements = [_placement(task, ids[task["key"]]) for task in job["tasks"]]

    def place() -> None:
        if [_placement(task, task["task_id"]) for task in saved["tasks"]] != placements:
            client.put(f"/v0/jobs/{job_id}/tasks", placements)

    def change() -> None:
        for key, body in bodies.items():
            if key in known_tasks and _differs(client.get(f"/v0/tasks/{ids[key]}"), body):
                client.put(f"/v0/tasks/{ids[key]}", body)

    try:
        place()
    except ApiError as refused:
        if refused.status != 422:
            raise
        # as the tasks are said to be now they may fit where as they were they did not
        change()
        place()
    else:
        change()
    return job_id


def _placement(task: Mapping[str, Any], task_id: str) -> dict[str, Any]:
    """Where a task stands and how, without what is not said; an expression with the braces that the API gives it."""
    said = {name: task[name] for name in _PLACEMENT_FIELDS if task.get(name) is not None}
    said |= {name: value.strip() for name, value in said.items() if isinstance(value, str)}
    for name in _EXPRESSIONS:
        if isinstance(said.get(name), str) and "${{" not in said[name]:
            said[name] = f"${{{{ {said[name]} }}}}"
    return {"key": task["key"], "task_id": task_id, **said}


def _differs(saved: Any, wanted: Any) -> bool:
    """Whether `saved` lacks something of `wanted`; what only the platform added does not count."""
    if isinstance(wanted, dict) and isinstance(saved, dict):
        return any(_differs(saved.get(name), value) for name, value in wanted.items())
    return bool(saved != wanted)
