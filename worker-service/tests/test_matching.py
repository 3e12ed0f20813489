import pytest

from worker_service.domain.matching import MatchKind, analyse_korean, match, words


def kind_of(keyword: str, title: str) -> MatchKind | None:
    found = match(keyword, title, analyse_korean)
    return found.kind if found else None


@pytest.mark.parametrize(
    ("keyword", "title"),
    [
        ("무선이어폰", "소리결 무선 이어폰 화이트"),
        ("무선 이어폰", "초경량 무선이어폰 추천"),
        ("이어폰", "블루투스이어폰 2세대"),
        ("LG노트북", "LG 노트북 14인치"),
        ("컵", "유리 컵 세트"),
        ("무선이어폰", "무선이어폰"),
    ],
)
def test_a_title_that_holds_the_keyword_matches_exactly_whatever_its_spacing(keyword: str, title: str) -> None:
    found = match(keyword, title, analyse_korean)
    assert found is not None
    assert (found.kind, found.score) == (MatchKind.EXACT, 1.0)


@pytest.mark.parametrize(
    ("keyword", "title"),
    [("가방", "저가 방수 커버"), ("배", "보조배터리"), ("텀블러", "스테인리스 냄비"), ("14", "2014년형 달력")],
)
def test_a_keyword_that_only_appears_by_accident_does_not_match_exactly(keyword: str, title: str) -> None:
    assert kind_of(keyword, title) is not MatchKind.EXACT


def test_morphemes_match_from_four_tenths_of_the_keyword_on() -> None:
    found = match("접이식 캠핑 의자", "캠핑용 감성 체어, 넓은 의자", analyse_korean)
    assert found is not None
    assert found.kind is MatchKind.MORPHEME
    assert found.found == ("캠핑", "의자")
    assert found.score == pytest.approx(2 / 3, abs=1e-4)
    below = match("접이식 캠핑 의자", "넓은 의자", analyse_korean)
    assert below is not None
    assert below.kind is MatchKind.TOKEN


def test_particles_do_not_hide_a_morpheme() -> None:
    assert kind_of("커피를 내리는 주전자", "드립 주전자 커피용") is MatchKind.MORPHEME


def test_pieces_of_one_character_never_count_as_morphemes() -> None:
    assert match("줄", "강아지 산책줄이", analyse_korean) is None


def test_tokens_are_the_last_resort_and_need_three_tenths() -> None:
    found = match("zx900 quv", "Model ZX 700 Pro", lambda text: [])
    assert found is not None
    assert (found.kind, found.score, found.found, found.sought) == (
        MatchKind.TOKEN,
        0.3333,
        ("zx",),
        ("zx", "900", "quv"),
    )
    assert match("alpha beta gamma delta", "delta 세트", lambda text: []) is None


def test_a_keyword_without_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match="no word"):
        match("!!! ", "무엇이든", analyse_korean)


def test_words_break_where_the_script_changes_and_decomposed_hangul_is_the_same_word() -> None:
    assert words("LG무선청소기 1,200W") == ["lg", "무선청소기", "1,200", "w"]
    assert words("\u1100\u1161\u1107\u1161\u11bc") == ["가방"]
