"""Where the programs of a real Kubernetes lie that tests and benchmarks start.

Rule 1: a folder named by `KUBEBUILDER_ASSETS` comes first (the convention of the field), then
        `.cache/kube/VERSION`, which `python3 scripts/setup.py kube node` fills.
Rule 2: nothing is looked for on PATH: what is tested against is pinned in `scripts/kube/go`.
        Debian's own programs (runc, the CNI plugins, iptables) are the exception.

Runs on any Python 3.8 or newer, without packages.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).resolve().parent / "go"
VERSION = "1.36.3"
"""Of Kubernetes; the other programs are pinned beside it in `scripts/kube/go/*/go.mod`."""

FOLDER = ROOT / ".cache" / "kube" / VERSION
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))


class MissingError(Exception):
    """A program is not there; the text says which, and what to do."""


class Binary(NamedTuple):
    """One program: the module in `scripts/kube/go` that pins it, and its package."""

    name: str
    module: str
    package: str


def _of(module: str, prefix: str, *names: str) -> tuple[Binary, ...]:
    return tuple(Binary(name, module, f"{prefix}/{name}") for name in names)


CONTROL_PLANE = (
    *_of("kubernetes", "k8s.io/kubernetes/cmd", "kube-apiserver"),
    *_of("kubernetes", "k8s.io/kubernetes/cmd", "kube-controller-manager", "kube-scheduler"),
    Binary("etcd", "tools", "./etcd"),
    Binary("helm", "tools", "helm.sh/helm/v4/cmd/helm"),
    Binary("helm3", "helm3", "helm.sh/helm/v3/cmd/helm"),
)
"""Enough for watches, scale, leases, RBAC, Events and admission; and Helm, 4 and 3."""

GIVEN = _of("kubernetes", "k8s.io/kubernetes/cmd", "kubectl")
"""How tests reach pods of a cluster that is not ours; and how one scales by hand."""

NODE = (
    *GIVEN,
    *_of("kubernetes", "k8s.io/kubernetes/cmd", "kubelet", "kube-proxy"),
    *_of("containerd", "github.com/containerd/containerd/v2/cmd", "containerd", "ctr"),
    *_of("containerd", "github.com/containerd/containerd/v2/cmd", "containerd-shim-runc-v2"),
    Binary("pause", "pause", "."),
    Binary("coredns", "coredns", "."),
    Binary("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
)
"""What makes this machine a node on which pods really run; and simulated nodes."""

KIND = (*GIVEN, Binary("kind", "tools", "sigs.k8s.io/kind"))
"""Where a container engine is at hand, it makes the node."""


def find(name: str) -> Path:
    """The program called `name`. Raises `MissingError`."""
    for folder in _folders():
        path = folder / name
        if os.access(str(path), os.X_OK):
            return path
    raise MissingError(
        f"no {name} in {' or '.join(str(folder) for folder in _folders())}: "
        "`python3 scripts/setup.py kube node` makes it (`make test` and `make e2e` do so)"
    )


def given(name: str) -> bool:
    """Whether `KUBEBUILDER_ASSETS` has it, so that nothing need be built."""
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    return assets != "" and os.access(str(Path(assets) / name), os.X_OK)


def lacking_on_machine() -> dict[str, str]:
    """What a node needs that comes from the distribution and is not here: name -> package."""
    lacks = {name: name for name in ("runc", "iptables") if on_machine(name) is None}
    if cni_folder() is None:
        lacks["CNI plugins (bridge, host-local, portmap)"] = "containernetworking-plugins"
    return lacks


def on_machine(name: str) -> str | None:
    """A program of the distribution, also where /usr/sbin is not on PATH."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def cni_folder() -> Path | None:
    """Where the CNI plugins lie."""
    for folder in CNI_FOLDERS:
        if all((folder / name).exists() for name in ("bridge", "host-local", "portmap")):
            return folder
    return None


def container_engine() -> str | None:
    """The one that kind can use here: its daemon answers."""
    for name in ("docker", "podman", "nerdctl"):
        program = on_machine(name)
        if program is None:
            continue
        done = subprocess.run([program, "info"], capture_output=True, timeout=30, check=False)
        if done.returncode == 0:
            return name
    return None


def recipe(binary: Binary) -> str:
    """Changes with all that `binary` is made from: pins, our own sources, and flags."""
    digest = hashlib.sha256(flags(binary).encode())
    folder = SOURCES / binary.module
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def flags(binary: Binary) -> str:
    """The linker's: without a version, clients and Helm that check it refuse the server."""
    if binary.module != "kubernetes":
        return "-s -w"
    return f"-s -w -X k8s.io/component-base/version.gitVersion=v{VERSION}"


def _folders() -> list[Path]:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return [*([Path(assets)] if assets else []), FOLDER]
