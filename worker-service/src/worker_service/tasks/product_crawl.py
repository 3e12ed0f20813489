"""`product.crawl`: each product page read by its site's adapter. A failing page is recorded and fails nobody else."""

import asyncio
from collections.abc import Callable

import httpx
from pydantic import BaseModel, Field

from worker_service import adapters, fetch, sdk
from worker_service.adapters import Adapter, NotAProduct
from worker_service.product import Failure, Product
from worker_service.sdk import Context, ErrorCode, TaskError, task_type

AT_ONCE = 5
PERMANENT = ("address_refused", "bad_address", "not_a_product", "site_unknown", "http_404", "http_410")


class Parameters(sdk.Parameters):
    urls: list[str] = Field(min_length=1, max_length=40, description="Product pages; the same one twice is read once.")


class Counts(BaseModel):
    requested: int
    crawled: int
    failed: int


class Output(sdk.Output):
    crawled_products: list[Product]
    failures: list[Failure]
    counts: Counts


@task_type(
    "product.crawl",
    parameters=Parameters,
    output=Output,
    errors=[ErrorCode("crawl_failed", retryable=True)],
    timeout_s=300,
)
async def product_crawl(ctx: Context, p: Parameters) -> Output:
    known = adapters.load_adapters(ctx.settings)
    urls = list(dict.fromkeys(p.urls))
    free = asyncio.Semaphore(AT_ONCE)
    async with ctx.http() as http:

        async def visit(url: str) -> Product | Failure:
            async with free:
                found = await crawl_page(http, url, adapters.adapter_for(url, known) if is_address(url) else None)
                ctx.log.info("page_crawled", url=url, result=found.code if isinstance(found, Failure) else "ok")
                return found

        visited = await asyncio.gather(*(visit(url) for url in urls))
    products = [found for found in visited if isinstance(found, Product)]
    failures = [found for found in visited if isinstance(found, Failure)]
    if not products:
        codes = sorted({failure.code for failure in failures})
        hopeless = all(code in PERMANENT for code in codes)
        raise TaskError(
            "crawl_failed", ", ".join(codes), retryable=not hopeless, count=len(urls), reasons=", ".join(codes)
        )
    counts = Counts(requested=len(urls), crawled=len(products), failed=len(failures))
    return Output(crawled_products=products, failures=failures, counts=counts)


async def crawl_page(http: httpx.AsyncClient, url: str, adapter: Adapter | None) -> Product | Failure:
    """The product at `url`, or why there is none; never raises for what a site or its page does."""
    if adapter is None:
        return Failure(url=url, code="site_unknown")
    try:
        page = await fetch.get(http, url, per_second=adapter.requests_per_second, concurrency=adapter.concurrency)
        return await asyncio.to_thread(reading(page, adapter, url))
    except NotAProduct:
        return Failure(url=url, code="not_a_product")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Failure(url=url, code=fetch.failure_code(error))


def reading(page: fetch.Page, adapter: Adapter, url: str) -> Callable[[], Product]:
    def read() -> Product:
        parsed = adapters.parse_html(page.content, adapter, page.charset)
        product = adapters.parse_product(parsed, adapter, page.url)
        return product.model_copy(update={"url": url})  # the address that was asked for, as search and rank know it

    return read


def is_address(url: str) -> bool:
    """Whether urllib and httpx can take it apart."""
    try:
        adapters.origin(url)
        return bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL):
        return False
