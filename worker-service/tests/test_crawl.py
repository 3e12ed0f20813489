"""From keyword to selected product, over real HTTP: the demo shop, and an old shop that only a file describes."""

import json

import pytest

from worker_service.product import Product, StoredFile, UploadResult
from worker_service.sdk import TaskError
from worker_service.tasks import artifact_upload, product_crawl, product_search, product_select

pytestmark = pytest.mark.anyio


async def search(shop, keyword, **parameters):
    return await product_search.product_search(shop.context(), product_search.Parameters(keyword=keyword, **parameters))


async def crawl(shop, *urls):
    return await product_crawl.product_crawl(shop.context(), product_crawl.Parameters(urls=list(urls)))


async def test_a_keyword_finds_at_most_forty_products_of_the_demo_shop_each_address_once(workshop, demo_shop):
    shop = workshop(demo_shop, shop_base_url=demo_shop)
    found = (await search(shop, "0 1 2 3 4 5")).search_results
    assert len(found) == 40
    assert len({result.url for result in found}) == 40
    assert all(result.url.startswith(f"{demo_shop}/products/") and result.title for result in found)
    assert len((await search(shop, "텀블러", limit=2)).search_results) == 2


async def test_nothing_found_is_an_error_of_its_own(workshop, demo_shop):
    with pytest.raises(TaskError) as error:
        await search(workshop(demo_shop, shop_base_url=demo_shop), "우주선")
    assert error.value.code == "no_products"
    assert error.value.params["keyword"] == "우주선"


async def test_an_unknown_site_is_named(workshop):
    with pytest.raises(TaskError) as error:
        await search(workshop(), "텀블러", site="amazon")
    assert (error.value.code, error.value.field) == ("site_unknown", "site")


async def test_a_shop_whose_address_is_not_allowed_is_not_searched(workshop, demo_shop):
    with pytest.raises(TaskError) as error:
        await search(workshop(shop_base_url=demo_shop), "텀블러")
    assert error.value.code == "site_refused"


async def test_a_shop_that_is_down_may_be_tried_again(workshop, site):
    site.pages["/search"] = (500, {}, b"")
    with pytest.raises(TaskError) as error:
        await search(workshop(site.url, shop_base_url=site.url), "텀블러")
    assert (error.value.code, error.value.detail) == ("site_unreachable", "http_500")


async def test_a_product_of_the_demo_shop_is_read_whole(workshop, demo_shop, demo_shop_data):
    wanted = json.loads(demo_shop_data.read_text(encoding="utf-8"))[40]
    url = f"{demo_shop}/products/{wanted['id']}"
    found = await crawl(workshop(demo_shop, shop_base_url=demo_shop), url)
    assert found.crawled_products == [
        Product(
            url=url,
            name=wanted["name"],
            price=wanted["price"],
            currency="KRW",
            options=wanted["options"],
            material=wanted["material"],
            rating=wanted["rating"],
            review_count=wanted["reviews"],
            description=wanted["description"],
            images=[f"{demo_shop}/images/{wanted['id']}/{n}.png" for n in range(1, len(wanted["images"]) + 1)],
        )
    ]
    assert found.counts.model_dump() == {"requested": 1, "crawled": 1, "failed": 0}


async def test_a_price_changed_in_the_shops_data_file_is_crawled_next(workshop, demo_shop, demo_shop_data):
    products = json.loads(demo_shop_data.read_text(encoding="utf-8"))
    products[0]["price"] = 7654300
    demo_shop_data.write_text(json.dumps(products, ensure_ascii=False), encoding="utf-8")
    found = await crawl(workshop(demo_shop, shop_base_url=demo_shop), f"{demo_shop}/products/{products[0]['id']}")
    assert found.crawled_products[0].price == 7654300


async def test_an_old_shop_in_euc_kr_with_broken_html_is_a_file_and_no_code(workshop, old_shop):
    shop = workshop(old_shop.url)
    found = await search(shop, "찻잔", site="old_shop")
    assert [(result.url, result.title) for result in found.search_results] == [
        (f"{old_shop.url}/goods/view.php?no=1", "뚝배기 소"),
        (f"{old_shop.url}/goods/view.php?no=2", "똠방각하 찻잔"),
    ]
    product = (await crawl(shop, found.search_results[1].url)).crawled_products[0]
    assert product.model_dump(exclude={"url", "name", "description"}) == {
        "price": 1234500,
        "currency": "KRW",
        "options": ["흰색", "쑥색"],
        "material": "백자 & 유약",
        "rating": 4.8,
        "review_count": 1027,
        "images": [
            f"{old_shop.url}/goods/img/a.png",
            f"{old_shop.url}/img/b.png",
            f"{old_shop.url}/img/c2.png",
            f"{old_shop.url}/img/d.png",
        ],
    }
    with pytest.raises(TaskError, match="no_products"):
        await search(shop, "텀블러", site="old_shop")


