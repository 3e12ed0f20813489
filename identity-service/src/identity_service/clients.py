"""Mail goes out through a server when one is configured, else into files that a person or a test can read."""

import os
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from kit.ids import new_id

_TIMEOUT_S = 10.0


class Mail(Protocol):
    def send(self, message: EmailMessage) -> None:
        """Raises OSError (smtplib's errors are some) when the message was not taken."""


class FolderMail:
    """Each message becomes one `.eml` file, readable by its owner only: it may hold an initial password."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, message: EmailMessage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{new_id()}.eml"
        part = path.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_bytes(message.as_bytes())
        os.replace(part, path)


class SmtpMail:
    """`smtp://[user:password@]host[:port]` takes STARTTLS when it is offered, `smtps://` is TLS from the start.

    A password is never sent over a connection that is not encrypted.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("the mail server's address must be smtp://… or smtps://…")
        self._tls = parts.scheme == "smtps"
        self._host = parts.hostname
        self._port = parts.port or (465 if self._tls else 25)
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")

    def send(self, message: EmailMessage) -> None:
        import smtplib  # only who sends pays for it

        context = ssl.create_default_context()
        server = (
            smtplib.SMTP_SSL(self._host, self._port, timeout=_TIMEOUT_S, context=context)
            if self._tls
            else smtplib.SMTP(self._host, self._port, timeout=_TIMEOUT_S)
        )
        with server:
            encrypted = self._tls
            server.ehlo()
            if not encrypted and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
                encrypted = True
            if self._user:
                if not encrypted:
                    raise ConnectionError("the mail server offers no encryption for the password")
                server.login(self._user, self._password)
            server.send_message(message)
