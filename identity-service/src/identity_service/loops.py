"""The edge of time: what nobody needs any more goes away."""

import anyio.to_thread
import structlog

from identity_service import storage
from identity_service.app import Identity, keys
from identity_service.domain import LOCK_WINDOW
from kit.vault import Vault

log = structlog.get_logger()

PRUNE_EVERY_S = 600.0
TURN_KEYS_EVERY_S = 5.0


async def prune_once(identity: Identity) -> int:
    """Deletes a batch of dead sessions, old failures and old idempotency keys; how many rows."""
    return await anyio.to_thread.run_sync(_prune, identity)


async def turn_keys_once(identity: Identity, vault: Vault) -> None:
    """Follows a rotation of the signing keys."""
    await anyio.to_thread.run_sync(keys.turn, identity, vault)


def _prune(identity: Identity) -> int:
    now = identity.clock()
    removed = identity.database.transact(
        lambda connection: storage.prune(connection, now, failures_before=now - LOCK_WINDOW)
    )
    if removed:
        log.info("pruned", rows=removed)
    return removed
