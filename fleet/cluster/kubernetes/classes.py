"""Which class of GPUs a Deployment's pods hold, and on which nodes they may be. Pure.

Rule 1: the class is that of the nodes which the template admits. Where those are of several, it is
        the one with most GPUs, the first by name of equals: such a Deployment should say which.
Rule 2: where no node is admitted the class is the one that the template names by label: nodes of it
        may come.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleet.cluster.kubernetes.nodes import Node, gpu_class
from fleet.cluster.kubernetes.placement import Placement, admits, named_product

__all__ = ["Classes", "Fit", "same_places"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Where pods of one placement may be."""

    gpu_class: str
    nodes: frozenset[str] | None = None
    """None: on all that have such GPUs, or nodes may not be read."""
    classes: tuple[str, ...] = ()
    """Those of `nodes`, the one with most GPUs first."""


class Classes:
    """What fits where, remembered until the nodes change."""

    def __init__(self) -> None:
        self._nodes: tuple[Node, ...] | None = None
        self._fits: dict[Placement, Fit] = {}

    def use(self, nodes: Iterable[Node] | None) -> None:
        """The nodes as they are now; None: they may not be read."""
        self._nodes = None if nodes is None else tuple(nodes)
        self._fits.clear()

    def fit(self, placement: Placement) -> Fit:
        """Where pods of that placement may be."""
        found = self._fits.get(placement)
        if found is None:
            found = self._fits[placement] = self._fit(placement)
        return found

    def _fit(self, placement: Placement) -> Fit:
        named = gpu_class(placement.resource, named_product(placement))
        if self._nodes is None:
            return Fit(gpu_class=named)
        offering = [node for node in self._nodes if node.gpus.get(placement.resource)]
        admitted = [node for node in offering if admits(node, placement)]
        sizes = Counter[str]()
        for node in admitted:
            sizes[node.class_of(placement.resource)] += node.gpus[placement.resource]
        classes = tuple(sorted(sizes, key=lambda name: (-sizes[name], name)))
        return Fit(
            gpu_class=classes[0] if classes else named,
            nodes=None
            if len(admitted) == len(offering)
            else frozenset(node.name for node in admitted),
            classes=classes,
        )


def same_places(one: Mapping[str, Node], other: Node | None, name: str) -> bool:
    """Whether pods may be placed on a node as before."""
    before = one.get(name)
    if before is None or other is None:
        return before is other
    return (before.labels, before.taints, before.gpus) == (other.labels, other.taints, other.gpus)
