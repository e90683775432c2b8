"""Builds the programs of a real Kubernetes from the Go module proxy, once, into `.cache/kube`.

Rule 1: modules are those pinned in `scripts/kube/go/*/go.sum`. Go's own caches are used, as for
        anything built with Go: what it has compiled before, it does not compile again.
Rule 2: a program is made again only when its pins, sources or flags have changed.
Rule 3: what the machine lacks is said in full, with what to do; nothing is skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from kube.binaries import FOLDER, SOURCES, Binary, flags, given, lacking_on_machine, recipe
from telling import Failure, say, watch


def provide(binaries: tuple[Binary, ...]) -> None:
    """Build those of `binaries` that are not there as pinned."""
    made = _made()
    wanted = [each for each in binaries if not given(each.name)]
    missing = [each for each in wanted if not _current(each, made)]
    if not missing:
        return
    go = _go([each.name for each in missing])
    FOLDER.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    names = ", ".join(each.name for each in missing)
    say(f"building {names} (once; minutes where Go has compiled none of it before)")
    for each in missing:
        _build(go, each)
        made[each.name] = recipe(each)
        _mark().write_text(json.dumps(made, indent=1))
    say(f"{len(missing)} programs in {FOLDER.parent.name}/{FOLDER.name}: {_since(start)}")


def provide_from_distribution() -> None:
    """runc, CNI plugins and iptables, installed where that is possible; needs root."""
    if os.geteuid() != 0:
        raise Failure(
            "a node (kubelet, containerd, pods) needs root, and this is not root.\n"
            "Run as root, or name a cluster: EBBTIDE_E2E_KUBECONFIG=/path/to/kubeconfig make e2e"
        )
    lacks = lacking_on_machine()
    if not lacks:
        return
    packages = sorted(set(lacks.values()))
    if shutil.which("apt-get"):
        _apt_install(packages)
        lacks = lacking_on_machine()
    if lacks:
        raise Failure(
            f"a node needs {', '.join(lacks)}, not found here.\n"
            f"On Debian and Ubuntu: apt-get install {' '.join(packages)}"
        )


def _apt_install(packages: list[str]) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages]
    what = f"apt-get install {' '.join(packages)}"
    try:
        watch(install, what=what, env=env)
    except Failure:
        watch(["apt-get", "-qq", "update"], what="apt-get update", env=env)
        watch(install, what=what, env=env)


def _build(go: str, binary: Binary) -> None:
    start = time.monotonic()
    path = FOLDER / binary.name
    part = FOLDER / f"{binary.name}.part"
    command = [go, "build", "-C", str(SOURCES / binary.module), "-trimpath"]
    command += ["-ldflags", flags(binary), "-o", str(part), binary.package]
    watch(command, what=f"go build {binary.name}", env=_environment())
    part.rename(path)
    say(f"{binary.name}: {path.stat().st_size >> 20} MB, {_since(start)}")


def _environment() -> dict[str, str]:
    fixed = {
        "CGO_ENABLED": "0",
        "GOWORK": "off",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOOS": "linux",
    }
    return {**os.environ, **fixed}


def _go(names: list[str]) -> str:
    """Go that is new enough for every module. Raises `Failure`."""
    needed = max(_needed(path) for path in SOURCES.glob("*/go.mod"))
    text = ".".join(str(part) for part in needed)
    advice = (
        f"Install Go {text} or newer (it may lie in /usr/local/go), or name a folder that has\n"
        "the programs: KUBEBUILDER_ASSETS=/path/to/folder make ..."
    )
    go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
    if go is None:
        raise Failure(f"no Go on PATH, and {', '.join(names)} must be built.\n{advice}")
    done = subprocess.run(
        [go, "env", "GOVERSION", "GOTOOLCHAIN"], capture_output=True, text=True, check=False
    )
    said = done.stdout.split()
    found = _version(said[0]) if said else None
    fetches = found is not None and found >= (1, 21, 0) and said[1:] != ["local"]
    if found is None or (found < needed and not fetches):
        is_ = said[0] if said else (done.stderr.strip().splitlines() or ["no version"])[-1]
        raise Failure(f"{go} is {is_}; {', '.join(names)} need Go {text}.\n{advice}")
    return go


def _needed(path: Path) -> tuple[int, ...]:
    return _version(re.search(r"^go (\S+)$", path.read_text(), re.M).group(1)) or (0, 0, 0)


def _version(text: str) -> tuple[int, ...] | None:
    match = re.match(r"(?:go)?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in match.groups()) if match else None


def _current(binary: Binary, made: dict[str, str]) -> bool:
    return made.get(binary.name) == recipe(binary) and (FOLDER / binary.name).exists()


def _made() -> dict[str, str]:
    try:
        return dict(json.loads(_mark().read_text()))
    except (OSError, ValueError):
        return {}


def _mark() -> Path:
    return FOLDER / "made-from.json"


def _since(start: float) -> str:
    return f"{time.monotonic() - start:.0f} s"
