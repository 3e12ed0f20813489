"""The measurements. Each gives its keys of results.json; `spread` holds min–max of every figure.

A run has ended when its terminal state can be read in the database: after its last commit, not after somebody asked.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import checks
from bench.figures import median, per_task, percentile, spread
from bench.http1 import Connection
from bench.stack import Stack
from bench.store import Store

CHAIN, WIDTH, RUNS, LENGTH, TRIGGERS = 100, 200, 200, 10, 30
WORKERS = (1, 2, 4)
SLEEP_S, SLEEPERS, SLEEPING = 0.02, 20, 50
"""Of W7: how long a task sleeps, the runs, and the tasks of each, which wait for nobody."""
STARTING = 32
"""Connections that the 200 starts of W3 share."""
IDLE_S = 0.1
READING = 16
READS = 2000


@dataclass
class Bench:
    """What the measurements share. `repeat`: how often each is done, at least 3 for a figure that counts."""

    stack: Stack
    store: Store
    repeat: int = 3

    def run(self, name: str) -> dict[str, Any]:
        measure: Callable[[], dict[str, Any]] = {
            "W1": self.chain, "W2": self.fan_out, "W3": self.many, "W4": self.triggers, "W7": self.scaling,
            "W9": self.reads,
        }[name]  # fmt: skip
        return measure()

    # --- W1, W2: one run --------------------------------------------------------------------------------------------

    def chain(self) -> dict[str, Any]:
        """W1: one run of 100 tasks in sequence."""
        workflow = self.stack.compose("W1", _sequence(CHAIN))
        seconds, cpu = self._one_by_one(workflow, [[n - 1] if n else [] for n in range(CHAIN)])
        each = [one * 1000 / CHAIN for one in seconds]
        return {
            "ms_per_task": round(median(each), 3),
            "cpu_ms_per_task": cpu,
            "spread": {"ms_per_task": spread(each)},
        }

    def fan_out(self) -> dict[str, Any]:
        """W2: one run 1 → 200 in parallel → join."""
        fan = [
            {"key": f"p{n}", "depends_on": ["first"], "parameters": {"n": "${{ tasks.first.output.n }}"}}
            for n in range(WIDTH)
        ]
        join = {
            "key": "join",
            "depends_on": [one["key"] for one in fan],
            "parameters": {"n": f"${{{{ tasks.p{WIDTH - 1}.output.n }}}}"},
        }
        first = {"key": "first", "depends_on": [], "parameters": {"n": 0}}
        workflow = self.stack.compose("W2", [first, *fan, join])
        seconds, cpu = self._one_by_one(workflow, [[], *[[0]] * WIDTH, list(range(1, WIDTH + 1))])
        each = [one * 1000 for one in seconds]
        return {"total_ms": round(median(each), 1), "cpu_ms_per_task": cpu, "spread": {"total_ms": spread(each)}}

    def _one_by_one(self, workflow: str, inputs: list[list[int]]) -> tuple[list[float], dict[str, float]]:
        """Seconds of each run, one after the other, the first not counted; CPU milliseconds per task by service."""

        async def measure() -> tuple[list[float], dict[str, float], list[str]]:
            [connection] = await self.stack.connections(1)
            seconds, runs, before = [], [], {}
            for number in range(self.repeat + 1):
                if number == 1:
                    before = self.stack.cpu_seconds()
                began = time.time()
                run_id = await _start(connection, workflow)
                seconds.append(await asyncio.to_thread(self.store.wait, [run_id], 120.0) - began)
                runs.append(run_id)
            used = per_task(before, self.stack.cpu_seconds(), self.repeat * len(inputs))
            connection.close()
            return seconds[1:], used, runs

        seconds, used, runs = asyncio.run(measure())
        checks.work(self.stack, self.store, runs, inputs)
        return seconds, used

    # --- W3: many runs ----------------------------------------------------------------------------------------------

    def many(self) -> dict[str, Any]:
        """W3: 200 runs of 10 tasks at once, from the first start request to the last run's end."""
        workflow = self.stack.compose("W3", _sequence(LENGTH))
        tasks = RUNS * LENGTH

        async def measure() -> tuple[list[float], dict[str, float], list[str]]:
            connections = await self.stack.connections(STARTING)
            await self._flood(connections, workflow, 10)
            before = self.stack.cpu_seconds()
            seconds: list[float] = []
            last: list[str] = []
            for _ in range(self.repeat):
                took, last = await self._flood(connections, workflow, RUNS)
                seconds.append(took)
            used = per_task(before, self.stack.cpu_seconds(), self.repeat * tasks)
            for connection in connections:
                connection.close()
            return seconds, used, last

        seconds, used, last = asyncio.run(measure())
        checks.work(self.stack, self.store, last, [[n - 1] if n else [] for n in range(LENGTH)])
        each = [tasks / one for one in seconds]
        return {
            "tasks_per_s": round(median(each), 1),
            "cpu_ms_per_task": used,
            "spread": {"tasks_per_s": spread(each)},
        }

    async def _flood(self, connections: list[Connection], workflow: str, count: int) -> tuple[float, list[str]]:
        numbers = iter(range(count))
        runs: list[str] = []

        async def starter(connection: Connection) -> None:
            for _ in numbers:
                runs.append(await _start(connection, workflow))

        began = time.time()
        await asyncio.gather(*(starter(connection) for connection in connections))
        ended = await asyncio.to_thread(self.store.wait, runs, 120.0, 0.004)
        return ended - began, runs

    # --- W4: triggers -----------------------------------------------------------------------------------------------

    def triggers(self) -> dict[str, Any]:
        """W4: from the client's POST to the worker's recorded start of the first task, nothing else going on."""
        workflow = self.stack.compose("W4", _sequence(1))

        async def measure() -> list[list[tuple[str, float]]]:
            [connection] = await self.stack.connections(1)
            rounds = []
            await _start(connection, workflow)
            for _ in range(self.repeat):
                sent = []
                for _ in range(TRIGGERS):
                    await asyncio.sleep(IDLE_S)
                    began = time.time()
                    run_id = await _start(connection, workflow)
                    await asyncio.to_thread(self.store.wait, [run_id], 60.0, 0.01)
                    sent.append((run_id, began))
                rounds.append(sent)
            connection.close()
            return rounds

        p50, p95 = [], []
        for sent in asyncio.run(measure()):
            checks.work(self.stack, self.store, [run_id for run_id, _ in sent], [[]])
            tasks = self.store.tasks(run_id for run_id, _ in sent)
            waits = [tasks[run_id][0].started_at / 1000 - began * 1000 for run_id, began in sent]
            p50.append(median(waits))
            p95.append(percentile(waits, 0.95))
        return {
            "p50_ms": round(median(p50), 2),
            "p95_ms": round(median(p95), 2),
            "spread": {"p50_ms": spread(p50), "p95_ms": spread(p95)},
        }

    # --- W7: more workers --------------------------------------------------------------------------------------------

    def scaling(self) -> dict[str, Any]:
        """W7: tasks that only sleep for 20 ms, with 1, 2 and 4 workers of 16 slots each."""
        placements = [{"key": f"t{n}", "depends_on": [], "parameters": {"seconds": SLEEP_S}} for n in range(SLEEPING)]
        workflow = self.stack.compose("W7", placements, "test.sleep")
        tasks = SLEEPERS * SLEEPING

        async def measure() -> list[float]:
            connections = await self.stack.connections(SLEEPERS)
            await self._flood(connections, workflow, SLEEPERS // 4)
            rates = []
            for _ in range(self.repeat):
                took, runs = await self._flood(connections, workflow, SLEEPERS)
                checks.slept(self.store, runs, SLEEPING)
                rates.append(tasks / took)
            for connection in connections:
                connection.close()
            return rates

        each: list[list[float]] = []
        try:
            for workers in WORKERS:
                self.stack.scale("worker", workers)
                each.append(asyncio.run(measure()))
        finally:
            self.stack.scale("worker", 1)
        middle = [median(rates) for rates in each]
        return {
            "workers": list(WORKERS),
            "tasks_per_s": [round(rate, 1) for rate in middle],
            "times_the_first": [round(rate / middle[0], 2) for rate in middle],
            "spread": {f"{workers}": spread(rates) for workers, rates in zip(WORKERS, each, strict=True)},
        }

    # --- W9: reads --------------------------------------------------------------------------------------------------

    def reads(self) -> dict[str, Any]:
        """W9: GET one workflow with a token, on 16 connections; then one at a time, with and without the gateway."""
        workflow = self.stack.compose("W9", _sequence(LENGTH))
        path = f"/v0/workflows/{workflow}"

        async def measure() -> tuple[list[float], list[float], dict[str, float], dict[str, float]]:
            connections = await self.stack.connections(READING)
            await _read(connections, path, READS // 4)
            before = self.stack.cpu_seconds()
            rates, slowest = [], []
            for _ in range(self.repeat):
                began = time.perf_counter()
                waits = await _read(connections, path, READS)
                rates.append(READS / (time.perf_counter() - began))
                slowest.append(percentile(waits, 0.99))
            used = per_task(before, self.stack.cpu_seconds(), self.repeat * READS)
            alone = await self._one_at_a_time(connections[0], path)
            for connection in connections:
                connection.close()
            return rates, slowest, used, alone

        rates, slowest, used, alone = asyncio.run(measure())
        served = sum(ms for service, ms in used.items() if service != "bench")
        return {
            "requests_per_s": round(median(rates), 1),
            "p99_ms": round(median(slowest), 2),
            "forward_auth_share": round(alone["authorize_ms"] / alone["gateway_ms"], 3),
            "forward_auth_cpu_share": round(used.get("identity", 0.0) / served, 3),
            "one_at_a_time": alone,
            "cpu_ms_per_request": used,
            "spread": {"requests_per_s": spread(rates), "p99_ms": spread(slowest)},
        }

    async def _one_at_a_time(self, through: Connection, path: str) -> dict[str, float]:
        """Median milliseconds of the request, of the same at the service itself, and of ForwardAuth's question."""
        token = self.stack.token()
        ports = {service: self.stack.children(service)[0]["port"] for service in ("workflow", "identity")}
        asked = {
            "gateway_ms": (through, path),
            "service_ms": (Connection(f"http://127.0.0.1:{ports['workflow']}", token), path),
            "authorize_ms": (Connection(self._inner_door(), token), "/internal/authorize"),
        }
        found = {}
        for name, (connection, at) in asked.items():
            found[name] = round(median((await _read([connection], at, 200))[20:]), 3)
        return found

    def _inner_door(self) -> str:
        text = (self.stack.data / "runtime" / "gateway" / "traefik.yml").read_text()
        address = text.partition("inner:")[2].partition("address:")[2].split()[0]
        return f"http://{json.loads(address)}"


# --- W5: starting ----------------------------------------------------------------------------------------------------


def starting(stack: Stack, repeat: int) -> dict[str, Any]:
    """W5: a platform that was set up before, from the start command to ready; its memory ten seconds later."""
    ready, memory = [], []
    for _ in range(repeat):
        stack.stop()
        ready.append(stack.start())
        time.sleep(10)
        memory.append(stack.pss_mb())
    return {
        "ready_s": round(median(ready), 2),
        "pss_mb": round(median(memory), 1),
        "spread": {"ready_s": spread(ready), "pss_mb": spread(memory)},
    }


def fresh_folder(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    return made


def _sequence(length: int) -> list[dict[str, Any]]:
    placements: list[dict[str, Any]] = [{"key": "t0", "parameters": {"n": 0}}]
    for number in range(1, length):
        placements.append({"key": f"t{number}", "parameters": {"n": f"${{{{ tasks.t{number - 1}.output.n }}}}"}})
    return placements


async def _start(connection: Connection, workflow: str) -> str:
    status, body = await connection.request("POST", f"/v0/workflows/{workflow}/run", {"input": {}})
    if status != 202:
        raise RuntimeError(f"start: {status} {body[:300]!r}")
    return str(json.loads(body)["run_id"])


async def _read(connections: list[Connection], path: str, count: int) -> list[float]:
    """Milliseconds of each of `count` requests, shared among the connections."""
    numbers = iter(range(count))
    waits: list[float] = []

    async def reader(connection: Connection) -> None:
        for _ in numbers:
            began = time.perf_counter()
            status, body = await connection.request("GET", path)
            waits.append((time.perf_counter() - began) * 1000)
            if status != 200:
                raise RuntimeError(f"GET {path}: {status} {body[:300]!r}")

    await asyncio.gather(*(reader(connection) for connection in connections))
    return waits
