"""The pages say what the code does: settings, annotations, phases, dependencies."""

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields

from bench.contenders import GIVEN
from fleet.annotations import KEYS, LOCAL_COMMAND, LOCAL_VOLUME
from fleet.model import Phase
from fleet.reasons import Reason
from fleet.settings import Settings
from gateway.admin.metrics import registry
from gateway.errors import ERRORS
from scripts.settings_page import page
from tests.fakes.adminview import busy_view
from tests.house.tree import PACKAGES, files, text


def cells(name: str, heading: str) -> Iterator[list[str]]:
    """The rows of the first table under `heading` of a page, without the head."""
    after = ("\n" + text(name)).partition(f"\n{heading}\n")[2]
    assert after, f"{name} has no heading {heading!r}"
    rows = re.search(r"^\|.+\n\|[-| ]+\n((?:\|.*\n)+)", after, flags=re.MULTILINE)
    assert rows, f"no table under {heading!r}"
    for line in rows[1].splitlines():
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def code_words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def logged() -> Iterator[tuple[str, str]]:
    """(event, file) of every line that stands in a log at its usual level."""
    for path, source in files(under=PACKAGES, ending=".py"):
        for call in ast.walk(ast.parse(source)) if "_log(" in source else ():
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "_log":
                levels = [ast.unparse(each.value) for each in call.keywords if each.arg == "level"]
                if levels != ["logging.DEBUG"] and not isinstance(call.args[0], ast.JoinedStr):
                    for word in ast.walk(call.args[0]):
                        if isinstance(word, ast.Constant):
                            yield str(word.value), str(path)


def test_what_the_log_says_is_explained() -> None:
    told = "".join(page for _, page in files(under=("docs",), ending=".md"))
    found = sorted(set(logged()))
    assert {"woken", "lease_unsure"} <= {event for event, _ in found}
    assert [one for one in found if f"`{one[0]}`" not in told] == []


def test_the_settings_page_is_made_from_the_settings() -> None:
    assert text("docs/settings.md") == page(), "run python -m scripts.settings_page"


def test_the_readme_explains_every_annotation_and_no_other() -> None:
    explained = [
        word for row in cells("README.md", "## Annotations") for word in code_words(row[0])
    ]
    known = {*KEYS, LOCAL_COMMAND, f"{LOCAL_VOLUME}NAME"}
    assert set(explained) == known
    assert len(explained) == len(known), "explained twice"


def test_the_life_of_a_model_has_every_phase_in_order() -> None:
    told = [code_words(row[0])[0] for row in cells("docs/model-life.md", "## Phases")]
    assert told == [phase.value for phase in Phase]


def test_the_errors_page_has_every_refusal_with_its_status_in_order() -> None:
    told = [(code_words(row[0])[0], int(row[1])) for row in cells("docs/errors.md", "# Errors")]
    assert told == [(reason.value, row.status) for reason, row in ERRORS.items()]


def test_the_kubernetes_page_has_every_reason_that_pods_are_read_to_have() -> None:
    told = [
        code_words(row[0])[0]
        for row in cells("docs/kubernetes.md", "### Why a model does not start")
    ]
    reading = ("why", "replicas", "assembly")
    code = "".join(text(f"fleet/cluster/kubernetes/{name}.py") for name in reading)
    read = {Reason[name].value for name in re.findall(r"Reason\.([A-Z_]+)\b", code)}
    assert set(told) == read
    assert len(told) == len(read), "told twice"


def test_the_metrics_page_has_what_is_exposed_with_its_kind_and_labels() -> None:
    told = {
        (code_words(row[0])[0], row[1], frozenset(code_words(row[2])))
        for row in cells("docs/metrics.md", "# Metrics")
    }
    exposed = {
        (
            f"{family.name}_total" if family.type == "counter" else family.name,
            family.type,
            frozenset(label for sample in family.samples for label in sample.labels) - {"le"},
        )
        for family in registry(busy_view()).collect()
    }
    assert told == exposed


def test_every_word_in_code_that_looks_like_ours_exists() -> None:
    """Pages name settings and annotations that are there."""
    known = {f"EBBTIDE_{field.name.upper()}" for field in fields(Settings)} | {*GIVEN.values()}
    keys = {*KEYS, LOCAL_COMMAND, "draining"}
    for path, page_text in files(ending=".md"):
        named = set(re.findall(r"\bEBBTIDE_[A-Z][A-Z_]*\b", page_text))
        assert named - known == set(), path
        written = set(re.findall(r"\bebbtide\.dev/([a-z][a-z.-]*)", page_text))
        assert {key for key in written if not key.startswith("local.")} - keys == set(), path


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    names = {re.match(r"[\w.-]+", requirement)[0] for requirement in wanted}  # type: ignore[index]
    page = text("docs/dependencies.md")
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
