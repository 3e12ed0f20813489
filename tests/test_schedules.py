"""Schedules over the gateway: each instant fires once and in its second, and a change holds within a second."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from platform_house import Platform, created, eventually, ok

EVERY_2_S = "0/2 * * * * ?"
EVERY_SECOND = "* * * * * ?"
# a busy machine may start a run late; a second too early or a whole instant late is wrong
LATE = timedelta(seconds=1.9)


@pytest.fixture
def scheduled(platform: Platform, api: httpx.Client) -> Iterator[Callable[..., tuple[str, str]]]:
    """Makes a workflow with a schedule; (workflow id, schedule id). The schedule is gone afterwards."""
    made: list[str] = []

    def make(cron: str, **more: Any) -> tuple[str, str]:
        workflow_id = more.pop("workflow_id", None) or platform.compose([{"key": "one", "type": "test.increment"}])
        schedule = created(api.post(f"/workflows/{workflow_id}/schedules", json={"cron": cron, **more}))
        made.append(schedule["schedule_id"])
        return workflow_id, schedule["schedule_id"]

    yield make
    for schedule_id in made:
        api.delete(f"/schedules/{schedule_id}")


def runs_of(api: httpx.Client, workflow_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ok(api.get("/workflow-runs", params={"workflow_id": workflow_id, "limit": 200}))[
        "items"
    ]
    return found


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def second_of(run: dict[str, Any]) -> datetime:
    return at(run["created_at"]).replace(microsecond=0)


def pass_by(seconds: float) -> datetime:
    """Lets that much time go by: what must not happen can only be waited for. The moment it began."""
    began = datetime.now(UTC)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.05)
    return began


def test_a_schedule_fires_in_its_second_with_its_values(
    platform: Platform, api: httpx.Client, scheduled: Callable[..., tuple[str, str]]
) -> None:
    workflow_id, schedule_id = scheduled(EVERY_2_S, values={"n": 5}, text="두 번째 초마다")
    runs = eventually(lambda: found if len(found := runs_of(api, workflow_id)) >= 3 else None, 15, "three runs")
    for run in runs:
        assert (run["trigger"], run["cause"]) == ("schedule", f"schedule:{schedule_id}")
        instant = second_of(run) - timedelta(seconds=second_of(run).second % 2)
        assert timedelta() <= at(run["created_at"]) - instant < LATE
    assert ok(api.get(f"/workflow-runs/{runs[0]['run_id']}"))["input"] == {"n": 5}
    shown = ok(api.get(f"/schedules/{schedule_id}"))
    assert shown["last_firing"]["state"] == "started"
    assert at(shown["last_firing"]["instant"]).second % 2 == 0
    assert shown["last_firing"]["run_id"] in [run["run_id"] for run in runs_of(api, workflow_id)]


def test_several_schedules_of_a_workflow_fire_each_for_itself(
    api: httpx.Client, scheduled: Callable[..., tuple[str, str]]
) -> None:
    workflow_id, first = scheduled(EVERY_2_S, values={"n": 1})
    _, second = scheduled("1/2 * * * * ?", workflow_id=workflow_id, values={"n": 2})
    _, never = scheduled("0 8 1 1 *", workflow_id=workflow_id, time_zone="Europe/Berlin")
    detail = ok(api.get(f"/workflows/{workflow_id}/detail"))
    assert {item["schedule_id"] for item in detail["schedules"]} == {first, second, never}
    listed = ok(api.get(f"/workflows/{workflow_id}/schedules"))["items"]
    assert [item["schedule_id"] for item in listed] == [never, second, first]

    def both() -> Counter[str] | None:
        count = Counter(run["cause"] for run in runs_of(api, workflow_id))
        return count if count[f"schedule:{first}"] > 1 and count[f"schedule:{second}"] > 1 else None

    assert set(eventually(both, 15, "two runs of each")) == {f"schedule:{first}", f"schedule:{second}"}


def test_changing_stopping_and_deleting_hold_within_a_second(
    api: httpx.Client, scheduled: Callable[..., tuple[str, str]]
) -> None:
    workflow_id, schedule_id = scheduled("0 0 8 1 1 ?")
    assert runs_of(api, workflow_id) == []
    # faster
    changed = datetime.now(UTC)
    ok(api.put(f"/workflows/{workflow_id}/schedules/{schedule_id}", json={"cron": EVERY_SECOND, "values": {"n": 1}}))
    [*_, first] = eventually(lambda: runs_of(api, workflow_id), 10, "a run")
    assert at(first["created_at"]) - changed < timedelta(seconds=1) + LATE
    # stopped
    ok(api.patch(f"/schedules/{schedule_id}/active", json={"active": False}))
    stopped = pass_by(3)
    assert not [run for run in runs_of(api, workflow_id) if at(run["created_at"]) - stopped > timedelta(seconds=1)]
    # again, with what stands now
    ok(api.patch(f"/schedules/{schedule_id}/active", json={"active": True}))
    before = len(runs_of(api, workflow_id))
    eventually(lambda: len(runs_of(api, workflow_id)) > before, 10, "a run after the stop")
    # deleted
    assert api.delete(f"/workflows/{workflow_id}/schedules/{schedule_id}").status_code == 204
    deleted = pass_by(3)
    assert not [run for run in runs_of(api, workflow_id) if at(run["created_at"]) - deleted > timedelta(seconds=1)]
    assert api.get(f"/schedules/{schedule_id}").status_code == 404


def test_an_inactive_workflow_holds_its_schedules_and_gives_them_back(
    api: httpx.Client, scheduled: Callable[..., tuple[str, str]]
) -> None:
    workflow_id, running = scheduled(EVERY_SECOND)
    _, stopped = scheduled(EVERY_SECOND, workflow_id=workflow_id, active=False)
    eventually(lambda: runs_of(api, workflow_id), 10, "a run")
    ok(api.patch(f"/workflows/{workflow_id}/deactivate"))
    eventually(lambda: ok(api.get(f"/schedules/{running}"))["paused"], 3, "held")
    assert ok(api.get(f"/schedules/{running}"))["next_fire_at"] is None
    held = pass_by(2.5)
    assert not [run for run in runs_of(api, workflow_id) if at(run["created_at"]) - held > timedelta(seconds=1)]
    ok(api.patch(f"/workflows/{workflow_id}/activate"))
    eventually(lambda: not ok(api.get(f"/schedules/{running}"))["paused"], 3, "released")
    before = len(runs_of(api, workflow_id))
    eventually(lambda: len(runs_of(api, workflow_id)) > before, 10, "a run of what was released")
    # each comes back as it was
    assert [ok(api.get(f"/schedules/{one}"))["active"] for one in (running, stopped)] == [True, False]
    assert {run["cause"] for run in runs_of(api, workflow_id)} == {f"schedule:{running}"}


def test_a_deleted_workflow_takes_its_schedules_with_it(
    api: httpx.Client, scheduled: Callable[..., tuple[str, str]]
) -> None:
    workflow_id, schedule_id = scheduled(EVERY_2_S)
    assert api.delete(f"/workflows/{workflow_id}").status_code == 204
    eventually(lambda: api.get(f"/schedules/{schedule_id}").status_code == 404, 5, "the schedule gone")


def test_both_forms_of_cron_mean_what_they_say(api: httpx.Client, scheduled: Callable[..., tuple[str, str]]) -> None:
    """Monday in Unix is 1, in Quartz 2; times are those of the schedule's zone."""
    workflow_id, unix = scheduled("30 8 * * 1", time_zone="Asia/Seoul")
    _, quartz = scheduled("0 30 8 ? * 2", workflow_id=workflow_id, time_zone="Asia/Seoul")
    _, sunday = scheduled("30 8 * * 7", workflow_id=workflow_id, time_zone="UTC")
    fires = {one: ok(api.get(f"/schedules/{one}"))["next_fires"] for one in (unix, quartz, sunday)}
    assert fires[unix] == fires[quartz]
    # Monday 08:30 in Seoul is Sunday 23:30 in UTC
    assert {(at(fire).isoweekday(), fire[11:19]) for fire in fires[unix]} == {(7, "23:30:00")}
    assert {(at(fire).isoweekday(), fire[11:19]) for fire in fires[sunday]} == {(7, "08:30:00")}


