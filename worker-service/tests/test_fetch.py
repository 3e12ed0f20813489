"""What may be fetched, how often, and how much of it: against real servers on loopback."""

import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import httpx
import pytest

from worker_service import fetch
from worker_service.fetch import AddressRefused, BodyTooLarge
from worker_service.settings import WorkerSettings

pytestmark = pytest.mark.anyio


def settings(*allowed: str) -> WorkerSettings:
    return WorkerSettings(allowed_hosts=", ".join(allowed))


def resolving(*answers: list[str]) -> Callable[[str, int], object]:
    """A name server that gives each answer once, then the last one for ever."""
    left = list(answers)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_only_addresses_reached_over_the_internet_are_public(address, public):
    assert fetch.is_public(address) is public


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_loopback_is_refused_in_every_writing_and_by_name(site, host):
    site.page("/", "secret")
    port = site.host.split(":")[1]
    async with fetch.client(settings()) as http:
        with pytest.raises((AddressRefused, httpx.ConnectError, httpx.InvalidURL)) as refused:
            await http.get(f"http://{host}:{port}/")
    assert host not in ("localhost", "127.0.0.1", "[::1]") or isinstance(refused.value, AddressRefused)
    assert site.asked == []


async def test_a_named_pair_of_host_and_port_is_allowed_and_no_other_port(site, other_site):
    site.page("/", "shop")
    async with fetch.client(settings("blog.example:80", site.host)) as http:
        assert (await http.get(site.url)).text == "shop"
        with pytest.raises(AddressRefused):
            await http.get(other_site.url)
    assert other_site.asked == []


async def test_a_redirect_to_a_private_address_is_refused(site, other_site):
    other_site.page("/", "secret")
    site.pages["/"] = (302, {"location": other_site.url}, b"")
    async with fetch.client(settings(site.host)) as http:
        with pytest.raises(AddressRefused):
            await fetch.get(http, site.url)
    assert site.asked == ["/"]
    assert other_site.asked == []


async def test_a_redirect_within_what_is_allowed_is_followed(site, other_site):
    other_site.page("/new", "moved here")
    site.pages["/"] = (301, {"location": f"{other_site.url}/new"}, b"")
    async with fetch.client(settings(site.host, other_site.host)) as http:
        page = await fetch.get(http, site.url)
    assert page.content == b"moved here"
    assert page.url == f"{other_site.url}/new"


async def test_a_name_with_one_private_address_among_public_ones_is_refused():
    async with fetch.client(settings(), resolving(["8.8.8.8", "10.0.0.1"])) as http:
        with pytest.raises(AddressRefused):
            await http.get("http://shop.example/")


async def test_the_connection_goes_to_the_address_that_was_checked(site, other_site):
    """A name that changes its mind after the check is not asked a second time, and Host still carries the name."""
    site.page("/", "checked")
    port = int(site.host.split(":")[1])
    async with fetch.client(settings(f"shop.example:{port}"), resolving(["127.0.0.1"], ["192.0.2.1"])) as http:
        answer = await http.get(f"http://shop.example:{port}/")
    assert answer.text == "checked"
    assert str(answer.request.url).startswith("http://shop.example")


async def test_the_next_address_is_tried_when_the_first_does_not_answer(site):
    site.page("/", "second")
    port = int(site.host.split(":")[1])
    async with fetch.client(settings(f"shop.example:{port}"), resolving(["127.0.0.2", "127.0.0.1"])) as http:
        assert (await http.get(f"http://shop.example:{port}/")).text == "second"


async def test_a_name_that_is_not_known_is_no_connection():
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    async with fetch.client(settings(), resolve) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("http://nowhere.example/")


async def test_other_schemes_are_not_fetched():
    async with fetch.client(settings()) as http:
        with pytest.raises(httpx.UnsupportedProtocol):
            await http.get("ftp://example.com/")


async def test_a_body_over_the_limit_is_cut_off(site):
    site.page("/", b"x" * (fetch.SIZE_LIMIT + 1))
    site.page("/fits", b"x" * fetch.SIZE_LIMIT)
    async with fetch.client(settings(site.host)) as http:
        assert len((await fetch.get(http, f"{site.url}/fits")).content) == fetch.SIZE_LIMIT
        with pytest.raises(BodyTooLarge):
            await http.get(site.url)


async def test_a_small_body_that_unpacks_to_a_huge_one_is_cut_off(site, packed):
    site.pages["/"] = (200, {"content-encoding": "gzip"}, packed(b"x" * (fetch.SIZE_LIMIT * 4)))
    async with fetch.client(settings(site.host)) as http:
        with pytest.raises(BodyTooLarge):
            await fetch.get(http, site.url)


