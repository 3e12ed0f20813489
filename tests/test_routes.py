"""Who may do what: every operation of the API and every call among the services, tried by those who may not."""

import importlib
import json
import re
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from platform_house import ADMIN_PASSWORD, Platform, created, ok

from identity_service import passwords, storage
from identity_service.app import setup
from kit.auth import ServiceTokens
from kit.database import Database, utc_now
from kit.ids import new_id

HERE = Path(__file__).parent
CONTEXTS = ("execution", "identity", "scheduler", "worker", "workflow")
UNKNOWN = "0" * 26
STRANGER = "admin@other.example"
VIEWER = "viewer@example.com"
# read-only, as the seed says it
VIEWS = {
    "workflow:read", "run:read", "schedule:read", "user:read", "role:read", "artifact:read", "connection:read", "",
}  # fmt: skip


def rows() -> dict[str, dict[str, Any]]:
    return tomllib.loads((HERE / "routes.toml").read_text())


ROUTES = {name: row for name, row in rows().items() if name != "rpc"}
CALLS: dict[str, dict[str, Any]] = rows()["rpc"]
GUARDED = {name: row for name, row in ROUTES.items() if "public" not in row}


@dataclass(frozen=True)
class Town:
    """Two organisations: the administrator's, with one thing of each kind (their ids by name), and a stranger's."""

    platform: Platform
    ids: dict[str, str]
    stranger: str
    stranger_organization: str

    def call(self, client: httpx.Client, name: str, ids: dict[str, str] | None = None) -> httpx.Response:
        """The request that the row describes, with the ids of real things unless others are given."""
        method, path = name.split(" ", 1)
        row = ROUTES[name]
        chosen = self.ids if ids is None else ids
        options: dict[str, Any] = {"params": fill(row.get("query", {}), chosen)}
        if "body" in row:
            options["json"] = fill(row["body"], chosen)
        with client.stream(method, fill(path, chosen).removeprefix("/v0"), **options) as answer:
            # an event stream of a run that goes on would not end
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                answer.read()
            return answer


def fill(value: Any, ids: dict[str, str]) -> Any:
    """`value` with each `{name}` replaced by that thing's id, and `{new}` by one that nothing has."""
    if isinstance(value, dict):
        return {key: fill(inner, ids) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, ids) for inner in value]
    if not isinstance(value, str):
        return value
    return re.sub(r"\{([a-z_]+)\}", lambda match: new_id() if match[1] == "new" else ids[match[1]], value)


def found_organization(data: Path, name: str, email: str) -> str:
    """Makes another organisation with an administrator in a running platform, as identity makes its first; its id.

    There is no route for it: an installation serves the organisation of its seed until sign-up comes.
    """
    database = Database(f"sqlite:///{data / 'databases' / 'identity.db'}")
    try:
        identity: Any = SimpleNamespace(database=database, clock=utc_now, audit=lambda *_: None)
        seed = setup.read_seed(SimpleNamespace(seed_file=None))  # type: ignore[arg-type]
        organization_id = setup.apply_seed(identity, {**seed, "organization": {"name": name}})

        def administrator(connection: Any) -> None:
            roles = storage.roles(connection, organization_id)
            storage.insert_member(
                connection,
                organization_id,
                email=email,
                name=name,
                password_hash=passwords.hash_password(ADMIN_PASSWORD),
                must_change_password=False,
                department_id=None,
                position_id=None,
                role_ids=[role.role_id for role in roles if role.code == "admin"],
                now=utc_now(),
            )

        database.transact(administrator)
        return organization_id
    finally:
        database.close()


