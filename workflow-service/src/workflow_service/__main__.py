"""Composition root of workflow-service: settings → storage → clients → edges and loops."""

from kit import logs, rpc, serve
from kit.auth import ServiceTokens, Verifier
from kit.database import Database, migrate
from workflow_service import loops, rest
from workflow_service import rpc as edge
from workflow_service.app import Context
from workflow_service.changes import Changes
from workflow_service.clients import Scheduler, Workers
from workflow_service.settings import Settings

NOTICES_EVERY_S = 1.0


async def compose() -> serve.Service:
    settings = Settings()
    logs.configure("workflow-service", settings.replica, form=settings.log_format, level=settings.log_level)

    database = Database(settings.database("workflow"))
    closing = [database.close]
    if database.sqlite:
        closing.append(serve.hold_sole_replica(settings.data / "locks" / "workflow.lock").release)
    migrate(database, "workflow_service")

    tokens = ServiceTokens(settings.service_secret(), "workflow-service")
    channel = rpc.connect(settings.inner_url)
    changes = Changes(settings.nats_url, f"workflow-{settings.replica}")
    ctx = Context(database, Scheduler(channel, tokens), Workers(channel, tokens), announced=changes.announced)

    verifier = Verifier.from_url(f"{settings.inner_url}/.well-known/jwks.json")
    server = rpc.Server(tokens)
    edge.add_to(server, ctx)
    return serve.Service(
        name="workflow-service",
        settings=settings,
        app=rest.make(ctx, verifier, settings.language),
        rpc=server,
        loops=[
            changes.run,
            lambda: serve.every(settings.catalogue_refresh_s, lambda: loops.learn_task_types(ctx), "learn_task_types"),
            lambda: serve.every(NOTICES_EVERY_S, lambda: loops.deliver_notices(ctx), "deliver_notices"),
        ],
        close=[changes.close, channel.close, *closing],
    )


def main() -> None:
    """The program: runs until SIGTERM or SIGINT."""
    serve.run(compose)


if __name__ == "__main__":
    main()
