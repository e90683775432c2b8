"""Which class of GPUs a Deployment's pods hold, and on which nodes they may be. Pure.

Rule 1: the class is that of the nodes which the template admits. Where those are of several, it is
        the one with most GPUs, the first by name of equals: such a Deployment should say which.
Rule 2: where no node is admitted the class is the one that the template names by label: nodes of it
        may come.
"""

from collections import Counter
from dataclasses import dataclass, field

from fleet.cluster.kubernetes.nodes import Node, gpu_class
from fleet.cluster.kubernetes.placement import Placement, admits, named_product

__all__ = ["Classes", "Fit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Where pods of one placement may be."""

    gpu_class: str
    nodes: frozenset[str] | None = None
    """None: on all that have such GPUs, or nodes may not be read."""
    classes: tuple[str, ...] = ()
    """Those of `nodes`, the one with most GPUs first."""


@dataclass(slots=True)
class _Admitted:
    names: set[str] = field(default_factory=set)
    sizes: Counter[str] = field(default_factory=Counter)
    """GPUs by class."""
    fit: Fit | None = None


class Classes:
    """What fits where, kept up to date node by node."""

    def __init__(self) -> None:
        self.known = False
        """Whether nodes may be read."""
        self._nodes: dict[str, Node] = {}
        self._offering: dict[str, set[str]] = {}
        self._found: dict[Placement, _Admitted] = {}
        self._users: Counter[Placement] = Counter()

    def swap(self, before: Placement | None, after: Placement | None) -> None:
        """A Deployment is placed like `after`, and no more like `before`; None: it is new, or gone.

        What nobody is placed like any more is forgotten: templates may change for ever.
        """
        if after is not None:
            self._users[after] += 1
        if before is not None:
            self._users[before] -= 1
            if not self._users[before]:
                del self._users[before]
                self._found.pop(before, None)

    def change(self, before: Node | None, after: Node | None) -> bool:
        """A node was added, changed or removed; whether that makes any fit another."""
        if before is not None and after is not None and _same(before, after):
            self._nodes[after.name] = after
            return False
        if before is not None:
            self._take(before)
        if after is not None:
            self._add(after)
        changed = False
        for placement, found in self._found.items():
            fit = self._fit(placement, found)
            changed |= fit != found.fit
            found.fit = fit
        return changed

    def fit(self, placement: Placement) -> Fit:
        """Where pods of that placement may be."""
        if not self.known:
            return Fit(gpu_class=gpu_class(placement.resource, named_product(placement)))
        found = self._found.get(placement)
        if found is None:
            found = self._found[placement] = _Admitted()
            for node in self._nodes.values():
                _count(found, node, placement, sign=1)
        if found.fit is None:
            found.fit = self._fit(placement, found)
        return found.fit

    def _add(self, node: Node) -> None:
        self._nodes[node.name] = node
        for resource, number in node.gpus.items():
            if number:
                self._offering.setdefault(resource, set()).add(node.name)
        for placement, found in self._found.items():
            _count(found, node, placement, sign=1)

    def _take(self, node: Node) -> None:
        del self._nodes[node.name]
        for names in self._offering.values():
            names.discard(node.name)
        for placement, found in self._found.items():
            _count(found, node, placement, sign=-1)

    def _fit(self, placement: Placement, found: _Admitted) -> Fit:
        sizes = found.sizes
        classes = tuple(sorted(sizes, key=lambda name: (-sizes[name], name)))
        everywhere = len(found.names) == len(self._offering.get(placement.resource, ()))
        return Fit(
            gpu_class=classes[0]
            if classes
            else gpu_class(placement.resource, named_product(placement)),
            nodes=None if everywhere else frozenset(found.names),
            classes=classes,
        )


def _count(found: _Admitted, node: Node, placement: Placement, *, sign: int) -> None:
    number = node.gpus.get(placement.resource, 0)
    if not number or not admits(node, placement):
        return
    name = node.class_of(placement.resource)
    found.sizes[name] += sign * number
    if not found.sizes[name]:
        del found.sizes[name]
    if sign > 0:
        found.names.add(node.name)
    else:
        found.names.discard(node.name)


def _same(one: Node, other: Node) -> bool:
    return (one.labels, one.taints, one.gpus) == (other.labels, other.taints, other.gpus)
