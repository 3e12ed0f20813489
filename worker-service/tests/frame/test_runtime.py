"""Tasks as a worker runs them: taken, run, reported until answered, acknowledged."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from worker_service.app import create_connection, trial_ids
from worker_service.execution import Execution, Stage, Stop
from worker_service.reports import Lines
from worker_service.wire import Dispatch, Malformed, delivery_of, read_dispatch

pytestmark = pytest.mark.anyio
StartWorker = Callable[..., Any]


async def test_a_task_runs_is_reported_and_then_acknowledged(engine: Any, start_worker: StartWorker) -> None:
    worker = await start_worker()
    task = await engine.dispatch("test.increment", {"n": 41})
    said = await engine.result(task)
    assert said["output"] == {"n": 42}
    assert (said["run_id"], said["attempt"], said["run_version"], said["delivery"]) == ("run1", 1, 7, 1)
    assert said["worker"] == worker.runtime.worker
    assert abs(said["started_at"] / 1e6 - time.time()) < 60
    assert said["started_at"] <= said["finished_at"]
    await engine.until_acknowledged()
    assert engine.started == []


async def test_a_result_is_repeated_until_the_engine_has_committed_it(engine: Any, start_worker: StartWorker) -> None:
    await start_worker()
    engine.refuse = 4
    task = await engine.dispatch("test.increment", {"n": 1})
    await engine.result(task)
    assert engine.refused == 4
    await engine.until_acknowledged()
    assert len(engine.results) == 1


async def test_another_replica_takes_the_result_when_the_dispatching_one_is_gone(
    engine: Any, start_worker: StartWorker
) -> None:
    await start_worker()
    task = await engine.dispatch("test.increment", {"n": 1}, reply="engine.dead")
    assert (await engine.result(task))["output"] == {"n": 2}
    await engine.until_acknowledged()


async def test_a_replica_that_is_silent_is_passed_over(engine: Any, start_worker: StartWorker) -> None:
    async def ignore(_: Any) -> None:
        pass

    await engine.client.subscribe("engine.mute.result", cb=ignore)
    await start_worker()
    task = await engine.dispatch("test.increment", {"n": 1}, reply="engine.mute")
    assert (await engine.result(task))["output"] == {"n": 2}


async def test_a_start_is_announced_only_for_a_task_that_lasts(engine: Any, start_worker: StartWorker) -> None:
    await start_worker()
    task = await engine.dispatch("test.sleep", {"seconds": 0.3})
    assert (await engine.result(task))["output"] == {"slept": 0.3}
    assert [said["task_run_id"] for said in engine.started] == [task]
    assert engine.started[0]["started_at"] == engine.results[0]["started_at"]


async def test_a_task_that_notes_its_span_says_when_it_began_and_ended(engine: Any, start_worker: StartWorker) -> None:
    worker = await start_worker()
    data = worker.app.settings.data
    (data / "test-needs").mkdir(parents=True)
    (data / "test-needs" / "this").touch()
    done = await engine.dispatch("test.span", {"n": 3, "value": ["v"], "bytes": 2, "needs": "this"})
    assert (await engine.result(done))["output"] == {"n": 3, "filler": "xx", "value": ["v"]}
    failed = await engine.dispatch("test.span", {"fails": 1, "seconds": 0.05})
    said = await engine.result(failed)
    assert said["error"]["code"] == "test_retryable"
    noted = [orjson.loads(line) for line in (data / "test-spans.jsonl").read_bytes().splitlines()]
    assert [(line["task_run_id"], line["attempt"], line["what"]) for line in noted] == [
        (done, 1, "began"), (done, 1, "ended"), (failed, 1, "began"), (failed, 1, "ended"),
    ]  # fmt: skip
    assert said["started_at"] <= noted[2]["at"] <= noted[3]["at"] - 50_000
    assert noted[3]["at"] <= said["finished_at"]


@pytest.mark.parametrize(
    ("type_name", "parameters", "code", "retryable"),
    [
        ("no.such", {}, "unknown_task_type", False),
        ("test.increment", {"n": "many"}, "invalid_parameters", False),
        ("test.increment", {"n": 1, "m": 2}, "invalid_parameters", False),
        ("test.increment", [], "invalid_parameters", False),
        ("test.use", {"crash": True}, "internal", True),
        ("test.use", {"bytes": 17_000_000}, "output_too_large", False),
        ("test.use", {"connection": "none"}, "connection_missing", False),
        ("test.use_process", {"crash": True}, "internal", True),
        ("test.use_process", {"bytes": 17_000_000}, "output_too_large", False),
        ("test.use_process", {"connection": "none"}, "connection_missing", False),
        ("test.fail", {"times": 1}, "test_retryable", True),
        ("test.fail", {"times": 1, "error_class": "fatal"}, "test_fatal", False),
        ("test.span", {"fails": 1}, "test_retryable", True),
        ("test.span", {"needs": "nothing-like-it"}, "test_fatal", False),
        ("test.compute", {"exit_status": 9}, "worker_lost", True),
    ],
)
async def test_each_failure_has_its_code_and_says_whether_to_try_again(
    engine: Any, start_worker: StartWorker, type_name: str, parameters: Any, code: str, retryable: bool
) -> None:
    await start_worker()
    task = await engine.dispatch(type_name, parameters)
    said = await engine.result(task)
    assert "output" not in said
    assert (said["error"]["code"], said["error"]["retryable"]) == (code, retryable)
    assert said["error"]["message"]
    assert "the text of a bug" not in str(said)
    await engine.until_acknowledged()


async def test_a_wrong_parameter_is_named(engine: Any, start_worker: StartWorker) -> None:
    await start_worker()
    task = await engine.dispatch("test.increment", {"n": "many"})
    error = (await engine.result(task))["error"]
    assert error["details"]["field"] == "n"
    assert "'n'" in error["message"]


async def test_a_task_fails_as_often_as_it_is_told(engine: Any, start_worker: StartWorker) -> None:
    await start_worker()
    task = await engine.dispatch("test.fail", {"times": 2}, attempt=3)
    assert (await engine.result(task))["output"] == {"attempt": 3}


async def test_a_placement_says_how_long_its_task_may_be_silent(engine: Any, start_worker: StartWorker) -> None:
    await start_worker()
    task = await engine.dispatch("test.sleep", {"seconds": 600}, heartbeat_s=0.3)
    error = (await engine.result(task))["error"]
    assert (error["code"], error["retryable"]) == ("heartbeat_lost", True)
    assert "0.3" in error["message"]
    await engine.until_acknowledged()


async def test_a_running_task_is_cancelled_by_broadcast(engine: Any, start_worker: StartWorker) -> None:
    await start_worker()
    task = await engine.dispatch("test.sleep", {"seconds": 600})
    await engine.wait(lambda: engine.started)
    await engine.client.publish("worker.cancel", orjson.dumps({"task_run_id": task, "attempt": 1}))
    assert (await engine.result(task))["cancelled"] is True
    await engine.until_acknowledged()


async def test_a_running_task_is_cancelled_by_the_answer_to_a_heartbeat(engine: Any, start_worker: StartWorker) -> None:
    worker = await start_worker()
    task = await engine.dispatch("test.sleep", {"seconds": 600})
    engine.cancel.append([task, 1])
    assert (await engine.result(task))["cancelled"] is True
    assert engine.beats[0] == {"worker": worker.runtime.worker, "tasks": [["run1", task, 1]]}


async def test_a_task_that_was_cancelled_before_it_came_never_runs(
    engine: Any, start_worker: StartWorker, tmp_path: Path
) -> None:
    await start_worker()
    await engine.client.publish("worker.cancel", b"not json")
    await engine.client.publish("worker.cancel", orjson.dumps({"task_run_id": "early", "attempt": 1}))
    trace = tmp_path / "ran"
    await engine.client.flush()
    probe = await engine.dispatch("test.increment", {"n": 1})
    await engine.result(probe)
    await engine.dispatch("test.effect", {"path": str(trace)}, task_run_id="early")
    assert (await engine.result("early"))["cancelled"] is True
    assert not trace.exists()


async def test_a_task_that_waits_for_a_slot_is_cancelled_without_running(
    engine: Any, start_worker: StartWorker
) -> None:
    worker = await start_worker(worker_processes=1)
    first = await engine.dispatch("test.compute", {"seconds": 600})
    second = await engine.dispatch("test.compute", {"seconds": 0})
    await engine.wait(lambda: [said for said in engine.started if said["task_run_id"] == first])
    for task in (second, first):
        await engine.client.publish("worker.cancel", orjson.dumps({"task_run_id": task, "attempt": 1}))
        assert (await engine.result(task))["cancelled"] is True
    assert worker.runtime._active == 0


async def test_a_timeout_ends_a_task(engine: Any, start_worker: StartWorker) -> None:
    await start_worker()
    task = await engine.dispatch("test.sleep", {"seconds": 600}, timeout_s=0.2)
    said = await engine.result(task)
    assert (said["error"]["code"], said["error"]["retryable"]) == ("timeout", True)
    assert "0.2" in said["error"]["message"]


async def test_a_task_that_ignores_its_cancellation_is_given_up(engine: Any, start_worker: StartWorker) -> None:
    await start_worker()
    task = await engine.dispatch("test.use", {"stubborn": True}, timeout_s=0.3)
    assert (await engine.result(task))["error"]["code"] == "timeout"
    await engine.until_acknowledged()


async def test_a_process_that_ignores_its_termination_is_killed(engine: Any, start_worker: StartWorker) -> None:
    await start_worker()
    task = await engine.dispatch("test.compute", {"seconds": 600, "stubborn": True}, timeout_s=1.5)
    assert (await engine.result(task))["error"]["code"] == "timeout"
    again = await engine.dispatch("test.compute", {})
    assert (await engine.result(again))["output"]["pid"] > 0


async def test_a_copy_of_an_attempt_joins_the_one_that_runs(
    engine: Any, start_worker: StartWorker, tmp_path: Path
) -> None:
    trace = tmp_path / "ran"
    await start_worker()
    task = await engine.dispatch("test.effect", {"path": str(trace), "seconds": 0.5})
    await engine.wait(lambda: engine.started)
    # the broker lost the first copy, and the engine dispatched again
    js = engine.client.jetstream()
    await js.purge_stream("TASKS")
    await engine.dispatch("test.effect", {"path": str(trace), "seconds": 0.5}, task_run_id=task)
    await engine.result(task)
    await engine.until_acknowledged()
    assert len(engine.results) == 1
    assert len(trace.read_text().splitlines()) == 1


async def test_log_lines_go_out_in_order_and_without_secrets(engine: Any, start_worker: StartWorker) -> None:
    worker = await start_worker()
    create_connection(worker.app, "org1", "my-blog", "wordpress", {}, {"user": "u", "app_password": 'geheim"1'})
    for type_name in ("test.use", "test.use_process"):
        engine.lines.clear()
        task = await engine.dispatch(type_name, {"connection": "my-blog"})
        said = await engine.result(task)
        assert said["output"]["seen"]["credentials"] == ["app_password", "user"]
        lines = [line for batch in engine.lines for line in batch["lines"]]
        assert [(line["seq"], line["event"]) for line in lines] == [(1, "begun"), (2, "opened")]
        assert "geheim" not in str(engine.lines)
        assert "geheim" not in str(said)
        assert "***" in lines[1]["fields"]["value"]
        assert engine.lines[0]["task_run_id"] == task


async def test_log_lines_of_a_long_task_do_not_wait_for_its_end(engine: Any, start_worker: StartWorker) -> None:
    await start_worker()
    task = await engine.dispatch("test.use", {"stubborn": True})
    await engine.wait(lambda: engine.lines)
    assert engine.results == []
    await engine.client.publish("worker.cancel", orjson.dumps({"task_run_id": task, "attempt": 1}))
    await engine.result(task)


async def test_a_context_offers_the_same_in_both_isolations(engine: Any, start_worker: StartWorker) -> None:
    await start_worker()
    seen = (await engine.result(await engine.dispatch("test.use")))["output"]["seen"]
    expected = {"artifact": "hello", "version": 1, "state": {"n": 1}, "note": {"at": "work"}}
    assert {name: seen[name] for name in expected} == expected
    seen = (await engine.result(await engine.dispatch("test.use_process")))["output"]["seen"]
    assert {name: seen[name] for name in expected} == expected
    assert seen["conflict"] is True
    assert seen["entries"] == 2


async def test_a_blocked_loop_neither_silences_the_worker_nor_holds_other_tasks(
    engine: Any, start_worker: StartWorker
) -> None:
    await start_worker()
    began = time.monotonic()
    blocking = await engine.dispatch("test.block", {"seconds": 14})
    await engine.wait(lambda: engine.started)
    held_up = await engine.dispatch("test.increment", {"n": 1})
    await engine.result(held_up)
    # it was moved to a fresh loop while the first one still blocks
    assert time.monotonic() - began < 12
    said = await engine.result(blocking)
    # 14 s are longer than the 10 s after which the broker would have delivered it again
    assert said["output"] == {"slept": 14}
    assert said["delivery"] == 1
    await engine.until_acknowledged()
    assert [beat for beat in engine.beats if ["run1", blocking, 1] in beat["tasks"]]


async def test_two_hundred_tasks_run_at_speed_and_each_once(engine: Any, start_worker: StartWorker) -> None:
    await start_worker()
    began = time.monotonic()
    tasks = await asyncio.gather(*(engine.dispatch("test.increment", {"n": n}) for n in range(200)))
    await engine.wait(lambda: len(engine.results) >= 200)
    seconds = time.monotonic() - began
    assert sorted(said["task_run_id"] for said in engine.results) == sorted(tasks)
    assert sorted(said["output"]["n"] for said in engine.results) == list(range(1, 201))
    await engine.until_acknowledged()
    # 8,000/s where nothing else runs
    assert 200 / seconds > 100


async def test_more_tasks_than_slots_all_run(engine: Any, start_worker: StartWorker) -> None:
    await start_worker(worker_slots=2)
    began = time.monotonic()
    for _ in range(6):
        await engine.dispatch("test.sleep", {"seconds": 0.2})
    await engine.wait(lambda: len(engine.results) >= 6)
    assert time.monotonic() - began > 0.55


async def test_a_worker_takes_from_each_of_its_queues(engine: Any, start_worker: StartWorker) -> None:
    await start_worker(worker_queues="default, heavy")
    said = {"task_run_id": "h", "run_id": "r", "organization_id": "o", "workflow_id": "w", "key": "k", "attempt": 1}
    said |= {"type": "test.increment", "parameters": {"n": 1}, "run_version": 1, "reply": "engine.r1"}
    await engine.client.jetstream().publish("tasks.heavy.h.1", orjson.dumps(said))
    assert (await engine.result("h"))["output"] == {"n": 2}
    assert (await engine.result(await engine.dispatch("test.increment", {"n": 5})))["output"] == {"n": 6}


async def test_a_message_that_is_no_dispatch_is_removed(engine: Any, start_worker: StartWorker) -> None:
    await start_worker()
    for number, content in enumerate((b"no json", b"[]", b'{"task_run_id": 7}')):
        await engine.client.jetstream().publish(f"tasks.default.bad.{number}", content)
    await engine.until_acknowledged()
    assert engine.results == []


async def test_a_draining_worker_ends_what_it_has_and_gives_back_the_rest(
    engine: Any, start_worker: StartWorker
) -> None:
    worker = await start_worker(drain_s=1.5)
    short = await engine.dispatch("test.sleep", {"seconds": 0.5})
    long = await engine.dispatch("test.sleep", {"seconds": 4})
    await engine.wait(lambda: len(engine.started) >= 2)
    await worker.close()
    assert [said["task_run_id"] for said in engine.results] == [short]
    second = await start_worker()
    said = await engine.result(long)
    assert (said["worker"], said["delivery"]) == (second.runtime.worker, 2)


async def test_a_trial_answers_its_caller_and_nobody_else(engine: Any, start_worker: StartWorker) -> None:
    worker = await start_worker()

    async def attempt(type_name: str, parameters: dict[str, Any], timeout_s: float = 5) -> Any:
        ids = trial_ids("org1", "", type_name)
        return await worker.runtime.attempt(Dispatch(ids, type_name, parameters, timeout_s, 0, ""))

    assert (await attempt("test.increment", {"n": 1})).output == b'{"n":2}'
    assert (await attempt("test.increment", {"n": "x"})).error["code"] == "invalid_parameters"
    assert (await attempt("test.sleep", {"seconds": 60}, 0.2)).error["code"] == "timeout"
    abandoned = asyncio.create_task(attempt("test.sleep", {"seconds": 60}, 60))
    await asyncio.sleep(0)
    abandoned.cancel()
    await asyncio.gather(abandoned, return_exceptions=True)
    probe = await engine.dispatch("test.increment", {"n": 1})
    await engine.result(probe)
    assert len(engine.results) == 1


async def test_what_is_stopped_before_its_first_step_ends_at_once(start_worker: StartWorker) -> None:
    """Its own code never ran, so nothing in it could tell: the slot was held until the grace was over."""
    worker = await start_worker()
    with capture_logs() as logged:
        for _ in range(30):
            ids = trial_ids("org1", "", "test.sleep")
            outcome = await worker.runtime.attempt(Dispatch(ids, "test.sleep", {"seconds": 60}, 1e-9, 0, ""))
            assert outcome.error["code"] == "timeout"
    assert [line for line in logged if line["event"] == "task_ignores_stop"] == []


async def test_a_worker_that_stood_still_does_not_take_it_for_its_tasks_silence(start_worker: StartWorker) -> None:
    worker = await start_worker()
    ids = trial_ids("org1", "", "test.sleep")
    execution = Execution(Dispatch(ids, "test.sleep", {}, 60, 0, ""), 1, [], Lines(ids))
    execution.stage = Stage.RUNNING
    execution.type = replace(worker.app.types["test.sleep"], heartbeat_s=1.0)
    present = asyncio.get_running_loop().time()
    # it looks a minute late: the process was stopped, and its tasks with it
    execution.signed_at = time.monotonic() - 61
    worker.runtime._look_for_sign(execution, present - 60)
    assert execution.stop is None
    assert len(execution.timers) == 1
    # it looks when it meant to
    execution.signed_at = time.monotonic() - 61
    worker.runtime._look_for_sign(execution, present)
    assert execution.stop is Stop.SILENCE


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})], ids=["uvloop"])
async def test_timers_that_are_due_at_once_are_forgotten_like_the_others(start_worker: StartWorker) -> None:
    """On the loop that services run on, a timer of no delay is none."""
    worker = await start_worker()
    execution = Execution(
        Dispatch(trial_ids("org1", "", "test.sleep"), "test.sleep", {}, 60, 0, ""), 1, [], Lines(trial_ids("", "", ""))
    )
    struck: list[int] = []
    for number in range(40):
        worker.runtime._later(execution, 0.0, struck.append, number)
        await asyncio.sleep(0.001)
    assert struck == list(range(40))
    assert len(execution.timers) < 20


def test_a_dispatch_without_its_parts_is_malformed() -> None:
    with pytest.raises(Malformed):
        read_dispatch(b"{}")


def test_deliveries_are_counted_in_both_forms_of_the_subject() -> None:
    assert delivery_of("$JS.ACK.TASKS.worker-default.3.17.21.1700000000000000000.0") == 3
    assert delivery_of("$JS.ACK.hub.AbC.TASKS.worker-default.2.17.21.1700000000000000000.0.x") == 2
