"""Definitions, schedules and inputs that cannot be are refused by their field; what is taken comes back as it went."""

import json
from typing import Any

import httpx
import pytest
from bad_input_house import JSON, never_broken, refused
from platform_house import Platform, created, ok

# --- schedules --------------------------------------------------------------------------------------------------------

CRONS = {
    "nothing": "", "blanks": "   ", "four fields": "* * * *", "eight fields": "* * * * * * * *", "a word": "@daily",
    "no number": "x * * * *", "minute 60": "60 * * * *", "hour 24": "0 24 * * *", "day 0": "0 0 0 * *",
    "day 32": "0 0 32 * *", "month 13": "0 0 1 13 *", "weekday 8": "0 0 * * 8", "step 0": "*/0 * * * *",
    "step too large": "*/61 * * * *", "no step": "*/ * * * *", "a turned range": "30-10 * * * *",
    "half a range": "10- * * * *", "an empty list": ", * * * *", "a list with a gap": "1,,2 * * * *",
    "a question mark in Unix": "0 8 ? * *", "two question marks": "0 0 8 ? * ?",
    "a question mark for a minute": "0 ? 8 * * ?",
    "weekday 0 in Quartz": "0 0 8 ? * 0", "weekday 8 in Quartz": "0 0 8 ? * 8", "second 60": "60 0 8 * * ?",
    "a sixth Monday": "0 0 8 ? * 2#6", "a zeroth Monday": "0 0 8 ? * 2#0", "last in Unix": "0 8 L * *",
    "never a 30th of February": "0 0 30 2 *", "a year gone by": "0 0 8 1 1 ? 1999", "year 9999": "0 0 8 1 1 ? 9999",
    "year 10000": "0 0 8 1 1 ? 10000", "a name that is none": "0 8 * * FUNDAY", "a negative number": "-5 * * * *",
    "a fraction": "1.5 * * * *", "digits of another script": "٣ * * * *", "a NUL": "0 8 * * 1\x00",
    "very long": "1," * 5000 + "1 * * * *",
    "a huge number": "9" * 400 + " * * * *",
}  # fmt: skip


@pytest.mark.parametrize("cron", CRONS.values(), ids=CRONS.keys())
def test_a_cron_that_means_nothing_is_refused(api: httpx.Client, ids: dict[str, str], cron: str) -> None:
    for method, path in (
        ("POST", f"/workflows/{ids['workflow_id']}/schedules"),
        ("PUT", f"/schedules/{ids['schedule_id']}"),
        ("PUT", f"/workflows/{ids['workflow_id']}/schedules/{ids['schedule_id']}"),
    ):
        content = refused(api.request(method, path, json={"cron": cron}), 422)
        # the part that is wrong, where it is one part
        assert all(error["field"].startswith("body.cron") for error in content["errors"]), content


@pytest.mark.parametrize(
    "zone",
    [
        "",
        "Mars/Phobos",
        "KST9",
        "../../etc/passwd",
        "Asia/Seoul\x00",
        "/etc/localtime",
        "asia",
        "UTC+9",
        "x" * 65,
        "한국",
    ],
)
def test_a_time_zone_that_does_not_exist_is_refused(api: httpx.Client, ids: dict[str, str], zone: str) -> None:
    path = f"/workflows/{ids['workflow_id']}/schedules"
    refused(api.post(path, json={"cron": "0 8 * * *", "time_zone": zone}), 422, "body.time_zone")


# --- definitions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "   ", "a\x00b", "a\x07", "\n", "x" * 201, "\u2028"])
def test_names_nobody_could_read_are_refused(api: httpx.Client, name: str) -> None:
    for path, more in (("/workflows", {}), ("/jobs", {}), ("/tasks", {"type": "test.increment"})):
        refused(api.post(path, json={"name": name, **more}), 422, "body.name")


@pytest.mark.parametrize(
    "name", ["عربى", "\u202ederusrever\u202c", "가" * 200, "👩‍👩‍👧", "<script>alert(1)</script>", "'; DROP TABLE", "é"]
)
def test_names_in_any_script_come_back_as_they_went(api: httpx.Client, name: str) -> None:
    made = created(api.post("/jobs", json={"name": name}))
    assert ok(api.get(f"/jobs/{made['job_id']}"))["name"] == name


