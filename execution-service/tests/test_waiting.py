"""Waiting tasks joined to what they wait for: on both databases, at once, and by the sweep when nobody saw it."""

import asyncio
from typing import Any

import pytest
from edge_house import open_http
from engine_house import ORGANIZATION, House, chain, until

from execution_service.app import Again, Parent, pause_run, rerun, resume_run, start_run
from execution_service.domain.definition import Definition, JobSpec, TaskSpec
from execution_service.domain.run import TaskState
from execution_service.storage import history
from execution_service.storage import waits as waits_stored
from execution_service.waiting import DEPTH, Answer
from kit.errors import Conflict, Invalid, NotFound

pytestmark = pytest.mark.anyio


def waiting(kind: str, *, then: bool = False, **parameters: Any) -> Definition:
    """A workflow whose only task is of that kind; `then` a worker's task reads what it gave."""
    tasks = [TaskSpec("it", kind, parameters=parameters)]
    if then:
        given = {"n": 1, "given": "${{ tasks.it.output }}"}
        tasks.append(TaskSpec("next", "test.increment", parameters=given, depends_on=("it",)))
    return Definition(ORGANIZATION, f"waits-{kind}", 1, "Waits", (JobSpec("job", tuple(tasks)),))


def small(name: str = "small", **parameters: Any) -> Definition:
    task = TaskSpec("one", "test.increment", parameters={"n": "${{ run.input.n }}"} | parameters)
    return Definition(ORGANIZATION, name, 1, "Small", (JobSpec("job", (task,)),))


async def waits(house: House, run_id: str) -> str:
    """The id of the task once it waits."""

    async def asked() -> bool:
        return await house.state(run_id, "it") == "WAITING"

    await until(asked)
    return f"{run_id}-0"


def output(house: House, task_run_id: str) -> Any:
    return history.read_io(house.database, ORGANIZATION, task_run_id)["output"]


# --- events ----------------------------------------------------------------------------------------------------------


async def test_an_event_lets_go_on_who_waits_for_it_and_no_other(house: House) -> None:
    definition = waiting("wait.event", then=True, event="order.paid", match={"order": {"id": 7}})
    run_id = await house.start(definition)
    task_run_id = await waits(house, run_id)
    for name, data in (("order.paid", {"order": {"id": 8}}), ("order.sent", {"order": {"id": 7}})):
        await house.joins.publish(ORGANIZATION, name, data, None)
    await house.joins.publish("another", "order.paid", {"order": {"id": 7}}, None)
    await house.joins.run_once()
    assert await house.state(run_id, "it") == "WAITING"
    event_id, new = await house.joins.publish(ORGANIZATION, "order.paid", {"order": {"id": 7}, "sum": 5}, "key")
    assert new
    run = await house.finished(run_id)
    assert run["state"] == "SUCCESS"
    found = output(house, task_run_id)
    assert (found["event_id"], found["name"], found["data"]) == (event_id, "order.paid", {"order": {"id": 7}, "sum": 5})
    assert house.worker.ran[0]["parameters"]["given"] == found


async def test_a_wait_looks_back_to_the_beginning_of_its_run(house: House) -> None:
    first = TaskSpec("first", "human.approval")
    later = TaskSpec("it", "wait.event", parameters={"event": "paid", "match": {"n": 1}}, depends_on=("first",))
    definition = Definition(ORGANIZATION, "back", 1, "Back", (JobSpec("job", (first, later)),))
    await house.joins.publish(ORGANIZATION, "paid", {"n": 1, "which": "before the run"}, None)
    run_id = await house.start(definition)
    await until(lambda: waits_stored.read_wait(house.database, f"{run_id}-0"))
    for which in ("first", "second"):
        await house.joins.publish(ORGANIZATION, "paid", {"n": 1, "which": which}, None)
    await house.joins.answer(ORGANIZATION, run_id, f"{run_id}-0", Answer("me", approved=True))
    assert (await house.finished(run_id))["state"] == "SUCCESS"
    assert output(house, f"{run_id}-1")["data"]["which"] == "first"


