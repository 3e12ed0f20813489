"""What we know of a shop is data: a TOML file in `sites/` or in the folder that FLOWWEAVER_ADAPTERS_DIR names.

The rule kept here: no shop's name, address or markup appears in code. A page is read by the adapter's selectors only;
what they do not find is null, and a page without a name is no product page.
"""

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

from bs4 import BeautifulSoup, Tag
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker_service.product import Product, SearchResult
from worker_service.settings import WorkerSettings

PACKAGED = Path(__file__).parent / "sites"
MAX_OPTIONS, MAX_IMAGES, MAX_TEXT = 50, 20, 4000


class AdapterInvalid(ValueError):
    """A file in the adapters' folder is no adapter; `str()` names the file and the fields."""


class NotAProduct(ValueError):
    """The page holds no product where the adapter looks for one."""


class SearchPage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(description="Path of the search page.")
    query: str = Field(description="Name of the parameter that carries the keyword.")
    parameters: dict[str, str] = Field(default_factory=dict, description="Further parameters, always sent.")
    item: str = Field(description="Selector of one result.")
    link: str = Field(default="a[href]", description="Selector of the result's link, inside the item.")
    title: str | None = Field(default=None, description="Selector of the result's title; the link's text when absent.")


class ProductPage(BaseModel):
    """Selectors; all but the name may find nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    price: str | None = None
    options: str | None = None
    material: str | None = None
    rating: str | None = None
    review_count: str | None = Field(default=None, description="Where the rating's text does not name it.")
    description: str | None = None
    images: str | None = None
    image_attributes: tuple[str, ...] = Field(
        default=("data-src", "data-original", "srcset", "src"), description="The first that is set holds the address."
    )


class Adapter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    base: str = Field(pattern=r"^https?://[^/]+", description="Scheme, host and port, e.g. `https://shop.example`.")
    base_setting: Literal["shop_base_url"] | None = Field(default=None, description="Setting that overrides `base`.")
    encoding: str = Field(default="auto", description="`auto`: header, then markup, then guess; or a codec's name.")
    currency: str = "KRW"
    requests_per_second: float = Field(default=2, gt=0, le=100)
    concurrency: int = Field(default=5, ge=1, le=20)
    search: SearchPage
    product: ProductPage

    def search_url(self, keyword: str) -> str:
        codec = None if self.encoding == "auto" else python_codec(self.encoding)
        query = urlencode({self.search.query: keyword, **self.search.parameters}, encoding=codec, errors="replace")
        return f"{urljoin(self.base.rstrip('/') + '/', self.search.path.lstrip('/'))}?{query}"


def load_adapters(settings: WorkerSettings) -> dict[str, Adapter]:
    """Adapters by name; one in the settings' folder replaces the packaged one of its name. Raises AdapterInvalid."""
    found = {}
    for folder in (PACKAGED, settings.adapters_dir):
        for path in sorted(folder.glob("*.toml")) if folder else ():
            adapter = read_adapter(path, path.stat().st_mtime_ns)
            address = getattr(settings, adapter.base_setting) if adapter.base_setting else None
            found[adapter.name] = adapter.model_copy(update={"base": address}) if address else adapter
    return found


