"""What gateway and autoscaler ask of the API server, and what each verb is for. Pure.

The chart's roles grant exactly these (a test holds them to it); `ebbtide doctor` asks for each.

Rule: nothing here reads a Secret, a ConfigMap or a pod's log.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

__all__ = ["PERMISSIONS", "Component", "Permission", "Scope"]


class Component(Enum):
    """The processes that have an account each."""

    GATEWAY = "gateway"
    AUTOSCALER = "autoscaler"


class Scope(Enum):
    """Where a verb is needed."""

    CLUSTER = "cluster"
    """Of what is in no namespace."""
    MODELS = "models"
    """In every namespace whose Deployments are looked at."""
    OWN = "own"
    """In ebbtide's own namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One verb on one resource."""

    component: Component
    scope: Scope
    group: str
    """Of the API; empty: the core group."""
    resource: str
    """With its subresource: `deployments/scale`."""
    verb: str
    use: str
    """What it is for."""
    name: str = ""
    """Of the one object that it is about; empty: of all there are."""
    needed: bool = True
    """Whether nothing works without; else what it is for is not known or not told."""


_SEEN = (
    ("apps", "deployments", "what is registered, and how many replicas are wanted", True),
    ("apps", "replicasets", "which pods are of which edition of a Deployment", True),
    ("", "pods", "the replicas, their addresses, and who holds GPUs", True),
    ("", "events", "why a pod does not run: no room, no volume, no node to come", False),
    (
        "autoscaling",
        "horizontalpodautoscalers",
        "who else scales a Deployment, which is then left to them",
        False,
    ),
    (
        "keda.sh",
        "scaledobjects",
        "who else scales a Deployment, which is then left to them",
        False,
    ),
)
_WRITES = {
    Component.GATEWAY: (
        ("apps", "deployments/scale", "patch", "wakes a sleeping model", True),
        ("events.k8s.io", "events", "create", "says at the Deployment that it woke it", False),
        ("events.k8s.io", "events", "patch", "says it again", False),
    ),
    Component.AUTOSCALER: (
        ("apps", "deployments/scale", "patch", "the replicas, as decided", True),
        ("apps", "deployments", "patch", "marks who is to be drained", True),
        ("", "pods", "patch", "who goes first: the deletion cost", True),
        ("events.k8s.io", "events", "create", "what happened to a model, at its Deployment", False),
        ("events.k8s.io", "events", "patch", "that it happened again", False),
    ),
}
_LEASES = "coordination.k8s.io"
_LEADER = "ebbtide-autoscaler"
_OWN = {
    Component.GATEWAY: (
        (_LEASES, "leases", "create", "its own Lease, by which it is a member", ""),
        (_LEASES, "leases", "get", "whether that is there, from a process before it", ""),
        (_LEASES, "leases", "update", "that it is still there", ""),
    ),
    Component.AUTOSCALER: (
        (_LEASES, "leases", "create", "the leader's Lease, the first time", ""),
        (_LEASES, "leases", "get", "who leads", _LEADER),
        (_LEASES, "leases", "list", "the gateways that must be heard", ""),
        (_LEASES, "leases", "update", "leads, goes on leading, steps down", _LEADER),
        ("", "pods", "get", "whether a silent gateway's pod is gone", ""),
    ),
}
_NODES = "the GPUs, by node and class; without, EBBTIDE_GPU_BUDGET says how many"


def _rows(component: Component) -> Iterator[tuple[Scope, str, str, str, str, bool, str]]:
    """Scope, group, resource, verb, use, whether it is needed, and the name of the one object."""
    for group, resource, use, needed in _SEEN:
        for verb in ("list", "watch"):
            yield Scope.MODELS, group, resource, verb, use, needed, ""
    for verb in ("list", "watch"):
        yield Scope.CLUSTER, "", "nodes", verb, _NODES, False, ""
    for group, resource, verb, use, needed in _WRITES[component]:
        yield Scope.MODELS, group, resource, verb, use, needed, ""
    for group, resource, verb, use, name in _OWN[component]:
        yield Scope.OWN, group, resource, verb, use, True, name


def _all() -> Iterator[Permission]:
    for component in Component:
        for scope, group, resource, verb, use, needed, name in _rows(component):
            yield Permission(
                component=component,
                scope=scope,
                group=group,
                resource=resource,
                verb=verb,
                use=use,
                needed=needed,
                name=name,
            )


PERMISSIONS: tuple[Permission, ...] = tuple(_all())
"""All of them."""
