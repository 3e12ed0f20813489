"""Whatever is sent, a write route answers with a problem that names the field and the reason, never with a 500."""

import itertools
import json
from typing import Any

import httpx
import pytest
from bad_input_house import JSON, ROWS, never_broken, path_of, refused
from platform_house import Platform, ok

WRITES = [name for name, row in ROWS.items() if name != "rpc" and "body" in row]
LISTS = [
    "/workflows", "/jobs", "/tasks", "/task-types", "/workflow-runs", "/workflows/{workflow_id}/schedules",
    "/schedules", "/users", "/organizations", "/roles", "/permissions", "/audit-log", "/api-tokens", "/connections",
    "/artifacts", "/workflow-runs/{run_id}/logs",
]  # fmt: skip


def send(api: httpx.Client, name: str, ids: dict[str, str], body: Any) -> httpx.Response:
    """`body` as bytes is sent as it is, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return api.request(name.split()[0], path_of(name, ids), content=content, headers=JSON)


# --- what is no JSON, on every route that takes a body ----------------------------------------------------------------

BROKEN = {
    "cut off": b'{"name": "x"',
    "no JSON": b"name=x",
    "a comment": b'{"name": "x" /* y */}',
    "a second document": b"{}{}",
    "NaN": b'{"name": NaN}',
    "infinity": b'{"name": -Infinity}',
    "a number too large": b'{"name": 1e999}',
    "an integer too large": b'{"name": 9223372036854775808}',
    "a longer integer": b'{"name": ' + b"9" * 5000 + b"}",
    "a lone surrogate": b'{"name": "\\ud800"}',
    "a surrogate in a name": b'{"\\udfff": 1}',
    "bytes that are no UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "65 levels": b'{"name": ' + b"[" * 65 + b"]" * 65 + b"}",
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "100,000 open brackets": b"[" * 100_000,
    "a bare control character": b'{"name": "a\nb"}',
    "a NUL outside": b"\x00",
}


@pytest.mark.parametrize("name", WRITES)
def test_what_is_no_sound_json_is_refused(api: httpx.Client, ids: dict[str, str], name: str) -> None:
    for what, body in BROKEN.items():
        answer = send(api, name, ids, body)
        assert answer.status_code == 422, f"{what}: {answer.status_code} {answer.text[:300]}"
        refused(answer, 422)


@pytest.mark.parametrize("name", WRITES)
def test_a_body_of_another_shape_is_refused(api: httpx.Client, ids: dict[str, str], name: str) -> None:
    wants_list = isinstance(ROWS[name]["body"], list)
    for body in (1, "x", True, 1.5, {"0": {}} if wants_list else [], {} if wants_list else [{}]):
        refused(send(api, name, ids, body), 422)


@pytest.mark.parametrize("name", WRITES)
def test_what_is_not_declared_as_json_is_refused(api: httpx.Client, ids: dict[str, str], name: str) -> None:
    content = json.dumps(ROWS[name]["body"] or [{}]).encode()
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
    ):
        answer = api.request(name.split()[0], path_of(name, ids), content=content, headers={"Content-Type": kind})
        assert answer.status_code in (415, 422), f"{kind}: {answer.status_code}"
        refused(answer, answer.status_code)


@pytest.mark.parametrize("name", WRITES)
def test_unknown_fields_are_refused_by_name(api: httpx.Client, ids: dict[str, str], name: str) -> None:
    body = ROWS[name]["body"]
    if isinstance(body, list):
        id_name = "task_id" if "tasks" in name else "job_id"
        refused(send(api, name, ids, [{id_name: ids[id_name], "surprise": 1}]), 422, "body[0].surprise")
    else:
        refused(send(api, name, ids, {**body, "surprise": 1}), 422, "body.surprise")


ODD = [
    None, True, -1, 0, 1.5, 2**63 - 1, -(2**63), 1e308, "", " ", "\u0000", "a\u0000b", "\u202e", "\u200b", "\uffff",
    "😀" * 300, "x" * 100_000, [], [[]], {}, {"": {}}, {"x": None}, ["x"] * 10_000, "${{ now }}",
    "9999-12-31T23:59:59Z",
]  # fmt: skip


@pytest.mark.parametrize("name", WRITES)
def test_odd_values_in_each_field_are_taken_or_refused_soundly(
    api: httpx.Client, ids: dict[str, str], document: dict[str, Any], name: str
) -> None:
    """Each declared field with each odd value; a new address or name each time, since some are accepted."""
    fields = fields_of(document, name)
    base = ROWS[name]["body"]
    assert fields or base == {}
    for field, odd in itertools.product(fields, ODD):
        body = [{**base_item(name, ids), field: odd}] if isinstance(base, list) else {**base, field: odd}
        if name.endswith("/try"):
            body = {"timeout_s": 1, **body}
        never_broken(send(api, name, ids, body), (name, field, str(odd)[:60]))


def test_a_number_is_neither_text_nor_a_truth_value(
    api: httpx.Client, ids: dict[str, str], document: dict[str, Any]
) -> None:
    tried = set()
    for name in WRITES:
        base = ROWS[name]["body"]
        for field, schema in fields_of(document, name).items():
            if not {"integer", "number"} & {one.get("type") for one in (schema, *schema.get("anyOf", []))}:
                continue
            for odd in (True, "1"):
                body = [{**base_item(name, ids), field: odd}] if isinstance(base, list) else {**base, field: odd}
                refused(
                    send(api, name, ids, body), 422, f"body[0].{field}" if isinstance(base, list) else f"body.{field}"
                )
            tried.add((name, field))
    assert ("POST /v0/task-types/{task_type}/try", "timeout_s") in tried
    assert len(tried) >= 5


def base_item(name: str, ids: dict[str, str]) -> dict[str, str]:
    id_name = "task_id" if "tasks" in name else "job_id"
    return {id_name: ids[id_name]}


@pytest.fixture(scope="module")
def document(platform: Platform) -> dict[str, Any]:
    found: dict[str, Any] = ok(httpx.get(f"{platform.base_url}/openapi.json"))
    return found


def fields_of(document: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """The fields of a route's body, or of the items of its list, with their schemas."""
    method, path = name.split(" ", 1)
    schema = document["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]["schema"]
    while "properties" not in schema:
        if "anyOf" in schema:
            schema = schema["anyOf"][0]
        elif "items" in schema:
            schema = schema["items"]
        else:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    found: dict[str, dict[str, Any]] = schema["properties"]
    return found


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITES)
def test_a_body_above_the_limit_is_413_with_and_without_a_length(
    api: httpx.Client, ids: dict[str, str], name: str
) -> None:
    body = b'{"name": "' + b"x" * 1_500_000 + b'"}'
    refused(send(api, name, ids, body), 413)
    pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    answer = api.request(name.split()[0], path_of(name, ids), content=pieces, headers=JSON)
    refused(answer, 413)


