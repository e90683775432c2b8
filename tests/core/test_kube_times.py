"""Timestamps of the API in seconds of this process's clock."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.cluster.kubernetes.times import Moments, wall_seconds

T = "2026-01-01T00:00:10Z"
"""Shown as 10 s past OFFSET."""
OFFSET = 1767225600.0


@given(
    # The strategy's bounds are without a time zone.
    st.datetimes(datetime(1970, 1, 1), datetime(2400, 1, 1)),  # noqa: DTZ001
    st.booleans(),
)
def test_a_timestamp_is_what_the_calendar_says(moment: datetime, exact: bool) -> None:
    moment = moment.replace(tzinfo=UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if exact else "%Y-%m-%dT%H:%M:%SZ")
    if not exact:
        moment = moment.replace(microsecond=0)
    assert wall_seconds(text) == pytest.approx(moment.timestamp(), abs=1e-5)


def test_an_offset_is_taken_off() -> None:
    assert wall_seconds("2026-01-01T02:00:10+02:00") == OFFSET + 10
    assert wall_seconds("2025-12-31T22:30:10-01:30") == OFFSET + 10


@pytest.mark.parametrize(
    "text", ["", "now", "2026-01-01", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", f"{T} ", "٢"]
)
def test_anything_else_is_none(text: str) -> None:
    assert wall_seconds(text) is None
    assert Moments(now=50, offset=OFFSET).of("it", text) is None


@given(st.text())
def test_nothing_raises(text: str) -> None:
    wall_seconds(text)


def test_what_is_seen_at_once_happened_when_it_was_seen() -> None:
    assert Moments(now=10.3, offset=OFFSET).of("it", T) == 10.3


def test_what_is_seen_late_happened_within_its_second() -> None:
    assert Moments(now=50, offset=OFFSET).of("it", T) == 11
    assert Moments(now=50, offset=OFFSET).of("it", "2026-01-01T00:00:10.25Z") == 10.25


def test_a_clock_that_runs_ahead_puts_nothing_into_the_future() -> None:
    assert Moments(now=3, offset=OFFSET).of("it", T) == 3


def test_what_was_taken_stays() -> None:
    first = Moments(now=10.3, offset=OFFSET)
    assert first.of("it", T) == 10.3
    again = Moments(now=60, offset=OFFSET, before=first.taken)
    assert (again.of("it", T), again.of("another", T)) == (10.3, 11)


def test_what_happens_once_stays_though_its_timestamp_moves() -> None:
    first = Moments(now=10.3, offset=OFFSET)
    assert first.once("deletion", "2026-01-01T00:00:40Z", ahead=30) == 10.3
    again = Moments(now=20, offset=OFFSET, before=first.taken)
    assert again.once("deletion", "2026-01-01T00:00:15Z", ahead=0) == 10.3
