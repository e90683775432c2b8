"""How rows are shown: a table for people, a dict for `latest.json`. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.stats import Row

__all__ = ["as_json", "as_table"]

_HEAD = ("case", "figure", "unit", "min", "median", "max", "aim", "")
_NUMBERS = slice(3, 7)


def as_table(rows: Sequence[Row]) -> str:
    """A table in plain text; the verdict is about the median."""
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    return "\n".join(_line(line, widths) for line in cells)


def as_json(rows: Sequence[Row], *, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The same with every single value, after the `facts` of the run."""
    return {**facts, "rows": [_dict(row) for row in rows]}


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = range(len(cells))[_NUMBERS]
    padded = (
        cell.rjust(width) if column in numbers else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    found = row.spread
    verdict = {None: "-", True: "met", False: "missed"}[row.met]
    aim = "-" if row.aim is None else f"{row.aim:g}"
    numbers = (_number(value) for value in (found.low, found.median, found.high))
    return (row.case, row.figure, row.unit, *numbers, aim, verdict)


def _number(value: float) -> str:
    """Three digits that matter."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _dict(row: Row) -> dict[str, Any]:
    found = row.spread
    return {
        "case": row.case,
        "figure": row.figure,
        "unit": row.unit,
        "values": list(row.values),
        "min": found.low,
        "median": found.median,
        "max": found.high,
        "aim": row.aim,
        "met": row.met,
    }
