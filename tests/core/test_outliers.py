"""Which replica is put out for its failures, for how long, and who stays whatever happens."""

from hypothesis import given
from hypothesis import strategies as st

from activator.core.outliers import MOST_FAILURES, come_back, is_outlier, put_out
from activator.core.seats import Seat
from fleet.names import ReplicaName


def seats(count: int) -> list[Seat]:
    made = [Seat(ReplicaName(f"r{n}"), host="h", port=1, slots=4) for n in range(count)]
    for seat in made:
        seat.proved = True
    return made


STEPS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["good", "fail", "back"])))


@given(st.integers(1, 6), STEPS)
def test_never_more_than_half_are_out_and_never_the_last(count, steps):
    there = seats(count)
    for index, step in steps:
        seat = there[index % count]
        if step == "good":
            seat.failures = 0
        elif step == "back" and seat.doubtful:
            come_back(seat, 0.0)
        elif step == "fail" and seat.open:
            # As many at once as it takes, so that half of all are soon out.
            seat.failures += MOST_FAILURES - 1
            if is_outlier(seat, there):
                put_out(seat, 0.0)
        assert sum(one.doubtful for one in there) <= count // 2
        assert any(one.open for one in there)


def test_only_a_row_of_failures_counts_and_only_beside_one_that_is_fine():
    bad, good, other = there = seats(3)
    bad.failures = MOST_FAILURES - 1
    assert not is_outlier(bad, there)
    bad.failures = MOST_FAILURES
    assert is_outlier(bad, there)
    good.failures = 1
    assert is_outlier(bad, there), "one is enough"
    other.failures = 1
    assert not is_outlier(bad, there), "it fails everywhere"
    other.failures, other.proved = 0, False
    assert not is_outlier(bad, there), "nobody knows whether that one is fine"
    other.proved = True
    other.turn(draining=True)
    assert not is_outlier(bad, there), "that one takes nothing"


def test_it_stays_out_twice_as_long_each_time_up_to_a_minute():
    seat, now, spans = seats(1)[0], 100.0, []
    for _ in range(9):
        put_out(seat, now)
        assert not seat.open
        spans.append(seat.out_until - now)
        now = seat.out_until
        come_back(seat, now)
        assert seat.open
        now += 0.125
    assert spans == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    # Well for as long as it was out: it begins anew.
    put_out(seat, now + 60)
    assert seat.out_until - (now + 60) == 1


def test_back_it_has_one_failure_left_and_one_good_answer_clears_them():
    seat, _ = there = seats(2)
    seat.failures = 50
    put_out(seat, 0.0)
    come_back(seat, 1.0)
    assert not is_outlier(seat, there)
    seat.failures += 1
    assert is_outlier(seat, there)
    seat.failures = 0
    come_back(seat, 9.0)
    assert seat.failures == 0
