"""`product.search`: a shop's results for a keyword. Nothing found is an error, never an empty success."""

import asyncio

import httpx
from pydantic import Field

from worker_service import adapters, fetch, sdk
from worker_service.adapters import Adapter
from worker_service.product import SearchResult
from worker_service.sdk import Context, ErrorCode, TaskError, task_type


class Parameters(sdk.Parameters):
    keyword: str = Field(min_length=1, max_length=200, description="What to search for.")
    site: str = Field(default="demo_shop", description="Name of the site adapter.")
    limit: int = Field(default=40, ge=1, le=40, description="Results at most.")


class Output(sdk.Output):
    search_results: list[SearchResult]
    site: str


@task_type(
    "product.search",
    parameters=Parameters,
    output=Output,
    errors=[
        ErrorCode("no_products"),
        ErrorCode("site_unknown"),
        ErrorCode("site_refused"),
        ErrorCode("site_unreachable", retryable=True),
    ],
    timeout_s=120,
)
async def product_search(ctx: Context, p: Parameters) -> Output:
    adapter = adapters.load_adapters(ctx.settings).get(p.site)
    if adapter is None:
        raise TaskError("site_unknown", field="site", site=p.site)
    found = await search(ctx, adapter, p)
    ctx.log.info("products_found", keyword=p.keyword, site=p.site, count=len(found))
    if not found:
        raise TaskError("no_products", keyword=p.keyword, site=adapter.title)
    return Output(search_results=found, site=p.site)


async def search(ctx: Context, adapter: Adapter, p: Parameters) -> list[SearchResult]:
    async with ctx.http() as http:
        try:
            page = await fetch.get(
                http,
                adapter.search_url(p.keyword),
                per_second=adapter.requests_per_second,
                concurrency=adapter.concurrency,
            )
        except fetch.AddressRefused as error:
            raise TaskError("site_refused", str(error), site=adapter.title) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            code = fetch.failure_code(error)
            raise TaskError("site_unreachable", code, site=adapter.title, reason=code) from error

    def parse() -> list[SearchResult]:
        return adapters.parse_search(
            adapters.parse_html(page.content, adapter, page.charset), adapter, page.url, p.limit
        )

    return await asyncio.to_thread(parse)  # a page of some megabytes takes longer than the loop may be held
