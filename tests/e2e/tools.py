"""The clients that the end-to-end tests run: found on PATH, or made and fetched into `.cache`.

Rule 1: versions are pinned where something is fetched: `locks/clients.txt`, `go.sum`,
        `package-lock.json`. Nothing is installed on the machine, and no root is needed.
Rule 2: what cannot be had raises `PeerMissingError` with the reason; tests that need it are skipped
        with that reason.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench import peers
from bench.golang import go_program
from bench.peers import PeerMissingError, Tool
from scripts.debian import FetchError, fetch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BENCH = ROOT / ".cache" / "bench"
CACHE = ROOT / ".cache" / "e2e"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_INSTALL_S = 300


def clients() -> Path:
    """The Python of the environment with openai, requests and their like."""
    python = ROOT / ".cache" / "clients" / "bin" / "python"
    if not python.exists():
        raise PeerMissingError("no environment of clients: run `make e2e`, which makes it")
    return python


def curl() -> Path:
    return _on_path("curl")


def browser() -> Path:
    return _on_path(*BROWSERS)


def wrk() -> Tool:
    return peers.wrk(BENCH)


def h2load() -> Tool:
    """h2load, of nghttp2."""
    found = shutil.which("h2load")
    if found:
        return Tool(path=Path(found), env=dict(os.environ), version="of this machine")
    cache = CACHE / "debian"
    try:
        root = fetch("nghttp2-client", cache)
        archive = next((cache / "apt").glob("nghttp2-client_*.deb"))
        folders = [fetch(name, cache) for name in _not_installed(archive)]
    except FetchError as error:
        raise PeerMissingError(f"no h2load on PATH, and Debian's: {error}") from error
    libraries = ":".join(str(each) for one in folders for each in one.glob("usr/lib/*-linux-gnu"))
    env = {**os.environ, "LD_LIBRARY_PATH": libraries}
    return Tool(path=root / "usr/bin/h2load", env=env, version=archive.name.split("_")[1])


def hey() -> Tool:
    return _go("tools", "github.com/rakyll/hey")


def ghz() -> Tool:
    return _go("tools", "github.com/bojand/ghz/cmd/ghz")


def go_client() -> Tool:
    """Our own small client of net/http and grpc-go."""
    return _go("client", "client")


def node_client() -> list[str]:
    """The command in front of our own small client of Node's fetch, http and grpc-js."""
    node, npm = _on_path("node"), _on_path("npm")
    sources = sorted((HERE / "node").iterdir())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    folder = CACHE / f"node-{digest}"
    if not folder.exists():
        part = CACHE / f"node-{digest}.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(HERE / "node", part)
        flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        cache = f"--cache={CACHE / 'npm'}"
        done = subprocess.run(
            [npm, "ci", *flags, cache],
            cwd=part,
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
            raise PeerMissingError(f"`npm ci`: {said[0]}")
        part.rename(folder)
    return [str(node), str(folder / "client.mjs")]


ALL: dict[str, Callable[[], object]] = {
    "curl": curl,
    "a browser": browser,
    "clients in Python": clients,
    "clients in Node": node_client,
    "clients in Go": go_client,
    "wrk": wrk,
    "h2load": h2load,
    "hey": hey,
    "ghz": ghz,
}
"""Each kind of client by the name that people know it by."""


def _go(module: str, package: str) -> Tool:
    return go_program(module, package, cache=BENCH, sources=HERE / "go")


def _on_path(*names: str) -> Path:
    for name in names:
        found = shutil.which(name)
        if found:
            return Path(found)
    raise PeerMissingError(f"no {' or '.join(names[:2])} on PATH")


def _not_installed(archive: Path) -> list[str]:
    """The packages that `archive` depends on and that this machine lacks."""
    depends = subprocess.run(
        ["dpkg-deb", "-f", str(archive), "Depends"], capture_output=True, text=True, check=True
    ).stdout
    names = [re.match(r"[\w.+-]+", each.strip()) for each in depends.split(",")]
    return [name[0] for name in names if name and not _installed(name[0])]


def _installed(package: str) -> bool:
    asked = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", package]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    return said.startswith("ii")
