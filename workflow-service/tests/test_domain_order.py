"""The order at one level: one after the other, or as depends_on says."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_service.domain.order import UnknownKey, after, ancestors, cycle, topological


def test_each_follows_the_one_before_it_unless_it_says_otherwise() -> None:
    assert after(["a", "b", "c"], [None, None, None]) == [(), (0,), (1,)]
    assert after(["a", "b", "c", "d"], [None, [], ["a", "b", "a"], None]) == [(), (), (0, 1), (2,)]


def test_an_unknown_key_is_named_with_its_place() -> None:
    with pytest.raises(UnknownKey) as caught:
        after(["a", "b"], [None, ["a", "x"]])
    assert (caught.value.index, caught.value.position, caught.value.key) == (1, 1, "x")


def test_a_cycle_is_walked_round() -> None:
    assert cycle([(), (0,), (1,)]) is None
    assert cycle([(0,)]) == [0, 0]
    edges = after(["a", "b", "c", "d"], [["c"], ["a"], ["b"], ["c"]])
    loop = cycle(edges)
    assert loop is not None
    assert loop[0] == loop[-1]
    assert set(loop) == {0, 1, 2}
    assert all(before in edges[index] for before, index in pairwise(loop))


def test_a_chain_of_ten_thousand_has_ten_thousand_ancestors_at_its_end() -> None:
    masks = ancestors([(), *((index,) for index in range(9_999))])
    assert masks[-1].bit_count() == 9_999


@given(st.lists(st.sets(st.integers(0, 11), max_size=4), max_size=12))
def test_there_is_a_cycle_exactly_when_not_all_can_be_sorted(graph: list[set[int]]) -> None:
    edges = [tuple(sorted(other for other in before if other < len(graph))) for before in graph]
    everything = topological(edges)
    assert (cycle(edges) is None) == (len(everything) == len(edges))
    seen: set[int] = set()
    for index in everything:
        assert set(edges[index]) <= seen
        seen.add(index)
