"""What a node is to models: its GPUs by resource and class, whether it takes new pods. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from fleet.cluster.kubernetes.fields import entries, flag, keyed, text
from fleet.cluster.kubernetes.holding import count
from fleet.kubernetes.objects import Object
from fleet.podtemplate import GPU, is_gpu

__all__ = ["PRODUCT", "Node", "Taint", "gpu_class", "read_node"]

PRODUCT = "nvidia.com/gpu.product"
"""The label that says which GPUs a node has."""
_NO_LABEL = "gpu"
_OWN = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_KEEPS_OUT = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """What keeps pods off a node that do not tolerate it."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node, as far as it is read."""

    name: str
    ready: bool
    usable: bool
    """Whether new pods may come: it is ready, not cordoned, and under no pressure."""
    gpus: Mapping[str, int]
    """Allocatable, by resource."""
    labels: Mapping[str, object]
    taints: tuple[Taint, ...] = ()
    """Those that somebody set; those that the cluster sets and clears by itself are in `usable`."""

    def class_of(self, resource: str) -> str:
        """The class of its GPUs of that resource."""
        return gpu_class(resource, text(self.labels, PRODUCT))


def gpu_class(resource: str, product: str) -> str:
    """The class of GPUs of a resource on nodes with that product label (which may be empty)."""
    if resource != GPU:
        return resource.rpartition("/")[2]
    return product or _NO_LABEL


def read_node(raw: Object) -> Node:
    """The node, whatever `raw` holds."""
    taints = _taints(raw)
    ready = any(
        text(each, "type") == "Ready" and text(each, "status") == "True"
        for each in entries(raw, "status", "conditions")
    )
    kept_out = flag(raw, "spec", "unschedulable") or any(t.key.startswith(_OWN) for t in taints)
    allocatable = keyed(raw, "status", "allocatable")
    return Node(
        name=text(raw, "metadata", "name"),
        ready=ready,
        usable=ready and not kept_out,
        gpus={key: count(value) for key, value in allocatable.items() if is_gpu(key)},
        labels=keyed(raw, "metadata", "labels"),
        taints=tuple(taint for taint in taints if not taint.key.startswith(_OWN)),
    )


def _taints(raw: Object) -> list[Taint]:
    found = (
        Taint(key=text(each, "key"), value=text(each, "value"), effect=text(each, "effect"))
        for each in entries(raw, "spec", "taints")
    )
    return [taint for taint in found if taint.effect in _KEEPS_OUT]
