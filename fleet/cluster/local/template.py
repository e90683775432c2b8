"""A Deployment's pod template into a `PodSpec`. Pure.

Rule 1: what only a container has is bridged by annotations: `ebbtide.dev/local.command` for the
        image's entry point, `ebbtide.dev/local.volume.NAME` for volumes. What cannot be bridged
        (init containers, sidecars, secrets) is refused with what to do instead.
Rule 2: probes, resources other than GPUs, and the security context mean nothing here.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet.annotations import LOCAL_COMMAND, LOCAL_VOLUME, PREFIX
from fleet.cluster.local.binding import address_words, check_binding, is_triton
from fleet.cluster.local.environment import read_env
from fleet.cluster.local.podspec import PodSpec
from fleet.cluster.local.volumes import ConfigMap, read_mounts, read_volumes
from fleet.document import Node, Report, plain
from fleet.model import Problem, Revision, RuntimeName

__all__ = ["PodReading", "read_pod"]

_GRACE = 30
_MAX_GRACE = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class PodReading:
    """The pod, and what is wrong with it; None when that is more than warnings."""

    pod: PodSpec | None
    problems: tuple[Problem, ...]


def read_pod(
    document: Mapping[str, object],
    *,
    revision: Revision,
    folder: Path,
    config_maps: Mapping[tuple[str, str], ConfigMap],
) -> PodReading:
    """The pod of the Deployment `document`, which has been read as `revision`.

    `folder` is the manifest's, absolute; `config_maps` go by namespace and name.
    """
    report = Report(source=revision.source, deployment=revision.name)
    root = Node(plain(document), report)
    namespace = revision.name.partition("/")[0]
    own_maps = {name: found for (where, name), found in config_maps.items() if where == namespace}
    pod = _pod(root, report, revision=revision, folder=folder, config_maps=own_maps)
    return PodReading(pod=None if report.refused else pod, problems=report.problems)


def _pod(
    root: Node,
    report: Report,
    *,
    revision: Revision,
    folder: Path,
    config_maps: Mapping[str, ConfigMap],
) -> PodSpec | None:
    template = root.at("spec", "template")
    spec = template.at("spec")
    container = _container(spec, report)
    if container is None:
        return None
    local = _local(root)
    volumes = read_volumes(spec, report, local=local, folder=folder, config_maps=config_maps)
    command, args = _words(container, report, local=local, runtime=revision.runtime)
    env = read_env(template, container, config_maps=config_maps)
    check_binding((*command, *args), env, revision, report)
    grace = spec.at("terminationGracePeriodSeconds")
    return PodSpec(
        namespace=revision.name.partition("/")[0],
        container=container.at("name").text(),
        command=command,
        args=(*args, *address_words((*command, *args), revision)),
        folder=folder,
        env=env,
        working_dir=container.at("workingDir").text() or None,
        grace=float(grace.whole(low=0, high=_MAX_GRACE, default=_GRACE)),
        volumes=tuple(volumes.fresh.values()),
        mounts=read_mounts(container, volumes),
    )


def _container(spec: Node, report: Report) -> Node | None:
    if spec.at("initContainers").items():
        spec.at("initContainers").refuse(
            "none: init containers do not run on this machine; prepare what they make beforehand, "
            f"and say where it lies with {PREFIX}{LOCAL_VOLUME}NAME"
        )
    containers = spec.at("containers").items()
    if len(containers) > 1:
        names = ", ".join(container.at("name").text("?") for container in containers)
        report.refuse(
            spec.at("containers").path,
            names,
            "one container: sidecars do not run on this machine; leave them out of this manifest",
        )
    if containers and containers[0].at("lifecycle").present:
        containers[0].at("lifecycle").warn("has no effect on this machine: hooks are not run")
    return containers[0] if containers else None


def _local(root: Node) -> dict[str, str]:
    start = f"{PREFIX}local."
    annotations = root.at("metadata", "annotations").fields()
    return {
        key.removeprefix(PREFIX): node.text()
        for key, node in annotations.items()
        if key.startswith(start)
    }


def _words(
    container: Node, report: Report, *, local: Mapping[str, str], runtime: RuntimeName
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    command, args = container.at("command").texts(), container.at("args").texts()
    if LOCAL_COMMAND in local:
        return _split(local[LOCAL_COMMAND], report), args
    if command:
        return command, args
    if args and is_triton(args[0]):
        # Triton's own image takes the command as arguments of its entry point.
        return args[:1], args[1:]
    if runtime is RuntimeName.TRITON:
        return ("tritonserver",), args
    container.at("command").refuse(
        "what to run: the image's own entry point is not at hand on this machine; name the "
        f"command here or in {PREFIX}{LOCAL_COMMAND}"
    )
    return (), args


def _split(text: str, report: Report) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        words = ()
        hint = f" ({error})"
    else:
        hint = ""
    if not words:
        report.refuse(
            PREFIX + LOCAL_COMMAND, text, f"a command and its words, quoted as in a shell{hint}"
        )
    return words
