"""The benchmark's picture is drawn from a report, and shows what is in it."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from bench.plot import plot

SVG = "{http://www.w3.org/2000/svg}"


def entry(case: str, contender: str, ratio: float | None) -> dict[str, Any]:
    return {"case": case, "contender": contender, "ratio_to_envoy": ratio}


def report(*entries: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": "2026-11-21T16:00:00Z",
        "rounds": 5,
        "seconds": 2,
        "cores": 2,
        "kernel": "6.1.0-x",
        "python": "3.11.7",
        "load_before": 0.25,
        "versions": {"envoy": "9e55/1.40.0/Clean/RELEASE/BoringSSL"},
        "contenders": list(entries),
    }


REPORT = report(
    entry("warm <c=32>", "envoy", 1.0),
    entry("warm <c=32>", "go", 2.0),
    entry("warm <c=32>", "ebbtide", 0.5),
    entry("streams", "ebbtide", 4.25),
    entry("streams", "envoy", 1.0),
    entry("alone", "ebbtide", None),
)


def drawn(made: str, tag: str) -> list[ET.Element]:
    return list(ET.fromstring(made).iter(f"{SVG}{tag}"))


def texts(made: str) -> list[str]:
    return ["".join(text.itertext()) for text in drawn(made, "text")]


def bars(made: str) -> list[tuple[str, float]]:
    """(contender, width) of the bars; the key's boxes and the paper are no bars."""
    return [
        (bar.get("class", ""), float(bar.get("width", "0")))
        for bar in drawn(made, "rect")
        if bar.get("height") == "11"
    ]


def test_a_bar_is_as_long_as_its_ratio_and_ours_comes_first() -> None:
    found = bars(plot(REPORT))
    assert [name for name, _ in found] == ["ebbtide", "go", "ebbtide"]
    assert found[1][1] == pytest.approx(4 * found[0][1], abs=0.5)


def test_what_leaves_the_scale_is_cut_and_says_how_long_it_is() -> None:
    made = plot(REPORT)
    longest = max(width for _, width in bars(made))
    assert longest == pytest.approx(2.5 / 0.5 * bars(made)[0][1], abs=0.5)
    assert any(text.startswith("4.25 ") for text in texts(made))


def test_cases_are_named_in_the_order_of_the_run_and_only_those_beside_envoy() -> None:
    found = texts(plot(REPORT))
    assert found.index("warm <c=32>") < found.index("streams")
    assert "alone" not in found


def test_the_picture_says_where_it_comes_from() -> None:
    found = " ".join(texts(plot(REPORT)))
    assert "make bench, 2026-11-21: 5 rounds of 2 s" in found
    assert "2 cores, Linux 6.1.0, CPython 3.11.7, Envoy 1.40.0" in found


def test_the_same_report_gives_the_same_picture() -> None:
    assert plot(REPORT) == plot(REPORT)


def test_nothing_beside_envoy_is_no_picture() -> None:
    with pytest.raises(ValueError, match="no case"):
        plot(report(entry("alone", "ebbtide", None), entry("alone", "envoy", 1.0)))
