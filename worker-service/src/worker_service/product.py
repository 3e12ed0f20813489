"""A product as the tasks hand it to one another: what its page says, nothing inferred."""

from pydantic import BaseModel, ConfigDict, Field


class SearchResult(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str
    title: str


class Product(BaseModel):
    """What a page says of a product; null where it is silent."""

    model_config = ConfigDict(extra="forbid")

    url: str
    name: str
    price: int | None = Field(default=None, description="In whole units of the currency.")
    currency: str = "KRW"
    options: list[str] = Field(default_factory=list)
    material: str | None = None
    rating: float | None = Field(default=None, description="Out of 5.")
    review_count: int | None = None
    description: str | None = None
    images: list[str] = Field(default_factory=list, description="Addresses, in the page's order.")


class Failure(BaseModel):
    """One address that could not be used, and why: `http_404`, `timeout`, `address_refused`, `not_a_product` …"""

    model_config = ConfigDict(extra="forbid")

    url: str
    code: str


class StoredFile(BaseModel):
    """A file in the artifact store; `source_url` is where an image came from."""

    model_config = ConfigDict(extra="forbid")

    artifact_id: str
    path: str
    url: str
    size: int
    content_type: str
    source_url: str | None = None


class UploadResult(BaseModel):
    """What was stored of one product."""

    model_config = ConfigDict(extra="forbid")

    product_url: str
    product: StoredFile
    images: list[StoredFile] = Field(default_factory=list)
    failures: list[Failure] = Field(default_factory=list)
