"""Random workflows: several jobs as a DAG, tasks of every kind, and in each task's parameters what it will do.

Some tasks are the engine's own: they wait for a time, for news, for a person, or for a run of another workflow.

`act` tells the simulated worker: how often it fails first, whether that may be retried, how long it takes.
"""

import copy
import random
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import orjson

from execution_service.domain.definition import (
    Backoff,
    Concurrency,
    Definition,
    FailurePolicy,
    JobSpec,
    Overflow,
    Retry,
    TaskSpec,
)
from execution_service.domain.plan import Plan, compile_plan
from execution_service.domain.waits import instant
from simulation.world import T0

ORGANIZATIONS = ("org-a", "org-b")
NEWS = ("news-0", "news-1", "news-2")
"""Names of events."""
QUEUE_LIMITS = {"scarce": 2}
"""So many tasks of a queue run at a time, whoever's they are."""
KEY_LIMITS = {"printer": 1, "press": 2, "${{ run.input.key }}": 2}
"""Concurrency keys and how many tasks run under each at a time; of the last, `run.input.key` says which it is."""


_compiled: "OrderedDict[bytes, Plan]" = OrderedDict()


def compiled(definition: Definition) -> Plan:
    """The plan of a definition; known from then on to whoever asks for one that says the same."""
    name = orjson.dumps(definition)
    if name not in _compiled:
        _compiled[name] = compile_plan(definition, QUEUE_LIMITS)
        while len(_compiled) > 200:
            _compiled.popitem(last=False)
    return _compiled[name]


def draw_definition(chance: random.Random, workflow_id: str) -> Definition:
    jobs: list[JobSpec] = []
    earlier: dict[str, list[str]] = {}
    """Keys of tasks by job."""
    before: dict[str, set[str]] = {}
    shape = chance.choice(["chain", "dag", "dag", "dag", "wide"])
    organization = chance.choice(ORGANIZATIONS)
    for number in range(1 if shape == "wide" else chance.randint(1, 5)):
        name = f"j{number}"
        known = list(earlier)
        after = known[-1:] if shape == "chain" else chance.sample(known, min(len(known), chance.randint(0, 2)))
        before[name] = set(after).union(*(before[other] for other in after))
        reachable = [key for other in sorted(before[name]) for key in earlier[other]]
        tasks = _tasks(chance, shape, number, reachable, organization)
        earlier[name] = [task.key for task in tasks]
        jobs.append(JobSpec(name, tuple(tasks), name=name, depends_on=tuple(after)))
    timeout_s = chance.choice([0.0] * 9 + [5.0, 30.0])
    kept = chance.choice([0.0, 0.0, 0.0, 0.0, 8.0]) / (24 * 3600)
    limit = Concurrency(chance.randint(1, 2), chance.choice(list(Overflow))) if chance.random() < 0.25 else None
    return Definition(
        organization, workflow_id, 1, workflow_id, tuple(jobs), timeout_s=timeout_s, retention_days=kept,
        concurrency=limit,
    )  # fmt: skip


def broken_definitions(organization_id: str) -> list[Definition]:
    """What workflow-service should never hand out, and no run may be made of."""
    first, again = TaskSpec("first", "test.act"), TaskSpec("first", "test.act")
    lost = replace(first, parameters={"n": "${{ tasks.nobody.output }}"})
    stray = TaskSpec("stray", "test.act", depends_on=("first",))
    garbled = replace(first, when="${{ run.input. }}")
    found = {
        "two-tasks": (JobSpec("main", (first, again)),),
        "two-jobs": (JobSpec("main", (first,)), JobSpec("main", (stray,))),
        "two-empty-jobs": (JobSpec("main", ()), JobSpec("main", ())),
        "unknown-task": (JobSpec("main", (lost,)),),
        "other-job": (JobSpec("main", (first,)), JobSpec("second", (stray,))),
        "no-expression": (JobSpec("main", (garbled,)),),
    }
    return [
        Definition(organization_id, f"{organization_id}-broken-{name}", 1, name, jobs) for name, jobs in found.items()
    ]