def test_ten_megabytes_end_at_the_gateway(api: httpx.Client) -> None:
    assert refused(api.post("/workflows", content=b" " * 10_000_000, headers=JSON), 413)["code"] == "too_large"


def test_a_body_just_below_the_limit_is_read(api: httpx.Client) -> None:
    body = json.dumps({"name": "x", "description": "y" * (1024 * 1024 - 100)}).encode()
    refused(api.post("/workflows", content=body, headers=JSON), 422, "body.description")


# --- ids --------------------------------------------------------------------------------------------------------------

STRANGE_IDS = [
    "0" * 26, "%00", "a%00b", "..%2f..%2fetc", "x" * 4000, "%F0%9F%98%80", "%ff%fe", "'%20OR%201=1--", "%0a",
    "%25", "%7B%7D", "*", "%20", "-1", "null", "%E2%80%AE", "1e9", "a%2fb", "%5c", "$now",
]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in ROWS if "{" in name])
def test_strange_ids_are_unknown_ids(api: httpx.Client, ids: dict[str, str], name: str) -> None:
    method = name.split()[0]
    for strange in STRANGE_IDS:
        # as it is written: the client would tidy it up
        path = path_of(name, dict.fromkeys(ids, strange))
        url = api.base_url.copy_with(raw_path=f"/v0{path}".encode())
        body = json.dumps(ROWS[name]["body"]).encode() if "body" in ROWS[name] else None
        headers = {**api.headers, **(JSON if body is not None else {})}
        answer = api.send(httpx.Request(method, url, headers=headers, content=body))
        assert answer.status_code in (404, 405, 422), f"{path[:80]}: {answer.status_code} {answer.text[:200]}"
        refused(answer, answer.status_code)


@pytest.mark.parametrize("strange", ["", "x" * 4000, "\x00", "\u202e", "../../etc", "%", "😀"])
def test_strange_task_run_ids_are_refused_too(api: httpx.Client, strange: str) -> None:
    answer = api.get("/tasks/io-data", params={"task_run_id": strange})
    assert answer.status_code in (404, 422)
    refused(answer, answer.status_code)


# --- pages and headers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
def test_limits_outside_1_to_200_are_refused(api: httpx.Client, ids: dict[str, str], path: str) -> None:
    for limit in ("-1", "0", "201", "abc", "1.5", "", "9" * 30, "0x10", "١"):
        answer = api.get(path.format(**ids), params={"limit": limit})
        if limit == "١" and answer.status_code == 200:
            continue  # an Arabic one is a one
        refused(answer, 422, "query.limit")
    for limit in ("1", "200"):
        assert ok(api.get(path.format(**ids), params={"limit": limit}))["items"] is not None


