"""The workflows that the load starts, and what each of their tasks must be given and must give.

Every task may be tried again: a task whose worker was killed twice has failed that attempt, which is no fault of the
platform. Expressions are whole values (`${{ tasks.a.output.n }}`), so that what they must give is told without CEL.
"""

import re
from collections.abc import Mapping
from typing import Any

import httpx

from bench.stack import Stack

RETRY = {"max_attempts": 8, "backoff": "fixed", "delay_s": 0.5}

Placements = list[dict[str, Any]]

QUEUE, QUEUE_LIMIT = "scarce", 3
"""A queue of which the whole installation runs so many tasks at a time."""
KEY_LIMIT, RUNS_LIMIT, PARALLEL = 2, 2, 8
LARGE = 300_000
"""Bytes of an output that goes by reference."""
EVENT = "chaos"


def _n(key: str, name: str = "n") -> str:
    return f"${{{{ tasks.{key}.output.{name} }}}}"


def _given(name: str) -> str:
    return f"${{{{ run.input.{name} }}}}"


def _task(key: str, type: str, after: list[str] | None = None, **parameters: Any) -> dict[str, Any]:
    ordered = {} if after is None else {"depends_on": after}
    return {"key": key, "type": type, "parameters": parameters, "retry": RETRY, **ordered}


def _span(key: str = "span") -> dict[str, Any]:
    return _task(key, "test.span", n=_FIRST, seconds=_given("seconds"))


def _list() -> dict[str, Any]:
    parameters = {name: f"${{{{ item.{name} }}}}" for name in ("n", "seconds", "fails", "needs")}
    return {
        **_task("each", "test.span"),
        "parameters": parameters,
        "for_each": _given("list"),
        "max_parallel": PARALLEL,
    }


_FIRST = _given("n")
_KEYED: dict[str, Any] = {"concurrency_key": "site-${{ run.input.site }}", "concurrency_limit": KEY_LIMIT}
_CHAIN = 8
_WIDTH = 10

WORKFLOWS: dict[str, Placements] = {
    "chain": [
        _task("t0", "test.increment", n=_FIRST),
        *(_task(f"t{number}", "test.increment", n=_n(f"t{number - 1}")) for number in range(1, _CHAIN)),
    ],
    "fan": [
        _task("first", "test.increment", [], n=_FIRST),
        *(_task(f"p{number}", "test.increment", ["first"], n=_n("first")) for number in range(_WIDTH)),
        _task("join", "test.increment", [f"p{number}" for number in range(_WIDTH)], n=_n(f"p{_WIDTH - 1}")),
    ],
    "retry": [
        _task("fail", "test.fail", times=2),
        _task("after", "test.increment", n=_n("fail", "attempt")),
    ],
    "sleep": [
        _task("before", "test.increment", n=_FIRST),
        _task("sleep", "test.sleep", seconds=_given("seconds")),
        _task("after", "test.increment", n=_n("before")),
    ],
    "effect": [
        _task("before", "test.increment", n=_FIRST),
        _task("effect", "test.effect", n=_n("before"), seconds=_given("seconds")),
        _task("after", "test.increment", n=_n("effect")),
    ],
    "person": [
        _task("approve", "human.approval", title="Go on?", shown=_FIRST),
        _task("form", "human.form", title="How many?", schema={"type": "object", "required": ["n"]}),
        _task("after", "test.increment", n=_n("form", "values.n")),
    ],
    "timer": [
        _task("wait", "wait.time", seconds=_given("seconds")),
        _task("after", "test.increment", n=_FIRST),
    ],
    "event": [
        _task("wait", "wait.event", event=EVENT, match={"key": _given("key")}),
        _task("after", "test.increment", n=_n("wait", "data.n")),
    ],
    "list": [_list(), _task("after", "test.span", value="${{ tasks.each.output }}")],
    "parent": [
        _task("before", "test.increment", n=_FIRST),
        _task("child", "workflow.run", workflow_id="@chain", input={"n": _n("before"), "key": _given("key")}),
        _task("after", "test.increment", n=_n("child", f"output.t{_CHAIN - 1}.n")),
    ],
    "queued": [_span(), _span("again")],
    "skipped": [_span(), _span("again")],
    "replaced": [_span(), _span("again")],
    "keyed": [_span() | _KEYED],
    "scarce": [_span() | {"queue": QUEUE}],
    "both": [_span() | {"queue": QUEUE} | _KEYED],
    "large": [
        _task("large", "test.span", n=_FIRST, bytes=LARGE),
        _task("hand", "test.span", value=_n("large", "filler")),
        _task("after", "test.increment", n=_n("large")),
    ],
    "broken": [
        _task("before", "test.increment", n=_FIRST),
        _task("span", "test.span", n=_n("before"), needs=_given("key")),
        _task("after", "test.increment", n=_n("span")),
    ],
    "gap": [_list()],
}

