"""Who gets the lowest deletion cost, and whose is taken away."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from fleet.cluster.kubernetes.costs import FIRST, cost_changes

PODS = st.sets(st.sampled_from("abcdef"))
LOWEST = -(2**31)
"""What Kubernetes takes."""
WRITTEN = [None, FIRST, "0", "-5", str(LOWEST), str(LOWEST + 1)]
COSTS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(WRITTEN))


def applied(costs: Mapping[str, str | None], drained: set[str]) -> dict[str, str | None]:
    return {**costs, **cost_changes(costs, drained)}


def test_the_drained_get_the_lowest_cost_and_the_others_lose_it() -> None:
    costs = {"a": None, "b": FIRST, "c": "7", "d": None}
    assert cost_changes(costs, {"a"}) == {"a": FIRST, "b": None}
    assert cost_changes(costs, {"c"}) == {"c": FIRST, "b": None}
    assert cost_changes(costs, set()) == {"b": None}
    assert cost_changes(costs, {"nobody"}) == {"b": None}


def test_where_nobody_stays_it_does_not_matter() -> None:
    assert cost_changes({"a": None, "b": "3"}, {"a", "b", "gone"}) == {}
    assert cost_changes({"a": FIRST}, {"a"}) == {"a": None}
    assert cost_changes({}, {"a"}) == {}


@given(COSTS, PODS)
def test_whatever_was_there_the_drained_go_first_and_nobody_else(
    costs: dict[str, str | None], drained: set[str]
) -> None:
    after = applied(costs, drained)
    some_stay = not costs.keys() <= drained
    first = {pod for pod, cost in after.items() if cost == FIRST}
    assert first == (drained & costs.keys() if some_stay else set())
    for pod in costs.keys() - drained:
        assert after[pod] == (None if costs[pod] == FIRST else costs[pod])
        if first:
            assert all(int(after[pod] or 0) > int(after[one] or 0) for one in first)
    assert cost_changes(after, drained) == {}
