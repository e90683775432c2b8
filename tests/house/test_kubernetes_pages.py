"""The pages for clusters name what is there: files, values, settings, annotations, reasons."""

import json
import re
from pathlib import PurePath

import pytest
import yaml

from fleet.annotations import DRAINING, KEYS
from fleet.reasons import Reason
from fleet.settings import Settings
from tests.house.tree import names, text

PAGES = (
    *("docs/kubernetes-quickstart.md", "docs/in-front.md", "docs/gitops.md", "docs/first-week.md"),
    "examples/kubernetes/README.md",
)
CHART = yaml.safe_load(text("charts/ebbtide/Chart.yaml"))
SCHEMA = json.loads(text("charts/ebbtide/values.schema.json"))


@pytest.mark.parametrize("page", PAGES)
def test_files_are_there(page: str) -> None:
    there = names()
    for path in re.findall(r"(?<![\w/.-])(?:examples|charts)/[\w./-]*[\w-]", text(page)):
        assert any(name == path or PurePath(path) in PurePath(name).parents for name in there), path


@pytest.mark.parametrize("page", PAGES)
def test_annotations_are_known(page: str) -> None:
    for key in re.findall(r"\bebbtide\.dev/([a-z-]+)", text(page)):
        assert key in (*KEYS, DRAINING), key


@pytest.mark.parametrize("page", PAGES)
def test_settings_and_reasons_are_known(page: str) -> None:
    for name in re.findall(r"\bEBBTIDE_([A-Z_]+)\b", text(page)):
        assert hasattr(Settings(), name.lower()), name
    words = {reason.value for reason in Reason}
    known = words | set(Settings.__dataclass_fields__)
    for word in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text(page)):
        assert word in known | OF_OTHERS, word


OF_OTHERS = {"generate_stream"}
"""Words that are Triton's own."""


@pytest.mark.parametrize("page", PAGES)
def test_values_of_the_chart_are_there(page: str) -> None:
    for path in re.findall(r"`([a-z]\w*(?:\.\w+)+)(?:: [^`]+)?`", text(page)):
        top = path.split(".")[0]
        if top not in SCHEMA["properties"] or top == "settings":
            continue
        node = SCHEMA
        for part in path.split("."):
            node = node["properties"][part]


def test_the_image_is_called_by_the_version_that_is_installed() -> None:
    quickstart = text("docs/kubernetes-quickstart.md")
    assert set(re.findall(r"\bebbtide:(\d[\w.]*)", quickstart)) == {CHART["appVersion"]}
    values = yaml.safe_load(text("examples/kubernetes/values-kind.yaml"))
    assert values["image"] == {"pullPolicy": "Never"}, "what is loaded, by its default name"


def test_facts_about_others_have_a_source() -> None:
    """In the tables of limits, each row but those that say what nobody limits."""
    rows = re.findall(r"^\| (?!\||---)(.+)$", text("docs/in-front.md"), re.MULTILINE)
    unsourced = [row for row in rows if "https://" not in row]
    assert [row.partition(" |")[0] for row in unsourced] == ["Istio's gateways"]
