"""Use cases, one function each, in the module of what they are about. All of them work on an `Identity`."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from identity_service import storage
from identity_service.clients import Mail
from identity_service.domain import AuditEntry, Grant
from identity_service.settings import IdentitySettings
from identity_service.tokens import Signer
from kit import logs
from kit.auth import Verifier
from kit.database import Database, utc_now
from kit.ids import new_id


class LiveGrants:
    """Which sessions and API tokens were alive a moment ago, so that not every request asks the database.

    What ends in this process is forgotten at once; an end in another replica is seen after FRESH_S at the latest.
    """

    FRESH_S = 1.5
    _SIZE = 10_000

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Grant | None]] = {}
        self._epoch = 0
        self._lock = threading.Lock()

    def recent(self, session_id: str) -> tuple[bool, Grant | None]:
        """(known, grant)."""
        read_at, grant = self._known.get(session_id, (0.0, None))
        return time.monotonic() - read_at < self.FRESH_S, grant

    def load(self, session_id: str, read: Callable[[], Grant | None]) -> Grant | None:
        """Reads and remembers, unless something ended meanwhile: then what was read may be what was before."""
        epoch, began = self._epoch, time.monotonic()
        grant = read()
        with self._lock:
            if epoch == self._epoch:
                if len(self._known) >= self._SIZE:
                    self._known.clear()
                self._known[session_id] = (began, grant)
        return grant

    def forget(self) -> None:
        """Call after the commit that ended something or changed what somebody may do."""
        with self._lock:
            self._epoch += 1
            self._known.clear()


@dataclass
class Identity:
    """What the use cases work with."""

    database: Database
    settings: IdentitySettings
    signer: Signer
    verifier: Verifier
    mail: Mail
    clock: Callable[[], datetime] = utc_now
    live: LiveGrants = field(default_factory=LiveGrants)
    # by the hash of an API token: what it was exchanged for
    exchanged: dict[str, Any] = field(default_factory=dict)

    def audit(
        self,
        connection: sa.Connection,
        organization_id: str,
        actor_user_id: str,
        action: str,
        resource: tuple[str, str],
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes who did what to which resource (type, id), in the transaction that does it."""
        entry = AuditEntry(
            audit_log_id=new_id(),
            organization_id=organization_id,
            actor_user_id=actor_user_id,
            action=action,
            resource_type=resource[0],
            resource_id=resource[1],
            detail=dict(detail or {}),
            trace_id=logs.trace_id.get(),
            at=self.clock(),
        )
        storage.insert_audit(connection, entry)
