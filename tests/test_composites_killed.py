"""A composite is saved whole or not at all: workflow-service is killed at any moment of a save that is asked again.

The moments are drawn from a seed, which is printed; FLOWWEAVER_TEST_SEED draws the same ones again.
"""

import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from platform_house import Platform, created, eventually, ok

pytestmark = pytest.mark.process

KILLS = 3
CHAIN = ["one", "two", "three"]


def steps() -> list[dict[str, Any]]:
    before = dict(zip(CHAIN, ["run.input", *(f"tasks.{key}.output" for key in CHAIN)], strict=False))
    return [
        {"key": key, "type": "test.increment", "parameters": {"n": f"${{{{ {source}.n }}}}"}}
        for key, source in before.items()
    ]


def test_a_save_that_is_killed_and_asked_again_is_made_once(own_platform: Callable[..., Platform]) -> None:
    seed = int(os.environ.get("FLOWWEAVER_TEST_SEED") or random.randrange(10**9))
    print(f"FLOWWEAVER_TEST_SEED={seed}")
    draw, platform = random.Random(seed), own_platform()

    def save(workflow_id: str, name: str) -> httpx.Response | None:
        """What is answered; None where a service or the way to it is away."""
        body = {"name": name, "keys": CHAIN[1:], "replace": True, "key": "both"}
        try:
            with platform.client() as api:
                answer = api.post(
                    f"/workflows/{workflow_id}/composite-tasks", json=body, headers={"Idempotency-Key": name}
                )
        except httpx.TransportError:
            return None
        return None if answer.status_code >= 500 else answer

    undisturbed = []
    for number in range(3):
        workflow_id = platform.compose(steps())
        began = time.perf_counter()
        assert save(workflow_id, f"undisturbed {number}") is not None
        undisturbed.append(time.perf_counter() - began)
    lasts, cut = min(undisturbed), 0
    for number in range(KILLS):
        name = f"composite {number}"
        workflow_id = platform.compose(steps())
        with platform.client() as api:
            version = ok(api.get(f"/workflows/{workflow_id}"))["version"]
        first: list[httpx.Response | None] = []
        saving = threading.Thread(target=lambda: first.append(save(workflow_id, name)))  # noqa: B023
        saving.start()
        saving.join(number and draw.uniform(0, lasts))  # the first of all meets a save for sure
        platform.kill("workflow")
        saving.join()
        cut += first == [None]
        made = created(eventually(lambda: save(workflow_id, name), 30, "the save asked again is answered"))  # noqa: B023
        with platform.client() as api:
            found = ok(api.get(f"/workflows/{workflow_id}/detail"))
            assert [task["key"] for task in found["jobs"][0]["tasks"]] == ["one", "both"]
            assert found["version"] == version + 1
            for kind in ("workflows", "tasks"):
                assert len(ok(api.get(f"/{kind}", params={"text": name}))["items"]) == 1, kind
            inner = ok(api.get(f"/workflows/{made['workflow_id']}/detail"))
            assert [task["key"] for task in inner["jobs"][0]["tasks"]] == CHAIN[1:]
        run = platform.finished(platform.run(workflow_id, {"n": 1}))
        assert (run["state"], platform.output(run, "both")["output"]) == ("SUCCESS", {"three": {"n": 4}})
    assert cut, "no kill met a save"
