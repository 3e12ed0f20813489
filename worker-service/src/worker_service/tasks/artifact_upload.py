"""`artifact.upload`: the crawled products' facts and images, kept under the run: `products/<number>/…`.

An image that cannot be fetched is recorded with its product and fails nobody else. Stored twice, a file keeps its id.
"""

import asyncio

import httpx
from pydantic import BaseModel, Field

from worker_service import adapters, fetch, sdk
from worker_service.adapters import Adapter
from worker_service.product import Failure, Product, StoredFile, UploadResult
from worker_service.sdk import Artifact, Context, ErrorCode, TaskError, task_type

AT_ONCE = 5
SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif", "image/bmp": "bmp"}


class Parameters(sdk.Parameters):
    crawled_products: list[Product] = Field(max_length=40)
    keyword: str | None = Field(default=None, max_length=200, description="Kept with the products.")


class Summary(BaseModel):
    products: int
    images: int
    failed_images: int
    bytes: int


class Output(sdk.Output):
    upload_results: list[UploadResult]
    summary: Summary


class Record(BaseModel):
    """The file `product.json`."""

    keyword: str | None
    product: Product


@task_type(
    "artifact.upload",
    parameters=Parameters,
    output=Output,
    errors=[ErrorCode("no_products")],
    timeout_s=300,
)
async def artifact_upload(ctx: Context, p: Parameters) -> Output:
    if not p.crawled_products:
        raise TaskError("no_products", field="crawled_products")
    known = adapters.load_adapters(ctx.settings)
    free = asyncio.Semaphore(AT_ONCE)
    async with ctx.http() as http:
        results = await asyncio.gather(
            *(
                store_product(
                    ctx, http, free, f"products/{number:02}", product, p.keyword, adapter_of(product.url, known)
                )
                for number, product in enumerate(p.crawled_products, start=1)
            )
        )
    summary = Summary(
        products=len(results),
        images=sum(len(result.images) for result in results),
        failed_images=sum(len(result.failures) for result in results),
        bytes=sum(file.size for result in results for file in (result.product, *result.images)),
    )
    ctx.log.info("artifacts_stored", **summary.model_dump())
    return Output(upload_results=list(results), summary=summary)


async def store_product(
    ctx: Context,
    http: httpx.AsyncClient,
    free: asyncio.Semaphore,
    folder: str,
    product: Product,
    keyword: str | None,
    adapter: Adapter | None,
) -> UploadResult:
    async def store_image(number: int, url: str) -> StoredFile | Failure:
        async with free:
            try:
                page = await fetch.get(
                    http,
                    url,
                    per_second=adapter.requests_per_second if adapter else 2,
                    concurrency=adapter.concurrency if adapter else AT_ONCE,
                )
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                return Failure(url=url, code=fetch.failure_code(error))
            if page.content_type not in SUFFIXES or not page.content:
                return Failure(url=url, code="not_an_image")
            path = f"{folder}/image-{number}.{SUFFIXES[page.content_type]}"
            return stored(await ctx.artifacts.put(path, page.content, page.content_type), url)

    record = Record(keyword=keyword, product=product).model_dump_json(indent=2).encode()
    file = stored(await ctx.artifacts.put(f"{folder}/product.json", record, "application/json"))
    found = await asyncio.gather(*(store_image(number, url) for number, url in enumerate(product.images, start=1)))
    return UploadResult(
        product_url=product.url,
        product=file,
        images=[each for each in found if isinstance(each, StoredFile)],
        failures=[each for each in found if isinstance(each, Failure)],
    )


def stored(artifact: Artifact, source_url: str | None = None) -> StoredFile:
    return StoredFile(
        artifact_id=artifact.artifact_id,
        path=artifact.path,
        url=artifact.url,
        size=artifact.size,
        content_type=artifact.content_type,
        source_url=source_url,
    )


def adapter_of(url: str, known: dict[str, Adapter]) -> Adapter | None:
    try:
        return adapters.adapter_for(url, known)
    except ValueError:  # no address at all: its images are still tried, slowly
        return None
