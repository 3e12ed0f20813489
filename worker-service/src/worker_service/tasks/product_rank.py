"""`product.rank`: the ten products most worth reading. final = 0.4 match + 0.6 similarity; where nothing matched, the
search results are ranked by similarity alone and the output says so.
"""

from typing import Literal

from pydantic import Field

from worker_service.domain.matching import MatchKind
from worker_service.product import SearchResult
from worker_service.sdk import ErrorCode, Output, Parameters, ProcessContext, TaskError, task_type

MATCH_WEIGHT = 0.4
SIMILARITY_WEIGHT = 0.6
TOP = 10


class Matched(SearchResult):
    kind: MatchKind
    score: float = Field(ge=0, le=1)
    reason: str = ""


class RankParameters(Parameters):
    keyword: str = Field(min_length=1, max_length=200)
    matched_products: list[Matched] = Field(default=[], max_length=200)
    search_results: list[SearchResult] = Field(
        default=[], max_length=200, description="Ranked instead where matched_products is empty."
    )


class TopProduct(Output):
    rank: int
    url: str
    title: str
    match_score: float
    similarity: float
    final_score: float
    kind: MatchKind | None = Field(description="How it matched; null where the search results were ranked.")
    reason: str


class RankOutput(Output):
    keyword: str
    top_products: list[TopProduct]
    ranked_from: Literal["matched_products", "search_results"] = Field(
        description="`search_results` when no product matched: then match_score is 0."
    )


@task_type(
    "product.rank",
    parameters=RankParameters,
    output=RankOutput,
    errors=[ErrorCode("no_products")],
    isolation="process",
    timeout_s=120,
)
def product_rank(ctx: ProcessContext, p: RankParameters) -> RankOutput:
    """Blends how a product matched with how alike its title is."""
    from worker_service.domain.similarity import similarities

    matches = {entry.url: entry for entry in p.matched_products}
    candidates: list[SearchResult] = list(matches.values()) or list({e.url: e for e in p.search_results}.values())
    if not candidates:
        raise TaskError("no_products", keyword=p.keyword)
    alike = similarities(p.keyword, [entry.title for entry in candidates])
    scored = [_scored(entry, matches.get(entry.url), score) for entry, score in zip(candidates, alike, strict=True)]
    # equal scores keep the order in which the shop found them
    scored.sort(key=lambda product: -product.final_score)
    top = [product.model_copy(update={"rank": place}) for place, product in enumerate(scored[:TOP], start=1)]
    ctx.log.info("products_ranked", candidates=len(candidates), best=top[0].title, score=top[0].final_score)
    return RankOutput(
        keyword=p.keyword, top_products=top, ranked_from="matched_products" if matches else "search_results"
    )


def _scored(entry: SearchResult, match: Matched | None, similarity: float) -> TopProduct:
    match_score = match.score if match else 0.0
    final = MATCH_WEIGHT * match_score + SIMILARITY_WEIGHT * similarity
    return TopProduct(
        rank=0,
        url=entry.url,
        title=entry.title,
        match_score=match_score,
        similarity=similarity,
        final_score=round(final, 6),
        kind=match.kind if match else None,
        reason=f"{MATCH_WEIGHT} × {match_score:.2f} + {SIMILARITY_WEIGHT} × {similarity:.2f}"
        + (f" · {match.reason}" if match and match.reason else ""),
    )
