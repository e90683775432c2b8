"""A Deployment of the cluster: what it registers, and what the cluster says of its pods. Pure."""

from dataclasses import dataclass, replace

from fleet.cluster.kubernetes.drainmark import DRAINING, Mark, read_mark
from fleet.cluster.kubernetes.fields import at, entries, flag, text, whole
from fleet.cluster.kubernetes.objects import REVISION, template_digest
from fleet.cluster.kubernetes.placement import Placement, digest, read_placement
from fleet.cluster.kubernetes.times import wall_seconds
from fleet.cluster.kubernetes.why import LONGEST
from fleet.deployment import Registration, deployment_name, read_deployment
from fleet.kubernetes.objects import Object, uid_of, version_of
from fleet.model import Problem
from fleet.names import RevisionName

__all__ = ["SOURCE", "Deployed", "Refusal", "read_deployed", "read_refusal"]

SOURCE = "cluster"
"""Where such a Deployment is written, for messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The cluster makes no pod for it: a quota or a webhook says no."""

    message: str
    since: str
    """The timestamp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """One Deployment, as far as it says so by itself."""

    name: RevisionName
    uid: str
    going: bool
    """It is being deleted: it registers nothing any more."""
    registration: Registration
    template: str
    """The digest of its pod template, to be compared with those of ReplicaSets."""
    observed: bool
    """Its controller has seen it as it is now."""
    paused: bool
    counted: int
    """How many replicas its controller counts."""
    updated: int
    """How many of them it counts as being of the newest template."""
    rollout: str
    """The number of its newest ReplicaSet, as its controller counts."""
    placement: Placement
    placed: str
    """Its digest."""
    mark: Mark | None = None
    refusal: Refusal | None = None
    """As its controller tells: not any more once it is paused."""

    @property
    def claims(self) -> tuple[object, ...]:
        """All that decides which of two Deployments keeps a model's name."""
        found = self.registration.revision
        if found is None or self.going:
            return ()
        return (found.created, found.uid, found.models)


def read_deployed(raw: Object) -> Deployed:
    """The Deployment, whatever `raw` holds."""
    created = wall_seconds(text(raw, "metadata", "creationTimestamp"))
    registration = read_deployment(
        raw, source=SOURCE, created=created or 0.0, version=version_of(raw), in_cluster=True
    )
    name = deployment_name(raw)
    mark, slips = _mark(text(raw, "metadata", "annotations", DRAINING), name)
    generation = whole(raw, "metadata", "generation") or 0
    revision = registration.revision
    placement = read_placement(
        at(raw, "spec", "template", "spec"),
        registration.resource if revision is not None and revision.gpus else "",
    )
    return Deployed(
        name=name,
        uid=uid_of(raw),
        going=bool(text(raw, "metadata", "deletionTimestamp")),
        registration=replace(registration, problems=(*registration.problems, *slips)),
        template=template_digest(at(raw, "spec", "template")),
        observed=(whole(raw, "status", "observedGeneration") or 0) >= generation,
        paused=flag(raw, "spec", "paused"),
        counted=whole(raw, "status", "replicas") or 0,
        updated=whole(raw, "status", "updatedReplicas") or 0,
        rollout=text(raw, "metadata", "annotations", REVISION),
        placement=placement,
        placed=digest(placement),
        mark=mark,
        refusal=read_refusal(raw),
    )


def _mark(value: str, name: RevisionName) -> tuple[Mark | None, tuple[Problem, ...]]:
    if not value:
        return None, ()
    try:
        return read_mark(value), ()
    except ValueError as error:
        slip = Problem(
            source=SOURCE,
            deployment=name,
            key=DRAINING,
            value=value[:80],
            allowed=str(error),
            warning=True,
        )
        return None, (slip,)


def read_refusal(raw: Object) -> Refusal | None:
    """What a Deployment or a ReplicaSet says of pods that the cluster refuses to make."""
    for each in entries(raw, "status", "conditions"):
        if text(each, "type") == "ReplicaFailure" and text(each, "status") == "True":
            return Refusal(
                message=text(each, "message")[:LONGEST], since=text(each, "lastTransitionTime")
            )
    return None
