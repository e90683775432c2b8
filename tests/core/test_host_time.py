"""Ages by another host's clock are never too low, and too high only by what answers took."""

from hypothesis import given
from hypothesis import strategies as st

from fleet.bus.redis.hosttime import HostTime

TOOK = st.floats(0.0, 2.0)
WAIT = st.floats(0.0, 100.0)
OFFSET = st.floats(-1e9, 1e9)
ANSWERS = st.lists(st.tuples(WAIT, TOOK, TOOK), min_size=1, max_size=8)
EPS = 1e-5


def asked(answers: list[tuple[float, float, float]], offset: float) -> tuple[HostTime, float]:
    """A clock that is `offset` ahead, asked after some waits; there and back take a while."""
    host, now = HostTime(), 0.0
    assert not host.known
    for wait, there, back in answers:
        now += wait
        host.hear(now + there + offset, asked=now, answered=now + there + back)
        now += there + back
    assert host.known
    return host, now


@given(ANSWERS, OFFSET)
def test_the_time_is_between_the_earliest_and_the_latest(answers, offset):
    host, now = asked(answers, offset)
    assert host.earliest(now) - EPS <= now + offset <= host.latest(now) + EPS


@given(ANSWERS, OFFSET)
def test_what_is_not_known_is_no_more_than_what_the_last_question_took(answers, offset):
    host, now = asked(answers, offset)
    _, there, back = answers[-1]
    assert host.latest(now) - host.earliest(now) <= there + back + EPS


@given(ANSWERS, ANSWERS, OFFSET, st.floats(0.0, 30.0))
def test_an_age_is_never_too_low_and_little_too_high(writer, reader, offset, age):
    ours, now = asked(writer, offset)
    theirs, then = asked(reader, offset)
    stamp = ours.earliest(now)
    # The two hosts' own clocks have nothing to do with each other.
    told = theirs.age(stamp + then - now, then + age)
    slack = sum(writer[-1][1:]) + sum(reader[-1][1:])
    assert age - EPS <= told <= age + slack + EPS


def test_a_good_answer_is_kept_while_later_ones_are_slow():
    host = HostTime()
    host.hear(100.0, asked=0.0, answered=0.001)
    host.hear(102.0, asked=1.0, answered=3.0)
    assert host.latest(3.0) - host.earliest(3.0) < 0.01


@given(st.floats(-1e6, 1e6).filter(lambda by: abs(by) > 1.0))
def test_a_clock_that_was_set_is_believed(by):
    host = HostTime()
    host.hear(100.0, asked=0.0, answered=0.001)
    host.hear(101.0 + by, asked=1.0, answered=1.001)
    assert abs(host.earliest(1.0) - (101.0 + by)) < 0.01


def test_a_stamp_from_the_future_is_new():
    host = HostTime()
    host.hear(100.0, asked=0.0, answered=0.0)
    assert host.age(200.0, 0.0) == 0.0
