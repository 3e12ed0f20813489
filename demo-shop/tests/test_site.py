"""The shop over real HTTP, as a browser and the crawler read it."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
import uvicorn
from bs4 import BeautifulSoup
from PIL import Image
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from demo_shop.catalogue import PACKAGED
from demo_shop.site import build_site


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "products.json"
    path.write_bytes(PACKAGED.read_bytes())
    return path


@pytest.fixture(scope="module")
def shop(data: Path) -> Iterator[httpx.Client]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(build_site(data), lifespan="off", log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=20) as client:
            yield client
        server.should_exit = True
        thread.join(20)


def test_the_shop_opens_as_a_program_on_the_port_it_is_given(data):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "FLOWWEAVER_HTTP_PORT": str(port), "FLOWWEAVER_SHOP_DATA": str(data)}
    process = subprocess.Popen([sys.executable, "-m", "demo_shop"], env=environment)
    try:
        for attempt in Retrying(
            stop=stop_after_delay(20), wait=wait_fixed(0.1), retry=retry_if_exception_type(httpx.ConnectError)
        ):
            with attempt:
                assert httpx.get(f"http://127.0.0.1:{port}/healthz").text == "ok\n"
    finally:
        process.terminate()
        process.wait(10)


def test_a_search_lists_links_titles_prices_and_thumbnails(shop):
    page = BeautifulSoup(shop.get("/search", params={"q": "텀블러"}).text, "lxml")
    results = page.select(".result")
    assert results
    for result in results:
        assert shop.get(result.select_one("a.title")["href"]).status_code == 200
        assert result.select_one(".price").text.endswith("원")
    assert shop.get(results[0].select_one("img")["src"]).headers["content-type"] == "image/png"


def test_more_than_sixty_results_are_spread_over_pages(shop):
    first = BeautifulSoup(shop.get("/search", params={"q": "1 2 3 5"}).text, "lxml")
    second = BeautifulSoup(shop.get("/search", params={"q": "1 2 3 5", "page": 2}).text, "lxml")
    titles = [{link["href"] for link in page.select("a.title")} for page in (first, second)]
    assert len(titles[0]) == 60
    assert titles[1]
    assert not titles[0] & titles[1]
    assert len(first.select("nav.pages a")) >= 2


def test_a_search_without_hits_says_so(shop):
    page = BeautifulSoup(shop.get("/search", params={"q": "우주선"}).text, "lxml")
    assert page.select_one(".empty").text == "찾는 상품이 없습니다."
    assert not page.select(".result")


def test_a_product_page_tells_the_facts_of_the_data_file(shop):
    wanted = json.loads(PACKAGED.read_text(encoding="utf-8"))[7]
    page = BeautifulSoup(shop.get(f"/products/{wanted['id']}").text, "lxml")
    assert page.select_one(".name").text == wanted["name"]
    assert page.select_one(".price").text == f"{wanted['price']:,}원"
    assert [option.text for option in page.select(".options li")] == wanted["options"]
    assert page.select_one(".material").text == wanted["material"]
    assert page.select_one(".rating").text == f"{wanted['rating']} / 5 ({wanted['reviews']})"
    assert page.select_one(".description").text == wanted["description"]
    assert len(page.select(".detail-images img")) == len(wanted["images"])


def test_a_changed_price_in_the_data_file_shows_on_the_next_request(shop, data):
    products = json.loads(data.read_text(encoding="utf-8"))
    products[0]["price"] = 1234500
    data.write_text(json.dumps(products, ensure_ascii=False), encoding="utf-8")
    assert "1,234,500원" in shop.get("/products/p0001").text


def test_a_name_with_markup_in_it_is_shown_as_text(shop, data):
    products = json.loads(data.read_text(encoding="utf-8"))
    products[1]["name"] = "<script>alert(1)</script> 텀블러"
    data.write_text(json.dumps(products, ensure_ascii=False), encoding="utf-8")
    for page in (shop.get("/products/p0002"), shop.get("/search", params={"q": "<script>alert"})):
        assert "<script>" not in page.text
        assert "&lt;script&gt;" in page.text


def test_images_are_the_same_bytes_each_time_and_differ_between_products(shop):
    first = shop.get("/images/p0003/1.png").content
    assert Image.open(BytesIO(first)).size[0] == 860
    assert shop.get("/images/p0003/1.png").content == first
    assert shop.get("/images/p0004/1.png").content != first


@pytest.mark.parametrize(
    "path", ["/products/none", "/images/p0003/9.png", "/images/none/1.png", "/search?page=-1", "/search?page=x", "/no"]
)
def test_an_unknown_address_is_a_readable_404(shop, path):
    answer = shop.get(path)
    assert answer.status_code == 404
    assert "찾는 쪽이 없습니다" in answer.text


def test_the_front_page_and_robots_are_served(shop):
    assert "플로우 상점" in shop.get("/").text
    assert "Allow: /" in shop.get("/robots.txt").text
