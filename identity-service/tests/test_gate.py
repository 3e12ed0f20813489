"""What the gateway asks before it lets anything through, and every forged token that must not pass."""

import base64
import json
import time
from typing import Any

import httpx
import pytest
from jose import jwt

from identity_service.app import keys
from kit.auth import AUDIENCE, ISSUER


def _ask(site: Any, authorization: str | None, **headers: str) -> httpx.Response:
    if authorization is not None:
        headers["authorization"] = authorization
    return httpx.post(f"{site.url}/internal/authorize", headers=headers, trust_env=False, timeout=20)


def _claims(site: Any) -> dict[str, Any]:
    token = site.world.log_in().access_token
    return dict(jwt.get_unverified_claims(token))


def test_a_good_token_passes_with_its_user_and_the_callers_trace(site: Any) -> None:
    logged_in = site.world.log_in()
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for _ in range(2):
        answer = _ask(site, f"Bearer {logged_in.access_token}", traceparent=given)
        assert answer.status_code == 200
        assert answer.headers["authorization"] == f"Bearer {logged_in.access_token}"
        assert answer.headers["x-fw-user"] == site.world.caller(logged_in).user_id
        assert answer.headers["traceparent"] == given


@pytest.mark.parametrize("given", [None, "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
def test_a_request_without_a_sound_trace_gets_one(site: Any, given: str | None) -> None:
    headers = {} if given is None else {"traceparent": given}
    answer = _ask(site, f"Bearer {site.world.log_in().access_token}", **headers)
    version, trace, span, _ = answer.headers["traceparent"].split("-")
    assert (version, len(trace), len(span)) == ("00", 32, 16)
    assert trace == answer.headers["x-trace-id"]
    assert answer.headers["traceparent"] != given


def test_an_api_token_becomes_an_access_token(site: Any) -> None:
    with site.admin() as admin:
        made = admin.post("/v0/api-tokens", json={"name": "gate", "permissions": ["run:read"]}).json()
        answer = _ask(site, f"Bearer {made['token']}")
        assert answer.status_code == 200
        exchanged = answer.headers["authorization"].removeprefix("Bearer ")
        assert site.world.identity.verifier.verify(exchanged).permissions == {"run:read"}
        assert _ask(site, f"Bearer {made['token']}").headers["authorization"] == f"Bearer {exchanged}"
        admin.delete(f"/v0/api-tokens/{made['api_token_id']}")
    assert _ask(site, f"Bearer {made['token']}").status_code == 401


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "unauthenticated"),
        ("", "unauthenticated"),
        ("Basic YTpi", "unauthenticated"),
        ("Bearer", "unauthenticated"),
        ("Bearer x", "token_invalid"),
        ("Bearer a.b.c", "token_invalid"),
        ("Bearer fwt_", "token_invalid"),
        ("Bearer fwt_" + "x" * 5000, "token_invalid"),
        ("Bearer " + "é".encode().decode("latin-1"), "token_invalid"),
    ],
)
def test_who_carries_nothing_sound_is_refused(site: Any, authorization: str | None, code: str) -> None:
    headers = {} if authorization is None else {"authorization": authorization.encode("latin-1")}
    answer = httpx.get(f"{site.url}/internal/authorize", headers=headers, trust_env=False, timeout=20)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert answer.json()["code"] == code
    assert answer.headers["www-authenticate"] == "Bearer"


