"""Tables of worker-service and every statement on them. Each takes the organisation, so that none can leak another's.

Several worker replicas may share one SQLite file on one host: every write begins IMMEDIATE and is short, WAL lets
readers go on, and no replica remembers what the file says. So there is no sole-replica lock here.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa

from kit.database import TABLE_OPTIONS, Database, Json, LongText, UtcTime, id_column, idempotency_table, once, utc_now
from kit.errors import Conflict, NotFound, Outdated

T = TypeVar("T")

metadata = sa.MetaData()
idempotency_key = idempotency_table(metadata)

connection = sa.Table(
    "connection",
    metadata,
    id_column("connection_id", primary_key=True),
    id_column("organization_id"),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("settings", Json, nullable=False),
    # AES-GCM; which names it holds may be known, their values never
    sa.Column("sealed_credentials", LongText, nullable=False),
    sa.Column("credential_names", Json, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.UniqueConstraint("organization_id", "name", name="uq_connection_name"),
    **TABLE_OPTIONS,
)

artifact = sa.Table(
    "artifact",
    metadata,
    id_column("artifact_id", primary_key=True),
    id_column("organization_id"),
    id_column("run_id"),
    id_column("task_run_id"),
    sa.Column("path", sa.String(512), nullable=False),
    # a unique key on the path itself would be longer than an index may be
    sa.Column("path_hash", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("content_type", sa.String(128), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.UniqueConstraint("organization_id", "run_id", "path_hash", name="uq_artifact_path"),
    sa.Index("ix_artifact_newest", "organization_id", "artifact_id"),
    **TABLE_OPTIONS,
)

effect = sa.Table(
    "effect",
    metadata,
    # the idempotency key: the task run's id
    id_column("effect_id", primary_key=True),
    id_column("organization_id"),
    id_column("run_id"),
    sa.Column("type", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("outcome", Json, nullable=True),
    sa.Column("note", Json, nullable=True),
    sa.Column("claimed_by", sa.String(128), nullable=True),
    sa.Column("claimed_at", UtcTime, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    **TABLE_OPTIONS,
)

task_state = sa.Table(
    "task_state",
    metadata,
    # hash of organisation, namespace and key
    sa.Column("task_state_id", sa.String(64), primary_key=True),
    id_column("organization_id"),
    sa.Column("namespace", sa.String(64), nullable=False),
    sa.Column("entry_key", sa.String(255), nullable=False),
    sa.Column("value", Json, nullable=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.Index("ix_task_state_namespace", "organization_id", "namespace"),
    **TABLE_OPTIONS,
)


def _insert_or_repeat(database: Database, work: Callable[[sa.Connection], T]) -> T:
    """Runs `work`; when another writer inserted the same row meanwhile, runs it again, now with that row there."""
    try:
        return database.transact(work)
    except sa.exc.IntegrityError:
        return database.transact(work)


# --- connections ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Connection:
    """A stored connection as people may see it: which credentials it has, not what they are."""

    connection_id: str
    organization_id: str
    name: str
    kind: str
    settings: dict[str, Any]
    credential_names: tuple[str, ...]
    version: int
    created_at: datetime
    updated_at: datetime


class ConnectionNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("connection_not_found")


class ConnectionExists(Conflict):
    def __init__(self, name: str) -> None:
        super().__init__("connection_exists", name=name)


def _connection(row: Any) -> Connection:
    return Connection(
        row.connection_id,
        row.organization_id,
        row.name,
        row.kind,
        row.settings,
        tuple(row.credential_names),
        row.version,
        row.created_at,
        row.updated_at,
    )


def add_connection(
    database: Database,
    organization_id: str,
    made: dict[str, Any],
    *,
    request_key: str | None,
    request_body: Any,
) -> Connection:
    """`made` holds connection_id, name, kind, settings, sealed_credentials, credential_names."""

    def work(session: sa.Connection) -> Connection:
        def make() -> str:
            taken = sa.select(connection.c.connection_id).where(
                connection.c.organization_id == organization_id, connection.c.name == made["name"]
            )
            if session.execute(taken).first() is not None:
                raise ConnectionExists(made["name"])
            now = utc_now()
            row = {**made, "organization_id": organization_id, "version": 1, "created_at": now, "updated_at": now}
            session.execute(connection.insert().values(row))
            return str(made["connection_id"])

        found = once(
            session,
            idempotency_key,
            organization_id=organization_id,
            operation="create_connection",
            key=request_key,
            body=request_body,
            make=make,
        )
        return _connection(_one_connection(session, organization_id, found))

    return _insert_or_repeat(database, work)


def _one_connection(session: sa.Connection, organization_id: str, connection_id: str, *, lock: bool = False) -> Any:
    asked = sa.select(connection).where(
        connection.c.organization_id == organization_id, connection.c.connection_id == connection_id
    )
    row = session.execute(asked.with_for_update() if lock else asked).one_or_none()
    if row is None:
        raise ConnectionNotFound
    return row


def get_connection(database: Database, organization_id: str, connection_id: str) -> Connection:
    with database.read() as session:
        return _connection(_one_connection(session, organization_id, connection_id))


def sealed_connection(database: Database, organization_id: str, name: str) -> tuple[Connection, str] | None:
    """A connection by name with its sealed credentials."""
    with database.read() as session:
        asked = sa.select(connection).where(connection.c.organization_id == organization_id, connection.c.name == name)
        row = session.execute(asked).one_or_none()
        return None if row is None else (_connection(row), row.sealed_credentials)


def list_connections(database: Database, organization_id: str, limit: int, before: str | None) -> list[Connection]:
    """Newest first, `limit` of those older than id `before`."""
    asked = sa.select(connection).where(connection.c.organization_id == organization_id)
    if before is not None:
        asked = asked.where(connection.c.connection_id < before)
    with database.read() as session:
        rows = session.execute(asked.order_by(connection.c.connection_id.desc()).limit(limit))
        return [_connection(row) for row in rows]


def change_connection(
    database: Database, organization_id: str, connection_id: str, version: int | None, changes: dict[str, Any]
) -> Connection:
    """Raises Outdated unless the connection is at `version` (None: whichever)."""

    def work(session: sa.Connection) -> Connection:
        row = _one_connection(session, organization_id, connection_id, lock=True)
        if version is not None and row.version != version:
            raise Outdated("outdated")
        if changes["name"] != row.name:
            taken = sa.select(connection.c.connection_id).where(
                connection.c.organization_id == organization_id, connection.c.name == changes["name"]
            )
            if session.execute(taken).first() is not None:
                raise ConnectionExists(changes["name"])
        session.execute(
            connection.update()
            .where(connection.c.connection_id == connection_id)
            .values({**changes, "version": row.version + 1, "updated_at": utc_now()})
        )
        return _connection(_one_connection(session, organization_id, connection_id))

    return _insert_or_repeat(database, work)


def delete_connection(database: Database, organization_id: str, connection_id: str, version: int | None) -> None:
    def work(session: sa.Connection) -> None:
        row = _one_connection(session, organization_id, connection_id, lock=True)
        if version is not None and row.version != version:
            raise Outdated("outdated")
        session.execute(connection.delete().where(connection.c.connection_id == connection_id))

    database.transact(work)


# --- artifacts -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ArtifactRow:
    artifact_id: str
    organization_id: str
    run_id: str
    task_run_id: str
    path: str
    size: int
    sha256: str
    content_type: str
    created_at: datetime


class ArtifactNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("artifact_not_found")


def _artifact(row: Any) -> ArtifactRow:
    return ArtifactRow(
        row.artifact_id,
        row.organization_id,
        row.run_id,
        row.task_run_id,
        row.path,
        row.size,
        row.sha256,
        row.content_type,
        row.created_at,
    )


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def record_artifact(database: Database, found: ArtifactRow) -> ArtifactRow:
    """The index row of what lies at the path now; a path recorded before keeps its id."""

    def work(session: sa.Connection) -> ArtifactRow:
        path_hash = _hash(found.path)
        same = (
            artifact.c.organization_id == found.organization_id,
            artifact.c.run_id == found.run_id,
            artifact.c.path_hash == path_hash,
        )
        values = {
            "task_run_id": found.task_run_id,
            "size": found.size,
            "sha256": found.sha256,
            "content_type": found.content_type,
        }
        row = session.execute(sa.select(artifact).where(*same)).one_or_none()
        if row is not None:
            session.execute(artifact.update().where(artifact.c.artifact_id == row.artifact_id).values(values))
        else:
            session.execute(
                artifact.insert().values(
                    **values,
                    artifact_id=found.artifact_id,
                    organization_id=found.organization_id,
                    run_id=found.run_id,
                    path=found.path,
                    path_hash=path_hash,
                    created_at=found.created_at,
                )
            )
        return _artifact(session.execute(sa.select(artifact).where(*same)).one())

    return _insert_or_repeat(database, work)


def get_artifact(database: Database, organization_id: str, artifact_id: str) -> ArtifactRow:
    with database.read() as session:
        asked = sa.select(artifact).where(
            artifact.c.organization_id == organization_id, artifact.c.artifact_id == artifact_id
        )
        row = session.execute(asked).one_or_none()
    if row is None:
        raise ArtifactNotFound
    return _artifact(row)


def find_artifact(database: Database, organization_id: str, run_id: str, path: str) -> ArtifactRow:
    with database.read() as session:
        asked = sa.select(artifact).where(
            artifact.c.organization_id == organization_id,
            artifact.c.run_id == run_id,
            artifact.c.path_hash == _hash(path),
        )
        row = session.execute(asked).one_or_none()
    if row is None:
        raise ArtifactNotFound
    return _artifact(row)


def list_artifacts(
    database: Database, organization_id: str, *, run_id: str | None, limit: int, before: str | None
) -> list[ArtifactRow]:
    """Newest first, `limit` of those older than id `before`."""
    asked = sa.select(artifact).where(artifact.c.organization_id == organization_id)
    if run_id is not None:
        asked = asked.where(artifact.c.run_id == run_id)
    if before is not None:
        asked = asked.where(artifact.c.artifact_id < before)
    with database.read() as session:
        rows = session.execute(asked.order_by(artifact.c.artifact_id.desc()).limit(limit))
        return [_artifact(row) for row in rows]


def forget_artifacts(database: Database, organization_id: str, run_id: str) -> int:
    """Removes the index rows of a run; how many."""

    def work(session: sa.Connection) -> int:
        mine = (artifact.c.organization_id == organization_id, artifact.c.run_id == run_id)
        return session.execute(artifact.delete().where(*mine)).rowcount

    return database.transact(work)


# --- effects -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """What a worker that wants to run an effect finds: `mine`, or `outcome` of an earlier run, or neither (held)."""

    mine: bool
    outcome: Any = None


def claim_effect(database: Database, claim: dict[str, str], claimed_by: str, expires_s: float) -> Claim:
    """`claim` holds effect_id, organization_id, run_id, type. A claim not renewed for `expires_s` may be taken."""

    def work(session: sa.Connection) -> Claim:
        now = utc_now()
        mine = {"state": "claimed", "claimed_by": claimed_by, "claimed_at": now}
        same = (effect.c.effect_id == claim["effect_id"], effect.c.organization_id == claim["organization_id"])
        row = session.execute(sa.select(effect).where(*same).with_for_update()).one_or_none()
        if row is None:
            session.execute(effect.insert().values({**claim, **mine, "created_at": now}))
            return Claim(True)
        if row.state == "done":
            return Claim(False, row.outcome)
        fresh = row.claimed_at > now - timedelta(seconds=expires_s)
        if row.state == "claimed" and row.claimed_by != claimed_by and fresh:
            return Claim(False)
        session.execute(effect.update().where(*same).values(mine))
        return Claim(True)

    return _insert_or_repeat(database, work)


def renew_claims(database: Database, effect_ids: Sequence[str], claimed_by: Sequence[str]) -> None:
    def work(session: sa.Connection) -> None:
        session.execute(
            effect.update()
            .where(effect.c.effect_id.in_(effect_ids), effect.c.claimed_by.in_(claimed_by), effect.c.state == "claimed")
            .values(claimed_at=utc_now())
        )

    database.transact(work)


def finish_effect(database: Database, organization_id: str, effect_id: str, outcome: Any) -> Any:
    """Records that the effect happened, whoever holds the claim by now; the outcome that was recorded first."""

    def work(session: sa.Connection) -> Any:
        same = (effect.c.effect_id == effect_id, effect.c.organization_id == organization_id)
        row = session.execute(sa.select(effect).where(*same).with_for_update()).one()
        if row.state == "done":
            return row.outcome
        session.execute(effect.update().where(*same).values(state="done", outcome=outcome, claimed_at=utc_now()))
        return outcome

    return database.transact(work)


def release_effect(database: Database, organization_id: str, effect_id: str, claimed_by: str) -> None:
    """Lets the next attempt claim at once; its notes stay."""

    def work(session: sa.Connection) -> None:
        session.execute(
            effect.update()
            .where(
                effect.c.effect_id == effect_id,
                effect.c.organization_id == organization_id,
                effect.c.claimed_by == claimed_by,
                effect.c.state == "claimed",
            )
            .values(state="released")
        )

    database.transact(work)


def effect_note(database: Database, organization_id: str, effect_id: str) -> Any:
    with database.read() as session:
        return session.execute(
            sa.select(effect.c.note).where(effect.c.effect_id == effect_id, effect.c.organization_id == organization_id)
        ).scalar()


def note_effect(database: Database, note: dict[str, str], value: Any) -> None:
    """`note` holds effect_id, organization_id, run_id, type: a task without the ledger may keep notes too."""

    def work(session: sa.Connection) -> None:
        same = (effect.c.effect_id == note["effect_id"], effect.c.organization_id == note["organization_id"])
        now = utc_now()
        if session.execute(effect.update().where(*same).values(note=value)).rowcount == 0:
            row = {**note, "state": "released", "note": value, "claimed_at": now, "created_at": now}
            session.execute(effect.insert().values(row))

    _insert_or_repeat(database, work)


def purge_effects(database: Database, older_than_days: float, at_most: int) -> int:
    """Removes effects not touched for so long; how many."""

    def work(session: sa.Connection) -> int:
        old = effect.c.claimed_at < utc_now() - timedelta(days=older_than_days)
        found = [row.effect_id for row in session.execute(sa.select(effect.c.effect_id).where(old).limit(at_most))]
        session.execute(effect.delete().where(effect.c.effect_id.in_(found)))
        return len(found)

    return database.transact(work)


# --- task state ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    value: Any
    version: int


class EntryMoved(Exception):
    """The entry is not at the version that its writer named."""


def get_entry(database: Database, organization_id: str, namespace: str, key: str) -> Entry | None:
    with database.read() as session:
        row = session.execute(
            sa.select(task_state).where(task_state.c.task_state_id == _hash(organization_id, namespace, key))
        ).one_or_none()
        return None if row is None else Entry(row.value, row.version)


def list_entries(database: Database, organization_id: str, namespace: str) -> dict[str, Entry]:
    """At most 10,000, by key."""
    asked = (
        sa.select(task_state)
        .where(task_state.c.organization_id == organization_id, task_state.c.namespace == namespace)
        .order_by(task_state.c.entry_key)
        .limit(10_000)
    )
    with database.read() as session:
        return {row.entry_key: Entry(row.value, row.version) for row in session.execute(asked)}


def put_entry(
    database: Database, organization_id: str, namespace: str, key: str, value: Any, version: int | None
) -> int:
    """Writes and returns the new version; raises EntryMoved unless the entry is at `version` (0: absent, None: any)."""

    def work(session: sa.Connection) -> int:
        same = task_state.c.task_state_id == _hash(organization_id, namespace, key)
        current = session.execute(sa.select(task_state.c.version).where(same).with_for_update()).scalar() or 0
        if version is not None and version != current:
            raise EntryMoved
        values = {"value": value, "version": current + 1, "updated_at": utc_now()}
        if current:
            session.execute(task_state.update().where(same).values(values))
        else:
            session.execute(
                task_state.insert().values(
                    **values,
                    task_state_id=_hash(organization_id, namespace, key),
                    organization_id=organization_id,
                    namespace=namespace,
                    entry_key=key,
                )
            )
        return current + 1

    return _insert_or_repeat(database, work)
