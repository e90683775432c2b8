"""Objects that tests make on a cluster, as plain documents. Pure."""

from collections.abc import Mapping
from typing import Any

__all__ = ["deployment", "gpu_node", "ready_pod"]

_GPU = "nvidia.com/gpu"


def gpu_node(
    name: str,
    *,
    gpus: int,
    resource: str = _GPU,
    labels: Mapping[str, str] | None = None,
    pods: int = 1000,
) -> dict[str, Any]:
    """A node with `gpus` of `resource`, ready, and with room for anything else."""
    room = {"cpu": "256", "memory": "1Ti", "pods": str(pods), resource: str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
            ],
        },
    }


def deployment(
    name: str,
    namespace: str,
    *,
    annotations: Mapping[str, str] | None = None,
    replicas: int = 0,
    gpus: int = 0,
    spec: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A Deployment of one container; `annotations` without their `ebbtide.dev/`."""
    container: dict[str, Any] = {"name": "model", "image": "docker.io/local/none:1"}
    if gpus:
        container["resources"] = {"limits": {_GPU: str(gpus)}}
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {f"ebbtide.dev/{k}": v for k, v in (annotations or {}).items()},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
            },
            **(spec or {}),
        },
    }


def ready_pod(
    address: str, *, ready: bool = True, started: str, container: str = "model"
) -> dict[str, Any]:
    """The status that a kubelet writes for a pod that runs at `address` since `started`."""
    truth = "True" if ready else "False"
    kinds = ("Initialized", "PodScheduled", "ContainersReady", "Ready")
    state = {"running": {"startedAt": started}}
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": started,
        "conditions": [
            {"type": kind, "status": truth if "Ready" in kind else "True"} for kind in kinds
        ],
        "containerStatuses": [
            {
                "name": container,
                "ready": ready,
                "started": True,
                "restartCount": 0,
                "image": "docker.io/local/none:1",
                "imageID": "",
                "state": state,
            }
        ],
    }
