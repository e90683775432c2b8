"""Images made without a container engine and without a registry: plain tar files.

`ctr images import`, `kind load image-archive` and `docker load` take them.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.kube.binaries import find

__all__ = ["HOST", "PAUSE", "Content", "host_image", "pause_image", "write_image"]

PAUSE = "docker.io/ebbtide-test/pause:1"
HOST = "docker.io/ebbtide-test/host:1"
"""Only folders: a pod mounts this machine's own on them."""

_MOUNTED = ("usr", "lib", "lib64", "bin", "etc", "root", "tmp", "opt", "dev", "proc", "sys", "var")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is in an image: one layer, and how it starts."""

    files: Mapping[str, Path] = field(default_factory=dict)
    """Where it lies in the image, without a leading slash: where it lies here."""
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Sequence[str] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


def pause_image(folder: Path) -> Path:
    """What holds a pod's network."""
    content = Content(files={"pause": find("pause")}, config={"Entrypoint": ["/pause"]})
    return write_image(PAUSE, content, folder / "pause.tar")


def host_image(folder: Path) -> Path:
    """An empty one."""
    return write_image(HOST, Content(folders=_MOUNTED), folder / "host.tar")


def write_image(name: str, content: Content, path: Path) -> Path:
    """`content` as the image `name`, in the form of `docker save`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    layer = path.with_suffix(".layer")
    _write_layer(content, layer)
    digest = _digest(layer)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": dict(content.config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    text = json.dumps(config).encode()
    own = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{"Config": own, "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as tar:
        _add(tar, own, text)
        tar.add(layer, "layer.tar")
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    layer.unlink()
    return path


def _write_layer(content: Content, path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        for name in sorted(content.folders):
            info = _info(name, 0o1777 if name == "tmp" else 0o755)
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
        for name, source in sorted(content.files.items()):
            stat = source.stat()
            info = _info(name, 0o755 if stat.st_mode & 0o100 else 0o644)
            # Compiled Python is taken for what it was made from by the time of that.
            info.size, info.mtime = stat.st_size, int(stat.st_mtime)
            with source.open("rb") as data:
                tar.addfile(info, data)
        for name, target in sorted(content.links.items()):
            info = _info(name, 0o777)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
        for name, text in sorted(content.texts.items()):
            _add(tar, name, text.encode(), mode=0o755 if text.startswith("#!") else 0o644)


def _info(name: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = mode
    return info


def _add(tar: tarfile.TarFile, name: str, data: bytes, *, mode: int = 0o644) -> None:
    info = _info(name, mode)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _digest(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
