"""Use cases on both databases: versions, keys, keeping things together, the catalogue and the scheduler."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from kit.errors import Conflict, Invalid, NotFound, Outdated, Unavailable
from workflow_service import app, loops, storage
from workflow_service.app import Context, WantedJob, WantedTask, Who
from workflow_service.app.catalogue import FORGET_TYPES_AFTER
from workflow_service.domain.engine_types import ENGINE_TYPES
from workflow_service.domain.model import Concurrency, Definition, JobBody, Overflow, TaskBody, TaskType, WorkflowBody
from workflow_service.storage import Query
from workflow_service.storage.tables import definition_version, job_task, pending_notice, workflow_job

ME = Who("org-1", "user-1")
STRANGER = Who("org-2", "user-2")
INTEGER = {"type": "integer"}


def new_task(ctx: Context, type_: str = "test.increment", **body: Any) -> str:
    return app.create_task(ctx, ME, TaskBody(**({"name": type_, "type": type_} | body)), None).task_id


def new_job(ctx: Context, *tasks: str, name: str = "job") -> str:
    job_id = app.create_job(ctx, ME, JobBody(name), None).job_id
    app.put_tasks(ctx, ME, job_id, [WantedTask(task_id) for task_id in tasks], None)
    return job_id


def new_workflow(ctx: Context, *jobs: str, **body: Any) -> str:
    workflow_id = app.create_workflow(ctx, ME, WorkflowBody(**({"name": "흐름"} | body)), None).workflow_id
    app.put_jobs(ctx, ME, workflow_id, [WantedJob(job_id) for job_id in jobs], None)
    return workflow_id


def newest(ctx: Context, workflow_id: str) -> Definition:
    return app.get_definition(ctx, ME.organization_id, workflow_id, 0).definition


def keys(ctx: Context, workflow_id: str) -> list[str]:
    return [task.key for job in newest(ctx, workflow_id).jobs for task in job.tasks]


def count(ctx: Context, table: sa.Table) -> int:
    with ctx.database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def fields(caught: "pytest.ExceptionInfo[Invalid]") -> list[tuple[str, str]]:
    return [(field.field, field.code) for field in caught.value.fields]


# --- versions ---------------------------------------------------------------------------------------------------------


def test_every_save_that_changes_a_run_makes_a_version_and_no_other_does(ctx: Context) -> None:
    task_id = new_task(ctx)
    job_id = new_job(ctx, task_id)
    workflow_id = new_workflow(ctx, job_id)
    assert newest(ctx, workflow_id).version == 1
    body = app.get_task(ctx, ME, task_id).body
    app.update_task(ctx, ME, task_id, replace(body, description="only words"), None)
    app.update_workflow(ctx, ME, workflow_id, WorkflowBody("흐름", description="only words"), None)
    assert newest(ctx, workflow_id).version == 1
    app.update_task(ctx, ME, task_id, replace(body, parameters={"n": 1}), None)
    assert newest(ctx, workflow_id).version == 2
    app.update_task(ctx, ME, task_id, replace(body, parameters={"n": True}), None)
    app.update_workflow(ctx, ME, workflow_id, WorkflowBody("흐름", default_config={"test_increment": {"n": 5}}), None)
    app.put_tasks(ctx, ME, job_id, [WantedTask(task_id), WantedTask(task_id)], None)
    app.update_job(ctx, ME, job_id, JobBody("새 이름"), None)
    assert newest(ctx, workflow_id).version == 6
    assert newest(ctx, workflow_id).jobs[0].name == "새 이름"


def test_a_version_never_changes(ctx: Context) -> None:
    task_id = new_task(ctx, parameters={"n": 1})
    workflow_id = new_workflow(ctx, new_job(ctx, task_id))
    first = newest(ctx, workflow_id)
    app.update_task(ctx, ME, task_id, TaskBody("other", "test.increment", parameters={"n": 2}), None)
    app.delete_workflow(ctx, ME, workflow_id, None)
    # the runs that began with it need it still
    kept = app.get_definition(ctx, ME.organization_id, workflow_id, 1)
    assert (kept.definition, kept.active) == (first, False)


def test_over_what_a_task_fans_out_is_kept_with_its_placement_and_its_version(ctx: Context) -> None:
    task_id = new_task(ctx, parameters={"n": "${{ item.n }}"})
    job_id = app.create_job(ctx, ME, JobBody("job"), None).job_id
    rows: list[Any] = [{"n": 1, "글": ["😀", None]}]
    wanted = WantedTask(task_id, key="each", for_each=rows, max_parallel=4)
    (placed,) = app.put_tasks(ctx, ME, job_id, [wanted], None).tasks
    assert (placed.for_each, placed.max_parallel) == (rows, 4)
    workflow_id = new_workflow(ctx, job_id)
    app.put_tasks(ctx, ME, job_id, [replace(wanted, for_each="${{ run.input.rows }}", max_parallel=None)], None)
    first, second = (
        app.get_definition(ctx, ME.organization_id, workflow_id, version).definition.jobs[0].tasks[0]
        for version in (1, 2)
    )
    assert (first.for_each, first.max_parallel) == (rows, 4)
    assert (second.for_each, second.max_parallel) == ("${{ run.input.rows }}", 0)
    assert newest(ctx, workflow_id).version == 2


def test_limits_are_kept_with_what_they_limit_and_with_its_version(ctx: Context) -> None:
    task_id = new_task(ctx)
    job_id = app.create_job(ctx, ME, JobBody("job"), None).job_id
    wanted = WantedTask(task_id, key="one", concurrency_key="가게-${{ run.input.shop }}", concurrency_limit=4)
    (placed,) = app.put_tasks(ctx, ME, job_id, [wanted], None).tasks
    assert (placed.concurrency_key, placed.concurrency_limit) == ("가게-${{ run.input.shop }}", 4)
    limits = (Concurrency(3, Overflow.SKIP), Concurrency(3, Overflow.CANCEL), Concurrency(4, Overflow.CANCEL), None)
    workflow_id = new_workflow(ctx, job_id, concurrency=limits[0])
    for limit in limits[1:]:
        saved = app.update_workflow(ctx, ME, workflow_id, WorkflowBody("흐름", concurrency=limit), None)
        assert saved.body.concurrency == limit
    app.put_tasks(ctx, ME, job_id, [replace(wanted, concurrency_limit=None)], None)
    app.put_tasks(ctx, ME, job_id, [WantedTask(task_id, key="one")], None)
    kept = [app.get_definition(ctx, ME.organization_id, workflow_id, version).definition for version in range(1, 7)]
    assert tuple(each.concurrency for each in kept[:4]) == limits
    tasks = [each.jobs[0].tasks[0] for each in kept[3:]]
    assert [(spec.concurrency_key, spec.concurrency_limit) for spec in tasks] == [
        ("가게-${{ run.input.shop }}", 4),
        ("가게-${{ run.input.shop }}", 1),
        (None, None),
    ]
    # the same again is no version
    app.update_workflow(ctx, ME, workflow_id, WorkflowBody("흐름"), None)
    assert newest(ctx, workflow_id).version == 6


def test_a_version_of_before_runs_shared_limits_is_still_the_newest(ctx: Context) -> None:
    task_id = new_task(ctx)
    workflow_id = new_workflow(ctx, new_job(ctx, task_id))
    with ctx.database.write() as connection:
        (snapshot,) = connection.execute(sa.select(definition_version.c.snapshot)).scalars()
        del snapshot["concurrency"]
        for name in ("concurrency_key", "concurrency_limit"):
            del snapshot["jobs"][0]["tasks"][0][name]
        connection.execute(definition_version.update().values(snapshot=snapshot))
    app.update_workflow(ctx, ME, workflow_id, WorkflowBody("흐름", description="only words"), None)
    assert (newest(ctx, workflow_id).version, newest(ctx, workflow_id).concurrency) == (1, None)


@pytest.mark.parametrize("text", ["${{ item.n }}", "${{ size(run.input.rows.map(item, item.n)) }}"])
def test_a_task_alone_may_take_item_for_the_lists_item_or_for_a_loops(ctx: Context, text: str) -> None:
    task_id = new_task(ctx, parameters={"n": text})
    job_id = app.create_job(ctx, ME, JobBody("job"), None).job_id
    fits = WantedTask(task_id, for_each=[{"n": 1}] if "item.n }}" in text else None)
    app.put_tasks(ctx, ME, job_id, [fits], None)
    with pytest.raises(Invalid):
        app.put_tasks(ctx, ME, job_id, [replace(fits, for_each=None if fits.for_each else [{"n": 1}])], None)
    with pytest.raises(Invalid) as caught:
        new_task(ctx, parameters={"n": text, "m": "${{ run.secret }}"})
    assert fields(caught) == [("body.parameters.m", "expression_unknown_name")]


def test_a_version_of_before_tasks_fanned_out_is_still_the_newest(ctx: Context) -> None:
    task_id = new_task(ctx)
    workflow_id = new_workflow(ctx, new_job(ctx, task_id))
    with ctx.database.write() as connection:
        (snapshot,) = connection.execute(sa.select(definition_version.c.snapshot)).scalars()
        for name in ("for_each", "max_parallel"):
            del snapshot["jobs"][0]["tasks"][0][name]
        connection.execute(definition_version.update().values(snapshot=snapshot))
    app.update_task(ctx, ME, task_id, TaskBody("test.increment", "test.increment", description="only words"), None)
    (spec,) = newest(ctx, workflow_id).jobs[0].tasks
    assert (newest(ctx, workflow_id).version, spec.for_each, spec.max_parallel) == (1, None, 0)


def test_editing_a_task_makes_versions_of_all_workflows_that_use_it_or_of_none(ctx: Context) -> None:
    shared = new_task(ctx)
    first = new_workflow(ctx, new_job(ctx, shared, name="one"))
    reader = new_task(ctx, name="reader", parameters={"n": "${{ tasks.test_increment.output.n }}"})
    second = new_workflow(ctx, new_job(ctx, shared, name="two"), new_job(ctx, reader))
    app.update_task(ctx, ME, shared, TaskBody("t", "test.increment", parameters={"n": 7}), None)
    assert [newest(ctx, workflow_id).version for workflow_id in (first, second)] == [2, 2]
    with pytest.raises(Invalid) as caught:
        app.update_task(ctx, ME, shared, TaskBody("t", "test.increment", parameters={"n": "${{ run.x }}"}), None)
    assert ("body.parameters.n", "expression_unknown_name") in fields(caught)
    assert app.get_task(ctx, ME, shared).body.parameters == {"n": 7}
    assert [newest(ctx, workflow_id).version for workflow_id in (first, second)] == [2, 2]


def test_what_another_workflow_needs_cannot_be_taken_away(ctx: Context) -> None:
    source, reader = new_task(ctx), new_task(ctx, parameters={"n": "${{ tasks.test_increment.output.n }}"})
    early = new_job(ctx, source)
    workflow_id = new_workflow(ctx, early, new_job(ctx, reader))
    with pytest.raises(Invalid) as caught:
        app.put_tasks(ctx, ME, early, [WantedTask(source, key="renamed")], None)
    place = f"workflows.{workflow_id}.tasks.test_increment_2.parameters.n"
    assert fields(caught) == [(place, "task_unknown")]
    assert keys(ctx, workflow_id) == ["test_increment", "test_increment_2"]


def test_keys_stay_with_their_placements_over_edits(ctx: Context) -> None:
    a, b = new_task(ctx, "keyword.trend"), new_task(ctx, "product.search")
    job_id = new_job(ctx, a, a, b)
    workflow_id = new_workflow(ctx, job_id)
    assert keys(ctx, workflow_id) == ["keyword_trend", "keyword_trend_2", "product_search"]
    placed = app.put_tasks(ctx, ME, job_id, [WantedTask(b), WantedTask(a), WantedTask(a, key="mine")], None)
    assert [placement.key for placement in placed.tasks] == ["product_search", "keyword_trend", "mine"]
    assert keys(ctx, workflow_id) == ["product_search", "keyword_trend", "mine"]


def test_a_composition_may_be_made_in_any_order(ctx: Context) -> None:
    job_id = app.create_job(ctx, ME, JobBody("job"), None).job_id
    config = {"test_increment": {"n": 1}}
    workflow = app.create_workflow(ctx, ME, WorkflowBody("w", default_config=config), None)
    assert [problem.code for problem in workflow.problems] == ["workflow_empty", "placement_unknown"]
    composed = app.put_jobs(ctx, ME, workflow.workflow_id, [WantedJob(job_id)], None)
    assert [problem.code for problem in composed.workflow.problems] == ["job_empty", "placement_unknown"]
    with pytest.raises(Conflict, match="workflow_empty"):
        newest(ctx, workflow.workflow_id)
    app.put_tasks(ctx, ME, job_id, [WantedTask(new_task(ctx))], None)
    assert newest(ctx, workflow.workflow_id).jobs[0].tasks[0].parameters == {"n": 1}
    # and taken apart again
    app.put_tasks(ctx, ME, job_id, [], None)
    with pytest.raises(Conflict, match="workflow_empty"):
        newest(ctx, workflow.workflow_id)
    assert app.get_definition(ctx, "org-1", workflow.workflow_id, 1).definition.version == 1


def test_two_who_save_at_once_leave_one_truth(ctx: Context) -> None:
    tasks = [new_task(ctx, name=f"t{number}") for number in range(8)]
    workflow_id = new_workflow(ctx, new_job(ctx, *tasks))
    at_once = threading.Barrier(len(tasks))

    def edit(number: int) -> None:
        at_once.wait(20)
        body = TaskBody(f"t{number}", "test.increment", parameters={"n": number})
        app.update_task(ctx, ME, tasks[number], body, None)

    with ThreadPoolExecutor(len(tasks)) as pool:
        list(pool.map(edit, range(len(tasks))))
    definition = newest(ctx, workflow_id)
    assert definition.version == 9
    assert [task.parameters["n"] for task in definition.jobs[0].tasks] == list(range(8))


# --- what is refused --------------------------------------------------------------------------------------------------


def test_another_organisation_finds_nothing(ctx: Context) -> None:
    task_id = new_task(ctx)
    job_id = new_job(ctx, task_id)
    workflow_id = new_workflow(ctx, job_id)
    attempts: list[Callable[[], object]] = [
        lambda: app.get_workflow(ctx, STRANGER, workflow_id),
        lambda: app.get_composed(ctx, STRANGER, workflow_id),
        lambda: app.update_workflow(ctx, STRANGER, workflow_id, WorkflowBody("x"), None),
        lambda: app.delete_workflow(ctx, STRANGER, workflow_id, None),
        lambda: app.set_active(ctx, STRANGER, workflow_id, False, None),
        lambda: app.put_jobs(ctx, STRANGER, workflow_id, [], None),
        lambda: app.get_job(ctx, STRANGER, job_id),
        lambda: app.update_job(ctx, STRANGER, job_id, JobBody("x"), None),
        lambda: app.delete_job(ctx, STRANGER, job_id, None),
        lambda: app.put_tasks(ctx, STRANGER, job_id, [], None),
        lambda: app.get_task(ctx, STRANGER, task_id),
        lambda: app.update_task(ctx, STRANGER, task_id, TaskBody("x", "y"), None),
        lambda: app.delete_task(ctx, STRANGER, task_id, None),
        lambda: app.get_definition(ctx, "org-2", workflow_id, 0),
        lambda: app.get_definition(ctx, "org-2", workflow_id, 1),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            attempt()
    theirs = app.create_job(ctx, STRANGER, JobBody("theirs"), None).job_id
    with pytest.raises(Invalid) as caught:
        app.put_tasks(ctx, STRANGER, theirs, [WantedTask(task_id)], None)
    assert fields(caught) == [("body[0].task_id", "task_not_found")]
    for listing in (app.list_workflows, app.list_tasks):
        assert listing(ctx, STRANGER, Query()).items == ()
    assert newest(ctx, workflow_id).version == 1


def test_what_is_placed_cannot_be_deleted_until_it_is_free(ctx: Context) -> None:
    task_id = new_task(ctx)
    job_id = new_job(ctx, task_id, name="수집")
    workflow_id = new_workflow(ctx, job_id, name="일간")
    with pytest.raises(Conflict) as caught:
        app.delete_task(ctx, ME, task_id, None)
    assert (caught.value.code, caught.value.params) == ("task_in_use", {"jobs": f"수집 ({job_id})"})
    with pytest.raises(Conflict) as caught:
        app.delete_job(ctx, ME, job_id, None)
    assert (caught.value.code, caught.value.params) == ("job_in_use", {"workflows": f"일간 ({workflow_id})"})
    app.delete_workflow(ctx, ME, workflow_id, None)
    app.delete_job(ctx, ME, job_id, None)
    app.delete_task(ctx, ME, task_id, None)
    assert (count(ctx, workflow_job), count(ctx, job_task), count(ctx, definition_version)) == (0, 0, 1)


def test_unknown_ids_wrong_keys_and_doubles_are_named(ctx: Context) -> None:
    task_id = new_task(ctx)
    job_id = new_job(ctx)
    wanted = [WantedTask(task_id, key="a"), WantedTask("nobody", key="A"), WantedTask(task_id, key="a")]
    with pytest.raises(Invalid) as caught:
        app.put_tasks(ctx, ME, job_id, wanted, None)
    assert fields(caught) == [
        ("body[1].task_id", "task_not_found"),
        ("body[1].key", "key_invalid"),
        ("body[2].key", "key_taken"),
    ]
    with pytest.raises(Invalid) as caught:
        app.put_jobs(ctx, ME, new_workflow(ctx), [WantedJob("nobody")], None)
    assert fields(caught) == [("body[0].job_id", "job_not_found")]


def test_a_cycle_is_refused_where_it_was_said(ctx: Context) -> None:
    task_id = new_task(ctx)
    job_id = new_job(ctx)
    wanted = [WantedTask(task_id, key="a", depends_on=("b",)), WantedTask(task_id, key="b")]
    with pytest.raises(Invalid) as caught:
        app.put_tasks(ctx, ME, job_id, wanted, None)
    assert fields(caught) == [("body[0].depends_on", "cycle")]
    one, two = new_job(ctx, task_id, name="one"), new_job(ctx, task_id, name="two")
    with pytest.raises(Invalid) as caught:
        app.put_jobs(ctx, ME, new_workflow(ctx), [WantedJob(one, depends_on=("two",)), WantedJob(two)], None)
    assert fields(caught) == [("body[0].depends_on", "cycle")]


def test_wrong_default_config_is_refused_at_either_save(ctx: Context) -> None:
    job_id = new_job(ctx, new_task(ctx))
    workflow_id = new_workflow(ctx, job_id)
    config = {"nobody": {"n": 1}}
    with pytest.raises(Invalid) as caught:
        app.update_workflow(ctx, ME, workflow_id, WorkflowBody("w", default_config=config), None)
    assert fields(caught) == [("body.default_config.nobody", "placement_unknown")]
    other = app.create_workflow(ctx, ME, WorkflowBody("w", default_config=config), None).workflow_id
    with pytest.raises(Invalid) as caught:
        app.put_jobs(ctx, ME, other, [WantedJob(job_id)], None)
    assert fields(caught) == [(f"workflows.{other}.default_config.nobody", "placement_unknown")]


def test_an_update_of_an_older_revision_is_refused(ctx: Context) -> None:
    workflow_id = new_workflow(ctx)
    assert app.get_workflow(ctx, ME, workflow_id).stamp.revision == 2
    with pytest.raises(Outdated):
        app.update_workflow(ctx, ME, workflow_id, WorkflowBody("late"), {1})
    assert app.update_workflow(ctx, ME, workflow_id, WorkflowBody("now"), {2}).stamp.revision == 3


def test_one_idempotency_key_makes_one_thing(ctx: Context) -> None:
    first = app.create_workflow(ctx, ME, WorkflowBody("w"), "key")
    assert app.create_workflow(ctx, ME, WorkflowBody("w"), "key").workflow_id == first.workflow_id
    with pytest.raises(Invalid, match="idempotency_key_reused"):
        app.create_workflow(ctx, ME, WorkflowBody("other"), "key")
    assert app.create_workflow(ctx, STRANGER, WorkflowBody("w"), "key").workflow_id != first.workflow_id
    assert app.create_task(ctx, ME, TaskBody("t", "x"), "key") == app.create_task(ctx, ME, TaskBody("t", "x"), "key")
    assert app.create_job(ctx, ME, JobBody("t"), "key") == app.create_job(ctx, ME, JobBody("t"), "key")


def test_an_input_schema_must_be_one(ctx: Context) -> None:
    with pytest.raises(Invalid) as caught:
        app.create_workflow(ctx, ME, WorkflowBody("w", input_schema={"type": "objekt"}), None)
    assert fields(caught) == [("body.input_schema.type", "input_schema_invalid")]


# --- the catalogue ----------------------------------------------------------------------------------------------------


@pytest.fixture
def trend(house: Any, make_task_type: Any) -> Callable[..., None]:
    """Makes the worker know `keyword.trend` with these parameters, one that ends in `_` being required."""

    def know(**properties: Any) -> None:
        house.worker.types = [make_task_type("keyword.trend", **properties)]

    return know


def of_workers(ctx: Context) -> list[TaskType]:
    return [found for found in app.list_task_types(ctx) if found.type not in ENGINE_TYPES]


@pytest.mark.anyio
async def test_what_workers_can_run_is_learned_and_kept_while_they_are_away(
    ctx: Context, house: Any, trend: Callable[..., None]
) -> None:
    trend(source_={"enum": ["list", "naver"]})
    assert await loops.learn_task_types(ctx)
    house.worker.away = True
    assert not await loops.learn_task_types(ctx)
    (known,) = of_workers(ctx)
    assert (known.type, known.queue, known.timeout_s) == ("keyword.trend", "default", 300)
    assert [(error.code, error.retryable) for error in known.errors] == [("timeout", True)]


def test_a_type_that_no_worker_names_for_long_is_forgotten(
    ctx: Context, house: Any, trend: Callable[..., None]
) -> None:
    trend()
    later = replace(ctx, clock=lambda: ctx.clock() + FORGET_TYPES_AFTER * 1.1)
    assert app.refresh_task_types(ctx)
    house.worker.types[0].type = "another"
    assert app.refresh_task_types(ctx)
    assert [known.type for known in of_workers(ctx)] == ["another", "keyword.trend"]
    assert app.refresh_task_types(later)
    assert [known.type for known in of_workers(ctx)] == ["another"]


def test_the_engines_own_types_stand_among_those_of_the_workers(ctx: Context, trend: Callable[..., None]) -> None:
    assert app.list_task_types(ctx) == [], "nothing is known before a worker said something"
    trend()
    app.refresh_task_types(ctx)
    known = [found.type for found in app.list_task_types(ctx)]
    assert known == sorted(["keyword.trend", *ENGINE_TYPES])


def test_an_unknown_type_is_refused_only_after_asking_the_workers_again(
    ctx: Context, house: Any, trend: Callable[..., None], make_task_type: Any
) -> None:
    trend()
    app.refresh_task_types(ctx)
    with pytest.raises(Invalid) as caught:
        new_task(ctx, "brand.new")
    assert fields(caught) == [("body.type", "task_type_unknown")]
    house.worker.types.append(make_task_type("brand.new"))
    assert new_task(ctx, "brand.new")


def test_parameters_that_the_type_does_not_take_are_refused(ctx: Context, trend: Callable[..., None]) -> None:
    trend(source_={"enum": ["list", "naver"]}, seed=INTEGER)
    app.refresh_task_types(ctx)
    with pytest.raises(Invalid) as caught:
        new_task(ctx, "keyword.trend", parameters={"source": "bing", "seed": "x", "y": 1})
    assert sorted(fields(caught)) == [
        ("body.parameters.seed", "schema_type"),
        ("body.parameters.source", "enum"),
        ("body.parameters.y", "parameter_unknown"),
    ]


def test_a_required_value_may_come_later_but_nothing_runs_without_it(ctx: Context, trend: Callable[..., None]) -> None:
    trend(source_={"enum": ["list", "naver"]})
    app.refresh_task_types(ctx)
    workflow_id = new_workflow(ctx, new_job(ctx, new_task(ctx, "keyword.trend")))
    with pytest.raises(Conflict) as caught:
        newest(ctx, workflow_id)
    assert caught.value.code == "workflow_incomplete"
    assert [field.field for field in caught.value.fields] == ["tasks.keyword_trend.parameters.source"]
    config = {"keyword_trend": {"source": "naver"}}
    app.update_workflow(ctx, ME, workflow_id, WorkflowBody("w", default_config=config), None)
    assert newest(ctx, workflow_id).version == 1


def test_a_catalogue_that_became_stricter_does_not_stop_other_repairs(ctx: Context, trend: Callable[..., None]) -> None:
    trend(count={})
    app.refresh_task_types(ctx)
    tasks = [new_task(ctx, "keyword.trend", name=name, parameters={"count": "many"}) for name in ("a", "b")]
    workflow_id = new_workflow(ctx, new_job(ctx, *tasks))
    trend(count=INTEGER)
    app.refresh_task_types(ctx)
    fixed = TaskBody("a", "keyword.trend", parameters={"count": 1})
    app.update_task(ctx, ME, tasks[0], fixed, None)
    with pytest.raises(Conflict, match="workflow_incomplete"):
        newest(ctx, workflow_id)
    app.update_task(ctx, ME, tasks[1], fixed, None)
    assert newest(ctx, workflow_id).version == 2


# --- the scheduler ----------------------------------------------------------------------------------------------------


def told(house: Any) -> list[tuple[str, bool, bool]]:
    return [(request.workflow_id, request.paused, request.deleted) for request in house.scheduler.told]


def test_schedules_stop_and_come_back_with_their_workflow(ctx: Context, house: Any) -> None:
    workflow_id = new_workflow(ctx)
    app.set_active(ctx, ME, workflow_id, False, None)
    assert app.get_workflow(ctx, ME, workflow_id).active is False
    app.set_active(ctx, ME, workflow_id, False, None)
    app.set_active(ctx, ME, workflow_id, True, None)
    app.delete_workflow(ctx, ME, workflow_id, None)
    assert told(house) == [(workflow_id, True, False), (workflow_id, False, False), (workflow_id, True, True)]
    assert count(ctx, pending_notice) == 0


@pytest.mark.anyio
async def test_a_scheduler_that_is_away_is_told_when_it_is_back(ctx: Context, house: Any) -> None:
    workflow_id = new_workflow(ctx)
    house.scheduler.away = True
    app.set_active(ctx, ME, workflow_id, False, None)
    assert await loops.deliver_notices(ctx) == 0
    app.set_active(ctx, ME, workflow_id, True, None)
    app.set_active(ctx, ME, workflow_id, False, None)
    assert count(ctx, pending_notice) == 1
    house.scheduler.away = False
    assert await loops.deliver_notices(ctx) == 1
    # only what is true now
    assert told(house) == [(workflow_id, True, False)]
    assert await loops.deliver_notices(ctx) == 0


def test_a_notice_that_another_replica_overtook_is_followed_by_the_truth(ctx: Context, house: Any) -> None:
    workflow_id = new_workflow(ctx)
    house.scheduler.away = True
    app.set_active(ctx, ME, workflow_id, False, None)
    with ctx.database.read() as connection:
        (stale,) = storage.pending_notices(connection)
    house.scheduler.away = False
    # this replica read the notice; the other one delivers it, and the next
    app.set_active(ctx, ME, workflow_id, True, None)
    assert told(house)[-1] == (workflow_id, False, False)

    def settle(connection: sa.Connection) -> None:
        assert not storage.drop_notice(connection, stale)
        storage.renew_notice(connection, stale, ctx.clock())

    ctx.database.transact(settle)
    assert app.deliver_notices(ctx) == 1
    assert told(house)[-1] == (workflow_id, False, False)


def test_a_notice_that_the_scheduler_refuses_holds_up_no_other(ctx: Context, house: Any) -> None:
    refused, taken = new_workflow(ctx), new_workflow(ctx)
    house.scheduler.away = True
    for workflow_id in (refused, taken):
        app.set_active(ctx, ME, workflow_id, False, None)
    house.scheduler.away = False
    house.scheduler.refuses = refused
    assert app.deliver_notices(ctx) == 1
    assert told(house) == [(taken, True, False)]
    assert count(ctx, pending_notice) == 1


def test_a_notice_is_sent_anew_when_it_was_replaced_while_it_was_sent(ctx: Context, house: Any) -> None:
    workflow_id = new_workflow(ctx)
    house.scheduler.away = True
    app.set_active(ctx, ME, workflow_id, False, None)
    house.scheduler.away = False
    # the person changes their mind while the scheduler is being told
    house.scheduler.meanwhile = lambda: storage_put(ctx, workflow_id)
    assert app.deliver_notices(ctx) == 1
    assert count(ctx, pending_notice) == 1
    assert app.deliver_notices(ctx) == 1
    assert told(house) == [(workflow_id, True, False), (workflow_id, False, False)]


def storage_put(ctx: Context, workflow_id: str) -> None:
    actor = storage.Actor(ME.organization_id, ME.user_id, ctx.clock())
    with ctx.database.write() as connection:
        storage.put_notice(connection, actor, workflow_id, paused=False, deleted=False)


def test_schedules_are_unknown_while_the_scheduler_is_away(ctx: Context, house: Any) -> None:
    assert app.list_schedules(ctx, ME, "w") == []
    house.scheduler.away = True
    assert app.list_schedules(ctx, ME, "w") is None
    with pytest.raises(Unavailable):
        ctx.scheduler.list_schedules("org-1", "w")
