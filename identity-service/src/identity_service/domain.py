"""What identity is about, as plain values and the few rules that need no I/O: locks, password rules, addresses."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any

PASSWORD_MIN = 10
PASSWORD_MAX = 256

LOCK_AFTER = 10
LOCK_WINDOW = timedelta(minutes=15)
LOCK_FIRST = timedelta(seconds=30)

# what HTML calls a valid address: what browsers' forms let through is what we take
_EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+"
)

DEFAULT_ADMIN_EMAIL = "admin@flowweaver.local"

API_TOKEN_PREFIX = "fwt_"  # noqa: S105  # a mark, not a secret
API_SESSION_PREFIX = "fwt-"


class UserState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True)
class Named:
    """A department or position: its id and what people call it."""

    id: str
    name: str


@dataclass(frozen=True)
class Role:
    role_id: str
    code: str
    name: str
    description: str
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Member:
    """A user as one organisation knows them. `version` counts changes of what others may edit."""

    user_id: str
    organization_id: str
    membership_id: str
    email: str
    name: str
    state: UserState
    must_change_password: bool
    department: Named | None
    position: Named | None
    roles: tuple[Role, ...]
    authz: int
    version: int
    created_at: datetime

    @property
    def permissions(self) -> frozenset[str]:
        """Everything the member's roles allow."""
        return frozenset(permission for role in self.roles for permission in role.permissions)

    @property
    def usable_permissions(self) -> frozenset[str]:
        """What a token may carry: nothing until a mailed password was replaced."""
        return frozenset() if self.must_change_password else self.permissions


@dataclass(frozen=True)
class Credentials:
    """What logging in needs to know about an address."""

    user_id: str
    organization_id: str
    membership_id: str
    password_hash: str | None
    state: UserState


@dataclass(frozen=True)
class Grant:
    """Whom a session or an API token stands for right now, and the number its tokens must carry."""

    user_id: str
    organization_id: str
    authz: int
    expires_at: datetime


@dataclass(frozen=True)
class ApiToken:
    api_token_id: str
    organization_id: str
    user_id: str
    name: str
    permissions: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True)
class AuditEntry:
    """One line of the audit log. `detail` says what changed; it never holds a secret."""

    audit_log_id: str
    organization_id: str
    actor_user_id: str
    action: str
    resource_type: str
    resource_id: str
    detail: dict[str, Any]
    trace_id: str
    at: datetime


@dataclass(frozen=True)
class SigningKey:
    """A key of access tokens. `public_jwk` is for everybody, `private_key` is sealed."""

    kid: str
    public_jwk: dict[str, Any]
    private_key: str
    created_at: datetime


# a verifier that just read the public keys reads them again for an unknown one after five seconds only
KEY_PUBLISHED_FIRST = timedelta(seconds=10)
# until every replica signs with a key that is due, and for clocks that differ
KEY_TAKES_OVER_WITHIN = timedelta(seconds=30)


def by_preference(keys: Sequence[SigningKey], now: datetime) -> list[SigningKey]:
    """`keys`, newest first, as they shall sign: the newest that was public long enough, else whatever there is."""
    due = [key for key in keys if now - key.created_at >= KEY_PUBLISHED_FIRST]
    return due + [key for key in reversed(keys) if key not in due]


def retired(keys: Sequence[SigningKey], now: datetime, life: timedelta) -> list[SigningKey]:
    """Of `keys`, newest first, those whose last token has expired: one lives for `life`."""
    since = life + KEY_PUBLISHED_FIRST + KEY_TAKES_OVER_WITHIN
    return [older for newer, older in pairwise(keys) if now - newer.created_at > since]


def normal_email(text: str) -> str:
    """The one spelling under which an address is kept and compared."""
    return unicodedata.normalize("NFC", text).strip().lower()


def is_email(text: str) -> bool:
    """Whether `text`, already in its normal spelling, can be an address."""
    return len(text) <= 254 and len(text.partition("@")[0]) <= 64 and _EMAIL.fullmatch(text) is not None


def normal_password(text: str) -> str:
    """The same Hangul typed on any system gives the same password."""
    return unicodedata.normalize("NFKC", text)


def locked_until(failures: int, last: datetime) -> datetime | None:
    """Until when no password is tried for an address that failed `failures` times within LOCK_WINDOW, lastly at `last`.

    The wait doubles with each failure past the limit, up to the window itself.
    """
    if failures < LOCK_AFTER:
        return None
    # the cap also keeps the shift small
    return last + min(LOCK_FIRST * (1 << min(failures - LOCK_AFTER, 10)), LOCK_WINDOW)
