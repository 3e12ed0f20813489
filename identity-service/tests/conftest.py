"""A whole identity-service on a database, with a clock that tests can move, and its edges on real ports."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import uvicorn

from identity_service import rest, rpc
from identity_service.app import Identity, keys, sessions, setup
from identity_service.clients import FolderMail
from identity_service.settings import IdentitySettings
from identity_service.tokens import Signer
from kit import messages
from kit.auth import Caller, ServiceTokens, Verifier
from kit.database import Database, migrate

ADMIN = "admin@example.com"
PASSWORD = "correct horse battery"

messages.load("identity_service")


class Clock:
    """The service's clock, wherever the test wants it. Tokens' own times stay real."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **parts: float) -> None:
        self.now += timedelta(**parts)


@dataclass
class World:
    """A service that has started, and how to be somebody in it."""

    identity: Identity
    clock: Clock
    organization_id: str
    data: Path

    def log_in(self, email: str = ADMIN, password: str = PASSWORD) -> sessions.LoggedIn:
        return sessions.log_in(self.identity, email, password)

    def caller(self, logged_in: sessions.LoggedIn) -> Caller:
        return self.identity.verifier.verify(logged_in.access_token)

    def admin(self) -> Caller:
        return self.caller(self.log_in())

    def mailed_password(self) -> str:
        """Of the newest mail."""
        text = max((self.data / "mail").glob("*.eml")).read_text()
        return next(line for line in text.splitlines() if line.startswith("Password: ")).removeprefix("Password: ")


Start = Callable[..., World]


def start_on(database: Database, data: Path, **settings: Any) -> World:
    chosen = IdentitySettings(
        **{"data": data, "admin_email": ADMIN, "admin_password": PASSWORD, "language": "en", **settings}
    )
    migrate(database, "identity_service")
    clock = Clock()
    identity = Identity(
        database=database,
        settings=chosen,
        signer=keys.load_signer(database, keys.open_vault(chosen)),
        verifier=Verifier(partial(keys.public_keys, database)),
        mail=FolderMail(data / "mail"),
        clock=clock,
    )
    organization_id = setup.apply_seed(identity, setup.read_seed(chosen))
    setup.ensure_administrator(identity, organization_id)
    return World(identity, clock, organization_id, data)


@pytest.fixture(autouse=True)
def _english() -> None:
    messages.language.set("en")


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Start]:
    """Starts the service on SQLite, then on MariaDB; again on the same database when called again."""
    opened = []

    def begin(**settings: Any) -> World:
        opened.append(Database(database_url))
        return start_on(opened[-1], settings.pop("data", tmp_path / "data"), **settings)

    yield begin
    for database in opened:
        database.close()


@pytest.fixture
def world(start: Start) -> World:
    return start()


@dataclass
class Site:
    """A service whose edges listen."""

    world: World
    url: str
    rpc_target: str
    service_tokens: ServiceTokens

    def client(self, access_token: str | None = None) -> httpx.Client:
        headers = {"accept-language": "en"}
        if access_token:
            headers["authorization"] = f"Bearer {access_token}"
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=20)

    def admin(self) -> httpx.Client:
        return self.client(self.world.log_in().access_token)

    def register(self, email: str, role: str) -> httpx.Client:
        """A new member with that role, logged in with a password of their own."""
        with self.admin() as admin:
            answer = admin.post("/v0/auth/register", json={"name": "새 사람", "email": email, "roles": [role]})
            assert answer.status_code == 201, answer.text
        first = self.world.mailed_password()
        with self.client(self.world.log_in(email, first).access_token) as fresh:
            changed = fresh.patch("/v0/users/me", json={"current_password": first, "new_password": PASSWORD})
            assert changed.status_code == 200, changed.text
        return self.client(self.world.log_in(email, PASSWORD).access_token)


@contextlib.contextmanager
def serving(world: World) -> Iterator[Site]:
    """Both edges on free ports, in a loop of their own thread."""
    tokens = ServiceTokens("a service secret of the tests, long enough", "identity-service")
    started: threading.Event = threading.Event()
    ports: dict[str, int] = {}
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        config = uvicorn.Config(
            rest.build(world.identity), port=0, log_config=None, access_log=False, lifespan="off", ws="none"
        )
        http = uvicorn.Server(config)
        edge = rpc.build(world.identity, tokens)
        ports["rpc"] = await edge.start("127.0.0.1", 0)
        task = asyncio.create_task(http.serve())
        while not http.started:
            assert not task.done()
            await asyncio.sleep(0.01)
        ports["http"] = http.servers[0].sockets[0].getsockname()[1]
        stop.append(lambda: setattr(http, "should_exit", True))
        started.set()
        await task
        await edge.stop(1)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(20), "the edges did not start"
    try:
        yield Site(world, f"http://127.0.0.1:{ports['http']}", f"127.0.0.1:{ports['rpc']}", tokens)
    finally:
        stop[0]()
        thread.join(20)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One service on SQLite for the tests of a module; each makes what it needs under names of its own."""
    folder = tmp_path_factory.mktemp("identity")
    database = Database(f"sqlite:///{folder / 'identity.db'}")
    with serving(start_on(database, folder / "data")) as found:
        yield found
    database.close()


@pytest.fixture
def channel(site: Site) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(site.rpc_target) as opened:
        yield opened


@pytest.fixture
def foreign_signer() -> Signer:
    """A key that the service never heard of."""
    from identity_service.tokens import generate_key

    fresh = generate_key()
    return Signer(fresh.kid, fresh.private_pem)
