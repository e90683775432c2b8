"""Averages from growing integrals, lookback and sliding maximum."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.core.window import UNKNOWN, Meter, Steps, Window


def test_an_empty_window_is_unknown_and_so_is_one_point():
    window = Window(span=60)
    assert window.rates(60) is UNKNOWN
    assert window.add(1, (5.0,)).rates(60) is UNKNOWN


def test_the_average_is_over_the_time_there_is():
    window = Window(span=60).add(0, (0.0, 0.0)).add(10, (30.0, 5.0))
    assert window.rates(60) == (3.0, 0.5)
    assert not window.covers(60)


def test_a_short_span_sees_only_its_end():
    window = Window(span=60)
    for second in range(0, 62, 2):
        window = window.add(second, (max(0.0, second - 50) * 8.0,))
    assert window.rates(6) == (pytest.approx(8.0),)
    assert window.rates(60) == (pytest.approx(80 / 60),)
    assert window.covers(60)


def test_between_two_points_it_is_a_straight_line():
    window = Window(span=60).add(0, (0.0,)).add(10, (0.0,)).add(20, (100.0,))
    assert window.rates(15) == (pytest.approx(100 / 15),)


def test_a_repeated_or_older_point_changes_nothing():
    window = Window(span=60).add(5, (1.0,)).add(6, (2.0,))
    assert window.add(6, (9.0,)) == window
    assert window.add(4, (9.0,)) == window


def test_a_counter_that_falls_starts_the_window_anew():
    window = Window(span=60).add(0, (5.0,)).add(2, (7.0,)).add(4, (1.0,))
    assert window.rates(60) is UNKNOWN


@given(st.lists(st.floats(0.001, 5.0), max_size=300))
@settings(max_examples=30)
def test_a_window_stays_small_however_often_it_is_looked_at(steps):
    window, looks, now = Window(span=60), Steps(span=60), 0.0
    for step in steps:
        now += step
        window, looks = window.add(now, (now,)), looks.add(now, now)
    assert len(window.points) <= 250
    assert len(looks.points) <= 250
    if len(window.points) > 1:
        assert window.rates(60) == (pytest.approx(1.0),)
        assert window.points[0][0] >= now - 60 - 5


def test_sources_add_up_and_what_was_before_is_no_news():
    meter = Meter().take({"a": (100.0,)})
    assert meter.total == (0.0,)
    meter = meter.take({"a": (103.0,), "b": (50.0,)})
    assert meter.total == (3.0,)
    meter = meter.take({"a": (104.0,), "b": (52.0,)})
    assert meter.total == (6.0,)


def test_a_source_that_starts_anew_adds_what_it_counted_since():
    meter = Meter().take({"a": (10.0, 5.0)}).take({"a": (2.0, 1.0)})
    assert meter.total == (2.0, 1.0)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.tuples(st.floats(0, 1e6)))))
@settings(max_examples=50)
def test_a_meter_never_falls(rounds):
    meter, last = Meter(), 0.0
    for sources in rounds:
        meter = meter.take(sources)
        assert sum(meter.total) >= last
        last = sum(meter.total)


def test_lookback_takes_the_newest_look_not_after():
    steps = Steps(span=60).add(0, 1).add(10, 5).add(20, 3)
    assert [steps.at(time) for time in (-5, 0, 9.9, 10, 99)] == [1, 1, 1, 5, 3]
    assert Steps(span=60).at(0) is UNKNOWN


def test_the_sliding_maximum_keeps_what_was_in_force_when_the_span_began():
    steps = Steps(span=60).add(0, 9).add(30, 2).add(50, 4)
    assert steps.highest(10) == 9
    assert steps.highest(30) == 4
    assert steps.highest(50) == 4
    assert Steps(span=60).highest(0) is UNKNOWN


def test_an_old_peak_leaves_with_its_time():
    steps = Steps(span=60).add(0, 9).add(2, 1)
    for second in range(4, 70, 2):
        steps = steps.add(second, 1)
    assert steps.highest(68 - 60) == 1


def test_the_mean_of_recent_looks():
    steps = Steps(span=60).add(0, 1.0).add(10, 0.2).add(20, 0.4)
    assert steps.mean(10) == pytest.approx(0.3)
    assert steps.mean(21) is UNKNOWN
