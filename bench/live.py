"""`python -m bench.live --url http://127.0.0.1:9000`: how long after a commit a follower hears of it, by the gateway.

Asks of a platform that runs with test tasks, as FLOWWEAVER_ADMIN_EMAIL and FLOWWEAVER_ADMIN_PASSWORD. A run that waits
is paused and resumed again and again, which is answered after its commit. `asked`: from the request on, so an upper
bound of commit → browser. `answered`: from the answer on, which leaves at the same moment as the event.
"""

import argparse
import asyncio
import datetime
import json
import os
import statistics
import time
from typing import Any

import httpx

LIST, RUN, LINE = "list: state changed", "run: state changed", "run: log line said"


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:9000")
    parser.add_argument("--times", type=int, default=100)
    asked = parser.parse_args()
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=f"{asked.url}/v0", limits=limits, timeout=60, trust_env=False) as http:
        who = {name: os.environ[f"FLOWWEAVER_ADMIN_{name.upper()}"] for name in ("email", "password")}
        token = (await http.post("/auth/login", json=who)).raise_for_status().json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        run_id = await begin(http, {"type": "test.sleep", "parameters": {"seconds": 3600}})
        heard: dict[str, list[tuple[float, Any]]] = {LIST: [], RUN: [], LINE: []}
        streams = [
            asyncio.create_task(listen(http, "/workflow-runs/events", heard[LIST])),
            asyncio.create_task(listen(http, f"/workflow-runs/{run_id}/events", heard[RUN])),
        ]
        await asyncio.sleep(2)
        sent: list[tuple[str, float, float]] = []
        for turn in range(asked.times):
            verb, state = ("pause", "PAUSED") if turn % 2 == 0 else ("resume", "RUNNING")
            began = time.time()
            (await http.post(f"/workflow-runs/{run_id}/{verb}")).raise_for_status()
            sent.append((state, began, time.time()))
            # at no fixed distance to any look or pause of the service
            await asyncio.sleep(0.2 + 0.37 * ((turn * 7) % 10) / 10)
        await asyncio.sleep(1)
        for name in (LIST, RUN):
            say(name, list(after(heard[name], sent, run_id)))
        await http.post(f"/workflow-runs/{run_id}/cancel")
        talking = await begin(http, {"type": "test.log", "parameters": {"lines": asked.times, "seconds": 20}})
        streams.append(asyncio.create_task(listen(http, f"/workflow-runs/{talking}/events", heard[LINE])))
        await asyncio.sleep(23)
        waited = [
            (at - stamp(line["at"])) * 1000
            for at, event in heard[LINE] if "items" in event
            for line in event["items"] if line["event"] == "said"
        ]  # fmt: skip
        print(f"{LINE}: {len(waited)} lines, {figures(waited)}")
        for stream in streams:
            stream.cancel()


async def begin(http: httpx.AsyncClient, task: dict[str, Any]) -> str:
    """A run of a workflow of that one task; its id."""
    name = f"live {time.time()}"
    task_id = (await http.post("/tasks", json={"name": name, **task})).raise_for_status().json()["task_id"]
    job = (await http.post("/jobs", json={"name": name})).raise_for_status()
    path = f"/jobs/{job.json()['job_id']}"
    placed = [{"task_id": task_id, "key": "one"}]
    (await http.put(f"{path}/tasks", json=placed, headers={"If-Match": "*"})).raise_for_status()
    workflow = (await http.post("/workflows", json={"name": name})).raise_for_status().json()["workflow_id"]
    placed = [{"job_id": job.json()["job_id"]}]
    (await http.put(f"/workflows/{workflow}/jobs", json=placed, headers={"If-Match": "*"})).raise_for_status()
    return str((await http.post(f"/workflows/{workflow}/run", json={})).raise_for_status().json()["run_id"])


async def listen(http: httpx.AsyncClient, path: str, heard: list[tuple[float, Any]]) -> None:
    async with http.stream("GET", path) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                heard.append((time.time(), json.loads(line[6:])))


def after(heard: list[tuple[float, Any]], sent: list[tuple[str, float, float]], run_id: str) -> Any:
    """For each change in its turn: (ms since it was asked, ms since it was answered)."""
    told = []
    for at, event in heard:
        for item in event.get("items", [event]):
            if item.get("run_id") == run_id:
                told.append((at, item["state"]))
    for state, asked, answered in sent:
        found = next((at for at, told_state in told if told_state == state and at >= asked), None)
        if found is None:
            raise SystemExit(f"{state} was never told")
        yield (found - asked) * 1000, (found - answered) * 1000


def say(name: str, waited: list[tuple[float, float]]) -> None:
    asked, answered = zip(*waited, strict=True)
    print(f"{name}: {len(waited)} changes; asked → told {figures(asked)}; answered → told {figures(answered)}")


def figures(values: Any) -> str:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return f"p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms, max {max(values):.1f} ms"


def stamp(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


if __name__ == "__main__":
    asyncio.run(main())
