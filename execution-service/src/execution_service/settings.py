"""What execution-service can be told. Every field is `FLOWWEAVER_<NAME>`."""

from typing import Annotated

from pydantic import Field

from kit.settings import ServiceSettings


class ExecutionSettings(ServiceSettings):
    dispatch_window: int = Field(
        default=256, ge=1, le=1000, description="Attempts of one queue that a replica lets the broker hold at a time."
    )
    retention_days: float = Field(
        default=365.0, ge=0, description="Days that ended runs are kept, unless their workflow says; 0: for ever."
    )
    queue_limits: dict[str, Annotated[int, Field(ge=1, le=100_000)]] = Field(
        default={}, description='Tasks of a queue that run at a time in the whole installation, as JSON: {"gpu": 2}.'
    )
    outbox_days: float = Field(default=3.0, gt=0, description="Days that published domain events are kept.")
