"""Composition root of identity-service: settings → database → keys and seed → edges."""

from functools import partial

import anyio.to_thread

from identity_service import loops, rest, rpc
from identity_service.app import Identity, keys, setup
from identity_service.clients import FolderMail, SmtpMail
from identity_service.settings import IdentitySettings
from kit import logs, messages, serve
from kit.auth import ServiceTokens, Verifier
from kit.database import Database, migrate

NAME = "identity-service"


async def compose() -> serve.Service:
    settings = IdentitySettings()
    logs.configure(NAME, settings.replica, form=settings.log_format, level=settings.log_level)
    messages.load("identity_service")
    messages.language.set(settings.language)
    database = Database(settings.database("identity"))
    lock = serve.hold_sole_replica(settings.data / "databases" / "identity.lock") if database.sqlite else None
    migrate(database, "identity_service")
    vault = keys.open_vault(settings)
    identity = Identity(
        database=database,
        settings=settings,
        signer=keys.load_signer(database, vault),
        verifier=Verifier(partial(keys.public_keys, database)),
        mail=SmtpMail(settings.smtp_url.get_secret_value())
        if settings.smtp_url
        else FolderMail(settings.data / "mail"),
    )
    organization_id = setup.apply_seed(identity, setup.read_seed(settings))
    setup.ensure_administrator(identity, organization_id)
    return serve.Service(
        name=NAME,
        settings=settings,
        app=rest.build(identity),
        rpc=rpc.build(identity, ServiceTokens(settings.service_secret(), NAME)),
        loops=[
            partial(_keep_house, identity),
            partial(serve.every, loops.TURN_KEYS_EVERY_S, partial(loops.turn_keys_once, identity, vault), "turn_keys"),
        ],
        close=[database.close, *([lock.release] if lock else [])],
    )


async def _keep_house(identity: Identity) -> None:
    # a comparison hashes a password: not before the service is ready
    await anyio.to_thread.run_sync(setup.compare_administrator, identity)
    await serve.every(loops.PRUNE_EVERY_S, partial(loops.prune_once, identity), "prune")


def main() -> None:
    serve.run(compose)


if __name__ == "__main__":
    main()
