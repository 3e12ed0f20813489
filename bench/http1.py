"""A keep-alive HTTP/1.1 client of few instructions: a benchmark's client must not be what it measures.

httpx takes about a millisecond of CPU for a request, this one a tenth of it.
"""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit


class Connection:
    """One connection to the gateway, used for one request at a time."""

    def __init__(self, base_url: str, token: str) -> None:
        parts = urlsplit(base_url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> "Connection":
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    async def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body. A connection that the other side closed is opened again, before anything is sent."""
        if self._reader is None or self._writer is None or self._reader.at_eof() or self._writer.is_closing():
            await self.open()
        assert self._reader is not None  # noqa: S101
        assert self._writer is not None  # noqa: S101
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(content)}\r\n\r\n"
        self._writer.write(head.encode() + content)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(answer.split(" ", 2)[1])
        for line in answer.split("\r\n"):
            name, _, value = line.partition(":")
            if name == "content-length":
                return status, await self._reader.readexactly(int(value))
            if name == "transfer-encoding":
                return status, await self._chunks(self._reader)
        return status, b""

    @staticmethod
    async def _chunks(reader: asyncio.StreamReader) -> bytes:
        content = b""
        while size := int(await reader.readline(), 16):
            content += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return content
