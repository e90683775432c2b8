"""Wakes per caller and hour: no window of an hour has more than the budget, and none is left."""

from hypothesis import given
from hypothesis import strategies as st

from activator.core.wakes import Wakes

HOUR = 3600.0


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2000)), max_size=40),
)
def test_no_hour_has_more_than_the_budget_and_whoever_waits_as_told_is_let_in(budget, calls):
    wakes, now = Wakes(budget), 0
    begun: dict[str, list[float]] = {"a": [], "b": []}
    for caller, passed in calls:
        now += passed
        wait = wakes.wait(caller, now)
        in_the_hour = [at for at in begun[caller] if at > now - HOUR]
        assert (wait is not None) == (len(in_the_hour) >= budget)
        if wait is None:
            wakes.spend(caller, now)
            begun[caller].append(now)
        else:
            assert 0 < wait <= HOUR
            assert abs(in_the_hour[-budget] + HOUR - now - wait) < 1e-6


def test_no_budget_means_no_limit_and_nothing_kept():
    wakes = Wakes()
    for _ in range(5):
        assert wakes.wait("a", 0.0) is None
        wakes.spend("a", 0.0)
    assert len(wakes) == 0


def test_callers_are_forgotten_an_hour_after_their_last_wake():
    wakes = Wakes(1)
    for number in range(100):
        wakes.spend(str(number), float(number))
    assert len(wakes) == 100
    wakes.spend("late", HOUR + 49.5)
    assert len(wakes) == 51


def test_a_smaller_budget_counts_what_was_woken_before():
    wakes = Wakes(3)
    for at in (0.0, 10.0, 20.0):
        wakes.spend("a", at)
    wakes.budget = 1
    assert wakes.wait("a", 30.0) == 20.0 + HOUR - 30.0
