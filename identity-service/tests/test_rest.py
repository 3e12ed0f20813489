"""The edge for people, over real HTTP."""

import time
from typing import Any

import httpx
import pytest

from identity_service import storage
from identity_service.rest import shapes
from identity_service.storage.tables import login_attempt
from kit.auth import AUDIENCE, ISSUER

ADMIN, PASSWORD = "admin@example.com", "correct horse battery"


def _problem(answer: httpx.Response, status: int, code: str, *fields: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content = answer.json()
    assert content["code"] == code
    assert [item["field"] for item in content["errors"]] == list(fields)
    assert all(item["reason"] and "{" not in item["reason"] for item in content["errors"])
    assert content["detail"] != code
    assert content["trace_id"] == answer.headers["x-trace-id"]


def test_logging_in_gives_a_token_and_a_cookie_that_scripts_cannot_read(site: Any) -> None:
    with site.client() as client:
        answer = client.post("/v0/auth/login", json={"email": ADMIN, "password": PASSWORD})
    assert answer.status_code == 200
    content = answer.json()
    assert set(content) == {"access_token", "token_type", "expires_in", "must_change_password"}
    assert (content["token_type"], content["expires_in"]) == ("Bearer", 900)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("fw_refresh=")
    assert {"HttpOnly", "Path=/v0/auth", "SameSite=strict"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert answer.headers["cache-control"] == "no-store"


def test_a_wrong_password_and_an_unknown_address_are_answered_alike(site: Any) -> None:
    def ask(email: str) -> tuple[dict[str, Any], float]:
        began = time.perf_counter()
        answer = client.post("/v0/auth/login", json={"email": email, "password": "wrong password"})
        took = time.perf_counter() - began
        _problem(answer, 401, "credentials_invalid")
        return {name: value for name, value in answer.json().items() if name != "trace_id"}, took

    with site.client() as client:
        rounds = [(ask(ADMIN), ask("nobody@example.com")) for _ in range(7)]
    assert all(known[0] == unknown[0] for known, unknown in rounds)
    # the quickest of each: whatever else the machine does only ever adds to a time
    known_s = min(known[1] for known, _ in rounds)
    unknown_s = min(unknown[1] for _, unknown in rounds)
    # a missing dummy hash would make it twenty times faster
    assert 0.5 < known_s / unknown_s < 2
    site.world.identity.database.transact(lambda connection: connection.execute(login_attempt.delete()))


def test_a_locked_address_is_told_when_to_come_back(site: Any) -> None:
    with site.client() as client:
        for _ in range(10):
            answer = client.post("/v0/auth/login", json={"email": "locked@example.com", "password": "x"})
            assert answer.status_code == 401
        answer = client.post("/v0/auth/login", json={"email": "locked@example.com", "password": "x"})
    _problem(answer, 429, "login_locked")
    assert 1 <= int(answer.headers["retry-after"]) <= 30


def test_the_cookie_refreshes_and_an_old_one_ends_the_session(site: Any) -> None:
    with site.client() as client:
        client.post("/v0/auth/login", json={"email": ADMIN, "password": PASSWORD})
        old = client.cookies["fw_refresh"]
        answer = client.post("/v0/auth/refresh")
        assert answer.status_code == 200
        assert client.cookies["fw_refresh"] != old
        token = answer.json()["access_token"]
        site.world.clock.advance(seconds=11)
        thief = httpx.post(f"{site.url}/v0/auth/refresh", headers={"cookie": f"fw_refresh={old}"}, trust_env=False)
        assert thief.status_code == 401
        assert 'fw_refresh=""' in thief.headers["set-cookie"]
        _problem(client.post("/v0/auth/refresh"), 401, "refresh_invalid")
        checked = client.get("/v0/auth/check-session", headers={"authorization": f"Bearer {token}"})
        _problem(checked, 401, "token_invalid")


def test_refreshing_without_a_cookie_is_anonymous(site: Any) -> None:
    with site.client() as client:
        _problem(client.post("/v0/auth/refresh"), 401, "unauthenticated")


def test_logging_out_ends_the_session_and_drops_the_cookie(site: Any) -> None:
    with site.client() as client:
        token = client.post("/v0/auth/login", json={"email": ADMIN, "password": PASSWORD}).json()["access_token"]
        bearer = {"authorization": f"Bearer {token}"}
        assert client.get("/v0/auth/check-session", headers=bearer).json()["active"] is True
        answer = client.post("/v0/auth/logout", headers=bearer)
        assert (answer.status_code, answer.content) == (204, b"")
        assert "fw_refresh" not in client.cookies
        _problem(client.get("/v0/auth/check-session", headers=bearer), 401, "token_invalid")


def test_a_caller_learns_what_they_may_do(site: Any) -> None:
    with site.admin() as admin:
        content = admin.get("/v0/auth/permissions").json()
    assert content["roles"] == ["admin"]
    assert "connection:write" in content["permissions"]
    assert content["must_change_password"] is False


def test_registering_takes_what_the_options_offer(site: Any) -> None:
    with site.admin() as admin:
        organization = admin.get("/v0/organizations").json()["items"][0]["organization_id"]
        options = admin.get(f"/v0/organizations/{organization}/options").json()
        body = {
            "name": "김새롬",
            "email": "Saerom@example.com",
            "organization": organization,
            "department": options["departments"][0]["department_id"],
            "position": options["positions"][0]["position_id"],
            "roles": [next(role["role_id"] for role in options["roles"] if role["code"] == "viewer")],
        }
        made = admin.post("/v0/auth/register", json=body, headers={"idempotency-key": "saerom"})
        assert made.status_code == 201, made.text
        user = made.json()
        assert made.headers["location"] == f"/v0/users/{user['user_id']}"
        assert (user["email"], user["roles"], user["mailed"]) == ("saerom@example.com", ["viewer"], True)
        assert user["department"] == options["departments"][0]
        again = admin.post("/v0/auth/register", json=body, headers={"idempotency-key": "saerom"})
        assert (again.status_code, again.json()["user_id"]) == (201, user["user_id"])
        _problem(admin.post("/v0/auth/register", json=body), 409, "email_taken")
        read = admin.get(made.headers["location"])
        assert read.json()["name"] == "김새롬"
        assert read.headers["etag"] == '"1"'


def test_a_viewer_sees_but_changes_nothing(site: Any) -> None:
    with site.register("viewer@example.com", "viewer") as viewer:
        assert viewer.get("/v0/users").status_code == 200
        assert viewer.get("/v0/roles").status_code == 200
        me = viewer.get("/v0/users/me").json()
        body = {"name": "x", "email": "x@example.com", "roles": ["admin"]}
        _problem(viewer.post("/v0/auth/register", json=body), 403, "forbidden")
        _problem(viewer.patch(f"/v0/users/{me['user_id']}", json={"roles": ["admin"]}), 403, "forbidden")
        _problem(viewer.post("/v0/users/check-email", json={"email": "x@example.com"}), 403, "forbidden")
        _problem(viewer.post(f"/v0/users/{me['user_id']}/initial-password"), 403, "forbidden")
        _problem(viewer.get("/v0/audit-log"), 403, "forbidden")
        token = viewer.post("/v0/api-tokens", json={"name": "t", "permissions": ["workflow:run"]})
        _problem(token, 403, "forbidden")
    with site.register("operator@example.com", "operator") as operator:
        _problem(operator.get("/v0/users"), 403, "forbidden")


def test_another_organisations_ids_are_not_found(site: Any) -> None:
    world = site.world

    def work(connection: Any) -> tuple[str, str]:
        other = storage.insert_organization(connection, "Foreign", world.clock())
        user_id = storage.insert_member(
            connection,
            other,
            email="foreign@example.com",
            name="x",
            password_hash=None,
            must_change_password=False,
            department_id=None,
            position_id=None,
            role_ids=[],
            now=world.clock(),
        )
        return other, user_id

    other, user_id = world.identity.database.transact(work)
    with site.admin() as admin:
        for answer in (
            admin.get(f"/v0/organizations/{other}/options"),
            admin.get(f"/v0/users/{user_id}"),
            admin.patch(f"/v0/users/{user_id}", json={"name": "y"}),
            admin.post(f"/v0/users/{user_id}/initial-password"),
            admin.post(
                "/v0/auth/register",
                json={"name": "x", "email": "y@example.com", "organization": other, "roles": ["viewer"]},
            ),
            admin.get("/v0/users/unknown"),
            admin.get("/v0/api-tokens/unknown"),
            admin.delete("/v0/api-tokens/unknown"),
            admin.get("/v0/nothing"),
        ):
            assert answer.status_code == 404, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
        listed = admin.get("/v0/users", params={"text": "foreign@"}).json()["items"]
        assert listed == []


def test_lists_are_paged_by_cursor(site: Any) -> None:
    with site.admin() as admin:
        for path, key in (("/v0/permissions", "permission_id"), ("/v0/audit-log", "audit_log_id")):
            everything = [item[key] for item in admin.get(path, params={"limit": 200}).json()["items"]]
            assert everything == sorted(everything, reverse=True)
            page = admin.get(path, params={"limit": 3}).json()
            assert [item[key] for item in page["items"]] == everything[:3]
            after = admin.get(path, params={"limit": 3, "cursor": page["next_cursor"]}).json()
            assert [item[key] for item in after["items"]] == everything[3:6]
        one = admin.get("/v0/organizations").json()
        assert (len(one["items"]), one["next_cursor"]) == (1, None)
        roles = admin.get("/v0/roles", params={"limit": 3}).json()
        last = admin.get("/v0/roles", params={"cursor": roles["next_cursor"]}).json()
        assert [role["code"] for role in roles["items"] + last["items"]] == ["viewer", "operator", "editor", "admin"]


def test_the_audit_log_tells_who_did_what_under_which_trace(site: Any) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with site.admin() as admin:
        body = {"name": "로그", "email": "audited@example.com", "roles": ["viewer"]}
        headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        made = admin.post("/v0/auth/register", json=body, headers=headers).json()
        me = admin.get("/v0/users/me").json()["user_id"]
        found = admin.get("/v0/audit-log", params={"action": "user.registered", "user_id": me, "limit": 1}).json()
    entry = found["items"][0]
    assert (entry["user_id"], entry["resource_id"], entry["trace_id"]) == (me, made["user_id"], trace)
    assert entry["at"].endswith("Z")
    assert admin.headers["authorization"].split(" ")[1] not in str(found)


def test_changes_name_the_version_they_saw(site: Any) -> None:
    with site.register("versioned@example.com", "viewer") as member, site.admin() as admin:
        me = member.get("/v0/users/me")
        etag = me.headers["etag"]
        changed = member.patch("/v0/users/me", json={"name": "하나"}, headers={"if-match": etag})
        assert (changed.status_code, changed.json()["name"]) == (200, "하나")
        _problem(member.patch("/v0/users/me", json={"name": "둘"}, headers={"if-match": etag}), 412, "outdated")
        _problem(member.patch("/v0/users/me", json={"name": "둘"}, headers={"if-match": "x"}), 412, "outdated")
        path = f"/v0/users/{me.json()['user_id']}"
        assert admin.patch(path, json={"state": "suspended"}, headers={"if-match": "*"}).status_code == 200
        _problem(admin.patch(path, json={"name": "셋"}, headers={"if-match": etag}), 412, "outdated")


def test_an_address_is_free_until_it_is_registered(site: Any) -> None:
    with site.admin() as admin:
        assert admin.post("/v0/users/check-email", json={"email": ADMIN.upper()}).json() == {"available": False}
        assert admin.post("/v0/users/check-email", json={"email": "free@example.com"}).json() == {"available": True}


def test_a_password_can_be_mailed_again(site: Any) -> None:
    site.register("again@example.com", "viewer").close()
    with site.admin() as admin:
        user = admin.get("/v0/users", params={"text": "again@"}).json()["items"][0]
        assert admin.post(f"/v0/users/{user['user_id']}/initial-password").json() == {"mailed": True}
    assert site.world.log_in("again@example.com", site.world.mailed_password()).must_change_password


def test_api_tokens_are_made_listed_read_and_revoked(site: Any) -> None:
    with site.admin() as admin, site.register("tokens@example.com", "editor") as editor:
        body = {"name": "배포", "permissions": ["workflow:run"], "expires_in_days": 7}
        made = editor.post("/v0/api-tokens", json=body, headers={"idempotency-key": "t1"})
        assert made.status_code == 201
        token = made.json()["token"]
        assert token.startswith("fwt_")
        again = editor.post("/v0/api-tokens", json=body, headers={"idempotency-key": "t1"}).json()
        assert (again["api_token_id"], again["token"]) == (made.json()["api_token_id"], None)
        path = made.headers["location"]
        assert editor.get("/v0/api-tokens").json()["items"] == [editor.get(path).json()]
        assert token not in editor.get("/v0/api-tokens").text
        assert admin.get("/v0/api-tokens").json()["items"] == []
        assert admin.get(path).status_code == 200
        _problem(editor.get(admin_token_path(admin)), 404, "api_token_not_found")
        assert admin.delete(path).status_code == 204
        _problem(editor.get(path), 404, "api_token_not_found")
        unknown = editor.post("/v0/api-tokens", json={"name": "x", "permissions": ["fly:high"]})
        _problem(unknown, 422, "invalid", "body.permissions[0]")


def admin_token_path(admin: httpx.Client) -> str:
    made = admin.post("/v0/api-tokens", json={"name": "x", "permissions": ["user:read"]})
    return made.headers["location"]


@pytest.mark.parametrize(
    ("method", "path", "body", "fields"),
    [
        ("POST", "/v0/auth/login", {"email": ADMIN}, ["body.password"]),
        ("POST", "/v0/auth/login", {"email": 1, "password": "x"}, ["body.email"]),
        ("POST", "/v0/auth/login", {"email": ADMIN, "password": "x" * 257}, ["body.password"]),
        ("POST", "/v0/auth/login", {"email": ADMIN, "password": "x", "more": 1}, ["body.more"]),
        ("POST", "/v0/auth/login?next=/", {"email": ADMIN, "password": "x"}, ["query.next"]),
        ("POST", "/v0/auth/register", {"name": " ", "email": "nobody", "roles": []}, None),
        ("POST", "/v0/auth/register", {"name": "a\u0000b", "email": "a@b.kr", "roles": ["x"]}, ["body.name"]),
        ("PATCH", "/v0/users/me", {"new_password": "long enough to be one"}, ["body.current_password"]),
        ("PATCH", "/v0/users/unknown", {"state": "gone"}, ["body.state"]),
        ("POST", "/v0/api-tokens", {"name": "x", "permissions": ["a"], "expires_in_days": 0}, ["body.expires_in_days"]),
        ("GET", "/v0/users?limit=0", None, ["query.limit"]),
        ("GET", "/v0/users?limit=201", None, ["query.limit"]),
        ("GET", "/v0/users?limit=x", None, ["query.limit"]),
        ("GET", "/v0/users?cursor=zzz", None, ["query.cursor"]),
        ("GET", "/v0/audit-log?page=-1", None, ["query.page"]),
        ("GET", "/v0/organizations?cursor=zzz", None, ["query.cursor"]),
    ],
)
def test_bad_input_is_named(
    site: Any, method: str, path: str, body: dict[str, Any] | None, fields: list[str] | None
) -> None:
    with site.admin() as admin:
        answer = admin.request(method, path, json=body)
    assert answer.status_code == 422, answer.text
    expected = fields if fields is not None else ["body.name", "body.email", "body.roles"]
    _problem(answer, 422, "invalid", *expected)


def test_malformed_json_is_the_callers_fault(site: Any) -> None:
    with site.client() as client:
        answer = client.post("/v0/auth/login", content=b'{"email": ', headers={"content-type": "application/json"})
    _problem(answer, 422, "invalid", "body")


def test_every_route_but_the_public_ones_wants_a_token(site: Any) -> None:
    with site.client() as client:
        paths = client.get("/internal/openapi.json").json()["paths"]
        public = []
        for path, methods in paths.items():
            for method in methods:
                answer = client.request(method, path.replace("{", "").replace("}", ""))
                if answer.status_code != 401:
                    public.append((method.upper(), path))
    assert sorted(public) == [
        ("GET", "/.well-known/jwks.json"),
        ("GET", "/health"),
        ("GET", "/openapi.json"),
        ("POST", "/v0/auth/login"),
    ]


def test_the_merged_document_is_served_once_there_is_one(site: Any) -> None:
    document = site.world.identity.settings.openapi_document()
    document.unlink(missing_ok=True)
    with site.client() as client:
        _problem(client.get("/openapi.json"), 503, "unavailable")
        document.parent.mkdir(parents=True, exist_ok=True)
        document.write_text('{"openapi": "3.1.0"}')
        assert client.get("/openapi.json").json() == {"openapi": "3.1.0"}


def test_health_tells_nothing_else(site: Any) -> None:
    with site.client() as client:
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/readyz").status_code == 200


def test_the_public_keys_are_public_keys(site: Any) -> None:
    with site.client() as client:
        keys = client.get("/.well-known/jwks.json").json()["keys"]
    assert [set(key) for key in keys] == [{"alg", "kty", "crv", "x", "y", "kid", "use"}]
    assert (AUDIENCE, ISSUER) == ("flowweaver", "flowweaver")


def test_too_many_at_once_are_told_to_come_back(site: Any) -> None:
    # the queue is bounded: beyond it nobody waits for a hash
    assert shapes.HASHING_QUEUE >= 20
    from concurrent.futures import ThreadPoolExecutor

    crowd = shapes.HASHING_QUEUE + shapes.HASHING + 30

    def ask(number: int) -> int:
        body = {"email": f"crowd{number}@example.com", "password": "wrong password"}
        return client.post("/v0/auth/login", json=body).status_code

    limits = httpx.Limits(max_connections=crowd)
    with (
        httpx.Client(base_url=site.url, trust_env=False, timeout=60, limits=limits) as client,
        ThreadPoolExecutor(crowd) as pool,
    ):
        codes = set(pool.map(ask, range(crowd)))
    assert codes == {401, 429}
