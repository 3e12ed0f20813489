"""The platform for tests across services: one shared by those that only use it, others for those that kill."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from platform_house import Platform, created, ok

# a refusal that is none is shown as in a test
pytest.register_assert_rewrite("bad_input_house")


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The whole platform on SQLite, shared: tests make their own workflows and leave the processes alone."""
    found = Platform(tmp_path_factory.mktemp("platform")).start()
    yield found
    assert found.stop() == 0


@pytest.fixture
def own_platform(tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Starts a platform that the test may harm: `own_platform(FLOWWEAVER_REPLICAS="worker=2")`."""
    started: list[Platform] = []

    def start(**environment: str) -> Platform:
        started.append(Platform(tmp_path / f"platform{len(started)}", environment).start())
        return started[-1]

    yield start
    for found in started:
        found.stop()


@pytest.fixture
def api(platform: Platform) -> Iterator[httpx.Client]:
    """The administrator at the shared platform."""
    with platform.client() as opened:
        yield opened


@pytest.fixture(scope="session")
def ids(platform: Platform) -> dict[str, str]:
    """A real thing of each kind, so that only what is sent is wrong."""
    found = {"task_type": "test.increment"}
    found["workflow_id"] = platform.compose([{"key": "one", "type": "test.increment"}])
    run = platform.finished(platform.run(found["workflow_id"]))
    found |= {"run_id": run["run_id"], "task_run_id": run["jobs"][0]["tasks"][0]["task_run_id"]}
    with platform.client() as api:
        composed = ok(api.get(f"/workflows/{found['workflow_id']}/detail"))
        found["job_id"] = composed["jobs"][0]["job_id"]
        found["task_id"] = composed["jobs"][0]["tasks"][0]["task_id"]
        made = created(api.post(f"/workflows/{found['workflow_id']}/schedules", json={"cron": "0 8 1 1 *"}))
        found["schedule_id"] = made["schedule_id"]
        made = created(api.post("/connections", json={"name": "bad-input", "kind": "smtp"}))
        found["connection_id"] = made["connection_id"]
        made = created(api.post("/api-tokens", json={"name": "bad input", "permissions": ["run:read"]}))
        found["api_token_id"] = made["api_token_id"]
        me = ok(api.get("/users/me"))
        found |= {"user_id": me["user_id"], "organization_id": me["organization_id"], "artifact_id": "0" * 26}
    return found


@pytest.fixture(scope="session")
def finished_run(platform: Platform) -> dict[str, Any]:
    """A run that succeeded, of two tasks, as the API shows it."""
    workflow_id = platform.compose(
        [
            {"key": "use", "type": "test.use", "name": "쓰기"},
            {"key": "one", "type": "test.increment", "parameters": {"n": "${{ run.input.n }}"}},
        ]
    )
    return platform.finished(platform.run(workflow_id, {"n": 1}))
