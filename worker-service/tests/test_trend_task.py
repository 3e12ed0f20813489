"""keyword.trend, product.match and product.rank as tasks: parameters in, output out, state under compare-and-set."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from worker_service.product import SearchResult
from worker_service.sdk import Context, ProcessContext, StateConflict, TaskError, TaskIds, TaskLog, load
from worker_service.settings import WorkerSettings
from worker_service.tasks.keyword_trend import TrendOutput, TrendParameters, embedded_keywords, keyword_trend
from worker_service.tasks.product_match import MatchOutput, MatchParameters, product_match
from worker_service.tasks.product_rank import Matched, RankParameters, product_rank

PRODUCTS = Path(__file__).parents[2] / "demo-shop" / "src" / "demo_shop" / "products.json"

pytestmark = pytest.mark.anyio


class Worker:
    """What a worker answers a task that asks for its organisation's state or a connection."""

    def __init__(self) -> None:
        self.state: dict[str, tuple[Any, int]] = {}
        self.before_put: Callable[[], Awaitable[object]] | None = None

    async def trend(self, key: str, organization: str = "o1", **given: Any) -> TrendOutput:
        async def ask(wish: str, arguments: dict[str, Any], content: bytes) -> tuple[Any, bytes]:
            value, version = self.state.get(organization, (None, 0))
            match wish:
                case "state.get":
                    return ({"value": value, "version": version} if version else None), b""
                case "state.put":
                    if self.before_put:
                        rival, self.before_put = self.before_put, None
                        await rival()
                    if self.state.get(organization, (None, 0))[1] != arguments["version"]:
                        raise StateConflict
                    # as stored: through JSON
                    self.state[organization] = (json.loads(json.dumps(arguments["value"])), arguments["version"] + 1)
                    return arguments["version"] + 1, b""
                case _:
                    if arguments["name"] != "데이터랩":
                        raise TaskError("connection_missing")
                    return {"name": "데이터랩", "kind": "naver", "settings": {}, "credentials": {}}, b""

        ids = TaskIds(key, "r1", organization, "w1", "keyword", 1, "0" * 32)
        context = Context(ids, WorkerSettings(), TaskLog(lambda level, event, fields: None), ask)
        return await keyword_trend(context, TrendParameters(**given))


def process_context() -> ProcessContext:
    def ask(wish: str, arguments: dict[str, Any], content: bytes) -> tuple[Any, bytes]:
        raise AssertionError(f"nothing should be asked: {wish}")

    ids = TaskIds("tr1", "r1", "o1", "w1", "k", 1, "0" * 32)
    return ProcessContext(ids, WorkerSettings(), TaskLog(lambda level, event, fields: None), ask)


def results(*titles: str) -> list[SearchResult]:
    return [SearchResult(url=f"http://127.0.0.1:9/{place}", title=title) for place, title in enumerate(titles)]


async def test_runs_take_one_keyword_after_another_and_start_again_with_the_oldest() -> None:
    worker = Worker()
    ranked = [entry.keyword for entry in embedded_keywords()]
    taken = [await worker.trend(f"tr{number}") for number in range(len(ranked) + 2)]
    assert [output.keyword for output in taken] == [*ranked, ranked[0], ranked[1]]
    assert [output.reused for output in taken] == [False] * len(ranked) + [True, True]
    assert [entry.keyword for entry in taken[0].ranked_keywords] == ranked


@pytest.mark.parametrize("rule", ["first_unused", "random", "weighted"])
async def test_a_second_delivery_takes_the_same_keyword_and_uses_nothing_up(rule: str) -> None:
    worker = Worker()
    first = await worker.trend("tr1", rule=rule)
    other = await worker.trend("tr2", rule=rule)
    assert await worker.trend("tr1", rule=rule) == first
    assert other.keyword != first.keyword
    assert (await worker.trend("tr2", rule=rule)) == other


async def test_organisations_do_not_use_up_each_others_keywords() -> None:
    worker = Worker()
    first = await worker.trend("tr1", "o1")
    assert (await worker.trend("tr2", "o2")).keyword == first.keyword


async def test_a_seed_makes_chance_repeatable() -> None:
    assert (await Worker().trend("tr1", rule="random", seed=7)).keyword == (
        await Worker().trend("tr2", rule="random", seed="7")
    ).keyword


async def test_a_persons_own_keyword_is_taken_and_remembered_beside_the_ranking() -> None:
    worker = Worker()
    output = await worker.trend("tr1", keyword="  캠핑 의자 ")
    assert (output.keyword, output.reused, output.chosen_by) == ("캠핑 의자", False, "person")
    assert len(output.ranked_keywords) >= 60
    assert (await worker.trend("tr2", keyword="캠핑 의자")).reused is True
    assert "캠핑 의자" not in [(await worker.trend(f"tr{place}")).keyword for place in range(3, 10)]


