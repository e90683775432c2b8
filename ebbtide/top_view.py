"""What `ebbtide top` shows: one screen made of what the admin port said."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ebbtide.top_notes import alerts, cut, duration, explained, printable, unserved

__all__ = ["screen"]

_STYLES = {
    "ready": "green",
    "loading": "yellow",
    "pending": "blue",
    "draining": "magenta",
    "failed": "bold red",
    "asleep": "dim",
}
_MARKS = {"ready": "●", "loading": "◐", "pending": "◌", "draining": "◑", "failed": "✗"}
_LEFT = ("MODEL", "PHASE")
_WIDE = 110
_ONLY_WIDE = ("REQUESTS", "ERRORS", "COLD", "LAST", "IDLE", "SAVED")
"""Left out where there is no room for them."""
_GAP = 3
"""Columns between two of the table's."""
_HEADER_ROWS = 2


def screen(
    told: Mapping[str, Any], *, width: int, height: int | None = None, trouble: str | None = None
) -> RenderableType:
    """The summary line, what is amiss, the table of models, and what there is to say of them.

    `width` is in columns; a narrow screen shows fewer figures, and cuts the middle out of long
    names. Of more models than `height` has rows for, those that sleep give way first.
    `trouble` is what went wrong with the last question.
    """
    wide = width >= _WIDE
    head = [_summary(told, wide=wide), *_trouble(trouble), *alerts(told["process"])]
    below = [*unserved(told, width=width), *explained(told["models"])]
    if not told["models"] and not told["process"].get("unready"):
        below.insert(0, Text("No model is registered.", style="dim"))
    taken = sum(-(-len(line) // width) for line in head) + len(below) + _HEADER_ROWS
    room = None if height is None else height - taken
    models = _fitting(told["models"], room)
    left_out = len(told["models"]) - len(models)
    if left_out:
        below.insert(0, Text(f"… and {left_out} more models; --once prints all", style="dim"))
    rows = _rows(told, models, wide=wide)
    return Group(*head, _table(rows, width=width), *below)


def _trouble(said: str | None) -> list[Text]:
    lines = () if said is None else said.splitlines()
    return [Text(printable(line), style="bold red") for line in lines]


def _fitting(models: Sequence[Mapping[str, Any]], room: int | None) -> Sequence[Mapping[str, Any]]:
    """All, or first those that are waited for, last those that sleep; in order of their names."""
    if room is None or len(models) <= room:
        return models
    kept = sorted(models, key=_calm)[: max(1, room - 1)]
    return sorted(kept, key=lambda model: str(model["model"]))


def _calm(model: Mapping[str, Any]) -> tuple[bool, bool]:
    troubled = model["waiting"] or model["phase"] == "failed"
    return not troubled, model["phase"] == "asleep" and not model["gpus"]


def _summary(told: Mapping[str, Any], *, wide: bool) -> Text:
    models, cost = told["models"], told["cost"]
    total = sum(pool["total"] for pool in told["gpus"])
    held = total - sum(pool["free"] for pool in told["gpus"])
    awake = sum(model["replicas"]["ready"] > 0 for model in models)
    currency, money = cost["currency"], cost["total"]
    requests = (
        f"  waiting {sum(model['waiting'] for model in models)}",
        f"  running {sum(model['running'] for model in models)}",
    )
    return Text.assemble(
        ("ebbtide", "bold"),
        f"  GPUs {held}/{total}",
        f"  awake {awake}/{len(models)}",
        *(requests if wide else ()),
        f"  cost {_money(money['cost'])} {currency} in {duration(cost['seconds'])}",
        (f"  saved {_money(money['saved'])} {currency}", "green"),
    )


def _rows(
    told: Mapping[str, Any], models: Sequence[Mapping[str, Any]], *, wide: bool
) -> list[dict[str, Text]]:
    costs = {line["revision"]: line for line in told["cost"]["models"]}
    rows = (_row(model, costs.get(model["revision"])) for model in models)
    return [{n: cell for n, cell in row.items() if wide or n not in _ONLY_WIDE} for row in rows]


def _table(rows: Sequence[dict[str, Text]], *, width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    names = tuple(rows[0]) if rows else ()
    _squeeze(rows, width - (len(names) - 1) * _GAP)
    for name in names:
        table.add_column(name, justify="left" if name in _LEFT else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    return table


def _squeeze(rows: Sequence[dict[str, Text]], width: int) -> None:
    """Cut names and reasons so that no figure has to go. `width`: of all the columns' text."""
    widest = {
        name: max(len(name), *(len(row[name]) for row in rows)) for row in rows for name in row
    }
    room = width - sum(columns for name, columns in widest.items() if name not in _LEFT)
    if not rows or widest["MODEL"] + widest["PHASE"] <= room:
        return
    name_room = min(widest["MODEL"], max(room - widest["PHASE"], room * 3 // 5))
    for row in rows:
        row["MODEL"] = Text(cut(row["MODEL"].plain, name_room), style=row["MODEL"].style)
        row["PHASE"].truncate(room - name_room, overflow="ellipsis")


def _row(model: Mapping[str, Any], line: Mapping[str, Any] | None) -> Mapping[str, Text]:
    replicas = model["replicas"]
    return {
        "MODEL": Text(printable(model["model"]), style="bold"),
        "PHASE": _phase(model),
        "READY": Text(f"{replicas['ready']}/{replicas['desired']}"),
        "GPU": _count(model["gpus"]),
        "WAIT": _count(model["waiting"], "yellow"),
        "RUN": _count(model["running"], "green"),
        "REQUESTS": _count(model["requests"]),
        "ERRORS": _count(model["errors"], "bold red"),
        "COLD": _count(model["cold_starts"]),
        "LAST": Text(duration(model["last_cold_start_s"])),
        "IDLE": Text(duration(model["idle_s"])),
        "COST": Text("-" if line is None else _money(line["cost"])),
        "SAVED": Text("-" if line is None else _money(line["saved"]), style="green"),
    }


def _phase(model: Mapping[str, Any]) -> Text:
    phase = model["phase"]
    shown = Text(f"{_MARKS.get(phase, '○')} {phase}", style=_STYLES.get(phase, ""))
    why = model["reason"] or ("second_writer" if model["second_writer"] else "")
    if why:
        shown.append(f" {why}", style="dim")
    return shown


def _count(number: int, style: str = "") -> Text:
    return Text(str(number), style=style if number else "dim")


def _money(amount: float) -> str:
    return f"{amount:.4f}" if amount < 10 else f"{amount:,.2f}"
