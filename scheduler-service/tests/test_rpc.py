"""What workflow-service asks, over real gRPC."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest

from flowweaver.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from kit import rpc
from kit.auth import ServiceTokens
from kit.database import from_micros, utc_now
from kit.errors import Forbidden, Invalid, NotFound
from scheduler_service.app import Scheduling
from scheduler_service.rpc import NAME, SchedulerServicer

ORG, WORKFLOW = "org-1", "workflow-1"


class Client:
    def __init__(self, port: int, secret: str) -> None:
        self.channel = rpc.connect(f"127.0.0.1:{port}")
        self.stub = scheduler_pb2_grpc.SchedulerServiceStub(self.channel)
        self.peer = rpc.Peer(ServiceTokens(secret, "workflow-service"), "scheduler-service")

    def upsert(self, *schedules: scheduler_pb2.Schedule, key: str = "", organization_id: str = ORG) -> Any:
        request = scheduler_pb2.UpsertSchedulesRequest(
            organization_id=organization_id, workflow_id=WORKFLOW, schedules=schedules, idempotency_key=key
        )
        return list(self.peer.call(self.stub.UpsertSchedules, request, organization_id=ORG).schedules)

    def pause(self, paused: bool, *, deleted: bool = False) -> int:
        request = scheduler_pb2.PauseWorkflowRequest(
            organization_id=ORG, workflow_id=WORKFLOW, paused=paused, deleted=deleted
        )
        return self.peer.call(self.stub.PauseWorkflow, request, organization_id=ORG).schedules

    def list(self, workflow_id: str = WORKFLOW) -> Any:
        request = scheduler_pb2.ListSchedulesRequest(organization_id=ORG, workflow_id=workflow_id)
        return list(self.peer.call(self.stub.ListSchedules, request, organization_id=ORG).schedules)


@pytest.fixture
def client(scheduling: Scheduling, peers: Any) -> Iterator[Client]:
    register = scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server
    port = peers.serve("scheduler-service", NAME, register, SchedulerServicer(scheduling, "ko"))
    connected = Client(port, peers.secret)
    yield connected
    connected.channel.close()


def daily(cron: str = "0 8 * * *", **said: Any) -> scheduler_pb2.Schedule:
    return scheduler_pb2.Schedule(cron=cron, active=True, **said)


def test_a_workflows_schedules_become_exactly_the_given_ones(client: Client) -> None:
    first = client.upsert(daily(), daily("30 9 * * 1", time_zone="Europe/Berlin", values_json='{"키":1}'))
    assert [schedule.time_zone for schedule in first] == ["Asia/Seoul", "Europe/Berlin"]
    assert first[1].values_json == '{"키":1}'
    kept = scheduler_pb2.Schedule(schedule_id=first[0].schedule_id, cron="0 9 * * *", active=True)
    second = client.upsert(kept, daily("0 10 * * *"))
    assert second[0].schedule_id == first[0].schedule_id
    assert [summary.schedule.cron for summary in client.list()] == ["0 9 * * *", "0 10 * * *"]
    assert client.upsert() == []
    assert client.list() == []


def test_the_same_key_upserts_once(client: Client) -> None:
    first = client.upsert(daily(), key="k")
    assert client.upsert(daily(), key="k") == first
    assert len(client.list()) == 1


def test_a_list_says_in_words_when_each_fires_next(client: Client, scheduling: Scheduling) -> None:
    client.upsert(daily())
    [summary] = client.list()
    assert summary.description == "매일 08:00"
    fires = from_micros(summary.next_fire_at)
    assert utc_now() < fires <= utc_now() + timedelta(days=1)
    assert (fires.hour, fires.minute) == (23, 0)
    assert client.list("workflow-2") == []


def test_pausing_holds_and_releases_and_deleting_removes(client: Client) -> None:
    client.upsert(daily(), daily("0 9 * * *"))
    assert client.pause(True) == 2
    assert [(summary.paused, summary.next_fire_at) for summary in client.list()] == [(True, 0), (True, 0)]
    assert client.pause(False) == 2
    assert all(summary.next_fire_at for summary in client.list())
    assert client.pause(True, deleted=True) == 2
    assert client.list() == []


def test_new_schedules_of_a_held_workflow_are_held_too(client: Client) -> None:
    [first] = client.upsert(daily())
    client.pause(True)
    client.upsert(first, daily("0 9 * * *"))
    assert [summary.paused for summary in client.list()] == [True, True]


@pytest.mark.parametrize(
    "wrong",
    [
        daily("61 * * * *"),
        daily(time_zone="Seoul"),
        daily(values_json="[1]"),
        daily(values_json="{"),
        daily(text="x" * 501),
    ],
)
def test_a_wrong_schedule_changes_nothing(client: Client, wrong: scheduler_pb2.Schedule) -> None:
    before = client.upsert(daily())
    with pytest.raises(Invalid):
        client.upsert(daily(), wrong)
    assert [summary.schedule for summary in client.list()] == before


def test_the_same_id_twice_and_an_unknown_id_are_refused(client: Client) -> None:
    [first] = client.upsert(daily())
    with pytest.raises(Invalid):
        client.upsert(first, first)
    with pytest.raises(NotFound):
        client.upsert(daily(schedule_id="unknown"))
    with pytest.raises(Invalid):
        client.upsert(organization_id="")


def test_a_token_for_one_organisation_opens_no_other(client: Client) -> None:
    with pytest.raises(Forbidden):
        client.upsert(daily(), organization_id="org-2")


def test_a_call_without_our_token_is_refused(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.stub.ListSchedules(scheduler_pb2.ListSchedulesRequest(organization_id=ORG), timeout=5)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
