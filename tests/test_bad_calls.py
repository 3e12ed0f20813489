"""Whatever a service is called with, it answers with a status that says whose fault it is, and goes on answering.

The calls go the way of the services' own: through the gateway's inner door, with a service token.
"""

import base64
import json
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode
from jose import jwt
from platform_house import Platform, eventually, ok
from test_routes import CONTEXTS, METHODS, audience, fill, service_tokens

from kit.auth import ServiceTokens
from kit.rpc import MESSAGE_LIMIT

CALLERS_FAULT = {
    StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND, StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED,
    StatusCode.RESOURCE_EXHAUSTED, StatusCode.UNIMPLEMENTED, StatusCode.FAILED_PRECONDITION,
}  # fmt: skip
CALLS = sorted(METHODS)
# a whole request of each kind: with the ids of real things, so that only what a test changes is wrong
SOUND: dict[str, dict[str, Any]] = {
    "StartRun": {
        "workflow_id": "{workflow_id}", "input_json": '{"n": 1}', "idempotency_key": "bad-calls",
        "trigger": "TRIGGER_SCHEDULE", "cause": "schedule:x",
    },
    "GetRun": {"run_id": "{run_id}"},
    "CancelRun": {"run_id": "{run_id}", "idempotency_key": "bad-calls", "cause": "a test"},
    "PauseRun": {"run_id": "{run_id}", "idempotency_key": "bad-calls"},
    "ResumeRun": {"run_id": "{run_id}", "idempotency_key": "bad-calls"},
    "RerunRun": {"run_id": "{run_id}", "idempotency_key": "bad-calls-again", "cause": "a test", "tasks": ["one"]},
    "PublishEvent": {"name": "bad.calls", "data_json": '{"n": 1}', "idempotency_key": "bad-calls"},
    "CompleteTask": {
        "task_run_id": "{task_run_id}", "attempt": 1, "idempotency_key": "bad-calls", "output_json": '{"n": 1}',
    },
    "WatchRun": {"run_id": "{run_id}", "after_version": 1},
    "GetUsers": {"user_ids": ["{user_id}"]},
    "ListMembers": {"permission": "run:read", "limit": 5},
    "ResolveApiToken": {"token": "fwt_of_nobody"},
    "CheckSession": {"session_id": "of nobody", "authz": 1},
    "CheckSessions": {"sessions": [{"session_id": "of nobody", "authz": 1}]},
    "UpsertSchedules": {
        "workflow_id": "{workflow_id}",
        "schedules": [{"cron": "0 8 1 1 *", "time_zone": "Asia/Seoul", "text": "x", "values_json": '{"n": 1}'}],
    },
    "PauseWorkflow": {"workflow_id": "{workflow_id}", "idempotency_key": "bad-calls"},
    "ListSchedules": {"workflow_id": "{workflow_id}"},
    "ListTaskTypes": {},
    "TryTask": {
        "type": "test.increment", "parameters_json": '{"n": 1}', "timeout_s": 5.0, "idempotency_key": "bad-calls",
    },
    "GetDefinition": {"workflow_id": "{workflow_id}", "version": 1},
    "ResolveWorkflow": {"workflow_id": "{workflow_id}"},
}  # fmt: skip


