"""The composition root of execution-service: what is wired to what, in one screen."""

import asyncio
from collections.abc import Awaitable

from execution_service import rest, rpc
from execution_service.app import Execution
from execution_service.clients import IdentityClient, WorkflowClient
from execution_service.dispatch import Dispatcher
from execution_service.engine import Engine
from execution_service.follow import Live
from execution_service.heads import Heads
from execution_service.lines import Lines
from execution_service.loops import BrokerWatch, Intake, Outbox, Purge, Timers
from execution_service.outside import REAL
from execution_service.places import Places
from execution_service.sessions import Sessions
from execution_service.settings import ExecutionSettings
from execution_service.waiting import Joins
from execution_service.watch import Watchers
from flowweaver.execution.v1 import execution_pb2_grpc
from kit import bus, http, logs, messages, serve
from kit import rpc as kit_rpc
from kit.auth import ServiceTokens, Verifier
from kit.database import Database, migrate
from kit.ids import new_id
from kit.payloads import PayloadStore


async def compose() -> serve.Service:
    settings = ExecutionSettings()
    logs.configure("execution", settings.replica, form=settings.log_format, level=settings.log_level)
    messages.load("execution_service")
    database = Database(settings.database("execution"))
    # SQLite has one writer: its lock file also lets the engine trust what it holds in memory
    lock = serve.hold_sole_replica(settings.data / "locks" / "execution.lock") if database.sqlite else None
    await asyncio.to_thread(migrate, database, "execution_service")
    tokens = ServiceTokens(settings.service_secret(), "execution-service")
    workflows = WorkflowClient(settings.inner_url, tokens)
    identity = IdentityClient(settings.inner_url, tokens)
    watchers = Watchers()

    nc = await bus.connect(settings.nats_url, f"execution-{settings.replica}", on_reconnect=lambda: watch.wake())
    # an id of this process's life: what another life dispatched is answered by any replica
    dispatcher = Dispatcher(
        nc,
        f"{settings.replica}-{new_id()}",
        window=settings.dispatch_window,
        on_trouble=lambda: watch.wake(),
        on_committed=watchers.notify,
        on_waiting=lambda outgoing: joins.send(outgoing),
        on_ended=lambda run: joins.ended(run),
        on_admit=lambda: places.wake(),
    )
    payloads = PayloadStore(settings.data / "payloads")
    engine = Engine(
        database,
        dispatcher.deliver,
        payloads,
        sole_writer=database.sqlite,
        retention_days=settings.retention_days,
        queue_limits=settings.queue_limits,
    )
    places = Places(engine, database)
    watch = BrokerWatch(nc, engine, database)
    intake = Intake(nc, engine, dispatcher, database, on_refused=payloads.purge)
    lines = Lines(nc, database, on_kept=watchers.notify)
    timers = Timers(engine, database)
    purge = Purge(database)
    outbox = Outbox(nc, database, settings.outbox_days)

    async def resolve(organization_id: str, workflow_id: str) -> tuple[int, bool]:
        return await REAL.run(workflows.resolve, organization_id, workflow_id)

    heads = Heads(nc, resolve)
    execution = Execution(database, engine, workflows, watchers, payloads, heads=heads)
    joins = Joins(execution)
    sessions = Sessions(identity.living)
    live = Live(execution, nc, sessions, alone=database.sqlite, stopping=lambda: bool(app.state.draining))

    def ready() -> None:
        database.ping()
        engine.check()

    app = http.make_app("execution-service", language=settings.language, ready=ready)
    app.state.verifier = Verifier.from_url(f"{settings.inner_url}/.well-known/jwks.json")
    app.state.execution = execution
    app.state.joins = joins
    app.state.live = live
    rest.mount(app)
    server = kit_rpc.Server(tokens)
    server.add(
        rpc.NAME, execution_pb2_grpc.add_ExecutionServiceServicer_to_server, rpc.ExecutionServicer(execution, joins)
    )

    engine.start()
    await intake.subscribe()
    await lines.subscribe()
    await heads.subscribe()
    await live.subscribe()

    def repeat(seconds: float, run_once: "serve.RunOnce", name: str) -> "serve.Loop":
        return lambda: serve.every(seconds, run_once, name)

    def close() -> Awaitable[None]:
        engine.stop()
        execution.return_numbers()
        workflows.close()
        identity.close()
        database.close()
        if lock is not None:
            lock.release()
        return nc.close()

    return serve.Service(
        "execution-service",
        settings,
        app,
        server,
        loops=[
            dispatcher.run,
            watch.run,
            live.run,
            sessions.run,
            places.run,
            repeat(0.2, timers.run_once, "timers"),
            repeat(1, joins.run_once, "joins"),
            repeat(0.3, lines.run_once, "log lines"),
            repeat(0.5, outbox.run_once, "outbox"),
            repeat(60, outbox.drop_old, "outbox age"),
            repeat(60, joins.drop_old, "events' age"),
            repeat(60, places.drop_unused, "limits"),
            repeat(1, purge.run_once, "retention"),
            repeat(60, purge.drop_keys, "start keys' age"),
        ],
        close=[close],
    )


def main() -> None:
    serve.run(compose)


if __name__ == "__main__":
    main()
