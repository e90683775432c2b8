"""Where the volumes of a pod lie on this machine. Pure.

Rule 1: `ebbtide.dev/local.volume.NAME` says it for a volume of any kind.
Rule 2: an emptyDir, and a ConfigMap from the same manifests, need nobody to say it: each replica
        gets its own copy.
Rule 3: every other volume is refused, with the annotation that would help.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from fleet.annotations import LOCAL_VOLUME, PREFIX
from fleet.cluster.local.podspec import Mount, Volume
from fleet.document import Node, Report

__all__ = ["ConfigMap", "Volumes", "read_mounts", "read_volumes"]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_MODE = 0o644
_READABLE = 0o400


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigMap:
    """The files of a ConfigMap by key; `data` as UTF-8, `binaryData` decoded."""

    files: Mapping[str, bytes]
    texts: Mapping[str, str]
    """`data` alone: what variables may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    """The volumes of a pod by name: a folder here, or one that each replica gets afresh."""

    folders: Mapping[str, Path]
    fresh: Mapping[str, Volume]
    refused: frozenset[str] = frozenset()
    """There, but no good, which has been reported."""


def read_volumes(
    pod: Node,
    report: Report,
    *,
    local: Mapping[str, str],
    folder: Path,
    config_maps: Mapping[str, ConfigMap],
) -> Volumes:
    """The volumes of a pod spec.

    `local` are the `local.*` annotations by key, `folder` is the manifest's, `config_maps` are
    those of the pod's namespace by name.
    """
    places = {
        key.removeprefix(LOCAL_VOLUME): text.strip()
        for key, text in local.items()
        if key.startswith(LOCAL_VOLUME)
    }
    folders: dict[str, Path] = {}
    fresh: dict[str, Volume] = {}
    names: list[str] = []
    for volume in pod.at("volumes").items():
        name = _name(volume)
        names.append(name)
        if names.count(name) > 1:
            volume.at("name").refuse("a name that no other volume of the pod has")
        elif places.get(name):
            folders[name] = folder / places[name]
        elif volume.at("configMap").present:
            fresh[name] = _config(name, volume.at("configMap"), config_maps)
        elif volume.at("emptyDir").present or set(volume.fields()) <= {"name"}:
            fresh[name] = Volume(name=name)
        else:
            _refuse(volume, name)
    _check_places(places, names, report)
    return Volumes(
        folders=MappingProxyType(folders),
        fresh=MappingProxyType(fresh),
        refused=frozenset(names) - folders.keys() - fresh.keys(),
    )


def _name(volume: Node) -> str:
    name = volume.at("name").text()
    if _NAME.fullmatch(name) is None:
        volume.at("name").refuse("up to 63 lower-case letters, digits or -, as Kubernetes wants it")
    return name


def _refuse(volume: Node, name: str) -> None:
    kind = next(key for key in volume.fields() if key != "name")
    volume.at(kind).refuse(
        f"an emptyDir or a ConfigMap: nothing else is at hand on this machine; say where the "
        f"volume lies with {PREFIX}{LOCAL_VOLUME}{name}: ./folder"
    )


def _check_places(places: Mapping[str, str], names: list[str], report: Report) -> None:
    for name, place in places.items():
        key = f"{PREFIX}{LOCAL_VOLUME}{name}"
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0)
            hint = f"; did you mean {PREFIX}{LOCAL_VOLUME}{near[0]}?" if near else ""
            report.refuse(key, place, f"the name of a volume of the pod{hint}")
        elif not place:
            report.refuse(key, place, "a folder, relative to the manifest, like ./models")


def _config(name: str, source: Node, config_maps: Mapping[str, ConfigMap]) -> Volume:
    found = config_maps.get(source.at("name").text())
    optional = source.at("optional").flag()
    if found is None:
        if not optional:
            source.at("name").refuse("a ConfigMap in the same namespace, among these manifests")
        return Volume(name=name)
    mode = _mode(source.at("defaultMode"), _MODE)
    items = source.at("items")
    if not items.present:
        modes = dict.fromkeys(found.files, mode)
        return Volume(name=name, files=found.files, modes=MappingProxyType(modes))
    files: dict[str, bytes] = {}
    modes = {}
    for item in items.items():
        key, path = item.at("key"), item.at("path")
        if not _inside(path.text()):
            path.refuse("a relative path without ..")
        elif key.text() in found.files:
            files[path.text()] = found.files[key.text()]
            modes[path.text()] = _mode(item.at("mode"), mode)
        elif not optional:
            key.refuse(f"a key of the ConfigMap: {', '.join(sorted(found.files)) or 'it has none'}")
    return Volume(name=name, files=MappingProxyType(files), modes=MappingProxyType(modes))


def _mode(node: Node, default: int) -> int:
    return node.whole(low=0, high=0o777, default=default) | _READABLE


def _inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts


def read_mounts(container: Node, volumes: Volumes) -> tuple[Mount, ...]:
    """Where a container expects which of `volumes`."""
    mounts: dict[str, Mount] = {}
    for node in container.at("volumeMounts").items():
        mount = _mount(node, volumes)
        if mount is None:
            continue
        if mount.path in mounts:
            node.at("mountPath").refuse("a path where no other volume is mounted")
        mounts[mount.path] = mount
    return tuple(mounts.values())


def _mount(node: Node, volumes: Volumes) -> Mount | None:
    name, path, below = node.at("name"), node.at("mountPath"), node.at("subPath")
    parts = PurePosixPath(path.text())
    if not parts.is_absolute() or len(parts.parts) == 1 or ".." in parts.parts:
        path.refuse("an absolute path, other than / and without ..")
        return None
    if node.at("subPathExpr").present:
        node.at("subPathExpr").refuse("subPath instead: it is the same for every replica here")
    if below.text() and not _inside(below.text()):
        below.refuse("a relative path without ..")
    if name.text() in volumes.refused:
        return None
    if name.text() not in (*volumes.folders, *volumes.fresh):
        known = ", ".join(sorted((*volumes.folders, *volumes.fresh))) or "there is none"
        name.refuse(f"the name of a volume of the pod: {known}")
    # Two slashes at the beginning would be another root to PurePosixPath.
    return Mount(
        path=f"/{'/'.join(parts.parts[1:])}",
        volume=name.text(),
        folder=volumes.folders.get(name.text()),
        sub_path=below.text(),
    )
