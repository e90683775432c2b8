"""The benchmark's arithmetic."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.entries import Entry, Measured, Sample, bound, entry_of
from bench.held import displaced
from bench.load import BrokenLoadError, Load, read_load
from bench.report import as_json, as_text, verdicts
from bench.stats import Row, Spread, Turn, cpu_us, ratios, spread, turns

NUMBERS = st.lists(st.floats(min_value=0, max_value=1e9), min_size=1, max_size=9)


def row(*values: float, aim: float | None = None, must: bool = False) -> Row:
    return Row(case="held", figure="memory", unit="KiB", values=values, aim=aim, must=must)


def entry(contender: str, *cpu: float, rps: float = 1000.0) -> Entry:
    samples = tuple(
        Sample(rps=rps, p50_ms=1.0, p99_ms=2.0, cpu_us=used, rss_mb=50.0, peak_mb=60.0)
        for used in cpu
    )
    return Entry(case="warm, c=32", contender=contender, samples=samples)


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


@pytest.mark.parametrize(
    ("answered", "places"), [([0, 1, 2, 3], 0), ([1, 0, 2, 3], 1), ([3, 0, 1, 2], 3), ([0], 0)]
)
def test_who_was_answered_furthest_from_their_turn(answered: list[int], places: int) -> None:
    assert displaced(answered) == places


def test_cpu_per_request_is_in_microseconds() -> None:
    assert cpu_us(0.5, 20_000) == 25.0
    with pytest.raises(ValueError, match="no request"):
        cpu_us(0.5, 0)


@pytest.mark.parametrize(("aim", "met"), [(None, None), (20.0, True), (19.9, False)])
def test_an_aim_is_kept_by_the_median(aim: float | None, met: bool | None) -> None:
    assert row(1.0, 20.0, 90.0, aim=aim).met is met


@pytest.mark.parametrize(
    ("aim", "must", "fails"),
    [(15.0, True, True), (20.0, True, False), (15.0, False, False), (None, True, False)],
)
def test_only_what_must_hold_fails_the_run(aim: float | None, must: bool, fails: bool) -> None:
    assert row(10.0, 20.0, 30.0, aim=aim, must=must).fails is fails


def test_a_bound_is_over_the_peer_of_the_same_round() -> None:
    entries = [entry("ebbtide", 30.0, 10.0, 20.0), entry("envoy", 60.0, 10.0, 100.0)]
    assert bound(entries, "envoy", 0.65) == (
        Row(
            case="warm, c=32",
            figure="CPU, ebbtide / envoy",
            unit="x",
            values=(0.5, 1.0, 0.2),
            aim=0.65,
            must=True,
        ),
    )


def test_no_bound_is_made_up_for_a_peer_that_took_no_part() -> None:
    assert bound([entry("ebbtide", 30.0)], "go", 0.5) == ()
    assert entry_of([entry("ebbtide", 30.0)], "go") is None


MEASURED = Measured(
    entries=(entry("ebbtide", 30.0, 10.0, 20.0, rps=26600.4), entry("envoy", 60.0, 10.0, 100.0)),
    rows=(row(30.0, 10.0, 20.0, aim=15.0, must=True), row(1.0, aim=2.0), row(1.5)),
    missing=("go: not on PATH",),
)


def test_the_text_shows_contenders_then_figures() -> None:
    lines = [" ".join(line.split()) for line in as_text(MEASURED).splitlines() if line]
    assert lines[0].startswith("warm, c=32 1/s p50 ms")
    assert lines[1] == "ebbtide 26,600 1.00 2.00 10.0 20.0 30.0 0.50 50.0 60.0"
    assert lines[2] == "envoy 1,000 1.00 2.00 10.0 60.0 100 1.00 50.0 60.0"
    assert lines[4] == "held: memory KiB 10.0 20.0 30.0 15 must hold: missed"
    assert lines[5] == "held: memory KiB 1.00 1.00 1.00 2 aim: met"
    assert lines[6] == "held: memory KiB 1.50 1.50 1.50 -"
    assert len(lines) == 7


def test_columns_stand_below_each_other() -> None:
    table = as_text(MEASURED).split("\n\n")[0].splitlines()
    assert len({len(line) for line in table}) == 1, table


def test_the_last_word_has_what_must_hold_what_broke_and_what_is_missing() -> None:
    other = Measured(rows=(row(1.0, aim=2.0, must=True),), missing=("go: not on PATH",))
    said = verdicts([MEASURED, other, other], {"tls": "ebbtide ended with 3"}).splitlines()
    assert [" ".join(line.split()) for line in said] == [
        "what must hold unit min median max at most",
        "held: memory KiB 10.0 20.0 30.0 15 must hold: missed",
        "held: memory KiB 1.00 1.00 1.00 2 must hold: met",
        "held: memory KiB 1.00 1.00 1.00 2 must hold: met",
        "2 met, 1 missed",
        "broke: tls: ebbtide ended with 3",
        "not measured: go: not on PATH",
    ]


def test_the_json_keeps_every_value() -> None:
    made = as_json([MEASURED], facts={"rounds": 3})
    assert made["rounds"] == 3
    assert made["not_measured"] == ["go: not on PATH"]
    assert made["contenders"][0] == {
        "case": "warm, c=32",
        "contender": "ebbtide",
        "rps": 26600.4,
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "cpu_us_per_request": 20.0,
        "rss_mb": 50.0,
        "peak_mb": 60.0,
        "ratio_to_envoy": 0.5,
        "cpu_us_by_round": [30.0, 10.0, 20.0],
        "rps_by_round": [26600.4, 26600.4, 26600.4],
    }
    assert made["figures"][0] == {
        "case": "held",
        "figure": "memory",
        "unit": "KiB",
        "values": [30.0, 10.0, 20.0],
        "min": 10.0,
        "median": 20.0,
        "max": 30.0,
        "at_most": 15.0,
        "must_hold": True,
        "met": False,
    }


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
