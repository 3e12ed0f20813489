"""Mail reaches a real server, never sends a password in the clear, and without a server becomes a private file."""

import datetime
import email
import email.policy
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from identity_service.clients import FolderMail, SmtpMail


def _message() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.com", "b@example.com", "초기 비밀번호"
    message.set_content("안녕하세요\n비밀번호: abc\n", cte="quoted-printable")
    return message


class _Smtp(socketserver.StreamRequestHandler):
    """As much of SMTP as a client needs to leave a message."""

    server: Any

    def handle(self) -> None:
        self._say("220 ready")
        while line := self.rfile.readline().decode().strip():
            verb = line.split(" ")[0].upper()
            self.server.heard.append(line)
            if verb == "EHLO":
                offers = ["localhost", *self.server.offers]
                for offer in offers[:-1]:
                    self._say(f"250-{offer}")
                self._say(f"250 {offers[-1]}")
            elif verb == "STARTTLS":
                self._say("220 go ahead")
                self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            elif verb == "DATA":
                self._say("354 go on")
                lines = []
                while (part := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(part)
                self.server.messages.append(b"".join(lines))
                self._say("250 taken")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("235 fine" if verb == "AUTH" else "250 ok")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def _smtp(tls: ssl.SSLContext | None = None, *, offers: tuple[str, ...] = (), implicit: bool = False) -> Iterator[Any]:
    server: Any = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Smtp)
    server.daemon_threads, server.heard, server.messages, server.offers, server.tls = True, [], [], offers, tls
    if implicit and tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for localhost that this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


def test_a_message_becomes_a_file_that_only_we_read(tmp_path: Path) -> None:
    FolderMail(tmp_path / "mail").send(_message())
    (path,) = (tmp_path / "mail").iterdir()
    assert path.suffix == ".eml"
    assert path.stat().st_mode & 0o777 == 0o600
    read = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert read["Subject"] == "초기 비밀번호"
    assert "비밀번호: abc" in read.get_content()


def test_a_message_reaches_a_server_without_encryption_when_no_password_is_needed() -> None:
    with _smtp() as server:
        SmtpMail(f"smtp://127.0.0.1:{server.server_address[1]}").send(_message())
    assert len(server.messages) == 1
    assert b"To: b@example.com" in server.messages[0]


def test_a_password_is_not_sent_in_the_clear() -> None:
    with _smtp(offers=("AUTH PLAIN",)) as server:
        mail = SmtpMail(f"smtp://me:secret@127.0.0.1:{server.server_address[1]}")
        with pytest.raises(OSError, match="no encryption"):
            mail.send(_message())
    assert not [line for line in server.heard if line.startswith("AUTH")]
    assert server.messages == []


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_password_is_sent_under_tls(trusted: ssl.SSLContext, scheme: str) -> None:
    offers = ("AUTH PLAIN", "STARTTLS") if scheme == "smtp" else ("AUTH PLAIN",)
    with _smtp(trusted, offers=offers, implicit=scheme == "smtps") as server:
        SmtpMail(f"{scheme}://me:p%40ss@localhost:{server.server_address[1]}").send(_message())
    assert [line for line in server.heard if line.startswith("AUTH PLAIN")]
    assert len(server.messages) == 1


def test_a_server_that_is_not_there_is_an_oserror() -> None:
    with _smtp() as server:
        port = server.server_address[1]
    with pytest.raises(OSError):
        SmtpMail(f"smtp://127.0.0.1:{port}").send(_message())


@pytest.mark.parametrize("url", ["http://mail", "smtp://", "mail.example.com"])
def test_an_address_that_is_no_mail_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="smtp"):
        SmtpMail(url)
