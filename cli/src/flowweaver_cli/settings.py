"""Settings of the program itself; a service's own stand with the service. Built once, where a command begins."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SCALABLE = ("identity", "workflow", "execution", "scheduler", "worker")
REPLICAS_MOST = 64
DEFAULT_PORT = 9000


def default_data() -> Path:
    """The folder of this user's data, as the XDG specification has it."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "flowweaver"


def default_gateway() -> Path:
    """The folder `gateway/` of the checkout that this program runs from."""
    return Path(__file__).resolve().parents[3] / "gateway"


class Settings(BaseSettings):
    """Every field is `FLOWWEAVER_<NAME>`; an empty variable counts as an absent one."""

    model_config = SettingsConfigDict(
        env_prefix="FLOWWEAVER_", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    port: int = Field(
        default=DEFAULT_PORT,
        ge=0,
        le=65535,
        description="The gateway's port. Set and taken → exit 2; not set and 9000 taken → another one. 0 takes any.",
    )
    data: Path = Field(default_factory=default_data, description="The data folder; the user's own when absent.")
    replicas: Annotated[dict[str, int], NoDecode] = Field(
        default_factory=dict, description="Replicas per service, e.g. `execution=2,worker=2`; one each when absent."
    )
    database_url: str | None = Field(
        default=None,
        description="Base for one schema per service, e.g. `mysql+pymysql://user@host:3306`; SQLite files when absent.",
    )
    admin_email: str | None = Field(
        default=None, description="Address of the first administrator; admin@flowweaver.local when absent."
    )
    admin_password: SecretStr | None = Field(
        default=None, description="Password of the first administrator, as identity-service and `demo` take it."
    )
    tls_cert: Path | None = Field(
        default=None, description="Certificate (PEM): the gateway then speaks TLS and cookies are `Secure`."
    )
    tls_key: Path | None = Field(default=None, description="The certificate's private key (PEM).")
    login_rate: int = Field(default=10, ge=1, description="Log-ins a second that one address may try, on average.")
    login_burst: int = Field(default=30, ge=1, description="Log-ins that one address may try at once.")
    gateway: Path = Field(default_factory=default_gateway, description="Folder with the gateway's configuration.")
    drain_s: float = Field(default=10.0, ge=0, le=300, description="Seconds open requests get to end at shutdown.")
    ready_timeout_s: float = Field(default=60.0, gt=0, description="Seconds after which a start counts as failed.")

    @field_validator("replicas", mode="before")
    @classmethod
    def _counts(cls, value: Any) -> Any:
        return parse_replicas(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _pair(self) -> "Settings":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("FLOWWEAVER_TLS_CERT and FLOWWEAVER_TLS_KEY belong together")
        return self

    @property
    def sqlite(self) -> bool:
        return self.database_url is None

    @property
    def administrator(self) -> str:
        """The first administrator's address."""
        return self.admin_email or "admin@flowweaver.local"

    @property
    def port_is_chosen(self) -> bool:
        """Whether somebody asked for this very port."""
        return "port" in self.model_fields_set and self.port != 0


def parse_replicas(text: str) -> dict[str, int]:
    """`execution=2,worker=3` → counts. Raises ValueError for an unknown service or a count outside 1…64."""
    counts: dict[str, int] = {}
    for part in filter(None, (item.strip() for item in text.split(","))):
        match = re.fullmatch(r"([a-z]+)(?:-service)?\s*=\s*(\d{1,3})", part)
        if match is None or match[1] not in SCALABLE or not 1 <= int(match[2]) <= REPLICAS_MOST:
            raise ValueError(f"{part!r}: write <service>=<1…{REPLICAS_MOST}>, services: {', '.join(SCALABLE)}")
        counts[match[1]] = int(match[2])
    return counts


def not_on_sqlite(counts: dict[str, int]) -> list[str]:
    """The services of which SQLite takes one replica only, yet more are wanted."""
    return [service for service, count in counts.items() if count > 1 and service != "worker"]
