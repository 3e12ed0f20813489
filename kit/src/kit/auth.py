"""Who is asking: people carry a JWT that identity-service signed, services a short token made from a shared key.

Every service verifies for itself: the gateway's check only keeps anonymous traffic away early.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import httpx
from fastapi import Depends, Request
from jose import JWTError, jwt

from kit.errors import Forbidden, Unauthenticated, Unavailable

ISSUER = "flowweaver"
AUDIENCE = "flowweaver"
_CACHE_SIZE = 2_000
_KEYS_FRESH_S = 5.0
# jose checks a claim only when it is there, unless told otherwise
_REQUIRED = {"require_aud": True, "require_exp": True}


@dataclass(frozen=True)
class Caller:
    """A person (or an API token standing for one) in one organisation, with what they may do there."""

    user_id: str
    organization_id: str
    session_id: str
    permissions: frozenset[str]
    authz: int = 0
    expires_at: float = 0.0

    def require(self, permission: str) -> None:
        """Raises Forbidden without `permission`."""
        if permission not in self.permissions:
            raise Forbidden("forbidden", permission=permission)


K = TypeVar("K")
V = TypeVar("V")
KeySource = Callable[[], Mapping[str, Any]]


class Verifier:
    """Turns a bearer token into its Caller, by the public keys that `fetch_keys` gives (a JWK Set).

    They are read again for a key not seen yet (at most every 5 s), and every `look_again_s`: a key that is gone counts
    no more.
    """

    def __init__(self, fetch_keys: KeySource, *, look_again_s: float = 30.0) -> None:
        self._fetch_keys = fetch_keys
        self._look_again_s = look_again_s
        self._look_at = float("inf")
        self._keys: dict[str, Any] = {}
        self._fetched_at = float("-inf")
        self._known: dict[str, Caller] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_url(cls, url: str) -> "Verifier":
        """Keys from a JWKS address, fetched when a token names a key not seen yet."""

        def fetch() -> Mapping[str, Any]:
            try:
                response = httpx.get(url, timeout=3.0, trust_env=False)
                response.raise_for_status()
                return dict(response.json())
            except (httpx.HTTPError, ValueError, TypeError) as error:
                raise Unavailable("unavailable") from error

        return cls(fetch)

    def verify(self, token: str) -> Caller:
        """The token's Caller. Raises Unauthenticated for anything but a valid, unexpired token of ours."""
        self._look_again()
        known = self._known.get(token)
        if known is not None:
            if known.expires_at > time.time():
                return known
            self._known.pop(token, None)
            raise Unauthenticated("token_invalid")
        caller = self._decode(token)
        _remember(self._known, token, caller)
        return caller

    def known(self, token: str) -> bool:
        """Whether `verify` will answer without I/O or signature work."""
        return token in self._known and time.monotonic() <= self._look_at

    def _decode(self, token: str) -> Caller:
        try:
            header = jwt.get_unverified_header(token)
            key = self._key(str(header.get("kid", "")))
            claims = jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER, options=_REQUIRED)
            return Caller(
                user_id=str(claims["sub"]),
                organization_id=str(claims["org"]),
                session_id=str(claims["sid"]),
                permissions=frozenset(claims["permissions"]),
                authz=int(claims["authz"]),
                expires_at=float(claims["exp"]),
            )
        except (JWTError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise Unauthenticated("token_invalid") from error

    def _key(self, kid: str) -> Any:
        with self._lock:
            # an unknown kid may be a new key, or an attacker's invention: ask at most once in a while
            if kid not in self._keys and time.monotonic() - self._fetched_at > _KEYS_FRESH_S:
                self._fetch()
            if kid not in self._keys:
                raise Unauthenticated("token_invalid")
            return self._keys[kid]

    def _look_again(self) -> None:
        # one asks, the others go on with what they have, and all do while identity-service is away
        if time.monotonic() > self._look_at and self._lock.acquire(blocking=False):
            try:
                self._fetch()
            except Unavailable:
                self._look_at = time.monotonic() + _KEYS_FRESH_S
            finally:
                self._lock.release()

    def _fetch(self) -> None:
        try:
            keys = {str(key["kid"]): key for key in self._fetch_keys()["keys"]}
        except (KeyError, TypeError) as error:
            raise Unavailable("unavailable") from error  # not a JWK Set: the fault is not the token's
        if any(keys.get(kid) != key for kid, key in self._keys.items()):
            self._known.clear()
        self._keys, self._fetched_at = keys, time.monotonic()
        self._look_at = self._fetched_at + self._look_again_s


def bearer(header: str | None) -> str:
    """The token in an Authorization header. Raises Unauthenticated when there is none."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("unauthenticated")
    return token.strip()


async def caller(request: Request) -> Caller:
    """FastAPI dependency: who asks. The app's state holds the verifier."""
    token = bearer(request.headers.get("authorization"))
    verifier: Verifier = request.app.state.verifier
    if verifier.known(token):
        return verifier.verify(token)
    from starlette.concurrency import run_in_threadpool  # signature work and perhaps a key fetch: off the loop

    return await run_in_threadpool(verifier.verify, token)


def permit(permission: str) -> Any:
    """FastAPI dependency: the Caller, who must hold `permission` in their organisation."""

    async def check(who: Annotated[Caller, Depends(caller)]) -> Caller:
        who.require(permission)
        return who

    check.__name__ = f"permit_{permission.replace(':', '_')}"
    check.permission = permission  # type: ignore[attr-defined]  # read by the test that walks all routes
    return Depends(check)


def _remember(kept: dict[K, V], key: K, value: V) -> None:
    if len(kept) >= _CACHE_SIZE:
        kept.clear()
    kept[key] = value


# --- services ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ServiceCaller:
    """A service that asks, and for whom: the organisation and, when a person began it, that person."""

    service: str
    organization_id: str
    user_id: str


class ServiceTokens:
    """Makes and checks the short tokens of service-to-service calls (HS256, 60 s, one audience)."""

    LIFE_S = 60
    REUSED_S = 15
    """So long a token serves further calls for the same; signing and checking one takes a third of a millisecond."""

    def __init__(self, secret: str, service: str) -> None:
        self._secret = secret
        self.service = service
        self._made: dict[tuple[str, str, str], tuple[str, float]] = {}
        self._checked: dict[str, tuple[ServiceCaller, float]] = {}

    def make(self, audience: str, *, organization_id: str = "", user_id: str = "") -> str:
        now = time.time()
        asked = audience, organization_id, user_id
        token, made_at = self._made.get(asked, ("", float("-inf")))
        # a clock that was set back makes none older than it is
        if 0 <= now - made_at < self.REUSED_S:
            return token
        claims = {
            "iss": self.service,
            "aud": audience,
            "org": organization_id,
            "sub": user_id,
            "iat": int(now),
            "exp": int(now) + self.LIFE_S,
        }
        token = str(jwt.encode(claims, self._secret, algorithm="HS256"))
        _remember(self._made, asked, (token, now))
        return token

    def check(self, token: str) -> ServiceCaller:
        """Raises Unauthenticated unless the token was made with our key, for us, less than a minute ago."""
        caller, expires_at = self._checked.get(token, (None, 0.0))
        if caller is not None and time.time() < expires_at:
            return caller
        try:
            claims = jwt.decode(token, self._secret, algorithms=["HS256"], audience=self.service, options=_REQUIRED)
            caller = ServiceCaller(str(claims["iss"]), str(claims["org"]), str(claims["sub"]))
            _remember(self._checked, token, (caller, float(claims["exp"])))
            return caller
        except (JWTError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise Unauthenticated("token_invalid") from error
