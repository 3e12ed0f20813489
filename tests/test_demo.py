"""`flowweaver demo`, `apply` and `run`: the program as a person or a script uses it."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from platform_house import ADMIN_EMAIL, ADMIN_PASSWORD, Platform, free_port

from flowweaver_cli import definition
from flowweaver_cli.client import ApiError, Client, Unreachable
from flowweaver_cli.definition import DefinitionInvalid

pytestmark = pytest.mark.process
PROGRAM = str(Path(sys.executable).with_name("flowweaver"))
KEYS = {"trend", "search", "match", "rank", "crawl", "upload", "select", "ocr", "article", "publish"}
NO_SUCH_PRODUCT = "qzqzqz wvwvwv"
EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "workflows"


def flowweaver(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWWEAVER_")}
    return subprocess.run(
        [PROGRAM, *arguments],
        env={**kept, "FLOWWEAVER_LANGUAGE": "en", **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def last_line(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == {"run_id", "state", "article_url", "article_path", "seconds", "tasks", "exit_status"}
    assert found["exit_status"] == done.returncode, done.stderr
    return found


def of_this_folder(folder: Path) -> list[str]:
    """Processes that work for a platform in `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), process.environ().get("FLOWWEAVER_DATA", "")]
        except psutil.Error:
            continue
        if any(str(folder) in text for text in told) and process.pid != os.getpid():
            found.append(" ".join(told))
    return found


def test_the_demo_publishes_an_article_and_shows_where_to_go_on(tmp_path: Path) -> None:
    # whether the web app has been built is another matter
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("a page")
    where = {
        "FLOWWEAVER_DATA": str(tmp_path),
        "FLOWWEAVER_PORT": str(free_port()),
        "FLOWWEAVER_WEB": str(tmp_path / "site"),
    }
    try:
        done = flowweaver("demo", "--once", "--keep", **where)
        told = last_line(done)
        assert done.returncode == 0, done.stderr
        assert told["state"] == "SUCCESS"
        assert told["tasks"] == dict.fromkeys(KEYS, "SUCCESS")
        assert Path(told["article_path"]).is_relative_to(tmp_path / "blog")
        page = httpx.get(told["article_url"])
        assert page.status_code == 200
        assert page.text == Path(told["article_path"]).read_text(encoding="utf-8")
        assert told["article_url"] in done.stderr
        assert f"/runs/{told['run_id']}" in done.stderr
        assert f"admin@flowweaver.local; its password is in {tmp_path / 'secrets' / 'admin-password'}" in done.stderr
        # a person is told the password that was made for them, the logs are not
        password = (tmp_path / "secrets" / "admin-password").read_bytes().strip()
        assert done.stderr.count(password.decode()) == 1
        assert [path.name for path in (tmp_path / "logs").iterdir() if password in path.read_bytes()] == []
        # nobody waits for the end of a pipe that the platform holds: we are here, and it is up
        assert flowweaver("status", **where).returncode == 0

        again = flowweaver("demo", "--once", "--keyword", NO_SUCH_PRODUCT, **where)
        told = last_line(again)
        assert again.returncode == 4, again.stderr
        assert (told["state"], told["tasks"]["search"], told["article_url"]) == ("FAILED", "FAILED", None)
        assert "no_products" in again.stderr
        assert flowweaver("status", **where).returncode == 0, "it runs on: the demo did not start it"

        # whoever looks on ends in the browser
        opened = tmp_path / "opened"
        browser = tmp_path / "browser"
        browser.write_text(f'#!/bin/sh\necho "$1" >{opened}\n')
        browser.chmod(0o755)
        watched = flowweaver("demo", "--keyword", NO_SUCH_PRODUCT, BROWSER=str(browser), **where)
        assert watched.returncode == 4, watched.stderr
        page = opened.read_text().strip()
        assert re.fullmatch(rf"http://127\.0\.0\.1:{where['FLOWWEAVER_PORT']}/runs/\w+", page)
        assert page in watched.stderr
    finally:
        assert flowweaver("stop", **where).returncode == 0


def test_once_it_leaves_nothing_running(tmp_path: Path) -> None:
    done = flowweaver(
        "demo",
        "--once",
        "--keyword",
        NO_SUCH_PRODUCT,
        FLOWWEAVER_DATA=str(tmp_path),
        FLOWWEAVER_PORT=str(free_port()),
        FLOWWEAVER_ADMIN_EMAIL=ADMIN_EMAIL,
        FLOWWEAVER_ADMIN_PASSWORD=ADMIN_PASSWORD,
    )
    assert last_line(done)["state"] == "FAILED"
    assert of_this_folder(tmp_path) == []


def test_a_demo_that_is_killed_takes_its_platform_with_it(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWWEAVER_")}
    where = {"FLOWWEAVER_DATA": str(tmp_path), "FLOWWEAVER_PORT": str(free_port())}
    process = subprocess.Popen([PROGRAM, "demo"], env={**kept, **where}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "endpoint.json").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while of_this_folder(tmp_path):
        assert time.monotonic() < deadline, of_this_folder(tmp_path)
        time.sleep(0.1)


def test_a_demo_that_cannot_be_set_up_says_so_with_2(tmp_path: Path) -> None:
    done = flowweaver("demo", "--once", FLOWWEAVER_DATA=str(tmp_path), FLOWWEAVER_REPLICAS="execution=2")
    assert done.returncode == 2
    assert last_line(done)["run_id"] is None
    assert "SQLite" in done.stderr


def test_an_administrator_who_cannot_log_in_is_told_to_the_person(platform: Platform) -> None:
    where = {"FLOWWEAVER_DATA": str(platform.data), "FLOWWEAVER_ADMIN_EMAIL": ADMIN_EMAIL}
    unknown = flowweaver("demo", "--once", **where)
    assert unknown.returncode == 2
    assert "FLOWWEAVER_ADMIN_PASSWORD" in unknown.stderr
    wrong = flowweaver("demo", "--once", FLOWWEAVER_ADMIN_PASSWORD="not the password", **where)
    assert wrong.returncode == 2
    assert "401" in wrong.stderr


# --- apply and run --------------------------------------------------------------------------------------------------


def a_definition(name: str, *, seconds: float = 0) -> dict[str, Any]:
    first = {
        "key": "one",
        "name": "One",
        "type": "test.increment",
        "parameters": {"n": "${{ optional(run.input.n, 1) }}"},
    }
    second = {
        "key": "two",
        "name": "Two",
        "type": "test.increment",
        "parameters": {"n": "${{ tasks.one.output.n }}"},
        "retry": {"max_attempts": 2},
    }
    tasks = [first, second]
    if seconds:
        tasks.append({"key": "three", "name": "Three", "type": "test.sleep", "parameters": {"seconds": seconds}})
    return {"name": name, "jobs": [{"name": f"{name}, job", "tasks": tasks}]}


@pytest.fixture
def client(platform: Platform) -> Any:
    made = Client(platform.base_url, ADMIN_EMAIL, ADMIN_PASSWORD)
    yield made
    made.close()


def test_a_definition_applied_twice_is_one_workflow_that_did_not_change(client: Client) -> None:
    wanted = a_definition("applied twice")
    workflow_id = definition.apply(client, wanted)
    before = client.get(f"/v0/workflows/{workflow_id}/detail")
    assert definition.apply(client, wanted) == workflow_id
    after = client.get(f"/v0/workflows/{workflow_id}/detail")
    assert after == before
    assert [task["key"] for task in after["jobs"][0]["tasks"]] == ["one", "two"]


def test_what_a_changed_definition_says_is_what_is_saved(client: Client) -> None:
    workflow_id = definition.apply(client, a_definition("changed"))
    wanted = a_definition("changed", seconds=0.1)
    wanted["description"] = "now it waits"
    wanted["jobs"][0]["description"] = "its job"
    wanted["jobs"][0]["tasks"][0]["parameters"] = {"n": 7}
    assert definition.apply(client, wanted) == workflow_id
    saved = client.get(f"/v0/workflows/{workflow_id}/detail")
    assert saved["description"] == "now it waits"
    tasks = saved["jobs"][0]["tasks"]
    assert [task["key"] for task in tasks] == ["one", "two", "three"]
    assert tasks[0]["parameters"] == {"n": 7}
    assert len(saved["jobs"]) == 1


def test_an_order_a_condition_and_a_list_are_applied_and_taken_back(client: Client) -> None:
    wanted = a_definition("spread out")
    first, second = wanted["jobs"][0]["tasks"]
    before = definition.apply(client, wanted)
    second |= {"for_each": "[1, 2].map(n, n + run.input.n)", "max_parallel": 2, "parameters": {"n": "${{ item }}"}}
    first |= {"when": "run.input.n > 0", "for_each": [1, {"n": 2}], "depends_on": []}
    assert definition.apply(client, wanted) == before
    saved = client.get(f"/v0/workflows/{before}/detail")
    one, two = saved["jobs"][0]["tasks"]
    assert (one["when"], one["for_each"], one["depends_on"]) == ("${{ run.input.n > 0 }}", [1, {"n": 2}], [])
    assert (two["for_each"], two["max_parallel"]) == ("${{ [1, 2].map(n, n + run.input.n) }}", 2)
    assert two["parameters"] == {"n": "${{ item }}"}
    assert definition.apply(client, wanted) == before
    assert client.get(f"/v0/workflows/{before}/detail") == saved
    # and back: the parameters that name the item go first
    assert definition.apply(client, a_definition("spread out")) == before
    one, two = client.get(f"/v0/workflows/{before}/detail")["jobs"][0]["tasks"]
    assert (one["when"], one["for_each"], two["for_each"], two["max_parallel"]) == (None, None, None, 0)


def test_limits_are_applied_and_taken_back(client: Client) -> None:
    wanted = a_definition("limited") | {"concurrency": {"limit": 2, "overflow": "skip"}}
    wanted["jobs"][0]["tasks"][0] |= {"concurrency_key": "shop-${{ run.input.n }}\n", "concurrency_limit": 3}
    workflow_id = definition.apply(client, wanted)
    saved = client.get(f"/v0/workflows/{workflow_id}/detail")
    task = saved["jobs"][0]["tasks"][0]
    assert saved["concurrency"] == {"limit": 2, "overflow": "skip"}
    assert (task["concurrency_key"], task["concurrency_limit"]) == ("shop-${{ run.input.n }}", 3)
    assert definition.apply(client, wanted) == workflow_id
    assert client.get(f"/v0/workflows/{workflow_id}/detail") == saved
    assert definition.apply(client, a_definition("limited") | {"concurrency": None}) == workflow_id
    saved = client.get(f"/v0/workflows/{workflow_id}/detail")
    assert (saved["concurrency"], saved["jobs"][0]["tasks"][0]["concurrency_key"]) == (None, None)


def test_the_example_of_many_keywords_searches_for_each_and_reads_what_each_search_found(
    platform: Platform, client: Client
) -> None:
    workflow_id = definition.apply(client, definition.read(EXAMPLES / "many_keywords.yaml"))
    run = platform.finished(platform.run(workflow_id, {"keywords": ["텀블러", "캠핑 의자"]}))
    assert run["state"] == "SUCCESS", run
    searched, crawled = platform.output(run, "search"), platform.output(run, "crawl")
    assert len(searched) == 2
    assert [[product["url"] for product in found["crawled_products"]] for found in crawled] == [
        [result["url"] for result in found["search_results"]] for found in searched
    ]


def test_what_cannot_run_is_refused_with_the_place(client: Client) -> None:
    wanted = a_definition("cannot run")
    wanted["jobs"][0]["tasks"][1]["parameters"] = {"n": "${{ tasks.nobody.output.n }}"}
    with pytest.raises((ApiError, DefinitionInvalid), match="nobody"):
        definition.apply(client, wanted)


def test_refusals_name_their_fields(client: Client) -> None:
    with pytest.raises(ApiError, match=r"body\.name") as refused:
        client.post("/v0/jobs", {})
    assert refused.value.status == 422


def test_a_token_that_ran_out_is_renewed(client: Client) -> None:
    client.log_in()
    client._token = "no longer"
    assert client.get("/v0/users/me")["email"] == ADMIN_EMAIL


def test_lists_are_read_to_their_end(client: Client) -> None:
    made = {client.post("/v0/jobs", {"name": f"listed {number}"})["job_id"] for number in range(3)}
    assert made <= {item["job_id"] for item in client.items("/v0/jobs", text="listed")}


def test_nobody_at_the_address_is_said_as_such() -> None:
    with pytest.raises(Unreachable):
        Client(f"http://127.0.0.1:{free_port()}", ADMIN_EMAIL, ADMIN_PASSWORD).log_in()


def test_apply_and_run_from_the_command_line(platform: Platform, tmp_path: Path) -> None:
    where = {
        "FLOWWEAVER_DATA": str(platform.data),
        "FLOWWEAVER_ADMIN_EMAIL": ADMIN_EMAIL,
        "FLOWWEAVER_ADMIN_PASSWORD": ADMIN_PASSWORD,
    }
    file = tmp_path / "workflow.yaml"
    file.write_text(yaml.safe_dump(a_definition("from the command line")))
    applied = flowweaver("apply", str(file), **where)
    assert applied.returncode == 0, applied.stderr
    workflow_id = applied.stdout.strip()

    ran = flowweaver("run", "from the command line", "--input", '{"n": 40}', "--key", "once", "--wait", **where)
    assert ran.returncode == 0, ran.stderr
    run = json.loads(ran.stdout)
    assert (run["workflow_id"], run["state"]) == (workflow_id, "SUCCESS")
    again = flowweaver("run", workflow_id, "--input", '{"n": 40}', "--key", "once", **where)
    assert again.stdout.strip() == run["run_id"]

    assert flowweaver("run", "no such workflow", **where).returncode == 2
    assert flowweaver("run", workflow_id, "--input", "[]", **where).returncode == 2
    assert flowweaver("run", workflow_id, "--input", "{", **where).returncode == 2
    file.write_text("name: nothing")
    assert flowweaver("apply", str(file), **where).returncode == 2
    assert flowweaver("apply", str(file), FLOWWEAVER_DATA=str(tmp_path)).returncode == 3
    assert flowweaver("version").stdout.strip()
