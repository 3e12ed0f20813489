"""Signing keys: which one signs, how a new one takes over on every replica, and when the old one goes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jose import jwt

from identity_service import loops
from identity_service.app import keys
from identity_service.domain import SigningKey, by_preference, retired
from kit.auth import Verifier
from kit.errors import Unauthenticated

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def made(kid: str, seconds_ago: float) -> SigningKey:
    return SigningKey(kid, {}, "", NOON - timedelta(seconds=seconds_ago))


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def test_a_key_signs_once_it_was_public_long_enough() -> None:
    old, new = made("old", 1000), made("new", 9.9)
    assert by_preference([new, old], NOON) == [old, new]
    assert by_preference([made("new", 10), old], NOON)[0].kid == "new"


def test_when_no_key_was_public_long_enough_the_oldest_signs() -> None:
    assert [key.kid for key in by_preference([made("b", 1), made("a", 2)], NOON)] == ["a", "b"]
    assert by_preference([], NOON) == []


def test_a_key_is_retired_when_the_last_token_that_it_signed_has_expired() -> None:
    life = timedelta(seconds=900)
    keys_then = [made("c", 1), made("b", 939), made("a", 5000)]
    assert retired(keys_then, NOON, life) == []
    keys_then = [made("c", 1), made("b", 941), made("a", 5000)]
    assert [key.kid for key in retired(keys_then, NOON, life)] == ["a"]
    assert retired([made("a", 5000)], NOON, life) == []


@pytest.mark.anyio
async def test_a_rotation_takes_over_on_every_replica_and_no_token_is_lost(start: Any) -> None:
    first, second = start(), start()
    vault = keys.open_vault(first.identity.settings)
    old = first.identity.signer.kid
    before = first.log_in().access_token
    new = keys.rotate(first.identity.database, vault).kid
    first.clock.now = second.clock.now = datetime.now(UTC)
    elsewhere = Verifier(lambda: keys.public_keys(first.identity.database))
    for world in (first, second):
        await loops.turn_keys_once(world.identity, vault)
        assert world.identity.signer.kid == old, "verifiers may not know the new one yet"
        world.clock.advance(seconds=11)
        await loops.turn_keys_once(world.identity, vault)
        assert kid_of(world.log_in().access_token) == new
        assert elsewhere.verify(world.log_in().access_token).user_id
        assert elsewhere.verify(before).user_id
    # its last token has another quarter of an hour
    second.clock.advance(seconds=900)
    await loops.turn_keys_once(second.identity, vault)
    assert [key["kid"] for key in keys.public_keys(first.identity.database)["keys"]] == [new, old]
    second.clock.advance(seconds=60)
    await loops.turn_keys_once(second.identity, vault)
    assert [key["kid"] for key in keys.public_keys(first.identity.database)["keys"]] == [new]
    with pytest.raises(Unauthenticated):
        Verifier(lambda: keys.public_keys(first.identity.database)).verify(before)


@pytest.mark.anyio
async def test_a_replica_that_can_open_no_key_makes_one(start: Any) -> None:
    world = start()
    stranger = start(data=world.data.parent / "elsewhere")
    vault = keys.open_vault(world.identity.settings)
    world.clock.advance(days=1)
    # the stranger's key is newer, so ours is over; and we cannot open theirs
    await loops.turn_keys_once(world.identity, vault)
    assert world.identity.signer.kid not in (stranger.identity.signer.kid, "")
    token = world.log_in().access_token
    assert Verifier(lambda: keys.public_keys(world.identity.database)).verify(token).user_id
