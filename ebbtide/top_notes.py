"""What `ebbtide top` says in lines beside its table: what is away or wrong, and others' words.

Rule 1: what there may be many of is told in a row each, cut at the terminal's width, and in a few
        rows: the table must stay on the screen.
Rule 2: much of it was written by others: nothing in it may steer the terminal.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

__all__ = ["alerts", "cut", "duration", "explained", "printable", "unserved"]

_MOST = 5
"""Lines of a kind; how many more there are is said."""
_LONGEST_VALUE = 24
_ROOMY = 110
"""Columns."""


def alerts(process: Mapping[str, Any]) -> list[Text]:
    """Why what is shown may be old, or not all there is."""
    told = []
    unready = process.get("unready")
    if unready:
        told.append(f"not ready: {unready['message']}")
    cut_off = [("the API server", process["cluster_cut_s"]), ("Redis", process["bus_cut_s"])]
    if not process["bus_cut_s"]:
        # Otherwise nothing can be heard of it.
        cut_off.append(("the autoscaler", process.get("leader_cut_s")))
    gone = [f"{what} for {duration(seconds)}" for what, seconds in cut_off if seconds]
    if gone:
        told.append(f"not heard of: {', '.join(gone)}; what is shown may be old")
    if process.get("bus_refused"):
        told.append("Redis refuses something: it is full, or its access list lacks something")
    return [Text(printable(each), style="bold yellow") for each in told]


def unserved(told: Mapping[str, Any], *, width: int) -> list[Text]:
    """A line for each Deployment or file with something wrong: the first of it. Warnings are not.

    `width` in columns; the name and the wrong value give way to what would be right.
    """
    served = {model["revision"] for model in told["models"]}
    first: dict[str, Mapping[str, Any]] = {}
    for problem in told.get("problems", ()):
        if not problem["warning"]:
            first.setdefault(problem["deployment"] or problem["source"], problem)
    lines = []
    for name, problem in first.items():
        where = cut(printable(name), max(12, width // 3))
        how = "wrong" if name in served or not problem["deployment"] else "not served"
        value = cut(printable(problem["value"]), _LONGEST_VALUE)
        key = problem["key"].removeprefix("" if width >= _ROOMY else "ebbtide.dev/")
        wrong = f"{key}: {value!r}" if value else key
        lines.append(_line(f"✗ {where} {how}: {wrong}: {problem['allowed']}", "red"))
    return _bounded(lines, "more with something wrong: /api/problems")


def explained(models: Sequence[Mapping[str, Any]]) -> list[Text]:
    """A line for each model whose phase the cluster, or who else scales it, has words for."""
    lines = [
        _line(f"{model['model']}: {words}", "dim") for model in models for words in _words(model)
    ]
    return _bounded(lines, "more like these: /api/models")


def _words(model: Mapping[str, Any]) -> Iterator[str]:
    if model.get("message"):
        yield model["message"]
    if model["second_writer"]:
        yield f"second_writer: {model['second_writer']}; ebbtide does not scale it"


def _bounded(lines: list[Text], rest: str) -> list[Text]:
    if len(lines) <= _MOST:
        return lines
    more = len(lines) - (_MOST - 1)
    return [*lines[: _MOST - 1], _line(f"… and {more} {rest}", "dim")]


def _line(said: str, style: str) -> Text:
    return Text(printable(said), style=style, no_wrap=True, overflow="ellipsis")


def printable(said: str) -> str:
    """On one line, and without what a terminal would obey."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in said)


def cut(name: str, most: int) -> str:
    """Its beginning and end, since names differ in both; at most `most` characters."""
    if len(name) <= most:
        return name
    tail = (most - 1) // 2
    return f"{name[: most - 1 - tail]}…{name[len(name) - tail :]}"


def duration(seconds: float | None) -> str:
    """As short as it is told at a glance."""
    if seconds is None:
        return "-"
    for limit, size, unit in ((10, 1, "s"), (120, 1, "s"), (7200, 60, "m")):
        if seconds < limit:
            return f"{seconds / size:.1f}{unit}" if limit == 10 else f"{seconds / size:.0f}{unit}"
    return f"{seconds / 3600:.1f}h"
