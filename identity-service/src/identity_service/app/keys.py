"""The keys that sign access tokens: one signs, all are public, and each stays public until its last token has expired.

Rotation is a row in the table: every replica looks at it again and again, so none is restarted and none is told.
"""

import contextlib
from functools import partial
from typing import Any

import structlog

from identity_service import storage
from identity_service.app import Identity
from identity_service.app.sessions import longest_token_life
from identity_service.domain import SigningKey, by_preference, retired
from identity_service.settings import IdentitySettings
from identity_service.tokens import Signer, generate_key
from kit.database import Database, utc_now
from kit.vault import Unreadable, Vault

log = structlog.get_logger()


def open_vault(settings: IdentitySettings) -> Vault:
    return Vault(settings.vault_secret(), "identity-service")


def public_keys(database: Database) -> dict[str, Any]:
    """The JWK Set that every verifier reads: {"keys": […]}, newest first."""
    return {"keys": [key.public_jwk for key in _keys(database)]}


def load_signer(database: Database, vault: Vault) -> Signer:
    """A signer with the key whose turn it is; a new key when there is none that this vault opens."""
    for key in by_preference(_keys(database), utc_now()):
        try:
            return Signer(key.kid, vault.open(key.private_key, key.kid))
        except Unreadable:
            log.warning("signing_key_unreadable", kid=key.kid, hint="it was sealed with another encryption key")
    return rotate(database, vault)


def rotate(database: Database, vault: Vault) -> Signer:
    """Adds a key. It is public at once and signs when every verifier can have seen it; see `domain.by_preference`."""
    fresh = generate_key()
    database.transact(
        lambda connection: storage.insert_signing_key(
            connection,
            fresh.kid,
            public_jwk=fresh.public_jwk,
            private_key=vault.seal(fresh.private_pem, fresh.kid),
            now=utc_now(),
        )
    )
    log.info("signing_key_created", kid=fresh.kid)
    return Signer(fresh.kid, fresh.private_pem)


def turn(identity: Identity, vault: Vault) -> None:
    """Signs with the key whose turn it is from now on, and retires those whose last token has expired."""
    now, keys = identity.clock(), _keys(identity.database)
    over = retired(keys, now, longest_token_life(identity.settings))
    for key in over:
        if identity.database.transact(partial(storage.delete_signing_key, kid=key.kid)):
            log.info("signing_key_retired", kid=key.kid)
    for key in by_preference([key for key in keys if key not in over], now):
        if key.kid == identity.signer.kid:
            return
        with contextlib.suppress(Unreadable):
            identity.signer = Signer(key.kid, vault.open(key.private_key, key.kid))
            log.info("signing_key_turned", kid=key.kid)
            return
    identity.signer = rotate(identity.database, vault)


def _keys(database: Database) -> list[SigningKey]:
    with database.read() as connection:
        return storage.signing_keys(connection)
