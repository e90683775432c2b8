"""What is listed and watched of a cluster, where, and what is lost where it may not be. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

from fleet.cluster.kubernetes.objects import Kind

__all__ = ["MISSED", "NEEDED", "paths", "query"]

_GROUPS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.DEPLOYMENT: "/apis/apps/v1",
        Kind.REPLICA_SET: "/apis/apps/v1",
        Kind.POD: "/api/v1",
        Kind.NODE: "/api/v1",
        Kind.EVENT: "/api/v1",
        Kind.AUTOSCALER: "/apis/autoscaling/v2",
        Kind.SCALED_OBJECT: "/apis/keda.sh/v1alpha1",
    }
)

NEEDED = frozenset({Kind.DEPLOYMENT, Kind.REPLICA_SET, Kind.POD})
"""Without these there is no fleet."""

MISSED: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.NODE: "GPUs are counted by EBBTIDE_GPU_BUDGET and by what pods hold, not by node",
        Kind.EVENT: "why a pod does not start is known from its status alone",
        Kind.AUTOSCALER: "a HorizontalPodAutoscaler on a registered Deployment is not noticed",
        Kind.SCALED_OBJECT: "a ScaledObject of KEDA on a registered Deployment is not noticed",
    }
)
"""What is not known without a resource that may not be read."""

_LEFT_OUT = (
    "Scheduled",
    "FailedScheduling",
    "Created",
    "Started",
    "Killing",
    "BackOff",
    "Unhealthy",
)
"""The Events that there are most of, and that say no more than a pod's own status."""


def paths(kind: Kind, namespaces: tuple[str, ...]) -> tuple[str, ...]:
    """Where the objects of a kind are: one path for all namespaces, or one for each."""
    group = _GROUPS[kind]
    if kind is Kind.NODE and namespaces:
        # What pods of other namespaces hold there is not known, so nodes tell nothing.
        return ()
    if not namespaces:
        return (f"{group}/{kind.value}",)
    return tuple(f"{group}/namespaces/{name}/{kind.value}" for name in namespaces)


def query(kind: Kind) -> Mapping[str, str]:
    """The selectors that spare us what nobody reads."""
    if kind is Kind.POD:
        # Those of finished jobs: they hold nothing, and a Deployment has none.
        return {"fieldSelector": "status.phase!=Succeeded"}
    if kind is Kind.EVENT:
        left_out = (f"reason!={reason}" for reason in _LEFT_OUT)
        return {"fieldSelector": ",".join(("involvedObject.kind=Pod", *left_out))}
    return {}
