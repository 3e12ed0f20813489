"""`product.select`: the one product to write about: the one with most stored images, the first crawled among equals."""

from typing import Literal

from pydantic import Field

from worker_service import sdk
from worker_service.product import Product, StoredFile, UploadResult
from worker_service.sdk import Context, ErrorCode, TaskError, task_type


class Parameters(sdk.Parameters):
    crawled_products: list[Product] = Field(max_length=40)
    upload_results: list[UploadResult] = Field(default_factory=list, max_length=40)


class Output(sdk.Output):
    selected_product: Product
    images: list[StoredFile] = Field(description="The product's stored images.")
    image_count: int
    reason: Literal["most_images", "first_crawled"]


@task_type("product.select", parameters=Parameters, output=Output, errors=[ErrorCode("no_products")], timeout_s=30)
async def product_select(ctx: Context, p: Parameters) -> Output:
    if not p.crawled_products:
        raise TaskError("no_products", field="crawled_products")
    chosen = select(p.crawled_products, p.upload_results)
    ctx.log.info("product_selected", url=chosen.selected_product.url, reason=chosen.reason, images=chosen.image_count)
    return chosen


def select(products: list[Product], uploads: list[UploadResult]) -> Output:
    """`products` is not empty. `max` keeps the first among equals, which is the first crawled."""
    images = {upload.product_url: upload.images for upload in uploads}
    best = max(products, key=lambda product: len(images.get(product.url, [])))
    stored = images.get(best.url, [])
    return Output(
        selected_product=best,
        images=stored,
        image_count=len(stored),
        reason="most_images" if stored else "first_crawled",
    )
