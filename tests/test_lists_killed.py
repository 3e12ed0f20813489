"""A list under a limit, on a large output by reference, through the gateway: its engine is killed, then its worker."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from platform_house import Platform, eventually, ok

COUNT, LIMIT, LARGE = 40, 3, 400_000


def steps(effects: Path) -> list[dict[str, Any]]:
    return [
        {"key": "large", "type": "test.use", "parameters": {"bytes": LARGE}},
        {
            "key": "each",
            "type": "test.effect",
            "parameters": {"n": "${{ item }}", "path": str(effects), "seconds": 0.3},
            "for_each": "${{ run.input.list }}",
            "max_parallel": 8,
            "concurrency_key": "shop",
            "concurrency_limit": LIMIT,
            "depends_on": ["large"],
        },
        {
            "key": "after",
            "type": "test.use",
            "parameters": {
                "value": {"large": "${{ tasks.large.output.seen.filler }}", "all": "${{ tasks.each.output }}"}
            },
        },
    ]


def test_a_list_outlives_its_engine_and_its_worker_and_gives_its_places_back(
    own_platform: Callable[..., Platform], tmp_path: Path
) -> None:
    platform, effects = own_platform(), tmp_path / "effects.jsonl"
    workflow_id = platform.compose(steps(effects))

    def done() -> list[str]:
        lines = effects.read_text().splitlines() if effects.exists() else []
        return [json.loads(line)["task_run_id"] for line in lines]

    run_id = platform.run(workflow_id, {"list": list(range(COUNT))})
    eventually(lambda: len(done()) >= 4, 60, "some items ran")
    platform.kill("execution")
    before = len(done())
    # whoever looks late finds fewer left
    eventually(lambda: len(done()) >= min(before + 8, COUNT), 60, "the engine went on")
    platform.kill("worker")
    run = platform.finished(run_id, 120)
    assert run["state"] == "SUCCESS", run
    tasks = {task["key"]: task for job in run["jobs"] for task in job["tasks"]}
    assert tasks["each"]["items"] == {"total": COUNT, "succeeded": COUNT, "failed": 0, "open": 0}
    assert platform.output(run, "each") == [{"n": n} for n in range(COUNT)]
    # nobody but those whom the kill met can have done it twice, and no more than the limit ran
    again = Counter(done())
    assert len(again) == COUNT
    assert sum(again.values()) <= COUNT + LIMIT
    with platform.client() as api:
        io = ok(api.get("/tasks/io-data", params={"task_run_id": tasks["after"]["task_run_id"]}))
        assert (io["input"], io["input_size"] > LARGE) == (None, True)
        whole = ok(api.get(io["input_url"].removeprefix("/v0")))
    assert whole["value"]["large"] == "x" * LARGE
    assert whole["value"]["all"] == [{"n": n} for n in range(COUNT)]
    # no place was lost with who held it
    second = platform.finished(platform.run(workflow_id, {"list": list(range(LIMIT * 2))}), 60)
    assert second["state"] == "SUCCESS"
