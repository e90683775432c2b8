"""Reads manifests from files and folders into what the local cluster runs.

Rule 1: a Deployment that is wrong is refused alone; the others go on.
Rule 2: paths in annotations are relative to the folder of their manifest, and must be there.
Rule 3: which Deployment keeps a name that two claim is not decided here but by
        `fleet.registry.settle`: the cluster knows which one it has run for longer.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from fleet.annotations import LOCAL_VOLUME, MODEL, PREFIX
from fleet.cluster.local.documents import Documents, KubeObject, read_documents
from fleet.cluster.local.expand import relocate
from fleet.cluster.local.podspec import PodSpec
from fleet.cluster.local.template import read_pod
from fleet.cluster.local.volumes import ConfigMap
from fleet.deployment import deployment_name, read_deployment
from fleet.document import Node, Report
from fleet.model import Problem, Revision
from fleet.names import RevisionName

__all__ = ["Deployments", "LocalDeployment", "Manifests", "read_manifests"]

_KEY = re.compile(r"(?!\.\.?$)[-._a-zA-Z0-9]{1,253}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalDeployment:
    """One registered Deployment, and what a replica of it is on this machine.

    `revision.version` is empty: the cluster gives its own. `revision.created` is the object's
    creationTimestamp where it has one, else its place in the reading: a cluster that has run a
    revision for a while keeps the `created` it knows, and puts new ones after it.
    `revision.policy.warm_up_file` is absolute.
    """

    revision: Revision
    pod: PodSpec
    file: Path


Deployments = Mapping[RevisionName, LocalDeployment]
"""Registered Deployments, each under its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """All that was found, in a stable order: by path, then by place within the file."""

    deployments: tuple[LocalDeployment, ...]
    problems: tuple[Problem, ...]
    """Warnings among them."""
    files: tuple[Path, ...]
    """Every file that holds manifests, as found: watch these, and the folders given."""
    refused: frozenset[RevisionName] = frozenset()
    """Deployments that are there but wrong. One that runs already may go on as it was."""
    broken: frozenset[Path] = frozenset()
    """Files that could not be read to their end: what was in them before is not known to be gone.
    """


def read_manifests(paths: Sequence[Path]) -> Manifests:
    """Everything in `paths`: files, or folders with all below them."""
    documents = read_documents(paths)
    return _Reading(documents).manifests()


class _Reading:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._problems = list(documents.problems)
        self._config_maps: dict[tuple[str, str], ConfigMap] = {}
        self._deployments: list[LocalDeployment] = []
        self._files: dict[RevisionName, Path] = {}
        self._refused: set[RevisionName] = set()

    def manifests(self) -> Manifests:
        for found in self._documents.objects:
            if found.kind == "ConfigMap":
                self._config_map(found)
        for order, found in enumerate(self._documents.objects):
            if found.kind == "Deployment":
                self._deployment(found, order)
            elif found.kind != "ConfigMap":
                self._other(found)
        return Manifests(
            deployments=tuple(self._deployments),
            problems=tuple(self._problems),
            files=self._documents.files,
            refused=frozenset(self._refused),
            broken=self._documents.broken,
        )

    def _config_map(self, found: KubeObject) -> None:
        report = Report(source=str(found.file), deployment=_spoken(found))
        metadata = Node(found.value, report).at("metadata")
        key = (metadata.at("namespace").text("default"), metadata.at("name").text())
        config_map = _read_config_map(Node(found.value, report))
        if key in self._config_maps:
            metadata.at("name").refuse("a ConfigMap once; the first one read stays")
        self._config_maps.setdefault(key, config_map)
        self._problems += report.problems

    def _deployment(self, found: KubeObject, order: int) -> None:
        registration = read_deployment(
            found.value, source=str(found.file), created=_created(found, order), version=""
        )
        problems = list(registration.problems)
        deployment = None
        if registration.draft is not None:
            # A refused one too: all that is wrong is said at once.
            deployment, more = _local(found, registration.draft, self._config_maps)
            deployment = deployment if registration.revision else None
            problems += more
        name = deployment_name(found.value)
        if problems or deployment:
            twice = self._twice(name, found.file)
            problems += twice
            deployment = None if twice else deployment
        if deployment is not None:
            self._deployments.append(deployment)
        elif problems:
            self._refused.add(name)
        self._problems += problems

    def _twice(self, name: RevisionName, file: Path) -> list[Problem]:
        if name not in self._files:
            self._files[name] = file
            return []
        report = Report(source=str(file), deployment=name)
        report.refuse(
            "metadata.name", name, f"a name once; {self._files[name]} has it already and keeps it"
        )
        return list(report.problems)

    def _other(self, found: KubeObject) -> None:
        report = Report(source=str(found.file), deployment=_spoken(found))
        metadata = found.value.get("metadata")
        annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
        if isinstance(annotations, dict) and PREFIX + MODEL in annotations:
            report.refuse("kind", found.kind, f"Deployment, for {PREFIX}{MODEL} to register it")
        self._problems += report.problems