@lru_cache(maxsize=128)
def read_adapter(path: Path, changed: int) -> Adapter:
    """The adapter of a file; `changed` is its time of change, so that an edited file is read again."""
    try:
        return Adapter.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise AdapterInvalid(f"{path.name}: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise AdapterInvalid(f"{path.name}: {wrong}") from error


def adapter_for(url: str, adapters: dict[str, Adapter]) -> Adapter | None:
    """The adapter whose base has the address's scheme, host and port."""
    wanted = origin(url)
    return next((adapter for adapter in adapters.values() if origin(adapter.base) == wanted), None)


def origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def python_codec(encoding: str) -> str:
    """Pages that call themselves EUC-KR hold characters of its superset, cp949."""
    return "cp949" if encoding.lower().replace("_", "-") in ("euc-kr", "ks-c-5601-1987", "ksc5601") else encoding


def parse_html(content: bytes, adapter: Adapter, charset: str | None) -> BeautifulSoup:
    """The page as lxml mends it; `charset` is what the answer's header says."""
    named = charset if adapter.encoding == "auto" else adapter.encoding
    return BeautifulSoup(content, "lxml", from_encoding=python_codec(named) if named else None)


def parse_search(page: BeautifulSoup, adapter: Adapter, url: str, limit: int) -> list[SearchResult]:
    """At most `limit` results in the page's order, each address once."""
    found: dict[str, SearchResult] = {}
    for item in page.select(adapter.search.item):
        link = item if item.name == "a" else item.select_one(adapter.search.link)
        href = attribute(link, "href")
        titled = item.select_one(adapter.search.title) if adapter.search.title else link
        title = text_of(titled) or attribute(link, "title")
        address = absolute(url, href)
        if address and title and len(found) < limit:
            found.setdefault(address, SearchResult(url=address, title=title))
    return list(found.values())


def parse_product(page: BeautifulSoup, adapter: Adapter, url: str) -> Product:
    """What the page says. Raises NotAProduct."""
    wanted = adapter.product
    name = first(page, wanted.name)
    if not name:
        raise NotAProduct(f"nothing at {wanted.name!r}")
    rating, reviews = parse_rating(first(page, wanted.rating))
    options = [text_of(option) for option in page.select(wanted.options)] if wanted.options else []
    return Product(
        url=url,
        name=name,
        price=parse_number(first(page, wanted.price)),
        currency=adapter.currency,
        options=list(dict.fromkeys(option for option in options if option))[:MAX_OPTIONS],
        material=first(page, wanted.material),
        rating=rating,
        review_count=parse_number(first(page, wanted.review_count)) if wanted.review_count else reviews,
        description=first(page, wanted.description),
        images=image_addresses(page, adapter, url),
    )


def image_addresses(page: BeautifulSoup, adapter: Adapter, url: str) -> list[str]:
    found = []
    for image in page.select(adapter.product.images) if adapter.product.images else ():
        for name in adapter.product.image_attributes:
            value = attribute(image, name)
            if name == "srcset" and value:
                value = largest(value)
            if value and (address := absolute(url, value)):  # a lazy image's `src` is often an inline blank
                found.append(address)
                break
    return list(dict.fromkeys(found))[:MAX_IMAGES]


def largest(srcset: str) -> str:
    """`a.png 1x, b.png 2x` → `b.png`; candidates without a size count as 1."""
    sizes = []
    for candidate in re.split(r",\s+|,(?=\S+\s)", srcset.strip()):
        address, _, size = candidate.strip().partition(" ")
        number = re.match(r"[\d.]+", size.strip())
        sizes.append((float(number[0]) if number else 1.0, address))
    return max(sizes, key=lambda pair: pair[0])[1]


def absolute(base: str, href: str | None) -> str | None:
    """The address without its fragment; None where it is none for HTTP."""
    try:
        parts = urlsplit(urljoin(base, (href or "").strip()))
    except ValueError:
        return None
    if not href or parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return urlunsplit(parts._replace(fragment=""))


def parse_number(text: str | None) -> int | None:
    """`판매가 12,900원` → 12900."""
    number = re.search(r"\d[\d,]*", text or "")
    return int(number[0].replace(",", "")) if number else None


def parse_rating(text: str | None) -> tuple[float | None, int | None]:
    """`4.6 / 5 (1,320)` → 4.6 and 1320."""
    rating = re.search(r"\d+(?:\.\d+)?", text or "")
    reviews = re.search(r"\(\s*([\d,]+)", text or "")
    return (
        float(rating[0]) if rating and float(rating[0]) <= 5 else None,
        int(reviews[1].replace(",", "")) if reviews and reviews[1].strip(",") else None,
    )


def first(page: BeautifulSoup, selector: str | None) -> str | None:
    return (text_of(page.select_one(selector)) or None) if selector else None


def text_of(tag: Tag | None) -> str:
    return " ".join(tag.get_text(" ").split())[:MAX_TEXT] if tag else ""


def attribute(tag: Tag | None, name: str) -> str | None:
    value = tag.get(name) if tag else None
    return value if isinstance(value, str) else None