CURSORS = [
    "x", "", "AAAA", "W10", "WyJhIl0", "WzFd", "W251bGxd", "WzEsMiwzLDRd", "e30", "IiI", "bnVsbA", "\x00", "x" * 3000,
    "W3t9XQ", "WzFlOTk5XQ",
    "-", "W1tbXV1d", "WyIAIl0", "WyJcdTAwMDAiXQ", "WzkyMjMzNzIwMzY4NTQ3NzU4MDgwXQ", "WyJhIiwiYSJd",
    "WyI5OTk5LTEyLTMxVDIzOjU5OjU5WiIsImEiXQ", "😀",
]  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
def test_cursors_from_nowhere_are_refused(api: httpx.Client, ids: dict[str, str], path: str) -> None:
    for cursor in CURSORS:
        answer = api.get(path.format(**ids), params={"cursor": cursor})
        # one that could be a place in the list is one, whoever made it
        if answer.status_code != 200:
            refused(answer, 422, "query.cursor")
    refused(api.get(path.format(**ids), params={"cursor": "x"}), 422, "query.cursor")


@pytest.mark.parametrize("path", LISTS)
def test_unknown_query_parameters_are_refused(api: httpx.Client, ids: dict[str, str], path: str) -> None:
    refused(api.get(path.format(**ids), params={"page": "-1"}), 422, "query.page")


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/workflows", "sort", "password"),
        ("/workflows", "active", "perhaps"),
        ("/workflows", "text", ""),
        ("/workflows", "text", "x" * 300),
        ("/workflow-runs", "state", "DONE"),
        ("/workflow-runs", "trigger", "moon"),
        ("/workflow-runs", "workflow_id", "x" * 100),
        ("/workflow-runs", "sort", "password"),
        ("/workflow-runs", "text", "x" * 300),
        ("/workflow-runs", "created_from", "2026-01-01"),
        ("/workflow-runs", "created_to", "1700000000"),
        ("/workflow-runs/statistics", "time_zone", "Mars/Olympus"),
        ("/workflow-runs/statistics", "created_from", "1492-10-12T00:00:00Z"),
        ("/schedules", "active", "2"),
        ("/users", "text", "x" * 300),
        ("/audit-log", "action", "x" * 300),
    ],
)
def test_filters_of_no_meaning_are_refused(api: httpx.Client, path: str, name: str, value: str) -> None:
    refused(api.get(path, params={name: value}), 422, f"query.{name}")


@pytest.mark.parametrize("text", ["%", "_", "\\", "'", '"', "\x00", "\u202e", "😀", "%' OR '1'='1"])
def test_a_search_takes_its_text_literally(api: httpx.Client, text: str) -> None:
    for path in ("/workflows", "/jobs", "/tasks", "/users"):
        answer = api.get(path, params={"text": text})
        never_broken(answer, (path, text))
        if answer.status_code == 200:
            assert all(text in json.dumps(item, ensure_ascii=False) for item in answer.json()["items"])
        else:
            assert text == "\x00"


@pytest.mark.parametrize("key", [b"", b"x" * 300, b"\xff\xfe", b"\xed\x95\x9c\xea\xb8\x80", b"a b", b"'"])
def test_odd_idempotency_keys_break_nothing(api: httpx.Client, ids: dict[str, str], key: bytes) -> None:
    for name in ("POST /v0/jobs", "POST /v0/workflows/{workflow_id}/run", "POST /v0/workflows/{workflow_id}/schedules"):
        headers = [(b"Idempotency-Key", key), (b"Content-Type", b"application/json")]
        content = json.dumps(ROWS[name]["body"]).encode()
        answer = api.request(name.split()[0], path_of(name, ids), content=content, headers=headers)
        never_broken(answer, (name, key))
        if len(key) in (0, 300):
            assert answer.status_code == 422


@pytest.mark.parametrize("tag", ["x", '"x"', '"-1"', '"99999999999999999999"', '"0"', "\xff", '"1', ",", 'W/"99"'])
def test_an_if_match_that_is_no_tag_of_ours_matches_nothing(api: httpx.Client, ids: dict[str, str], tag: str) -> None:
    for name in (
        "PUT /v0/workflows/{workflow_id}",
        "PUT /v0/jobs/{job_id}",
        "PUT /v0/tasks/{task_id}",
        "PUT /v0/schedules/{schedule_id}",
        "PUT /v0/connections/{connection_id}",
        "PATCH /v0/users/me",
    ):
        headers = [(b"If-Match", tag.encode("latin-1")), (b"Content-Type", b"application/json")]
        content = json.dumps(ROWS[name]["body"]).encode()
        answer = api.request(name.split()[0], path_of(name, ids), content=content, headers=headers)
        refused(answer, 412)


@pytest.mark.parametrize(
    "header",
    [(b"Accept-Language", b"\xff;q=x"), (b"traceparent", b"00-zz"), (b"Accept", b"text/html"), (b"Cookie", b"=;=")],
)
def test_odd_headers_break_nothing(api: httpx.Client, header: tuple[bytes, bytes]) -> None:
    assert api.get("/workflows", headers=[header]).status_code == 200


@pytest.mark.parametrize("last", ["x", "-1", "9" * 30, "1.", "1.5.2", "1.x"])
def test_events_after_no_number_are_refused(api: httpx.Client, ids: dict[str, str], last: str) -> None:
    for path in (f"/workflow-runs/{ids['run_id']}/events", "/workflow-runs/events"):
        refused(api.get(path, headers={"Last-Event-ID": last}), 422, "header.Last-Event-ID")