def _b64(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_a_token_without_a_signature_is_refused(site: Any) -> None:
    kid = site.world.identity.signer.kid
    for algorithm in ("none", "None", "NONE"):
        forged = f"{_b64({'alg': algorithm, 'typ': 'JWT', 'kid': kid})}.{_b64(_claims(site))}."
        assert _ask(site, f"Bearer {forged}").status_code == 401


def test_a_token_signed_with_the_public_key_as_a_shared_secret_is_refused(site: Any) -> None:
    (public,) = keys.public_keys(site.world.identity.database)["keys"]
    for secret in (json.dumps(public), public["x"], public["x"] + public["y"]):
        forged = jwt.encode(_claims(site), secret, algorithm="HS256", headers={"kid": public["kid"]})
        assert _ask(site, f"Bearer {forged}").status_code == 401


def test_a_token_signed_by_a_strangers_key_is_refused_whatever_kid_it_names(site: Any, foreign_signer: Any) -> None:
    claims = _claims(site)
    for kid in (foreign_signer.kid, site.world.identity.signer.kid, "", "../../etc/passwd"):
        foreign_signer.kid = kid
        forged = foreign_signer.sign(
            user_id=claims["sub"],
            organization_id=claims["org"],
            session_id=claims["sid"],
            permissions=claims["permissions"],
            authz=claims["authz"],
            life_s=900,
        )
        assert _ask(site, f"Bearer {forged}").status_code == 401


def test_a_token_with_other_claims_under_an_old_signature_is_refused(site: Any) -> None:
    head, _, signature = site.world.log_in().access_token.split(".")
    forged = f"{head}.{_b64({**_claims(site), 'permissions': ['everything:write']})}.{signature}"
    assert _ask(site, f"Bearer {forged}").status_code == 401


@pytest.mark.parametrize(
    "change",
    [{"exp": 1}, {"aud": "elsewhere"}, {"iss": "elsewhere"}, {"sid": None}, {"authz": 0}, {"sid": "unknown"}],
)
def test_our_own_signature_does_not_excuse_a_wrong_claim(site: Any, change: dict[str, Any]) -> None:
    signer = site.world.identity.signer
    claims = {**_claims(site), **change}
    token = jwt.encode(claims, signer._key, algorithm="ES256", headers={"kid": signer.kid})
    assert _ask(site, f"Bearer {token}").status_code == 401


def test_a_token_is_refused_from_the_moment_it_expires(site: Any) -> None:
    signer = site.world.identity.signer
    now = int(time.time())
    claims = {**_claims(site), "iss": ISSUER, "aud": AUDIENCE, "exp": now + 2}
    token = jwt.encode(claims, signer._key, algorithm="ES256", headers={"kid": signer.kid})
    assert _ask(site, f"Bearer {token}").status_code == 200
    deadline = time.monotonic() + 10
    while _ask(site, f"Bearer {token}").status_code == 200:
        assert time.monotonic() < deadline, "an expired token still passes"
    assert time.time() >= claims["exp"]


def test_an_ended_session_is_refused_at_once(site: Any) -> None:
    token = site.world.log_in().access_token
    assert _ask(site, f"Bearer {token}").status_code == 200
    with site.client(token) as client:
        assert client.post("/v0/auth/logout").status_code == 204
    answer = _ask(site, f"Bearer {token}")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")


def test_a_role_change_refuses_the_tokens_before_it_at_once(site: Any) -> None:
    with site.register("demoted@example.com", "editor") as member, site.admin() as admin:
        bearer = member.headers["authorization"]
        assert _ask(site, bearer).status_code == 200
        user_id = member.get("/v0/users/me").json()["user_id"]
        assert admin.patch(f"/v0/users/{user_id}", json={"roles": ["viewer"]}).status_code == 200
        assert _ask(site, bearer).status_code == 401


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_any_method_is_asked_about(site: Any, method: str) -> None:
    headers = {"authorization": f"Bearer {site.world.log_in().access_token}"}
    answer = httpx.request(method, f"{site.url}/internal/authorize", headers=headers, trust_env=False)
    assert answer.status_code == 200


def test_neither_is_part_of_the_public_interface(site: Any) -> None:
    with site.client() as client:
        assert not [path for path in client.get("/internal/openapi.json").json()["paths"] if "internal" in path]


@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 502, 503, 504])
def test_the_gateways_errors_are_problems_in_the_callers_language(site: Any, status: int) -> None:
    texts = set()
    for language in ("ko-KR,ko;q=0.9", "en"):
        answer = httpx.get(
            f"{site.url}/internal/problem/{status}", headers={"accept-language": language}, trust_env=False
        )
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert ("retry-after" in answer.headers) == (status == 429)
        content = answer.json()
        assert content["status"] == status
        assert content["title"] != "Error"
        assert content["detail"] != content["code"]
        assert "{" not in content["detail"]
        texts.add(content["detail"])
    assert len(texts) == 2


@pytest.mark.parametrize("status", ["200", "999", "x"])
def test_there_is_no_page_for_what_is_no_error(site: Any, status: str) -> None:
    answer = httpx.get(f"{site.url}/internal/problem/{status}", trust_env=False)
    assert answer.status_code == 404
