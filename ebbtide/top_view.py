"""What `ebbtide top` shows: one screen made of what the admin port said."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

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


def screen(told: Mapping[str, Any], *, width: int, trouble: str | None = None) -> RenderableType:
    """The summary line, the table of models, and what went wrong with the last question.

    `width` is in columns; a narrow screen shows fewer figures, not shorter names.
    """
    wide = width >= _WIDE
    parts: list[RenderableType] = [_summary(told, wide=wide)]
    away = _away(told["process"])
    if away:
        parts.append(Text(away, style="bold yellow"))
    parts.append(_table(told, wide=wide))
    if not told["models"]:
        parts.append(Text("No model is registered.", style="dim"))
    if trouble is not None:
        parts.append(Text(trouble, style="bold red"))
    return Group(*parts)


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
        f"  cost {_money(money['cost'])} {currency} in {_seconds(cost['seconds'])}",
        (f"  saved {_money(money['saved'])} {currency}", "green"),
    )


def _away(process: Mapping[str, Any]) -> str:
    """What the process that tells us has lost touch with; empty: nothing."""
    cut = (("the API server", process["cluster_cut_s"]), ("Redis", process["bus_cut_s"]))
    gone = [f"{what} for {_seconds(seconds)}" for what, seconds in cut if seconds]
    return f"not heard of: {', '.join(gone)}; what is shown may be old" if gone else ""


def _table(told: Mapping[str, Any], *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    costs = {line["revision"]: line for line in told["cost"]["models"]}
    rows = [_row(model, costs.get(model["revision"])) for model in told["models"]]
    for name in rows[0] if rows else ():
        if wide or name not in _ONLY_WIDE:
            table.add_column(name, justify="left" if name in _LEFT else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(cell for name, cell in row.items() if wide or name not in _ONLY_WIDE))
    return table


def _row(model: Mapping[str, Any], line: Mapping[str, Any] | None) -> Mapping[str, Text]:
    replicas = model["replicas"]
    return {
        "MODEL": Text(model["model"], style="bold"),
        "PHASE": _phase(model),
        "READY": Text(f"{replicas['ready']}/{replicas['desired']}"),
        "GPU": _count(model["gpus"]),
        "WAIT": _count(model["waiting"], "yellow"),
        "RUN": _count(model["running"], "green"),
        "REQUESTS": _count(model["requests"]),
        "ERRORS": _count(model["errors"], "bold red"),
        "COLD": _count(model["cold_starts"]),
        "LAST": Text(_seconds(model["last_cold_start_s"])),
        "IDLE": Text(_seconds(model["idle_s"])),
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


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for limit, size, unit in ((10, 1, "s"), (120, 1, "s"), (7200, 60, "m")):
        if seconds < limit:
            return f"{seconds / size:.1f}{unit}" if limit == 10 else f"{seconds / size:.0f}{unit}"
    return f"{seconds / 3600:.1f}h"
