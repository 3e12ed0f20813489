"""What people do to the runs of the load: they answer, tell of events, cancel, pause and resume, and run again.

Each is asked until it is answered. An answer that was lost on its way may have been acted on: what a second try is told
then (409) says no more than that it is over.
"""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chaos.caller import Caller
from chaos.workflows import EVENT, WORKFLOWS

if TYPE_CHECKING:
    from chaos.load import Start

LOOK_S, LOOK_MOST_S = 0.5, 5.0
"""Between two looks at a run: the longer it goes on, the longer. Many slow runs must not become as many requests."""
_ENDED = {"SUCCESS", "FAILED", "CANCELLED"}


@dataclass
class Done:
    """What was done to a run. `asked`: to cancel; `cancelled`: that was accepted; `paused`: as often as accepted.

    `said`: of each task that asks a person, the comments of the answers that were accepted; `left`: what was never
    answered, or answered as it must not be.
    """

    asked: bool = False
    cancelled: bool = False
    paused: int = 0
    said: dict[str, list[str]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


async def see_through(caller: Caller, start: "Start", run_id: str) -> None:
    """All that is done to this run; what was begun and not answered stays in `left`."""
    done, doing = start.done, []
    if start.deed == "cancel":
        doing.append(("cancel", _cancel(caller, start, run_id)))
    if start.deed == "pause":
        doing.append(("pause", _pause(caller, start, run_id)))
    if start.workflow == "event":
        doing.append(("event", _tell(caller, start)))
    if start.workflow == "person":
        doing.append(("answer", _answer(caller, start, run_id)))
    done.left += [name for name, _ in doing]
    await asyncio.gather(*(work for _, work in doing))
    done.left = done.left[len(doing) :]


async def until_ended(caller: Caller, run_id: str) -> str:
    pause = LOOK_S
    while True:
        state = str((await _look(caller, run_id))["state"])
        if state in _ENDED:
            return state
        pause = await _pass(pause)


async def _pass(pause: float) -> float:
    """Lets so much time pass; how much the next time."""
    await asyncio.sleep(pause)
    return min(pause * 1.5, LOOK_MOST_S)


def rerun_of(start: "Start") -> dict[str, Any]:
    """How a run that lacked something is run again."""
    if start.workflow == "broken":
        return {"mode": "failed"} if start.input["site"] else {"mode": "task", "from_task": "span"}
    item = next(number for number, item in enumerate(start.input["list"]) if item["needs"])
    return {"mode": "item", "task": "each", "item": item} if start.input["site"] else {"mode": "failed"}


async def _look(caller: Caller, run_id: str) -> dict[str, Any]:
    while True:
        status, said, _ = await caller.ask("GET", f"/workflow-runs/{run_id}")
        if status == 200:
            return said
        await asyncio.sleep(LOOK_S)  # 404 of a run that was accepted: the audit will say so


def _expect(start: "Start", what: str, status: int, said: Any) -> None:
    if status not in (202, 409):
        start.done.left.append(f"{what}: {status} {str(said)[:300]}")


async def _cancel(caller: Caller, start: "Start", run_id: str) -> None:
    await asyncio.sleep(start.deed_after_s)
    start.done.asked = True
    status, said, _ = await caller.ask("POST", f"/workflow-runs/{run_id}/cancel")
    start.done.cancelled = status == 202
    _expect(start, "cancel", status, said)


async def _pause(caller: Caller, start: "Start", run_id: str) -> None:
    await asyncio.sleep(start.deed_after_s)
    status, said, _ = await caller.ask("POST", f"/workflow-runs/{run_id}/pause")
    _expect(start, "pause", status, said)
    start.done.paused += status == 202
    await asyncio.sleep(1 + start.deed_after_s)
    # a request that nobody waited for any more may be acted on late: so whoever pauses looks until the end
    passing = LOOK_S * 2
    while (state := (await _look(caller, run_id))["state"]) not in _ENDED:
        if state == "PAUSED":
            status, said, _ = await caller.ask("POST", f"/workflow-runs/{run_id}/resume")
            _expect(start, "resume", status, said)
        passing = await _pass(passing)


async def _tell(caller: Caller, start: "Start") -> None:
    """Before its run waits for the event, or after."""
    await asyncio.sleep(start.deed_after_s)
    data = {"key": start.key, "n": start.input["n"]}
    status, said, _ = await caller.ask("POST", "/events", {"name": EVENT, "data": data}, start.key)
    if status != 202:
        start.done.left.append(f"event: {status} {str(said)[:300]}")


async def _answer(caller: Caller, start: "Start", run_id: str) -> None:
    for index, task in enumerate(WORKFLOWS[start.workflow]):
        if not task["type"].startswith("human."):
            continue
        body = {"approved": True} if task["type"] == "human.approval" else {"values": {"n": start.input["n"]}}
        path = f"/workflow-runs/{run_id}/tasks/{run_id}-{index}/answer"
        accepted = start.done.said.setdefault(task["key"], [])

        async def one(comment: str, path: str = path, body: Any = body, accepted: list[str] = accepted) -> None:
            status, said, _ = await caller.ask("POST", path, {**body, "comment": comment})
            _expect(start, "answer", status, said)
            if status == 202:
                accepted.append(comment)

        pause = LOOK_S
        while (state := await _state(caller, run_id, task["key"])) not in ("SUCCESS", "CANCELLED", "FAILED"):
            if state == "WAITING":
                await asyncio.gather(*(one(f"person {number}") for number in range(start.people)))
            else:
                pause = await _pass(pause)


async def _state(caller: Caller, run_id: str, key: str) -> str:
    """The task's state; the run's once that has ended."""
    run = await _look(caller, run_id)
    states = {task["key"]: task["state"] for job in run["jobs"] for task in job["tasks"]}
    return str(run["state"] if run["state"] in _ENDED else states.get(key, "PENDING"))
