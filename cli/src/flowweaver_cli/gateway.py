"""What Traefik reads: the committed files of `gateway/`, with this machine's ports and the replicas that are alive.

Every file is replaced whole, so Traefik, which watches the folder, never reads half of one.
"""

import json
import os
import shutil
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RPC_CONTEXTS = ("identity", "workflow", "execution", "scheduler", "worker")
"""Services behind the gateway: `<name>` answers HTTP, `<name>-rpc` gRPC."""
PAGES = ("web",)
"""What answers HTTP only."""


@dataclass(frozen=True)
class Certificate:
    """Files in PEM form."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Doors:
    """Where Traefik listens, as `host:port`."""

    public: str
    inner: str
    metrics: str
    certificate: Certificate | None = None


@dataclass(frozen=True)
class Replica:
    """A service's process that may get requests."""

    service: str
    http_port: int
    rpc_port: int


@dataclass(frozen=True)
class HealthCheck:
    """How often Traefik asks a replica whether it is ready, and how long it waits for the answer (seconds)."""

    interval_s: float = 2.0
    timeout_s: float = 3.0


@dataclass(frozen=True)
class Gateway:
    """`source` is the repository's `gateway/`, `folder` the one in the data folder that Traefik runs from."""

    source: Path
    folder: Path
    doors: Doors
    health: HealthCheck = HealthCheck()
    grace_s: int = 5

    @property
    def static_file(self) -> Path:
        return self.folder / "traefik.yml"

    @property
    def dynamic_folder(self) -> Path:
        return self.folder / "dynamic"

    def write(self) -> None:
        """All files, with no replica yet."""
        self.dynamic_folder.mkdir(parents=True, exist_ok=True)
        template = string.Template((self.source / "traefik.yml").read_text(encoding="utf-8"))
        text = template.substitute(
            public_address=json.dumps(self.doors.public),
            public_tls="tls: {}" if self.doors.certificate else "",
            inner_address=json.dumps(self.doors.inner),
            metrics_address=json.dumps(self.doors.metrics),
            dynamic_folder=json.dumps(str(self.dynamic_folder.resolve())),
            grace=f"{self.grace_s}s",
        )
        write_whole(self.static_file, text)
        fresh = self.dynamic_folder / "routes.tmp"
        shutil.copyfile(self.source / "dynamic" / "routes.yml", fresh)
        fresh.replace(self.dynamic_folder / "routes.yml")
        self.write_servers((), generation=0)

    def write_servers(self, replicas: Iterable[Replica], *, generation: int) -> None:
        """The replicas that get requests from now on; for a service without any the gateway answers 503.

        Once Traefik runs by this, `/generation/<generation>` answers 200 at its metrics door.
        """
        content = servers(tuple(replicas), self.health, self.doors)
        content["http"]["routers"] = {
            "generation": {
                "entryPoints": ["metrics"],
                "rule": f"Path(`/generation/{generation}`)",
                "service": "ping@internal",
            }
        }
        # JSON is YAML
        write_whole(self.dynamic_folder / "servers.yml", json.dumps(content, indent=1))


def servers(replicas: Sequence[Replica], health: HealthCheck, doors: Doors) -> dict[str, Any]:
    """Traefik's dynamic configuration of the services that routes.yml names.

    Where no replica can answer, `nobody` does: the metrics door, which shows any caller the problem document of 503. So
    Traefik never makes a 503 of its own, and one that a service answers reaches the caller as it is.
    """
    times = {"interval": f"{health.interval_s}s", "timeout": f"{health.timeout_s}s"}
    services: dict[str, Any] = {"nobody": {"loadBalancer": {"servers": [{"url": f"http://{doors.metrics}"}]}}}
    for name in (*RPC_CONTEXTS, *PAGES):
        own = [replica for replica in replicas if replica.service == name]
        services[f"{name}-replicas"] = {
            "loadBalancer": {
                "servers": [{"url": f"http://127.0.0.1:{replica.http_port}"} for replica in own],
                "healthCheck": {"path": "/readyz", **times},
            }
        }
        # a balancer that never had a server does not count as failed
        services[name] = (
            {"failover": {"service": f"{name}-replicas", "fallback": "nobody"}} if own else services["nobody"]
        )
        if name in PAGES:
            continue
        services[f"{name}-rpc"] = {
            "loadBalancer": {
                "servers": [{"url": f"h2c://127.0.0.1:{replica.rpc_port}"} for replica in own],
                "healthCheck": {"path": "/", "mode": "grpc", **times},
            }
        }
    content: dict[str, Any] = {"http": {"services": services}}
    if doors.certificate is not None:
        pair = {
            "certFile": str(doors.certificate.certificate.resolve()),
            "keyFile": str(doors.certificate.key.resolve()),
        }
        # the default one: whatever name the caller used, this certificate answers
        content["tls"] = {"certificates": [pair], "stores": {"default": {"defaultCertificate": pair}}}
    return content


def write_whole(path: Path, text: str) -> None:
    """Readers see the old text or the new one, never a part."""
    fresh = path.with_name(f"{path.stem}.{os.getpid()}.tmp")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
