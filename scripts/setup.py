"""Makes the environments that `make` needs: `.venv` (development), `.venv-models` (real Triton),
`.cache/clients` (other people's clients), and in `.cache/kube` the programs of a real Kubernetes:
its control plane with Helm (`kube`), what makes this machine a node of it (`node`), or whichever of
these e2e tests need here (`cluster`).

    python3 scripts/setup.py [dev] [models] [clients] [kube] [node] [cluster]

Runs on any Python 3.8 or newer, without packages. Says what it does and how long it takes.

Rule 1: an environment that is not marked as finished is made again, never mended.
Rule 2: the mark holds what the environment was made from (lock, Python); while that stands,
        a call ends within a second.
Rule 3: only versions and hashes from the lock are installed. pip's own configuration is honoured.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from debian import FetchError, fetch
from kube import binaries, build
from pythons import Python, choose
from telling import Failure, say, watch

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "setup"
RECIPE = 1
"""Grows when environments made by an older form of this script will not do."""


class Kind(NamedTuple):
    """One environment."""

    name: str
    folder: Path
    lock: Path
    models: bool


KINDS = {
    "dev": Kind("dev", ROOT / ".venv", ROOT / "locks" / "dev.txt", models=False),
    "models": Kind("models", ROOT / ".venv-models", ROOT / "locks" / "models.txt", models=True),
    "clients": Kind(
        "clients", ROOT / ".cache" / "clients", ROOT / "locks" / "clients.txt", models=False
    ),
}


NAMES = (*KINDS, "kube", "node", "cluster")


def main() -> int:
    """Make what is asked for. 0, or 1 after a message."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("kinds", nargs="*", metavar="|".join(NAMES), help="default: dev models")
    given = arguments.parse_args().kinds or ["dev", "models"]
    if set(given) - set(NAMES):
        arguments.error(f"expected {', '.join(NAMES)}, or nothing for the first two")
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        with (CACHE / "lock").open("w") as lock:
            take_turns(lock)
            for name in given:
                provide_named(name)
    except Failure as failure:
        print(f"setup: {failure}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; the next call begins anew", file=sys.stderr, flush=True)
        return 130
    return 0