async def test_an_event_is_recorded_once_for_each_key(house: House) -> None:
    first = await house.joins.publish(ORGANIZATION, "paid", {"n": 1}, "key")
    assert await house.joins.publish(ORGANIZATION, "paid", {"n": 1}, "key") == (first[0], False)
    with pytest.raises(Invalid):
        await house.joins.publish(ORGANIZATION, "paid", {"n": 2}, "key")
    other, new = await house.joins.publish("another", "paid", {"n": 2}, "key")
    assert new
    assert other != first[0]


async def test_the_sweep_joins_what_nobody_saw(house: House) -> None:
    """Who stored the event died before telling anybody, and who began the wait before looking back."""
    house.joins_at_once = False
    run_id = await house.start(waiting("wait.event", event="paid"))
    task_run_id = await waits(house, run_id)
    event = waits_stored.ReceivedEvent("e1", "paid", {}, house.execution.outside.now())
    assert waits_stored.save_event(house.database, ORGANIZATION, event)
    assert await house.joins.run_once() >= 1
    assert (await house.finished(run_id))["state"] == "SUCCESS"
    assert output(house, task_run_id)["event_id"] == "e1"
    assert waits_stored.read_wait(house.database, task_run_id) is None


async def test_an_event_that_came_while_everybody_was_away_is_found_by_the_next_sweep(house: House) -> None:
    await house.joins.run_once()
    run_id = await house.start(waiting("wait.event", event="paid"))
    await waits(house, run_id)
    event = waits_stored.ReceivedEvent("e2", "paid", {}, house.execution.outside.now())
    waits_stored.save_event(house.database, ORGANIZATION, event)
    await house.joins.run_once()
    assert (await house.finished(run_id))["state"] == "SUCCESS"


async def test_events_are_dropped_when_no_run_can_look_back_to_them(house: House) -> None:
    old = waits_stored.ReceivedEvent("old", "paid", {}, 1_000_000)
    young = waits_stored.ReceivedEvent("young", "paid", {}, house.execution.outside.now())
    for event in (old, young):
        waits_stored.save_event(house.database, ORGANIZATION, event)
    assert await house.joins.drop_old() == 1
    assert waits_stored.read_event(house.database, ORGANIZATION, "old") is None
    assert waits_stored.read_event(house.database, ORGANIZATION, "young") == young


# --- people ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "approved", "state"),
    [({}, True, "SUCCESS"), ({}, False, "FAILED"), ({"on_reject": "continue"}, False, "SUCCESS")],
)
async def test_a_person_approves_or_rejects(
    house: House, parameters: dict[str, Any], approved: bool, state: str
) -> None:
    run_id = await house.start(waiting("human.approval", then=True, **parameters))
    task_run_id = await waits(house, run_id)
    answer = Answer("kim", approved=approved, comment="looks right")
    assert await house.joins.answer(ORGANIZATION, run_id, task_run_id, answer) == TaskState(state)
    run = await house.finished(run_id)
    assert run["state"] == state
    if state == "SUCCESS":
        found = output(house, task_run_id)
        assert (found["approved"], found["comment"], found["by"]) == (approved, "looks right", "kim")
    else:
        error = run["jobs"][0]["tasks"][0]["error"]
        assert (error["code"], error["details"]["by"]) == ("rejected", "kim")


