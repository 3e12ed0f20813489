"""Rules that need nothing but values."""

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest

from identity_service.domain import (
    LOCK_AFTER,
    LOCK_WINDOW,
    is_email,
    locked_until,
    normal_email,
    normal_password,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_nine_failures_lock_nothing_and_the_tenth_locks() -> None:
    assert locked_until(LOCK_AFTER - 1, NOW) is None
    assert locked_until(LOCK_AFTER, NOW) == NOW + timedelta(seconds=30)


def test_each_further_failure_doubles_the_wait_up_to_the_window() -> None:
    waits = [locked_until(LOCK_AFTER + more, NOW) for more in range(7)]
    assert waits == [NOW + timedelta(seconds=s) for s in (30, 60, 120, 240, 480, 900, 900)]
    assert locked_until(10_000_000, NOW) == NOW + LOCK_WINDOW


@pytest.mark.parametrize("text", ["a@b.kr", "first.last+tag@sub.example.co.kr", "admin@flowweaver.local"])
def test_ordinary_addresses_are_addresses(text: str) -> None:
    assert is_email(text)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a@b", "@b.kr", "a@.kr", "a b@c.kr", "a@b.kr\nBcc: c@d.kr", "a@-b.kr", f"{'a' * 65}@b.kr", "a@b..kr"],
)
def test_what_could_not_be_mailed_is_no_address(text: str) -> None:
    assert not is_email(text)


def test_an_address_has_one_spelling() -> None:
    assert normal_email("  Admin@Example.COM ") == "admin@example.com"


def test_hangul_typed_on_any_system_is_one_password() -> None:
    text = "비밀번호는한글로"
    assert unicodedata.normalize("NFD", text) != text
    assert normal_password(unicodedata.normalize("NFD", text)) == normal_password(text)