async def test_one_failing_page_is_recorded_and_fails_nobody_else(workshop, old_shop):
    old_shop.pages["/slow"] = (404, {}, b"")
    old_shop.page("/empty", "<p>점검 중")
    old_shop.pages["/away"] = (302, {"location": "http://10.0.0.1/"}, b"")
    good = f"{old_shop.url}/goods/view.php?no=2"
    bad = {
        f"{old_shop.url}/slow": "http_404",
        f"{old_shop.url}/empty": "not_a_product",
        f"{old_shop.url}/away": "address_refused",
        "http://elsewhere.example/1": "site_unknown",
        "not an address": "site_unknown",
        "http://[": "site_unknown",
    }
    found = await crawl(workshop(old_shop.url), *bad, good, good)
    assert [product.url for product in found.crawled_products] == [good]
    assert {failure.url: failure.code for failure in found.failures} == bad
    assert found.counts.model_dump() == {"requested": 7, "crawled": 1, "failed": 6}


@pytest.mark.parametrize(("status", "retryable"), [(500, True), (404, False)])
async def test_a_crawl_that_reads_no_page_fails_and_says_whether_to_try_again(workshop, old_shop, status, retryable):
    old_shop.pages["/broken"] = (status, {}, b"")
    with pytest.raises(TaskError) as error:
        await crawl(workshop(old_shop.url), f"{old_shop.url}/broken")
    assert (error.value.code, error.value.retryable) == ("crawl_failed", retryable)
    assert error.value.params == {"count": 1, "reasons": f"http_{status}"}


async def test_facts_and_images_are_stored_under_the_product_and_a_broken_image_is_recorded(workshop, old_shop):
    old_shop.page("/a.png", b"pixels", "image/png")
    old_shop.page("/page", "<html>", "text/html")
    product = Product(
        url=f"{old_shop.url}/goods/1", name="찻잔", images=[f"{old_shop.url}{at}" for at in ("/a.png", "/page", "/no")]
    )
    stranger = Product(url="http://[", name="주소 없음", images=["http://10.0.0.1/a.png"])
    shop = workshop(old_shop.url)
    found = await artifact_upload.artifact_upload(
        shop.context(), artifact_upload.Parameters(crawled_products=[product, stranger], keyword="찻잔")
    )
    first, second = found.upload_results
    assert [image.path for image in first.images] == ["products/01/image-1.png"]
    assert first.images[0].source_url == product.images[0]
    assert [failure.code for failure in first.failures] == ["not_an_image", "http_404"]
    assert [failure.code for failure in second.failures] == ["address_refused"]
    assert shop.files["products/01/image-1.png"] == b"pixels"
    assert json.loads(shop.files["products/01/product.json"]) == {"keyword": "찻잔", "product": product.model_dump()}
    stored = sum(len(content) for content in shop.files.values())
    assert found.summary.model_dump() == {"products": 2, "images": 1, "failed_images": 3, "bytes": stored}


async def test_storing_no_product_is_an_error(workshop):
    with pytest.raises(TaskError, match="no_products"):
        await artifact_upload.artifact_upload(workshop().context(), artifact_upload.Parameters(crawled_products=[]))


def stored(name):
    return StoredFile(artifact_id=name, path=name, url=f"/artifacts/{name}", size=1, content_type="image/png")


def uploaded(product, count):
    return UploadResult(product_url=product.url, product=stored("p"), images=[stored(str(n)) for n in range(count)])


@pytest.mark.parametrize(
    ("counts", "chosen", "reason"),
    [
        ((1, 3, 2), 1, "most_images"),
        ((2, 2, 1), 0, "most_images"),
        ((0, 0, 0), 0, "first_crawled"),
        ((), 0, "first_crawled"),
    ],
)
async def test_the_product_with_most_stored_images_is_selected_else_the_first(workshop, counts, chosen, reason):
    products = [Product(url=f"http://shop.example/{n}", name=f"상품 {n}", price=n) for n in range(3)]
    uploads = [uploaded(product, count) for product, count in zip(products, counts, strict=False)]
    found = await product_select.product_select(
        workshop().context(), product_select.Parameters(crawled_products=products, upload_results=uploads)
    )
    assert found.selected_product == products[chosen]
    assert found.reason == reason
    assert found.image_count == len(found.images) == (counts[chosen] if counts else 0)


async def test_selecting_from_nothing_is_an_error(workshop):
    with pytest.raises(TaskError, match="no_products"):
        await product_select.product_select(workshop().context(), product_select.Parameters(crawled_products=[]))
