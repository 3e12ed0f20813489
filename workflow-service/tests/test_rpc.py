"""Definitions over gRPC, as the engine and the scheduler ask for them."""

from pathlib import Path
from typing import Any

import pytest

from flowweaver.workflow.v1 import workflow_pb2
from kit.errors import Conflict, NotFound


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: statements are tried on both databases by test_app.py and test_storage.py."""
    return f"sqlite:///{tmp_path / 'test.db'}"


def test_a_definition_says_all_that_was_composed(client: Any, definitions: Any) -> None:
    task = client.make(
        "/tasks",
        name="증가",
        type="test.increment",
        parameters={"n": "${{ run.input.n }}"},
        retry={"max_attempts": 4, "backoff": "fixed", "delay_s": 0.5, "max_delay_s": 2, "jitter": 0.5},
        timeout_s=7,
        queue="slow",
        priority=5,
        failure_policy="isolate",
    )
    job_id = client.make("/jobs", name="작업")["job_id"]
    client.set(f"/jobs/{job_id}/tasks", [{"task_id": task["task_id"]}])
    schema = {"type": "object", "required": ["n"]}
    workflow_id = client.make("/workflows", name="흐름", input_schema=schema, timeout_s=90)["workflow_id"]
    client.set(f"/workflows/{workflow_id}/jobs", [{"job_id": job_id}])
    assert definitions.get(workflow_id) == workflow_pb2.Definition(
        organization_id="org-1",
        workflow_id=workflow_id,
        version=1,
        name="흐름",
        active=True,
        input_schema_json='{"type":"object","required":["n"]}',
        timeout_s=90,
        jobs=[
            workflow_pb2.Job(
                key="job",
                name="작업",
                job_id=job_id,
                tasks=[
                    workflow_pb2.Task(
                        key="test_increment",
                        task_id=task["task_id"],
                        name="증가",
                        type="test.increment",
                        parameters_json='{"n":"${{ run.input.n }}"}',
                        failure_policy=workflow_pb2.FAILURE_POLICY_ISOLATE,
                        retry=workflow_pb2.Retry(
                            max_attempts=4,
                            backoff=workflow_pb2.BACKOFF_FIXED,
                            delay_s=0.5,
                            max_delay_s=2,
                            jitter=0.5,
                        ),
                        timeout_s=7,
                        queue="slow",
                        priority=5,
                    )
                ],
            )
        ],
    )


def test_a_definition_says_over_what_a_task_fans_out(client: Any, definitions: Any) -> None:
    task_id = client.make("/tasks", name="t", type="test.increment", parameters={"n": 1})["task_id"]
    job_id = client.make("/jobs", name="job")["job_id"]
    client.set(
        f"/jobs/{job_id}/tasks",
        [
            {"task_id": task_id},
            {"task_id": task_id, "for_each": ["가", {"n": None}], "max_parallel": 7},
            {"task_id": task_id, "for_each": []},
            {"task_id": task_id, "for_each": "tasks.test_increment_2.output"},
        ],
    )
    workflow_id = client.make("/workflows", name="w")["workflow_id"]
    client.set(f"/workflows/{workflow_id}/jobs", [{"job_id": job_id}])
    assert [(task.for_each_json, task.max_parallel) for task in definitions.get(workflow_id).jobs[0].tasks] == [
        ("", 0),
        ('["가",{"n":null}]', 7),
        ("[]", 0),
        ('"${{ tasks.test_increment_2.output }}"', 0),
    ]


@pytest.mark.parametrize("overflow", ["queue", "skip", "cancel"])
def test_a_definition_says_what_limits_its_runs_share(client: Any, definitions: Any, overflow: str) -> None:
    task_id = client.make("/tasks", name="t", type="test.increment", parameters={"n": 1})["task_id"]
    job_id = client.make("/jobs", name="job")["job_id"]
    placements = [{"task_id": task_id}, {"task_id": task_id, "concurrency_key": "${{ run.input.k }}"}]
    placements.append(placements[1] | {"concurrency_limit": 1000})
    client.set(f"/jobs/{job_id}/tasks", placements)
    concurrency = {"limit": 2, "overflow": overflow}
    workflow_id = client.make("/workflows", name="w", concurrency=concurrency)["workflow_id"]
    client.set(f"/workflows/{workflow_id}/jobs", [{"job_id": job_id}])
    found = definitions.get(workflow_id)
    wanted = getattr(workflow_pb2, f"OVERFLOW_{overflow.upper()}")
    assert (found.concurrency_limit, found.concurrency_overflow) == (2, wanted)
    assert [(task.concurrency_key, task.concurrency_limit) for task in found.jobs[0].tasks] == [
        ("", 0),
        ("${{ run.input.k }}", 1),
        ("${{ run.input.k }}", 1000),
    ]


def test_an_inactive_workflow_still_has_its_definition(client: Any, definitions: Any) -> None:
    workflow_id, _, _ = client.chain("test.increment")
    client.patch(f"/workflows/{workflow_id}/deactivate")
    definition = definitions.get(workflow_id)
    assert (definition.active, definition.version) == (False, 1)


def test_an_empty_workflow_has_none_and_says_why(client: Any, definitions: Any) -> None:
    workflow_id = client.make("/workflows", name="w")["workflow_id"]
    with pytest.raises(Conflict) as caught:
        definitions.get(workflow_id)
    assert caught.value.code == "workflow_empty"
    assert [field.code for field in caught.value.fields] == ["workflow_empty"]


def test_what_is_unknown_deleted_or_anothers_is_not_found(client: Any, definitions: Any) -> None:
    workflow_id, _, _ = client.chain("test.increment")
    for ask in (
        lambda: definitions.get("nobody"),
        lambda: definitions.get(workflow_id, 9),
        lambda: definitions.get(workflow_id, organization_id="org-2"),
        lambda: definitions.resolve(workflow_id, "org-2"),
        lambda: definitions.resolve(workflow_id, "org-1", as_organization="org-2"),
    ):
        with pytest.raises(NotFound):
            ask()
    client.delete(f"/workflows/{workflow_id}")
    with pytest.raises(NotFound):
        definitions.get(workflow_id)
    with pytest.raises(NotFound):
        definitions.resolve(workflow_id)
    assert definitions.get(workflow_id, 1).active is False


def test_a_workflow_is_resolved_to_its_small_facts(client: Any, definitions: Any) -> None:
    workflow_id, _, _ = client.chain("test.increment", name="흐름")
    found = definitions.resolve(workflow_id)
    assert (found.workflow_id, found.name, found.active, found.version) == (workflow_id, "흐름", True, 1)


def test_the_largest_definition_fits_into_one_message(client: Any, definitions: Any) -> None:
    # names of three bytes a character, near the bound that the compiler sets
    task_id = client.make("/tasks", name="가" * 200, type="test.increment", parameters={"a": "x" * 50})["task_id"]
    job_id = client.make("/jobs", name="job")["job_id"]
    client.set(f"/jobs/{job_id}/tasks", [{"task_id": task_id}] * 3_700)
    workflow_id = client.make("/workflows", name="w")["workflow_id"]
    client.set(f"/workflows/{workflow_id}/jobs", [{"job_id": job_id}])
    definition = definitions.get(workflow_id)
    assert len(definition.jobs[0].tasks) == 3_700
    assert 2_500_000 < definition.ByteSize() < 4 * 1024 * 1024
    refused = client.put(f"/jobs/{job_id}/tasks", json=[{"task_id": task_id}] * 5_000)
    assert refused.status_code == 422
    assert definitions.get(workflow_id).version == 1
