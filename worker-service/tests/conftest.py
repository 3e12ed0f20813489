"""Two shops over real HTTP: the demo shop as its own process, and one with quite other markup; and a task's context."""

import gzip
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from worker_service.sdk import Context, ProcessContext, TaskError, TaskIds, TaskLog
from worker_service.settings import WorkerSettings

Answer = tuple[int, dict[str, str], bytes]


class Site:
    """A real HTTP server whose pages a test sets: path → answer, or a function of the request's path and query."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer | Callable[[str], Answer]] = {}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                found = site.pages.get(urlsplit(self.path).path, (404, {}, b"nothing here"))
                status, headers, body = found(self.path) if callable(found) else found
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def page(self, path: str, body: str | bytes, kind: str = "text/html", **headers: str) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.pages[path] = (200, {"content-type": kind, **headers}, content)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()
    yield served
    served.close()


@pytest.fixture
def other_site() -> Iterator[Site]:
    served = Site()
    yield served
    served.close()


@pytest.fixture
def old_shop(site: Site, tmp_path: Path) -> Site:
    """A shop as they were: EUC-KR without saying so in the header, unclosed tags, relative addresses, lazy images."""
    listing = """<html><head><meta http-equiv=content-type content="text/html; charset=euc-kr"><body>
<table><tr><td class=goods><a href="../goods/view.php?no=1"><b>뚝배기 소</b></a> 9,000
<tr><td class=goods><a href="/goods/view.php?no=2#top"><b>똠방각하 찻잔</b></a>
<tr><td class=goods><a href="/goods/view.php?no=1"><b>뚝배기 소</b></a>
<tr><td class=goods><a href="javascript:void(0)"><b>광고</b></a></table>"""
    goods = """<html><body><div id=view><h2>똠방각하 찻잔<table><tr><th>판매가<td class=won>￦ 1,234,500 원
<tr><th>재질<td class=stuff>백자 &amp; 유약</table><select name=opt><option>흰색<option>쑥색<option>흰색</select>
<span class=star>4.8점</span> 후기 <em class=cnt>1,027건</em>
<div class=detail><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" data-original="img/a.png">
<img src=blank.gif data-src="//%s/img/b.png"><img srcset="/img/c.png 1x, /img/c2.png 2x" src=/img/small.png>
<img src='/img/d.png'></body>"""
    site.pages["/find/list.php"] = lambda path: (
        200,
        {"content-type": "text/html"},
        (listing if parse_qs(urlsplit(path).query, encoding="cp949")["kw"] == ["찻잔"] else "<p>없음").encode("cp949"),
    )
    site.page("/goods/view.php", (goods % site.host).encode("cp949"))
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "old_shop.toml").write_text(
        f"""name = "old_shop"
title = "옛날 가게"
base = "{site.url}"
encoding = "euc-kr"
requests_per_second = 100
[search]
path = "/find/list.php"
query = "kw"
item = "td.goods"
link = "a"
[product]
name = "#view h2"
price = ".won"
options = "select[name=opt] option"
material = ".stuff"
rating = ".star"
review_count = ".cnt"
images = ".detail img"
""",
        encoding="utf-8",
    )
    return site


@pytest.fixture(scope="session")
def demo_shop_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo shop's data file, which a test may change."""
    path = tmp_path_factory.mktemp("shop") / "products.json"
    source = Path(__file__).parents[2] / "demo-shop" / "src" / "demo_shop" / "products.json"
    path.write_bytes(source.read_bytes())
    return path


@pytest.fixture(scope="session")
def demo_shop(demo_shop_data: Path) -> Iterator[str]:
    """The demo shop's base address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "FLOWWEAVER_HTTP_PORT": str(port), "FLOWWEAVER_SHOP_DATA": str(demo_shop_data)}
    process = subprocess.Popen([sys.executable, "-m", "demo_shop"], env=environment)
    try:
        for attempt in Retrying(
            stop=stop_after_delay(20), wait=wait_fixed(0.1), retry=retry_if_exception_type(httpx.ConnectError)
        ):
            with attempt:
                httpx.get(f"http://127.0.0.1:{port}/healthz").raise_for_status()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


class Workshop:
    """Contexts whose artifacts are kept in a dict and whose log lines in a list."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.files: dict[str, bytes] = {}
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def _answer(self, wish: str, asked: dict[str, Any], content: bytes) -> tuple[Any, bytes]:
        if wish == "artifact.get":
            if asked["path"] not in self.files:
                raise TaskError("artifact_missing", path=asked["path"])
            return None, self.files[asked["path"]]
        assert wish == "artifact.put"
        path = asked["path"]
        self.files[path] = content
        stored = {"artifact_id": path, "path": path, "size": len(content), "sha256": "", "url": f"/artifacts/{path}"}
        return {**stored, "content_type": asked["content_type"]}, b""

    async def _ask(self, wish: str, asked: dict[str, Any], content: bytes) -> tuple[Any, bytes]:
        return self._answer(wish, asked, content)

    def _parts(self) -> tuple[TaskIds, WorkerSettings, TaskLog]:
        ids = TaskIds("task", "run", "organization", "workflow", "key", 1, "trace")
        return ids, self.settings, TaskLog(lambda level, event, fields: self.lines.append((event, fields)))

    def context(self) -> Context:
        return Context(*self._parts(), self._ask)

    def process_context(self) -> ProcessContext:
        return ProcessContext(*self._parts(), self._answer)


@pytest.fixture
def workshop(tmp_path: Path) -> Callable[..., Workshop]:
    """Makes a Workshop; `allow` names further addresses that may be fetched."""

    def make(*allow: str, **settings: Any) -> Workshop:
        pairs = ",".join(urlsplit(address).netloc for address in allow)
        adapters = tmp_path / "adapters"
        return Workshop(
            WorkerSettings(
                data=tmp_path, allowed_hosts=pairs, adapters_dir=adapters if adapters.exists() else None, **settings
            )
        )

    return make


@pytest.fixture
def packed() -> Callable[[bytes], bytes]:
    return gzip.compress
