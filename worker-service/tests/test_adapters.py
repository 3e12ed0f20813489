"""Site adapters are data: what a file says is what is read, and a wrong file is named with its fields."""

import os

import pytest
from bs4 import BeautifulSoup

from worker_service import adapters
from worker_service.adapters import AdapterInvalid, NotAProduct
from worker_service.settings import WorkerSettings

THIRD = """name = "third"
title = "셋째 가게"
base = "https://third.example/shop"
requests_per_second = 0.5
[search]
path = "/s"
query = "keyword"
parameters = {sort = "new"}
item = "li"
[product]
name = "h1"
price = ".p"
rating = ".r"
images = "img"
"""


def settings(tmp_path, **values):
    return WorkerSettings(data=tmp_path, adapters_dir=tmp_path, **values)


def test_a_third_shop_is_a_file(tmp_path):
    (tmp_path / "third.toml").write_text(THIRD, encoding="utf-8")
    third = adapters.load_adapters(settings(tmp_path))["third"]
    assert third.search_url("무선 이어폰") == (
        "https://third.example/shop/s?keyword=%EB%AC%B4%EC%84%A0+%EC%9D%B4%EC%96%B4%ED%8F%B0&sort=new"
    )
    page = BeautifulSoup("<li><a href='/i/1?a=1#x'>하나</a><li><a href='i/2'><img alt=''></a>", "lxml")
    found = adapters.parse_search(page, third, "https://third.example/shop/s", 40)
    assert [(each.url, each.title) for each in found] == [("https://third.example/i/1?a=1", "하나")]


def test_the_demo_shops_address_is_a_setting(tmp_path):
    found = adapters.load_adapters(settings(tmp_path, shop_base_url="http://127.0.0.1:4711"))["demo_shop"]
    assert found.search_url("a") == "http://127.0.0.1:4711/search?q=a"


def test_a_file_of_the_installation_replaces_the_packaged_one_and_an_edit_counts_at_once(tmp_path):
    path = tmp_path / "demo_shop.toml"
    path.write_text(THIRD.replace('"third"', '"demo_shop"'), encoding="utf-8")
    assert adapters.load_adapters(settings(tmp_path))["demo_shop"].title == "셋째 가게"
    path.write_text(THIRD.replace('"third"', '"demo_shop"').replace("셋째", "넷째"), encoding="utf-8")
    os.utime(path, ns=(1, 1))
    assert adapters.load_adapters(settings(tmp_path))["demo_shop"].title == "넷째 가게"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name = ", r"bad\.toml"),
        (THIRD.replace("requests_per_second = 0.5", "requests_per_second = 0"), "requests_per_second"),
        (THIRD + "nmae = 'h2'", r"product\.nmae"),
        (THIRD.replace("https://third.example/shop", "third.example"), "base"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path, text, named):
    (tmp_path / "bad.toml").write_text(text, encoding="utf-8")
    with pytest.raises(AdapterInvalid, match=named):
        adapters.load_adapters(settings(tmp_path))


def test_an_address_belongs_to_the_adapter_of_its_scheme_host_and_port(tmp_path):
    (tmp_path / "third.toml").write_text(THIRD, encoding="utf-8")
    known = adapters.load_adapters(settings(tmp_path))
    found = adapters.adapter_for("https://third.example:443/any", known)
    assert found is not None
    assert found.name == "third"
    assert adapters.adapter_for("http://third.example/any", known) is None


def test_a_page_without_a_name_is_no_product(tmp_path):
    (tmp_path / "third.toml").write_text(THIRD, encoding="utf-8")
    third = adapters.load_adapters(settings(tmp_path))["third"]
    with pytest.raises(NotAProduct):
        adapters.parse_product(BeautifulSoup("<p>점검 중입니다", "lxml"), third, "https://third.example/1")


def test_what_a_page_does_not_say_is_null(tmp_path):
    (tmp_path / "third.toml").write_text(THIRD, encoding="utf-8")
    third = adapters.load_adapters(settings(tmp_path))["third"]
    found = adapters.parse_product(BeautifulSoup("<h1>이름뿐", "lxml"), third, "https://third.example/1")
    facts = found.model_dump(exclude={"url", "name", "currency"})
    assert facts == {**dict.fromkeys(facts), "options": [], "images": []}


@pytest.mark.parametrize(
    ("text", "number"), [("12,900원", 12900), ("￦ 1,234,500", 1234500), ("품절", None), ("", None), (None, None)]
)
def test_a_price_is_read_from_its_text(text, number):
    assert adapters.parse_number(text) == number


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4.6 / 5 (1,320)", (4.6, 1320)),
        ("4.8점", (4.8, None)),
        ("5", (5.0, None)),
        ("92%", (None, None)),
        ("평점 없음 (,)", (None, None)),
        (None, (None, None)),
    ],
)
def test_a_rating_is_read_from_its_text(text, found):
    assert adapters.parse_rating(text) == found


@pytest.mark.parametrize(
    ("srcset", "address"),
    [
        ("a.png 1x, b.png 2x", "b.png"),
        ("s.jpg 320w,l.jpg 1280w", "l.jpg"),
        ("only.png", "only.png"),
        ("a,b.png 1x, c.png 1.5x", "c.png"),
    ],
)
def test_the_largest_of_several_sizes_is_taken(srcset, address):
    assert adapters.largest(srcset) == address


@pytest.mark.parametrize(
    "href", [None, "", "javascript:void(0)", "mailto:a@b.c", "data:image/png;base64,A", "http://["]
)
def test_what_is_no_address_for_http_is_left_out(href):
    assert adapters.absolute("http://shop.example/a/", href) is None