EXPRESSIONS = {
    "an unknown name": "${{ secrets.password }}",
    "an unknown part of the run": "${{ run.password }}",
    "a task that is not there": "${{ tasks.nobody.output.x }}",
    "its own output": "${{ tasks.one.output.n }}",
    "no expression": "${{ }}",
    "half an expression": "${{ 1 + }}",
    "an unknown function": "${{ system('ls') }}",
    "no end": "${{ now",
    "a loop in a loop in a loop": "${{ [1,2].map(a, [1,2].map(b, [1,2].map(c, [1,2].map(d, [1,2].map(e, a))))) }}",
    "very long": "${{ " + "1 + " * 20_000 + "1 }}",
    "very deep": "${{ " + "(" * 2000 + "1" + ")" * 2000 + " }}",
    "many lists": "${{ " + "[" * 300 + "]" * 300 + " }}",
    "many counts in a pattern": "${{ run.input.text.matches('(.*a){1000}') }}",
    "counts of counts": "${{ run.input.text.matches('((a{9}){9}){9}') }}",
    "a pattern made as it runs": "${{ run.input.text.matches(run.input.text) }}",
    "a text of many parts": "${{ " + "+".join(["run.input.text"] * 200) + " }}",
}


@pytest.mark.parametrize("text", EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
def test_an_expression_that_cannot_be_is_refused_when_saved(api: httpx.Client, text: str) -> None:
    """At the latest when its job says what stands before it; names of other jobs' tasks, when the workflow does."""
    task = {"name": "one", "type": "test.increment", "parameters": {"n": text}}
    answer = api.post("/tasks", json=task)
    if answer.status_code == 201:
        job_id = created(api.post("/jobs", json={"name": "x"}))["job_id"]
        placed = [{"task_id": answer.json()["task_id"], "key": "one"}]
        answer = api.put(f"/jobs/{job_id}/tasks", json=placed)
        if answer.status_code == 200:
            made = created(api.post("/workflows", json={"name": "x"}))
            answer = api.put(f"/workflows/{made['workflow_id']}/jobs", json=[{"job_id": job_id}])
    content = refused(answer, 422)
    assert any("parameters" in error["field"] for error in content["errors"]), content


def test_an_expression_that_explodes_when_it_runs_fails_its_task_only(platform: Platform) -> None:
    grown = "${{ run.input.items.map(a, run.input.items.map(b, run.input.items)) }}"
    workflow_id = platform.compose([{"key": "one", "type": "test.use_process", "parameters": {"connection": grown}}])
    run = platform.finished(platform.run(workflow_id, {"items": list(range(500))}))
    [task] = run["jobs"][0]["tasks"]
    assert (run["state"], task["state"]) == ("FAILED", "FAILED")
    assert task["error"]["code"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"type": 1},
        {"properties": []},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/nowhere"},
        {"$ref": "file:///etc/passwd"},
        {"pattern": "("},
        {"properties": {"a": {"pattern": "(a+"}}},
        {"minLength": -1},
        {"enum": "x"},
        {"required": "x"},
    ],
    ids=str,
)
def test_a_schema_that_is_none_is_refused(api: httpx.Client, schema: dict[str, Any]) -> None:
    content = refused(api.post("/workflows", json={"name": "x", "input_schema": schema}), 422)
    assert all(error["field"].startswith("body.input_schema") for error in content["errors"])


def test_a_default_config_for_nobody_is_refused(platform: Platform, api: httpx.Client) -> None:
    workflow_id = platform.compose([{"key": "one", "type": "test.increment"}])
    body = {"name": "x", "default_config": {"nobody": {"n": 1}}}
    refused(api.put(f"/workflows/{workflow_id}", json=body), 422, "body.default_config.nobody")
    body = {"name": "x", "default_config": {"one": {"m": 1}}}
    refused(api.put(f"/workflows/{workflow_id}", json=body), 422, "body.default_config.one.m")
    body = {"name": "x", "default_config": {"one": {"n": "many"}}}
    refused(api.put(f"/workflows/{workflow_id}", json=body), 422, "body.default_config.one.n")
    refused(api.put(f"/workflows/{workflow_id}", json={"name": "x", "default_config": {"one": 1}}), 422)


def test_parameters_that_a_type_does_not_take_are_refused(api: httpx.Client) -> None:
    for parameters, field in (
        ({"n": "x"}, "body.parameters.n"),
        ({"m": 1}, "body.parameters.m"),
        ({"n": 1.5}, "body.parameters.n"),
    ):
        answer = api.post("/tasks", json={"name": "x", "type": "test.increment", "parameters": parameters})
        refused(answer, 422, field)
    refused(api.post("/tasks", json={"name": "x", "type": "test.nothing"}), 422, "body.type")
    blueprint = {"endpoint": "/x", "method": "POST", "body": {"tag": "Text"}}
    refused(api.post("/tasks", json={"name": "x", "type": "http", "parameters": blueprint}), 422)


