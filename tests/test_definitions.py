"""Workflows composed over the API: what is saved holds for the very next run, and the same task serves many places."""

import json
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from platform_house import Platform, created, ok, states

# the blueprint as the seed has it, to the letter
BLUEPRINT = {"endpoint": "/keywords/search", "method": "POST", "body": {"tag": "String"}}


def task_runs(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {task["key"]: task for job in run["jobs"] for task in job["tasks"]}


def io_data(platform: Platform, run: dict[str, Any], key: str) -> dict[str, Any]:
    with platform.client() as api:
        found: dict[str, Any] = ok(
            api.get("/tasks/io-data", params={"task_run_id": task_runs(run)[key]["task_run_id"]})
        )
    return found


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- composing --------------------------------------------------------------------------------------------------------


def test_each_change_holds_for_the_next_run_and_a_run_keeps_its_own(platform: Platform, api: httpx.Client) -> None:
    first = created(api.post("/tasks", json={"name": "one", "type": "test.increment", "parameters": {"n": 1}}))
    job = created(api.post("/jobs", json={"name": "work"}))
    flow = created(api.post("/workflows", json={"name": "changing"}))
    path = f"/workflows/{flow['workflow_id']}"
    assert (flow["runnable"], flow["version"]) == (False, 0)
    assert api.post(f"{path}/run", json={}).status_code == 409

    ok(api.put(f"/jobs/{job['job_id']}/tasks", json=[{"task_id": first["task_id"], "key": "one"}]))
    assert ok(api.put(f"{path}/jobs", json=[{"job_id": job["job_id"]}]))["runnable"] is True
    before = platform.finished(platform.run(flow["workflow_id"]))
    assert platform.output(before, "one") == {"n": 2}

    # a task's parameters
    ok(api.put(f"/tasks/{first['task_id']}", json={"name": "one", "type": "test.increment", "parameters": {"n": 10}}))
    after = platform.finished(platform.run(flow["workflow_id"]))
    assert platform.output(after, "one") == {"n": 11}
    assert after["workflow_version"] > before["workflow_version"]

    # a job's tasks
    placed = [{"task_id": first["task_id"], "key": "one"}, {"task_id": first["task_id"], "key": "again"}]
    ok(api.put(f"/jobs/{job['job_id']}/tasks", json=placed))
    assert states(platform.finished(platform.run(flow["workflow_id"]))) == {"one": "SUCCESS", "again": "SUCCESS"}

    # a workflow's jobs
    other = created(api.post("/jobs", json={"name": "other"}))
    ok(api.put(f"/jobs/{other['job_id']}/tasks", json=[{"task_id": first["task_id"], "key": "alone"}]))
    ok(api.put(f"{path}/jobs", json=[{"job_id": other["job_id"]}]))
    assert states(platform.finished(platform.run(flow["workflow_id"]))) == {"alone": "SUCCESS"}

    # the run of before shows what it ran
    with platform.client() as again:
        kept = ok(again.get(f"/workflow-runs/{before['run_id']}"))
    assert (states(kept), platform.output(kept, "one")) == ({"one": "SUCCESS"}, {"n": 2})


def test_a_task_whose_condition_is_false_is_skipped(platform: Platform, api: httpx.Client) -> None:
    workflow_id = platform.compose(
        [
            {"key": "count", "type": "test.increment", "parameters": {"n": "${{ run.input.n }}"}},
            {"key": "many", "type": "test.increment", "when": "tasks.count.output.n > 10", "parameters": {"n": 100}},
            {"key": "few", "type": "test.increment", "when": "${{tasks.count.output.n < 11}}", "parameters": {"n": 0}},
            {
                "key": "both",
                "type": "test.increment",
                "parameters": {"n": "${{ optional(tasks.many.output.n, 0) + optional(tasks.few.output.n, 0) }}"},
            },
        ]
    )
    run = platform.finished(platform.run(workflow_id, {"n": 10}))
    assert states(run) == {"count": "SUCCESS", "many": "SUCCESS", "few": "SKIPPED", "both": "SUCCESS"}
    assert (run["state"], platform.output(run, "both")) == ("SUCCESS", {"n": 102})
    run = platform.finished(platform.run(workflow_id, {"n": 1}))
    assert states(run) == {"count": "SUCCESS", "many": "SKIPPED", "few": "SUCCESS", "both": "SUCCESS"}
    assert platform.output(run, "both") == {"n": 2}
    shown = {task["key"]: task for task in ok(api.get(f"/workflows/{workflow_id}/detail"))["jobs"][0]["tasks"]}
    assert shown["many"]["when"] == "${{ tasks.count.output.n > 10 }}"
    assert shown["both"]["when"] is None


def test_a_condition_that_cannot_be_is_refused_by_its_field(platform: Platform, api: httpx.Client) -> None:
    task = created(api.post("/tasks", json={"name": "one", "type": "test.increment"}))
    job = created(api.post("/jobs", json={"name": "work"}))
    placed = [{"task_id": task["task_id"], "key": "one", "when": "run.input.n >"}]
    answer = api.put(f"/jobs/{job['job_id']}/tasks", json=placed)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body[0].when"


def test_a_task_runs_once_per_item_and_what_follows_reads_the_list_of_outputs(platform: Platform) -> None:
    workflow_id = platform.compose(
        [
            {"key": "rows", "type": "test.increment", "parameters": {"n": "${{ size(run.input.rows) }}"}},
            {
                "key": "each",
                "type": "test.increment",
                "for_each": "run.input.rows.filter(row, row.n < tasks.rows.output.n)",
                "max_parallel": 2,
                "parameters": {"n": "${{ item.n * 10 }}"},
            },
            {
                "key": "again",
                "type": "test.increment",
                "for_each": "tasks.each.output",
                "when": "size(tasks.each.output) > 1",
                "parameters": {"n": "${{ item.n }}"},
            },
            {"key": "written", "type": "test.increment", "for_each": [7, "${{ tasks.rows.output.n }}"],
             "parameters": {"n": "${{ item }}"}},
        ]
    )  # fmt: skip
    run = platform.finished(platform.run(workflow_id, {"rows": [{"n": 3}, {"n": 1}, {"n": 9}, {"n": 2}]}))
    assert set(states(run).values()) == {"SUCCESS"}
    assert platform.output(run, "each") == [{"n": 31}, {"n": 11}, {"n": 21}]
    assert platform.output(run, "again") == [{"n": 32}, {"n": 12}, {"n": 22}]
    assert platform.output(run, "written") == [{"n": 8}, {"n": 6}]
    assert task_runs(run)["each"]["items"] == {"total": 3, "succeeded": 3, "failed": 0, "open": 0}
    # once for the whole, before the list is looked at
    run = platform.finished(platform.run(workflow_id, {"rows": [{"n": 1}]}))
    assert states(run) == {"rows": "SUCCESS", "each": "SUCCESS", "again": "SKIPPED", "written": "SUCCESS"}


def test_what_is_in_use_is_not_deleted_and_what_is_deleted_is_gone(platform: Platform, api: httpx.Client) -> None:
    workflow_id = platform.compose([{"key": "one", "type": "test.increment"}])
    detail = ok(api.get(f"/workflows/{workflow_id}/detail"))
    job_id, task_id = detail["jobs"][0]["job_id"], detail["jobs"][0]["tasks"][0]["task_id"]
    assert api.delete(f"/tasks/{task_id}").status_code == 409
    assert api.delete(f"/jobs/{job_id}").status_code == 409
    run = platform.finished(platform.run(workflow_id))
    for path in (f"/workflows/{workflow_id}", f"/jobs/{job_id}", f"/tasks/{task_id}"):
        assert api.delete(path).status_code == 204
        assert api.get(path).status_code == 404
        assert api.delete(path).status_code == 404
    assert api.post(f"/workflows/{workflow_id}/run", json={}).status_code == 404
    # its history stays
    assert ok(api.get(f"/workflow-runs/{run['run_id']}"))["state"] == "SUCCESS"


def test_jobs_and_tasks_run_in_the_order_they_were_given(platform: Platform) -> None:
    workflow_id = platform.compose(
        [{"key": "a", "type": "test.increment"}, {"key": "b", "type": "test.increment"}],
        [{"key": "c", "type": "test.increment"}, {"key": "d", "type": "test.increment"}],
    )
    run = platform.finished(platform.run(workflow_id))
    found = task_runs(run)
    assert list(found) == ["a", "b", "c", "d"]
    for earlier, later in (("a", "b"), ("b", "c"), ("c", "d")):
        assert moment(found[earlier]["finished_at"]) <= moment(found[later]["started_at"])


def test_the_same_task_twice_with_values_of_its_own_each(platform: Platform, api: httpx.Client) -> None:
    task = created(api.post("/tasks", json={"name": "더하기", "type": "test.increment", "parameters": {"n": 1}}))
    job = created(api.post("/jobs", json={"name": "twice"}))
    placed = [{"task_id": task["task_id"], "key": "first"}, {"task_id": task["task_id"], "key": "second"}]
    ok(api.put(f"/jobs/{job['job_id']}/tasks", json=placed))
    config = {"second": {"n": 40}}
    flow = created(api.post("/workflows", json={"name": "twice", "default_config": config}))
    # the same job twice, too: each placement has a key of its own
    rows = [{"job_id": job["job_id"], "key": "before"}, {"job_id": job["job_id"], "key": "after"}]
    composed = ok(api.put(f"/workflows/{flow['workflow_id']}/jobs", json=rows))
    keys = [task["key"] for job in composed["jobs"] for task in job["tasks"]]
    assert len(set(keys)) == 4
    run = platform.finished(platform.run(flow["workflow_id"]))
    assert [platform.output(run, key)["n"] for key in keys] == [2, 41, 2, 2]


def test_default_config_goes_by_key_and_by_task_and_the_key_wins(platform: Platform, api: httpx.Client) -> None:
    task = created(api.post("/tasks", json={"name": "one", "type": "test.increment", "parameters": {"n": 1}}))
    job = created(api.post("/jobs", json={"name": "work"}))
    placed = [{"task_id": task["task_id"], "key": "a"}, {"task_id": task["task_id"], "key": "b"}]
    ok(api.put(f"/jobs/{job['job_id']}/tasks", json=placed))
    outputs = []
    # as the seed has it: a task's id names its values, here in two workflows that share the job
    for config in ({task["task_id"]: {"n": 100}}, {task["task_id"]: {"n": 200}, "b": {"n": "${{ run.input.n }}"}}):
        flow = created(api.post("/workflows", json={"name": "shared", "default_config": config}))
        ok(api.put(f"/workflows/{flow['workflow_id']}/jobs", json=[{"job_id": job["job_id"]}]))
        run = platform.finished(platform.run(flow["workflow_id"], {"n": 7}))
        outputs.append([platform.output(run, key)["n"] for key in ("a", "b")])
    assert outputs == [[101, 101], [201, 8]]
    # changed, it holds for the next run
    path = f"/workflows/{flow['workflow_id']}"
    ok(api.put(path, json={"name": "shared", "default_config": {"a": {"n": 300}}}))
    run = platform.finished(platform.run(flow["workflow_id"], {"n": 7}))
    assert [platform.output(run, key)["n"] for key in ("a", "b")] == [301, 2]


def test_values_pass_from_task_to_task_as_what_they_are(platform: Platform) -> None:
    values = {
        "n": 3,
        "half": 0.5,
        "big": 2**53 + 1,
        "no": False,
        "nothing": None,
        "list": [1, "둘", {"a": []}],
        "o": {},
    }
    settings = {name: f"${{{{ run.input.{name} }}}}" for name in values}
    with platform.client() as api:
        ok(api.get("/task-types"))
    workflow_id = platform.compose(
        [
            {"key": "one", "type": "test.increment", "parameters": {"n": "${{ run.input.n }}"}},
            {
                "key": "two",
                "type": "http",
                "parameters": {
                    "endpoint": "/nowhere",
                    "body": dict.fromkeys([*settings, "from_task", "text"], "String"),
                    "values": {
                        **settings,
                        "from_task": "${{ tasks.one.output }}",
                        "text": "n=${{ tasks.one.output.n }}, ${{ run.input.half }}, ${{ run.input.no }}",
                    },
                },
            },
        ]
    )
    run = platform.finished(platform.run(workflow_id, values))
    given = io_data(platform, run, "two")["input"]["values"]
    assert given == {**values, "from_task": {"n": 4}, "text": "n=4, 0.5, false"}
    assert [type(given[name]) for name in values] == [type(value) for value in values.values()]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_retry_waits_as_told_and_its_attempts_are_kept(platform: Platform) -> None:
    retry = {"max_attempts": 4, "backoff": "exponential", "delay_s": 0.3, "max_delay_s": 10, "jitter": 0}
    workflow_id = platform.compose(
        [{"key": "flaky", "type": "test.fail", "parameters": {"times": 2}, "retry": retry}],
    )
    run = platform.finished(platform.run(workflow_id))
    assert (run["state"], task_runs(run)["flaky"]["attempt"]) == ("SUCCESS", 3)
    assert platform.output(run, "flaky") == {"attempt": 3}
    failed = io_data(platform, run, "flaky")["failed_attempts"]
    assert [item["attempt"] for item in failed] == [1, 2]
    assert {item["error"]["code"] for item in failed} == {"test_retryable"}
    began = [moment(item["started_at"]) for item in failed] + [moment(task_runs(run)["flaky"]["started_at"])]
    ended = [moment(item["finished_at"]) for item in failed]
    waits = [(later - earlier).total_seconds() for earlier, later in zip(ended, began[1:], strict=True)]
    # doubled each time; a busy machine may take longer, never less (milliseconds are cut off)
    assert waits[0] >= 0.298, waits
    assert waits[1] >= 0.598, waits
    assert max(waits) < 5, waits


def test_attempts_end_with_the_last_one_and_fatal_errors_at_once(platform: Platform) -> None:
    retry = {"max_attempts": 2, "backoff": "fixed", "delay_s": 0}
    fatal = {"times": 1, "error_class": "fatal"}
    workflow_id = platform.compose(
        [{"key": "spent", "type": "test.fail", "parameters": {"times": 5}, "retry": retry}],
        [{"key": "fatal", "type": "test.fail", "parameters": fatal, "retry": retry}],
    )
    run = platform.finished(platform.run(workflow_id))
    found = task_runs(run)
    assert run["state"] == "FAILED"
    assert (found["spent"]["attempt"], found["spent"]["error"]["code"]) == (2, "test_retryable")
    assert (found["fatal"]["attempt"], found["fatal"]["error"]["code"]) == (1, "test_fatal")


def test_an_attempt_that_takes_too_long_is_a_failed_one(platform: Platform) -> None:
    workflow_id = platform.compose(
        [{"key": "slow", "type": "test.sleep", "parameters": {"seconds": 60}, "timeout_s": 0.5}]
    )
    run = platform.finished(platform.run(workflow_id), 20)
    task = task_runs(run)["slow"]
    assert (run["state"], task["state"], task["error"]["code"]) == ("FAILED", "FAILED", "timeout")
    assert 400 <= task["ran_ms"] < 10_000


@pytest.mark.parametrize(("policy", "after"), [("continue", "SUCCESS"), ("stop", "UPSTREAM_FAILED")])
def test_after_a_failure_the_rest_goes_on_or_stops_as_the_workflow_says(
    platform: Platform, policy: str, after: str
) -> None:
    workflow_id = platform.compose(
        [
            {"key": "broken", "type": "test.fail", "parameters": {"times": 9, "error_class": "fatal"}},
            {"key": "needs", "type": "test.increment", "parameters": {"n": "${{ tasks.broken.output.attempt }}"}},
            {"key": "free", "type": "test.increment"},
        ],
        [{"key": "later", "type": "test.increment"}],
        failure_policy=policy,
    )
    run = platform.finished(platform.run(workflow_id))
    found = states(run)
    assert (run["state"], found["broken"]) == ("FAILED", "FAILED")
    assert (found["free"], found["later"]) == (after, after)
    # what needs an output that there is not never runs, whatever the policy
    needs = task_runs(run)["needs"]
    assert (needs["state"], needs["worker"]) == ("UPSTREAM_FAILED", None)


def test_an_inactive_workflow_is_not_run_until_it_is_active_again(platform: Platform, api: httpx.Client) -> None:
    workflow_id = platform.compose([{"key": "one", "type": "test.increment"}])
    assert ok(api.patch(f"/workflows/{workflow_id}/deactivate"))["active"] is False
    refused = api.post(f"/workflows/{workflow_id}/run", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "workflow_inactive")
    assert ok(api.get("/workflow-runs", params={"workflow_id": workflow_id}))["items"] == []
    assert ok(api.patch(f"/workflows/{workflow_id}/activate"))["active"] is True
    assert platform.finished(platform.run(workflow_id))["state"] == "SUCCESS"


# --- type http, against a real server ---------------------------------------------------------------------------------


class Endpoint(ThreadingHTTPServer):
    """Remembers what it was asked; `answers` are (status, body) by path, later ones after earlier ones."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        path = self.path.partition("?")[0]
        self.server.asked.append(
            {
                "method": self.command,
                "path": self.path,
                "body": json.loads(body) if body else None,
                "key": self.headers.get("idempotency-key"),
            }
        )
        waiting = self.server.answers.get(path, [])
        status, content = waiting.pop(0) if len(waiting) > 1 else (waiting or [(200, {"ok": True})])[0]
        answer = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_DELETE = do_PATCH = do_POST

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, Endpoint]]:
    """A platform whose `http` tasks call a server of ours."""
    endpoint = Endpoint()
    thread = threading.Thread(target=endpoint.serve_forever)
    thread.start()
    found = Platform(tmp_path_factory.mktemp("http"), {"FLOWWEAVER_HTTP_TASK_BASE_URL": f"{endpoint.url}/base"})
    try:
        yield found.start(), endpoint
    finally:
        found.stop()
        endpoint.shutdown()
        thread.join()
        endpoint.server_close()


def test_the_seeds_blueprint_runs_as_it_is(served: tuple[Platform, Endpoint]) -> None:
    platform, endpoint = served
    endpoint.asked.clear()
    endpoint.answers["/base/keywords/search"] = [(200, {"keyword": "텀블러"})]
    with platform.client() as api:
        task = created(api.post("/tasks", json={"name": "키워드 검색", "type": "http", "parameters": BLUEPRINT}))
        job = created(api.post("/jobs", json={"name": "상품 분석"}))
        ok(api.put(f"/jobs/{job['job_id']}/tasks", json=[{"task_id": task["task_id"], "key": "search"}]))
        # workflow A and workflow B of the seed: the same task, another source
        runs = {}
        for tag in ("naver", "google_trends"):
            config = {task["task_id"]: {"tag": tag}}
            flow = created(api.post("/workflows", json={"name": tag, "default_config": config}))
            ok(api.put(f"/workflows/{flow['workflow_id']}/jobs", json=[{"job_id": job["job_id"]}]))
            runs[tag] = platform.finished(platform.run(flow["workflow_id"]))
    assert [run["state"] for run in runs.values()] == ["SUCCESS", "SUCCESS"]
    assert [(one["method"], one["path"], one["body"]) for one in endpoint.asked] == [
        ("POST", "/base/keywords/search", {"tag": "naver"}),
        ("POST", "/base/keywords/search", {"tag": "google_trends"}),
    ]
    assert [one["key"] for one in endpoint.asked] == [task_runs(run)["search"]["task_run_id"] for run in runs.values()]
    assert platform.output(runs["naver"], "search") == {"status": 200, "body": {"keyword": "텀블러"}}


def test_fields_of_every_type_come_from_config_inputs_and_expressions(served: tuple[Platform, Endpoint]) -> None:
    platform, endpoint = served
    endpoint.asked.clear()
    endpoint.answers["/base/first"] = [(200, {"id": 7, "tags": ["a", "b"]})]
    second = {
        "endpoint": "/second",
        "method": "put",
        "body": {"id": "Integer", "tags": "Array", "ratio": "Number", "draft": "Boolean", "meta": {"by": "String"}},
    }
    workflow_id = platform.compose(
        [
            {"key": "first", "type": "http", "parameters": {"endpoint": "first", "body": {"n": "Integer"}}},
            {"key": "second", "type": "http", "parameters": second},
        ],
        default_config={
            "second": {
                "id": "${{ tasks.first.output.body.id }}",
                "tags": "${{ tasks.first.output.body.tags }}",
                "body": {"ratio": 0.5},
                "meta": {"by": "${{ run.input.by }}"},
            }
        },
    )
    run = platform.finished(platform.run(workflow_id, {"n": 5, "by": "편집팀", "draft": True}))
    assert run["state"] == "SUCCESS", run
    assert [one["body"] for one in endpoint.asked] == [
        {"n": 5},
        {"id": 7, "tags": ["a", "b"], "ratio": 0.5, "draft": True, "meta": {"by": "편집팀"}},
    ]
    assert endpoint.asked[1]["method"] == "PUT"


def test_a_field_of_another_type_fails_before_anything_is_asked(served: tuple[Platform, Endpoint]) -> None:
    platform, endpoint = served
    endpoint.asked.clear()
    workflow_id = platform.compose([{"key": "search", "type": "http", "parameters": BLUEPRINT}])
    for given in ({"tag": 5}, {}):
        run = platform.finished(platform.run(workflow_id, given))
        error = task_runs(run)["search"]["error"]
        assert (run["state"], error["code"]) == ("FAILED", "invalid_parameters")
        assert "‘tag’" in error["message"]
        assert "{" not in error["message"]
    assert endpoint.asked == []


@pytest.mark.parametrize(
    ("status", "attempts", "code"),
    [(500, 2, "http_5xx"), (404, 1, "http_4xx"), (302, 1, "http_3xx"), (429, 2, "http_4xx")],
)
def test_a_failing_status_is_a_failed_task(
    served: tuple[Platform, Endpoint], status: int, attempts: int, code: str
) -> None:
    platform, endpoint = served
    endpoint.asked.clear()
    endpoint.answers[f"/base/{status}"] = [(status, {"why": "so"})]
    task = {"key": "call", "type": "http", "parameters": {"endpoint": f"/{status}", "method": "GET"}}
    workflow_id = platform.compose([{**task, "retry": {"max_attempts": 2, "backoff": "fixed", "delay_s": 0}}])
    run = platform.finished(platform.run(workflow_id))
    found = task_runs(run)["call"]
    assert (run["state"], found["state"], found["error"]["code"]) == ("FAILED", "FAILED", code)
    assert found["attempt"] == len(endpoint.asked) == attempts
    # one key over all attempts: the other side may tell a repetition
    assert {one["key"] for one in endpoint.asked} == {found["task_run_id"]}


def test_a_status_that_mends_itself_is_a_success_of_a_later_attempt(served: tuple[Platform, Endpoint]) -> None:
    platform, endpoint = served
    endpoint.asked.clear()
    endpoint.answers["/base/mends"] = [(503, None), (200, {"n": 1})]
    task = {"key": "call", "type": "http", "parameters": {"endpoint": "/mends"}}
    workflow_id = platform.compose([{**task, "retry": {"max_attempts": 3, "backoff": "fixed", "delay_s": 0.1}}])
    run = platform.finished(platform.run(workflow_id))
    assert (run["state"], task_runs(run)["call"]["attempt"]) == ("SUCCESS", 2)


@pytest.mark.parametrize("elsewhere", ["http://127.0.0.1:1/", "//example.com/x", "/../secret", "\\\\example.com"])
def test_a_blueprint_cannot_leave_the_base_address(served: tuple[Platform, Endpoint], elsewhere: str) -> None:
    platform, endpoint = served
    endpoint.asked.clear()
    workflow_id = platform.compose([{"key": "call", "type": "http", "parameters": {"endpoint": elsewhere}}])
    run = platform.finished(platform.run(workflow_id))
    assert task_runs(run)["call"]["error"]["code"] == "http_endpoint_refused"
    assert endpoint.asked == []
