"""Which Deployment a pod belongs to, and whether it is of its newest template. Pure.

A pod names its ReplicaSet, and the ReplicaSet its Deployment; ReplicaSets are watched for that, and
since only they tell which pods are of the template that new pods are made from.

Rule 1: where the ReplicaSet is not known (it comes in later than its pod, or is gone while the
        pod is being stopped) its name tells: it is the Deployment's and the pod's own
        `pod-template-hash` with a `-` between, so that `a-b` is never taken for `a`.
Rule 2: one that is known and that no Deployment controls belongs to none.
Rule 3: a ReplicaSet is the newest where its template is the Deployment's, or where the
        Deployment's controller, having seen it as it is now, says so by its number. The latter
        holds for a paused Deployment, whose new pods are of the old template, and where two
        templates mean the same but are written differently.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fleet.cluster.kubernetes.deployments import Deployed, Refusal, read_refusal
from fleet.cluster.kubernetes.fields import entries, flag, text
from fleet.cluster.kubernetes.naming import revision_name
from fleet.cluster.kubernetes.objects import HASH, REVISION, TEMPLATE_DIGEST
from fleet.kubernetes.objects import Key, Object, key_of, uid_of
from fleet.names import RevisionName

__all__ = ["PodSet", "SetRef", "owner_of", "read_set", "set_of", "template_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSet:
    """One ReplicaSet."""

    uid: str
    owner: RevisionName | None
    """The Deployment that controls it."""
    template: str
    rollout: str
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRef:
    """The ReplicaSet that a pod says it is of."""

    key: Key
    uid: str
    hash: str


def read_set(raw: Object) -> PodSet:
    """The ReplicaSet, whatever `raw` holds."""
    owner, _ = _controller(raw, "Deployment")
    namespace, _ = key_of(raw)
    return PodSet(
        uid=uid_of(raw),
        owner=revision_name(namespace, owner) if owner else None,
        template=text(raw, TEMPLATE_DIGEST),
        rollout=text(raw, "metadata", "annotations", REVISION),
        refusal=read_refusal(raw),
    )


def set_of(pod: Object) -> SetRef | None:
    """The ReplicaSet that a pod is of; None for a pod of something else."""
    name, uid = _controller(pod, "ReplicaSet")
    namespace, _ = key_of(pod)
    if not name:
        return None
    return SetRef(key=(namespace, name), uid=uid, hash=text(pod, "metadata", "labels", HASH))


def owner_of(ref: SetRef | None, sets: Mapping[Key, PodSet]) -> RevisionName | None:
    """The Deployment that a pod of that ReplicaSet belongs to."""
    if ref is None:
        return None
    known = _known(ref, sets)
    if known is not None:
        return known.owner
    deployment = ref.key[1].removesuffix(f"-{ref.hash}")
    if not ref.hash or not deployment or deployment == ref.key[1]:
        return None
    return revision_name(ref.key[0], deployment)


def template_of(
    ref: SetRef | None, sets: Mapping[Key, PodSet], deployed: Deployed | None, *, newest: str
) -> str:
    """What a pod's replica says of its template: `newest` if it is the Deployment's."""
    known = _known(ref, sets) if ref is not None else None
    if known is None or deployed is None:
        return "" if ref is None else ref.hash
    same = known.template == deployed.template
    said = deployed.observed and known.rollout == deployed.rollout != ""
    return newest if same or said else known.template


def _known(ref: SetRef, sets: Mapping[Key, PodSet]) -> PodSet | None:
    found = sets.get(ref.key)
    return found if found is not None and found.uid == ref.uid else None


def _controller(raw: Object, kind: str) -> tuple[str, str]:
    for owner in entries(raw, "metadata", "ownerReferences"):
        if text(owner, "kind") == kind and flag(owner, "controller"):
            return text(owner, "name"), text(owner, "uid")
    return "", ""
