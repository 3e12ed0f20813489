"""Artifacts and payloads go with their run: heard of over a real broker, on both databases, again after a failure."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import nats
import orjson
import pytest

from kit import bus
from kit.database import Database, migrate
from kit.payloads import PayloadMissing, PayloadStore
from kit.vault import Vault
from worker_service import purge
from worker_service.app import App
from worker_service.artifacts import ArtifactStore
from worker_service.settings import WorkerSettings
from worker_service.storage import ArtifactNotFound, get_artifact

pytestmark = pytest.mark.anyio


def event(run_id: str, organization_id: str = "org1") -> bytes:
    return orjson.dumps({"id": run_id, "organizationid": organization_id, "data": {"run_id": run_id}})


@pytest.fixture
def app(database_url: str, tmp_path: Path, nats_url: str) -> Iterator[App]:
    database = Database(database_url)
    migrate(database, "worker_service")
    settings = WorkerSettings(data=tmp_path / "data", nats_url=nats_url)
    artifacts = ArtifactStore(settings.data / "artifacts", database)
    yield App(settings, database, Vault("k" * 40, "w"), artifacts, PayloadStore(settings.data / "payloads"), {})
    database.close()


def test_all_that_a_run_left_goes_and_nothing_of_any_other(app: App) -> None:
    gone = [app.artifacts.put("org1", "r1", "t", path, b"x", "text/plain") for path in ("a.txt", "deep/b.txt")]
    kept = [
        app.artifacts.put("org1", "r2", "t", "a.txt", b"x", "text/plain"),
        app.artifacts.put("org2", "r1", "t", "a.txt", b"x", "text/plain"),
    ]
    payload = app.payloads.put("org1", "r1", b"{}")
    others = [app.payloads.put("org1", "r2", b"{}"), app.payloads.put("org2", "r1", b"{}")]
    assert purge.purged(app, event("r1"))
    with pytest.raises(PayloadMissing):
        app.payloads.get(payload.reference)
    assert [app.payloads.get(stored.reference) for stored in others] == [b"{}", b"{}"]
    for artifact in gone:
        with pytest.raises(ArtifactNotFound):
            get_artifact(app.database, "org1", artifact.artifact_id)
    for organization_id, artifact in zip(("org1", "org2"), kept, strict=True):
        row = get_artifact(app.database, organization_id, artifact.artifact_id)
        assert app.artifacts.file(row).read_bytes() == b"x"
    for folder in ("artifacts", "payloads"):
        assert not (app.settings.data / folder / "org1" / "r1").exists()
    assert purge.purged(app, event("r1")), "again is harmless"


@pytest.mark.parametrize("said", [b"", b"[]", b"{}", b'{"organizationid": "o"}', b'{"organizationid":"o","data":1}'])
def test_what_is_no_event_is_not_asked_for_again(app: App, said: bytes) -> None:
    assert purge.purged(app, said)


def test_ids_that_lead_elsewhere_are_not_followed(app: App, tmp_path: Path) -> None:
    outside = tmp_path / "data" / "precious"
    outside.mkdir(parents=True)
    for said in (event("../../precious"), event("r1", "../.."), event(""), event("r1", "o/1"), event("r" * 65)):
        assert purge.purged(app, said), "it would come back for ever"
    assert outside.exists()


def test_what_could_not_be_removed_is_asked_for_again(app: App) -> None:
    # in the place of a folder, which is what is removed
    (app.settings.data / "payloads" / "org1").mkdir(parents=True)
    (app.settings.data / "payloads" / "org1" / "r1").write_bytes(b"")
    assert not purge.purged(app, event("r1"))


async def test_a_worker_hears_of_purged_runs_and_tries_again_what_failed(app: App, nats_url: str) -> None:
    made = app.artifacts.put("org1", "r1", "t", "a.txt", b"x", "text/plain")
    client = await nats.connect(nats_url)
    await bus.declare(client.jetstream(), bus.EVENTS)
    listening = asyncio.create_task(purge.run(app))
    try:
        await client.jetstream().publish("events.execution.run.started", event("r1"))
        await client.jetstream().publish(purge.SUBJECT, event("r1"))

        def gone() -> bool:
            try:
                get_artifact(app.database, "org1", made.artifact_id)
            except ArtifactNotFound:
                return True
            return False

        async with asyncio.timeout(20):
            while not gone():
                await asyncio.sleep(0.02)
            while True:  # and acknowledged
                info = await client.jetstream().consumer_info("EVENTS", "worker-purge")
                if not info.num_ack_pending and not info.num_pending:
                    break
                await asyncio.sleep(0.02)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await client.close()
    assert not os.listdir(app.settings.data / "artifacts" / "org1")
