"""Settings of this service. Built once, in `__main__`."""

from pydantic import Field

from kit.settings import ServiceSettings


class SchedulerSettings(ServiceSettings):
    """What the scheduler adds to every service's settings."""

    schedule_poll_s: float = Field(
        default=1.0, gt=0, le=60, description="Seconds after which another replica's changes are seen at the latest."
    )
    misfire_grace_s: float = Field(
        default=60.0, ge=0, le=86_400, description="Instants up to this many seconds old fire one by one after a stop."
    )
    firing_retention_days: int = Field(
        default=90, ge=1, description="Days after which the record of what a schedule fired is removed."
    )
