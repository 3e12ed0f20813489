"""Who the program is when it talks to the platform that it runs: the first administrator."""

from flowweaver_cli.client import Client
from flowweaver_cli.endpoint import Endpoint
from flowweaver_cli.first_password import FirstPassword
from flowweaver_cli.settings import Settings
from kit.messages import text


class PasswordUnknown(Exception):
    """Neither the environment nor the data folder tells the administrator's password."""


def as_administrator(settings: Settings, found: Endpoint) -> Client:
    """Raises PasswordUnknown."""
    if settings.admin_password is not None:
        password = settings.admin_password.get_secret_value()
    else:
        kept = FirstPassword(settings)
        try:
            password = kept.read()
        except OSError as error:
            raise PasswordUnknown(text("demo_password_unknown", path=kept.file)) from error
    return Client(found.base_url, settings.administrator, password, certificate=settings.tls_cert)
