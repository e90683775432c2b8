"""The tree keeps the house rules, and each rule finds what it is for."""

import re
from collections.abc import Callable, Iterator
from pathlib import PurePath

import pytest

from fleet.reasons import Reason
from tests.house import rules
from tests.house.tree import PACKAGES, files, names

Rule = Callable[[PurePath, str], Iterator[str]]
OURS = (*PACKAGES, "bench", "scripts")
EVERYWHERE = (*OURS, "tests")


def nothing(found: list[str]) -> None:
    assert not found, "\n" + "\n".join(found)


def faults(rule: Rule, *, under: tuple[str, ...], ending: str = ".py") -> list[str]:
    looked_at = list(files(under=under, ending=ending))
    assert looked_at, f"no {ending} under {under}"
    return [fault for path, text in looked_at for fault in rule(path, text)]


@pytest.mark.parametrize(
    ("rule", "under"),
    [
        (rules.too_long, EVERYWHERE),
        (rules.long_functions, OURS),
        (rules.nameless, EVERYWHERE),
        (rules.no_docstring, EVERYWHERE),
        (rules.wrong_all, (*PACKAGES, "bench")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_modules_keep(rule: Rule, under: tuple[str, ...]) -> None:
    nothing(faults(rule, under=under))


def test_nothing_names_one_machine_or_a_registry() -> None:
    nothing(faults(rules.one_machine, under=(), ending=""))


def test_nothing_is_called_nothing() -> None:
    """Folders and files of any kind, a chart's templates too."""
    nothing(faults(rules.nameless, under=(), ending=""))


def test_decision_records_have_their_parts_and_no_number_is_missing() -> None:
    records = [
        (path, text) for path, text in files(ending=".md") if path.parts[:2] == ("docs", "adr")
    ]
    assert [int(path.name[:4]) for path, _ in records] == list(range(1, len(records) + 1))
    nothing([fault for path, text in records for fault in rules.not_an_adr(path, text)])


def test_links_in_pages_lead_somewhere() -> None:
    there = frozenset(names())
    pages = list(files(ending=".md"))
    nothing([fault for path, text in pages for fault in rules.broken_links(path, text, there)])


def test_a_reason_is_one_word_and_somebody_gives_it() -> None:
    given = {
        name
        for path, text in files(under=PACKAGES, ending=".py")
        if path != PurePath("fleet/reasons.py")
        for name in re.findall(r"\bReason\.([A-Z_]+)\b", text)
    }
    for reason in Reason:
        assert re.fullmatch(r"[a-z]+(?:_[a-z]+)*", reason.value)
        assert reason.name == reason.value.upper()
    assert {reason.name for reason in Reason} - given == set(), "nothing gives these"


GOOD = '"""What it is for."""\n\n__all__ = ["go"]\n\n\ndef go() -> None:\n    pass\n'
ADR = (
    "# 0001. A title\n\n## Context\n## Decision\n## Consequences\n"
    "## How we would notice that we were wrong\n"
)
MACHINE_PATH = "/".join(["", "root", "thing"])
HOME = "/".join(["", "home", "somebody"])
GO_HOST = ".".join(["proxy", "golang", "org"])
HOST = ".".join(["files", "pythonhosted", "org"])


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (rules.too_long, "a.py", "\n" * 401),
        (rules.long_functions, "a.py", "def go():\n" + "    x = 1\n" * 40),
        (rules.long_functions, "a.py", "class A:\n  async def go(self):\n" + "    x = 1\n" * 40),
        (rules.nameless, "gateway/utils.py", GOOD),
        (rules.nameless, "gateway/common/route.py", GOOD),
        (rules.no_docstring, "a.py", "x = 1\n"),
        (rules.wrong_all, "a.py", GOOD.replace('["go"]', '["go", "gone"]')),
        (rules.wrong_all, "a.py", GOOD.replace('["go"]', "[]")),
        (rules.wrong_all, "a.py", GOOD.replace('__all__ = ["go"]', "")),
        (rules.wrong_all, "a.py", GOOD + "LIMIT = 3\n"),
        (rules.one_machine, "a.py", f'STATE = "{MACHINE_PATH}"'),
        (rules.one_machine, "a.md", f"see {HOME}/notes"),
        (rules.one_machine, "a.txt", f"--index-url https://{HOST}/x"),
        (rules.one_machine, "a.txt", f"GOPROXY={GO_HOST}"),
        (rules.not_an_adr, "docs/adr/0001-a.md", ADR.replace("## Decision\n", "")),
        (rules.not_an_adr, "docs/adr/0002-a.md", ADR),
        (rules.not_an_adr, "docs/adr/0001-a.md", ADR + "\n" * 60),
    ],
)
def test_a_rule_finds_what_it_is_for(rule: Rule, path: str, text: str) -> None:
    assert list(rule(PurePath(path), text))


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (rules.too_long, "a.py", "\n" * 400),
        (rules.long_functions, "a.py", "def go():\n" + "    x = 1\n" * 39),
        (rules.nameless, "gateway/route.py", GOOD),
        (rules.nameless, "gateway/__init__.py", GOOD),
        (rules.no_docstring, "tests/__init__.py", ""),
        (rules.wrong_all, "a.py", GOOD),
        (rules.wrong_all, "gateway/__init__.py", '"""What it is for."""\n'),
        (rules.one_machine, "a.py", 'PATH = "./work/here", "docs/root/x", "https://ebbtide.dev/"'),
        (rules.one_machine, "go.mod", "require google.golang.org/grpc v1.85.0"),
        (rules.not_an_adr, "docs/adr/0001-a.md", ADR),
    ],
)
def test_a_rule_lets_pass_what_is_right(rule: Rule, path: str, text: str) -> None:
    assert list(rule(PurePath(path), text)) == []


def test_links_are_looked_up_from_their_own_page() -> None:
    there = frozenset({"README.md", "docs/life.md", "docs/adr/0001-a.md"})
    page = PurePath("docs/life.md")
    good = "[a](adr/0001-a.md) [b](../README.md#top) [c](adr) [d](https://x.dev/) [e](#here)"
    assert list(rules.broken_links(page, good, there)) == []
    assert len(list(rules.broken_links(page, "[a](README.md) [b](adr/0002-b.md)", there))) == 2
