"""Where everything is on this machine, and what each child is told of it."""

import json
import os
import shutil
import sys
from pathlib import Path

from flowweaver_cli.endpoint import runtime
from flowweaver_cli.fleet import GATEWAY, NATS, ROLES, SHOP, Child
from flowweaver_cli.gateway import Certificate, Doors, Gateway, write_whole
from flowweaver_cli.ports import HOST, Ports, is_free
from flowweaver_cli.settings import DEFAULT_PORT, Settings

INNER_PORT, METRICS_PORT, NATS_PORT, SHOP_PORT, FIRST_SERVICE_PORT = 9001, 9002, 9003, 9004, 9100


class ProgramMissing(Exception):
    """The broker's or the gateway's program is not installed."""


class Addresses:
    """Takes the ports that stay the same for the platform's whole life. Raises PortTaken for the chosen one."""

    def __init__(self, settings: Settings, ports: Ports) -> None:
        self._settings = settings
        self._ports = ports
        self.data = settings.data.resolve()
        self.public_port = (
            ports.take_exactly(settings.port) if settings.port_is_chosen else ports.take(settings.port or DEFAULT_PORT)
        )
        self.inner_port = ports.take(INNER_PORT)
        self.metrics_port = ports.take(METRICS_PORT)
        self.nats_port = ports.take(NATS_PORT)
        self.shop_port = ports.take(SHOP_PORT)

    @property
    def tls(self) -> bool:
        return self._settings.tls_cert is not None

    @property
    def base_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.public_port}"

    @property
    def inner_url(self) -> str:
        return f"http://{HOST}:{self.inner_port}"

    def gateway(self) -> Gateway:
        certificate, key = self._settings.tls_cert, self._settings.tls_key
        return Gateway(
            self._settings.gateway,
            runtime(self.data) / "gateway",
            Doors(
                public=f"{HOST}:{self.public_port}",
                inner=f"{HOST}:{self.inner_port}",
                metrics=f"{HOST}:{self.metrics_port}",
                certificate=Certificate(certificate, key) if certificate and key else None,
            ),
        )

    def assign(self, child: Child) -> None:
        """The same ports in every life of a child, unless somebody else took one in between."""
        match child.role.service:
            case "nats":
                child.port = self.nats_port
            case "gateway":
                child.port = self.public_port
            case "demo-shop":
                child.port = self.shop_port
            case service:
                number = [role.service for role in ROLES].index(service)
                usual = FIRST_SERVICE_PORT + 100 * number + 2 * child.replica
                child.port = self._kept(child.port, usual)
                child.rpc_port = self._kept(child.rpc_port, usual + 1)

    def release(self, child: Child) -> None:
        """Its ports are free for others; it will not be started again."""
        if child.role.service not in (NATS, GATEWAY, SHOP):
            self._ports.give_back(child.port)
            self._ports.give_back(child.rpc_port)

    def _kept(self, held: int, usual: int) -> int:
        if held and is_free(held):
            return held
        self._ports.give_back(held)
        return self._ports.take(usual)

    # --- what a child is told ---------------------------------------------------------------------------------------

    def service_environment(self, child: Child) -> dict[str, str]:
        """A Python child's. Whoever started us may overrule what does not concern ports and folders."""
        own_hosts = f"{HOST}:{self.shop_port},{HOST}:{self.public_port}"
        allowed = os.environ.get("FLOWWEAVER_ALLOWED_HOSTS")
        defaults = {
            "FLOWWEAVER_SHOP_BASE_URL": f"http://{HOST}:{self.shop_port}",
            "FLOWWEAVER_BLOG_BASE_URL": f"{self.base_url}/blog",
            "FLOWWEAVER_LOG_FORMAT": "json",
            "FLOWWEAVER_COOKIE_SECURE": str(self.tls).lower(),
            "FLOWWEAVER_DRAIN_S": str(self._settings.drain_s),
        }
        return {
            **defaults,
            **os.environ,
            "FLOWWEAVER_DATA": str(self.data),
            "FLOWWEAVER_HOST": HOST,
            "FLOWWEAVER_HTTP_PORT": str(child.port),
            "FLOWWEAVER_RPC_PORT": str(child.rpc_port),
            "FLOWWEAVER_NATS_URL": f"nats://{HOST}:{self.nats_port}",
            "FLOWWEAVER_INNER_URL": self.inner_url,
            "FLOWWEAVER_REPLICA": str(child.replica),
            "FLOWWEAVER_ALLOWED_HOSTS": f"{allowed},{own_hosts}" if allowed else own_hosts,
        }

    def program(self, child: Child) -> tuple[list[str], dict[str, str]]:
        """Command and environment of the broker or the gateway. Raises ProgramMissing."""
        command, own = self._broker() if child.role.service == NATS else self._traefik()
        # they need nothing of our settings, which hold secrets
        bare = {name: value for name, value in os.environ.items() if not name.startswith("FLOWWEAVER_")}
        return command, {**bare, **own}

    def _broker(self) -> tuple[list[str], dict[str, str]]:
        file = runtime(self.data) / "nats.conf"
        write_whole(
            file,
            f"listen: {HOST}:{self.nats_port}\n"
            f"jetstream {{ store_dir: {json.dumps(str(self.data / NATS))}, max_memory_store: 32MB }}\n"
            "max_payload: 4MB\n",
        )
        return [_path_of("nats-server"), "-c", str(file)], {"GOMEMLIMIT": "64MiB", "GOGC": "50"}

    def _traefik(self) -> tuple[list[str], dict[str, str]]:
        environment = {
            "GOMEMLIMIT": "96MiB",
            "GOGC": "50",
            "FLOWWEAVER_INNER_URL": self.inner_url,
            "FLOWWEAVER_LOGIN_RATE": str(self._settings.login_rate),
            "FLOWWEAVER_LOGIN_BURST": str(self._settings.login_burst),
            "FLOWWEAVER_TLS_CERT": str(self._settings.tls_cert or ""),
        }
        return [_path_of("traefik"), f"--configFile={self.gateway().static_file}"], environment


def _path_of(name: str) -> str:
    """A program that came with the Python packages, else one on the PATH."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise ProgramMissing(name)
    return found
