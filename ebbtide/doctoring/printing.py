"""How `ebbtide doctor` tells its findings: to a person, and as JSON."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ebbtide.doctoring.facts import Access, Facts, Finding, Level, Section

__all__ = ["as_json", "show"]

_MARKS = {
    Level.FINE: ("✓", "green"),
    Level.NOTE: ("·", "dim"),
    Level.WARNING: ("!", "bold yellow"),
    Level.ERROR: ("✗", "bold red"),
}
_TITLES = {
    Section.CLUSTER: "Cluster",
    Section.PERMISSIONS: "Permissions",
    Section.GPUS: "GPUs",
    Section.MONITORS: "GPU measurements",
    Section.REDIS: "Redis",
    Section.DEPLOYMENTS: "Deployments",
}


def show(console: Console, facts: Facts, found: Sequence[Finding]) -> None:
    """A part for each section, and how many of what there were."""
    for section in Section:
        console.print(Text(_TITLES[section], style="bold"))
        told = [one for one in found if one.section is section]
        for number, one in enumerate(told, 1):
            # Of several with one remedy the last has it.
            last = number == len(told) or told[number].advice != one.advice
            _print(console, one, advised=last)
        if section is Section.PERMISSIONS:
            _print_table(console, facts.access)
    counts = {level: sum(one.level is level for one in found) for level in Level}
    console.print(
        Text(
            f"{_count(counts[Level.ERROR], 'error')}, {_count(counts[Level.WARNING], 'warning')}",
            style="bold red" if counts[Level.ERROR] else "bold green",
        )
    )


def _print(console: Console, one: Finding, *, advised: bool) -> None:
    mark, style = _MARKS[one.level]
    about = f"{one.about}: " if one.about and one.section is Section.DEPLOYMENTS else ""
    line = Text.assemble("  ", (mark, style), f" {_plain(about)}{_plain(one.what)}")
    console.print(line)
    if advised and one.advice and one.level is not Level.FINE:
        console.print(Text(f"    → {_plain(one.advice)}", style="dim"))


def _print_table(console: Console, access: Sequence[Access]) -> None:
    """A row for each resource, a column for each who asks something of it."""
    columns = list(dict.fromkeys(_column(one) for one in access))
    rows: dict[tuple[str, str], dict[str, Text]] = {}
    for one in access:
        permission = one.permission
        resource = ".".join(part for part in (permission.resource, permission.group) if part)
        cells = rows.setdefault((resource, one.namespace or "all"), {})
        cell = cells.setdefault(_column(one), Text())
        cell.append(" " if cell else "").append_text(_answer(one))
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("  ", "RESOURCE", "NAMESPACE", *map(str.upper, columns)):
        table.add_column(title, no_wrap=True)
    for key, cells in sorted(rows.items()):
        table.add_row("  ", *key, *(cells.get(column, Text("-", "dim")) for column in columns))
    console.print(table)


def _column(access: Access) -> str:
    return access.permission.component.value


def _answer(access: Access) -> Text:
    verb = access.permission.verb
    match access.allowed:
        case None:
            return Text(f"?{verb}", "yellow")
        case True:
            return Text(verb, "green")
        case False:
            style = "bold red" if access.permission.needed else "bold yellow"
            return Text(f"✗{verb}", style)


def _plain(text: str) -> str:
    # A line break in a value from outside must not look like another line of ours.
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def as_json(facts: Facts, found: Sequence[Finding]) -> str:
    """One object. Fields are only ever added."""
    answer = {
        "ok": all(one.level is not Level.ERROR for one in found),
        "server": facts.server,
        "version": facts.version,
        "namespaces": list(facts.namespaces),
        "own_namespace": facts.own,
        "findings": [
            {
                "section": one.section.value,
                "level": one.level.value,
                "about": one.about or None,
                "what": one.what,
                "advice": one.advice or None,
            }
            for one in found
        ],
        "permissions": [_permission(one) for one in facts.access],
        "gpus": [
            {"gpu_class": pool.name, "total": pool.total, "free": pool.free}
            for pool in facts.fleet.gpus
        ],
        "nodes": [
            {"node": one.name, "gpu_class": one.gpu_class, "total": one.total, "free": one.free}
            for one in facts.fleet.nodes
        ],
        "registered": sorted(facts.fleet.revisions),
        "refused": sorted(
            {
                problem.deployment
                for problem in facts.fleet.problems
                if not problem.warning and problem.deployment not in facts.fleet.revisions
            }
        ),
    }
    return f"{json.dumps(answer, indent=2)}\n"


def _permission(access: Access) -> dict[str, object]:
    permission = access.permission
    return {
        "component": permission.component.value,
        "account": access.subject.name or None,
        "group": permission.group,
        "resource": permission.resource,
        "verb": permission.verb,
        "namespace": access.namespace or None,
        "allowed": access.allowed,
        "needed": permission.needed,
        "use": permission.use,
    }
