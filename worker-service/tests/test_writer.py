"""The writers' pure part: facts in, checked HTML out."""

import pytest
from bs4 import BeautifulSoup

from worker_service.domain.figures import unsupported
from worker_service.domain.matching import analyse_korean
from worker_service.domain.retrieval import Chunk, Retrieved, SourceKind, chunks, most_relevant
from worker_service.domain.writer import (
    Facts,
    Image,
    Josa,
    plain_text,
    sanitise_article,
    sanitise_section,
    tags,
    write_extractive,
)
from worker_service.sdk import texts
from worker_service.tasks import article_generate


def say(code: str, **params: object) -> str:
    return texts(article_generate.__name__)[code]["ko"].format(**params)


FACTS = Facts(
    name="<한울> 접이식 캠핑 의자 2개입",
    url="http://127.0.0.1:9/products/1",
    price=39_000,
    rating=4.7,
    review_count=512,
    options=("카키 / 1인용", "베이지 & 2인용"),
    material="알루미늄 70%, 폴리에스터 30%",
    description="무게 2.4kg으로 들고 다니기 좋습니다.",
)
IMAGES = [Image(f"제품/{place} a.png", "접이식 캠핑 의자") for place in range(6)]
IMAGE_TEXT = Retrieved(Chunk(SourceKind.IMAGE_TEXT, "p/0.png", "이미지", "최대 하중 120kg <b>"), 0.5)
EARLIER = Retrieved(Chunk(SourceKind.EARLIER_ARTICLE, "/blog/posts/a.html", "지난 글", "캠핑 테이블"), 0.4)


def extractive(facts: Facts = FACTS, images: list[Image] = IMAGES) -> tuple[str, BeautifulSoup]:
    article = write_extractive(facts, "캠핑 의자", [IMAGE_TEXT, EARLIER], images, say)
    return article.title, BeautifulSoup(article.content, "lxml")


def test_an_extractive_article_states_the_facts_and_no_other_figure() -> None:
    title, page = extractive()
    text = f"{title} {page.get_text(' ')}"
    for fact in (
        "<한울> 접이식 캠핑 의자 2개입",
        "39,000원",
        "4.7점",
        "카키 / 1인용",
        "베이지 & 2인용",
        "120kg <b>",
        "2.4kg",
    ):
        assert fact in text
    assert unsupported(text, [*FACTS.statements(say), IMAGE_TEXT.chunk.text]) == []


def test_an_extractive_article_says_who_wrote_it_and_where_the_facts_come_from() -> None:
    _, page = extractive()
    footer = page.find("footer")
    assert footer is not None
    assert "writer: extractive" in footer.get_text()
    assert FACTS.url in str(footer)
    assert "지난 글" in page.get_text()


def test_an_article_places_at_most_four_images_with_a_description_each() -> None:
    _, page = extractive()
    shown = page.find_all("img")
    assert [image["src"] for image in shown] == [image.source for image in IMAGES[:4]]
    assert all(image["alt"] for image in shown)


def test_what_is_unknown_is_left_out_of_the_article() -> None:
    title, page = extractive(Facts(name="우산", url="http://127.0.0.1:9/2"), [])
    assert title == "우산 살펴보기"
    assert "가격" not in page.get_text()
    assert page.find("img") is None


def test_facts_survive_the_publishers_allow_list_unchanged() -> None:
    article = write_extractive(FACTS, "캠핑 의자", [IMAGE_TEXT, EARLIER], IMAGES, say)
    cleaned = sanitise_article(article.content)
    assert plain_text(cleaned) == plain_text(article.content)
    assert [image["src"] for image in BeautifulSoup(cleaned, "lxml").find_all("img")] == [i.source for i in IMAGES[:4]]


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '<p onclick="alert(1)">x</p>',
        '<a href="javascript:alert(1)">x</a>',
        "<iframe src='https://evil.example'></iframe>",
        "<p style='position:fixed'>x</p>",
        "<svg><script>alert(1)</script></svg>",
        '<img src="https://evil.example/pixel.png">',
    ],
)
def test_active_or_foreign_content_never_leaves_a_sanitiser(attack: str) -> None:
    for clean in (sanitise_section, sanitise_article):
        left = clean(f"<p>앞</p>{attack}<p>뒤</p>")
        assert "앞" in left
        assert "뒤" in left
        for sign in ("script", "onerror", "onclick", "javascript", "iframe", "style", "evil", "svg"):
            assert sign not in left


