"""A whole service of kit's plumbing and nothing else. `argv`: what it should do, and the folder it works in."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc

from kit import bus, http, logs, rpc, serve
from kit.auth import ServiceTokens
from kit.settings import ServiceSettings

WHAT, FOLDER = sys.argv[1], Path(sys.argv[2])
NAME = "kit.test.v1.SmallService"


def hold(name: str) -> str:
    """Says that it is here, and stays until somebody writes into the pipe of this name."""
    print(f'{{"event": "entered", "where": "{name}"}}', flush=True)
    return (FOLDER / name).read_text()


class Servicer:
    @rpc.in_thread
    def hold(self, request: Any, caller: Any) -> bytes:
        return hold("rpc").encode()


async def loop() -> None:
    match WHAT:
        case "a loop that raises":
            raise RuntimeError("the loop broke")
        case "a loop that ends":
            return
        case _:
            await asyncio.Event().wait()


async def compose() -> serve.Service:
    settings = ServiceSettings()
    logs.configure("small-service", settings.replica)
    lock = serve.hold_sole_replica(FOLDER / "locks" / "small.lock")
    if WHAT == "a broker that is away":
        await bus.connect("nats://127.0.0.1:1", "small")
    if WHAT == "a composition that fails":
        raise RuntimeError("nothing to serve")
    app = http.make_app("small-service")

    @app.get("/hold")
    def held() -> str:
        return hold("http")

    server = rpc.Server(ServiceTokens(settings.service_secret(), "small-service"))
    servicer = Servicer()
    handler = grpc.method_handlers_generic_handler(NAME, {"Hold": grpc.unary_unary_rpc_method_handler(servicer.hold)})
    server.add(NAME, lambda _, grpc_server: grpc_server.add_generic_rpc_handlers((handler,)), servicer)

    def broken() -> None:
        raise OSError("cannot close")

    async def closed() -> None:
        logs.structlog.get_logger().info("closed_last")

    return serve.Service("small-service", settings, app, server, loops=[loop], close=[lock.release, broken, closed])


if __name__ == "__main__":
    serve.run(compose)
