"""Makes docs/settings.md of fleet/settings.py: each field, its default, the string under it.

``python -m scripts.settings_page`` writes the page, and what the chart takes of them
(`scripts.chart_settings`); house tests hold both to it.
"""

import ast
import inspect
import itertools
from dataclasses import fields
from pathlib import Path

from fleet import settings
from fleet.setting_values import DURATIONS
from fleet.settings import Settings

__all__ = ["explained", "page"]

_PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
_HEAD = """# Settings

Set in the environment of `ebbtide`, or in a file that `--settings FILE` names: lines of
`NAME=value`, taken as they stand (no quotes), empty ones and those that begin with `#` left
out. The environment wins over the file, the flags of a command over both. A wrong value, or a name
that does not exist, ends the start with a message for each. Durations are plain
seconds or like `90s`, `5m`, `1h30m`; sizes are plain bytes or like `64Ki`, `1Gi`.

SIGHUP reads the file again. What is marked *live* holds at once, for new requests and connections;
what is not is named in the log, and waits for a restart. With anything wrong in the file nothing
changes, and the log has a line for each fault. (The environment of a running process cannot change,
so a setting that is to be changed live belongs in the file, and not in both.)

What concerns one model is not here: it is an annotation of its Deployment (see the
[README](../README.md#annotations)).

| variable | default | live | what it is |
|---|---|---|---|
"""
_FOOT = "\nMade by `python -m scripts.settings_page` from `fleet/settings.py`.\n"


def page() -> str:
    """The whole page."""
    said, live = explained(), settings.live_settings()
    rows = [
        f"| `EBBTIDE_{field.name.upper()}` | {_shown(field.name)} "
        f"| {'live' if field.name in live else ''} | {said[field.name]} |\n"
        for field in fields(Settings)
    ]
    return _HEAD + "".join(rows) + _FOOT


def explained() -> dict[str, str]:
    """The string under each field."""
    tree = ast.parse(inspect.getsource(Settings))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found = {}
    for field, text in itertools.pairwise(body):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(said))),
            ):
                found[name] = " ".join(said.split())
    return found


def _shown(name: str) -> str:
    default = getattr(Settings(), name)
    match default:
        case bool():
            text = str(default).lower()
        case float():
            text = f"{default:g}s" if name in DURATIONS else f"{default:g}"
        case int() if default and default % 2**20 == 0:
            text = f"{default // 2**20}Mi"
        case int() if default and default % 2**10 == 0:
            text = f"{default // 2**10}Ki"
        case _:
            text = str(default)
    return f"`{text}`" if text else "empty"


if __name__ == "__main__":
    from scripts import chart_settings

    _PAGE.write_text(page())
    chart_settings.write()