@pytest.mark.parametrize(
    ("word", "spec", "expected"),
    [
        ("텀블러", "을를", "텀블러를"),
        ("책", "을를", "책을"),
        ("의자 (대)", "은는", "의자 (대)는"),
        ("물티슈 10팩", "은는", "물티슈 10팩은"),
        ("충전기 65W", "이가", "충전기 65W가"),
        ("텀블러 500ml", "을를", "텀블러 500ml를"),
        ("꿀 600g", "은는", "꿀 600g은"),
        ("30%", "이가", "30%가"),
        ("!!", "이가", "!!가"),
        ("컵 3", "을를", "컵 3을"),
        ("연필", "으로로", "연필로"),
        ("가방", "으로로", "가방으로"),
        ("우산 L", "은는", "우산 L은"),
        ("텀블러", "", "텀블러"),
    ],
)
def test_particles_follow_the_sound_of_the_word(word: str, spec: str, expected: str) -> None:
    assert format(Josa(word), spec) == expected


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("가격은 39,000원입니다", []),
        ("가격은 3만 9천원입니다", []),
        ("삼만 구천 원에 만나 보세요", []),
        ("₩39,000", []),
        ("무게 2.40kg, 평점 4.7점", []),
        ("알루미늄 70퍼센트", []),
        ("가격은 29,000원입니다", ["29,000원"]),
        ("단돈 2만원", ["2만원"]),
        ("구천 원이면 삽니다", ["구천 원"]),
        ("가격은 70원입니다", ["70원"]),
        ("39% 할인", ["39%"]),
        ("리뷰 1,234개, 후기 512개", ["1,234"]),
        ("2만 9천 원에서 3만 9천 원으로", ["2만 9천 원"]),
        ("3만 원대 의자를 지원합니다", ["3만 원"]),
    ],
)
def test_a_figure_needs_a_source_of_its_own_measure(text: str, refused: list[str]) -> None:
    assert unsupported(text, FACTS.statements(say)) == refused


def test_chunks_keep_sentences_whole_and_say_where_they_come_from() -> None:
    text = "첫 문장입니다. 둘째 문장입니다.\n셋째 줄" + " 가" * 200
    cut = chunks(SourceKind.FACT, "x", "상품", text, longest=30)
    assert cut[0].text == "첫 문장입니다. 둘째 문장입니다."
    assert all(len(piece.text) <= 30 and piece.origin == "x" for piece in cut)
    assert "".join(piece.text for piece in cut).replace(" ", "") == text.replace(" ", "").replace("\n", "")


def test_the_lines_of_a_text_stay_lines() -> None:
    (piece,) = chunks(SourceKind.IMAGE_TEXT, "x", "이미지", "소재: 면\n\n크기: 5cm. 작다.")
    assert piece.text == "소재: 면\n크기: 5cm. 작다."


def test_an_earlier_article_about_something_else_is_not_recommended() -> None:
    far = Retrieved(Chunk(SourceKind.EARLIER_ARTICLE, "/blog/posts/b.html", "먼 글", "우산"), 0.01)
    article = write_extractive(FACTS, "캠핑 의자", [EARLIER, far], [], say)
    assert "지난 글" in article.content
    assert "먼 글" not in article.content


def test_the_most_relevant_chunks_come_first_and_equal_texts_once() -> None:
    def by_length(query: str, texts: object) -> list[float]:
        return [float(len(text)) for text in texts]  # type: ignore[attr-defined]

    found = [Chunk(SourceKind.FACT, "a", "", text) for text in ("짧다", "조금 더 길다", "조금 더 길다", "중간쯤")]
    assert [r.chunk.text for r in most_relevant("q", found, 2, by_length)] == ["조금 더 길다", "중간쯤"]


def test_tags_are_the_keyword_and_the_names_nouns_each_once() -> None:
    found = tags("캠핑 의자", FACTS, analyse_korean(FACTS.name))
    assert found[0] == "캠핑의자"
    assert {"캠핑", "의자"} <= set(found)
    assert len(found) == len(set(found)) <= 10
