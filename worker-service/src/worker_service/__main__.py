"""The composition root of worker-service: settings → storage → what tasks may use → runtime and edges."""

from functools import partial

from flowweaver.worker.v1 import worker_pb2_grpc
from kit import logs, messages, rpc, serve
from kit.auth import ServiceTokens, Verifier
from kit.database import Database, migrate
from kit.http import make_app
from kit.payloads import PayloadStore
from kit.vault import Vault
from worker_service import loops, plugins, purge, rest, sdk
from worker_service.app import App
from worker_service.artifacts import ArtifactStore
from worker_service.effects import Ledger
from worker_service.processes import ProcessSlots
from worker_service.rpc import SERVICE, WorkerServicer
from worker_service.runtime import Runtime
from worker_service.settings import WorkerSettings

_DAY_S = 24 * 3600.0


async def compose() -> serve.Service:
    settings = WorkerSettings()
    logs.configure("worker-service", settings.replica, form=settings.log_format, level=settings.log_level)
    messages.load("worker_service")
    messages.language.set(settings.language)
    # several replicas may share one SQLite file: see storage
    database = Database(settings.database("worker"))
    migrate(database, "worker_service")
    types, _ = plugins.discover(sdk.discover(test_tasks=settings.test_tasks))
    app = App(
        settings=settings,
        database=database,
        vault=Vault(settings.vault_secret(), "worker-service"),
        artifacts=ArtifactStore(settings.data.resolve() / "artifacts", database),
        payloads=PayloadStore(settings.data.resolve() / "payloads"),
        types=types,
    )
    runtime = Runtime(app, Ledger(database), ProcessSlots(settings, settings.worker_processes))

    def ready() -> None:
        database.ping()
        runtime.ready()

    api = make_app("worker-service", language=settings.language, ready=ready)
    api.state.verifier = Verifier.from_url(f"{settings.inner_url}/.well-known/jwks.json")
    rest.add_routes(api, app, runtime.attempt)
    server = rpc.Server(ServiceTokens(settings.service_secret(), "worker-service"))
    server.add(SERVICE, worker_pb2_grpc.add_WorkerServiceServicer_to_server, WorkerServicer(app, runtime.attempt))
    return serve.Service(
        name="worker-service",
        settings=settings,
        app=api,
        rpc=server,
        loops=[
            runtime.run,
            partial(purge.run, app),
            lambda: serve.every(_DAY_S, partial(loops.forget_old_effects, app), "forget_old_effects"),
        ],
        close=[runtime.close, database.close],
    )


def main() -> None:
    serve.run(compose)


if __name__ == "__main__":
    main()
