"""The house rules that no other tool checks, as functions of a path and its text. Pure.

Each returns what is wrong, one line a fault. `tests/house/test_house.py` holds the tree to them,
and holds each of them to an example that breaks it.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePath

MOST_LINES = 400
MOST_FUNCTION_LINES = 40
NAMELESS = frozenset(
    {"util", "utils", "helper", "helpers", "manager", "base", "common", "misc", "stuff"}
)

_HOSTS = ("pypi", "pythonhosted", "debian", "npmjs", "crates", "maven")
_NOWHERE_ELSE = re.compile(
    r"(?<![\w.$}])/(?:home/[a-z]|root/|work/|Users/[A-Za-z])"
    rf"|\b(?:[\w-]+\.)*(?:{'|'.join(_HOSTS)})\.(?:org|io|com)\b"
    # A Go module may be called golang.org/..., so only the hosts that serve modules are meant.
    r"|\b(?:proxy|sum)\.golang\.org\b"
)


def too_long(path: PurePath, text: str) -> Iterator[str]:
    """A module over the limit hides more than one idea."""
    lines = len(text.splitlines())
    if lines > MOST_LINES:
        yield f"{path}: {lines} lines, at most {MOST_LINES}"


def long_functions(path: PurePath, text: str) -> Iterator[str]:
    """From `def` to the last line, docstring and all."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MOST_FUNCTION_LINES:
                yield f"{path}: {node.name}: {lines} lines, at most {MOST_FUNCTION_LINES}"


def nameless(path: PurePath, _text: str) -> Iterator[str]:
    """A module's or folder's name says what it is about."""
    for part in (*path.parent.parts, path.stem):
        if part.strip("_") in NAMELESS:
            yield f"{path}: {part} names nothing"


def no_docstring(path: PurePath, text: str) -> Iterator[str]:
    """Every module with anything in it says what it is for."""
    if text.strip() and not ast.get_docstring(ast.parse(text)):
        yield f"{path}: no docstring"


def wrong_all(path: PurePath, text: str) -> Iterator[str]:
    """`__all__` names what a module offers: all of it, and nothing else."""
    tree = ast.parse(text)
    defined = frozenset(_defined(tree))
    exported = _exported(tree)
    if exported is None:
        if defined or (len(tree.body) > 1 and path.name != "__main__.py"):
            yield f"{path}: no __all__"
        return
    imported = frozenset(_imported(tree))
    for name in sorted(exported - defined - imported):
        yield f"{path}: __all__ names {name}, which is not there"
    for name in sorted(name for name in defined - exported if not name.startswith("_")):
        yield f"{path}: {name} is public and not in __all__"


def one_machine(path: PurePath, text: str) -> Iterator[str]:
    """No path of somebody's machine, no host of a package registry."""
    for number, line in enumerate(text.splitlines(), start=1):
        for match in _NOWHERE_ELSE.finditer(line):
            yield f"{path}:{number}: {match[0]}"


def not_an_adr(path: PurePath, text: str) -> Iterator[str]:
    """A decision record has its four parts, in order, and fits on a page."""
    parts = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    wanted = [
        "Context",
        "Decision",
        "Consequences",
        "How we would notice that we were wrong",
    ]
    if parts != wanted:
        yield f"{path}: parts {parts}, expected {wanted}"
    if not re.match(rf"# {path.name[:4]}\. \S", text):
        yield f"{path}: begins with its number and title: # {path.name[:4]}. ..."
    if len(text.splitlines()) > 60:
        yield f"{path}: longer than a page"


def broken_links(path: PurePath, text: str, files: frozenset[str]) -> Iterator[str]:
    """A relative link in a page leads to a file or folder of the tree."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:|#", target):
            continue
        there = _joined(path.parent, target.partition("#")[0])
        if there not in files and not any(name.startswith(f"{there}/") for name in files):
            yield f"{path}: link to {target}, which is not there"


def _joined(folder: PurePath, target: str) -> str:
    parts: list[str] = []
    for part in (*folder.parts, *PurePath(target).parts):
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/".join(parts)


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Assign():
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)) if name != "__all__":
                yield name


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def _exported(tree: ast.Module) -> frozenset[str] | None:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return frozenset(ast.literal_eval(value))
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value):
                return frozenset(ast.literal_eval(value))
    return None
