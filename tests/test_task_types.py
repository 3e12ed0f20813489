"""docs/task-types.md: from an empty folder to a running type, typed as the page has it, on a platform of its own."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from platform_house import TERMINAL, Platform, eventually, ok
from plugin_house import Environment

pytestmark = pytest.mark.process
ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "task-types.md"


def shell_blocks(page: Path) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


class Checkout:
    """A folder where `make up` would have been typed, with an environment that packages may be installed into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "flowweaver"
        self.folder.mkdir()
        installed = Environment(self.folder / ".venv")
        unset = ["ADMIN_EMAIL", "ADMIN_PASSWORD", "TEST_TASKS", "LOGIN_RATE", "LOGIN_BURST"]
        environment = {f"FLOWWEAVER_{name}": "" for name in unset} | {"FLOWWEAVER_LANGUAGE": "en"}
        self.platform = Platform(self.folder / ".data", environment, program=installed.flowweaver)

    def type(self, *blocks: str) -> str:
        script = "\n".join(blocks)
        if self.platform.process is not None:
            script = script.replace("http://127.0.0.1:9000", self.platform.base_url)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if not name.startswith(("FLOWWEAVER_", "PYTEST_"))},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """With all of the page typed up to the platform's start, and the platform started."""
    made = Checkout(tmp_path_factory.mktemp("task-types"))
    blocks = shell_blocks(PAGE)
    start = blocks.index("make up\n")
    assert "2 passed" in made.type(*blocks[:start])
    made.platform.start()
    yield made
    assert made.platform.stop() == 0


def test_from_an_empty_folder_to_a_running_type(checkout: Checkout) -> None:
    blocks = shell_blocks(PAGE)
    [words] = [block for block in shell_blocks(ROOT / "README.md") if "login() {" in block]
    [last] = blocks[blocks.index("make up\n") + 1 :]
    named, tried = checkout.type(words, last).split("\n", 1)
    assert named == '"type":"greeting.write"'
    assert json.loads(tried)["output"] == {"greetings": ["Hello, Ada!", "Hello, 세종!"]}


def test_it_runs_in_a_workflow_and_its_progress_stands_in_the_runs_log(checkout: Checkout) -> None:
    password = (checkout.folder / ".data" / "secrets" / "admin-password").read_text().strip()
    platform = checkout.platform
    platform._token = platform.log_in("admin@flowweaver.local", password)
    flow = platform.compose(
        [
            {"key": "write", "type": "greeting.write", "parameters": {"names": ["Ada"]}},
            {"key": "nobody", "type": "greeting.write", "parameters": {"names": []}},
        ]
    )
    run = platform.run(flow)
    with platform.client() as api:
        ended = eventually(
            lambda: next(
                (found for found in [ok(api.get(f"/workflow-runs/{run}"))] if found["state"] in TERMINAL), None
            ),
            60,
            "the run's end",
        )
        greeted, nobody = ended["jobs"][0]["tasks"]
        assert (greeted["state"], nobody["error"]["code"]) == ("SUCCESS", "nobody_to_greet")
        assert nobody["error"]["message"] == "There is nobody to greet."
        lines = eventually(
            lambda: [
                (line["level"], line["event"], line["fields"])
                for line in ok(api.get(f"/workflow-runs/{run}/logs"))["items"]
                if line["task_run_id"] == greeted["task_run_id"]
            ],
            20,
            "the task's lines",
        )
    assert ("info", "progress", {"fraction": 1.0, "message": "Ada"}) in lines
    assert ("info", "greeted", {"people": 1}) in lines
