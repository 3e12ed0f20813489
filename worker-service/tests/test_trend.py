from collections import Counter

import pytest

from worker_service.domain.trend import Rule, pick, rank

RANKED = rank({"우산": 10.0, "텀블러": 60.0, "의자": 30.0})


def test_keywords_are_ranked_by_weight() -> None:
    assert [(entry.rank, entry.keyword) for entry in RANKED] == [(1, "텀블러"), (2, "의자"), (3, "우산")]


def test_the_strongest_unused_keyword_is_taken_first() -> None:
    assert pick(RANKED, {}, Rule.FIRST_UNUSED, "s").keyword == "텀블러"
    assert pick(RANKED, {"텀블러": 1.0}, Rule.FIRST_UNUSED, "s").keyword == "의자"


@pytest.mark.parametrize("rule", list(Rule))
def test_when_all_are_used_the_one_used_longest_ago_comes_again_and_says_so(rule: Rule) -> None:
    choice = pick(RANKED, {"텀블러": 7.0, "의자": 3.0, "우산": 5.0}, rule, "s")
    assert (choice.keyword, choice.reused) == ("의자", True)


@pytest.mark.parametrize("rule", list(Rule))
def test_a_used_keyword_is_not_taken_while_another_is_unused(rule: Rule) -> None:
    for seed in range(50):
        choice = pick(RANKED, {"텀블러": 1.0, "우산": 2.0}, rule, str(seed))
        assert (choice.keyword, choice.reused) == ("의자", False)


@pytest.mark.parametrize("rule", [Rule.RANDOM, Rule.WEIGHTED])
def test_the_same_seed_always_picks_the_same(rule: Rule) -> None:
    assert len({pick(RANKED, {}, rule, "seed-1").keyword for _ in range(5)}) == 1


def test_chance_is_even_or_by_weight_as_the_rule_says() -> None:
    evenly = Counter(pick(RANKED, {}, Rule.RANDOM, str(seed)).keyword for seed in range(3000))
    weighted = Counter(pick(RANKED, {}, Rule.WEIGHTED, str(seed)).keyword for seed in range(3000))
    assert all(abs(count / 3000 - 1 / 3) < 0.05 for count in evenly.values())
    for keyword, share in {"텀블러": 0.6, "의자": 0.3, "우산": 0.1}.items():
        assert weighted[keyword] / 3000 == pytest.approx(share, abs=0.04)


def test_nothing_ranked_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        pick([], {}, Rule.RANDOM, "s")
