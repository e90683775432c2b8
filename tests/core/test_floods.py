"""Floods: what the published attacks send is cut off at once, what honest clients send never."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.grpc.core.floods import CRUMB, Floods
from gateway.grpc.core.frames import BrokenError, Code

KINDS = {
    "rapid reset (CVE-2023-44487)": Floods.reset,
    "resets that we must send (CVE-2019-9514)": Floods.misplaced,
    "PING (CVE-2019-9512)": Floods.ping,
    "SETTINGS (CVE-2019-9515)": Floods.settings,
    "PRIORITY (CVE-2019-9513)": Floods.priority,
    "empty frames (CVE-2019-9518)": Floods.empty,
    "windows in crumbs (CVE-2019-9511)": lambda floods: floods.window(1),
}


class Time:
    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


def sent(floods: Floods, time: Time, send, *, a_second: float, seconds: float) -> int:
    """How many are taken before the connection is broken; all of them if it is not."""
    taken = 0
    for _ in range(int(a_second * seconds)):
        time.now += 1 / a_second
        try:
            send(floods)
        except BrokenError as error:
            if error.code is not Code.ENHANCE_YOUR_CALM:
                raise
            break
        taken += 1
    return taken


@pytest.mark.parametrize("send", KINDS.values(), ids=KINDS)
def test_an_attack_is_cut_off_within_a_second(send):
    time = Time()
    assert sent(Floods(time), time, send, a_second=100_000, seconds=1) < 60_000


@pytest.mark.parametrize("send", KINDS.values(), ids=KINDS)
def test_an_attack_is_cut_off_even_after_an_hour_of_peace(send):
    time = Time()
    floods = Floods(time)
    time.now += 3600
    assert sent(floods, time, send, a_second=100_000, seconds=1) < 60_000


HONEST = {
    "200 deadlines a second that pass": (Floods.reset, 200),
    "a grpc-go that measures its window": (Floods.ping, 2000),
    "a keep-alive of 10 s": (Floods.ping, 0.1),
    "a C-core that shifts its window": (Floods.settings, 5),
    "a C-core that gives back small answers": (lambda floods: floods.window(30), 5000),
    "a browser's priorities": (Floods.priority, 20),
    "an empty frame now and then": (Floods.empty, 10),
    "large windows": (lambda floods: floods.window(CRUMB), 50_000),
}


@pytest.mark.parametrize(("send", "a_second"), HONEST.values(), ids=HONEST)
def test_what_honest_clients_send_goes_on_for_ever(send, a_second):
    time = Time()
    seconds = max(1, int(20_000 / a_second)) if a_second < 20_000 else 1
    expected = int(a_second * seconds)
    assert sent(Floods(time), time, send, a_second=a_second, seconds=seconds) == expected


def test_kinds_do_not_take_from_each_other():
    time = Time()
    floods = Floods(time)
    assert sent(floods, time, Floods.settings, a_second=1e6, seconds=1) < 500
    floods.ping()
    floods.reset()


def test_one_that_is_trusted_more_may_send_more():
    def most(times: float) -> int:
        time = Time()
        return sent(Floods(time, times=times), time, Floods.reset, a_second=1_000_000, seconds=1)

    assert most(10) >= 9 * most(1)


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 3000)), max_size=20))
def test_over_any_span_the_rate_is_kept(pauses):
    time = Time()
    floods, taken = Floods(time), 0
    try:
        for pause, count in pauses:
            time.now += pause
            for _ in range(count):
                floods.reset()
                taken += 1
    except BrokenError:
        pass
    assert taken <= 2 * 1000 + 500 * (time.now - 5000.0)
