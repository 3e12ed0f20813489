from base64 import b64decode, b64encode

import pytest

from kit.vault import Unreadable, Vault


def test_a_secret_comes_back_from_its_own_row() -> None:
    vault = Vault("a secret of full entropy", "worker-service")
    sealed = vault.seal("비밀".encode(), "row-1")
    assert vault.open(sealed, "row-1") == "비밀".encode()
    assert "비밀".encode() not in b64decode(sealed)
    assert vault.seal("비밀".encode(), "row-1") != sealed


def _changed(sealed: str) -> str:
    content = bytearray(b64decode(sealed))
    content[-1] ^= 1
    return b64encode(content).decode()


def test_a_secret_cannot_be_moved_changed_or_opened_by_others() -> None:
    vault = Vault("a secret of full entropy", "worker-service")
    sealed = vault.seal(b"value", "row-1")
    tried = [
        (vault, sealed, "row-2"),
        (vault, _changed(sealed), "row-1"),
        (vault, sealed[:12], "row-1"),
        (vault, "", "row-1"),
        (vault, "not base64!", "row-1"),
        (vault, "한글", "row-1"),
        (Vault("another secret", "worker-service"), sealed, "row-1"),
        (Vault("a secret of full entropy", "identity-service"), sealed, "row-1"),
    ]
    for opener, text, row in tried:
        with pytest.raises(Unreadable):
            opener.open(text, row)


def test_a_fingerprint_tells_equal_secrets_within_one_service_only() -> None:
    vault = Vault("a secret of full entropy", "worker-service")
    assert vault.fingerprint(b"value") == vault.fingerprint(b"value")
    assert vault.fingerprint(b"value") != vault.fingerprint(b"other")
    assert vault.fingerprint(b"value") != Vault("a secret of full entropy", "identity-service").fingerprint(b"value")
