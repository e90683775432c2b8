"""Objects of a Kubernetes cluster, shaped as its API server sends them."""

import copy
from typing import Any

from fleet.kubernetes.objects import Object

WALL = 1767225600.0
"""2026-01-01T00:00:00Z."""
_VERSIONS = iter(range(1000, 10**9))


def stamp(seconds: float = 0.0) -> str:
    """The timestamp `seconds` (under an hour) after WALL."""
    minutes, rest = divmod(int(seconds), 60)
    return f"2026-01-01T00:{minutes:02}:{rest:02}Z"


def metadata(name: str, *, namespace: str | None = "default", at: float = 0.0) -> Object:
    made: Object = {
        "name": name,
        "uid": f"uid-{namespace}-{name}",
        "resourceVersion": str(next(_VERSIONS)),
        "creationTimestamp": stamp(at),
        "managedFields": [{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:x": {}}}],
    }
    return made if namespace is None else {**made, "namespace": namespace}


def container(gpus: object = "1", *, resource: str = "nvidia.com/gpu") -> Object:
    counted = {resource: gpus} if gpus else {}
    return {
        "name": "server",
        "image": "example.com/server:1",
        "ports": [{"containerPort": 8000, "name": "http", "protocol": "TCP"}],
        "resources": {"limits": counted, "requests": dict(counted)},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }


def deployment(
    name: str = "demo",
    *,
    replicas: int | None = 1,
    annotations: dict[str, str] | None = None,
    pod: Object | None = None,
    status: Object | None = None,
    at: float = 0.0,
    **extra: Any,
) -> Object:
    """One with one GPU, registered under its own name unless `annotations` say otherwise."""
    own = {"model": name} if annotations is None else annotations
    spec = {"containers": [container()], **(pod or {})}
    made = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            **metadata(name, at=at),
            "generation": 1,
            "annotations": {
                "deployment.kubernetes.io/revision": "1",
                **{f"ebbtide.dev/{key}": value for key, value in own.items()},
            },
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
        "status": {
            "observedGeneration": 1,
            "replicas": replicas,
            "updatedReplicas": replicas,
            **(status or {}),
        },
    }
    made["metadata"].update(extra)
    if replicas is None:
        del made["spec"]["replicas"]
    return made


def replica_set(owner: Object, hash_: str = "7c9d", *, rollout: str = "1") -> Object:
    name = f"{owner['metadata']['name']}-{hash_}"
    template = copy.deepcopy(owner["spec"]["template"])
    template["metadata"]["labels"]["pod-template-hash"] = hash_
    return {
        "metadata": {
            **metadata(name, namespace=owner["metadata"]["namespace"]),
            "labels": {"app": owner["metadata"]["name"], "pod-template-hash": hash_},
            "annotations": {"deployment.kubernetes.io/revision": rollout},
            "ownerReferences": [_owned_by("Deployment", owner)],
        },
        "spec": {"replicas": 1, "template": template},
    }


def _owned_by(kind: str, owner: Object) -> Object:
    found = owner["metadata"]
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": found["name"],
        "uid": found["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod(
    owner: Object,
    suffix: str = "x1",
    *,
    node: str | None = "n1",
    state: Object | None = None,
    last: Object | None = None,
    restarts: int = 0,
    at: float = 10.0,
    ip: str | None = "10.0.0.1",
    phase: str | None = None,
    ready: bool = False,
    **extra: Any,
) -> Object:
    """A pod of a ReplicaSet: on its node, and running unless `state` says otherwise."""
    found = owner["metadata"]
    template = copy.deepcopy(owner["spec"]["template"])
    now = {"running": {"startedAt": stamp(at + 2)}} if state is None else state
    made: Object = {
        "metadata": {
            **metadata(f"{found['name']}-{suffix}", namespace=found["namespace"], at=at),
            "labels": template["metadata"]["labels"],
            "ownerReferences": [_owned_by("ReplicaSet", owner)],
        },
        "spec": template["spec"],
        "status": {"phase": phase or ("Running" if "running" in now else "Pending")},
    }
    made["metadata"].update(extra)
    if node is None:
        return made
    made["spec"]["nodeName"] = node
    made["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(at + 1)},
        {"type": "Ready", "status": str(ready), "lastTransitionTime": stamp(at + 1)},
    ]
    made["status"]["containerStatuses"] = [
        {"name": "server", "restartCount": restarts, "state": now, "lastState": last or {}}
    ]
    if ip is not None:
        made["status"]["podIP"] = ip
    return made


def unscheduled(owner: Object, message: str, *, suffix: str = "x1", reason: str = "") -> Object:
    made = pod(owner, suffix, node=None, state={})
    made["status"]["conditions"] = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": reason or "Unschedulable",
            "message": message,
            "lastTransitionTime": stamp(10),
        }
    ]
    return made


def lone_pod(name: str, gpus: object = "1", *, node: str = "n1", phase: str = "Running") -> Object:
    """A pod of nobody's."""
    return {
        "metadata": metadata(name),
        "spec": {"nodeName": node, "containers": [container(gpus)]},
        "status": {"phase": phase},
    }


def node(
    name: str = "n1",
    gpus: object = "4",
    *,
    product: str | None = "A100",
    ready: bool = True,
    resource: str = "nvidia.com/gpu",
    spec: Object | None = None,
    labels: dict[str, str] | None = None,
) -> Object:
    own = {"kubernetes.io/hostname": name, **(labels or {})}
    if product is not None:
        own["nvidia.com/gpu.product"] = product
    return {
        "metadata": {**metadata(name, namespace=None), "labels": own},
        "spec": spec or {},
        "status": {
            "allocatable": {"cpu": "16", "memory": "64Gi", resource: gpus},
            "capacity": {"cpu": "16", "memory": "64Gi", resource: gpus},
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": str(ready), "lastHeartbeatTime": stamp()},
            ],
        },
    }


def event(about: Object, reason: str, message: str, *, at: float = 20.0, name: str = "") -> Object:
    found = about["metadata"]
    return {
        "metadata": metadata(name or f"{found['name']}.{reason}", at=at),
        "involvedObject": {
            "kind": "Pod",
            "namespace": found["namespace"],
            "name": found["name"],
            "uid": found["uid"],
        },
        "reason": reason,
        "message": message,
        "type": "Warning",
        "lastTimestamp": stamp(at),
    }
