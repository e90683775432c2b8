"""What the pages have a reader call is what the chart makes."""

import re
from pathlib import Path

import pytest

from ebbtide.cli import _parser
from tests.kube.chart import CHART, render

ROOT = CHART.parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IN_IT = re.compile(r"kubectl (?:-n|--namespace) ebbtide (.+)")
OURS = re.compile(r"^(?:kubectl .* -- )?ebbtide (.+)$", flags=re.MULTILINE)
NAMED = re.compile(
    r"\b(service|secret|deployment|pvc|lease)[/ ]([a-z][a-z0-9-]*)(?: (?:\d+:)?(\d+))?"
)
OWN = {
    # Made by the reader, by the StatefulSet, and by ebbtide itself.
    ("secret", "generic"),
    ("pvc", "data-ebbtide-redis-0"),
    ("lease", "ebbtide-autoscaler"),
}


def called() -> list[tuple[str, str, str, str]]:
    """(page, kind, name, port) of each object in ebbtide's own namespace that a command names."""
    return [
        (page.name, *found)
        for page in PAGES
        for command in IN_IT.findall(page.read_text())
        for found in NAMED.findall(command)
        if tuple(found[:2]) not in OWN
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], set[int]]:
    """Its objects as it is installed without a word, and the ports of those that have any."""
    documents = render(values={}, folder=tmp_path_factory.mktemp("chart"), namespace="ebbtide")
    return {
        (one["kind"].lower(), one["metadata"]["name"]): {
            port["port"] for port in one.get("spec", {}).get("ports", ())
        }
        for one in documents
    }


def test_it_makes_what_commands_call(made: dict[tuple[str, str], set[int]]) -> None:
    found = called()
    assert len(found) >= 6
    for page, kind, name, port in found:
        assert (kind, name) in made, page
        assert not port or int(port) in made[kind, name], page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_command_line_takes_what_it_is_shown_with(page: Path) -> None:
    blocks = page.read_text().split("```")[1::2]
    for line in OURS.findall("\n".join(blocks)):
        words = line.split("#")[0].split("|")[0].split()
        try:
            _parser(words[:1]).parse_args(words)
        except SystemExit:
            pytest.fail(f"{page.name}: ebbtide {line}")
