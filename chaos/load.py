"""A steady load through the gateway: each start carries an Idempotency-Key and is asked again until it is answered.

Only a start that was answered 202 counts as accepted. Some are sent twice at once, and some again after their answer:
the same key must give the same run. What is started, and what people do to it (`deeds`), is drawn from the seed.
"""

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from bench.stack import Stack
from chaos import deeds
from chaos.caller import TRY_S, Caller
from chaos.workflows import BURSTS, DEALT, MENDED

OPEN_MOST = 250
"""Starts that wait for their answers; while there are so many, no further one is made."""


@dataclass
class Start:
    """One start. `answers`: the runs that its 202s named; `refused`: an answer that asking again does not change.

    `together`: right after the one before it. `deed`: what somebody does to its run, after so many seconds; `person`:
    how many answer at once when it asks one. `rerun_of`: the run that it runs again.
    """

    key: str
    workflow: str
    input: dict[str, Any]
    twice: bool
    again_after_s: float | None
    together: bool = False
    deed: Literal["", "cancel", "pause"] = ""
    deed_after_s: float = 0.0
    people: int = 1
    rerun_of: str | None = None
    tries: int = 0
    answers: set[str] = field(default_factory=set)
    refused: str | None = None
    done: deeds.Done = field(default_factory=deeds.Done)


def draw(seed: int) -> Iterator[Start]:
    """The starts of a seed, without end: dealt from a deck in which every workflow is, shuffled each time."""
    chance, number = random.Random(f"load {seed}"), 0
    cards = [(name, 1) for name, count in DEALT.items() for _ in range(count)] + list(BURSTS.items())
    while True:
        for workflow, count in chance.sample(cards, len(cards)):
            for place in range(count):
                number += 1
                key = f"chaos-{seed}-{number}"
                start = _drawn(chance, key, workflow)
                start.together = place > 0
                yield start


def _drawn(chance: random.Random, key: str, workflow: str) -> Start:
    given: dict[str, Any] = {
        "n": chance.randrange(1_000_000), "seconds": round(chance.uniform(0.1, 2), 3), "key": key,
        "site": chance.randrange(2),
    }  # fmt: skip
    if workflow in BURSTS:
        # what waits for places while somebody is away must not become more than a calm minute works off
        given["seconds"] /= 2
    if workflow == "list":
        given["list"] = [_item(chance) for _ in range(chance.randint(50, 300))]
    if workflow == "gap":
        given["list"] = [_item(chance) for _ in range(12)]
        given["list"][chance.randrange(12)]["needs"] = key
    twice, again = chance.random() < 0.1, chance.uniform(0, 10) if chance.random() < 0.1 else None
    start = Start(key, workflow, given, twice, again)
    fate = chance.random()
    if workflow not in MENDED:
        start.deed = "cancel" if fate < 0.06 else "pause" if fate < 0.14 else ""
    start.deed_after_s = round(chance.uniform(0, 1.5), 3)
    start.people = chance.choice((1, 1, 2))
    return start


def _item(chance: random.Random) -> dict[str, Any]:
    fails = chance.choice((1, 2)) if chance.random() < 0.04 else 0
    return {"n": chance.randrange(1_000_000), "seconds": chance.choice((0, 0.02, 0.1)), "fails": fails, "needs": None}


class Load:
    """Runs in a thread of its own from `start` on. `skipped`: starts not made because too many were waiting;
    `unrouted`: answers of a gateway that did not know its routes yet."""

    def __init__(self, stack: Stack, workflows: dict[str, str], seed: int, rate: float) -> None:
        self.starts: list[Start] = []
        self.skipped = 0
        self.error: BaseException | None = None
        self._caller: Caller | None = None
        self._base_url = stack.base_url
        self._data: Path = stack.data
        self._workflows = workflows
        self._drawn = draw(seed)
        self._rate = rate
        self._token = stack.token()
        self._enough = threading.Event()
        self._give_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    @property
    def unrouted(self) -> int:
        return self._caller.unrouted if self._caller else 0

    def start(self) -> None:
        self._thread.start()

    def check(self) -> None:
        """Raises what the load died of."""
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """No further start."""
        self._enough.set()

    def wait(self, seconds: float) -> bool:
        """Whether within so long every start and every deed was answered."""
        self._thread.join(seconds)
        self.check()
        return not self._thread.is_alive()

    def give_up(self) -> None:
        """What was not answered stays so."""
        self._give_up.set()
        self._thread.join(TRY_S + 5)
        self.check()

    def _run(self) -> None:
        try:
            asyncio.run(self._load())
        except BaseException as error:
            self.error = error

    async def _load(self) -> None:
        asking: set[asyncio.Task[None]] = set()
        limits = httpx.Limits(max_connections=OPEN_MOST * 3, max_keepalive_connections=20)
        async with httpx.AsyncClient(base_url=self._base_url, timeout=TRY_S, limits=limits, trust_env=False) as api:
            self._caller = caller = Caller(api, self._token)
            tokens = asyncio.create_task(caller.renew_token())
            due = time.monotonic()
            while not self._enough.is_set():
                if len(asking) < OPEN_MOST:
                    start = next(self._drawn)
                    self.starts.append(start)
                    asking.add(task := asyncio.create_task(self._see_through(caller, start)))
                    task.add_done_callback(asking.discard)
                    pause = 0.0 if start.together else due - time.monotonic()
                else:
                    self.skipped += 1
                    pause = 1 / self._rate
                due = max(due + 1 / self._rate, time.monotonic() - 1)
                await asyncio.sleep(max(0.0, pause))
            while asking and not self._give_up.is_set():
                done, _ = await asyncio.wait(asking, timeout=0.2)
                for task in done:
                    task.result()
            for task in (tokens, *asking):
                task.cancel()

    async def _see_through(self, caller: Caller, start: Start) -> None:
        """Starts it, and does to its run what people do."""
        path = f"/workflows/{self._workflows[start.workflow]}/run"
        asked = (self._ask(caller, start, path, {"input": start.input}) for _ in range(2 if start.twice else 1))
        await asyncio.gather(*asked)
        await asyncio.gather(self._ask_later(caller, start, path), self._people(caller, start))

    async def _ask_later(self, caller: Caller, start: Start, path: str) -> None:
        if start.again_after_s is not None:
            await asyncio.sleep(start.again_after_s)
            await self._ask(caller, start, path, {"input": start.input})

    async def _people(self, caller: Caller, start: Start) -> None:
        for run_id in sorted(start.answers)[:1]:
            await deeds.see_through(caller, start, run_id)
            if start.workflow in MENDED:
                await self._mend(caller, start, run_id)

    async def _mend(self, caller: Caller, start: Start, run_id: str) -> None:
        """Makes what the run lacked, and runs again what failed."""
        await deeds.until_ended(caller, run_id)
        needs = self._data / "test-needs" / start.key
        needs.parent.mkdir(exist_ok=True)
        needs.touch()
        again = Start(f"{start.key}-again", start.workflow, start.input, start.twice, None, rerun_of=run_id)
        self.starts.append(again)
        body = deeds.rerun_of(start)
        path = f"/workflow-runs/{run_id}/rerun"
        await asyncio.gather(*(self._ask(caller, again, path, body) for _ in range(2 if again.twice else 1)))

    async def _ask(self, caller: Caller, start: Start, path: str, body: dict[str, Any]) -> None:
        """Until there is an answer. Its key makes that safe."""
        status, said, tries = await caller.ask("POST", path, body, start.key)
        start.tries += tries
        if status == 202:
            start.answers.add(str(said["run_id"]))
        else:
            start.refused = f"{status} {str(said)[:500]}"
