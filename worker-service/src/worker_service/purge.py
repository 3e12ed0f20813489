"""A run that is removed from the history takes its artifacts and its large inputs and outputs along: the engine's event
`run.purged` says which."""

import asyncio

import orjson
import structlog
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig

from kit import bus
from worker_service.app import App

SUBJECT = "events.execution.run.purged"
_DURABLE = "worker-purge"
_TOGETHER = 50
_LOOK_S = 10.0

log = structlog.get_logger()


async def run(app: App) -> None:
    """Removes what purged runs left, in turn with the other workers, until cancelled.

    An event is acknowledged when nothing of the run is left, so that one whose worker died is another worker's.
    """
    client = await bus.connect(app.settings.nats_url, f"worker-purge-{app.settings.replica}")
    try:
        while True:
            try:
                js = client.jetstream()
                await bus.declare(js, bus.EVENTS)
                config = ConsumerConfig(ack_wait=60)
                events = await js.pull_subscribe(SUBJECT, durable=_DURABLE, config=config)
                while True:
                    try:
                        messages = await events.fetch(_TOGETHER, timeout=_LOOK_S)
                    except TimeoutError:
                        continue
                    for message in messages:
                        if await asyncio.to_thread(purged, app, message.data):
                            await message.ack()
            except (NatsError, OSError) as error:
                # the broker is away, or made its streams anew
                log.info("purge_waits", error=repr(error))
                await asyncio.sleep(1)
    finally:
        await client.close()


def purged(app: App, event: bytes) -> bool:
    """Removes what the event's run left; False when that failed and is to be tried again."""
    try:
        said = orjson.loads(event)
        organization_id, run_id = str(said["organizationid"]), str(said["data"]["run_id"])
    except (ValueError, KeyError, TypeError):
        log.error("purge_event_malformed")
        return True
    try:
        count = app.artifacts.purge(organization_id, run_id)
        app.payloads.purge(organization_id, run_id)
    except ValueError:
        # ids that are none never become some: nothing can lie there
        log.error("purge_event_malformed")
        return True
    except Exception as error:
        log.warning("purge_failed", run_id=run_id, error=repr(error))
        return False
    if count:
        log.info("artifacts_purged", run_id=run_id, count=count)
    return True