async def test_only_who_waits_for_a_person_can_be_answered_and_only_once(house: House) -> None:
    run_id = await house.start(
        waiting("human.form", schema={"required": ["n"], "properties": {"n": {"type": "integer"}}})
    )
    task_run_id = await waits(house, run_id)
    ask = house.joins.answer
    for answer, field in (
        (Answer("kim", approved=True, values={"n": 1}), "body.values"),
        (Answer("kim"), "body.values"),
        (Answer("kim", values={}), "body.values"),
        (Answer("kim", values={"n": "one"}), "body.values.n"),
    ):
        with pytest.raises(Invalid) as wrong:
            await ask(ORGANIZATION, run_id, task_run_id, answer)
        assert wrong.value.fields[0].field == field
    for organization_id, run, task in (
        ("another", run_id, task_run_id),
        (ORGANIZATION, run_id, f"{run_id}-5"),
        (ORGANIZATION, "other", task_run_id),
        (ORGANIZATION, run_id, "nothing"),
    ):
        with pytest.raises(NotFound):
            await ask(organization_id, run, task, Answer("kim", values={"n": 1}))
    assert await ask(ORGANIZATION, run_id, task_run_id, Answer("kim", values={"n": 1})) is TaskState.SUCCESS
    with pytest.raises(Conflict) as late:
        await ask(ORGANIZATION, run_id, task_run_id, Answer("lee", values={"n": 2}))
    assert late.value.params["state"] == "SUCCESS"
    assert output(house, task_run_id)["values"] == {"n": 1}


@pytest.mark.parametrize(
    ("approved", "on_reject", "state"),
    [(True, "fail", "SUCCESS"), (False, "fail", "FAILED"), (False, "continue", "SUCCESS")],
)
async def test_who_gives_the_same_answer_again_is_told_that_it_was_taken(
    house: House, approved: bool, on_reject: str, state: str
) -> None:
    """The acceptance may be lost on its way: only somebody else's answer, or another one, comes too late."""
    run_id = await house.start(waiting("human.approval", on_reject=on_reject))
    task_run_id = await waits(house, run_id)
    ask = house.joins.answer
    answer = Answer("kim", approved=approved, comment="looks right")
    both = await asyncio.gather(*(ask(ORGANIZATION, run_id, task_run_id, answer) for _ in range(2)))
    assert {*both, await ask(ORGANIZATION, run_id, task_run_id, answer)} == {state}
    for other in (
        Answer("lee", approved=approved, comment="looks right"),
        Answer("kim", approved=not approved, comment="looks right"),
        Answer("kim", approved=approved),
    ):
        with pytest.raises(Conflict) as late:
            await ask(ORGANIZATION, run_id, task_run_id, other)
        assert late.value.params["state"] == state


async def test_a_form_whose_schema_is_broken_says_so(house: House) -> None:
    run_id = await house.start(waiting("human.form", schema={"type": "nonsense"}))
    task_run_id = await waits(house, run_id)
    with pytest.raises(Conflict) as broken:
        await house.joins.answer(ORGANIZATION, run_id, task_run_id, Answer("kim", values={"n": 1}))
    assert broken.value.code == "form_broken"


# --- children --------------------------------------------------------------------------------------------------------


async def test_a_task_runs_another_workflow_and_gets_its_output(house: House) -> None:
    house.definitions.known["small"] = small()
    definition = waiting("workflow.run", then=True, workflow_id="small", input={"n": 41})
    run_id = await house.start(definition, cause="kim")
    assert (await house.finished(run_id))["state"] == "SUCCESS"
    found = output(house, f"{run_id}-0")
    assert (found["state"], found["output"]) == ("SUCCESS", {"one": {"n": 42}})
    child = await house.show(found["run_id"])
    assert (child["trigger"], child["cause"], child["input"]) == ("parent_run", f"{run_id}-0", {"n": 41})
    assert child["trace_id"] == (await house.show(run_id))["trace_id"]


async def test_a_child_that_fails_fails_its_parents_task_and_a_rerun_starts_another(house: House) -> None:
    failing = {"one"}

    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        failure = {"error": {"code": "broken", "message": "no", "retryable": False}}
        return failure if sent["key"] in failing else await house.worker.increment(sent)

    house.worker.act = act
    house.definitions.known["small"] = small()
    run_id = await house.start(waiting("workflow.run", workflow_id="small", input={"n": 1}))
    run = await house.finished(run_id)
    error = run["jobs"][0]["tasks"][0]["error"]
    assert (run["state"], error["code"], error["details"]["state"]) == ("FAILED", "child_failed", "FAILED")
    failing.clear()
    assert (error["details"]["task"], error["details"]["error"]["code"]) == ("one", "broken")
    again, _ = await rerun(house.execution, ORGANIZATION, run_id, Again(failed=True))
    assert (await house.finished(again))["state"] == "SUCCESS"
    assert output(house, f"{again}-0")["run_id"] != error["details"]["run_id"]