@pytest.mark.process
def test_each_instant_fires_once_through_a_kill_and_a_restart(own_platform: Callable[..., Platform]) -> None:
    platform = own_platform()
    workflow_id = platform.compose([{"key": "one", "type": "test.increment"}])
    with platform.client() as api:
        schedule = created(api.post(f"/workflows/{workflow_id}/schedules", json={"cron": EVERY_SECOND}))
        schedule_id = schedule["schedule_id"]
        for _ in range(2):
            count = len(runs_of(api, workflow_id))
            eventually(lambda least=count + 2: len(runs_of(api, workflow_id)) >= least, 15, "two more runs")
            before = platform.kill("scheduler")
            eventually(lambda gone=before: platform.pids("scheduler") not in ([], [gone]), 20, "another scheduler")
        count = len(runs_of(api, workflow_id))
        eventually(lambda: len(runs_of(api, workflow_id)) >= count + 2, 15, "two runs after the kills")
        ok(api.patch(f"/schedules/{schedule_id}/active", json={"active": False}))
        last = ok(api.get(f"/schedules/{schedule_id}"))["last_firing"]["instant"]
        # every instant from the first to the last, those of the gap included
        due = int((at(last) - at(schedule["next_fire_at"])).total_seconds()) + 1
        # what the killed process had claimed is taken up after ten seconds
        eventually(lambda: len(runs_of(api, workflow_id)) >= due, 20, f"{due} runs")
        runs = runs_of(api, workflow_id)
        assert len(runs) == due >= 6
        assert {run["cause"] for run in runs} == {f"schedule:{schedule_id}"}

    assert platform.stop() == 0
    platform.start()
    with platform.client() as api:
        kept = ok(api.get(f"/schedules/{schedule_id}"))
        assert (kept["cron"], kept["active"]) == (EVERY_SECOND, False)
        assert len(runs_of(api, workflow_id)) == len(runs)
        ok(api.patch(f"/schedules/{schedule_id}/active", json={"active": True}))
        eventually(lambda: len(runs_of(api, workflow_id)) > len(runs), 15, "a run after the restart")
