"""Composition root of scheduler-service."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from kit import auth, database, http, logs, rpc, serve
from kit.auth import ServiceTokens
from scheduler_service import loops
from scheduler_service import rpc as edge
from scheduler_service.app import Scheduling
from scheduler_service.clients import Executions, Workflows
from scheduler_service.rest import make_router
from scheduler_service.settings import SchedulerSettings
from scheduler_service.storage import Storage

SERVICE = "scheduler-service"


async def compose() -> serve.Service:
    """settings → storage → clients → edges."""
    settings = SchedulerSettings()
    logs.configure(SERVICE, settings.replica, form=settings.log_format, level=settings.log_level)
    db = database.Database(settings.database("scheduler"))
    tokens = ServiceTokens(settings.service_secret(), SERVICE)
    channel = rpc.connect(settings.inner_url)
    close: list[Callable[[], object]] = [channel.close, db.close]
    if db.sqlite:
        close.append(serve.hold_sole_replica(settings.data / "locks" / "scheduler.lock").release)
    database.migrate(db, "scheduler_service")

    scheduling = Scheduling(
        storage=Storage(db),
        workflows=Workflows(channel, tokens),
        executions=Executions(channel, tokens),
        grace=timedelta(seconds=settings.misfire_grace_s),
        wake=lambda: alarm.wake(),  # made below: it runs what is made here
    )
    starter = loops.Starter(lambda: scheduling.start_pending(database.utc_now()), settings.schedule_poll_s)
    alarm = loops.Alarm(lambda: loops.fire_due(scheduling, starter.wake, database.utc_now()), settings.schedule_poll_s)

    async def purge() -> None:
        before = database.utc_now() - timedelta(days=settings.firing_retention_days)
        await asyncio.to_thread(scheduling.purge_firings, before)

    app = http.make_app(SERVICE, language=settings.language, ready=db.ping)
    app.state.verifier = auth.Verifier.from_url(f"{settings.inner_url}/.well-known/jwks.json")
    app.include_router(make_router(scheduling))
    server = rpc.Server(tokens)
    edge.serve(server, scheduling, settings.language)
    return serve.Service(
        name=SERVICE,
        settings=settings,
        app=app,
        rpc=server,
        loops=(alarm.run, starter.run, lambda: serve.every(3600, purge, "purge_firings")),
        close=close,
    )


def main() -> None:
    serve.run(compose)


if __name__ == "__main__":
    main()
