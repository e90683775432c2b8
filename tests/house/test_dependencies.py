"""What the packages import is declared: a fresh environment has what pyproject names, no more."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions

import pytest

from tests.house.tree import PACKAGES, files, text


def third_party(source: str) -> Iterator[str]:
    """The top names that a module imports, anywhere in it, from neither Python nor this tree."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [node.module or ""]
        else:
            continue
        tops = {module.partition(".")[0] for module in modules}
        yield from tops - sys.stdlib_module_names - set(PACKAGES)


def plain(requirement: str) -> str:
    """A distribution's name, without its version and as an index writes it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    declared = {
        plain(one) for one in tomllib.loads(text("pyproject.toml"))["project"]["dependencies"]
    }
    brings = packages_distributions()
    imported = {
        top: str(path)
        for path, source in files(under=PACKAGES, ending=".py")
        for top in third_party(source)
    }
    assert imported
    needed = {}
    for top, path in imported.items():
        assert top in brings, f"{path}: nothing brings {top}"
        needed[top] = {plain(one) for one in brings[top]}
    undeclared = {top: imported[top] for top, found in needed.items() if not found & declared}
    assert not undeclared, "not in pyproject's dependencies"
    assert declared - set().union(*needed.values()) == set(), "nothing imports these"


@pytest.mark.parametrize(
    ("source", "tops"),
    [
        ("import numpy.linalg as la, os", {"numpy"}),
        ("def late():\n    from httpx import Client", {"httpx"}),
        ("from fleet.model import Policy\nfrom . import near\nimport asyncio", set()),
    ],
)
def test_imports_are_found_wherever_they_stand(source: str, tops: set[str]) -> None:
    assert set(third_party(source)) == tops
