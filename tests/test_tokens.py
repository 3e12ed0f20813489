"""Tokens that were never ours, are ours no more, or come another way than they should: through the real gateway."""

import base64
import hashlib
import hmac
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jwk, jwt
from platform_house import ADMIN_PASSWORD, Platform, created, eventually, ok

from identity_service import storage
from kit.database import Database
from kit.ids import new_id
from kit.vault import Vault


@dataclass
class Person:
    """A member of their own, whom a test may suspend; `token` and `refresh` are those of their one session."""

    platform: Platform
    user_id: str
    email: str
    token: str
    refresh: str

    def sees(self, token: str | None = None) -> httpx.Response:
        return ask(self.platform, token or self.token)


def ask(platform: Platform, token: str, path: str = "/v0/users/me") -> httpx.Response:
    return httpx.get(f"{platform.base_url}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=20)


def refused(answer: httpx.Response, what: object = "") -> None:
    assert answer.status_code == 401, f"{what}: {answer.status_code} {answer.text[:300]}"
    assert answer.headers["content-type"] == "application/problem+json", what
    assert answer.headers["www-authenticate"] == "Bearer", what
    problem = answer.json()
    assert (problem["status"], problem["errors"]) == (401, [])
    assert problem["code"] in ("token_invalid", "unauthenticated", "refresh_invalid"), what
    assert problem["detail"] != problem["code"]


def log_in(platform: Platform, email: str) -> tuple[str, str]:
    answer = httpx.post(
        f"{platform.base_url}/v0/auth/login", json={"email": email, "password": ADMIN_PASSWORD}, timeout=20
    )
    return ok(answer)["access_token"], answer.cookies["fw_refresh"]


@pytest.fixture
def person(platform: Platform) -> Person:
    """A new viewer, with a password of their own."""
    email = f"{new_id()}@example.com"
    with platform.client() as api:
        user_id = created(api.post("/auth/register", json={"name": "P", "email": email, "roles": ["viewer"]}))[
            "user_id"
        ]

    def first_password() -> str | None:
        for mail in (platform.data / "mail").glob("*.eml"):
            if email in (text := mail.read_text()):
                return re.findall(r"^Password: (.+)$", text, re.MULTILINE)[0]
        return None

    first = eventually(first_password, 10, "the mail")
    with platform.client(platform.log_in(email, first)) as own:
        ok(own.patch("/users/me", json={"current_password": first, "new_password": ADMIN_PASSWORD}))
    return Person(platform, user_id, email, *log_in(platform, email))


@dataclass(frozen=True)
class Mint:
    """The platform's own signing key, to make tokens that only their claims betray."""

    kid: str
    key: str
    public: dict[str, Any]

    def sign(self, claims: dict[str, Any], key: str | None = None, algorithm: str = "ES256", **header: Any) -> str:
        kept = {name: value for name, value in claims.items() if value is not None}
        return str(jwt.encode(kept, key or self.key, algorithm=algorithm, headers={"kid": self.kid, **header}))


@pytest.fixture(scope="module")
def mint(platform: Platform) -> Mint:
    database = Database(f"sqlite:///{platform.data / 'databases' / 'identity.db'}")
    try:
        with database.read() as connection:
            newest = storage.signing_keys(connection)[0]
    finally:
        database.close()
    secret = (platform.data / "secrets" / "encryption.key").read_text().strip()
    private = Vault(secret, "identity-service").open(newest.private_key, newest.kid).decode()
    return Mint(newest.kid, private, newest.public_jwk)


def part(value: Any) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def stranger() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def forgeries(mint: Mint, token: str) -> dict[str, str]:
    head, body, signature = token.split(".")
    claims = jwt.get_unverified_claims(token)
    now = int(time.time())
    pem = jwk.construct(mint.public, "ES256").to_pem().decode()
    other, sound = stranger(), {"alg": "ES256", "typ": "JWT", "kid": mint.kid}

    def hmac_with(secret: str) -> str:
        signed = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': mint.kid})}.{body}"
        return f"{signed}.{part(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}"

    with_kid = {
        f"kid {kid!r}": mint.sign(claims, other, kid=kid)
        for kid in (
            "", "unknown", "../../../etc/passwd", "/dev/null", "' OR 1=1 --", "x'; DROP TABLE signing_key; --",
            "http://127.0.0.1/jwks.json", "%00", "\u202e", "k" * 2000,
        )
    }  # fmt: skip
    return with_kid | {
        "nonsense": "x",
        "dots": "..",
        "four parts": f"{token}.x",
        "alg none": f"{part({'alg': 'none', 'typ': 'JWT', 'kid': mint.kid})}.{body}.",
        "alg nOnE, signature kept": f"{part({'alg': 'nOnE', 'kid': mint.kid})}.{body}.{signature}",
        "no alg": f"{part({'typ': 'JWT', 'kid': mint.kid})}.{body}.{signature}",
        "alg that is a list": f"{part({**sound, 'alg': ['ES256']})}.{body}.{signature}",
        "alg that is a number": f"{part({**sound, 'alg': 1})}.{body}.{signature}",
        "kid that is an object": f"{part({**sound, 'kid': {'a': 1}})}.{body}.{signature}",
        "a header that is a list": f"{part([])}.{body}.{signature}",
        "a deep header": f"{part(b'[' * 20_000)}.{body}.{signature}",
        "deep claims": f"{head}.{part(b'[' * 20_000)}.{signature}",
        "a header that is no UTF-8": f"{part(bytes([0xFF] * 20))}.{body}.{signature}",
        "the public key as a shared secret": hmac_with(pem),
        "the JWK as a shared secret": hmac_with(json.dumps(mint.public)),
        "its x as a shared secret": hmac_with(mint.public["x"]),
        "another key under our kid": mint.sign(claims, other),
        "a key that it brings itself": mint.sign(claims, other, jwk={**mint.public}, jku="http://127.0.0.1/"),
        "other claims under an old signature": f"{head}.{part({**claims, 'permissions': ['user:write']})}.{signature}",
        "no signature": f"{head}.{body}.",
        "an empty signature of zeros": f"{head}.{body}.{part(bytes(64))}",
        "cut in half": token[: len(token) // 2],
        "without its last sign": token[:-2],
        "expired": mint.sign({**claims, "exp": now - 1}),
        "expired in 1970": mint.sign({**claims, "exp": 1}),
        "no expiry": mint.sign({**claims, "exp": None}),
        "an expiry that is a text": mint.sign({**claims, "exp": "never"}),
        "not valid yet": mint.sign({**claims, "nbf": now + 600}),
        "another audience": mint.sign({**claims, "aud": "workflow-service"}),
        "no audience": mint.sign({**claims, "aud": None}),
        "another issuer": mint.sign({**claims, "iss": "somebody"}),
        "no issuer": mint.sign({**claims, "iss": None}),
        "a session that never was": mint.sign({**claims, "sid": new_id()}),
        "no session": mint.sign({**claims, "sid": None}),
        "an older authz": mint.sign({**claims, "authz": claims["authz"] - 1}),
        "no permissions": mint.sign({**claims, "permissions": None}),
        "permissions that are a number": mint.sign({**claims, "permissions": 5}),
        "too long": f"{head}.{body}.{'x' * 20_000}",
        "an API token of nobody": f"fwt_{'0' * 40}",
        "an API token that is a path": "fwt_../../etc/passwd",
        "an API token with a quote": "fwt_' OR 1=1 --",
    }


def test_forged_and_outdated_tokens_open_nothing(platform: Platform, person: Person, mint: Mint) -> None:
    claims = jwt.get_unverified_claims(person.token)
    # else what follows would say nothing: with the platform's key and sound claims we are let in
    assert ok(person.sees(mint.sign(claims)))["user_id"] == person.user_id
    with httpx.Client(base_url=platform.base_url, timeout=20) as client:
        for what, token in forgeries(mint, person.token).items():
            for path in ("/v0/users/me", "/v0/workflows", "/v0/x"):
                refused(client.get(path, headers={"Authorization": f"Bearer {token}"}), what)
    assert ok(person.sees())["user_id"] == person.user_id


def test_a_token_of_a_hundred_kilobytes_is_refused_and_disturbs_nobody(platform: Platform, person: Person) -> None:
    for token in ("x" * 100_000, f"{person.token}{'x' * 100_000}", f"fwt_{'0' * 100_000}"):
        assert ask(platform, token).status_code in (400, 401, 431)
    assert person.sees().status_code == 200


# --- once good --------------------------------------------------------------------------------------------------------


def test_a_token_is_worth_nothing_after_the_log_out(platform: Platform, person: Person) -> None:
    other, other_refresh = log_in(platform, person.email)
    with platform.client(person.token) as api:
        assert api.post("/auth/logout").status_code == 204
    refused(person.sees())
    refused(refresh(platform, person.refresh))
    # another session of the same person goes on
    assert person.sees(other).status_code == 200
    assert refresh(platform, other_refresh).status_code == 200


def test_who_was_suspended_is_out_at_once_and_their_tokens_never_come_back(platform: Platform, person: Person) -> None:
    with platform.client(person.token) as own:
        assert ok(own.get("/users/me"))["user_id"] == person.user_id
    with platform.client() as api:
        ok(api.patch(f"/users/{person.user_id}", json={"state": "suspended"}))
        refused(person.sees())
        refused(refresh(platform, person.refresh))
        wrong = httpx.post(
            f"{platform.base_url}/v0/auth/login", json={"email": person.email, "password": ADMIN_PASSWORD}
        )
        assert wrong.status_code == 401
        ok(api.patch(f"/users/{person.user_id}", json={"state": "active"}))
    refused(person.sees())
    refused(refresh(platform, person.refresh))
    assert person.sees(log_in(platform, person.email)[0]).status_code == 200


def test_who_is_no_member_any_more_is_out_once_that_is_looked_up(platform: Platform, person: Person) -> None:
    """There is no route for it: the rows go as an administrator of the database would remove them."""
    database = Database(f"sqlite:///{platform.data / 'databases' / 'identity.db'}")
    try:

        def leave(connection: sa.Connection) -> None:
            values = {"user": person.user_id}
            of_theirs = "membership_id IN (SELECT membership_id FROM membership WHERE user_id = :user)"
            connection.execute(sa.text(f"DELETE FROM membership_role WHERE {of_theirs}"), values)
            connection.execute(sa.text("DELETE FROM membership WHERE user_id = :user"), values)

        database.transact(leave)
    finally:
        database.close()
    eventually(lambda: person.sees().status_code == 401, 20, "the token is refused")
    refused(person.sees())
    refused(refresh(platform, person.refresh))


def test_a_role_that_was_taken_away_takes_its_tokens_along(platform: Platform, person: Person) -> None:
    with platform.client() as api:
        ok(api.patch(f"/users/{person.user_id}", json={"roles": ["editor"]}))
    refused(person.sees())
    again = ok(refresh(platform, person.refresh))["access_token"]
    assert person.sees(again).status_code == 200


def test_an_api_token_is_worth_nothing_once_revoked(platform: Platform) -> None:
    with platform.client() as api:
        made = created(api.post("/api-tokens", json={"name": "short", "permissions": ["run:read", "user:read"]}))
        assert ask(platform, made["token"], "/v0/workflow-runs").status_code == 200
        assert api.delete(f"/api-tokens/{made['api_token_id']}").status_code == 204
    refused(ask(platform, made["token"], "/v0/workflow-runs"))
    # nor is its id, nor the token in another spelling
    for other in (made["api_token_id"], made["token"].upper(), made["token"].removeprefix("fwt_")):
        refused(ask(platform, other, "/v0/workflow-runs"), other)


# --- streams ----------------------------------------------------------------------------------------------------------

ENDINGS = ("log out", "suspend", "change roles", "revoke an API token")


def end(platform: Platform, person: Person, how: str, api_token_id: str) -> None:
    with platform.client(person.token) as own, platform.client() as api:
        if how == "log out":
            assert own.post("/auth/logout").status_code == 204
        elif how == "revoke an API token":
            assert api.delete(f"/api-tokens/{api_token_id}").status_code == 204
        else:
            change = {"state": "suspended"} if how == "suspend" else {"roles": ["editor"]}
            ok(api.patch(f"/users/{person.user_id}", json=change))


@pytest.mark.parametrize("how", ENDINGS)
def test_streams_end_with_their_session_and_nobody_elses(platform: Platform, person: Person, how: str) -> None:
    """Within 5 s, as the gateway refuses whatever else is asked; the run that is followed goes on."""
    run_id = platform.run(platform.compose([{"key": "long", "type": "test.sleep", "parameters": {"seconds": 60}}]))
    with platform.client() as api:
        made = created(api.post("/api-tokens", json={"name": "stream", "permissions": ["run:read"]}))
        token = made["token"] if how == "revoke an API token" else person.token
        paths = (f"/workflow-runs/{run_id}/events", "/workflow-runs/events")
        with ExitStack() as stack:
            client = stack.enter_context(platform.client(token))
            followed = [stack.enter_context(client.stream("GET", path)) for path in paths]
            stays = stack.enter_context(api.stream("GET", paths[0]))
            told = [answer.iter_lines() for answer in followed]
            assert all(next(lines) for lines in told)
            assert all(answer.status_code == 200 for answer in followed)
            end(platform, person, how, made["api_token_id"])
            began = time.monotonic()
            for lines in told:
                for _ in lines:
                    pass
            assert time.monotonic() - began < 5
            refused(client.get("/workflow-runs"))
            assert api.post(f"/workflow-runs/{run_id}/cancel").status_code == 202
            assert any('"CANCELLED"' in line for line in stays.iter_lines())


# --- refresh tokens ---------------------------------------------------------------------------------------------------


def refresh(platform: Platform, token: str) -> httpx.Response:
    return httpx.post(f"{platform.base_url}/v0/auth/refresh", headers={"Cookie": f"fw_refresh={token}"}, timeout=20)


def test_a_refresh_token_that_is_replayed_ends_its_whole_family(platform: Platform, person: Person) -> None:
    """Whoever comes with one from two rotations ago has stolen it, or was stolen from: nobody goes on."""
    bystander, _ = log_in(platform, person.email)
    second = refresh(platform, person.refresh)
    third = refresh(platform, second.cookies["fw_refresh"])
    for answer in (second, third):
        assert person.sees(ok(answer)["access_token"]).status_code == 200
    refused(refresh(platform, person.refresh))
    for answer in (second, third):
        refused(refresh(platform, answer.cookies["fw_refresh"]))
        refused(person.sees(answer.json()["access_token"]))
    refused(person.sees())
    # another log-in of the same person is another family
    assert person.sees(bystander).status_code == 200
    with platform.client() as api:
        entries = ok(api.get("/audit-log", params={"action": "session.reuse_detected"}))["items"]
    assert person.user_id in json.dumps(entries)


def test_what_is_no_refresh_token_refreshes_nothing(platform: Platform, person: Person) -> None:
    api_token = "fwt_" + "0" * 40
    for token in ("x", "", "..", person.token, api_token, person.refresh[:-1], person.refresh + "x", "%00", "x" * 5000):
        refused(refresh(platform, token), token[:50])
    assert refresh(platform, person.refresh).status_code == 200


def test_each_token_opens_its_own_door_only(platform: Platform, person: Person) -> None:
    refused(person.sees(person.refresh))
    refused(refresh(platform, person.token))
    # nor does the cookie stand for a bearer
    for name in ("fw_refresh", "access_token", "Authorization"):
        for token in (person.refresh, person.token, f"Bearer {person.token}"):
            refused(httpx.get(f"{platform.base_url}/v0/users/me", headers={"Cookie": f"{name}={token}"}))


# --- how they are brought ---------------------------------------------------------------------------------------------


def test_a_token_in_the_address_or_the_body_is_none(platform: Platform, person: Person) -> None:
    for name in ("access_token", "token", "authorization", "Authorization", "api_key", "jwt"):
        refused(httpx.get(f"{platform.base_url}/v0/users/me", params={name: person.token}))
        refused(httpx.get(f"{platform.base_url}/v0/users/me", params={name: f"Bearer {person.token}"}))
        refused(httpx.post(f"{platform.base_url}/v0/jobs", json={"name": "x", name: person.token}))
        refused(httpx.get(f"{platform.base_url}/v0/users/me", headers={f"X-{name}": person.token}))


def test_the_scheme_is_bearer_in_any_case_and_no_other(platform: Platform, person: Person) -> None:
    def with_header(value: str) -> httpx.Response:
        return httpx.get(f"{platform.base_url}/v0/users/me", headers={"Authorization": value})

    for scheme in ("Bearer", "bearer", "BEARER", "bEaReR"):
        assert with_header(f"{scheme} {person.token}").status_code == 200
    for value in (
        person.token, f"Token {person.token}", f"Basic {person.token}", f"Bearer: {person.token}",
        f"Bearer{person.token}", f"JWT {person.token}", "Bearer", "Bearer null", f"Bearer {person.token} x",
        f"Bearer {person.token},Bearer {person.token}", f'Bearer "{person.token}"', f"Bearer Bearer {person.token}",
    ):  # fmt: skip
        refused(with_header(value), value[:20])


@contextmanager
def wire(platform: Platform) -> Iterator[socket.socket]:
    url = httpx.URL(platform.base_url)
    with socket.create_connection((url.host, url.port or 80), timeout=20) as opened:
        yield opened


def test_two_authorizations_are_none(platform: Platform, person: Person) -> None:
    """Which of them counts would be a guess, and each part of the platform could guess differently."""
    with platform.client() as api:
        admin = api.headers["authorization"].removeprefix("Bearer ")
    pairs = [(person.token, admin), (admin, person.token), (person.token, "x"), ("x", person.token)]
    for first, second in [*pairs, (person.token, person.token)]:
        with wire(platform) as opened:
            head = f"GET /v0/users/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {first}\r\n"
            opened.sendall(f"{head}authorization: Bearer {second}\r\n\r\n".encode())
            answer = b"".join(iter(lambda: opened.recv(65_536), b""))
        assert answer.startswith(b"HTTP/1.1 401 "), answer[:300]
