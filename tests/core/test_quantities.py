"""Durations, bytes and numbers as people write them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import SettingError
from fleet.quantities import parse_bool, parse_bytes, parse_duration, parse_int, parse_number
from fleet.settings import Settings, read_settings


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0.5", 0.5), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "-1", "5 m", "m5", "1h30", "soon", "1e3", "٣", "inf", "nan"])
def test_no_durations(text):
    with pytest.raises(ValueError, match="a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("64Mi", 2**26), ("1Gi", 2**30), ("500k", 500_000), ("7", 7)]
)
def test_bytes(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "-1", "64MB", "Mi", "1 Gi", "1e3"])
def test_no_bytes(text):
    with pytest.raises(ValueError, match="a size"):
        parse_bytes(text)


@given(st.text(max_size=8))
def test_nothing_but_a_value_error_ever_comes_out(text):
    for parse in (parse_duration, parse_bytes, parse_number, parse_bool):
        with suppress(ValueError):
            assert parse(text) >= 0
    with suppress(ValueError):
        assert 0 <= parse_int(text, low=0, high=9) <= 9


def test_settings_default_and_are_read_from_their_variables():
    assert read_settings({"HOME": "/x"}) == Settings()
    read = read_settings({"EBBTIDE_TICK": "500ms", "EBBTIDE_LIST_MODELS": "false"})
    assert (read.tick, read.list_models) == (0.5, False)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("EBBTIDE_TICK", "0", "a duration over 0"),
        ("EBBTIDE_TICK", "often", "a duration"),
        ("EBBTIDE_LIST_MODELS", "yes", "true or false"),
        ("EBBTIDE_LOG_LEVEL", "loud", "debug, info"),
        ("EBBTIDE_MAX_HEAD", "1", "from 1Ki to 1Mi"),
        ("EBBTIDE_TICKS", "2", "did you mean EBBTIDE_TICK"),
    ],
)
def test_a_wrong_setting_says_what_is_right(variable, value, said):
    with pytest.raises(SettingError, match=said) as caught:
        read_settings({variable: value})
    assert variable in str(caught.value)


@pytest.mark.parametrize("text", ["9" * 18, "9" * 17, "9999999Ti"])
def test_a_size_that_no_machine_has_is_the_largest_there_is(text: str) -> None:
    assert parse_bytes(text) == 2**53
