"""The effect ledger: of all deliveries and attempts of one task run, one at a time acts, and what was done is answered.

The idempotency key is the task run's id. A claim is renewed every 3 s outside the task's loop; one that was not for
12 s belongs to a dead worker and may be taken (within the 15 s in which a task must start again after its worker died).
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
import structlog

from kit.database import Database, is_away
from worker_service import storage
from worker_service.sdk import TaskIds

CLAIM_EXPIRES_S = 12.0
_LOOK_AGAIN_S = 0.25
_DATABASE_AGAIN_S = 1.0

log = structlog.get_logger()


class Ledger:
    def __init__(self, database: Database, *, claim_expires_s: float = CLAIM_EXPIRES_S) -> None:
        self._database = database
        self._claim_expires_s = claim_expires_s

    async def claim(self, ids: TaskIds, type_name: str, claimed_by: str) -> storage.Claim:
        """Waits while another worker holds the claim, or the database is away, which is no fault of the task; then it
        is ours (`mine`) or done, with the recorded outcome."""
        claim = {
            "effect_id": ids.idempotency_key,
            "organization_id": ids.organization_id,
            "run_id": ids.run_id,
            "type": type_name,
        }
        while True:
            try:
                found = await asyncio.to_thread(
                    storage.claim_effect, self._database, claim, claimed_by, self._claim_expires_s
                )
            except sa.exc.SQLAlchemyError as error:
                if not is_away(error):
                    raise
                # it may have been ours before the answer was lost: then it still is
                log.warning("claim_waits", task_run_id=ids.task_run_id, error=repr(error)[:500])
                await asyncio.sleep(_DATABASE_AGAIN_S)
                continue
            if found.mine or found.outcome is not None:
                return found
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def finish(self, ids: TaskIds, outcome: Any) -> Any:
        """Records the output, or where it is kept; what was recorded first, should there be another."""
        return await asyncio.to_thread(
            storage.finish_effect, self._database, ids.organization_id, ids.idempotency_key, outcome
        )

    async def release(self, ids: TaskIds, claimed_by: str) -> None:
        await asyncio.to_thread(
            storage.release_effect, self._database, ids.organization_id, ids.idempotency_key, claimed_by
        )

    def renew(self, claims: Sequence[tuple[str, str]]) -> None:
        """Pairs of idempotency key and holder."""
        storage.renew_claims(self._database, [key for key, _ in claims], [holder for _, holder in claims])
