"""Fetches a Debian or Ubuntu package into a folder, without root and without installing it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


class FetchError(Exception):
    """Debian's packages are not at hand; the text says why."""


def fetch(package: str, cache: Path) -> Path:
    """The folder that holds the unpacked `package`. Raises `FetchError`."""
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            msg = f"no {tool} here"
            raise FetchError(msg)
    unpacked = cache / package
    if unpacked.is_dir():
        return unpacked
    downloads = cache / "apt"
    archive = _download(package, downloads)
    part = cache / f"{package}.part"
    shutil.rmtree(part, ignore_errors=True)
    _run(["dpkg-deb", "-x", str(archive), str(part)], downloads)
    return part.rename(unpacked)


def _download(package: str, folder: Path) -> Path:
    """Tried with the machine's package lists, then with fresh ones of our own."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{package}_*.deb"):
        old.unlink()
    own = _own_lists(folder)
    try:
        _run(["apt-get", "-qq", "download", package], folder)
    except FetchError:
        _run(["apt-get", "-qq", *own, "update"], folder)
        _run(["apt-get", "-qq", *own, "download", package], folder)
    archives = sorted(folder.glob(f"{package}_*.deb"))
    if not archives:
        msg = f"apt-get download {package} left no file"
        raise FetchError(msg)
    return archives[-1]


def _own_lists(folder: Path) -> list[str]:
    """Options that let `apt-get update` work for anybody: lists and cache lie in `folder`."""
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    return [
        *("-o", f"Dir::State::Lists={folder / 'lists'}"),
        *("-o", f"Dir::Cache={folder}"),
        *("-o", "APT::Sandbox::User=root"),
    ]


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        msg = f"{command[0]} took longer than five minutes"
        raise FetchError(msg) from None
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        msg = f"{' '.join(command[:1] + command[-1:])}: {last[0]}"
        raise FetchError(msg)
