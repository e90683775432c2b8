"""The picture for the README: CPU per request over Envoy's, case by case, out of a run's JSON.

``python -m bench.plot [REPORT.json [PICTURE.svg]]`` makes `docs/bench.svg` from the latest run. The
picture is a function of the report alone: the date and the machine in it are the report's.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

__all__ = ["plot"]

_ROOT = Path(__file__).resolve().parent.parent
_DRAWN = {"ebbtide": "ebbtide", "go": "Go ReverseProxy", "nginx": "nginx"}
"""Contenders beside Envoy, and what they are called in the picture."""
_WIDTH, _LEFT, _RIGHT, _TOP = 920, 220, 70, 92
_BAR, _GAP, _BETWEEN = 11, 3, 13
_MOST = 2.5
"""Where the scale ends; a longer bar is cut, and its figure says how long it is."""
_STYLE = """
    .paper { fill: #ffffff; }
    .ebbtide { fill: #0969da; }
    .go { fill: #afb8c1; }
    .nginx { fill: #d4a72c; }
    .grid { stroke: #d1d9e0; stroke-width: 1; }
    .envoy { stroke: #57606a; stroke-width: 1.5; stroke-dasharray: 5 4; }
    text { fill: #1f2328; }
    .quiet { fill: #59636e; font-size: 12px; }
    .figure { font-size: 11px; }
    .bold { font-weight: 600; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; }
      .ebbtide { fill: #58a6ff; }
      .go { fill: #6e7681; }
      .nginx { fill: #9e6a03; }
      .grid { stroke: #30363d; }
      .envoy { stroke: #b1bac4; }
      text { fill: #f0f6fc; }
      .quiet { fill: #b1bac4; }
    }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    contender: str
    ratio: float


def plot(report: Mapping[str, Any]) -> str:
    """The report's picture, an SVG. Raises `ValueError` when nothing in it stands beside Envoy."""
    cases = _cases(report["contenders"])
    if not cases:
        msg = "no case of the report has figures over Envoy's"
        raise ValueError(msg)
    heights = [len(bars) * (_BAR + _GAP) + _BETWEEN for bars in cases.values()]
    bottom = _TOP + sum(heights)
    parts = [*_head(bottom + 58), *_scale(bottom)]
    top = _TOP + _BETWEEN / 2
    for (case, bars), height in zip(cases.items(), heights, strict=True):
        parts += _group(case, bars, top)
        top += height
    parts += [*_foot(report, bottom), "</svg>"]
    return "\n".join(parts) + "\n"


def _cases(contenders: Sequence[Mapping[str, Any]]) -> dict[str, list[_Bar]]:
    """By case, in the order of the run; ebbtide's bar first."""
    found: dict[str, list[_Bar]] = {}
    for name in _DRAWN:
        for entry in contenders:
            ratio = entry["ratio_to_envoy"]
            if entry["contender"] == name and ratio is not None:
                found.setdefault(entry["case"], []).append(_Bar(contender=name, ratio=ratio))
    order = list(dict.fromkeys(entry["case"] for entry in contenders))
    return dict(sorted(found.items(), key=lambda item: order.index(item[0])))


def _head(height: float) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" role="img" '
        'aria-labelledby="title" font-family="ui-sans-serif, system-ui, -apple-system, '
        "'Segoe UI', Roboto, 'DejaVu Sans', sans-serif\" font-size=\"13\">"
    )
    yield '  <title id="title">CPU time per request as a ratio to Envoy, case by case</title>'
    yield f"  <style>{_STYLE}  </style>"
    yield f'  <rect class="paper" width="{_WIDTH}" height="{height:g}" rx="8"/>'
    yield _text(24, 34, "CPU time per request, Envoy = 1", kind="bold", size=16)
    left = 24.0
    for name, called in _DRAWN.items():
        yield f'  <rect class="{name}" x="{left:g}" y="50" width="12" height="12" rx="2"/>'
        yield _text(left + 18, 61, called, kind="quiet")
        left += 40 + 7 * len(called)
    yield _text(_WIDTH - 24, 61, "shorter is better", kind="quiet", anchor="end")


def _scale(bottom: float) -> Iterator[str]:
    step = 0.5
    for number in range(int(_MOST / step) + 1):
        value = number * step
        kind = "envoy" if value == 1 else "grid"
        at = _x(value)
        yield f'  <line class="{kind}" x1="{at:g}" y1="{_TOP}" x2="{at:g}" y2="{bottom:g}"/>'
        label = "Envoy" if value == 1 else f"{value:g}"
        yield _text(at, _TOP - 8, label, kind="quiet", anchor="middle")


def _group(case: str, bars: Sequence[_Bar], top: float) -> Iterator[str]:
    middle = top + len(bars) * (_BAR + _GAP) / 2 + 3
    yield _text(_LEFT - 14, middle, case, anchor="end")
    for number, bar in enumerate(bars):
        y = top + number * (_BAR + _GAP)
        end = _x(min(bar.ratio, _MOST))
        yield (
            f'  <rect class="{bar.contender}" x="{_LEFT}" y="{y:g}" '
            f'width="{end - _LEFT:.1f}" height="{_BAR}" rx="2"/>'
        )
        more = " \N{RIGHTWARDS ARROW}" if bar.ratio > _MOST else ""
        yield _text(end + 5, y + _BAR - 1.5, f"{bar.ratio:.2f}{more}", kind="figure")


def _foot(report: Mapping[str, Any], bottom: float) -> Iterator[str]:
    envoy = report["versions"].get("envoy", "")
    version = next((part for part in envoy.split("/") if part[:1].isdigit() and "." in part), "")
    run = (
        f"make bench, {report['at'][:10]}: {report['rounds']} rounds of {report['seconds']} s in "
        f"turns, ratios within a round, medians"
    )
    machine = (
        f"{report['cores']} cores, Linux {report['kernel'].partition('-')[0]}, "
        f"CPython {report['python']}, Envoy {version}, load before {report['load_before']:.1f}"
    )
    yield _text(24, bottom + 26, run, kind="quiet")
    yield _text(24, bottom + 44, machine, kind="quiet")


def _x(ratio: float) -> float:
    return round(_LEFT + ratio / _MOST * (_WIDTH - _LEFT - _RIGHT), 1)


def _text(
    x: float, y: float, text: str, *, kind: str = "", anchor: str = "start", size: int = 0
) -> str:
    more = f' class="{kind}"' if kind else ""
    more += f' text-anchor="{anchor}"' if anchor != "start" else ""
    more += f' font-size="{size}"' if size else ""
    return f'  <text x="{x:g}" y="{y:g}"{more}>{escape(text)}</text>'


def _main(arguments: Sequence[str]) -> None:
    source = Path(arguments[0]) if arguments else _ROOT / "bench" / "out" / "latest.json"
    target = Path(arguments[1]) if len(arguments) > 1 else _ROOT / "docs" / "bench.svg"
    target.write_text(plot(json.loads(source.read_text())))
    print(f"drew {target} from {source}")


if __name__ == "__main__":
    _main(sys.argv[1:])
