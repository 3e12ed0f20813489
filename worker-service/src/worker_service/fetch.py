"""Fetching from the web, politely and only where it is allowed.

The rule kept here: before each request, redirects included, the host's name is resolved once, every address found is
checked, and the connection goes to a checked address, so that a name that changes its mind in between gains nothing.
Public addresses only, but for the `host:port` pairs that the installation allows. Bodies are bounded, decoded or not.
"""

import asyncio
import ipaddress
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from weakref import WeakKeyDictionary

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from worker_service.settings import WorkerSettings

SIZE_LIMIT = 5 * 1024 * 1024
TIMEOUT = httpx.Timeout(15, connect=5, pool=60)
ATTEMPTS = 3
LONGEST_WAIT_S = 30.0
AGENT = "FlowWeaver/0.1"

Resolve = Callable[[str, int], Awaitable[list[str]]]
ResolveNow = Callable[[str, int], list[str]]


class AddressRefused(httpx.RequestError):
    """The address, or one its name resolves to, is not public and not allowed."""


class BodyTooLarge(httpx.RequestError):
    """More than SIZE_LIMIT bytes, packed or unpacked."""


@dataclass(frozen=True)
class Allowed:
    """`host:port` pairs that may be fetched though they are not public."""

    pairs: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> "Allowed":
        return cls(frozenset(pair.strip().lower() for pair in text.split(",") if pair.strip()))

    def check(self, request: httpx.Request, addresses: list[str]) -> list[str]:
        """`addresses` again, all of them fit to connect to. Raises AddressRefused, httpx.ConnectError."""
        host, port = host_and_port(request.url)
        if not addresses:
            raise httpx.ConnectError(f"no address for {host}", request=request)
        named = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if named not in self.pairs and not all(is_public(address) for address in addresses):
            raise AddressRefused(f"{named} is not a public address", request=request)
        return addresses