def child_definitions(organization_id: str) -> list[Definition]:
    """What others start: one that succeeds, one that fails, one that starts itself. A fourth one is not there."""

    def one(name: str, task: TaskSpec, limit: Concurrency | None = None) -> Definition:
        job = JobSpec("main", (TaskSpec("first", "test.act", parameters={"act": {"seconds": 0.02}}), task))
        return Definition(organization_id, f"{organization_id}-{name}", 1, name, (job,), concurrency=limit)

    def act(**said: Any) -> TaskSpec:
        return TaskSpec("last", "test.act", parameters={"act": {"seconds": 0.1, **said}}, depends_on=("first",))

    again = {"workflow_id": f"{organization_id}-child-endless"}
    return [
        one("child-small", act(), Concurrency(4)),
        one("child-failing", act(fails=9, retryable=False)),
        one("child-endless", TaskSpec("last", "workflow.run", parameters=again, depends_on=("first",)), Concurrency(2)),
    ]


def _waiting(chance: random.Random, organization_id: str) -> tuple[str, dict[str, Any]]:
    """The type and parameters of a task that the engine carries out itself; now and then they are none."""
    limit: dict[str, Any] = {"timeout_s": chance.choice([3, 20])} if chance.random() < 0.3 else {}
    if chance.random() < 0.08:
        return copy.deepcopy(chance.choice(_WRONG_WAITS))
    match chance.choice(["wait.time", "wait.event", "human.approval", "human.form", "workflow.run"]):
        case "wait.time":
            if chance.random() < 0.2:
                return "wait.time", {"until": instant(T0 + chance.randint(0, 40) * 1_000_000)}
            return "wait.time", {"seconds": chance.choice([0, 0.3, 2, 9])}
        case "wait.event":
            match = {"of": chance.randint(0, 2)} if chance.random() < 0.5 else {}
            return "wait.event", {"event": chance.choice(NEWS), "match": match, **limit}
        case "human.approval":
            return "human.approval", {"on_reject": chance.choice(["fail", "continue"]), **limit}
        case "human.form":
            return "human.form", {"schema": {"required": ["n"]}, **limit}
        case kind:
            # the endless one ends ten runs deep
            some = ("child-small", "child-small", "child-failing", "child-missing")
            child = "child-endless" if chance.random() < 0.05 else chance.choice(some)
            return kind, {"workflow_id": f"{organization_id}-{child}", "input": {"n": 1}, **limit}


_WRONG_WAITS: list[tuple[str, Any]] = [
    ("wait.time", {}),
    ("wait.time", "soon"),
    ("wait.time", {"seconds": -1}),
    ("wait.time", {"until": "tomorrow"}),
    ("wait.time", {"until": "2027-01-15T08:00:00"}),
    ("wait.event", {"event": ""}),
    ("wait.event", {"event": NEWS[0], "match": 1}),
    ("wait.event", {"event": NEWS[0], "timeout_s": True}),
    ("human.approval", {"on_reject": "shout"}),
    ("human.form", {"schema": []}),
    ("workflow.run", {"workflow_id": 1}),
    ("workflow.run", {"workflow_id": "some", "input": []}),
]
"""Parameters that cannot be waited for."""


def _tasks(
    chance: random.Random, shape: str, number: int, reachable: list[str], organization_id: str
) -> list[TaskSpec]:
    tasks: list[TaskSpec] = []
    ordered: dict[str, set[str]] = {}
    count = chance.randint(8, 20) if shape == "wide" else chance.randint(0 if chance.random() < 0.1 else 2, 8)
    for index in range(count):
        key = f"t{number}_{index}"
        known = list(ordered)
        if shape == "chain":
            after = known[-1:]
        elif shape == "wide":
            after = [] if index == 0 else known if index == count - 1 else known[:1]
        else:
            after = chance.sample(known, min(len(known), chance.randint(0, 2)))
        ordered[key] = set(after).union(*(ordered[other] for other in after))
        readable = sorted(ordered[key]) + reachable
        kind = "test.act"
        parameters: Any = {"act": _act(chance)}
        if chance.random() < 0.14:
            kind, parameters = _waiting(chance, organization_id)
        items = _items(chance, kind, parameters, readable) if chance.random() < 0.08 else None
        for other in chance.sample(readable, min(len(readable), chance.randint(0, 3))):
            if not isinstance(parameters, dict):
                break
            optional = chance.random() < 0.3
            parameters[other] = (
                f"${{{{ optional(tasks.{other}.output, null) }}}}" if optional else f"${{{{ tasks.{other}.output }}}}"
            )
        if chance.random() < 0.2 and isinstance(parameters, dict):
            parameters["n"] = chance.choice(_VALUES if chance.random() < 0.96 else _RARE_VALUES)
        scope = None
        if chance.random() < 0.04:
            scope = chance.choice(list(KEY_LIMITS) if chance.random() < 0.9 else _WRONG_KEYS)
        when = None
        if chance.random() < 0.15:
            asked = chance.choice(readable) if readable else None
            texts = ["run.input.n > 0", "run.input.n < 0", "run.input.m > 0" if chance.random() < 0.2 else "true"]
            if asked:
                texts += [f"tasks.{asked}.output != null", f"optional(tasks.{asked}.output, null) != null"]
            when = f"${{{{ {chance.choice(texts)} }}}}"
        tasks.append(
            TaskSpec(
                key,
                kind,
                name=key,
                parameters=parameters,
                depends_on=tuple(after),
                failure_policy=chance.choice(list(FailurePolicy)),
                retry=Retry(
                    chance.choice([1, 1, 2, 4]),
                    chance.choice(list(Backoff)),
                    delay_s=chance.choice([0.0, 0.1, 2.0]),
                    jitter=chance.choice([0.0, 0.5]),
                ),
                timeout_s=chance.choice([0.0, 2.0, 6.0]),
                queue_timeout_s=chance.choice([0.0] * 24 + [1.0, 5.0]),
                heartbeat_s=1.0 if "'silent'" in str(parameters) else chance.choice([0.0, 1.0]),
                queue=chance.choice(["default"] * 12 + ["gpu"] * 5 + ["scarce"]),
                priority=chance.randint(1, 5),
                when=when,
                for_each=items,
                max_parallel=chance.choice([0, 1, 2, 3]) if items is not None else 0,
                concurrency_key=scope,
                concurrency_limit=KEY_LIMITS.get(scope or "", 1),
            )
        )
    return tasks