async def test_a_busy_host_is_asked_again_after_the_time_it_names(site):
    answers = [(429, {"retry-after": "0"}, b""), (503, {"retry-after": "0"}, b""), (200, {}, b"at last")]
    site.pages["/"] = lambda path: answers[len(site.asked) - 1]
    async with fetch.client(settings(site.host)) as http:
        assert (await fetch.get(http, site.url, per_second=100)).content == b"at last"
    assert len(site.asked) == 3


async def test_a_host_that_stays_busy_is_given_up_after_three_times(site):
    site.pages["/"] = (503, {"retry-after": "0"}, b"")
    async with fetch.client(settings(site.host)) as http:
        with pytest.raises(httpx.HTTPStatusError) as error:
            await fetch.get(http, site.url, per_second=100)
    assert len(site.asked) == 3
    assert fetch.failure_code(error.value) == "http_503"


@pytest.mark.parametrize(
    ("named", "low", "high"),
    [
        ("7", 7, 7),
        ("86400", 30, 30),
        (timedelta(seconds=20), 1, 20),
        (timedelta(days=-1), 0, 0),
        ("soon", 1, 1),
        ("", 1, 1),
    ],
    ids=["seconds", "too many seconds", "a time soon", "a time past", "a word", "nothing"],
)
def test_the_wait_a_host_names_is_kept_within_bounds(named, low, high):
    from tenacity import AsyncRetrying, Future, RetryCallState

    if isinstance(named, timedelta):
        named = format_datetime(datetime.now(UTC) + named, usegmt=True)
    state = RetryCallState(AsyncRetrying(), None, (), {})
    request = httpx.Request("GET", "http://shop.example")
    answer = httpx.Response(429, headers={"retry-after": named}, request=request)
    state.outcome = Future.construct(1, httpx.HTTPStatusError("", request=request, response=answer), True)
    assert low <= fetch.named_wait(state) <= high


async def test_a_host_is_asked_no_faster_than_its_rate(site):
    site.page("/", "page")
    begun = time.monotonic()
    async with fetch.client(settings(site.host)) as http, anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(lambda: fetch.get(http, site.url, per_second=20, concurrency=5))
    assert len(site.asked) == 6
    assert time.monotonic() - begun >= 5 / 20


async def test_a_host_is_asked_by_no_more_at_once_than_it_bears(site):
    import threading

    lock, now, most = threading.Lock(), [0], [0]

    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.05)
        with lock:
            now[0] -= 1
        return 200, {}, b"page"

    site.pages["/"] = answer
    async with fetch.client(settings(site.host)) as http, anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(lambda: fetch.get(http, site.url, per_second=100, concurrency=3))
    assert len(site.asked) == 8
    assert 1 < most[0] <= 3


def test_the_client_without_await_checks_in_the_same_way(site, other_site):
    site.page("/", "shop")
    site.pages["/away"] = (302, {"location": other_site.url}, b"")
    site.page("/big", b"x" * (fetch.SIZE_LIMIT + 1))
    with fetch.sync_client(settings(site.host)) as http:
        assert http.get(site.url).text == "shop"
        for address in (other_site.url, f"{site.url}/away"):
            with pytest.raises(AddressRefused):
                http.get(address)
        with pytest.raises(BodyTooLarge):
            http.get(f"{site.url}/big")
        with pytest.raises(httpx.ConnectError):
            http.get("http://nowhere.invalid/")
    assert other_site.asked == []


def test_the_client_without_await_tries_the_next_address(site):
    site.page("/", "second")
    port = int(site.host.split(":")[1])
    with fetch.sync_client(settings(f"shop.example:{port}"), lambda host, port: ["127.0.0.2", "127.0.0.1"]) as http:
        assert http.get(f"http://shop.example:{port}/").text == "second"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx.ReadTimeout(""), "timeout"),
        (httpx.ConnectError(""), "unreachable"),
        (httpx.InvalidURL(""), "bad_address"),
        (httpx.TooManyRedirects(""), "too_many_redirects"),
        (AddressRefused(""), "address_refused"),
        (BodyTooLarge(""), "too_large"),
    ],
)
def test_a_failure_has_a_code(error, code):
    assert fetch.failure_code(error) == code


async def test_a_certificate_is_checked_against_the_name_not_the_address(site, tmp_path):
    """TLS to a checked address still asks for the name's certificate: a stranger's is refused."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stranger.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("stranger.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "stranger.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    asked_for: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    tls.sni_callback = lambda connection, server_name, context: asked_for.append(server_name)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        async with fetch.client(settings(f"shop.example:{server.server_port}"), resolving(["127.0.0.1"])) as http:
            with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
                await http.get(f"https://shop.example:{server.server_port}/")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked_for == ["shop.example"]