def test_compositions_that_cannot_be_are_refused(platform: Platform, api: httpx.Client, ids: dict[str, str]) -> None:
    job_id = created(api.post("/jobs", json={"name": "x"}))["job_id"]
    path, one = f"/jobs/{job_id}/tasks", {"task_id": ids["task_id"]}
    refused(api.put(path, json=[{"task_id": "0" * 26}]), 422, "body[0].task_id")
    refused(api.put(path, json=[{**one, "key": "a"}, {**one, "key": "a"}]), 422, "body[1].key")
    for key in ("", "A", "1a", "a-b", "a b", "x" * 64, "한글", "a\x00"):
        refused(api.put(path, json=[{**one, "key": key}]), 422, "body[0].key")
    refused(api.put(path, json=[{**one, "key": "a", "depends_on": ["b"]}]), 422, "body[0].depends_on[0]")
    circle = [{**one, "key": "a", "depends_on": ["b"]}, {**one, "key": "b", "depends_on": ["a"]}]
    refused(api.put(path, json=circle), 422)
    workflow_id = created(api.post("/workflows", json={"name": "x"}))["workflow_id"]
    refused(api.put(f"/workflows/{workflow_id}/jobs", json=[{"job_id": "0" * 26}]), 422, "body[0].job_id")


def test_lists_of_ten_thousand_are_read_and_longer_ones_refused(api: httpx.Client, ids: dict[str, str]) -> None:
    job_id = created(api.post("/jobs", json={"name": "x"}))["job_id"]
    nobody = {"task_id": "0" * 26}
    content = refused(api.put(f"/jobs/{job_id}/tasks", json=[nobody] * 10_000), 422)
    # what is wrong ten thousand times is not said ten thousand times
    assert 1 <= len(content["errors"]) <= 200
    refused(api.put(f"/jobs/{job_id}/tasks", json=[nobody] * 10_001), 422, "body")
    after = [{**nobody, "depends_on": ["x"] * 10_001}]
    refused(api.put(f"/jobs/{job_id}/tasks", json=after), 422, "body[0].depends_on")
    many = {f"k{n}": n for n in range(10_000)}
    answer = api.post(f"/workflows/{ids['workflow_id']}/run", json={"input": many})
    never_broken(answer, "an input of ten thousand fields")


@pytest.mark.parametrize(("language", "words"), [("en", "Its keys:"), ("ko", "있는 키:")])
def test_what_another_service_found_wrong_is_said_in_words(api: httpx.Client, language: str, words: str) -> None:
    made = created(api.post("/workflows", json={"name": "x", "default_config": {"nobody": {"n": 1}}}))
    answer = api.post(f"/workflows/{made['workflow_id']}/run", json={}, headers={"Accept-Language": language})
    content = refused(answer, 409)
    [said] = [error["reason"] for error in content["errors"] if error["field"] == "default_config.nobody"]
    assert words in said