@pytest.fixture(scope="module")
def town(platform: Platform) -> Town:
    """One thing of each kind in the administrator's organisation."""
    ids = {"task_type": "test.increment"}
    ids["workflow_id"] = platform.compose([{"key": "use", "type": "test.use"}])
    run = platform.finished(platform.run(ids["workflow_id"]))
    assert run["state"] == "SUCCESS"
    ids |= {"run_id": run["run_id"], "task_run_id": run["jobs"][0]["tasks"][0]["task_run_id"]}
    with platform.client() as api:
        composed = ok(api.get(f"/workflows/{ids['workflow_id']}/detail"))
        ids["job_id"] = composed["jobs"][0]["job_id"]
        ids["task_id"] = composed["jobs"][0]["tasks"][0]["task_id"]
        ids["artifact_id"] = ok(api.get("/artifacts", params={"run_id": run["run_id"]}))["items"][0]["artifact_id"]
        made = created(api.post(f"/workflows/{ids['workflow_id']}/schedules", json={"cron": "0 8 1 1 *"}))
        ids["schedule_id"] = made["schedule_id"]
        ids["connection_id"] = created(api.post("/connections", json={"name": "walked", "kind": "smtp"}))[
            "connection_id"
        ]
        ids["api_token_id"] = created(api.post("/api-tokens", json={"name": "walked", "permissions": ["run:read"]}))[
            "api_token_id"
        ]
        me = ok(api.get("/users/me"))
        ids |= {"user_id": me["user_id"], "organization_id": me["organization_id"]}
    other = found_organization(platform.data, "Other", STRANGER)
    return Town(platform, ids, platform.log_in(STRANGER), other)