def take_turns(lock) -> None:
    """Two calls at once would make the same folders."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another call is at work, waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)


def provide_named(name: str) -> None:
    """An environment, or programs of Kubernetes."""
    if name == "kube":
        build.provide(binaries.CONTROL_PLANE)
    elif name == "node":
        build.provide_from_distribution()
        build.provide(binaries.NODE)
    elif name == "cluster":
        provide_cluster()
    else:
        provide(KINDS[name])


def provide_cluster() -> None:
    """A named cluster needs only Helm; else kind makes one, or this machine is made a node."""
    build.provide(binaries.CONTROL_PLANE)
    if os.environ.get("EBBTIDE_E2E_KUBECONFIG"):
        say("cluster: that of EBBTIDE_E2E_KUBECONFIG")
        build.provide(binaries.GIVEN)
    elif binaries.container_engine() is not None:
        say(f"cluster: kind, on {binaries.container_engine()}")
        build.provide(binaries.KIND)
    else:
        provide_named("node")


def provide(kind: Kind) -> None:
    """Leave `kind` as its lock says: at once when it is so already."""
    made_from = read_mark(kind)
    if not current(kind, made_from):
        make(kind, unfinished=made_from is None)
    if kind.name == "dev":
        install_project(kind)


def current(kind: Kind, made_from: dict | None) -> bool:
    if made_from is None or made_from.get("lock") != digest(kind.lock):
        return False
    wanted = os.environ.get("PYTHON")
    if made_from.get("recipe") != RECIPE or (wanted and wanted != made_from.get("asked")):
        return False
    runs = subprocess.run([binary(kind), "-c", ""], capture_output=True, check=False)
    return runs.returncode == 0


def make(kind: Kind, *, unfinished: bool) -> None:
    start = time.monotonic()
    python = choose(os.environ.get("PYTHON"), models=kind.models)
    count = sum(line[:1].isalnum() for line in kind.lock.read_text().splitlines())
    where, lock = kind.folder.name, kind.lock.relative_to(ROOT)
    if kind.folder.exists():
        say(f"{where}: {'not finished' if unfinished else 'out of date'}, made anew")
        shutil.rmtree(kind.folder)
    say(f"{where}: {count} packages of {lock}, on {python}")
    create(kind, python)
    pip(
        kind,
        ["--no-deps", "--require-hashes", "--only-binary=:all:", "-r", str(kind.lock)],
        count=count,
    )
    if kind.models:
        provide_libpython(kind, python)
    mark = {
        "lock": digest(kind.lock),
        "python": python.version,
        "asked": os.environ.get("PYTHON"),
        "recipe": RECIPE,
    }
    mark_file(kind).write_text(json.dumps(mark))
    say(f"{where}: ready after {time.monotonic() - start:.0f} s")


def create(kind: Kind, python: Python) -> None:
    """A virtual environment with pip in it."""
    command = [python.executable, "-m", "venv", str(kind.folder)]
    if python.ensurepip:
        watch(command, what=f"{kind.folder.name}: python -m venv", env=environment())
        return
    say(f"{kind.folder.name}: {python} comes without ensurepip: fetching pip")
    try:
        (wheel,) = fetch("python3-pip-whl", CACHE).glob("usr/share/python-wheels/pip-*.whl")
    except (FetchError, ValueError) as error:
        raise Failure(lacking(python, error)) from error
    watch([*command, "--without-pip"], what="python -m venv", env=environment())
    # A wheel is a zip file that Python can run from: pip installs itself.
    itself = [binary(kind), f"{wheel}/pip", "install", "--no-index", "--no-deps", str(wheel)]
    watch(itself, what="pip installs itself", env=environment())


def provide_libpython(kind: Kind, python: Python) -> None:
    """Triton's Python backend needs the shared libpython; some distributions pack it apart."""
    if python.libpython:
        return
    name = f"libpython{python.minor}.so.1.0"
    say(f"{kind.folder.name}: {python} comes without {name}: fetching it")
    try:
        (library,) = fetch(f"libpython{python.minor}", CACHE).glob(f"usr/lib/*/{name}")
    except (FetchError, ValueError) as error:
        raise Failure(lacking(python, error)) from error
    folder = kind.folder / "lib-python"
    folder.mkdir()
    shutil.copy(library, folder / name)


def lacking(python: Python, error: Exception) -> str:
    return (
        f"{python} has not all that is needed, and fetching it failed ({error}).\n"
        f"Install what is missing, on Debian and Ubuntu as root:\n"
        f"    apt-get install python{python.minor}-venv libpython{python.minor}\n"
        "or name another CPython 3.11 or 3.12 that has venv and the shared libpython:\n"
        "    PYTHON=/path/to/python3.11 make ..."
    )


def install_project(kind: Kind) -> None:
    """ebbtide itself, in place: again only when pyproject.toml has changed."""
    mark = kind.folder / "project.json"
    wanted = digest(ROOT / "pyproject.toml")
    if mark.exists() and mark.read_text() == wanted:
        return
    pip(kind, ["--no-deps", "--no-build-isolation", "-e", str(ROOT)], count=1)
    mark.write_text(wanted)


def pip(kind: Kind, arguments: list[str], *, count: int) -> None:
    command = [binary(kind), "-m", "pip", "install", "--disable-pip-version-check"]
    what = f"{kind.folder.name}: pip install"
    watch([*command, *arguments], what=what, env=environment(), packages=count)


def environment() -> dict[str, str]:
    """This process's, less what would lead Python astray; pip's settings stay."""
    away = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    kept = {name: value for name, value in os.environ.items() if name not in away}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def binary(kind: Kind) -> str:
    return str(kind.folder / "bin" / "python")


def mark_file(kind: Kind) -> Path:
    return kind.folder / "made-from.json"


def read_mark(kind: Kind) -> dict | None:
    try:
        mark = json.loads(mark_file(kind).read_text())
    except (OSError, ValueError):
        return None
    return mark if isinstance(mark, dict) else None


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
