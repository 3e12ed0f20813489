"""What every use case stands on, and who asks."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from kit.database import Database, utc_now
from workflow_service.clients import Scheduler, Workers

Revisions: TypeAlias = Collection[int] | None
"""What If-Match names; None: any."""


@dataclass(frozen=True)
class Context:
    """What the use cases stand on."""

    database: Database
    scheduler: Scheduler
    workers: Workers
    clock: Callable[[], datetime] = utc_now
    announced: Callable[[str], AbstractContextManager[None]] = lambda organization_id: nullcontext()
    """Holds while workflows of an organisation change: whoever keeps something of them is told first."""


@dataclass(frozen=True)
class Who:
    """A person in an organisation."""

    organization_id: str
    user_id: str