async def test_two_runs_that_pick_at_once_take_different_keywords() -> None:
    worker = Worker()
    rival: list[TrendOutput] = []

    async def picks_first() -> None:
        rival.append(await worker.trend("tr2"))

    worker.before_put = picks_first
    mine = await worker.trend("tr1")
    assert mine.keyword != rival[0].keyword


@pytest.mark.parametrize("source", ["naver", "naver_store", "google_trends"])
async def test_a_source_without_a_connection_fails_even_with_an_own_keyword(source: str) -> None:
    worker = Worker()
    for given in ({}, {"keyword": "우산"}):
        with pytest.raises(TaskError, match="source_not_configured") as caught:
            await worker.trend("tr1", source=source, **given)
        assert (caught.value.field, caught.value.params) == ("source", {"source": source})
    with pytest.raises(TaskError, match="connection_missing"):
        await worker.trend("tr1", source=source, connection="없음")
    with pytest.raises(TaskError, match="source_not_available"):
        await worker.trend("tr1", source=source, connection="데이터랩")
    assert worker.state == {}


def test_every_embedded_keyword_has_products_in_the_demo_shop() -> None:
    products = json.loads(PRODUCTS.read_text(encoding="utf-8"))
    known = [" ".join([product["name"], *product["tags"]]) for product in products]
    for entry in embedded_keywords():
        assert any(all(word in text for word in entry.keyword.split()) for text in known), entry.keyword
    assert len(embedded_keywords()) >= 60


def test_matching_tells_kind_score_and_reason_best_first() -> None:
    found = results("우산", "접이식 경량 캠핑 의자", "등받이 높은 릴렉스 의자", "의자 커버, 캠핑용")
    output = product_match(process_context(), MatchParameters(keyword="캠핑의자", search_results=found))
    assert isinstance(output, MatchOutput)
    assert output.searched == 4
    assert [(entry.title, entry.kind, entry.score, entry.reason) for entry in output.matched_products] == [
        ("접이식 경량 캠핑 의자", "exact", 1.0, "exact 1/1: 캠핑의자"),
        ("의자 커버, 캠핑용", "morpheme", 1.0, "morpheme 2/2: 캠핑, 의자"),
        ("등받이 높은 릴렉스 의자", "morpheme", 0.5, "morpheme 1/2: 의자"),
    ]


def test_matching_nothing_is_an_empty_list_and_a_keyword_without_words_an_error() -> None:
    output = product_match(process_context(), MatchParameters(keyword="캠핑의자", search_results=results("우산")))
    assert output.matched_products == []
    with pytest.raises(TaskError, match="keyword_empty"):
        product_match(process_context(), MatchParameters(keyword="!!", search_results=[]))


def test_the_final_score_is_four_tenths_match_and_six_tenths_similarity() -> None:
    titles = ["등받이 높은 릴렉스 의자", "캠핑 의자"]
    matched = [
        Matched(url=entry.url, title=entry.title, kind="morpheme", score=score, reason="r")
        for entry, score in zip(results(*titles), [0.5, 1.0], strict=True)
    ]
    output = product_rank(process_context(), RankParameters(keyword="캠핑 의자", matched_products=matched))
    assert output.ranked_from == "matched_products"
    assert [(entry.rank, entry.title) for entry in output.top_products] == [(1, titles[1]), (2, titles[0])]
    for entry in output.top_products:
        assert entry.final_score == pytest.approx(0.4 * entry.match_score + 0.6 * entry.similarity, abs=1e-6)
    assert output.top_products[0].final_score == pytest.approx(1.0, abs=1e-4)


def test_when_nothing_matched_the_search_results_are_ranked_and_that_is_said() -> None:
    found = results("접시", *[f"보온 텀블러 {size}" for size in range(12)])
    output = product_rank(process_context(), RankParameters(keyword="보온병", search_results=found))
    assert output.ranked_from == "search_results"
    assert len(output.top_products) == 10
    assert all(entry.kind is None and entry.match_score == 0 for entry in output.top_products)
    assert "접시" not in [entry.title for entry in output.top_products]


def test_nothing_to_rank_is_an_error() -> None:
    with pytest.raises(TaskError, match="no_products"):
        product_rank(process_context(), RankParameters(keyword="우산"))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keyword_trend", "keyword.trend"),
        ("product_match", "product.match"),
        ("product_rank", "product.rank"),
        ("article_generate", "article.generate"),
        ("article_publish", "article.publish"),
    ],
)
def test_every_type_and_error_has_a_text_in_both_languages(module: str, name: str) -> None:
    found = load(f"worker_service.tasks.{module}", name)
    for language in ("ko", "en"):
        assert found.title(language) != name
        for error in found.errors:
            if error.code not in ("connection_missing", "artifact_missing"):  # the worker's own
                assert found.text(error.code, language)
    assert found.parameters_schema["additionalProperties"] is False
    assert found.output_schema["type"] == "object"
