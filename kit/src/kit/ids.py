"""Ids are ULIDs in lower case: 26 characters, unique without coordination, and they sort by the time they were made."""

import hashlib
import os
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_lock = threading.Lock()
_last_ms = 0
_last_random = 0


def _forget() -> None:
    """A forked child must not count on from where its parent was: its siblings would make the same ids."""
    global _last_ms, _lock
    _last_ms, _lock = 0, threading.Lock()


os.register_at_fork(after_in_child=_forget)


def new_id() -> str:
    """A new id, greater than every one made before it in this process."""
    global _last_ms, _last_random
    with _lock:
        now = time.time_ns() // 1_000_000
        if now <= _last_ms:
            _last_random += 1
        else:
            _last_ms = now
            # the top bit stays clear, so that counting up within one millisecond never overflows
            _last_random = int.from_bytes(os.urandom(10), "big") >> 1
        number = (_last_ms << 80) | _last_random
    return _text(number)


def derived_id(at_ms: int, said: str) -> str:
    """The id of something that is known by when it came, in milliseconds since the epoch, and `said`: each time the
    same. It sorts among the others by that time."""
    return _text((at_ms << 80) | int.from_bytes(hashlib.blake2b(said.encode(), digest_size=10).digest(), "big"))


def _text(number: int) -> str:
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
