"""Passwords are kept as Argon2id. Checking costs the same whether or not there is anything to check against.

passlib is imported at the first use: it takes 0.1 s that a start need not wait for.
"""

import secrets
import threading
import warnings
from typing import Any

from identity_service.domain import normal_password

# OWASP's second profile with one more pass: 19 MiB and about 60 ms on a small machine
_COST = {"type": "ID", "memory_cost": 19_456, "time_cost": 3, "parallelism": 1}
# no 0/O, 1/l/I: an initial password gets typed from a mail
_LETTERS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"

_lock = threading.Lock()
_loaded: tuple[Any, str] | None = None


def _argon2() -> tuple[Any, str]:
    """The hasher, and a hash that no password has."""
    global _loaded
    with _lock:
        if _loaded is None:
            with warnings.catch_warnings():
                # passlib 1.7 imports `crypt` and reads `argon2.__version__`; where warnings are errors either would
                # leave argon2 without its backend
                warnings.simplefilter("ignore", DeprecationWarning)
                from passlib.hash import argon2

                argon2.set_backend()
            hasher = argon2.using(**_COST)  # type: ignore[no-untyped-call]
            _loaded = hasher, hasher.hash(secrets.token_urlsafe(32))
        return _loaded


def hash_password(password: str) -> str:
    hasher, _ = _argon2()
    return str(hasher.hash(normal_password(password)))


def verify_password(password: str, hashed: str | None) -> bool:
    """Whether `password` is the hashed one; always False for None, after the same work."""
    hasher, dummy = _argon2()
    matches = bool(hasher.verify(normal_password(password), hashed or dummy))
    return matches and hashed is not None


def generate_password() -> str:
    """Twenty letters and digits in groups of five: 115 bits that can be read out and typed."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(4))