@dataclass(frozen=True)
class House:
    """A channel to every service, and real things to name. Messages go out as the bytes they are."""

    platform: Platform
    channel: grpc.Channel
    ids: dict[str, str]
    tokens: ServiceTokens

    def sound(self, name: str) -> Message:
        kind = METHODS[name].input_type
        fields = fill(SOUND[name.partition("/")[2]], self.ids)
        if "organization_id" in kind.fields_by_name:
            fields |= {"organization_id": self.ids["organization_id"]}
        return json_format.ParseDict(fields, GetMessageClass(kind)())

    def metadata(self, name: str) -> list[tuple[str, str]]:
        token = self.tokens.make(audience(name), organization_id=self.ids["organization_id"])
        return [("authorization", f"Bearer {token}")]

    def call(
        self, name: str, content: bytes, metadata: list[tuple[str, Any]] | None = None, timeout_s: float = 20
    ) -> StatusCode:
        """The status of a call with these bytes; of a stream, what its first message or its end says."""
        shape = self.channel.unary_stream if METHODS[name].server_streaming else self.channel.unary_unary
        call = shape(f"/flowweaver.{name}")
        chosen = self.metadata(name) if metadata is None else metadata
        try:
            answer = call(content, timeout=timeout_s, metadata=chosen)
            if METHODS[name].server_streaming:
                next(iter(answer), None)
                answer.cancel()
        except grpc.RpcError as error:
            status: StatusCode = error.code()
            return status
        return StatusCode.OK

    def logs(self) -> dict[str, str]:
        folder = self.platform.data / "logs"
        return {context: (folder / f"{context}-0.log").read_text(errors="replace") for context in CONTEXTS}


@pytest.fixture(scope="module")
def house(platform: Platform) -> Iterator[House]:
    ids = {"workflow_id": platform.compose([{"key": "one", "type": "test.increment"}])}
    run = platform.finished(platform.run(ids["workflow_id"], {"n": 1}))
    ids |= {"run_id": run["run_id"], "task_run_id": run["jobs"][0]["tasks"][0]["task_run_id"]}
    with platform.client() as api:
        me = ok(api.get("/users/me"))
    ids |= {"user_id": me["user_id"], "organization_id": me["organization_id"]}
    written = (platform.data / "runtime" / "gateway" / "traefik.yml").read_text()
    [address] = re.findall(r'inner:\n\s+address: "([^"]+)"', written)
    # one that a caller with other limits than ours would open
    with grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        yield House(platform, channel, ids, service_tokens(platform))


@pytest.fixture(autouse=True)
def nothing_unforeseen(house: House) -> Iterator[None]:
    """After each test every service answers, and none has logged a failure of its own."""
    before = {context: len(text) for context, text in house.logs().items()}
    yield
    traces = {}
    for number, context in enumerate(CONTEXTS):
        name = next(name for name in CALLS if name.startswith(context))
        traces[context] = f"{time.time_ns():030x}{number:02x}"
        assert house.call(name, house.sound(name).SerializeToString()) in (StatusCode.OK, StatusCode.UNAUTHENTICATED)
        metadata = [*house.metadata(name), ("traceparent", f"00-{traces[context]}-b7ad6b7169203331-01")]
        assert house.call(name, b"\xff", metadata) is StatusCode.INVALID_ARGUMENT
    # a refusal is logged with its trace: once it is there, so is everything before it
    eventually(lambda: all(traces[name] in text for name, text in house.logs().items()), 20, "the logs are written")
    for context, text in house.logs().items():
        new = text[before[context] :].splitlines()
        broken = [line for line in new if '"level":"error"' in line or "Traceback" in line]
        assert not broken, broken[:3]


def test_each_rpc_has_a_sound_request(house: House) -> None:
    assert {name.partition("/")[2] for name in METHODS} == set(SOUND)
    for name in CALLS:
        status = house.call(name, house.sound(name).SerializeToString())
        assert status is (StatusCode.UNAUTHENTICATED if name.endswith("/ResolveApiToken") else StatusCode.OK), name


# --- bytes ------------------------------------------------------------------------------------------------------------


def readable(name: str, content: bytes) -> bool:
    try:
        GetMessageClass(METHODS[name].input_type).FromString(content)
    except DecodeError:
        return False
    return True


def check(house: House, name: str, content: bytes, what: object) -> StatusCode:
    """Bytes that are no message are INVALID_ARGUMENT; what is one is answered, or refused as the caller's fault."""
    status = house.call(name, content)
    if not readable(name, content):
        assert status is StatusCode.INVALID_ARGUMENT, f"{name} {what}: {status}"
    assert status is StatusCode.OK or status in CALLERS_FAULT, f"{name} {what}: {status}"
    return status


