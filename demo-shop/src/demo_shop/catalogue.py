"""The shop's range as the data file tells it now: the file is read again when it has changed on disk.

A file that cannot be read as a range (somebody is still writing it) leaves the former range standing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

PACKAGED = Path(__file__).parent / "products.json"
PAGE_SIZE = 60


@dataclass(frozen=True, slots=True)
class DetailImage:
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """One thing on sale; `price` in won, `rating` out of 5."""

    id: str
    category: str
    name: str
    tags: tuple[str, ...]
    price: int
    options: tuple[str, ...]
    material: str
    origin: str
    maker: str
    rating: float
    reviews: int
    description: str
    images: tuple[DetailImage, ...]


def parse(text: bytes) -> dict[str, Product]:
    """The products of a data file by id. Raises ValueError, KeyError or TypeError where the file is no range."""
    products = {}
    for row in orjson.loads(text):
        fields: dict[str, Any] = {
            **row,
            "tags": tuple(row["tags"]),
            "options": tuple(row["options"]),
            "images": tuple(DetailImage(image["title"], tuple(image["lines"])) for image in row["images"]),
        }
        products[row["id"]] = Product(**fields)
    return products


class Catalogue:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = (0, 0)
        self._products: dict[str, Product] = {}

    def products(self) -> dict[str, Product]:
        """By id, in the data file's order. Raises OSError or ValueError when there was never a readable file."""
        stat = self._path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            try:
                self._products = parse(self._path.read_bytes())
                self._stamp = stamp
            except (ValueError, KeyError, TypeError) as error:
                if not self._products:
                    raise ValueError(f"{self._path} holds no range of products") from error
        return self._products

    def search(self, query: str) -> list[Product]:
        """Products of which a word of the query is part of the name, the category or a tag; best first."""
        words = query.lower().split()
        scored = [(_score(product, query.lower().strip(), words), product) for product in self.products().values()]
        return [product for score, product in sorted(scored, key=lambda pair: -pair[0]) if score]


def _score(product: Product, query: str, words: list[str]) -> int:
    """0 where nothing fits; a fitting word counts more in the name than elsewhere, the whole query most."""
    name = product.name.lower()
    score = 0
    for word in words:
        if word in name:
            score += 3
        elif any(word in text for text in (product.category, *product.tags)):
            score += 2
        elif any(len(tag) > 1 and tag in word for tag in product.tags):
            score += 1  # "사무실텀블러" still finds what is tagged "텀블러"
    return score + 10 if query and query in name else score