@pytest.fixture(scope="module")
def viewer(town: Town) -> str:
    """The token of a viewer, made as an administrator makes one."""
    with town.platform.client() as api:
        new = {"name": "Viewer", "email": VIEWER, "roles": ["viewer"]}
        assert created(api.post("/auth/register", json=new))["mailed"] is True
    mails = sorted((town.platform.data / "mail").glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
    [first] = re.findall(r"^Password: (.+)$", mails[-1].read_text(), re.MULTILINE)
    with town.platform.client(town.platform.log_in(VIEWER, first)) as api:
        ok(api.patch("/users/me", json={"current_password": first, "new_password": ADMIN_PASSWORD}))
    return town.platform.log_in(VIEWER)


@pytest.fixture(scope="module")
def document(platform: Platform) -> dict[str, Any]:
    found: dict[str, Any] = ok(httpx.get(f"{platform.base_url}/openapi.json"))
    return found


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


# --- the table ------------------------------------------------------------------------------------------------------


def test_each_operation_has_a_row_and_each_row_an_operation(document: dict[str, Any]) -> None:
    assert set(operations(document)) == set(ROUTES)


def test_the_document_tells_which_operations_are_public(document: dict[str, Any]) -> None:
    said = {name for name, operation in operations(document).items() if operation.get("security") == []}
    assert said == {name for name, row in ROUTES.items() if "public" in row}


def test_the_public_routes_are_those_of_the_interface(document: dict[str, Any]) -> None:
    text = (HERE.parent / "docs" / "interfaces.md").read_text()
    [section] = re.findall(r"## Public routes, exactly\n(.*?)\n## ", text, re.DOTALL)
    listed = set(re.findall(r"`([A-Z]+ /\S+)`", section))
    assert listed == {name for name, row in ROUTES.items() if "public" in row}
    assert "/blog/**" in section


def test_each_route_of_the_interface_exists_and_is_the_only_one(document: dict[str, Any]) -> None:
    """`{id}` in the document stands for whichever id it is."""
    text = (HERE.parent / "docs" / "interfaces.md").read_text()
    table = text.partition("## Routes (under /v0)")[2].partition("###")[0]
    listed = set()
    for quoted, more in re.findall(r"`([A-Z/]+ /[^`]*)`((?:, `/\w+`)*)", table):
        methods, path = quoted.split(" ", 1)
        path = path.partition("?")[0].rstrip("=").split(" ")[0]
        paths = [path, *(path.rpartition("/")[0] + tail for tail in re.findall(r"`(/\w+)`", more))]
        listed |= {f"{method} /v0{re.sub(r'{[^}]+}', '{}', one)}" for method in methods.split("/") for one in paths}
    served = {re.sub(r"{[^}]+}", "{}", name) for name in ROUTES if " /v0/" in name}
    assert listed == served


# --- as nobody ------------------------------------------------------------------------------------------------------


def test_nobody_gets_past_401_but_on_the_public_routes(town: Town) -> None:
    with httpx.Client(base_url=f"{town.platform.base_url}/v0", timeout=20) as nobody:
        for name, row in ROUTES.items():
            if "public" in row and " /v0/" not in name:
                continue
            answer = town.call(nobody, name)
            assert answer.status_code == row.get("public", 401), f"{name}: {answer.status_code}"
            assert answer.status_code == 200 or answer.headers["content-type"] == "application/problem+json", name


def test_what_lies_outside_v0_is_public_only_where_it_says_so(town: Town) -> None:
    with httpx.Client(base_url=town.platform.base_url, timeout=20) as nobody:
        for name, row in ROUTES.items():
            if "public" in row and " /v0/" not in name:
                method, path = name.split(" ")
                assert nobody.request(method, path).status_code == row["public"], name
                # open for reading, nothing else
                assert nobody.post(path).status_code == 401, name
        missing = nobody.get("/blog/no-such-post.html")
        assert (missing.status_code, missing.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert nobody.post("/blog/").status_code == 401


HIDDEN = [
    "/index.html", "/login/x", "/runs/a/b", "/workflows/a.b",
    "/v0", "/v0/", "/v0/no-such-thing", "/v1/workflows", "/metrics", "/livez", "/readyz", "/docs", "/redoc",
    "/internal/authorize", "/internal/openapi.json", "/internal/problem/404", "/api/rawdata", "/dashboard/", "/ping",
    "/v0/metrics", "/v0/workflows/metrics", "/flowweaver.execution.v1.ExecutionService/StartRun",
    "/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/generation/1", "/healthz", "/health/", "/health/detail", "/blogs", "/.well-known/", "/.well-known/openid",
]  # fmt: skip
DETOURS = [
    "/blog/../v0/workflows", "/blog/%2e%2e/v0/workflows", "/blog/..%2fv0/workflows", "//v0/workflows",
    "/health/../v0/workflows", "/v0/auth/login/../../workflows", "/V0/workflows", "/v0/workflows;x=1", "/v0//workflows",
    "/blog/../metrics", "/blog/..%2f..%2finternal/openapi.json", "/health/%2e%2e/metrics", "/openapi.json/../readyz",
]  # fmt: skip


def raw(base_url: str, path: str, token: str | None = None) -> int:
    """The status of a GET whose path is sent as it is written: clients tidy paths up."""
    url = httpx.URL(base_url).copy_with(raw_path=path.encode())
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(timeout=20) as client:
        return client.send(httpx.Request("GET", url, headers=headers)).status_code


@pytest.mark.parametrize("path", HIDDEN)
def test_everything_else_is_401_for_nobody_and_404_for_somebody(town: Town, path: str) -> None:
    assert raw(town.platform.base_url, path) == 401
    with town.platform.client() as api:
        token = api.headers["authorization"].removeprefix("Bearer ")
    assert raw(town.platform.base_url, path, token) == 404


@pytest.mark.parametrize("path", DETOURS)
def test_no_detour_leads_past_the_gateways_question(town: Town, path: str) -> None:
    assert raw(town.platform.base_url, path) in (301, 308, 400, 401, 404)


def test_the_gateways_own_headers_are_believed_from_nobody(town: Town) -> None:
    forged = {"X-Fw-User": town.ids["user_id"], "X-Fw-Organization": town.ids["organization_id"]}
    for token in ("x", "eyJhbGciOiJub25lIn0.e30.", f"fwt_{UNKNOWN}"):
        headers = {**forged, "Authorization": f"Bearer {token}"}
        answer = httpx.get(f"{town.platform.base_url}/v0/workflows", headers=headers)
        assert answer.status_code == 401, token


# --- as a member who may only look, and with each permission alone ----------------------------------------------------


def test_a_viewer_may_look_and_nothing_else(town: Town, viewer: str) -> None:
    with town.platform.client(viewer) as api:
        for name, row in GUARDED.items():
            if row["permission"] in VIEWS:
                continue
            answer = town.call(api, name)
            assert answer.status_code == 403, f"{name}: {answer.status_code} {answer.text}"
            assert answer.json()["code"] == "forbidden", name


@pytest.fixture(scope="module")
def api_tokens(town: Town) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """By permission: a token of the administrator's without it, and one with nothing but it."""
    with town.platform.client() as api:
        every = ok(api.get("/auth/permissions"))["permissions"]

        def make(permissions: list[str]) -> str:
            body = {"name": "of the walk", "permissions": permissions, "expires_in_days": 1}
            return str(created(api.post("/api-tokens", json=body))["token"])

        without = {one: make([other for other in every if other != one]) for one in every}
        alone = {one: make([one]) for one in every}
        yield without, alone


def test_each_route_wants_its_permission_and_no_other(
    town: Town, api_tokens: tuple[dict[str, str], dict[str, str]]
) -> None:
    without, alone = api_tokens
    # nothing of the kind exists: who is let in changes nothing
    nothing = dict.fromkeys(town.ids, UNKNOWN)
    assert {row["permission"] for row in GUARDED.values()} - {""} == set(without), "a permission without a route"

    def check(permission: str) -> None:
        own = {name: row for name, row in GUARDED.items() if row["permission"] == permission}
        with town.platform.client(without[permission]) as api:
            for name in own:
                assert town.call(api, name).status_code == 403, f"{name} without {permission}"
        with town.platform.client(alone[permission]) as api:
            for name in own:
                answer = town.call(api, name, nothing)
                assert answer.status_code != 401, f"{name} with {permission}"
                # whoever registers others must hold what they hand out, too
                assert answer.status_code != 403 or f"({permission})" not in answer.text, name
                assert answer.status_code < 500, f"{name} with {permission}: {answer.text}"

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(check, without))


# --- as a member of another organisation ------------------------------------------------------------------------------


def test_another_organisations_administrator_finds_nothing_of_ours(town: Town) -> None:
    secret = set(town.ids.values()) - {town.ids["task_type"]}
    with town.platform.client(town.stranger) as stranger:
        for name, row in GUARDED.items():
            leaving = town.platform.client(town.platform.log_in(STRANGER)) if row.get("leaves") else None
            answer = town.call(leaving or stranger, name)
            assert answer.status_code == row["stranger"], f"{name}: {answer.status_code} {answer.text}"
            # a stream goes on: what it tells whom, execution-service/tests/test_follow.py shows
            seen = answer.content.decode() if answer.status_code < 300 and answer.is_stream_consumed else ""
            assert not [one for one in secret if one in seen], f"{name} shows what is not theirs"


def test_another_organisation_cannot_be_named_in_a_body_either(town: Town) -> None:
    with town.platform.client(town.stranger) as stranger, town.platform.client() as admin:
        job_id = created(stranger.post("/jobs", json={"name": "theirs"}))["job_id"]
        workflow_id = created(stranger.post("/workflows", json={"name": "theirs"}))["workflow_id"]
        borrowed = stranger.put(f"/jobs/{job_id}/tasks", json=[{"task_id": town.ids["task_id"], "key": "x"}])
        assert borrowed.status_code == 422, borrowed.text
        borrowed = stranger.put(f"/workflows/{workflow_id}/jobs", json=[{"job_id": town.ids["job_id"]}])
        assert borrowed.status_code == 422, borrowed.text
        departments = ok(admin.get(f"/organizations/{town.ids['organization_id']}/options"))["departments"]
        new = {"name": "Spy", "email": "spy@other.example", "roles": ["viewer"]}
        answer = stranger.post("/auth/register", json={**new, "department": departments[0]["department_id"]})
        assert answer.status_code == 422, answer.text
        answer = stranger.post("/auth/register", json={**new, "organization": town.ids["organization_id"]})
        assert answer.status_code == 404, answer.text
        assert ok(stranger.get("/users", params={"text": "Spy"}))["items"] == []


def test_a_workflow_of_another_organisation_reached_by_a_schedule_of_ones_own(town: Town) -> None:
    with town.platform.client(town.stranger) as stranger:
        theirs = created(stranger.post("/workflows", json={"name": "theirs"}))["workflow_id"]
        path = f"/workflows/{theirs}/schedules/{town.ids['schedule_id']}"
        assert stranger.put(path, json={"cron": "* * * * *"}).status_code == 404
        assert stranger.delete(path).status_code == 404


def test_after_the_walk_everything_of_ours_is_as_it_was(town: Town) -> None:
    with town.platform.client() as api:
        assert ok(api.get(f"/workflows/{town.ids['workflow_id']}"))["name"] == "test"
        assert ok(api.get(f"/jobs/{town.ids['job_id']}"))["name"] == "job 0"
        assert ok(api.get(f"/tasks/{town.ids['task_id']}"))["name"] == "use"
        schedule = ok(api.get(f"/schedules/{town.ids['schedule_id']}"))
        assert (schedule["active"], schedule["paused"]) == (True, False)
        assert ok(api.get(f"/connections/{town.ids['connection_id']}"))["name"] == "walked"
        assert ok(api.get(f"/api-tokens/{town.ids['api_token_id']}"))["name"] == "walked"
        assert api.get(f"/artifacts/{town.ids['artifact_id']}/content").content == b"hello"
        runs = ok(api.get("/workflow-runs", params={"workflow_id": town.ids["workflow_id"]}))["items"]
        assert [run["run_id"] for run in runs] == [town.ids["run_id"]]


# --- services among themselves ----------------------------------------------------------------------------------------


def methods() -> dict[str, Any]:
    """Every RPC of the proto files: `identity.v1.IdentityService/GetUsers` → its descriptor."""
    found = {}
    for context in CONTEXTS:
        file = importlib.import_module(f"flowweaver.{context}.v1.{context}_pb2").DESCRIPTOR
        for service in file.services_by_name.values():
            for method in service.methods:
                found[f"{service.full_name.removeprefix('flowweaver.')}/{method.name}"] = method
    return found


METHODS = methods()


@pytest.fixture(scope="module")
def channel(platform: Platform) -> Iterator[grpc.Channel]:
    """To the gateway's inner door, as a service has it."""
    written = (platform.data / "runtime" / "gateway" / "traefik.yml").read_text()
    [address] = re.findall(r'inner:\n\s+address: "([^"]+)"', written)
    with grpc.insecure_channel(address) as opened:
        yield opened


def invoke(
    channel: grpc.Channel, name: str, fields: dict[str, Any], token: str | None
) -> tuple[grpc.StatusCode, Any, dict[str, Any]]:
    """(status, metadata of a refusal, answer as JSON)."""
    method = METHODS[name]
    kind, answer_kind = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    known = method.input_type.fields_by_name
    request = json_format.ParseDict({key: value for key, value in fields.items() if key in known}, kind())
    shape = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = shape(
        f"/flowweaver.{name}", request_serializer=kind.SerializeToString, response_deserializer=answer_kind.FromString
    )
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    try:
        answer = call(request, timeout=10, metadata=metadata)
        if method.server_streaming:
            answer = next(iter(answer))
        return grpc.StatusCode.OK, None, json_format.MessageToDict(answer)
    except grpc.RpcError as error:
        return error.code(), error.trailing_metadata(), {}


def service_tokens(platform: Platform) -> ServiceTokens:
    return ServiceTokens((platform.data / "secrets" / "service.key").read_text().strip(), "scheduler-service")


def audience(name: str) -> str:
    return f"{name.partition('.')[0]}-service"


def test_each_call_has_a_row_and_each_row_a_call() -> None:
    protos = (HERE.parent / "proto" / "flowweaver").glob("*/v*/*.proto")
    assert sorted(path.parent.parent.name for path in protos) == list(CONTEXTS)
    assert set(CALLS) == set(METHODS)


def test_each_server_offers_what_the_table_knows_and_nothing_else(platform: Platform) -> None:
    """As it tells by reflection: a service that no proto file here describes would stand in it, too."""
    written = json.loads((platform.data / "runtime" / "gateway" / "dynamic" / "servers.yml").read_text())
    for context in CONTEXTS:
        [server] = written["http"]["services"][f"{context}-rpc"]["loadBalancer"]["servers"]
        with grpc.insecure_channel(server["url"].removeprefix("h2c://")) as direct:
            listing = reflection_pb2.ServerReflectionRequest(list_services="")
            [answer] = reflection_pb2_grpc.ServerReflectionStub(direct).ServerReflectionInfo(
                iter([listing]), timeout=10
            )
        names = {service.name for service in answer.list_services_response.service}
        theirs = {name.partition("/")[0] for name in METHODS if name.startswith(f"{context}.")}
        open_to_all = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
        assert names == {f"flowweaver.{name}" for name in theirs} | open_to_all


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_call_wants_a_token_made_for_that_service(town: Town, channel: grpc.Channel, name: str) -> None:
    tokens, organization = service_tokens(town.platform), town.ids["organization_id"]
    elsewhere = next(context for context in CONTEXTS if not name.startswith(context))
    with town.platform.client() as api:
        persons = api.headers["authorization"].removeprefix("Bearer ")
    fields = {"organization_id": organization, **fill(CALLS[name].get("request", {}), town.ids)}
    for token in (
        None,
        "x",
        persons,
        tokens.make(f"{elsewhere}-service", organization_id=organization),
        ServiceTokens("a guessed secret", "x").make(audience(name), organization_id=organization),
    ):
        assert invoke(channel, name, fields, token)[0] is grpc.StatusCode.UNAUTHENTICATED, token


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_call_for_another_organisation_finds_nothing_of_ours(town: Town, channel: grpc.Channel, name: str) -> None:
    other = town.stranger_organization
    token = service_tokens(town.platform).make(audience(name), organization_id=other)
    wanted = fill(CALLS[name].get("request", {}), town.ids)
    status, _, answer = invoke(channel, name, {"organization_id": other, **wanted}, token)
    assert status.name == CALLS[name]["stranger"]
    assert not [one for one in town.ids.values() if one != town.ids["task_type"] and one in json.dumps(answer)]
    if "organization_id" in METHODS[name].input_type.fields_by_name:
        # the token names one organisation, the request another
        ours = {"organization_id": town.ids["organization_id"], **wanted}
        status, _, _ = invoke(channel, name, ours, token)
        assert status in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND)


def test_an_unknown_rpc_is_not_answered(town: Town, channel: grpc.Channel) -> None:
    call = partial(channel.unary_unary, request_serializer=None, response_deserializer=None)
    for path in (
        "/flowweaver.execution.v1.ExecutionService/DropAll",
        "/flowweaver.execution.v2.ExecutionService/GetRun",
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call(path)(b"", timeout=5)
        assert refused.value.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAUTHENTICATED)


def test_ids_that_exist_nowhere_are_as_unknown_as_foreign_ones(town: Town) -> None:
    """The same answer for both: a stranger cannot learn what exists."""
    with town.platform.client(town.stranger) as stranger:
        for name, row in GUARDED.items():
            if row["stranger"] != 404:
                continue
            foreign = town.call(stranger, name).json()
            unknown = town.call(stranger, name, dict.fromkeys(town.ids, new_id())).json()
            for answer in (foreign, unknown):
                answer.pop("trace_id")
            assert foreign == unknown, name
