"""Secrets at rest: AES-256-GCM under the installation's key, bound to the service and to the row that holds them."""

import hashlib
import hmac
import os
from base64 import b64decode, b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


class Unreadable(Exception):
    """The text was sealed with another key or for another row, or it was changed."""


class Vault:
    """Seals short secrets. `row` (an id) is bound in: a sealed text cannot be moved to another row."""

    def __init__(self, secret: str, service: str) -> None:
        """`secret` is text of full entropy; each service has a key of its own that follows from it."""
        self._key = hmac.new(secret.encode(), service.encode(), hashlib.sha256).digest()
        self._cipher = AESGCM(self._key)

    def seal(self, plain: bytes, row: str) -> str:
        nonce = os.urandom(_NONCE)
        return b64encode(nonce + self._cipher.encrypt(nonce, plain, row.encode())).decode()

    def open(self, sealed: str, row: str) -> bytes:
        """Raises Unreadable."""
        try:
            content = b64decode(sealed, validate=True)
            return self._cipher.decrypt(content[:_NONCE], content[_NONCE:], row.encode())
        except (InvalidTag, ValueError) as error:
            raise Unreadable(row) from error

    def fingerprint(self, plain: bytes) -> str:
        """Tells equal secrets apart from others without revealing them."""
        return hmac.new(self._key, plain, hashlib.sha256).hexdigest()
