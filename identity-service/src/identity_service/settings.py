"""Settings of identity-service, on top of those every service reads. Built once, in `__main__`."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from identity_service.domain import PASSWORD_MAX, PASSWORD_MIN, is_email, normal_email
from kit.settings import ServiceSettings


class IdentitySettings(ServiceSettings):
    """Every field is `FLOWWEAVER_<NAME>`."""

    # a refused value may be a secret: the error must not show it
    model_config = SettingsConfigDict(hide_input_in_errors=True)

    admin_email: str | None = Field(
        default=None, description="Address of the first administrator; admin@flowweaver.local when absent."
    )
    admin_password: SecretStr | None = Field(
        default=None,
        description=f"Password of the first administrator, {PASSWORD_MIN}–{PASSWORD_MAX} characters. When absent one "
        "is generated and kept in `secrets/admin-password` until it is changed; `flowweaver up` shows it once.",
    )
    seed_file: Path | None = Field(
        default=None, description="TOML with the organisation, departments, positions, roles and users to begin with."
    )
    access_token_s: int = Field(default=900, ge=5, le=3600, description="Seconds an access token is valid.")
    session_idle_s: int = Field(
        default=14 * 86_400, ge=60, description="Seconds after which a session that is not refreshed ends."
    )
    session_max_s: int = Field(default=30 * 86_400, ge=60, description="Seconds a session lasts at most.")
    refresh_grace_s: float = Field(
        default=10.0,
        ge=0,
        le=60,
        description="Seconds the refresh token before the current one still works: two tabs may refresh at once.",
    )
    cookie_secure: bool = Field(default=False, description="Marks cookies Secure: set it when people come over TLS.")
    smtp_url: SecretStr | None = Field(
        default=None,
        description="Mail server, `smtp://user:password@host:587` (STARTTLS when offered) or `smtps://…`. "
        "When absent, mail is written to `mail/` in the data folder.",
    )
    openapi_file: Path | None = Field(
        default=None,
        description="The merged OpenAPI document that the gateway serves; `runtime/openapi.json` in the data folder.",
    )
    mail_from: str = Field(default="FlowWeaver <no-reply@flowweaver.local>", description="Sender of our mail.")

    @field_validator("admin_email")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        # an empty variable counts as an absent one: compose files pass those on
        if not value:
            return None
        if not is_email(normal_email(value)):
            raise ValueError("not an e-mail address")
        return normal_email(value)

    @field_validator("admin_password")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not PASSWORD_MIN <= len(value.get_secret_value()) <= PASSWORD_MAX:
            raise ValueError(f"takes {PASSWORD_MIN} to {PASSWORD_MAX} characters")
        return value

    def openapi_document(self) -> Path:
        return self.openapi_file or self.data / "runtime" / "openapi.json"
