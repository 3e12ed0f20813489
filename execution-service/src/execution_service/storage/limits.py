"""Who gets the places under a limit that runs share.

A run's own commit says that it waits for a place and gives it back; here places are only handed out. The row of a
scope is nothing but a lock: whoever hands out its places holds it, so that two replicas never hand out the same one. A
place is held from `granted` on, and ends with the commit that ends the work it is for.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from execution_service.domain.definition import Overflow
from execution_service.domain.run import RUN, RunState
from execution_service.storage import tables
from kit.database import Database

SCOPES_AT_ONCE = 200
AHEAD = 50
"""Of those who wait under one limit, so many more are looked at than it has places: some wait for others, too."""

_place, _scope, _run = tables.scope_place, tables.scope, tables.workflow_run
_HELD = ("granted", "taken")


@dataclass(frozen=True, slots=True)
class Granted:
    """A place that was handed out: `index` of the task in its run, or RUN."""

    run_id: str
    index: int
    attempt: int


@dataclass(slots=True)
class Admission:
    """What follows: who is told that there is a place, and of the runs one too many which end instead of waiting."""

    granted: list[Granted] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


def admit(database: Database) -> Admission:
    """Hands out what is free: to who is more urgent, there in turn between organisations, there to who came first.

    Who was granted a place before and is not known to have heard of it is told again.
    """
    done = Admission()
    with database.read() as connection:
        waiting = list(
            connection.execute(
                sa.select(_place.c.scope_id).where(_place.c.state == "waiting").distinct().limit(SCOPES_AT_ONCE)
            ).scalars()
        )
    if waiting:
        done = database.transact(lambda connection: _hand_out(connection, waiting))
    with database.read() as connection:
        rows = connection.execute(
            sa.select(_place.c.owner, _place.c.workflow_run_id, _place.c.attempt)
            .where(_place.c.state == "granted")
            .distinct()
        ).all()
    done.granted = [Granted(row.workflow_run_id, _index(row.owner, row.workflow_run_id), row.attempt) for row in rows]
    return done


def _index(owner: str, run_id: str) -> int:
    return RUN if owner == run_id else int(owner.rpartition("-")[2])


def _hand_out(connection: sa.Connection, scopes: list[str]) -> Admission:
    candidates = {owner for scope in scopes for owner in _next_in_line(connection, scope)}
    # a task may need places under two limits: it gets both or none
    wanted = _rows(connection, candidates)
    locked = _lock(connection, {row.scope_id for row in wanted})
    last = dict(locked)
    held = _held(connection, locked)
    # what was read before the locks may have changed since
    wanted = [row for row in _rows(connection, candidates) if row.state == "waiting"]
    by_owner: dict[str, list[Any]] = defaultdict(list)
    for row in wanted:
        by_owner[row.owner].append(row)
    for owner in _in_turn(by_owner, locked):
        places = by_owner[owner]
        if all(place.scope_id in locked and held[place.scope_id] < place.place_limit for place in places):
            connection.execute(
                _place.update().where(_place.c.owner == owner, _place.c.state == "waiting").values(state="granted")
            )
            held.update(place.scope_id for place in places)
            locked.update((place.scope_id, place.organization_id) for place in places)
            del by_owner[owner]
    for scope_id, organization_id in locked.items():
        if organization_id != last.get(scope_id):
            connection.execute(
                _scope.update().where(_scope.c.scope_id == scope_id).values(last_organization_id=organization_id)
            )
    return _overflow(connection, [place for places in by_owner.values() for place in places])


def _next_in_line(connection: sa.Connection, scope_id: str) -> list[str]:
    query = sa.select(_place.c.owner).where(_place.c.scope_id == scope_id, _place.c.state == "waiting")
    limit = sa.select(sa.func.max(_place.c.place_limit)).where(_place.c.scope_id == scope_id)
    most = int(connection.execute(limit).scalar() or 0) + AHEAD
    ordered = query.order_by(_place.c.priority, _place.c.since, _place.c.owner).limit(most)
    return list(connection.execute(ordered).scalars())


def _rows(connection: sa.Connection, owners: Iterable[str]) -> list[Any]:
    query = sa.select(_place).where(_place.c.owner.in_(sorted(owners)))
    return list(connection.execute(query.order_by(_place.c.scope_place_id)).all())


def _lock(connection: sa.Connection, scopes: set[str]) -> dict[str, str]:
    """The scopes that this transaction has to itself, and whose turn it was last in each; all of them, but for what
    somebody removes right now."""
    ids = sorted(scopes)
    there = set(connection.execute(sa.select(_scope.c.scope_id).where(_scope.c.scope_id.in_(ids))).scalars())
    if new := [{"scope_id": scope_id, "last_organization_id": ""} for scope_id in ids if scope_id not in there]:
        # another replica may do the same at this moment: then one of the two begins anew
        connection.execute(_scope.insert(), new)
    query = sa.select(_scope).where(_scope.c.scope_id.in_(ids)).order_by(_scope.c.scope_id)
    return {row.scope_id: row.last_organization_id for row in connection.execute(query.with_for_update())}


def _held(connection: sa.Connection, scopes: Iterable[str]) -> "Counter[str]":
    query = (
        sa.select(_place.c.scope_id, sa.func.count())
        .where(_place.c.scope_id.in_(sorted(scopes)), _place.c.state.in_(_HELD))
        .group_by(_place.c.scope_id)
    )
    return Counter({row[0]: int(row[1]) for row in connection.execute(query)})


def _in_turn(by_owner: dict[str, list[Any]], last: dict[str, str]) -> list[str]:
    """Owners by urgency; among equals each organisation's first, then each one's second, …, beginning with who comes
    after the organisation whose turn it was last."""
    queues: dict[tuple[int, bool, str], list[tuple[int, str]]] = defaultdict(list)
    for owner, places in by_owner.items():
        organization_id = places[0].organization_id
        # only a queue is shared between organisations
        had_its_turn = any(
            organization_id <= last.get(place.scope_id, "") for place in places if place.scope_name.startswith("queue:")
        )
        queues[places[0].priority, had_its_turn, organization_id].append((places[0].since, owner))
    order = [
        (priority, turn, had_its_turn, organization_id, owner)
        for (priority, had_its_turn, organization_id), queue in queues.items()
        for turn, (_, owner) in enumerate(sorted(queue))
    ]
    return [owner for *_, owner in sorted(order)]


def _overflow(connection: sa.Connection, left: list[Any]) -> Admission:
    """Of the runs that got no place, those that were not to wait for one."""
    done = Admission(refused=[place.workflow_run_id for place in left if place.overflow == Overflow.SKIP])
    for scope_id in sorted({place.scope_id for place in left if place.overflow == Overflow.CANCEL}):
        query = sa.select(_place.c.workflow_run_id, _place.c.place_limit).where(_place.c.scope_id == scope_id)
        newest = connection.execute(query.order_by(_place.c.since.desc(), _place.c.owner.desc())).all()
        done.replaced += [row.workflow_run_id for row in newest[newest[0].place_limit :]]
    return done


def drop_unused(database: Database) -> int:
    """Removes places of runs that have ended past the engine, and limits that nobody holds or waits for; how many."""
    open_run = sa.select(_run.c.workflow_run_id).where(
        _run.c.workflow_run_id == _place.c.workflow_run_id, _run.c.state.not_in(_TERMINAL)
    )
    there = sa.select(_place.c.scope_id).where(_place.c.scope_id == _scope.c.scope_id)

    def drop(connection: sa.Connection) -> int:
        places = connection.execute(_place.delete().where(~open_run.exists()))
        scopes = connection.execute(_scope.delete().where(~there.exists()))
        return int(places.rowcount) + int(scopes.rowcount)

    return database.transact(drop)


_TERMINAL = tuple(state for state in RunState if state.terminal)
