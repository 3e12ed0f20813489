"""What Python children share: the fork server imports this once, and each child is a fork of it.

Children imported one by one take seconds and 75 MB each. Nothing here may start a thread, an event loop or a gRPC
channel: they do not survive a fork. What only one service uses stays out.
"""

import gc
import importlib

from flowweaver_cli import leash

LIBRARIES = (
    "email.mime.text",
    "fastapi",
    "grpc",
    "grpc.aio",
    "grpc_health.v1.health",
    "grpc_reflection.v1alpha.reflection",
    "httpx",
    "jose.jwt",
    "jose.backends.cryptography_backend",
    "nats",
    "orjson",
    "prometheus_client",
    "pydantic.v1",  # fastapi compares with it
    "pydantic_settings",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "starlette.staticfiles",
    "structlog",
    "uvicorn",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
KIT = ("auth", "bus", "database", "http", "ids", "logs", "messages", "rpc", "serve", "settings")
STUBS = ("identity", "workflow", "execution", "scheduler", "worker")

# the fork server goes with the supervisor, and its children with it
leash.hold()
for name in (
    *LIBRARIES,
    *(f"kit.{name}" for name in KIT),
    "expressions",
    *(f"flowweaver.{name}.v1.{name}_pb2_grpc" for name in STUBS),
    "flowweaver_cli.birth",
):
    importlib.import_module(name)
# a collection would write to every object's header and so copy the pages that the children share
gc.collect()
gc.freeze()
