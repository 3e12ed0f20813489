"""Settings of workflow-service."""

from pydantic import Field

from kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """What every service reads, and how often the catalogue of task types is asked for."""

    catalogue_refresh_s: float = Field(
        default=5.0, gt=0, le=3600, description="Seconds between two questions to the workers what they can run."
    )
