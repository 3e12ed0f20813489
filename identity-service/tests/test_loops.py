"""The edge of time, one turn at a time."""

from typing import Any

import pytest

from identity_service import loops
from identity_service.storage.tables import login_attempt
from kit.errors import Unauthenticated


@pytest.mark.anyio
async def test_one_turn_removes_what_nobody_needs(start: Any) -> None:
    world = start()
    for email in ("a@example.com", "b@example.com"):
        with pytest.raises(Unauthenticated):
            world.log_in(email, "wrong password")
    assert await loops.prune_once(world.identity) == 0
    world.clock.advance(minutes=16)
    assert await loops.prune_once(world.identity) == 2
    assert await loops.prune_once(world.identity) == 0
    with world.identity.database.read() as connection:
        assert connection.execute(login_attempt.select()).all() == []
