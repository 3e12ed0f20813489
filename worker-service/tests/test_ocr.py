"""Text read from pixels: the demo shop's images as they come over HTTP, and files that are no readable image."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageDraw, ImageFont

from worker_service import ocr
from worker_service.ocr import Reader, Unreadable
from worker_service.product import Product, StoredFile, UploadResult
from worker_service.tasks import image_ocr

FONT = Path(__file__).parents[2] / "demo-shop" / "src" / "demo_shop" / "fonts" / "ShopGothic.ttf"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return ocr.unpack_models(tmp_path_factory.mktemp("tessdata"))


@pytest.fixture(scope="module")
def reader(models):
    with Reader(models) as opened:
        yield opened


def drawn(*lines, kind="PNG", paper="white", ink="#333", size=(860, 400), mode="RGB"):
    image = Image.new(mode, size, paper)
    canvas = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        canvas.text((60, 40 + 70 * number), line, font=ImageFont.truetype(str(FONT), 34), fill=ink)
    out = BytesIO()
    image.save(out, kind)
    return out.getvalue()


def distance(one: str, other: str) -> int:
    """Levenshtein's."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, start=1):
        last, row = row, [number]
        for place, each in enumerate(other):
            row.append(min(last[place + 1] + 1, row[place] + 1, last[place] + (letter != each)))
    return row[-1]


def test_at_least_95_of_100_characters_on_the_shops_images_are_read_rightly(reader, demo_shop, demo_shop_data):
    """Twenty images picked by seed, spaces counted: a character too much counts as wrong as one too few."""
    products = json.loads(demo_shop_data.read_text(encoding="utf-8"))
    images = [
        (f"{demo_shop}/images/{product['id']}/{number}.png", " ".join([image["title"], *image["lines"]]))
        for product in products
        for number, image in enumerate(product["images"], start=1)
    ]
    wrong = total = 0
    for url, text in random.Random(20).sample(images, 20):
        read = reader.read(httpx.get(url).content)
        assert 0.5 < read.confidence <= 1
        wrong += distance(" ".join(read.text.split()), text)
        total += len(text)
    print(f"{1 - wrong / total:.1%} of {total} characters")
    assert wrong <= 0.05 * total


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_each_kind_of_image_is_read(reader, kind):
    assert reader.read(drawn("세탁 방법", "찬물에 손세탁하세요", kind=kind)).text == "세탁 방법\n찬물에 손세탁하세요"


def test_sizes_in_latin_letters_are_read(reader):
    assert reader.read(drawn("용량 500ml", "무게 1040g", "높이 116cm", "방 109호")).text.split("\n") == [
        "용량 500ml",
        "무게 1040g",
        "높이 116cm",
        "방 109호",
    ]


def test_light_text_on_a_dark_ground_is_read(reader):
    assert "찬물에 손세탁하세요" in reader.read(drawn("찬물에 손세탁하세요", paper="#222", ink="white")).text


def test_text_on_transparent_ground_is_read(reader):
    data = drawn("찬물에 손세탁하세요", mode="RGBA", paper=(0, 0, 0, 0), ink="#111")
    assert reader.read(data).text == "찬물에 손세탁하세요"


def test_text_within_a_picture_is_read_and_its_shapes_are_not(reader):
    image = Image.open(BytesIO(drawn(size=(860, 500))))
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((480, 30, 820, 470), fill="#3a6")
    canvas.text((60, 230), "무료 배송 상품", font=ImageFont.truetype(str(FONT), 40), fill="#222")
    out = BytesIO()
    image.save(out, "PNG")
    assert reader.read(out.getvalue()).text == "무료 배송 상품"


def test_an_image_without_text_has_none(reader):
    assert reader.read(drawn()) == ocr.Reading("", 0.0)


@pytest.mark.parametrize("data", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, drawn("글자")[:300]])
def test_what_is_no_image_is_unreadable(reader, data):
    with pytest.raises(Unreadable, match="not_an_image"):
        reader.read(data)


@pytest.mark.parametrize("size", [(9000, 9000), (20000, 20000)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_of_too_many_pixels_is_unreadable(reader, size):
    out = BytesIO()
    Image.new("1", size).save(out, "PNG")
    with pytest.raises(Unreadable, match="too_large"):
        reader.read(out.getvalue())


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("소재: ABS, LED, USB-C", "en"),
        ("소재는 스테인리스 304입니다 500ml", "ko"),
        ("Hand wash only", "en"),
        ("手洗いしてください", "ja"),
        ("只能手洗", "zh"),
        ("12,900 / 5", "und"),
        ("", "und"),
    ],
)
def test_the_language_is_guessed_by_the_script(text, language):
    assert ocr.guess_language(text) == language


def test_models_unpacked_by_several_at_once_or_after_a_crash_are_whole(tmp_path):
    (tmp_path / "tmpcrashed.part").write_bytes(b"half")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ocr.unpack_models, [tmp_path] * 4))
    assert sorted(path.name for path in tmp_path.glob("*.traineddata")) == ["eng.traineddata", "kor.traineddata"]
    with Reader(tmp_path) as reader:
        assert reader.read(drawn("손세탁")).text == "손세탁"


def stored(name):
    return StoredFile(artifact_id=name, path=f"products/01/{name}", url="/a", size=1, content_type="image/png")


def test_one_unreadable_image_is_that_images_own_matter(workshop):
    shop = workshop()
    shop.files = {
        "one": drawn("찬물에 손세탁하세요"),
        "two": b"broken",
        "three": drawn(),
        "four": drawn("HAND WASH ONLY"),
    }
    images = [stored(name) for name in shop.files]
    found = image_ocr.image_ocr(shop.process_context(), image_ocr.Parameters(images=images))
    assert [image.status for image in found.images] == ["read", "unreadable", "no_text", "read"]
    assert [image.reason for image in found.images] == ["already_korean", "not_an_image", "no_text", "no_translator"]
    assert found.images[0].text == "찬물에 손세탁하세요"
    assert found.images[3].text == "HAND WASH ONLY"
    assert all(image.translation is None for image in found.images)
    assert found.text == "찬물에 손세탁하세요\n\nHAND WASH ONLY"


def test_an_image_that_is_no_longer_stored_is_unreadable(workshop):
    found = image_ocr.image_ocr(workshop().process_context(), image_ocr.Parameters(images=[stored("gone")]))
    assert [(image.status, image.reason) for image in found.images] == [("unreadable", "artifact_missing")]


def test_the_selected_products_images_are_found_among_those_stored(workshop):
    shop = workshop()
    shop.files = {"mine": drawn("국내 제조"), "others": drawn("다른 상품")}
    product = Product(url="http://shop.example/1", name="컵")
    uploads = [
        UploadResult(product_url="http://shop.example/2", product=stored("p"), images=[stored("others")]),
        UploadResult(product_url=product.url, product=stored("p"), images=[stored("mine")]),
    ]
    found = image_ocr.image_ocr(
        shop.process_context(), image_ocr.Parameters(selected_product=product, upload_results=uploads)
    )
    assert (found.text, found.language, found.translation, found.reason) == ("국내 제조", "ko", None, "already_korean")


def test_a_product_without_images_has_no_text_and_opens_no_engine(workshop, tmp_path):
    found = image_ocr.image_ocr(workshop().process_context(), image_ocr.Parameters())
    assert (found.text, found.reason, found.images) == ("", "no_text", [])
    assert not (tmp_path / "cache").exists()