@pytest.mark.parametrize("workflow_id", ["nowhere", "switched-off"])
async def test_a_child_that_cannot_be_started_fails_its_parents_task(house: House, workflow_id: str) -> None:
    house.definitions.known["switched-off"] = small("switched-off")
    house.definitions.inactive.add("switched-off")
    run_id = await house.start(waiting("workflow.run", workflow_id=workflow_id))
    run = await house.finished(run_id)
    assert run["jobs"][0]["tasks"][0]["error"]["code"] == "child_not_started"


async def test_runs_stand_only_so_deep_below_one_another(house: House) -> None:
    definition = waiting("workflow.run", workflow_id="waits-workflow.run")
    house.definitions.known[definition.workflow_id] = definition
    parent = Parent("someone-0.1", DEPTH, "0" * 32)
    run_id, _ = await start_run(house.execution, ORGANIZATION, definition.workflow_id, {}, parent=parent)
    run = await house.finished(run_id)
    assert run["jobs"][0]["tasks"][0]["error"]["code"] == "child_too_deep"


async def test_a_cancelled_parent_takes_its_child_along(idle_house: House) -> None:
    house = idle_house
    house.definitions.known["small"] = small()
    run_id = await house.start(waiting("workflow.run", workflow_id="small", input={"n": 1}))
    _, child_id = await until(lambda: waits_stored.child_of(house.database, f"{run_id}-0.1"))
    async with open_http(house) as http:
        await http.post(f"/v0/workflow-runs/{run_id}/cancel")
    assert (await house.finished(run_id))["state"] == "CANCELLED"
    assert (await house.finished(child_id))["state"] == "CANCELLED"


async def test_a_parent_may_ask_for_any_of_its_childs_outputs(house: House) -> None:
    tasks = (
        TaskSpec("one", "test.increment", parameters={"n": 1}),
        TaskSpec("two", "test.increment", parameters={"n": "${{ tasks.one.output.n }}"}, depends_on=("one",)),
        TaskSpec("never", "test.increment", parameters={"n": 1}, depends_on=("two",), when="${{ false }}"),
    )
    house.definitions.known["three"] = Definition(ORGANIZATION, "three", 1, "Three", (JobSpec("job", tasks),))
    asked = {"workflow_id": "three", "outputs": ["one", "never", "nobody"]}
    run_id = await house.start(waiting("workflow.run", then=True, **asked))
    assert (await house.finished(run_id))["state"] == "SUCCESS"
    assert output(house, f"{run_id}-0")["output"] == {"one": {"n": 2}, "never": None}


async def test_a_pause_reaches_the_child_and_so_does_the_end_of_it(house: House) -> None:
    house.definitions.known["asks"] = waiting("human.approval")
    run_id = await house.start(waiting("workflow.run", workflow_id="asks"))
    _, child_id = await until(lambda: waits_stored.child_of(house.database, f"{run_id}-0.1"))
    await waits(house, child_id)
    for action, state in (("pause", "PAUSED"), ("resume", "RUNNING")):
        async with open_http(house) as http:
            answer = await http.post(f"/v0/workflow-runs/{run_id}/{action}")
        assert (answer.status_code, answer.json()["state"]) == (202, state)
        assert (await house.show(child_id))["state"] == state
    await house.joins.answer(ORGANIZATION, child_id, f"{child_id}-0", Answer("me", approved=True))
    assert (await house.finished(run_id))["state"] == "SUCCESS"