def is_public(address: str) -> bool:
    """Whether the IP address is reached over the internet; one that carries an IPv4 address is as public as that."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def host_and_port(url: httpx.URL) -> tuple[str, int]:
    return url.raw_host.decode("ascii").lower().strip("[]"), url.port or (443 if url.scheme == "https" else 80)


def pinned(request: httpx.Request, address: str) -> httpx.Request:
    """The request as sent to `address`: certificate and Host still name the host that was asked for."""
    host, _ = host_and_port(request.url)
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,  # with the Host header that httpx set from the name
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )


def target(request: httpx.Request) -> tuple[str, int]:
    """Host and port to resolve. Raises httpx.UnsupportedProtocol."""
    if request.url.scheme not in ("http", "https") or not request.url.host:
        raise httpx.UnsupportedProtocol(f"{request.url.scheme} is not fetched", request=request)
    return host_and_port(request.url)


async def resolve(host: str, port: int) -> list[str]:
    """IP addresses of a host's name, or of an address in any writing. Raises OSError."""
    loop = asyncio.get_running_loop()
    return addresses_of(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def resolve_now(host: str, port: int) -> list[str]:
    return addresses_of(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def addresses_of(found: Iterable[tuple[Any, ...]]) -> list[str]:
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class CheckedTransport(httpx.AsyncBaseTransport):
    def __init__(self, allowed: Allowed, resolve: Resolve = resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve
        # no connection is kept: one made for a name must not serve another name at the same address
        self._inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host, port = target(request)
        try:
            addresses = self._allowed.check(request, await self._resolve(host, port))
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"no address for {host}", request=request) from error
        for address in addresses[:-1]:
            try:
                return bounded(await self._inner.handle_async_request(pinned(request, address)), request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return bounded(await self._inner.handle_async_request(pinned(request, addresses[-1])), request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class CheckedSyncTransport(httpx.BaseTransport):
    def __init__(self, allowed: Allowed, resolve: ResolveNow = resolve_now) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._inner = httpx.HTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host, port = target(request)
        try:
            addresses = self._allowed.check(request, self._resolve(host, port))
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"no address for {host}", request=request) from error
        for address in addresses[:-1]:
            try:
                return bounded(self._inner.handle_request(pinned(request, address)), request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return bounded(self._inner.handle_request(pinned(request, addresses[-1])), request)

    def close(self) -> None:
        self._inner.close()


def bounded(response: httpx.Response, request: httpx.Request) -> httpx.Response:
    """The answer, whose body as sent over the wire ends at SIZE_LIMIT."""
    response.stream = BoundedBody(response.stream, request)
    return response


class BoundedBody(httpx.AsyncByteStream, httpx.SyncByteStream):
    def __init__(self, body: httpx.SyncByteStream | httpx.AsyncByteStream, request: httpx.Request) -> None:
        self._body = body
        self._request = request
        self._seen = 0

    def _count(self, chunk: bytes) -> bytes:
        self._seen += len(chunk)
        if self._seen > SIZE_LIMIT:
            raise BodyTooLarge(f"more than {SIZE_LIMIT} bytes", request=self._request)
        return chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if isinstance(self._body, httpx.AsyncByteStream):
            async for chunk in self._body:
                yield self._count(chunk)

    def __iter__(self) -> Iterator[bytes]:
        if isinstance(self._body, httpx.SyncByteStream):
            for chunk in self._body:
                yield self._count(chunk)

    async def aclose(self) -> None:
        if isinstance(self._body, httpx.AsyncByteStream):
            await self._body.aclose()

    def close(self) -> None:
        if isinstance(self._body, httpx.SyncByteStream):
            self._body.close()


# no proxy from the environment: it would connect to addresses that were not checked
_OPTIONS: dict[str, Any] = {
    "timeout": TIMEOUT,
    "follow_redirects": True,
    "max_redirects": 5,
    "headers": {"user-agent": AGENT},
    "trust_env": False,
}


def client(settings: WorkerSettings, resolve: Resolve = resolve) -> httpx.AsyncClient:
    """A client to be entered. It follows redirects and checks each address."""
    return httpx.AsyncClient(transport=CheckedTransport(Allowed.parse(settings.allowed_hosts), resolve), **_OPTIONS)


def sync_client(settings: WorkerSettings, resolve: ResolveNow = resolve_now) -> httpx.Client:
    """As `client`, without await."""
    return httpx.Client(transport=CheckedSyncTransport(Allowed.parse(settings.allowed_hosts), resolve), **_OPTIONS)


@dataclass(frozen=True)
class Page:
    """An answer read whole. `url` is where redirects ended, `charset` what its header says."""

    url: str
    content: bytes
    content_type: str
    charset: str | None


@dataclass
class Turn:
    """When a host may be asked again, and how many ask it now."""

    open: asyncio.Semaphore
    next_at: float = field(default=0.0)


# by event loop, so that all tasks of a worker take turns at one host
_turns: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, int], Turn]]" = WeakKeyDictionary()


@asynccontextmanager
async def take_turn(url: str, *, per_second: float, concurrency: int) -> AsyncIterator[None]:
    """Waits until the host may be asked: at most `concurrency` at once, starts at least 1/`per_second` s apart."""
    turns = _turns.setdefault(asyncio.get_running_loop(), {})
    turn = turns.setdefault(host_and_port(httpx.URL(url)), Turn(asyncio.Semaphore(concurrency)))
    async with turn.open:
        now = time.monotonic()
        start = max(now, turn.next_at)
        turn.next_at = start + 1 / per_second
        await asyncio.sleep(start - now)
        yield


async def get(http: httpx.AsyncClient, url: str, *, per_second: float = 5, concurrency: int = 5) -> Page:
    """The page at `url`; asked again when the host says 429 or 503, after the time it names (30 s at most).

    Raises httpx.HTTPStatusError on any other answer of 400 and above, httpx.RequestError (AddressRefused, BodyTooLarge
    among them) and httpx.InvalidURL.
    """
    attempts = AsyncRetrying(
        stop=stop_after_attempt(ATTEMPTS), wait=named_wait, retry=retry_if_exception(is_busy), reraise=True
    )
    async for attempt in attempts:
        with attempt:
            async with take_turn(url, per_second=per_second, concurrency=concurrency):
                return await read(http, url)
    raise AssertionError("unreachable")  # pragma: no cover - reraise=True


async def read(http: httpx.AsyncClient, url: str) -> Page:
    async with http.stream("GET", url) as response:
        response.raise_for_status()
        content = bytearray()
        async for chunk in response.aiter_bytes(65536):
            content += chunk
            if len(content) > SIZE_LIMIT:
                raise BodyTooLarge(f"more than {SIZE_LIMIT} bytes unpacked", request=response.request)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Page(str(response.url), bytes(content), kind, response.charset_encoding)


def failure_code(error: Exception) -> str:
    """What went wrong with one address, for people and programs: `http_404`, `timeout`, `address_refused` …"""
    match error:
        case httpx.HTTPStatusError():
            return f"http_{error.response.status_code}"
        case AddressRefused():
            return "address_refused"
        case BodyTooLarge():
            return "too_large"
        case httpx.TimeoutException():
            return "timeout"
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return "bad_address"
        case httpx.TooManyRedirects():
            return "too_many_redirects"
        case _:
            return "unreachable"


def is_busy(error: BaseException) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code in (429, 503)


def named_wait(state: RetryCallState) -> float:
    """Seconds that Retry-After names, as a number or a date; 1, 2, 4 … without it."""
    error = state.outcome.exception() if state.outcome else None
    named = error.response.headers.get("retry-after", "") if isinstance(error, httpx.HTTPStatusError) else ""
    seconds = float(2 ** (state.attempt_number - 1))
    if named.isascii() and named.isdigit():
        seconds = float(named)
    elif named:
        try:
            date = parsedate_to_datetime(named)
            seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        except ValueError:
            pass
    return min(max(seconds, 0.0), LONGEST_WAIT_S)
