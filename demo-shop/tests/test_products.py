"""The range as a shopper and the article see it: no two products alike, and the script and the file agree."""

import importlib.util
import random
from itertools import combinations
from pathlib import Path

import pytest

from demo_shop.catalogue import PACKAGED, Catalogue, parse

SCRIPT = Path(__file__).parents[1] / "make_products.py"


def test_the_range_holds_at_least_320_products_in_12_categories_with_two_to_four_images_each():
    products = parse(PACKAGED.read_bytes()).values()
    assert len(products) >= 320
    assert len({product.category for product in products}) >= 12
    assert {len(product.images) for product in products} == {2, 3, 4}


@pytest.mark.parametrize("seed", range(5))
def test_twenty_products_picked_at_random_differ_in_name_price_options_and_image_text(seed):
    products = list(parse(PACKAGED.read_bytes()).values())
    for one, other in combinations(random.Random(seed).sample(products, 20), 2):
        assert one.name != other.name
        assert one.price != other.price
        assert set(one.options) != set(other.options)
        assert one.images != other.images


def test_the_script_writes_the_checked_in_file_again_byte_for_byte():
    spec = importlib.util.spec_from_file_location("make_products", SCRIPT)
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.render() == PACKAGED.read_text(encoding="utf-8")


def test_a_half_written_file_leaves_the_former_range_standing(tmp_path):
    data = tmp_path / "products.json"
    data.write_bytes(PACKAGED.read_bytes())
    catalogue = Catalogue(data)
    before = len(catalogue.products())
    data.write_text('[{"id": "p0001", "na')
    assert len(catalogue.products()) == before


def test_a_shop_without_a_readable_file_does_not_open(tmp_path):
    data = tmp_path / "products.json"
    data.write_text("{}[")
    with pytest.raises(ValueError, match="holds no range"):
        Catalogue(data).products()


@pytest.mark.parametrize(
    ("query", "name"),
    [("텀블러", "텀블러"), ("무선 이어폰", "무선 이어폰"), ("사무실텀블러", "텀블러"), ("캠핑의자 추천", "캠핑 의자")],
)
def test_the_best_hit_of_a_search_fits_the_query(query, name):
    assert name in Catalogue(PACKAGED).search(query)[0].name


def test_a_search_for_what_the_shop_does_not_sell_finds_nothing():
    assert Catalogue(PACKAGED).search("우주선") == []
