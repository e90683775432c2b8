"""`ebbtide check`: what is wrong in manifests, and what was understood of the rest.

One line each, so that it can be read in a terminal and searched in a build's log. Exit codes: 0
nothing is wrong (there may be warnings); 1 something is; 2 a path cannot be read.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from fleet.annotations import PREFIX
from fleet.cluster.local.manifests import Manifests, read_manifests
from fleet.model import Problem, Revision, Served
from fleet.registry import settle

__all__ = ["HELP", "arguments", "run"]

HELP = "Say what is wrong in manifests, and what was understood."
_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}
_WIDTH = 9


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="FILE|DIR",
        help="manifests (YAML or JSON), or folders with manifests in them",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Check `args.paths`; returns the exit code."""
    unreadable = [path for path in args.paths if not os.access(path, os.R_OK)]
    for path in unreadable:
        why = "cannot be read" if path.exists() else "no such file or folder"
        sys.stderr.write(f"ebbtide check: {path}: {why}\n")
    if unreadable:
        return 2
    manifests = read_manifests(args.paths)
    settled = settle([deployment.revision for deployment in manifests.deployments])
    problems = (*manifests.problems, *settled.problems)
    if args.json:
        sys.stdout.write(_json(manifests, settled.accepted, problems))
    else:
        console = Console(soft_wrap=True, no_color=bool(environ.get("NO_COLOR")))
        _print(console, manifests, settled.accepted, problems)
    return 1 if any(not problem.warning for problem in problems) else 0


def _print(
    console: Console,
    manifests: Manifests,
    revisions: Sequence[Revision],
    problems: Sequence[Problem],
) -> None:
    for revision in revisions:
        for model in revision.models:
            _line(console, "ok", _understood(revision, model))
    # What is wrong comes last, where it is still on the screen.
    for problem in sorted(problems, key=lambda each: not each.warning):
        _line(console, "warning" if problem.warning else "error", str(problem))
    models = sum(len(revision.models) for revision in revisions)
    warnings = sum(problem.warning for problem in problems)
    counts = (
        _count(models, "model"),
        _count(len(problems) - warnings, "error"),
        _count(warnings, "warning"),
    )
    if not models and not problems:
        console.print(Text(f"No Deployment here has the annotation {PREFIX}model."))
    console.print(Text(f"{', '.join(counts)} in {_count(len(manifests.files), 'file')}"))


def _line(console: Console, word: str, rest: str) -> None:
    # A line break in a value from outside must not look like another line of ours.
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in rest)
    console.print(Text.assemble((f"{word:<{_WIDTH}}", _STYLES[word]), shown))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _understood(revision: Revision, model: Served) -> str:
    policy, ports = revision.policy, revision.ports
    numbers = [port for port in (ports.http, ports.grpc, ports.metrics) if port is not None]
    parts = [
        f"{revision.runtime.value} on {_plural('port', numbers)}",
        _count(revision.gpus, "GPU"),
        f"replicas {policy.minimum} to {policy.max_replicas}",
        f"slots {_or_auto(policy.slots)}",
        f"keep-alive {_or_auto(policy.keep_alive, ' s')}",
    ]
    if model.served != model.name:
        parts.insert(0, f"served as {model.served}")
    if policy.pinned:
        parts.append("pinned")
    if policy.priority:
        parts.append(f"priority {policy.priority}")
    parts.append(f"mode {policy.mode.value}")
    return f"{model.name}: {revision.name} in {revision.source}: {', '.join(parts)}"


def _plural(noun: str, numbers: Sequence[int]) -> str:
    return f"{noun}{'' if len(numbers) == 1 else 's'} {' '.join(map(str, numbers))}"


def _or_auto(value: float | None, unit: str = "") -> str:
    return "auto" if value is None else f"{value:g}{unit}"


def _json(manifests: Manifests, revisions: Sequence[Revision], problems: Sequence[Problem]) -> str:
    answer = {
        "ok": all(problem.warning for problem in problems),
        "files": [str(file) for file in manifests.files],
        "models": [_model(revision, model) for revision in revisions for model in revision.models],
        "problems": [
            {
                "source": problem.source,
                "deployment": problem.deployment,
                "key": problem.key,
                "value": problem.value,
                "allowed": problem.allowed,
                "warning": problem.warning,
            }
            for problem in problems
        ],
    }
    return f"{json.dumps(answer, indent=2)}\n"


def _model(revision: Revision, model: Served) -> dict[str, object]:
    policy, ports = revision.policy, revision.ports
    return {
        "model": model.name,
        "served": model.served,
        "revision": revision.name,
        "source": revision.source,
        "runtime": revision.runtime.value,
        "ports": {"http": ports.http, "grpc": ports.grpc, "metrics": ports.metrics},
        "gpus": revision.gpus,
        "mode": policy.mode.value,
        "min_replicas": policy.min_replicas,
        "max_replicas": policy.max_replicas,
        "slots": policy.slots,
        "keep_alive_s": policy.keep_alive,
        "pinned": policy.pinned,
        "priority": policy.priority,
    }
