"""How what was measured is shown: tables for people, a dict for the JSON. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.entries import Entry, Measured, entry_of
from bench.stats import Row, ratios

__all__ = ["as_json", "as_text", "verdicts"]

_CONTENDERS = (
    "",
    "1/s",
    "p50 ms",
    "p99 ms",
    "CPU us: min",
    "median",
    "max",
    "x Envoy",
    "RSS MB",
    "peak",
)
_FIGURES = ("", "unit", "min", "median", "max", "at most", "")


def as_text(measured: Measured) -> str:
    """A case in plain text: who was how fast, then what was aimed for and what came out."""
    parts = []
    for case in dict.fromkeys(entry.case for entry in measured.entries):
        entries = [entry for entry in measured.entries if entry.case == case]
        cells = [(case, *_CONTENDERS[1:]), *(_contender(entry, entries) for entry in entries)]
        parts.append(_table(cells))
    if measured.rows:
        parts.append(_table([_FIGURES, *(_figure(row) for row in measured.rows)]))
    return "\n\n".join(parts)


def verdicts(measured: Sequence[Measured], broken: Mapping[str, str]) -> str:
    """The last word: every figure that must hold, then what broke and what is missing."""
    rows = [row for each in measured for row in each.rows if row.must]
    missed = sum(row.fails for row in rows)
    table = _table([("what must hold", *_FIGURES[1:]), *(_figure(row) for row in rows)])
    lines = [table] if rows else []
    lines += [f"{len(rows) - missed} met, {missed} missed"]
    lines += [f"broke: {case}: {reason}" for case, reason in broken.items()]
    lines += [f"not measured: {line}" for line in _missing(measured)]
    return "\n".join(lines)


def as_json(measured: Sequence[Measured], *, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The same with every single value, after the `facts` of the run."""
    entries = [_entry_dict(entry, each.entries) for each in measured for entry in each.entries]
    rows = [_row_dict(row) for each in measured for row in each.rows]
    return {**facts, "not_measured": _missing(measured), "contenders": entries, "figures": rows}


def _missing(measured: Sequence[Measured]) -> list[str]:
    """Each line once, however many cases went without."""
    return list(dict.fromkeys(line for each in measured for line in each.missing))


def _table(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join(_line(line, widths) for line in cells)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first and the last column begin at their left, numbers end at their right."""
    padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    padded[0] = cells[0].ljust(widths[0])
    padded[-1] = padded[-1] if cells[-1][:1].isdigit() else cells[-1]
    return "  ".join(padded).rstrip()


def _contender(entry: Entry, among: Sequence[Entry]) -> tuple[str, ...]:
    cpu = (min(entry.cpu_us), statistics.median(entry.cpu_us), max(entry.cpu_us))
    ratio = _over_envoy(entry, among)
    return (
        f"  {entry.contender}",
        f"{entry.median('rps'):,.0f}",
        _number(entry.median("p50_ms")),
        _number(entry.median("p99_ms")),
        *(_number(value) for value in cpu),
        "-" if ratio is None else f"{ratio:.2f}",
        _number(entry.median("rss_mb")),
        _number(entry.median("peak_mb")),
    )


def _over_envoy(entry: Entry, among: Sequence[Entry]) -> float | None:
    envoy = entry_of([other for other in among if other.case == entry.case], "envoy")
    if envoy is None:
        return None
    return statistics.median(ratios(entry.cpu_us, envoy.cpu_us))


def _figure(row: Row) -> tuple[str, ...]:
    found = row.spread
    numbers = (_number(value) for value in (found.low, found.median, found.high))
    aim = "-" if row.aim is None else f"{row.aim:g}"
    return (f"{row.case}: {row.figure}", row.unit, *numbers, aim, _verdict(row))


def _verdict(row: Row) -> str:
    if row.met is None:
        return ""
    said = "met" if row.met else "missed"
    return f"must hold: {said}" if row.must else f"aim: {said}"


def _number(value: float) -> str:
    """Three digits that matter."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _entry_dict(entry: Entry, among: Sequence[Entry]) -> dict[str, Any]:
    return {
        "case": entry.case,
        "contender": entry.contender,
        "rps": entry.median("rps"),
        "p50_ms": entry.median("p50_ms"),
        "p99_ms": entry.median("p99_ms"),
        "cpu_us_per_request": entry.median("cpu_us"),
        "rss_mb": entry.median("rss_mb"),
        "peak_mb": entry.median("peak_mb"),
        "ratio_to_envoy": _over_envoy(entry, among),
        "cpu_us_by_round": list(entry.cpu_us),
        "rps_by_round": [sample.rps for sample in entry.samples],
    }


def _row_dict(row: Row) -> dict[str, Any]:
    found = row.spread
    return {
        "case": row.case,
        "figure": row.figure,
        "unit": row.unit,
        "values": list(row.values),
        "min": found.low,
        "median": found.median,
        "max": found.high,
        "at_most": row.aim,
        "must_hold": row.must,
        "met": row.met,
    }
