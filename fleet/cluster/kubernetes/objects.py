"""The objects of the cluster that a snapshot is read from, and what is kept of each. Pure.

Rule 1: `trim` keeps the fields that are read here and drops the rest, in the shape that the API
        has; what was trimmed is trimmed no further. Two fields are replaced by what is read of
        them: a ReplicaSet's template by its digest, and `managedFields` by who has `spec.replicas`.
Rule 2: None is an object that nothing is read of: it need not be kept at all.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from fleet.annotations import PREFIX
from fleet.cluster.kubernetes.fields import at, entries, keyed, text
from fleet.kubernetes.objects import Object
from fleet.podtemplate import is_gpu

__all__ = [
    "DELETION_COST",
    "EVENTS",
    "HASH",
    "REVISION",
    "TEMPLATE_DIGEST",
    "Kind",
    "Objects",
    "template_digest",
    "trim",
]

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
TEMPLATE_DIGEST = "templateDigest"
"""Where a trimmed ReplicaSet holds the digest of its template."""


class Kind(Enum):
    """The resources that are listed and watched, by their name in the API's paths."""

    DEPLOYMENT = "deployments"
    REPLICA_SET = "replicasets"
    POD = "pods"
    NODE = "nodes"
    EVENT = "events"
    AUTOSCALER = "horizontalpodautoscalers"
    SCALED_OBJECT = "scaledobjects"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """All objects at one moment, trimmed or whole."""

    deployments: Sequence[Object] = ()
    replica_sets: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    nodes: Sequence[Object] | None = None
    """None: nodes may not be read (namespaces only)."""
    events: Sequence[Object] = ()
    autoscalers: Sequence[Object] = ()
    scaled_objects: Sequence[Object] = ()

    def of(self, kind: Kind) -> Sequence[Object]:
        """The objects of one kind."""
        found: Mapping[Kind, Sequence[Object] | None] = {
            Kind.DEPLOYMENT: self.deployments,
            Kind.REPLICA_SET: self.replica_sets,
            Kind.POD: self.pods,
            Kind.NODE: self.nodes,
            Kind.EVENT: self.events,
            Kind.AUTOSCALER: self.autoscalers,
            Kind.SCALED_OBJECT: self.scaled_objects,
        }
        return found[kind] or ()


