"""article.generate: its extractive writer, and a language model behind a real HTTP server that speaks OpenAI's API."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from bs4 import BeautifulSoup
from pydantic import SecretStr

from worker_service.product import Product
from worker_service.sdk import ProcessContext, TaskError, TaskIds, TaskLog, load
from worker_service.settings import WorkerSettings
from worker_service.tasks.article_generate import (
    GenerateOutput,
    GenerateParameters,
    ImageText,
    StoredImage,
    article_generate,
)

KEY = "sk-test-4711-secret"
PRODUCT = Product(
    url="http://127.0.0.1:9/products/p0172",
    name="접이식 경량 캠핑 의자",
    price=52_200,
    options=["카키", "샌드"],
    material="알루미늄, 폴리에스터",
    rating=4.6,
    review_count=318,
    description="들고 다니기 좋은 의자입니다.",
)
GOOD: dict[str, Any] = {
    "title": "접이식 경량 캠핑 의자 52,200원",
    "sections": [{"heading": "가격", "html": "<p>가격은 5만 2,200원이고 평점은 4.6점입니다.</p>"}],
    "tags": ["캠핑 의자", "#경량"],
}
INVENTED = {**GOOD, "sections": [{"heading": "가격", "html": "<p>지금 39,900원에 살 수 있습니다.</p>"}]}


class Model:
    """A server that answers chat completions with what it was given, in order, and keeps what it was asked."""

    def __init__(self, answers: list[tuple[int, Any]]) -> None:
        self.answers = answers
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                model.asked.append({"path": self.path, **json.loads(body)})
                model.keys.append(self.headers["Authorization"])
                status, answer = model.answers[min(len(model.asked), len(model.answers)) - 1]
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def completion(content: Any, finish_reason: str = "stop") -> tuple[int, dict[str, Any]]:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text}}
    return 200, {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


@pytest.fixture
def serve() -> Iterator[Any]:
    models: list[Model] = []

    def start(*answers: tuple[int, Any]) -> Model:
        models.append(Model(list(answers)))
        return models[-1]

    yield start
    for model in models:
        model.close()


def context(settings: WorkerSettings, earlier: list[dict[str, str]] | None = None) -> ProcessContext:
    def ask(wish: str, arguments: dict[str, Any], content: bytes) -> tuple[Any, bytes]:
        assert (wish, arguments["namespace"]) == ("state.get", "article.publish")
        return ({"value": earlier, "version": 1} if earlier else None), b""

    ids = TaskIds("tr1", "r1", "o1", "w1", "generate", 1, "0" * 32)
    return ProcessContext(ids, settings, TaskLog(lambda level, event, fields: None), ask)


def with_model(address: str) -> WorkerSettings:
    return WorkerSettings(llm_api_key=SecretStr(KEY), llm_base_url=address, llm_model="tiny-korean")


def parameters(**changed: Any) -> GenerateParameters:
    images = [StoredImage(artifact_id=f"artifact{place}") for place in range(5)]
    read = [
        ImageText(text="최대 하중 120kg까지 견딥니다"),
        ImageText(text=None),
        ImageText(text="Fold", translation="접기"),
    ]
    return GenerateParameters(
        **{"keyword": "캠핑 의자", "selected_product": PRODUCT, "images": images, "image_texts": read, **changed}
    )


def failure(settings: WorkerSettings, **changed: Any) -> TaskError:
    with pytest.raises(TaskError) as caught:
        article_generate(context(settings), parameters(**changed))
    return caught.value


def retryable(error: TaskError) -> bool:
    return load("worker_service.tasks.article_generate", "article.generate").retryable(error.code)


def text_of(output: GenerateOutput) -> str:
    return BeautifulSoup(output.content, "lxml").get_text(" ")


def test_without_a_key_the_article_holds_the_products_own_facts_and_says_so() -> None:
    output = article_generate(context(WorkerSettings()), parameters())
    assert (output.writer, output.model) == ("extractive", None)
    text = text_of(output)
    for fact in (
        "52,200원",
        "4.6점",
        "318개",
        "카키",
        "샌드",
        "알루미늄, 폴리에스터",
        "120kg",
        "접기",
        "writer: extractive",
    ):
        assert fact in text
    assert output.title == "접이식 경량 캠핑 의자 가격과 옵션 정리"
    assert output.content.count("<img") == 4
    assert output.tags[:2] == ["캠핑의자", "경량"] or output.tags[0] == "캠핑의자"
    assert {source.kind for source in output.sources} == {"fact", "image_text"}


def test_an_article_can_be_written_in_english() -> None:
    output = article_generate(context(WorkerSettings()), parameters(language="en"))
    assert "52,200 won" in text_of(output)


def test_earlier_articles_are_retrieved_and_linked() -> None:
    address = "http://127.0.0.1:9/blog/posts/a.html"
    earlier = [{"post_url": address, "title": "캠핑 의자 모음", "text": "캠핑 의자를 모았습니다."}]
    output = article_generate(context(WorkerSettings(), earlier), parameters())
    assert "earlier_article" in {source.kind for source in output.sources}
    assert f'href="{address}"' in output.content


def test_a_language_model_writes_when_a_key_is_configured(serve: Any) -> None:
    model = serve(completion(GOOD))
    output = article_generate(context(with_model(model.address)), parameters())
    assert (output.writer, output.model) == ("llm", "tiny-korean")
    assert output.title == GOOD["title"]
    assert "writer: llm" in text_of(output)
    assert output.content.count("<img") == 4
    assert output.tags[:3] == ["캠핑의자", "경량", "접이식"]
    (asked,) = model.asked
    assert asked["path"] == "/v1/chat/completions"
    assert asked["model"] == "tiny-korean"
    assert asked["response_format"]["type"] == "json_schema"
    assert model.keys == [f"Bearer {KEY}"]
    prompt = asked["messages"][1]["content"]
    for fact in ("52,200원", "카키", "120kg"):
        assert fact in prompt


def test_an_invented_price_is_refused_after_one_repair_and_nothing_else_is_written_instead(serve: Any) -> None:
    model = serve(completion(INVENTED), completion(INVENTED), completion(GOOD))
    error = failure(with_model(model.address))
    assert (error.code, retryable(error)) == ("unsupported_figure", False)
    assert "39,900원" in error.params["figures"]
    assert len(model.asked) == 2


def test_a_repaired_answer_is_taken(serve: Any) -> None:
    model = serve(completion(INVENTED), completion(GOOD))
    output = article_generate(context(with_model(model.address)), parameters())
    assert output.writer == "llm"
    assert "39,900" not in output.content
    assert "39,900원" in model.asked[1]["messages"][-1]["content"]


def test_figures_in_the_title_a_heading_and_the_tags_are_checked_too(serve: Any) -> None:
    heading = [{**GOOD["sections"][0], "heading": "70% 할인"}]
    for wrong in ({**GOOD, "title": "단돈 1만원"}, {**GOOD, "sections": heading}, {**GOOD, "tags": ["9900원"]}):
        assert failure(with_model(serve(completion(wrong)).address)).code == "unsupported_figure"


def test_a_figure_of_an_earlier_article_supports_nothing(serve: Any) -> None:
    earlier = [{"post_url": "/blog/a", "title": "캠핑 의자", "text": "캠핑 의자 39,900원"}]
    model = serve(completion(INVENTED))
    with pytest.raises(TaskError, match="unsupported_figure"):
        article_generate(context(with_model(model.address), earlier), parameters())


def test_markup_of_a_language_model_is_reduced_to_text_markup(serve: Any) -> None:
    body = '<p onclick="x()">가볍습니다.<script>alert(1)</script><img src=x onerror=y><a href="//evil">링크</a></p>'
    wrong = {**GOOD, "sections": [{"heading": "<script>z</script>", "html": body}]}
    output = article_generate(context(with_model(serve(completion(wrong)).address)), parameters(images=[]))
    page = BeautifulSoup(output.content, "lxml")
    assert page.find(["script", "img"]) is None
    assert "evil" not in output.content
    assert "onclick" not in output.content


@pytest.mark.parametrize(
    "answer",
    [
        completion("이것은 JSON이 아닙니다"),
        completion({"title": "x"}),
        completion({**GOOD, "sections": []}),
        completion({**GOOD, "sections": [{"heading": "빈 절", "html": "<script>1</script>"}]}),
    ],
)
def test_an_answer_that_is_no_article_is_asked_for_once_more_then_fails(serve: Any, answer: tuple[int, Any]) -> None:
    model = serve(answer)
    error = failure(with_model(model.address))
    assert (error.code, retryable(error), len(model.asked)) == ("llm_answer_unusable", True, 2)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (completion("", "length"), "length"),
        ((200, {"id": "c", "object": "chat.completion", "choices": []}), "no choice"),
    ],
)
def test_an_empty_completion_is_an_error_of_its_own(serve: Any, answer: tuple[int, Any], reason: str) -> None:
    error = failure(with_model(serve(answer).address))
    assert (error.code, error.params["reason"]) == ("llm_answer_unusable", reason)


@pytest.mark.parametrize(
    ("status", "code", "again"),
    [
        (429, "llm_unavailable", True),
        (500, "llm_unavailable", True),
        (503, "llm_unavailable", True),
        (401, "llm_unauthorised", False),
        (403, "llm_unauthorised", False),
        (400, "llm_refused", False),
        (404, "llm_refused", False),
    ],
)
def test_a_servers_refusal_is_classed_by_its_status_and_asked_once(
    serve: Any, status: int, code: str, again: bool
) -> None:
    model = serve((status, {"error": {"message": f"wrong key {KEY}", "type": "x"}}))
    error = failure(with_model(model.address))
    assert (error.code, retryable(error), len(model.asked)) == (code, again, 1)
    assert KEY not in f"{error} {error.params} {error.detail} {error.__cause__}"


def test_a_server_that_is_not_there_is_retryable() -> None:
    model = Model([])
    model.close()
    error = failure(with_model(model.address))
    assert (error.code, retryable(error)) == ("llm_unavailable", True)


def test_asking_for_a_model_without_a_key_fails_and_does_not_fall_back() -> None:
    assert failure(WorkerSettings(), writer="llm").code == "llm_not_configured"


def test_the_extractive_writer_can_be_chosen_though_a_key_is_configured(serve: Any) -> None:
    model = serve(completion(GOOD))
    assert article_generate(context(with_model(model.address)), parameters(writer="extractive")).writer == "extractive"
    assert model.asked == []
