"""Asking a child on loopback whether it answers, with nothing but sockets: the supervisor stays small."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from flowweaver_cli.ports import HOST

_ANSWER_BYTES = 8 * 1024 * 1024
_POLL_S = 0.05


async def get(port: int, path: str, *, timeout_s: float = 2.0, tls: bool = False) -> tuple[int, bytes]:
    """Status and body of `GET path`; status 0 when nobody answers in time."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _get(port, path, tls)
    except (OSError, TimeoutError, ValueError, IndexError):
        return 0, b""


async def _get(port: int, path: str, tls: bool) -> tuple[int, bytes]:
    context = None
    if tls:
        # our own child on loopback, whatever name its certificate has
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {HOST}:{port}\r\n\r\n".encode())
        head, _, body = (await reader.read(_ANSWER_BYTES)).partition(b"\r\n\r\n")
        while part := await reader.read(_ANSWER_BYTES):
            body += part
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return int(head.split(b" ", 2)[1]), body


async def answers(base_url: str) -> bool:
    """Whether the gateway at `base_url` and identity behind it are well."""
    address = urlsplit(base_url)
    return await is_well(address.port or 80, "/health", tls=address.scheme == "https")


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Asks again and again: another process's readiness is no event of ours."""
    while not await true():  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)


async def is_well(port: int, path: str, *, tls: bool = False) -> bool:
    """Whether `GET path` is answered by 200."""
    return (await get(port, path, tls=tls))[0] == 200


async def speaks_first(port: int, greeting: bytes, *, timeout_s: float = 2.0) -> bool:
    """Whether who listens on `port` begins with `greeting`, as nats-server does."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                return await reader.readexactly(len(greeting)) == greeting
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
