"""The service's edges, over real HTTP and real gRPC."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import httpx
import orjson
import pytest
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jwk, jwt

from flowweaver.worker.v1 import worker_pb2, worker_pb2_grpc
from kit import rpc
from kit.auth import ServiceTokens, Verifier
from kit.http import make_app
from worker_service import rest, sdk
from worker_service.app import create_connection
from worker_service.rpc import SERVICE, WorkerServicer

pytestmark = pytest.mark.anyio

_KEY = ec.generate_private_key(ec.SECP256R1())
_PEM = _KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
_PUBLIC = {**jwk.construct(_PEM, "ES256").public_key().to_dict(), "kid": "k1"}
_ALL = ["connection:read", "connection:write", "artifact:read", "workflow:write"]


def token(organization: str = "org1", permissions: list[str] = _ALL) -> str:
    claims = {
        "sub": "u1",
        "org": organization,
        "sid": "s1",
        "permissions": permissions,
        "authz": 1,
        "iss": "flowweaver",
        "aud": "flowweaver",
        "exp": int(time.time()) + 600,
    }
    return str(jwt.encode(claims, _PEM, algorithm="ES256", headers={"kid": "k1"}))


def person(organization: str = "org1", permissions: list[str] = _ALL) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(organization, permissions)}"}


class Site:
    def __init__(self, worker: Any, base: str) -> None:
        self.worker = worker
        self.app = worker.app
        self.base = base

    def client(self, organization: str = "org1", permissions: list[str] = _ALL) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.base, headers=person(organization, permissions), timeout=20)


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        pass


@pytest.fixture
async def site(start_worker: Callable[..., Any]) -> AsyncIterator[Site]:
    worker = await start_worker()
    api = make_app("worker-service", language="en", ready=worker.runtime.ready)
    api.state.verifier = Verifier(lambda: {"keys": [_PUBLIC]})
    rest.add_routes(api, worker.app, worker.runtime.attempt)
    server = _Server(uvicorn.Config(api, port=0, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Site(worker, f"http://127.0.0.1:{port}")
    server.should_exit = True
    await serving


async def test_connections_are_kept_and_never_tell_their_secrets(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ""
    async with site.client() as client:
        body = {"name": "my-blog", "kind": "wordpress", "settings": {"url": "x"}, "credentials": {"password": "gehe1m"}}
        made = await client.post("/v0/connections", json=body, headers={"Idempotency-Key": "1"})
        assert made.status_code == 201
        address = made.headers["location"]
        again = await client.post("/v0/connections", json=body, headers={"Idempotency-Key": "1"})
        assert again.json() == made.json()
        assert (await client.post("/v0/connections", json=body)).status_code == 409
        found = await client.get(address)
        assert found.json()["credential_names"] == ["password"]
        assert found.headers["etag"] == '"1"'
        listed = await client.get("/v0/connections", params={"limit": 1})
        assert listed.json()["items"] == [found.json()]
        assert listed.json()["next_cursor"] is None
        changed = {"name": "my-blog", "kind": "wordpress", "settings": {}}
        assert (await client.put(address, json=changed, headers={"If-Match": '"9"'})).status_code == 412
        assert (await client.put(address, json=changed, headers={"If-Match": "often"})).status_code == 412
        put = await client.put(address, json=changed, headers={"If-Match": '"1"'})
        assert (put.status_code, put.json()["version"], put.json()["credential_names"]) == (200, 2, ["password"])
        said = made.text + again.text + found.text + listed.text + put.text
        assert (await client.delete(address, headers={"If-Match": "*"})).status_code == 204
        assert (await client.get(address)).status_code == 404
    captured = capsys.readouterr()
    assert "gehe1m" not in said + captured.out + captured.err


async def test_pages_of_connections_follow_each_other(site: Site) -> None:
    for number in range(3):
        create_connection(site.app, "org1", f"c{number}", "k", {}, {})
    async with site.client() as client:
        first = (await client.get("/v0/connections", params={"limit": 2})).json()
        second = (await client.get("/v0/connections", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [row["name"] for row in first["items"] + second["items"]] == ["c2", "c1", "c0"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "Bad Name", "kind": "k"}, "body.name"),
        ({"name": "ok", "kind": "k", "extra": 1}, "body.extra"),
        ({"name": "ok", "kind": "k", "settings": []}, "body.settings"),
        ({"name": "ok", "kind": "k", "credentials": {"p": 1}}, "body.credentials.p"),
        ({"name": "ok", "kind": "k", "settings": {"a": "x" * 70_000}}, "body.settings"),
        ({"kind": "k"}, "body.name"),
    ],
)
async def test_a_bad_connection_is_refused_by_field(site: Site, body: dict[str, Any], field: str) -> None:
    async with site.client() as client:
        answer = await client.post("/v0/connections", json=body)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]


async def test_every_route_asks_for_its_permission_and_organisation(site: Site) -> None:
    made = create_connection(site.app, "org1", "c", "k", {}, {})
    artifact = site.app.artifacts.put("org1", "r1", "t1", "a.txt", b"x", "text/plain")
    routes = [
        ("GET", "/v0/connections", None),
        ("POST", "/v0/connections", {"name": "n", "kind": "k"}),
        ("GET", f"/v0/connections/{made.connection_id}", None),
        ("PUT", f"/v0/connections/{made.connection_id}", {"name": "n", "kind": "k"}),
        ("DELETE", f"/v0/connections/{made.connection_id}", None),
        ("GET", "/v0/artifacts", None),
        ("GET", f"/v0/artifacts/{artifact.artifact_id}", None),
        ("GET", f"/v0/artifacts/{artifact.artifact_id}/content", None),
        ("POST", "/v0/task-types/test.increment/try", {}),
    ]
    async with site.client() as client, site.client(permissions=[]) as nobody, site.client("org2") as foreigner:
        for method, path, body in routes:
            asked = {"json": body} if body is not None else {}
            assert (await nobody.request(method, path, **asked)).status_code == 403, path
            anonymous = await client.request(method, path, headers={"Authorization": ""}, **asked)
            assert anonymous.status_code == 401, path
            if made.connection_id in path or artifact.artifact_id in path:
                assert (await foreigner.request(method, path, **asked)).status_code == 404, path
        assert (await foreigner.get("/v0/connections")).json()["items"] == []
        assert (await foreigner.get("/v0/artifacts")).json()["items"] == []
        assert (await client.get("/v0/artifacts", params={"page": 1})).status_code == 422


async def test_artifacts_are_listed_by_run_and_answered_safely(site: Site) -> None:
    put = site.app.artifacts.put
    image = put("org1", "r1", "t1", "상품/그림.png", b"\x89PNG", "image/png")
    page = put("org1", "r2", "t1", "evil.html", b"<script>", "text/html")
    async with site.client() as client:
        listed = (await client.get("/v0/artifacts", params={"run_id": "r1"})).json()
        assert [row["path"] for row in listed["items"]] == ["상품/그림.png"]
        assert (await client.get(f"/v0/artifacts/{image.artifact_id}")).json() == listed["items"][0]
        content = await client.get(image.url)
        assert content.content == b"\x89PNG"
        assert content.headers["content-type"] == "image/png"
        assert content.headers["content-disposition"].startswith("inline; filename*=UTF-8''%EA")
        unsafe = await client.get(page.url)
        assert unsafe.headers["content-type"] == "application/octet-stream"
        assert unsafe.headers["content-disposition"].startswith("attachment")
        assert unsafe.headers["x-content-type-options"] == "nosniff"
        (site.app.settings.data / "artifacts/org1/r1/상품/그림.png").unlink()
        assert (await client.get(image.url)).status_code == 404


async def test_the_blog_serves_its_folder_and_nothing_else(site: Site) -> None:
    folder = site.app.settings.blog_folder()
    (folder / "posts").mkdir()
    (folder / "index.html").write_text("<h1>목록</h1>")
    (folder / "posts" / "one.html").write_text("<p>글</p>")
    (folder / ".publish.lock").write_text("secret")
    (folder.parent / "beside.txt").write_text("secret")
    async with httpx.AsyncClient(base_url=site.base, follow_redirects=True) as anonymous:
        assert "목록" in (await anonymous.get("/blog")).text
        found = await anonymous.get("/blog/posts/one.html")
        assert (found.status_code, found.text) == (200, "<p>글</p>")
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in found.headers["content-security-policy"]
        for path in ("/blog/.publish.lock", "/blog/%2e%2e/beside.txt", "/blog/..%2fbeside.txt", "/blog/none.html"):
            missing = await anonymous.get(path)
            assert missing.status_code == 404, path
            assert "secret" not in missing.text
        assert (await anonymous.post("/blog/posts/one.html")).status_code == 405
        english = await anonymous.get("/blog/none", headers={"Accept-Language": "en"})
        assert "does not exist" in english.text


async def test_a_task_type_is_tried_without_a_run(site: Site) -> None:
    async with site.client() as client:
        good = await client.post("/v0/task-types/test.increment/try", json={"parameters": {"n": 1}})
        assert good.json()["output"] == {"n": 2}
        assert good.json()["error"] is None
        bad = await client.post("/v0/task-types/test.increment/try", json={"parameters": {"n": "x"}})
        assert bad.json()["error"]["code"] == "invalid_parameters"
        slow = await client.post("/v0/task-types/test.sleep/try", json={"parameters": {"seconds": 9}, "timeout_s": 0.1})
        assert slow.json()["error"]["code"] == "timeout"
        large = await client.post("/v0/task-types/test.use/try", json={"parameters": {"bytes": 300_000}})
        assert (large.json()["output"], large.json()["error"]["code"]) == (None, "output_not_shown")
        assert "262144" in large.json()["error"]["message"]
        assert (await client.post("/v0/task-types/test.effect/try", json={})).status_code == 409
        assert (await client.post("/v0/task-types/no.such/try", json={})).status_code == 404
        assert (await client.post("/v0/task-types/test.sleep/try", json={"timeout_s": 99})).status_code == 422
        many = [client.post("/v0/task-types/test.sleep/try", json={"parameters": {"seconds": 1}}) for _ in range(5)]
        assert sorted(answer.status_code for answer in await asyncio.gather(*many)) == [200, 200, 200, 200, 429]


@pytest.fixture
async def stub(start_worker: Callable[..., Any]) -> AsyncIterator[tuple[Any, Callable[[str], Any]]]:
    worker = await start_worker()
    tokens = ServiceTokens("s" * 32, "worker-service")
    server = rpc.Server(tokens)
    servicer = WorkerServicer(worker.app, worker.runtime.attempt)
    server.add(SERVICE, worker_pb2_grpc.add_WorkerServiceServicer_to_server, servicer)
    port = await server.start("127.0.0.1", 0)
    asking = ServiceTokens("s" * 32, "workflow-service")

    def metadata(organization: str) -> Any:
        return (("authorization", f"Bearer {asking.make('worker-service', organization_id=organization)}"),)

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield worker_pb2_grpc.WorkerServiceStub(channel), metadata
    await server.stop(0)


async def test_other_services_learn_the_task_types(stub: Any) -> None:
    calls, metadata = stub
    answer = await calls.ListTaskTypes(worker_pb2.ListTaskTypesRequest(), metadata=metadata(""))
    types = {found.type: found for found in answer.task_types}
    fail = types["test.fail"]
    assert (fail.title_ko, fail.title_en) == ("시험: 실패하기", "Test: fail")
    assert [(error.code, error.retryable) for error in fail.errors] == [("test_retryable", True), ("test_fatal", False)]
    assert fail.errors[0].text_en == "Attempt {attempt} failed on purpose."
    assert types["test.effect"].effect
    schema = orjson.loads(fail.parameters_schema_json)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert orjson.loads(types["test.increment"].output_schema_json)["required"] == ["n"]


async def test_other_services_try_a_task(stub: Any) -> None:
    calls, metadata = stub

    async def attempt(type_name: str, parameters: str, organization: str = "org1", **fields: Any) -> Any:
        request = worker_pb2.TryTaskRequest(
            organization_id="org1", type=type_name, parameters_json=parameters, **fields
        )
        return await calls.TryTask(request, metadata=metadata(organization))

    assert orjson.loads((await attempt("test.increment", '{"n": 1}')).output_json) == {"n": 2}
    failed = await attempt("test.sleep", '{"seconds": 9}', timeout_s=0.1)
    assert (failed.error.code, failed.error.retryable) == ("timeout", True)
    large = await attempt("test.use_process", '{"bytes": 300000}')
    assert (large.output_json, large.error.code, large.error.retryable) == ("", "output_not_shown", False)
    for asked, code in (
        (("test.effect", "{}"), grpc.StatusCode.FAILED_PRECONDITION),
        (("no.such", "{}"), grpc.StatusCode.NOT_FOUND),
        (("test.increment", "{"), grpc.StatusCode.INVALID_ARGUMENT),
        (("test.increment", "{}", "org2"), grpc.StatusCode.PERMISSION_DENIED),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await attempt(*asked)
        assert caught.value.code() == code


def test_every_task_type_has_titles_and_texts_in_both_languages() -> None:
    for name, found in sdk.discover(test_tasks=True).items():
        for lang in ("ko", "en"):
            assert found.title(lang) != name, name
            for error in found.errors:
                assert found.text(error.code, lang), (name, error.code, lang)
        assert found.parameters_schema["additionalProperties"] is False, name


def test_test_tasks_are_there_only_when_asked_for() -> None:
    assert not [name for name in sdk.discover() if name.startswith("test.")]


def test_two_modules_may_not_claim_one_task_type() -> None:
    with pytest.raises(ValueError, match=r"test\.increment"):

        @sdk.task_type("test.increment", parameters=sdk.Parameters, output=sdk.Output)
        async def other(ctx: sdk.Context, p: sdk.Parameters) -> sdk.Output:
            return sdk.Output()
