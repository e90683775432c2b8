"""Deadlines as they travel: read strictly, written so that nothing of them is lost."""

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.grpc.core.timeouts import read_timeout, timeout_field, timeout_value


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"10S", 10),
        (b"0S", 0),
        (b"2H", 7200),
        (b"3M", 180),
        (b"1500m", 1.5),
        (b"250u", 0.00025),
        (b"99999999n", 0.099999999),
        (b"00000001S", 1),
    ],
)
def test_what_is_a_timeout(value, seconds):
    assert read_timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"S", b"10", b"-1S", b"+1S", b"1.5S", b"1s", b"1h", b"123456789S", b" 1S", b"1S "),
        *(b"1SS", b"1_0S", "1\u0663S".encode(), b"1S\n", b"1e3S"),
    ],
)
def test_what_is_none(value):
    with pytest.raises(ValueError, match="grpc-timeout"):
        read_timeout(value)


@pytest.mark.parametrize(
    ("seconds", "value"),
    [
        (10.0, b"10000000u"),
        (99.999999, b"99999999u"),
        (100.0, b"100000m"),
        (0.0000001, b"1u"),
        (0.0, b"0n"),
        (-3.0, b"0n"),
        (1e5, b"100000S"),
        (1e20, b"99999999H"),
    ],
)
def test_how_a_timeout_is_written(seconds, value):
    assert timeout_value(seconds) == value


@given(st.floats(min_value=1e-9, max_value=1e9))
def test_never_less_than_what_is_left_and_hardly_more(seconds):
    value = timeout_value(seconds)
    assert len(value) <= 9
    read = read_timeout(value)
    assert read >= seconds * (1 - 1e-12)
    assert read <= max(seconds * (1 + 1e-4), seconds + 1.1e-6)
    assert read > 0


@given(st.floats(min_value=0, max_value=1e12))
def test_the_field_is_part_of_a_block(seconds):
    (field,) = hpack.Decoder().decode(timeout_field(seconds), raw=True)
    assert tuple(field) == (b"grpc-timeout", timeout_value(seconds))
