"""`product.match`: which of the found products speak of the keyword, and why. A product without a match is left out."""

from pydantic import Field

from worker_service.domain.matching import Match, MatchKind, analyse_korean, match, words
from worker_service.product import SearchResult
from worker_service.sdk import ErrorCode, Output, Parameters, ProcessContext, TaskError, task_type


class MatchParameters(Parameters):
    keyword: str = Field(min_length=1, max_length=200)
    search_results: list[SearchResult] = Field(max_length=200)


class MatchedProduct(Output):
    url: str
    title: str
    kind: MatchKind
    score: float = Field(ge=0, le=1)
    reason: str = Field(description="The pieces of the keyword that were found, of how many.")


class MatchOutput(Output):
    keyword: str
    matched_products: list[MatchedProduct] = Field(description="Best first; empty when nothing matches.")
    searched: int


@task_type(
    "product.match",
    parameters=MatchParameters,
    output=MatchOutput,
    errors=[ErrorCode("keyword_empty")],
    isolation="process",
    timeout_s=120,
)
def product_match(ctx: ProcessContext, p: MatchParameters) -> MatchOutput:
    """Matches each title exactly, else by morphemes, else by tokens."""
    if not words(p.keyword):
        raise TaskError("keyword_empty", field="keyword")
    found = [(entry, match(p.keyword, entry.title, analyse_korean)) for entry in p.search_results]
    matched = [
        MatchedProduct(url=entry.url, title=entry.title, kind=hit.kind, score=hit.score, reason=_reason(hit))
        for entry, hit in found
        if hit is not None
    ]
    matched.sort(key=lambda product: -product.score)
    ctx.log.info("products_matched", matched=len(matched), of=len(found))
    return MatchOutput(keyword=p.keyword, matched_products=matched, searched=len(found))


def _reason(hit: Match) -> str:
    return f"{hit.kind} {len(hit.found)}/{len(hit.sought)}: {', '.join(hit.found)}"
