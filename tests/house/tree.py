"""The files of the repository: what is tracked, and what would be."""

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePath

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ebbtide", "gateway", "activator", "autoscaler", "fleet")


@cache
def names() -> tuple[str, ...]:
    """Paths from the root of every file that git does not ignore and that is there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return tuple(sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file()))


@cache
def text(name: str) -> str:
    """A file's text; empty for what is no text (a picture, a sound)."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def files(*, under: tuple[str, ...] = (), ending: str = "") -> Iterator[tuple[PurePath, str]]:
    """(path, text) of the files in the folders `under` (all by default) with that ending."""
    for name in names():
        path = PurePath(name)
        if name.endswith(ending) and (not under or path.parts[0] in under):
            yield path, text(name)
