"""How slowly a request body may come in."""

from dataclasses import replace

import pytest

from fleet.reasons import Reason
from gateway.core.limits import Limits
from gateway.http.pace import Pace

LIMITS = Limits(
    max_head=1024,
    max_connections=1,
    header_timeout=10,
    http_keepalive=75,
    naming_body=1,
    body_timeout=60,
    body_min_rate=240,
    body_grace=5,
)


def sending(rate: float, *, every: float, limits: Limits = LIMITS, until: float = 300.0):
    """When, and why, a sender of `rate` bytes a second in pieces is ended."""
    pace = Pace(limits, 0.0)
    size, now, next_piece = 0.0, 0.0, every
    while now < until:
        now = min(pace.due, next_piece)
        if now == next_piece:
            size += rate * every
            pace.heard = now
            next_piece += every
        if now >= pace.due:
            reason = pace.late(now, int(size))
            if reason is not None:
                return now, reason
    return None


def test_a_byte_now_and_then_holds_nothing_for_long():
    when, reason = sending(1 / 59, every=59)
    assert reason is Reason.BODY_TOO_SLOW
    assert when == 5.0


@pytest.mark.parametrize(("rate", "every"), [(250, 0.5), (250, 2.0), (1e6, 0.1), (1e6, 50.0)])
def test_who_keeps_the_rate_is_never_ended(rate, every):
    limits = LIMITS if every < 5 else replace(LIMITS, body_grace=55.0)
    assert sending(rate, every=every, limits=limits) is None


@pytest.mark.parametrize("rate", [230, 100, 10])
def test_who_does_not_is(rate):
    when, reason = sending(rate, every=0.5)
    assert reason is Reason.BODY_TOO_SLOW
    assert when <= 150


def test_a_fast_start_buys_no_more_than_a_pause():
    pace = Pace(LIMITS, 0.0)
    assert pace.late(5.0, 10**9) is None
    assert pace.due == 60.0
    pace.heard = 59.0
    assert pace.late(65.1, 10**9 + 1) is Reason.BODY_TOO_SLOW


def test_without_a_rate_only_pauses_count():
    limits = replace(LIMITS, body_min_rate=0.0)
    assert sending(1 / 59, every=59, limits=limits) is None
    assert sending(1, every=61, limits=limits) == (60.0, Reason.BODY_TIMEOUT)


def test_time_in_which_nobody_reads_does_not_count():
    pace = Pace(LIMITS, 0.0)
    pace.pause(4.0)
    pace.resume(104.0)
    assert pace.due == 105.0
    pace.resume(104.5)
    assert pace.due == 105.0
    assert pace.late(105.0, 240) is None
    assert pace.due == 106.0
