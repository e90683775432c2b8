"""The benchmark's arithmetic."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.report import as_json, as_table
from bench.stats import Row, Spread, Turn, cpu_us, ratios, spread, turns
from bench.wrk import BrokenLoadError, Load, read_load

NUMBERS = st.lists(st.floats(min_value=0, max_value=1e9), min_size=1, max_size=9)


def row(*values: float, aim: float | None = None) -> Row:
    return Row(case="warm", figure="ebbtide", unit="us", values=values, aim=aim)


@given(NUMBERS)
@settings(max_examples=50)
def test_a_spread_is_ordered_and_made_of_its_values(values: list[float]) -> None:
    found = spread(values)
    assert min(values) == found.low <= found.median <= found.high == max(values)
    assert spread(list(reversed(values))) == found


def test_the_median_is_the_middle_value_not_the_mean() -> None:
    assert spread([1.0, 2.0, 90.0]) == Spread(low=1.0, median=2.0, high=90.0)


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.inf]])
def test_a_spread_of_nothing_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        spread(values)


def test_ratios_are_formed_within_a_round() -> None:
    assert ratios([10.0, 40.0], [20.0, 40.0]) == (0.5, 1.0)


@pytest.mark.parametrize(("ours", "peers"), [([1.0], []), ([1.0], [0.0]), ([], [1.0])])
def test_ratios_need_pairs(ours: list[float], peers: list[float]) -> None:
    with pytest.raises(ValueError, match="each round"):
        ratios(ours, peers)


def test_everyone_has_a_turn_in_each_round_and_another_one_begins() -> None:
    assert turns(["a", "b"], 3) == tuple(
        Turn(round=number, name=name)
        for number, name in zip((0, 0, 1, 1, 2, 2), "abbaab", strict=True)
    )


@given(st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=30)
def test_turns_are_fair(names: int, rounds: int) -> None:
    made = turns([str(name) for name in range(names)], rounds)
    assert len({(turn.round, turn.name) for turn in made}) == len(made) == names * rounds
    assert [turn.round for turn in made] == sorted(turn.round for turn in made)


def test_cpu_per_request_is_in_microseconds() -> None:
    assert cpu_us(0.5, 20_000) == 25.0
    with pytest.raises(ValueError, match="no request"):
        cpu_us(0.5, 0)


@pytest.mark.parametrize(("aim", "met"), [(None, None), (20.0, True), (19.9, False)])
def test_an_aim_is_kept_by_the_median(aim: float | None, met: bool | None) -> None:
    assert row(1.0, 20.0, 90.0, aim=aim).met is met


def test_the_table_shows_the_spread_the_aim_and_the_verdict() -> None:
    lines = as_table([row(30.0, 10.0, 20.0, aim=15.0), row(1.0)]).splitlines()
    assert lines[1].split() == ["warm", "ebbtide", "us", "10.0", "20.0", "30.0", "15", "missed"]
    assert lines[2].split() == ["warm", "ebbtide", "us", "1.00", "1.00", "1.00", "-", "-"]


def test_the_json_keeps_every_value() -> None:
    made = as_json([row(30.0, 10.0, 20.0, aim=15.0)], facts={"rounds": 3})
    assert made["rounds"] == 3
    assert made["rows"] == [
        {
            "case": "warm",
            "figure": "ebbtide",
            "unit": "us",
            "values": [30.0, 10.0, 20.0],
            "min": 10.0,
            "median": 20.0,
            "max": 30.0,
            "aim": 15.0,
            "met": False,
        }
    ]


def test_the_load_is_read_from_its_last_line() -> None:
    noise = "Running 5s test\n  Latency 1ms\n"
    text = noise + '{"requests":7,"errors":0,"us":5000000,"p50_us":9,"p99_us":12}\n'
    assert read_load(text) == Load(requests=7, seconds=5.0, p50_us=9.0, p99_us=12.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unable to connect to 127.0.0.1:1 Connection refused\n",
        '{"requests":7,"errors":1,"us":5000000,"p50_us":9,"p99_us":12}',
        '{"requests":0,"errors":0,"us":5000000,"p50_us":0,"p99_us":0}',
    ],
)
def test_a_load_with_errors_or_without_answers_is_no_measurement(text: str) -> None:
    with pytest.raises(BrokenLoadError):
        read_load(text)