_VALUES = ["${{ run.input.n + 1 }}", "${{ run.input.n + 1 }}", "${{ now }}", "${{ optional(run.input.m, 0) }}"]
_RARE_VALUES = ["${{ run.input.m }}", {"a": "${{ run.input.long }}", "b": "${{ run.input.long }}"}]
"""Not there; so large that it is kept apart."""


_WRONG_KEYS = ["${{ run.input.n > 0 }}", "${{ run.input.m }}"]
"""No text; not there."""


def _items(chance: random.Random, kind: str, parameters: Any, readable: list[str]) -> Any:
    """What a task runs over; its parameters then say what they take from the item."""
    if kind == "test.act":
        parameters["item"] = "${{ item }}"
        parameters["act"] |= {"seconds": 0.02, "fails": "${{ item.fails }}", "retryable": True}
        parameters["act"].pop("large", None)
    if chance.random() < 0.6:
        some = [_item(chance, number) for number in range(chance.choice([0, 1, 2, 4, 9]))]
        return [*some, "${{ run.input.items[0] }}"] if chance.random() < 0.3 else some
    if readable and chance.random() < 0.3:
        return f"${{{{ tasks.{chance.choice(readable)}.output.list }}}}"
    wrong = chance.random() < 0.3
    return chance.choice(_WRONG_LISTS if wrong else ["${{ run.input.items }}", "${{ run.input.none }}"])


_WRONG_LISTS = ["${{ run.input.n }}", "${{ run.input.m }}", "${{ run.input.many }}"]
"""No list, not there, too many."""


def _item(chance: random.Random, number: int) -> dict[str, Any]:
    return {"number": number, "fails": chance.choice([0] * 12 + [1, 1, 9])}


def draw_input(chance: random.Random, definition: Definition) -> dict[str, Any]:
    """What a run is given; large values only where they are named."""
    said = orjson.dumps(definition)
    large = {"long": "x" * 140_000, "many": [0] * 10_001}
    return {
        "n": 1,
        "key": chance.choice(["red", "green"]),
        "none": [],
        "items": [_item(chance, number) for number in range(chance.randint(1, 5))],
        **{name: value for name, value in large.items() if f"run.input.{name}".encode() in said},
    }


def _act(chance: random.Random) -> dict[str, Any]:
    act: dict[str, Any] = {
        "seconds": chance.choice([0.001, 0.001, 0.002, 0.02, 0.2, 1.5, 8.0 if chance.random() < 0.2 else 0.1])
    }
    if chance.random() < 0.06:
        act |= {"fails": chance.choice([1, 1, 2, 9]), "retryable": chance.random() < 0.7}
    if chance.random() < 0.05:
        act["deaf"] = True  # it does not hear a cancel
    if chance.random() < 0.04:
        act |= {"silent": True, "seconds": chance.choice([0.2, 1.5, 1.5])}  # it gives no sign of life
    if chance.random() < 0.015:
        act["large"] = chance.choice(["large", "large", "too"])
    return act