def test_inputs_that_the_workflow_does_not_take_are_refused(platform: Platform, api: httpx.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    workflow_id = platform.compose([{"key": "one", "type": "test.increment"}], input_schema=schema)
    for given in ({}, {"n": "x"}, {"n": 1, "m": 2}):
        content = refused(api.post(f"/workflows/{workflow_id}/run", json={"input": given}), 422)
        assert all(error["field"].startswith("body.input") for error in content["errors"]), content


def test_reruns_of_what_is_not_there_are_refused(api: httpx.Client, ids: dict[str, str]) -> None:
    path = f"/workflow-runs/{ids['run_id']}/rerun"
    refused(api.post(path, json={"mode": "backwards"}), 422, "body.mode")
    refused(api.post(path, json={"mode": "task"}), 422, "body.from_task")
    refused(api.post(path, json={"mode": "task", "from_task": "nobody"}), 422, "body.from_task")
    refused(api.post(path, json={"from_task": "one"}), 422, "body.from_task")


# --- what comes back is what went in ----------------------------------------------------------------------------------

EXACT = {
    "2^53": 2**53, "2^53 + 1": 2**53 + 1, "below": -(2**53) - 1, "the largest": 2**63 - 1, "the smallest": -(2**63),
    "a fraction": 0.1, "a large float": 1e22, "the largest float": 1.7976931348623157e308, "a tiny one": 5e-324,
    "minus zero": -0.0, "a time": "9999-12-31T23:59:59.999999Z", "year 0": "0000-01-01T00:00:00Z",
    "an offset": "2024-02-29T23:59:60+14:00", "a BOM": "\ufeffx", "right to left": "\u202eabc\u202c",
    "zero width": "a\u200bb",
    "a NUL": "a\u0000b", "a line separator": "a\u2028b", "decomposed": "e\u0301", "no character": "\uffff",
    "emoji": "👩‍👩‍👧",
}  # fmt: skip


def test_values_at_the_edges_come_back_as_they_went(platform: Platform, api: httpx.Client) -> None:
    """By the definition, by the input of a run, and by an expression that passes it on: or they are refused by name."""
    workflow_id = platform.compose([{"key": "one", "type": "test.use_process", "parameters": {"connection": "x"}}])
    for name, value in EXACT.items():
        nested = {"deep": [{"value": value}]}
        answer = api.post(f"/workflows/{workflow_id}/run", json={"input": nested})
        assert answer.status_code == 202, f"{name}: {answer.text}"
        found = ok(api.get(f"/workflow-runs/{answer.json()['run_id']}"))["input"]
        assert written(found) == written(nested), name
        body = {"cron": "0 8 1 1 *", "values": nested}
        made = created(api.post(f"/workflows/{workflow_id}/schedules", json=body))
        assert written(ok(api.get(f"/schedules/{made['schedule_id']}"))["values"]) == written(nested), name
        assert api.delete(f"/schedules/{made['schedule_id']}").status_code == 204


def written(value: Any) -> str:
    """As text: 1 and 1.0, 0.0 and -0.0 differ."""
    return json.dumps(value)


def test_integers_beyond_2_to_the_53_are_reckoned_with_exactly(platform: Platform, api: httpx.Client) -> None:
    for text, value, expected in (
        ("${{ run.input.n }}", 2**53 + 1, 2**53 + 2),
        ("${{ run.input.n + 1 }}", 2**53 + 1, 2**53 + 3),
        ("${{ run.input.n }}", 2**63 - 2, 2**63 - 1),
        ("${{ run.input.n }}", -(2**63), -(2**63) + 1),
    ):
        workflow_id = platform.compose([{"key": "one", "type": "test.increment", "parameters": {"n": text}}])
        run = platform.finished(platform.run(workflow_id, {"n": value}))
        assert run["state"] == "SUCCESS", run
        assert platform.output(run, "one") == {"n": expected}
    # one more than fits is a failure, never another number
    for text in ("${{ run.input.n }}", "${{ run.input.n + 1 }}"):
        workflow_id = platform.compose([{"key": "one", "type": "test.increment", "parameters": {"n": text}}])
        run = platform.finished(platform.run(workflow_id, {"n": 2**63 - 1}))
        if run["state"] == "SUCCESS":
            assert platform.output(run, "one") == {"n": 2**63}
        else:
            assert run["jobs"][0]["tasks"][0]["error"]["code"]


def test_of_a_name_said_twice_the_last_value_counts_everywhere(api: httpx.Client, ids: dict[str, str]) -> None:
    """RFC 8259 leaves it open; were it read in two ways, one part could check what another ignores."""
    body = b'{"name": "first", "name": "last", "description": "x"}'
    assert created(api.post("/jobs", content=body, headers=JSON))["name"] == "last"
    refused(api.post("/jobs", content=b'{"name": "x", "name": 1}', headers=JSON), 422, "body.name")
    path = f"/workflows/{ids['workflow_id']}/run"
    run_id = api.post(path, content=b'{"input": {"n": 1}, "input": {"n": 2, "n": 3}}', headers=JSON).json()["run_id"]
    assert ok(api.get(f"/workflow-runs/{run_id}"))["input"] == {"n": 3}


@pytest.mark.parametrize(
    "text",
    [
        "${{ timestamp('9999-12-31T23:59:59Z') + duration('1h') }}",
        "${{ timestamp('0001-01-01T00:00:00Z') - duration('1h') }}",
        "${{ timestamp('0000-01-01T00:00:00Z') }}",
        "${{ timestamp('10000-01-01T00:00:00Z') }}",
        "${{ timestamp('2024-02-30T00:00:00Z') }}",
        "${{ timestamp(run.input.never) }}",
        "${{ duration('99999999999999h') }}",
        "${{ now + duration('292000000h') }}",
    ],
)
def test_times_beyond_the_calendar_fail_when_saved_or_fail_their_task(platform: Platform, text: str) -> None:
    parameters = {"connection": text}
    with platform.client() as api:
        answer = api.post("/tasks", json={"name": "one", "type": "test.use_process", "parameters": parameters})
    if answer.status_code == 422:
        refused(answer)
        return
    workflow_id = platform.compose([{"key": "one", "type": "test.use_process", "parameters": parameters}])
    run = platform.finished(platform.run(workflow_id, {"never": "9999-99-99"}))
    assert run["state"] == "FAILED"
    assert run["jobs"][0]["tasks"][0]["error"]["code"]


BOMBS = [
    # lists of lists of lists
    "${{ run.input.items.map(a, run.input.items.map(b, run.input.items)) }}",
    "${{ run.input.items.map(a, run.input.items.map(b, a * b)) }}",
    # a text that doubles again and again
    "${{ " + "+".join(["run.input.text"] * 30) + " }}",
    "${{ run.input.items.map(a, run.input.text + run.input.text + run.input.text) }}",
    # comparisons by the hundred million
    "${{ run.input.items.filter(a, run.input.items.exists(b, b == a + 100000)) }}",
    "${{ run.input.items.all(a, run.input.text.contains('b' + string(a))) }}",
    # a pattern that other engines would take years for
    "${{ run.input.items.map(a, run.input.text.matches('^(a+)+$')) }}",
    # a type that its parameter is not: as fatal, and as much the task's own affair
    "${{ run.input.items }}",
]  # fmt: skip


def test_expressions_that_explode_fail_their_own_task_and_soon(platform: Platform, api: httpx.Client) -> None:
    tasks = [{"key": f"bomb{number}", "type": "test.use_process", "parameters": {"connection": text}}
             for number, text in enumerate(BOMBS)]  # fmt: skip
    jobs = [[{**task, "failure_policy": "continue"}] for task in tasks]
    workflow_id = platform.compose(*jobs, [{"key": "last", "type": "test.increment", "parameters": {"n": 1}}])
    run_id = platform.run(workflow_id, {"items": list(range(10_000)), "text": "a" * 100_000 + "!"})
    # meanwhile everybody else is served
    assert api.get("/workflows").status_code == 200
    other = platform.compose([{"key": "one", "type": "test.increment", "parameters": {"n": 1}}])
    assert platform.finished(platform.run(other))["state"] == "SUCCESS"
    run = platform.finished(run_id, 60)
    found = {task["key"]: task for job in run["jobs"] for task in job["tasks"]}
    for task in tasks:
        assert found[task["key"]]["state"] == "FAILED", (task, found[task["key"]])
        assert found[task["key"]]["error"]["code"]
    assert found["last"]["state"] == "SUCCESS"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"text": {"pattern": "^(a+)+$"}}},
        {"properties": {"text": {"pattern": "(a|a)*b"}}},
        {"properties": {"items": {"uniqueItems": True}}},
        {"properties": {"items": {"items": {"anyOf": [{"const": number} for number in range(50)]}}}},
        {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}] * 9}, "b": {"anyOf": [{"$ref": "#/$defs/c"}] * 9},
                   "c": {"anyOf": [{"type": "null"}] * 9}}, "$ref": "#/$defs/a"},
    ],
    ids=["pattern", "alternatives", "unique", "choices", "itself", "a tree"],
)  # fmt: skip
def test_a_schema_that_would_take_years_holds_up_nobody(
    platform: Platform, api: httpx.Client, schema: dict[str, Any]
) -> None:
    answer = api.post("/workflows", json={"name": "slow", "input_schema": schema})
    if answer.status_code == 422:
        refused(answer)
        return
    workflow_id = created(answer)["workflow_id"]
    job_id = created(api.post("/jobs", json={"name": "x"}))["job_id"]
    task_id = created(api.post("/tasks", json={"name": "x", "type": "test.increment"}))["task_id"]
    ok(api.put(f"/jobs/{job_id}/tasks", json=[{"task_id": task_id, "key": "one"}]))
    ok(api.put(f"/workflows/{workflow_id}/jobs", json=[{"job_id": job_id}]))
    given = {"text": "a" * 40 + "!", "items": [{"a": [number]} for number in range(2_000)]}
    answer = api.post(f"/workflows/{workflow_id}/run", json={"input": given}, timeout=20)
    never_broken(answer, schema)
