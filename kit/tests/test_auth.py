"""Who is asking, with real keys and a real address to fetch them from."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import APIRouter, Depends, FastAPI, Response
from jose import jwk, jwt

from kit.auth import Caller, ServiceTokens, Verifier, bearer, caller, permit
from kit.errors import Forbidden, Unauthenticated, Unavailable
from kit.http import StrictRoute, make_app


class Key:
    """A signing key of identity-service's kind."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        private = ec.generate_private_key(ec.SECP256R1())
        self.pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        self.public_pem = (
            private.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )
        self.public = {**jwk.construct(self.public_pem, "ES256").to_dict(), "kid": kid}

    def sign(self, *, kid: str | None = None, **changes: Any) -> str:
        """A token as identity makes it, with changes; None leaves a claim out."""
        claims = {
            "iss": "flowweaver",
            "aud": "flowweaver",
            "sub": "u1",
            "org": "o1",
            "sid": "s1",
            "permissions": ["run:read"],
            "authz": 3,
            "exp": int(time.time()) + 60,
            **changes,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        return str(jwt.encode(kept, self.pem, algorithm="ES256", headers={"kid": kid or self.kid}))


KEY = Key("k1")
STRANGER = Key("k1")


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _unsigned(header: dict[str, Any]) -> str:
    _, claims, signature = KEY.sign().split(".")
    return f"{_part(header)}.{claims}.{signature if header.get('keep') else ''}"


def _hmac_with_public_key() -> str:
    import hashlib
    import hmac

    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'k1'})}.{KEY.sign().split('.')[1]}"
    mac = hmac.new(KEY.public_pem.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def _changed_claims() -> str:
    header, claims, signature = KEY.sign().split(".")
    read = json.loads(base64.urlsafe_b64decode(claims + "=="))
    return f"{header}.{_part({**read, 'permissions': ['user:write']})}.{signature}"


def verifier() -> Verifier:
    return Verifier(lambda: {"keys": [KEY.public]})


def test_a_sound_token_is_its_caller() -> None:
    token = KEY.sign()
    checked = verifier()
    assert not checked.known(token)
    who = checked.verify(token)
    assert who == Caller("u1", "o1", "s1", frozenset({"run:read"}), 3, who.expires_at)
    assert checked.known(token)
    assert checked.verify(token) is who


FORGED = {
    "empty": "",
    "nonsense": "nonsense",
    "three parts of nothing": "..",
    "not ascii": "토큰.토큰.토큰",
    "alg none": _unsigned({"alg": "none", "typ": "JWT", "kid": "k1"}),
    "alg none, signature kept": _unsigned({"alg": "none", "typ": "JWT", "kid": "k1", "keep": True}),
    "no alg": _unsigned({"typ": "JWT", "kid": "k1"}),
    "HS256 with the public key": _hmac_with_public_key(),
    "another key under our kid": STRANGER.sign(),
    "a kid that is unknown": KEY.sign(kid="k2"),
    "no kid": jwt.encode({"sub": "u1"}, KEY.pem, algorithm="ES256"),
    "a kid that is a list": _unsigned({"alg": "ES256", "kid": ["k1"]}),
    "other claims under an old signature": _changed_claims(),
    "another audience": KEY.sign(aud="somebody"),
    "no audience": KEY.sign(aud=None),
    "another issuer": KEY.sign(iss="somebody"),
    "no issuer": KEY.sign(iss=None),
    "expired": KEY.sign(exp=int(time.time()) - 1),
    "no expiry": KEY.sign(exp=None),
    "not valid yet": KEY.sign(nbf=int(time.time()) + 60),
    "no organisation": KEY.sign(org=None),
    "no session": KEY.sign(sid=None),
    "no permissions": KEY.sign(permissions=None),
    "permissions that are a number": KEY.sign(permissions=5),
    "authz that is a text": KEY.sign(authz="many"),
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_a_forged_token_is_nobody(token: str) -> None:
    checked = verifier()
    with pytest.raises(Unauthenticated) as refused:
        checked.verify(token)
    assert refused.value.code == "token_invalid"
    assert not checked.known(token)


def test_a_token_is_not_remembered_beyond_its_expiry() -> None:
    checked = verifier()
    token = KEY.sign(exp=int(time.time()) + 2)
    expires = checked.verify(token).expires_at
    # until its own end a known token is answered without a signature check, and never after it
    while time.time() < expires:
        assert checked.known(token)
        threading.Event().wait(0.05)
    with pytest.raises(Unauthenticated):
        checked.verify(token)
    assert not checked.known(token)


def test_what_is_remembered_is_bounded() -> None:
    checked = verifier()
    first = KEY.sign(sid="first")
    checked.verify(first)
    for number in range(2_000):
        checked.verify(KEY.sign(sid=str(number)))
    assert not checked.known(first)
    assert checked.verify(first).session_id == "first"


def test_a_caller_may_do_what_it_was_permitted_only() -> None:
    who = verifier().verify(KEY.sign())
    who.require("run:read")
    with pytest.raises(Forbidden) as refused:
        who.require("run:write")
    assert refused.value.params == {"permission": "run:write"}


class Identity:
    """Serves a JWK Set, which may change or break, and counts who asks."""

    def __init__(self) -> None:
        self.content: Any = {"keys": [KEY.public]}
        self.status = 200
        self.asked = 0
        self.app = FastAPI()

        @self.app.get("/jwks")
        def jwks() -> Response:
            self.asked += 1
            return Response(json.dumps(self.content), self.status)


@pytest.fixture
def identity() -> Identity:
    return Identity()


@pytest.fixture
def jwks_url(identity: Identity, serve_app: Callable[[FastAPI], httpx.Client]) -> str:
    return f"{serve_app(identity.app).base_url}/jwks"


def test_keys_are_fetched_once_and_strangers_cannot_make_us_fetch_again(identity: Identity, jwks_url: str) -> None:
    checked = Verifier.from_url(jwks_url)
    checked.verify(KEY.sign())
    checked.verify(KEY.sign(sid="another"))
    for number in range(20):
        with pytest.raises(Unauthenticated):
            checked.verify(KEY.sign(kid=f"invented-{number}"))
    assert identity.asked == 1


@pytest.mark.parametrize(
    ("status", "content"),
    [(500, {}), (404, {"keys": [KEY.public]}), (200, {}), (200, []), (200, [1]), (200, {"keys": [{}]}), (200, None)],
)
def test_keys_that_cannot_be_had_are_not_the_callers_fault(
    identity: Identity, jwks_url: str, status: int, content: Any
) -> None:
    identity.status, identity.content = status, content
    checked = Verifier.from_url(jwks_url)
    with pytest.raises(Unavailable):
        checked.verify(KEY.sign())
    identity.status, identity.content = 200, {"keys": [KEY.public]}
    assert checked.verify(KEY.sign()).user_id == "u1"


def eventually(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.02)


def test_a_key_that_is_gone_counts_no_more_though_its_token_was_known(identity: Identity) -> None:
    checked = Verifier(lambda: identity.content, look_again_s=0.2)
    token = KEY.sign()
    checked.verify(token)
    assert checked.known(token)
    identity.content = {"keys": [STRANGER.public]}

    def refused() -> bool:
        try:
            checked.verify(token)
        except Unauthenticated:
            return True
        return False

    eventually(refused, "the key's token is refused")
    assert not checked.known(token)


def test_known_keys_serve_on_while_identity_service_is_away(identity: Identity) -> None:
    asked = []

    def fetch() -> Any:
        asked.append(1)
        if len(asked) > 1:
            raise Unavailable("unavailable")
        return identity.content

    checked = Verifier(fetch, look_again_s=0.2)
    token = KEY.sign()
    checked.verify(token)
    eventually(lambda: checked.verify(token).user_id == "u1" and len(asked) > 1, "it is asked again")
    assert checked.verify(token).user_id == "u1"
    assert checked.verify(KEY.sign(sid="another")).session_id == "another"
    assert len(asked) == 2


def test_an_identity_service_that_is_away_is_not_the_callers_fault(port: int) -> None:
    with pytest.raises(Unavailable):
        Verifier.from_url(f"http://127.0.0.1:{port}/jwks").verify(KEY.sign())


@pytest.mark.parametrize(("header", "token"), [("Bearer abc", "abc"), ("bearer  abc ", "abc")])
def test_the_token_is_what_follows_bearer(header: str, token: str) -> None:
    assert bearer(header) == token


@pytest.mark.parametrize("header", [None, "", "abc", "Bearer", "Bearer ", "Basic YTpi"])
def test_without_a_token_nobody_asks(header: str | None) -> None:
    with pytest.raises(Unauthenticated) as refused:
        bearer(header)
    assert refused.value.code == "unauthenticated"


@pytest.fixture
def client(serve_app: Callable[[FastAPI], httpx.Client]) -> Iterator[httpx.Client]:
    app = make_app("kit-test", language="en")
    app.state.verifier = verifier()
    router = APIRouter(route_class=StrictRoute)

    @router.get("/me")
    def me(who: Annotated[Caller, Depends(caller)]) -> dict[str, str]:
        return {"user_id": who.user_id, "organization_id": who.organization_id}

    @router.get("/runs", dependencies=[permit("run:read")])
    def runs() -> dict[str, str]:
        return {}

    @router.post("/runs")
    def start(who: Annotated[Caller, permit("run:write")]) -> dict[str, str]:
        return {"user_id": who.user_id}

    app.include_router(router)
    return serve_app(app)


def test_a_route_knows_its_caller_and_refuses_what_is_not_permitted(client: httpx.Client) -> None:
    headers = {"Authorization": f"Bearer {KEY.sign()}"}
    for _ in range(2):  # the second time from memory
        assert client.get("/me", headers=headers).json() == {"user_id": "u1", "organization_id": "o1"}
    assert client.get("/runs", headers=headers).status_code == 200
    refused = client.post("/runs", headers=headers)
    assert (refused.status_code, refused.json()["detail"]) == (403, "You lack the permission for this (run:write).")
    allowed = {"Authorization": f"Bearer {KEY.sign(permissions=['run:write'])}"}
    assert client.post("/runs", headers=allowed).json() == {"user_id": "u1"}


def test_a_route_refuses_who_is_nobody(client: httpx.Client) -> None:
    anonymous = client.get("/me")
    assert (anonymous.status_code, anonymous.json()["code"]) == (401, "unauthenticated")
    forged = client.get("/me", headers={"Authorization": f"Bearer {STRANGER.sign()}"})
    assert (forged.status_code, forged.json()["code"]) == (401, "token_invalid")


def test_a_permission_can_be_read_off_its_route() -> None:
    assert permit("run:write").dependency.permission == "run:write"


def test_a_service_token_tells_who_asks_and_for_whom() -> None:
    token = ServiceTokens("secret", "scheduler-service").make("execution-service", organization_id="o1", user_id="u1")
    who = ServiceTokens("secret", "execution-service").check(token)
    assert (who.service, who.organization_id, who.user_id) == ("scheduler-service", "o1", "u1")


def test_a_service_token_lives_a_minute() -> None:
    claims = jwt.get_unverified_claims(ServiceTokens("secret", "a").make("b"))
    assert claims["exp"] - claims["iat"] == 60


def test_a_service_token_serves_further_calls_for_the_same_and_no_others() -> None:
    tokens = ServiceTokens("secret", "a")
    asked = [("b", "o1", ""), ("b", "o2", ""), ("b", "o1", "u1"), ("c", "o1", "")]
    made = [tokens.make(to, organization_id=organization, user_id=user) for to, organization, user in asked]
    assert made == [tokens.make(to, organization_id=organization, user_id=user) for to, organization, user in asked]
    assert len(set(made)) == 4
    checking = ServiceTokens("secret", "b")
    for _ in range(2):
        assert [checking.check(token).organization_id for token in made[:2]] == ["o1", "o2"]
        with pytest.raises(Unauthenticated):
            checking.check(made[3])


def test_a_checked_service_token_ends_when_it_expires() -> None:
    tokens, expires_at = ServiceTokens("secret", "b"), int(time.time()) + 3
    token = _service_token(exp=expires_at)
    assert tokens.check(token).service == "a"
    while time.time() < expires_at + 1:  # the library counts whole seconds
        with suppress(Unauthenticated):
            tokens.check(token)
    with pytest.raises(Unauthenticated):
        tokens.check(token)


def _service_token(**changes: Any) -> str:
    claims = {"iss": "a", "aud": "b", "org": "", "sub": "", "exp": int(time.time()) + 60, **changes}
    kept = {name: value for name, value in claims.items() if value is not None}
    return str(jwt.encode(kept, "secret", algorithm="HS256"))


@pytest.mark.parametrize(
    "token",
    [
        ServiceTokens("another secret", "a").make("b"),
        ServiceTokens("secret", "a").make("c"),
        _service_token(exp=int(time.time()) - 1),
        _service_token(exp=None),
        _service_token(aud=None),
        _service_token(org=None),
        _service_token(iss=None),
        _unsigned({"alg": "none"}),
        KEY.sign(aud="b"),
        "nonsense",
        f"{base64.urlsafe_b64encode(b'[' * 3000).decode()}.e30.x",
    ],
    ids=[
        "key",
        "audience",
        "expired",
        "no expiry",
        "no audience",
        "no org",
        "no iss",
        "alg none",
        "ES256",
        "nonsense",
        "deep",
    ],
)
def test_a_forged_service_token_is_nobody(token: str) -> None:
    assert ServiceTokens("secret", "b").check(_service_token()).service == "a"
    with pytest.raises(Unauthenticated):
        ServiceTokens("secret", "b").check(token)
