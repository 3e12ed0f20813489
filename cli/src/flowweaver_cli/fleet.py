"""Which children the platform has, and what is known of each while it lives."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum

from flowweaver_cli.launch import Running
from flowweaver_cli.output import Output

NATS = "nats"
GATEWAY = "gateway"
SHOP = "demo-shop"


class State(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    DOWN = "down"


@dataclass(frozen=True)
class Role:
    """A kind of child. `module` is a Python service's; the broker and the gateway are programs of their own.

    Stages stop one after the other: what gives work first, what all others need last.
    """

    service: str
    stop_stage: int
    module: str | None = None


ROLES = (
    # programs first: they start while the fork server still imports
    Role(NATS, 4),
    Role(GATEWAY, 3),
    Role("identity", 2, "identity_service.__main__"),
    Role("workflow", 2, "workflow_service.__main__"),
    Role("execution", 2, "execution_service.__main__"),
    Role("worker", 1, "worker_service.__main__"),
    Role("scheduler", 1, "scheduler_service.__main__"),
    Role(SHOP, 2, "demo_shop.__main__"),
    Role("web", 2, "web_server.__main__"),
)


@dataclass
class Child:
    """One child over all its lives. `running` only while it is; `gone` is set when nobody will start it again.

    `was_ready` is about its present or last life.
    """

    role: Role
    replica: int
    output: Output
    state: State = State.WAITING
    running: Running | None = None
    port: int = 0
    rpc_port: int = 0
    was_ready: bool = False
    retiring: bool = False
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        return f"{self.role.service}-{self.replica}"
