"""Settings every service reads; a service's own class adds to these. Built once, in `__main__`."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """What the supervisor or a container's environment tells a service. Every field is `FLOWWEAVER_<NAME>`.

    An empty variable counts as an absent one: compose files pass those on.
    """

    model_config = SettingsConfigDict(
        env_prefix="FLOWWEAVER_", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    data: Path = Field(default=Path(".data"), description="The data folder: databases, artifacts, secrets, pages.")
    host: str = Field(default="127.0.0.1", description="Address a service listens on.")
    http_port: int = Field(default=0, ge=0, le=65535, description="A service's HTTP port; 0 takes a free one.")
    rpc_port: int = Field(default=0, ge=0, le=65535, description="A service's gRPC port; 0 takes a free one.")
    nats_url: str = Field(default="nats://127.0.0.1:4222", description="The broker.")
    inner_url: str = Field(
        default="http://127.0.0.1:9001",
        description="Where services reach each other's gRPC and the public keys: a balancer not open to the outside.",
    )
    database_url: str | None = Field(
        default=None,
        description="Base for one schema per service, e.g. `mysql+pymysql://user@host:3306`; SQLite files when absent.",
    )
    service_secret_file: Path | None = Field(
        default=None, description="File with the key of service tokens; `secrets/service.key` in the data folder."
    )
    encryption_key: SecretStr | None = Field(
        default=None,
        description="Key of secrets at rest: 32 random characters or more; `secrets/encryption.key` when absent.",
    )
    replica: str = Field(default="0", description="Name of this replica among its service's, for logs and metrics.")
    language: Literal["ko", "en"] = Field(default="ko", description="Language of answers when a caller names none.")
    log_format: Literal["json", "console"] = Field(default="json", description="Log lines as JSON or for a terminal.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severe line.")
    drain_s: float = Field(default=10.0, ge=0, le=300, description="Seconds open requests get to end at shutdown.")
    test_tasks: bool = Field(default=False, description="Adds the task types `test.*`.")

    def database(self, context: str) -> str:
        """The SQLAlchemy address of a context's own database, e.g. `identity` → its SQLite file or schema."""
        if self.database_url is None:
            return f"sqlite:///{self.data.resolve() / 'databases' / (context + '.db')}"
        base, mark, query = self.database_url.partition("?")
        return f"{base.rstrip('/')}/flowweaver_{context}{mark}{query}"

    def service_secret(self) -> str:
        """The key of service tokens, made at first use when no file is given (0600, never logged)."""
        return shared_secret(self.service_secret_file or self.data / "secrets" / "service.key")

    def vault_secret(self) -> str:
        """The key of secrets at rest, made at first use when none is given."""
        if self.encryption_key is not None:
            return self.encryption_key.get_secret_value()
        return shared_secret(self.data / "secrets" / "encryption.key")

    @field_validator("encryption_key")
    @classmethod
    def _long_enough_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if len(value.get_secret_value()) < 32:
            raise ValueError("an encryption key takes at least 32 characters")
        return value


def shared_secret(path: Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(48)) -> str:
    """The secret kept in `path`, made when absent; of several processes at once the first one's wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        fresh.touch(mode=0o600)
        fresh.write_text(make())
        try:
            # a link fails when the name is taken, so nobody ever reads half a secret or replaces one in use
            path.hardlink_to(fresh)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip()