async def test_whoever_dies_while_resuming_leaves_what_can_be_resumed_again(house: House) -> None:
    house.definitions.known["asks"] = waiting("human.approval")
    run_id = await house.start(waiting("workflow.run", workflow_id="asks"))
    _, child_id = await until(lambda: waits_stored.child_of(house.database, f"{run_id}-0.1"))
    await waits(house, child_id)
    await pause_run(house.execution, ORGANIZATION, run_id)
    states = []
    house.execution.watchers.listen(lambda changed, run=None: states.append((changed, run and str(run.head.state))))
    assert await resume_run(house.execution, ORGANIZATION, run_id) == "RUNNING"
    # at no moment is the parent on its way while its child stands still
    assert states.index((child_id, "RUNNING")) < states.index((run_id, "RUNNING"))
    # as it is left by who died in between
    await pause_run(house.execution, ORGANIZATION, run_id)
    await resume_run(house.execution, ORGANIZATION, child_id)
    assert await resume_run(house.execution, ORGANIZATION, run_id) == "RUNNING"
    await house.joins.answer(ORGANIZATION, child_id, f"{child_id}-0", Answer("me", approved=True))
    assert (await house.finished(run_id))["state"] == "SUCCESS"


async def test_of_a_paused_run_no_child_is_started_and_one_that_goes_on_is_paused(idle_house: House) -> None:
    """Whoever paused it died before pausing the child, or the child was started meanwhile."""
    house = idle_house
    house.joins_at_once = False
    house.definitions.known["asks"] = waiting("human.approval")
    definition = waiting("workflow.run", workflow_id="asks")
    begun, fresh = [await house.start(definition) for _ in range(2)]
    await waits(house, begun)
    await house.joins._start_waited(f"{begun}-0")
    _, child_id = await until(lambda: waits_stored.child_of(house.database, f"{begun}-0.1"))
    await waits(house, child_id)
    await waits(house, fresh)
    for run_id in (begun, fresh):
        await pause_run(house.execution, ORGANIZATION, run_id)
    await resume_run(house.execution, ORGANIZATION, child_id)
    with house.database.write() as connection:
        connection.exec_driver_sql("UPDATE task_wait SET waiting_since = 0")
    assert await house.joins.run_once() == 1
    assert (await house.show(child_id))["state"] == "PAUSED"
    await house.joins._start_waited(f"{fresh}-0")
    assert waits_stored.child_of(house.database, f"{fresh}-0.1") is None
    await resume_run(house.execution, ORGANIZATION, fresh)
    assert await house.joins.run_once() == 1
    assert waits_stored.child_of(house.database, f"{fresh}-0.1") is not None


async def test_the_sweep_finds_children_that_nobody_started_ended_or_cancelled(idle_house: House) -> None:
    """Whoever decided it died before acting on it."""
    house = idle_house
    house.joins_at_once = False
    house.definitions.known["small"] = small()
    definition = waiting("workflow.run", workflow_id="small", input={"n": 1})
    first, second = [await house.start(definition) for _ in range(2)]
    for run_id in (first, second):
        await waits(house, run_id)
    assert await house.joins.run_once() == 0, "whoever decided it has a moment"
    with house.database.write() as connection:
        connection.exec_driver_sql("UPDATE task_wait SET waiting_since = 0")
    assert await house.joins.run_once() == 2
    children = [waits_stored.child_of(house.database, f"{run_id}-0.1") for run_id in (first, second)]
    assert None not in children
    async with open_http(house) as http:
        await http.post(f"/v0/workflow-runs/{second}/cancel")
    assert await house.joins.run_once() == 1
    assert (await house.finished(children[1][1]))["state"] == "CANCELLED"  # type: ignore[index]
    house.work()
    await house.finished(children[0][1])  # type: ignore[index]
    assert await house.joins.run_once() == 1
    assert (await house.finished(first))["state"] == "SUCCESS"


# --- over HTTP -------------------------------------------------------------------------------------------------------


