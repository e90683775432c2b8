"""A Deployment as it is written, into the revision it registers. Pure; for every cluster.

Rule 1: `ebbtide.dev/model` registers; without it a Deployment is not ours and not looked at, but
        other `ebbtide.dev/` annotations without it are a slip and said so.
Rule 2: what is wrong refuses this Deployment alone, with all its problems; a warning refuses none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fleet.annotations import DRAINING, MODEL, PREFIX, read_annotations
from fleet.document import Node, Report, plain
from fleet.model import Problem, Revision
from fleet.names import RevisionName
from fleet.podtemplate import GPU, digest, read_gpus, read_ports

__all__ = ["Registration", "deployment_name", "read_deployment"]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_MAX_SECONDS = 2**31 - 1
_MAX_REPLICAS = 1000
_START_TIMEOUT = 600
_LONGEST = 253
_MOST_TOLD = 20
"""Keys that are named: there may be thousands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a Deployment registers, and what is wrong with it.

    No revision and no problems: it is not ours. No revision and problems: refused.
    """

    revision: Revision | None
    problems: tuple[Problem, ...]
    draft: Revision | None = None
    """What was understood, with defaults for the rest, even where refused: for further checks."""
    resource: str = GPU
    """By what name the cluster knows its GPUs."""


def deployment_name(document: Mapping[str, object]) -> RevisionName:
    """`namespace/name` as far as the document says, to speak of it; never raises."""
    metadata = document.get("metadata")
    fields = metadata if isinstance(metadata, Mapping) else {}
    return RevisionName(f"{_part(fields, 'namespace', 'default')}/{_part(fields, 'name', '?')}")


def _part(fields: Mapping[str, object], key: str, default: str) -> str:
    value = fields.get(key)
    return value[:_LONGEST].encode(errors="replace").decode() if isinstance(value, str) else default


def read_deployment(
    document: Mapping[str, object],
    *,
    source: str,
    created: float,
    version: str,
    in_cluster: bool = False,
) -> Registration:
    """The revision that `document` registers; whatever it holds, nothing is raised.

    `source` says where it is written, `created` (wall-clock seconds) how old it is, `version` is
    its resource version. In a Kubernetes cluster `spec.replicas` is 1 where it is left out, parts
    of GPUs (MIG) are a class of their own, the annotations for one machine mean nothing, and no
    file may be named.
    """
    report = Report(source=source, deployment=deployment_name(document))
    try:
        root = Node(plain(document), report)
    except ValueError as error:
        report.refuse("document", None, str(error))
        return Registration(revision=None, problems=report.problems)
    if not _is_ours(root, report):
        return Registration(revision=None, problems=report.problems)
    revision, resource = _revision(root, report, in_cluster=in_cluster)
    revision = replace(revision, created=created, version=version)
    return Registration(
        revision=None if report.refused else revision,
        problems=report.problems,
        draft=revision,
        resource=resource,
    )


def _is_ours(root: Node, report: Report) -> bool:
    # A mark that the leader has not cleared yet is no slip of whoever took the model's name away.
    keys = [key for key in _ebbtide_keys(root, "metadata") if key != PREFIX + DRAINING]
    inner = _ebbtide_keys(root, "spec", "template", "metadata")
    if PREFIX + MODEL in keys:
        for key in inner:
            report.warn(key, None, "has no effect on the pod template: put it on the Deployment")
        return True
    if keys:
        more = f" and {len(keys) - _MOST_TOLD} more" if len(keys) > _MOST_TOLD else ""
        told = f"{', '.join(keys[:_MOST_TOLD])}{more}"
        report.refuse(f"{PREFIX}{MODEL}", None, f"the model's name, since there is {told}")
    elif PREFIX + MODEL in inner:
        report.refuse(
            f"{PREFIX}{MODEL}", None, "on the Deployment's own metadata, not on its pod template"
        )
    return False


def _ebbtide_keys(root: Node, *path: str) -> list[str]:
    # A look only: in a Deployment that is not ours nothing is wrong.
    value = root.value
    for key in (*path, "annotations"):
        value = value.get(key) if isinstance(value, dict) else None
    return [key for key in value if key.startswith(PREFIX)] if isinstance(value, dict) else []


def _revision(root: Node, report: Report, *, in_cluster: bool) -> tuple[Revision, str]:
    """What it registers, and by what name the cluster knows its GPUs."""
    _check_kind(root)
    name = _name(root.at("metadata"))
    spec = root.at("spec")
    deadline = spec.at("progressDeadlineSeconds")
    annotations = read_annotations(
        root.at("metadata", "annotations"),
        report,
        start_timeout=float(deadline.whole(low=1, high=_MAX_SECONDS, default=_START_TIMEOUT)),
        in_cluster=in_cluster,
    )
    template = spec.at("template")
    pod = template.at("spec")
    if not pod.at("containers").items():
        pod.at("containers").refuse("a list of at least one container")
    if in_cluster:
        annotations = replace(annotations, local={})
    ports = read_ports(pod, annotations, report)
    policy, asked = annotations.policy, read_gpus(pod, parts=in_cluster)
    revision = Revision(
        name=name,
        models=annotations.models,
        runtime=annotations.runtime,
        ports=ports,
        policy=policy,
        gpus=asked.count,
        replicas=spec.at("replicas").whole(
            low=0, high=_MAX_REPLICAS, default=1 if in_cluster else policy.minimum
        ),
        version="",
        template=digest(template, annotations, ports),
        allow=annotations.allow,
        gpu_class=asked.gpu_class,
        uid=root.at("metadata", "uid").text() if in_cluster else "",
        source=report.source,
    )
    return revision, asked.resource


def _check_kind(root: Node) -> None:
    # Items of a list that the API server answers have neither.
    for key, right in (("apiVersion", "apps/v1"), ("kind", "Deployment")):
        if root.at(key).text(right) != right:
            root.at(key).refuse(right)


def _name(metadata: Node) -> RevisionName:
    name, namespace = metadata.at("name"), metadata.at("namespace")
    if _NAME.fullmatch(name.text()) is None:
        name.refuse("up to 253 lower-case letters, digits, - or ., as Kubernetes wants a name")
    if _NAMESPACE.fullmatch(namespace.text("default")) is None:
        namespace.refuse("up to 63 lower-case letters, digits or -, as Kubernetes wants it")
    return RevisionName(f"{namespace.text('default')}/{name.text()}")