def template_digest(template: object) -> str:
    """A short name for a pod template, without the hash that the cluster itself adds to it."""
    if isinstance(template, dict) and HASH in keyed(template, "metadata", "labels"):
        labels = {k: v for k, v in keyed(template, "metadata", "labels").items() if k != HASH}
        template = {**template, "metadata": {**keyed(template, "metadata"), "labels": labels}}
    try:
        canonical = json.dumps(template, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return ""
    return hashlib.sha256(canonical.encode(errors="replace")).hexdigest()[:12]


def trim(kind: Kind, raw: Object) -> Object | None:
    """What is kept of an object of that kind; None: nothing is read of it."""
    return _TRIMS[kind](raw)


# What is kept: a mapping by key, a list of such, or a function of the value.
_Shape: TypeAlias = "dict[str, _Shape] | list[_Shape] | Callable[[object], object]"


def _whole_value(value: object) -> object:
    return value


def _kept(value: object, shape: _Shape) -> object:
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return None
        found = {key: _kept(value[key], inner) for key, inner in shape.items() if key in value}
        return {key: inner for key, inner in found.items() if inner not in (None, {}, [])}
    if isinstance(shape, list):
        if not isinstance(value, list):
            return None
        return [kept for each in value if (kept := _kept(each, shape[0]))]
    return shape(value)


def _only(keep: Callable[[str], bool]) -> Callable[[object], object]:
    def pick(value: object) -> object:
        fields = value.items() if isinstance(value, dict) else ()
        return {key: each for key, each in fields if isinstance(key, str) and keep(key)}

    return pick


def _keys(*names: str) -> dict[str, _Shape]:
    return dict.fromkeys(names, _whole_value)


def _typed(*types: str) -> Callable[[object], object]:
    """The conditions of some types."""
    shape = _keys("type", "status", "reason", "message", "lastTransitionTime", "lastUpdateTime")

    def pick(value: object) -> object:
        items = value if isinstance(value, list) else ()
        return [_kept(each, shape) for each in items if text(each, "type") in types]

    return pick


def _owners_of_replicas(value: object) -> object:
    """Of `managedFields` those who have `spec.replicas`, and only that of them."""
    fields: dict[str, object] = {"f:spec": {"f:replicas": {}}}
    shape = _keys("manager", "operation", "subresource", "time")
    return [
        {**kept, "fieldsV1": fields}
        for each in (value if isinstance(value, list) else ())
        if "f:replicas" in keyed(each, "fieldsV1", "f:spec")
        and isinstance(kept := _kept(each, shape), dict)
    ]


_META = _keys("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_GOING = _keys("deletionTimestamp", "deletionGracePeriodSeconds", "finalizers")
_OWNERS: _Shape = [_keys("kind", "name", "uid", "controller")]
_GPUS: dict[str, _Shape] = {"requests": _only(is_gpu), "limits": _only(is_gpu)}
_STATE: dict[str, _Shape] = {
    "waiting": _keys("reason", "message"),
    "running": _keys("startedAt"),
    "terminated": _keys("exitCode", "signal", "reason", "message", "finishedAt"),
}
_STATUSES: _Shape = [{**_keys("name", "restartCount"), "state": _STATE, "lastState": _STATE}]

_POD: dict[str, _Shape] = {
    "metadata": {
        **_META,
        **_GOING,
        "labels": _keys(HASH),
        "annotations": _keys(DELETION_COST),
        "ownerReferences": _OWNERS,
    },
    "spec": {
        **_keys("nodeName"),
        "containers": [{**_keys("name"), "ports": [_keys("containerPort")], "resources": _GPUS}],
        "initContainers": [{**_keys("name", "restartPolicy"), "resources": _GPUS}],
    },
    "status": {
        **_keys("phase", "reason", "message", "podIP", "startTime"),
        "conditions": _typed(
            "PodScheduled", "PodReadyToStartContainers", "Ready", "DisruptionTarget"
        ),
        "containerStatuses": _STATUSES,
        "initContainerStatuses": _STATUSES,
    },
}
_DEPLOYMENT: dict[str, _Shape] = {
    "metadata": {
        **_META,
        **_GOING,
        **_keys("generation"),
        "annotations": _only(lambda key: key.startswith(PREFIX) or key == REVISION),
        "managedFields": _owners_of_replicas,
    },
    "spec": _keys("replicas", "paused", "progressDeadlineSeconds", "template"),
    "status": {
        **_keys("observedGeneration", "replicas", "updatedReplicas"),
        **_keys("readyReplicas", "availableReplicas", "unavailableReplicas"),
        "conditions": _typed("ReplicaFailure", "Progressing", "Available"),
    },
}
_REPLICA_SET: dict[str, _Shape] = {
    "metadata": {
        **_META,
        "labels": _keys(HASH),
        "annotations": _keys(REVISION),
        "ownerReferences": _OWNERS,
    },
    "status": {"conditions": _typed("ReplicaFailure")},
}
_NODE: dict[str, _Shape] = {
    "metadata": _META,
    "status": {"allocatable": _only(is_gpu), "conditions": _typed("Ready")},
}
_GPU_NODE: dict[str, _Shape] = {
    "metadata": {**_META, **_keys("labels")},
    "spec": _keys("unschedulable", "taints"),
    "status": _NODE["status"],
}
_EVENT: dict[str, _Shape] = {
    "metadata": _META,
    "involvedObject": _keys("kind", "namespace", "name", "uid"),
    "series": _keys("lastObservedTime"),
    **_keys("reason", "message", "lastTimestamp", "eventTime"),
}
_SCALER: dict[str, _Shape] = {
    "metadata": {**_META, **_GOING},
    "spec": {"scaleTargetRef": _keys("kind", "name", "apiVersion")},
}

EVENTS = frozenset(
    {
        "FailedMount",
        "FailedAttachVolume",
        "SuccessfulAttachVolume",
        "FailedCreatePodSandBox",
        "Pulling",
        "Pulled",
        "TriggeredScaleUp",
        "NotTriggerScaleUp",
        "Nominated",
    }
)
"""The reasons of Events that say more about a pod than its own status does."""


def _shaped(shape: _Shape) -> Callable[[Object], Object | None]:
    def kept(raw: Object) -> Object | None:
        found = _kept(raw, shape)
        return found if isinstance(found, dict) and found else None

    return kept


def _trim_deployment(raw: Object) -> Object | None:
    own = keyed(raw, "metadata", "annotations")
    inner = keyed(raw, "spec", "template", "metadata", "annotations")
    if not any(key.startswith(PREFIX) for key in (*own, *inner)):
        return None
    return _shaped(_DEPLOYMENT)(raw)


def _trim_replica_set(raw: Object) -> Object | None:
    # One that a Deployment has made and left behind is none of its any more: that is to be known.
    owners = entries(raw, "metadata", "ownerReferences")
    of_deployment = any(text(owner, "kind") == "Deployment" for owner in owners)
    if not of_deployment and not text(raw, "metadata", "labels", HASH):
        return None
    digest = text(raw, TEMPLATE_DIGEST) or template_digest(at(raw, "spec", "template"))
    return {**(_shaped(_REPLICA_SET)(raw) or {}), TEMPLATE_DIGEST: digest}


def _trim_pod(raw: Object) -> Object | None:
    kept = _shaped(_POD)(raw)
    if kept is None or _of_replica_set(kept) or _asks_for_gpus(kept):
        return kept
    return None


def _of_replica_set(pod: Object) -> bool:
    owners = entries(pod, "metadata", "ownerReferences")
    return any(text(owner, "kind") == "ReplicaSet" for owner in owners)


def _asks_for_gpus(pod: Object) -> bool:
    containers = (*entries(pod, "spec", "containers"), *entries(pod, "spec", "initContainers"))
    return any(
        keyed(each, "resources", "requests") or keyed(each, "resources", "limits")
        for each in containers
    )


def _trim_node(raw: Object) -> Object | None:
    has_gpus = any(is_gpu(key) for key in keyed(raw, "status", "allocatable"))
    return _shaped(_GPU_NODE if has_gpus else _NODE)(raw)


def _trim_event(raw: Object) -> Object | None:
    if text(raw, "involvedObject", "kind") != "Pod" or text(raw, "reason") not in EVENTS:
        return None
    return _shaped(_EVENT)(raw)


_TRIMS: Mapping[Kind, Callable[[Object], Object | None]] = {
    Kind.DEPLOYMENT: _trim_deployment,
    Kind.REPLICA_SET: _trim_replica_set,
    Kind.POD: _trim_pod,
    Kind.NODE: _trim_node,
    Kind.EVENT: _trim_event,
    Kind.AUTOSCALER: _shaped(_SCALER),
    Kind.SCALED_OBJECT: _shaped(_SCALER),
}
