"""`csv.fetch`: fetches a CSV over HTTP and hands the wanted columns on, row by row.

`{"url": "https://example.com/prices.csv", "columns": ["name", "price"]}`. An async function: it waits for the network,
on the loop that it shares with other tasks.
"""

import csv
import io
from typing import Annotated

import httpx
from pydantic import Field

from worker_service import sdk
from worker_service.sdk import Context, ErrorCode, TaskError, task_type

BYTES_MOST = 2_000_000


class Parameters(sdk.Parameters):
    url: Annotated[str, Field(pattern=r"^https?://", max_length=2_000)]
    columns: Annotated[list[str], Field(max_length=50)] = Field(default=[], description="All of them when empty.")
    rows: Annotated[int, Field(ge=1, le=1_000)] = Field(default=100, description="At most so many.")


class Output(sdk.Output):
    columns: list[str]
    rows: list[dict[str, str]]
    more: bool = Field(description="Whether there were more rows than were asked for.")


@task_type(
    "csv.fetch",
    parameters=Parameters,
    output=Output,
    errors=[
        ErrorCode("csv_unreachable", retryable=True),
        ErrorCode("csv_refused"),
        ErrorCode("csv_too_large"),
        ErrorCode("csv_column_missing"),
    ],
    timeout_s=60,
)
async def fetch(ctx: Context, p: Parameters) -> Output:
    content = await _download(ctx, p.url)
    ctx.log.info("csv_fetched", url=p.url, bytes=len(content))
    return pick(content.decode("utf-8-sig", "replace"), p)


async def _download(ctx: Context, url: str) -> bytes:
    parts = bytearray()
    try:
        # reaches public addresses and the installation's allowed hosts only, redirects included
        async with ctx.http() as client, client.stream("GET", url) as response:
            if response.status_code != 200:
                # 429 and 5xx may be better next time
                again = response.status_code == 429 or response.status_code >= 500
                raise TaskError("csv_refused", retryable=again, field="url", status=response.status_code)
            size = int(response.headers.get("content-length", 0))
            async for part in response.aiter_bytes():
                parts += part
                if len(parts) > BYTES_MOST:
                    raise TaskError("csv_too_large", field="url", limit=BYTES_MOST)
                if size:
                    ctx.progress(min(len(parts) / size, 1.0), "download")
    except httpx.HTTPError as error:
        raise TaskError("csv_unreachable", str(error), field="url", url=url) from error
    return bytes(parts)


def pick(text: str, p: Parameters) -> Output:
    """The wanted columns of at most the wanted rows."""
    reader = csv.DictReader(io.StringIO(text))
    known = list(reader.fieldnames or [])
    columns = p.columns or known
    for column in columns:
        if column not in known:
            raise TaskError("csv_column_missing", field="columns", column=column, known=", ".join(known))
    found: list[dict[str, str]] = []
    for row in reader:
        if len(found) == p.rows:
            return Output(columns=columns, rows=found, more=True)
        found.append({column: row[column] or "" for column in columns})
    return Output(columns=columns, rows=found, more=False)
