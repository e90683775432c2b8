"""What a pod is on this machine: the words to run, the environment, the folders. Pure.

`fleet.cluster.local.template` reads a Deployment into a `PodSpec`; `launch` turns that into the
`Launch` of one replica: only there are its name, address and scratch folder known.

Rule 1: `$(VAR)` is replaced as Kubernetes does it: by the container's own variables only, never by
        inherited ones; `$$(VAR)` escapes it, and what is not known stays as it is.
Rule 2: a volume's mount path is replaced by where the volume lies here, after that and only once,
        so that a replaced path is never taken for another mount path.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType

from fleet.cluster.local.expand import expand, relocate

__all__ = ["POD_IP", "EnvVar", "Field", "Launch", "Mount", "PodSpec", "Volume", "launch"]

POD_IP = "POD_IP"
"""The variable that always holds the replica's own address."""


class Field(Enum):
    """What a variable may take from the replica it is in (the downward API)."""

    NAME = "metadata.name"
    NAMESPACE = "metadata.namespace"
    POD_IP = "status.podIP"
    POD_IPS = "status.podIPs"
    HOST_IP = "status.hostIP"
    HOST_IPS = "status.hostIPs"
    NODE = "spec.nodeName"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvVar:
    """One variable of the container; later ones may refer to it."""

    name: str
    value: str = ""
    expand: bool = True
    """Whether `$(VAR)` in the value is replaced; not so for values from a ConfigMap or label."""
    field: Field | None = None
    """Taken from the replica instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume that every replica gets afresh: an emptyDir, or the files of a ConfigMap."""

    name: str
    files: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """Contents by path within the volume; none for an emptyDir."""
    modes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Permission bits by path, for each of `files`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Where the container expects a volume, and where that is."""

    path: str
    """The mount path: absolute, without a slash at its end."""
    volume: str
    folder: Path | None = None
    """Where `ebbtide.dev/local.volume.NAME` says it lies; None: the replica's own `Volume`."""
    sub_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    """What the replicas of one Deployment have in common."""

    namespace: str
    container: str
    """The container's name."""
    command: tuple[str, ...]
    """At least one word; `tritonserver` by itself means the one that this machine has."""
    args: tuple[str, ...]
    """Triton's address and port flags are among them already."""
    folder: Path
    """The manifest's folder, absolute; the working directory unless `working_dir` says another."""
    env: tuple[EnvVar, ...] = ()
    working_dir: str | None = None
    grace: float = 30.0
    """Seconds from SIGTERM to SIGKILL."""
    volumes: tuple[Volume, ...] = ()
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How one replica is started. Make `directories`, write `files`, then exec `argv`."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    """The whole environment."""
    cwd: Path
    directories: tuple[Path, ...]
    """Folders that must exist first, parents before children; `cwd` is not among them."""
    files: Mapping[Path, bytes]
    """Files to write first, all within `directories`."""
    modes: Mapping[Path, int]
    """The permission bits of each of `files`."""
    grace: float
    """Seconds from SIGTERM to SIGKILL."""


def launch(
    pod: PodSpec,
    *,
    pod_name: str,
    address: str,
    scratch: Path,
    inherited: Mapping[str, str],
    node: str = "localhost",
) -> Launch:
    """The launch of the replica `pod_name` at `address`.

    `scratch` is a folder of this replica alone (absolute; it need not exist), `inherited` the
    environment under the container's own, `node` the name of this machine.
    """
    fields = {
        Field.NAME: pod_name,
        Field.NAMESPACE: pod.namespace,
        Field.POD_IP: address,
        Field.POD_IPS: address,
        Field.HOST_IP: "127.0.0.1",
        Field.HOST_IPS: "127.0.0.1",
        Field.NODE: node,
    }
    variables = _variables(pod.env, fields)
    moves = {mount.path: str(_place(mount, scratch)) for mount in pod.mounts}
    argv = tuple(relocate(expand(word, variables), moves) for word in (*pod.command, *pod.args))
    own = {name: relocate(value, moves) for name, value in variables.items()}
    files, modes = _files(pod, scratch)
    return Launch(
        argv=argv,
        env=MappingProxyType({**inherited, **own}),
        cwd=pod.folder / relocate(pod.working_dir or "", moves),
        directories=_directories(pod, scratch, files),
        files=MappingProxyType(files),
        modes=MappingProxyType(modes),
        grace=pod.grace,
    )


def _variables(env: tuple[EnvVar, ...], fields: Mapping[Field, str]) -> dict[str, str]:
    variables = {POD_IP: fields[Field.POD_IP]}
    for variable in env:
        if variable.field is not None:
            value = fields[variable.field]
        elif variable.expand:
            value = expand(variable.value, variables)
        else:
            value = variable.value
        variables[variable.name] = value
    return variables


def _place(mount: Mount, scratch: Path) -> Path:
    folder = mount.folder or _home(scratch, mount.volume)
    return folder / mount.sub_path


def _home(scratch: Path, volume: str) -> Path:
    return scratch / "volumes" / volume


def _files(pod: PodSpec, scratch: Path) -> tuple[dict[Path, bytes], dict[Path, int]]:
    files: dict[Path, bytes] = {}
    modes: dict[Path, int] = {}
    for volume in pod.volumes:
        for path, content in volume.files.items():
            place = _home(scratch, volume.name) / path
            files[place] = content
            modes[place] = volume.modes[path]
    return files, modes


def _directories(pod: PodSpec, scratch: Path, files: Mapping[Path, bytes]) -> tuple[Path, ...]:
    wanted = {scratch, *(_home(scratch, volume.name) for volume in pod.volumes)}
    wanted.update(path.parent for path in files)
    places = (_place(mount, scratch) for mount in pod.mounts if mount.folder is None)
    wanted.update(place for place in places if place not in files)
    return tuple(sorted(wanted, key=lambda path: path.parts))