async def test_people_answer_and_tell_of_events_over_http(idle_house: House) -> None:
    house = idle_house
    async with open_http(house) as http:
        run_id = await house.start(waiting("human.approval"))
        task_run_id = await waits(house, run_id)
        path = f"/v0/workflow-runs/{run_id}/tasks/{task_run_id}/answer"
        wrong = await http.post(path, json={"values": {}})
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "body.approved")
        found = await http.post(path, json={"approved": True})
        assert (found.status_code, found.json()) == (202, {"task_run_id": task_run_id, "state": "SUCCESS"})
        late = await http.post(path, json={"approved": False})
        assert (late.status_code, late.json()["code"]) == (409, "task_not_waiting")
        assert "SUCCESS" in late.json()["detail"]

        paid = await house.start(waiting("wait.event", event="paid"))
        await waits(house, paid)
        key = {"Idempotency-Key": "once"}
        told = await http.post("/v0/events", json={"name": "paid", "data": {"n": 1}}, headers=key)
        assert told.status_code == 202
        again = await http.post("/v0/events", json={"name": "paid", "data": {"n": 1}}, headers=key)
        assert again.json() == told.json()
        assert (await house.finished(paid))["state"] == "SUCCESS"
        large = await http.post("/v0/events", json={"name": "paid", "data": {"x": "x" * 70_000}})
        assert (large.status_code, large.json()["errors"][0]["field"]) == (422, "body.data")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mode": "range", "from_task": "t0"}, "body.to_task"),
        ({"mode": "range", "from_task": "t1", "to_task": "t0"}, "body.to_task"),
        ({"mode": "range", "from_task": "t0", "to_task": "nobody"}, "body.to_task"),
        ({"mode": "task", "from_task": "nobody"}, "body.from_task"),
        ({"mode": "tasks", "tasks": []}, "body.tasks"),
        ({"mode": "tasks", "tasks": ["t0", "nobody"]}, "body.tasks"),
        ({"mode": "failed", "tasks": ["t0"]}, "body.tasks"),
        ({"mode": "start", "to_task": "t0"}, "body.to_task"),
    ],
)
async def test_a_rerun_that_cannot_be_names_its_field(house: House, body: dict[str, Any], field: str) -> None:
    async with open_http(house) as http:
        run_id = await ended_chain(house)
        refused = await http.post(f"/v0/workflow-runs/{run_id}/rerun", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize(
    ("body", "ran"),
    [
        ({"mode": "range", "from_task": "t1", "to_task": "t2"}, ["t1", "t2"]),
        ({"mode": "tasks", "tasks": ["t2", "t0"]}, ["t0", "t2"]),
        ({"mode": "tasks", "tasks": ["t3"]}, ["t3"]),
        ({"mode": "task", "from_task": "t2"}, ["t2", "t3"]),
    ],
)
async def test_a_rerun_runs_what_was_chosen_and_reuses_the_rest(
    house: House, body: dict[str, Any], ran: list[str]
) -> None:
    async with open_http(house) as http:
        first = await ended_chain(house)
        house.worker.ran.clear()
        answer = await http.post(f"/v0/workflow-runs/{first}/rerun", json=body)
        run = await house.finished(answer.json()["run_id"])
    assert (run["state"], run["rerun_of"]) == ("SUCCESS", first)
    assert sorted(each["key"] for each in house.worker.ran) == ran


async def ended_chain(house: House) -> str:
    run_id = await house.start(chain(4))
    assert (await house.finished(run_id))["state"] == "SUCCESS"
    return run_id


async def test_what_a_rerun_left_out_and_no_run_recorded_is_skipped(house: House) -> None:
    async def act(sent: dict[str, Any]) -> dict[str, Any]:
        failure = {"error": {"code": "broken", "message": "no", "retryable": False}}
        return failure if sent["key"] == "bad" else await house.worker.increment(sent)

    house.worker.act = act
    tasks = (TaskSpec("good", "test.increment"), TaskSpec("bad", "test.increment"))
    run_id = await house.start(Definition(ORGANIZATION, "two", 1, "Two", (JobSpec("job", tasks),)))
    await house.finished(run_id)
    again, _ = await rerun(house.execution, ORGANIZATION, run_id, Again(tasks=("good",)))
    run = await house.finished(again)
    states = {task["key"]: task["state"] for task in run["jobs"][0]["tasks"]}
    assert (run["state"], states) == ("SUCCESS", {"good": "SUCCESS", "bad": "SKIPPED"})