@pytest.mark.parametrize("name", CALLS)
def test_bytes_that_are_no_message_are_refused(house: House, name: str) -> None:
    drawn = random.Random(name)
    unreadable = [
        b"\xff" * 10,
        b"\x0a\xff\xff\xff\xff\x0f",  # a text longer than the message
        b"\x0b" * 10_000,  # groups that nothing closes
        b"\x0a\x03\xed\xa0\x80" if METHODS[name].input_type.fields else b"\x0c",  # half of a surrogate pair
        b"\x0a\x02\xff\xfe" if METHODS[name].input_type.fields else b"\x07",  # no UTF-8
        b"{}",
    ]
    for content in unreadable:
        assert check(house, name, content, content[:10]) is StatusCode.INVALID_ARGUMENT
    for size in (1, 2, 3, 5, 8, 13, 21, 100, 1000, 100_000):
        content = drawn.randbytes(size)
        check(house, name, content, content[:20])


@pytest.mark.parametrize("name", CALLS)
def test_a_message_that_is_cut_off_is_refused_or_a_shorter_one(house: House, name: str) -> None:
    whole = house.sound(name).SerializeToString()
    for length in sorted({0, 1, len(whole) // 2, *range(len(whole) % 7, len(whole), 7)} - {len(whole)}):
        check(house, name, whole[:length], length)


@pytest.mark.parametrize("name", CALLS)
def test_fields_of_a_later_version_change_nothing(house: House, name: str) -> None:
    whole = house.sound(name).SerializeToString()
    # field 1000 as a number, a text and a message; field 1 of another kind than ours
    more = b"\xc0\x3e\x01" + b"\xc2\x3e\x05hello" + b"\xc2\x3e\x02\x08\x01" + b"\x0d\x01\x02\x03\x04"
    assert house.call(name, whole + more) is house.call(name, whole)


@pytest.mark.parametrize("name", CALLS)
def test_a_message_beyond_the_limit_is_refused_unread(house: House, name: str) -> None:
    huge = b"\xc2\x3e" + varint(MESSAGE_LIMIT) + b"x" * MESSAGE_LIMIT
    assert house.call(name, house.sound(name).SerializeToString() + huge) is StatusCode.RESOURCE_EXHAUSTED


def varint(number: int) -> bytes:
    content = bytearray()
    while number > 127:
        content.append(number & 127 | 128)
        number >>= 7
    return bytes([*content, number])


# --- values -----------------------------------------------------------------------------------------------------------

TEXTS = [
    "", " ", "\x00", "a\x00b", "\u202e\u200b", "\uffff", "😀" * 300, "x" * 100_000, "0" * 26, "../../etc/passwd",
    "'; DROP TABLE user; --", "-1", "null", "*", "%", "a-1", "a-999999", "W10", "9999-12-31T23:59:59Z",
]  # fmt: skip
JSONS = [
    "null", "[]", "1", '"x"', "{", "NaN", '{"n": NaN}', '{"n": 1e400}', '{"n": 9007199254740993}',
    '{"n": 99999999999999999999}', "[" * 10_000, '{"n": ' + "[" * 300 + "]" * 300 + "}", '{"n": "\\ud800"}',
    '{"n": "\\u0000"}', '{"n": 1, "n": 2}', "\ufeff{}", json.dumps({f"k{n}": n for n in range(10_000)}),
    json.dumps({"n": "x" * 2_000_000}),
]  # fmt: skip
INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: [-1, 0, 2**31 - 1, -(2**31)],
    FieldDescriptor.CPPTYPE_INT64: [-1, 0, 2**53 + 1, 2**63 - 1, -(2**63)],
    FieldDescriptor.CPPTYPE_ENUM: [0, -1, 99, 2**31 - 1],
    FieldDescriptor.CPPTYPE_DOUBLE: [-1.0, 0.0, 1e308, float("inf"), float("-inf"), float("nan")],
    FieldDescriptor.CPPTYPE_BOOL: [False, True],
}


def odd_values(field: FieldDescriptor) -> list[Any]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return TEXTS + (JSONS if field.name.endswith("_json") else [])
    return INTEGERS[field.cpp_type]


def places(kind: Descriptor, *path: FieldDescriptor) -> Iterator[tuple[FieldDescriptor, ...]]:
    """The way to each field that is no message."""
    for field in kind.fields:
        if field.message_type is not None:
            yield from places(field.message_type, *path, field)
        else:
            yield (*path, field)


def put(message: Any, path: tuple[FieldDescriptor, ...], value: Any) -> None:
    for field in path[:-1]:
        inner = getattr(message, field.name)
        message = (inner[0] if inner else inner.add()) if field.is_repeated else inner
    last = path[-1]
    if last.is_repeated:
        del getattr(message, last.name)[:]
        getattr(message, last.name).append(value)
    else:
        setattr(message, last.name, value)


@pytest.mark.parametrize("name", CALLS)
def test_odd_values_in_each_field_are_taken_or_the_callers_fault(house: House, name: str) -> None:
    kind = METHODS[name].input_type
    for path in places(kind):
        for odd in odd_values(path[-1]):
            request = house.sound(name)
            if "idempotency_key" in kind.fields_by_name:
                # the same key would bring back the answer of before
                request.ClearField("idempotency_key")
            put(request, path, odd)
            check(house, name, request.SerializeToString(), (path[-1].full_name, str(odd)[:60]))


WITH_LISTS = [name for name in CALLS if any(field.is_repeated for field in METHODS[name].input_type.fields)]


@pytest.mark.parametrize("name", WITH_LISTS)
def test_lists_of_ten_thousand_are_refused(house: House, name: str) -> None:
    request = house.sound(name)
    for field in METHODS[name].input_type.fields:
        if field.is_repeated:
            items = getattr(request, field.name)
            items.extend([items[0]] * 9_999)
    assert house.call(name, request.SerializeToString()) is StatusCode.INVALID_ARGUMENT


def test_what_is_no_json_is_refused_where_json_belongs(house: House) -> None:
    for name in CALLS:
        for path in places(METHODS[name].input_type):
            if not path[-1].name.endswith("_json"):
                continue
            for odd in ("{", "NaN", '{"n": 1e400}', "[" * 10_000, '{"n": 99999999999999999999}', '{"n": "\\ud800"}'):
                request = house.sound(name)
                put(request, path, odd)
                status = house.call(name, request.SerializeToString())
                assert status is StatusCode.INVALID_ARGUMENT, f"{path[-1].full_name} {odd[:40]}"


def test_pages_of_impossible_sizes_and_places_are_refused(house: House) -> None:
    name = "identity.v1.IdentityService/ListMembers"
    for limit in (-1, 201, 2**31 - 1, -(2**31)):
        request = house.sound(name)
        put(request, (METHODS[name].input_type.fields_by_name["limit"],), limit)
        assert house.call(name, request.SerializeToString()) is StatusCode.INVALID_ARGUMENT
    for cursor in ("x", "W10", "WzFd", "W251bGxd", "e30", "😀", "\x00", "x" * 10_000, "WzFlOTk5XQ"):
        request = house.sound(name)
        put(request, (METHODS[name].input_type.fields_by_name["cursor"],), cursor)
        assert house.call(name, request.SerializeToString()) is StatusCode.INVALID_ARGUMENT, cursor


def test_a_result_that_nobody_could_keep_is_refused_and_the_run_goes_on(house: House) -> None:
    """A task that is under way: here a result would be taken."""
    workflow_id = house.platform.compose([{"key": "long", "type": "test.sleep", "parameters": {"seconds": 60}}])
    run_id = house.platform.run(workflow_id)
    name = "execution.v1.ExecutionService/CompleteTask"

    def running() -> dict[str, Any] | None:
        with house.platform.client() as api:
            [task] = ok(api.get(f"/workflow-runs/{run_id}"))["jobs"][0]["tasks"]
        return task if task["state"] == "RUNNING" else None

    task = eventually(running, 30, "the task runs")
    base = {
        "organization_id": house.ids["organization_id"],
        "task_run_id": task["task_run_id"],
        "attempt": task["attempt"],
    }
    kind = GetMessageClass(METHODS[name].input_type)
    for odd in (
        {"error": {"code": "x" * 1_000_000}},
        {"error": {"code": ""}},
        {"error": {"code": "a\x00b"}},
        {"error": {"code": "x", "message": "y" * 1_000_000}},
        {"outputJson": '{"n": NaN}'},
        {"outputJson": "[" * 10_000},
        {"outputJson": '{"n": 99999999999999999999}'},
        {},
    ):
        request = json_format.ParseDict({**base, **odd}, kind())
        assert house.call(name, request.SerializeToString()) is StatusCode.INVALID_ARGUMENT, str(odd)[:60]
    assert eventually(running, 10, "still running")["attempt"] == task["attempt"]
    request = json_format.ParseDict({**base, "outputJson": '{"slept": 1}'}, kind())
    assert house.call(name, request.SerializeToString()) is StatusCode.OK
    assert house.platform.finished(run_id)["state"] == "SUCCESS"


# --- who asks ---------------------------------------------------------------------------------------------------------


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("name", CALLS)
def test_tokens_that_no_service_made_open_nothing(house: House, name: str) -> None:
    secret = (house.platform.data / "secrets" / "service.key").read_text().strip()
    now = int(time.time())
    claims = {"iss": "scheduler-service", "aud": audience(name), "org": house.ids["organization_id"], "sub": ""}
    claims |= {"iat": now, "exp": now + 60}
    sound = house.metadata(name)[0][1].removeprefix("Bearer ")
    head, body, signature = sound.split(".")
    deep = base64.urlsafe_b64encode(b"[" * 3000).decode().rstrip("=")

    def signed(algorithm: str = "HS256", **changes: Any) -> str:
        kept = {key: value for key, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(kept, secret, algorithm=algorithm)

    if not name.endswith("/ResolveApiToken"):
        status = house.call(name, house.sound(name).SerializeToString(), [("authorization", f"Bearer {signed()}")])
        assert status is StatusCode.OK
    forged = {
        "none": "", "nonsense": "x", "dots": "..", "cut": sound[: len(sound) // 2],
        "no signature": f"{head}.{body}.", "alg none": f"{part({'alg': 'none'})}.{body}.",
        "alg none, signature kept": f"{part({'alg': 'none'})}.{body}.{signature}", "another alg": signed("HS512"),
        "expired": signed(exp=now - 1), "no expiry": signed(exp=None), "expiry that is no number": signed(exp="never"),
        "another audience": signed(aud="nobody-service"), "no audience": signed(aud=None),
        "not yet": signed(nbf=now + 600), "no organisation": signed(org=None), "no issuer": signed(iss=None),
        "deep header": f"{deep}.{body}.{signature}", "deep claims": f"{head}.{deep}.{signature}",
        "other claims": f"{head}.{part({**claims, 'org': 'another'})}.{signature}",
        "long": f"{head}.{body}.{'x' * 6000}",
    }  # fmt: skip
    content = house.sound(name).SerializeToString()
    for what, token in forged.items():
        status = house.call(name, content, [("authorization", f"Bearer {token}")])
        assert status is StatusCode.UNAUTHENTICATED, f"{what}: {status}"
    for metadata in ([], [("authorization", f"Basic {sound}")], [("authorization", sound)], [("x-token", sound)]):
        assert house.call(name, content, metadata) is StatusCode.UNAUTHENTICATED, metadata
    # unread, whatever they are: who may not ask is not told what is wrong with the question
    assert house.call(name, b"\xff", []) is StatusCode.UNAUTHENTICATED


def test_two_tokens_are_as_good_as_the_last_one_or_none(house: House) -> None:
    for name in CALLS:
        content = house.sound(name).SerializeToString()
        wrong = [("authorization", "Bearer x")]
        assert house.call(name, content, [*wrong, *wrong]) is StatusCode.UNAUTHENTICATED


def test_a_token_of_a_hundred_kilobytes_is_not_even_read(house: House) -> None:
    """The gateway says so in HTTP, which has no such status; the service itself says RESOURCE_EXHAUSTED."""
    metadata = [("authorization", f"Bearer {'x' * 100_000}")]
    written = json.loads((house.platform.data / "runtime" / "gateway" / "dynamic" / "servers.yml").read_text())
    for context in CONTEXTS:
        name = next(name for name in CALLS if name.startswith(context))
        assert house.call(name, b"", metadata) is not StatusCode.OK
        [server] = written["http"]["services"][f"{context}-rpc"]["loadBalancer"]["servers"]
        with grpc.insecure_channel(server["url"].removeprefix("h2c://")) as channel:
            assert replace(house, channel=channel).call(name, b"", metadata) is StatusCode.RESOURCE_EXHAUSTED


# --- how they ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["DropAll", "getRun", "", "GetRun/", "GetRun?x=1", "Get%00Run", "..", "x" * 3000])
def test_methods_that_do_not_exist_are_not_served(house: House, path: str) -> None:
    for context in CONTEXTS:
        service = f"flowweaver.{context}.v1.{context.capitalize()}Service"
        name = next(name for name in CALLS if name.startswith(context))
        with pytest.raises(grpc.RpcError) as refused:
            house.channel.unary_unary(f"/{service}/{path}")(b"", timeout=10, metadata=house.metadata(name))
        assert refused.value.code() in (StatusCode.UNIMPLEMENTED, StatusCode.UNAUTHENTICATED), refused.value


def test_a_caller_that_waits_a_millisecond_is_told_so(house: House) -> None:
    for name in CALLS:
        status = house.call(name, house.sound(name).SerializeToString(), timeout_s=0.001)
        assert status in (StatusCode.DEADLINE_EXCEEDED, StatusCode.OK, StatusCode.UNAUTHENTICATED), f"{name}: {status}"


def test_callers_that_turn_away_leave_nothing_behind(house: House) -> None:
    name = "execution.v1.ExecutionService/WatchRun"
    workflow_id = house.platform.compose([{"key": "long", "type": "test.sleep", "parameters": {"seconds": 60}}])
    run_id = house.platform.run(workflow_id)
    kind = GetMessageClass(METHODS[name].input_type)
    content = kind(organization_id=house.ids["organization_id"], run_id=run_id).SerializeToString()
    watch = house.channel.unary_stream(f"/flowweaver.{name}")
    streams = [watch(content, timeout=60, metadata=house.metadata(name)) for _ in range(50)]
    for stream in streams:
        assert next(stream)
        stream.cancel()
    for stream in streams:
        with pytest.raises(grpc.RpcError) as cancelled:
            list(stream)
        assert cancelled.value.code() is StatusCode.CANCELLED
    for other in CALLS:
        if not METHODS[other].server_streaming:
            call = house.channel.unary_unary(f"/flowweaver.{other}")
            call.future(house.sound(other).SerializeToString(), metadata=house.metadata(other)).cancel()
    with house.platform.client() as api:
        assert api.post(f"/workflow-runs/{run_id}/cancel").status_code in (200, 202)
    assert house.platform.finished(run_id)["state"] == "CANCELLED"
