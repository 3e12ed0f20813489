"""Runs over gRPC, for services: each call, and only for the organisation that its token names."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from edge_house import Calls, open_rpc
from engine_house import ORGANIZATION, House, chain, until

from execution_service.storage import history
from flowweaver.execution.v1 import execution_pb2 as pb
from kit.ids import new_id

pytestmark = pytest.mark.anyio


@pytest.fixture
def database_url(empty_schema: Callable[[str], str]) -> str:
    """SQLite alone: the statements are tried on both databases elsewhere."""
    return empty_schema("sqlite")


@pytest.fixture
async def port(idle_house: House) -> AsyncIterator[int]:
    async with open_rpc(idle_house) as taken:
        yield taken


@pytest.fixture
async def calls(port: int) -> AsyncIterator[Calls]:
    made = Calls(port)
    yield made
    await made.close()


def start_request(**said: Any) -> pb.StartRunRequest:
    asked: dict[str, Any] = {
        "organization_id": ORGANIZATION, "workflow_id": "chain", "input_json": '{"n": 1}',
        "trigger": pb.TRIGGER_SCHEDULE, "cause": "schedule:1", "idempotency_key": "once",
    }  # fmt: skip
    return pb.StartRunRequest(**(asked | said))


async def started(calls: Calls, house: House, length: int = 2, **said: Any) -> str:
    house.definitions.known["chain"] = chain(length)
    return str((await calls.call("StartRun", start_request(**said))).run_id)


def of_run(run_id: str, organization_id: str = ORGANIZATION) -> pb.GetRunRequest:
    return pb.GetRunRequest(organization_id=organization_id, run_id=run_id)


async def test_a_run_is_started_once_for_a_key(calls: Calls, idle_house: House) -> None:
    idle_house.definitions.known["chain"] = chain(2)
    first = await calls.call("StartRun", start_request())
    again = await calls.call("StartRun", start_request())
    assert (first.created, again.created) == (True, False)
    assert again.run_id == first.run_id
    [shown], _ = await asyncio.to_thread(history.list_runs, idle_house.database, ORGANIZATION)
    assert shown["run_id"] == first.run_id
    assert (shown["trigger"], shown["cause"]) == ("schedule", "schedule:1")
    refused = await calls.refused("StartRun", start_request(input_json='{"n": 2}'))
    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "idempotency_key_reused")


async def test_without_a_key_each_start_is_a_run(calls: Calls, idle_house: House) -> None:
    ids = {await started(calls, idle_house, idempotency_key="") for _ in range(2)}
    assert len(ids) == 2


async def test_a_start_that_says_nonsense_is_refused(calls: Calls, idle_house: House) -> None:
    idle_house.definitions.known["chain"] = chain(1)
    for said in ({"input_json": "{"}, {"input_json": "[]"}, {"trigger": pb.TRIGGER_UNSPECIFIED}, {"trigger": 99}):
        assert (await calls.refused("StartRun", start_request(**said)))[0] is grpc.StatusCode.INVALID_ARGUMENT
    unknown = await calls.refused("StartRun", start_request(workflow_id="nobody"))
    assert unknown == (grpc.StatusCode.NOT_FOUND, "workflow_not_found")
    idle_house.definitions.inactive.add("chain")
    inactive = await calls.refused("StartRun", start_request())
    assert inactive == (grpc.StatusCode.FAILED_PRECONDITION, "workflow_inactive")


async def test_a_run_is_shown_with_its_tasks(calls: Calls, idle_house: House) -> None:
    run_id = await started(calls, idle_house)
    run = (await calls.call("GetRun", of_run(run_id))).run
    assert (run.run_id, run.workflow_id, run.workflow_version, run.number) == (run_id, "chain", 1, 1)
    assert (run.state, run.version) == (pb.RUN_STATE_RUNNING, 1)
    assert [(each.task_run_id, each.key, each.state, each.attempt) for each in run.tasks] == [
        (f"{run_id}-0", "t0", "QUEUED", 1), (f"{run_id}-1", "t1", "PENDING", 0),
    ]  # fmt: skip


async def test_a_run_is_cancelled_and_cancelling_an_ended_one_says_how_it_ended(
    calls: Calls, idle_house: House
) -> None:
    run_id = await started(calls, idle_house)
    asked = pb.CancelRunRequest(organization_id=ORGANIZATION, run_id=run_id, idempotency_key=new_id())
    for _ in range(2):
        assert (await calls.call("CancelRun", asked)).state == pb.RUN_STATE_CANCELLED
    idle_house.work()
    ended = await started(calls, idle_house, idempotency_key="other")
    await idle_house.finished(ended)
    asked = pb.CancelRunRequest(organization_id=ORGANIZATION, run_id=ended)
    assert (await calls.call("CancelRun", asked)).state == pb.RUN_STATE_SUCCESS


def complete(run_id: str, index: int = 0, attempt: int = 1, **outcome: Any) -> pb.CompleteTaskRequest:
    return pb.CompleteTaskRequest(
        organization_id=ORGANIZATION, task_run_id=f"{run_id}-{index}", attempt=attempt, **outcome
    )


async def test_a_task_is_completed_from_outside_a_worker(calls: Calls, idle_house: House) -> None:
    run_id = await started(calls, idle_house)
    assert not (await calls.call("CompleteTask", complete(run_id, attempt=2, output_json='{"n": 9}'))).accepted
    assert not (await calls.call("CompleteTask", complete(run_id, index=1, output_json='{"n": 9}'))).accepted
    assert (await calls.call("CompleteTask", complete(run_id, output_json='{"n": 5}'))).accepted
    failed = pb.TaskError(code="refused", message="no", retryable=False)
    assert (await calls.call("CompleteTask", complete(run_id, index=1, error=failed))).accepted
    run = (await calls.call("GetRun", of_run(run_id))).run
    assert run.state == pb.RUN_STATE_FAILED
    assert [(each.state, each.error_code) for each in run.tasks] == [("SUCCESS", ""), ("FAILED", "refused")]


async def test_a_completion_that_says_nothing_or_names_nobody_is_refused(calls: Calls, idle_house: House) -> None:
    run_id = await started(calls, idle_house)
    for request, status in (
        (complete(run_id), grpc.StatusCode.INVALID_ARGUMENT),
        (complete(run_id, output_json="{"), grpc.StatusCode.INVALID_ARGUMENT),
        (complete("nobody", output_json="{}"), grpc.StatusCode.NOT_FOUND),
        (complete(run_id, index=77, output_json="{}"), grpc.StatusCode.NOT_FOUND),
        (
            pb.CompleteTaskRequest(organization_id=ORGANIZATION, task_run_id="nonsense", attempt=1, output_json="{}"),
            grpc.StatusCode.NOT_FOUND,
        ),
    ):
        assert (await calls.refused("CompleteTask", request))[0] is status


async def test_a_run_is_watched_until_it_ends(calls: Calls, idle_house: House) -> None:
    run_id = await started(calls, idle_house, 3)
    asked = pb.WatchRunRequest(organization_id=ORGANIZATION, run_id=run_id)
    watching = calls.stub.WatchRun(asked, metadata=calls.metadata, timeout=30)
    changes = aiter(watching)
    first = (await anext(changes)).run
    assert (first.version, first.state) == (1, pb.RUN_STATE_RUNNING)
    idle_house.work()
    seen = [first] + [change.run async for change in changes]
    versions = [run.version for run in seen]
    assert versions == sorted(set(versions))
    assert seen[-1].state == pb.RUN_STATE_SUCCESS
    late = pb.WatchRunRequest(organization_id=ORGANIZATION, run_id=run_id, after_version=versions[-1])
    assert [change async for change in calls.stub.WatchRun(late, metadata=calls.metadata, timeout=30)] == []


async def test_a_call_counts_only_for_the_organisation_its_token_names(
    port: int, calls: Calls, idle_house: House
) -> None:
    run_id = await started(calls, idle_house)
    foreign, stranger, nobody = Calls(port, "org2"), Calls(port, secret="guessed"), Calls(port, "")
    for caller, organization_id, status in (
        (foreign, ORGANIZATION, grpc.StatusCode.PERMISSION_DENIED),
        (foreign, "org2", grpc.StatusCode.NOT_FOUND),
        (nobody, "", grpc.StatusCode.PERMISSION_DENIED),
        (stranger, ORGANIZATION, grpc.StatusCode.UNAUTHENTICATED),
    ):
        said = {"organization_id": organization_id, "run_id": run_id}
        for name, request in (
            ("StartRun", start_request(organization_id=organization_id)),
            ("GetRun", pb.GetRunRequest(**said)),
            ("CancelRun", pb.CancelRunRequest(**said)),
            ("PauseRun", pb.PauseRunRequest(**said)),
            ("ResumeRun", pb.ResumeRunRequest(**said)),
            ("RerunRun", pb.RerunRunRequest(**said)),
            (
                "CompleteTask",
                pb.CompleteTaskRequest(
                    organization_id=organization_id, task_run_id=f"{run_id}-0", attempt=1, output_json="{}"
                ),
            ),
            ("WatchRun", pb.WatchRunRequest(**said)),
        ):
            assert (await caller.refused(name, request))[0] is status, (name, organization_id)
    for caller in (foreign, stranger, nobody):
        await caller.close()
    await until(lambda: still_running(idle_house, run_id))


async def still_running(house: House, run_id: str) -> bool:
    return bool((await house.show(run_id))["state"] == "RUNNING")


async def test_a_run_is_paused_resumed_and_run_again(calls: Calls, idle_house: House) -> None:
    run_id = await started(calls, idle_house)
    said = {"organization_id": ORGANIZATION, "run_id": run_id}
    assert (await calls.call("ResumeRun", pb.ResumeRunRequest(**said))).state == pb.RUN_STATE_RUNNING
    assert (await calls.call("PauseRun", pb.PauseRunRequest(**said))).state == pb.RUN_STATE_PAUSED
    assert (await calls.call("ResumeRun", pb.ResumeRunRequest(**said))).state == pb.RUN_STATE_RUNNING
    assert (await calls.refused("RerunRun", pb.RerunRunRequest(**said)))[0] is grpc.StatusCode.FAILED_PRECONDITION
    idle_house.work()
    await idle_house.finished(run_id)
    assert (await calls.call("PauseRun", pb.PauseRunRequest(**said))).state == pb.RUN_STATE_SUCCESS
    keys = [task["key"] for task in (await idle_house.finished(run_id))["jobs"][0]["tasks"]]
    idle_house.worker.ran.clear()
    asked = pb.RerunRunRequest(**said, tasks=keys[-1:], idempotency_key="again", cause="a service")
    again = await calls.call("RerunRun", asked)
    assert again.created
    run = await idle_house.finished(again.run_id)
    assert (run["state"], run["rerun_of"], run["cause"]) == ("SUCCESS", run_id, "a service")
    assert [task["key"] for task in idle_house.worker.ran] == keys[-1:]
    assert await calls.call("RerunRun", asked) == pb.RerunRunResponse(run_id=again.run_id, created=False)
    for wrong in (
        pb.RerunRunRequest(**said, failed=True, from_task=keys[0]),
        pb.RerunRunRequest(**said, to_task=keys[0]),
        pb.RerunRunRequest(**said, item=0),
        pb.RerunRunRequest(**said, tasks=keys[:1], item=0),
        pb.RerunRunRequest(**said, tasks=["nobody"]),
        pb.RerunRunRequest(**said, tasks=keys[:1] * 1_001),
    ):
        assert (await calls.refused("RerunRun", wrong))[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_service_tells_of_an_event(calls: Calls, idle_house: House) -> None:
    asked = pb.PublishEventRequest(organization_id=ORGANIZATION, name="paid", data_json='{"n": 1}', idempotency_key="k")
    first = await calls.call("PublishEvent", asked)
    assert await calls.call("PublishEvent", asked) == first
    for wrong in (
        {"name": ""},
        {"name": "x" * 129},
        {"data_json": "[]"},
        {"data_json": "{"},
        {"data_json": '{"n": 2}'},
    ):
        request = pb.PublishEventRequest()
        request.CopyFrom(asked)
        for name, value in wrong.items():
            setattr(request, name, value)
        assert (await calls.refused("PublishEvent", request))[0] is grpc.StatusCode.INVALID_ARGUMENT, wrong