def _spoken(found: KubeObject) -> str:
    return f"{found.kind} {deployment_name(found.value)}"


def _created(found: KubeObject, order: int) -> float:
    metadata = found.value.get("metadata")
    stamp = metadata.get("creationTimestamp") if isinstance(metadata, dict) else None
    try:
        return datetime.fromisoformat(stamp).timestamp() if isinstance(stamp, str) else float(order)
    except (ValueError, OverflowError):
        return float(order)


def _read_config_map(root: Node) -> ConfigMap:
    texts = {
        key: node.text() for key, node in root.at("data").fields().items() if _is_key(node, key)
    }
    files = {key: text.encode() for key, text in texts.items()}
    for key, node in root.at("binaryData").fields().items():
        if not _is_key(node, key):
            continue
        try:
            files[key] = base64.b64decode(node.text(), validate=True)
        except (binascii.Error, ValueError):
            node.refuse("base64")
    return ConfigMap(files=MappingProxyType(files), texts=MappingProxyType(texts))


def _is_key(node: Node, key: str) -> bool:
    if _KEY.fullmatch(key) is None:
        node.refuse("a key of letters, digits, -, _ or .")
        return False
    return True


def _local(
    found: KubeObject, revision: Revision, config_maps: Mapping[tuple[str, str], ConfigMap]
) -> tuple[LocalDeployment | None, list[Problem]]:
    folder = found.file.resolve().parent
    reading = read_pod(found.value, revision=revision, folder=folder, config_maps=config_maps)
    problems = list(reading.problems)
    policy = revision.policy
    if policy.warm_up_file is not None:
        policy = replace(policy, warm_up_file=str(folder / policy.warm_up_file))
    if reading.pod is None:
        return None, problems
    report = Report(source=revision.source, deployment=revision.name)
    pod = _checked(reading.pod, policy.warm_up_file, report)
    problems += report.problems
    if report.refused:
        return None, problems
    revision = replace(revision, policy=policy)
    return LocalDeployment(revision=revision, pod=pod, file=found.file), problems


def _checked(pod: PodSpec, warm_up: str | None, report: Report) -> PodSpec:
    for mount in pod.mounts:
        if mount.folder is not None and not (mount.folder / mount.sub_path).exists():
            report.refuse(
                f"{PREFIX}{LOCAL_VOLUME}{mount.volume}",
                str(mount.folder / mount.sub_path),
                "a folder that is there",
            )
    if warm_up is not None and not Path(warm_up).is_file():
        report.refuse(f"{PREFIX}warm-up", warm_up, "auto, none, or a file that is there")
    if pod.working_dir is None or _is_here(pod, pod.working_dir):
        return pod
    report.warn(
        "workingDir",
        pod.working_dir,
        "is in no volume and not on this machine: the manifest's folder is used here",
    )
    return replace(pod, working_dir=None)


def _is_here(pod: PodSpec, working_dir: str) -> bool:
    moves = {mount.path: "" for mount in pod.mounts}
    return relocate(working_dir, moves) != working_dir or (pod.folder / working_dir).is_dir()
