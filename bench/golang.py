"""Builds the benchmark's own Go programs with the Go toolchain of this machine.

Rule 1: what is built, and the caches Go needs for it, stay in the cache folder; modules are those
        pinned in `go.sum`, and Go never fetches another toolchain.
Rule 2: without Go, `PeerMissingError` says so: the figures that need it are left out, not made up.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from bench.peers import PeerMissingError, Tool
from bench.progress import say

__all__ = ["go_program"]

_SOURCES = Path(__file__).resolve().parent / "go"
_BUILD_S = 300


def go_program(module: str, command: str, *, cache: Path, sources: Path = _SOURCES) -> Tool:
    """`bench/go/MODULE/COMMAND`, built once for each state of its sources.

    `sources` names another folder of modules; a command that is not in the module is the path of
    a package that the module pins.
    """
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if go is None:
        msg = "Go is not on PATH, and nothing is built without it (version 1.22 or newer)"
        raise PeerMissingError(msg)
    folder = sources / module
    env = _environment(cache)
    version = _run([go, "env", "GOVERSION"], folder=folder, env=env)
    binary = cache / f"go-{_digest(folder, version)}" / Path(command).name
    if not binary.exists():
        say(f"building {binary.name} with {version} (once)")
        binary.parent.mkdir(parents=True, exist_ok=True)
        made = binary.with_suffix(".new")
        package = f"./{command}" if (folder / command).is_dir() else command
        _run([go, "build", "-trimpath", "-o", str(made), package], folder=folder, env=env)
        made.rename(binary)
    return Tool(path=binary, env=dict(os.environ), version=version)


def _environment(cache: Path) -> dict[str, str]:
    caches = {"GOCACHE": str(cache / "go-cache"), "GOMODCACHE": str(cache / "go-modules")}
    # Module files are left writable, so that `make clean` can remove them.
    flags = {"GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false"}
    fixed = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOWORK": "off"}
    return {**os.environ, **caches, **flags, **fixed}


def _digest(folder: Path, version: str) -> str:
    """Changes with any source, pin or toolchain."""
    digest = hashlib.sha256(version.encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _run(command: list[str], *, folder: Path, env: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=_BUILD_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"`{' '.join(command)}` took longer than {_BUILD_S} s"
        raise PeerMissingError(msg) from error
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines() or [f"code {done.returncode}"]
        msg = f"`{' '.join(command)}`: {last[-1]}"
        raise PeerMissingError(msg)
    return done.stdout.strip()
