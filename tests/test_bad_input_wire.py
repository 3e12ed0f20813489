"""Whatever bytes reach the gateway, it answers soundly or not at all, and nothing is read in two ways."""

import contextlib
import gzip
import re
import socket
import struct

import httpx
import pytest
from bad_input_house import JSON, never_broken, path_of, refused
from platform_house import Platform, ok

from kit.ids import new_id


def raw(platform: Platform, content: bytes, enough: bytes | None = None) -> bytes:
    """What is answered to these bytes until the gateway closes, or `enough` has come."""
    url = httpx.URL(platform.base_url)
    answer = b""
    with socket.create_connection((url.host, url.port or 80), timeout=30) as opened:
        opened.sendall(content)
        while (enough is None or enough not in answer) and (piece := opened.recv(65_536)):
            answer += piece
    return answer


def test_a_compressed_bomb_is_refused_before_it_is_unpacked(api: httpx.Client, ids: dict[str, str]) -> None:
    bomb = gzip.compress(b'{"name": "' + b"x" * 100_000_000 + b'"}')
    assert len(bomb) < 1_000_000
    for encoding in ("gzip", "deflate", "br", "gzip, gzip"):
        headers = {**JSON, "Content-Encoding": encoding}
        for name in ("POST /v0/jobs", "POST /v0/workflows/{workflow_id}/run", "POST /v0/connections"):
            answer = api.request("POST", path_of(name, ids), content=bomb, headers=headers)
            refused(answer, 422, "header.Content-Encoding")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length : 5\r\n",
        b"X\x00: y\r\n",
        b"X: a\x00b\r\n",
        b": x\r\n",
        b"Host: another\r\n",
    ],
)
def test_requests_that_could_be_read_in_two_ways_are_refused(platform: Platform, head: bytes) -> None:
    start = b"POST /v0/auth/login HTTP/1.1\r\nHost: x\r\n"
    answer = raw(platform, start + head + b"\r\n" + b"0\r\n\r\n")
    assert re.match(rb"HTTP/1.1 (400|501|505|413) ", answer), answer[:200]
    assert answer.count(b"HTTP/1.1") == 1


def test_a_request_hidden_in_a_body_is_never_answered(platform: Platform, api: httpx.Client) -> None:
    """Length and chunks at once: the chunks count, on both sides of the gateway. What follows is another request."""
    token = api.headers["authorization"].encode()
    for number, (length, body) in enumerate(
        [
            (b"4", b"2\r\n{}\r\n0\r\n\r\n"),
            (b"200", b"2\r\n{}\r\n0\r\n\r\n"),
            (b"0", b"2\r\n{}\r\n0\r\n\r\n"),
            (b"6", b"0\r\n\r\nG"),
            (b"100", b"0\r\n\r\n"),
        ]
    ):
        hidden = f"/v0/jobs/hidden-{number}-{new_id()}"
        content = (
            b"POST /v0/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: " + token + b"\r\nContent-Type: application/json\r\n"
            b"Content-Length: " + length + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + body
        )
        inner = f"GET {hidden} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        answer = raw(platform, content + inner)
        first, _, rest = answer.partition(b"\r\n")
        assert re.match(rb"HTTP/1.1 (400|422|501)", first), answer[:300]
        # as anybody's own request, without the token of the one before: asked about at the gateway like every other
        assert not re.search(rb"HTTP/1.1 (2|403|404|5)", rest), answer
        assert ok(api.get("/auth/check-session"))["active"] is True
        for log in (platform.data / "logs").iterdir():
            if log.name.startswith("workflow-"):
                assert hidden not in log.read_text(errors="replace")


@pytest.mark.parametrize(
    "body", [b"x\r\n", b"-1\r\n", b"fffffffffffffffff\r\n", b"1\r\nab\r\n", b"2\r\n{}XX0\r\n\r\n"]
)  # fmt: skip
def test_chunks_that_are_none_are_the_callers_fault(platform: Platform, api: httpx.Client, body: bytes) -> None:
    token = api.headers["authorization"].encode()
    head = (
        b"POST /v0/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: "
    )
    answer = raw(platform, head + token + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert re.match(rb"HTTP/1.1 4\d\d ", answer), answer[:300]
    assert b"application/problem+json" in answer


def test_headers_and_addresses_of_any_length_break_nothing(platform: Platform, api: httpx.Client) -> None:
    for size in (8_000, 20_000):
        assert api.get("/workflows", headers={"X-Long": "x" * size}).status_code == 200
        never_broken(api.get("/workflows", params={"text": "x" * size}), size)
        never_broken(api.get(f"/workflows/{'x' * size}"), size)
    for size in (100_000, 2_000_000):
        for content in (
            b"GET /v0/workflows HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * size,
            b"GET /v0/workflows HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * (size // 6),
            b"GET /" + b"x" * size + b" HTTP/1.1\r\nHost: x",
        ):
            with contextlib.suppress(ConnectionError):
                # cut off while it still sends, or told why
                assert re.match(rb"HTTP/1.1 (431|414|400|401) |$", raw(platform, content + b"\r\n\r\n", b"\r\n\r\n"))
    assert api.get("/workflows").status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100,
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\nConnection: close\r\n\r\n",
        b"TRACE /v0/workflows HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"get /v0/workflows HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /v0/workflows HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /v0/work\x00flows HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"\x00" * 1000 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
    ],
)
def test_what_is_no_request_of_ours_is_answered_shortly_or_not_at_all(platform: Platform, content: bytes) -> None:
    url = httpx.URL(platform.base_url)
    with socket.create_connection((url.host, url.port or 80), timeout=30) as opened:
        opened.sendall(content)
        if b"Connection: close" not in content:
            # nothing more will come
            opened.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: opened.recv(65_536), b""))
    # the front page, if it is built; 501 and 505: a method and a version that are none of ours
    front = b"<!doctype html>" in answer.lower() or b"The web app is not built yet" in answer
    assert front or not re.match(rb"HTTP/1.1 (2|3|5(?!0[15]))", answer), answer[:300]


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content


def headers_frame(stream: int, *pairs: tuple[str, str]) -> bytes:
    """A whole request without a body; each header as it is, in no table."""
    content = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in pairs
    )
    return frame(1, 0b101, stream, content)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), b'"status":401'),
        ((("x-fw-user", "root"), ("x-fw-organization", "root")), b'"status":401'),
        ((("authorization", "Bearer x"),), b'"status":401'),
        ((("transfer-encoding", "chunked"),), b"not valid in HTTP/2"),
        ((("connection", "upgrade"),), b"not valid in HTTP/2"),
        ((("x-a", "b\r\nx-fw-user: root"),), b"\x03\x00\x00\x00\x00\x01"),
        (((":path", "/health"),), b"\x03\x00\x00\x00\x00\x01"),
        ((("Host", "x"),), b"\x03\x00\x00\x00\x00\x01"),
    ],
)
def test_http_2_without_a_question_meets_the_same_door(
    platform: Platform, more: tuple[tuple[str, str], ...], said: bytes
) -> None:
    """`said` is the problem, the refusal of the protocol, or RST_STREAM of stream 1 (type, flags, id)."""
    asked = ((":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/v0/workflows"))
    opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
    assert said in raw(platform, opening + headers_frame(1, *asked, *more), said)


def test_an_upgrade_to_http_2_or_a_socket_leads_nowhere(platform: Platform) -> None:
    for upgrade in (
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
    ):
        for path in (b"/v0/workflows", b"/internal/authorize", b"/metrics"):
            answer = raw(platform, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n", b"trace_id")
            assert answer.startswith(b"HTTP/1.1 401 "), answer[:300]