CONCURRENCY = {
    name: {"limit": RUNS_LIMIT, "overflow": overflow}
    for name, overflow in (("queued", "queue"), ("skipped", "skip"), ("replaced", "cancel"))
}
DEALT = {
    **dict.fromkeys(("chain", "fan", "effect"), 4), **dict.fromkeys(("retry", "sleep", "person", "event"), 3),
    **dict.fromkeys(("timer", "parent", "broken", "list"), 2), "large": 1, "gap": 1,
}  # fmt: skip
"""How many starts of each there are in a deck of the load."""
BURSTS = {"queued": 5, "skipped": 4, "replaced": 4, "keyed": 5, "scarce": 5, "both": 3}
"""Those whose limits are to be felt: how many there are, all at once."""
MENDED = frozenset({"broken", "gap"})
"""They fail until somebody makes what they need; then they are run again."""
CHILD = "chain"
"""What `parent` runs."""


def compose(stack: Stack) -> dict[str, str]:
    """Makes the workflows; name → id."""
    with stack.client() as api:
        made: dict[str, str] = {}
        # whoever starts another comes after it
        for name in sorted(WORKFLOWS, key=lambda name: name == "parent"):
            made[name] = _compose(api, name, [_place(api, one, made) for one in WORKFLOWS[name]])
        return made


def _place(api: httpx.Client, placement: dict[str, Any], made: Mapping[str, str]) -> dict[str, Any]:
    """Makes the task and says where it stands."""
    task: dict[str, Any] = {name: placement[name] for name in ("type", "retry", "queue") if name in placement}
    said = {"name": placement["key"], **task, "parameters": _named(placement["parameters"], made)}
    where = {name: value for name, value in placement.items() if name not in (*task, "parameters")}
    return {"task_id": _post(api, "/tasks", said)["task_id"], **where}


def _named(parameters: dict[str, Any], made: Mapping[str, str]) -> dict[str, Any]:
    """`@chain` as the workflow's id."""
    return {k: made[v[1:]] if isinstance(v, str) and v.startswith("@") else v for k, v in parameters.items()}


def _compose(api: httpx.Client, name: str, placed: Placements) -> str:
    job = _post(api, "/jobs", {"name": name})["job_id"]
    if (answer := api.put(f"/jobs/{job}/tasks", json=placed)).is_error:
        raise RuntimeError(f"{name}: {answer.status_code} {answer.text[:500]}")
    said = {"name": name} | ({"concurrency": CONCURRENCY[name]} if name in CONCURRENCY else {})
    workflow = str(_post(api, "/workflows", said)["workflow_id"])
    api.put(f"/workflows/{workflow}/jobs", json=[{"job_id": job}]).raise_for_status()
    return workflow


def _post(api: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(path, json=body)
    if answer.is_error:
        raise RuntimeError(f"{path} {body}: {answer.status_code} {answer.text[:500]}")
    found: dict[str, Any] = answer.json()
    return found


# --- what must come of them -----------------------------------------------------------------------------------------

_EXPRESSION = re.compile(r"\$\{\{ (run\.input|item|tasks\.(\w+)\.output)((?:\.\w+)*) \}\}")


def given(value: Any, run_input: dict[str, Any], outputs: Mapping[str, Any], item: Any = None) -> Any:
    """What parameters must have become. Raises KeyError when what they name is missing."""
    if isinstance(value, dict):
        return {name: given(inner, run_input, outputs, item) for name, inner in value.items()}
    if not isinstance(value, str) or (asked := _EXPRESSION.fullmatch(value)) is None:
        return value
    found: Any = outputs[asked[2]] if asked[2] else item if asked[1] == "item" else run_input
    for name in asked[3].split(".")[1:]:
        found = found[name]
    return found


def made(type: str, parameters: dict[str, Any], attempt: int) -> dict[str, Any]:
    """The output that a successful attempt must have. Raises ValueError for a type whose output others decide."""
    match type:
        case "test.increment":
            return {"n": parameters["n"] + 1}
        case "test.effect":
            return {"n": parameters["n"]}
        case "test.sleep":
            return {"slept": parameters["seconds"]}
        case "test.fail":
            return {"attempt": max(attempt, parameters["times"] + 1)}
        case "test.span":
            filler = "x" * parameters.get("bytes", 0)
            return {"n": parameters.get("n", 0), "filler": filler, "value": parameters.get("value")}
    raise ValueError(type)
