"""Tokens people and programs carry. Access tokens are ES256 JWTs; refresh and API tokens are random, kept hashed."""

import hashlib
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jwk, jwt

from identity_service.domain import API_TOKEN_PREFIX
from kit.auth import AUDIENCE, ISSUER
from kit.ids import new_id

ALGORITHM = "ES256"


@dataclass(frozen=True)
class FreshKey:
    """A new signing key: `private_pem` goes into the vault, `public_jwk` is for everybody."""

    kid: str
    public_jwk: dict[str, Any]
    private_pem: bytes


def generate_key() -> FreshKey:
    private = ec.generate_private_key(ec.SECP256R1())
    kid = new_id()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    public_jwk = {**jwk.construct(public.decode(), ALGORITHM).to_dict(), "kid": kid, "use": "sig", "alg": ALGORITHM}
    return FreshKey(kid, {name: _text(value) for name, value in public_jwk.items()}, pem)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class Signer:
    """Signs access tokens with one key, parsed once."""

    def __init__(self, kid: str, private_pem: bytes) -> None:
        self.kid = kid
        self._key = jwk.construct(private_pem.decode(), ALGORITHM)

    def sign(
        self,
        *,
        user_id: str,
        organization_id: str,
        session_id: str,
        permissions: Collection[str],
        authz: int,
        life_s: int,
    ) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "org": organization_id,
            "sid": session_id,
            "permissions": sorted(permissions),
            "authz": authz,
            "iat": now,
            "exp": now + life_s,
        }
        return str(jwt.encode(claims, self._key, algorithm=ALGORITHM, headers={"kid": self.kid}))


def new_refresh_token() -> str:
    return secrets.token_urlsafe(32)


def new_api_token() -> str:
    return API_TOKEN_PREFIX + secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """What is kept of a token: 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()
