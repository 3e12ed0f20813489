"""`keyword.trend`: the keyword a run works on. The rule kept here: what was picked for a task run stays picked for it,
whatever is delivered again, and is remembered for the organisation in the same write.
"""

from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from worker_service.domain import trend
from worker_service.domain.trend import Pick, RankedKeyword, Rule
from worker_service.sdk import Context, ErrorCode, Output, Parameters, StateConflict, StateEntry, TaskError, task_type

# picks are remembered for this many task runs; a delivery comes again within hours
PICKS_KEPT = 1000
TRIES = 20


class TrendParameters(Parameters):
    source: Literal["list", "naver", "naver_store", "google_trends"] = "list"
    rule: Rule = Rule.FIRST_UNUSED
    seed: str | int | None = Field(
        default=None,
        description="For `random` and `weighted`: the same seed picks the same; the task run's id if absent.",
    )
    keyword: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)] | None = Field(
        default=None, description="A person's own keyword, taken as it is."
    )
    connection: str | None = Field(default=None, description="Name of the connection of a remote source.")


class TrendKeyword(Output):
    rank: int
    keyword: str
    weight: float


class TrendOutput(Output):
    keyword: str
    reused: bool = Field(description="Whether an earlier run of the organisation took this keyword.")
    source: str = Field(description="Where the ranking comes from.")
    chosen_by: str = Field(description="The rule, or `person` for a keyword that was given.")
    ranked_keywords: list[TrendKeyword]


@task_type(
    "keyword.trend",
    parameters=TrendParameters,
    output=TrendOutput,
    errors=[ErrorCode("source_not_configured"), ErrorCode("source_not_available"), ErrorCode("connection_missing")],
    timeout_s=60,
)
async def keyword_trend(ctx: Context, p: TrendParameters) -> TrendOutput:
    """Ranks the source's keywords and takes one of them, or the person's own."""
    if p.source != "list":
        if p.connection is None:
            raise TaskError("source_not_configured", field="source", source=p.source)
        await ctx.connection(p.connection)
        raise TaskError("source_not_available", field="source", source=p.source)
    ranked = embedded_keywords()
    pick = await _take(ctx, p, ranked)
    ctx.log.info("keyword_picked", keyword=pick.keyword, reused=pick.reused)
    return TrendOutput(
        keyword=pick.keyword,
        reused=pick.reused,
        source=p.source,
        chosen_by="person" if p.keyword else p.rule.value,
        ranked_keywords=[TrendKeyword(rank=entry.rank, keyword=entry.keyword, weight=entry.weight) for entry in ranked],
    )


def embedded_keywords() -> list[RankedKeyword]:
    """The ranking that ships with the worker, data/trend_keywords.txt: a keyword and its weight per line."""
    lines = files("worker_service").joinpath("data/trend_keywords.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("|") for line in lines if line and line[0] != "#")
    return trend.rank({keyword.strip(): float(weight) for keyword, weight in pairs})


async def _take(ctx: Context, p: TrendParameters, ranked: list[RankedKeyword]) -> Pick:
    """Picks, and remembers the pick under the task run's key, in one conditional write."""
    for _ in range(TRIES):
        entry = await ctx.state.get("keyword.trend", "used") or StateEntry({"count": 0, "last": {}, "picks": {}}, 0)
        memory: dict[str, Any] = entry.value
        if earlier := memory["picks"].get(ctx.idempotency_key):
            return Pick(earlier["keyword"], earlier["reused"])
        if p.keyword:
            pick = Pick(p.keyword, p.keyword in memory["last"])
        else:
            seed = ctx.idempotency_key if p.seed is None else str(p.seed)
            pick = trend.pick(ranked, memory["last"], p.rule, seed)
        try:
            await ctx.state.put(
                "keyword.trend", "used", _remembered(memory, ctx.idempotency_key, pick), version=entry.version
            )
        except StateConflict:
            continue  # another run picked meanwhile: look again at what is used
        return pick
    raise StateConflict


def _remembered(memory: dict[str, Any], key: str, pick: Pick) -> dict[str, Any]:
    count = memory["count"] + 1
    picks = {**memory["picks"], key: {"keyword": pick.keyword, "reused": pick.reused}}
    return {
        "count": count,
        "last": {**memory["last"], pick.keyword: count},
        "picks": dict(list(picks.items())[-PICKS_KEPT:]),
    }
