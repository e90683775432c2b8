"""Whether a request may be sent again, and the budget that bounds how many are."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.core.retries import MOST_CRASHES, MOST_SENDS, Attempt, Budget, Denied, Loss, denied
from fleet.model import Retry

POLICIES = (Retry.NEVER, Retry.CONNECT, Retry.REPLICA)
PAIRS = list(product(POLICIES, Loss))
ALLOWED = {(Retry.CONNECT, Loss.REFUSED), *((Retry.REPLICA, loss) for loss in Loss)}


def attempt(policy: Retry = Retry.REPLICA, loss: Loss = Loss.RESET, **changes) -> Attempt:
    return Attempt(**({"loss": loss, "policy": policy, "kept": True, "sends": 1} | changes))


@pytest.mark.parametrize(("policy", "loss"), PAIRS)
def test_what_a_policy_allows(policy: Retry, loss: Loss) -> None:
    expected = None if (policy, loss) in ALLOWED else Denied.POLICY
    assert denied(attempt(policy, loss)) is expected


@pytest.mark.parametrize(("policy", "loss"), PAIRS)
def test_what_may_run_twice_by_its_method_does_on_a_connection_that_was_closed(
    policy: Retry, loss: Loss
) -> None:
    allowed = ALLOWED | {(Retry.CONNECT, Loss.STALE)}
    expected = None if (policy, loss) in allowed else Denied.POLICY
    assert denied(attempt(policy, loss, repeatable=True)) is expected


@pytest.mark.parametrize(("policy", "loss"), PAIRS)
def test_a_step_of_a_sequence_is_never_sent_again(policy: Retry, loss: Loss) -> None:
    assert denied(attempt(policy, loss), sequence=True) is Denied.SEQUENCE


def test_what_was_not_kept_or_was_sent_often_enough_is_not_sent_again() -> None:
    assert denied(attempt(kept=False)) is Denied.NOT_KEPT
    assert denied(attempt(sends=MOST_SENDS - 1)) is None
    assert denied(attempt(sends=MOST_SENDS)) is Denied.SENDS
    assert denied(attempt(), crashes=MOST_CRASHES - 1) is None
    assert denied(attempt(), crashes=MOST_CRASHES) is Denied.CRASHES


CALLS = st.lists(
    st.tuples(st.floats(0, 20), st.integers(0, 60), st.integers(0, 12)), min_size=1, max_size=40
)


@given(CALLS, st.integers(1, 8))
def test_nothing_more_is_sent_again_than_a_tenth_or_one_replicas_slots(calls, least):
    budget = Budget()
    now, arrivals = 0.0, 0
    came: list[float] = []
    spent: list[float] = []
    for passed, new, tries in calls:
        now += passed
        arrivals += new
        came += [now] * new
        budget.note(now, arrivals)
        taken = [budget.take(now, arrivals, least=least) for _ in range(tries)]
        spent += [now] * sum(taken)
        minute = sum(now - at <= 60 for at in came)
        # Counted when one is sent again: what was spent stays spent when fewer come after it.
        assert not any(taken) or sum(now - at < 60 for at in spent) <= max(least, minute / 10)


@given(st.integers(1, 20))
def test_a_replica_full_may_always_be_sent_again(least):
    budget = Budget()
    assert [budget.take(5.0, 0, least=least) for _ in range(least + 1)] == [True] * least + [False]
    assert not budget.take(64.9, 0, least=least)
    assert budget.take(65.0, 0, least=least)


def test_a_tenth_of_what_came_in_the_last_minute():
    budget = Budget()
    for second in range(300):
        budget.note(float(second), 10 * second)
    assert sum(budget.take(299.0, 2990, least=1) for _ in range(100)) == 60
    # Nothing came since: only the floor is left, once those are a minute old.
    assert sum(budget.take(400.0, 2990, least=1) for _ in range(10)) == 1


@pytest.mark.parametrize("rest", [3, 61, 400])
def test_those_who_came_right_after_a_rest_count_in_full(rest):
    budget = Budget()
    budget.note(0.0, 50)
    for second in range(1, rest):
        budget.note(float(second), 50)
    budget.note(float(rest), 150)
    taken = sum(budget.take(rest + 0.5, 150, least=1) for _ in range(30))
    assert taken == 10
