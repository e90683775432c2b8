"""The nodes there are, and who holds their GPUs. Pure; keeps up with one change at a time."""

from collections.abc import Collection, Mapping

from fleet.cluster.kubernetes.classes import Classes
from fleet.cluster.kubernetes.fields import text
from fleet.cluster.kubernetes.holding import held
from fleet.cluster.kubernetes.nodes import Node, read_node
from fleet.cluster.kubernetes.podindex import PodIndex
from fleet.cluster.kubernetes.pools import Share, gpu_node
from fleet.cluster.kubernetes.replicas import STUCK
from fleet.cluster.kubernetes.times import Moments
from fleet.kubernetes.objects import Key, Object
from fleet.model import GpuNode
from fleet.names import RevisionName

__all__ = ["Places"]


class Places:
    """The nodes, and the shares of their GPUs."""

    def __init__(self, index: PodIndex) -> None:
        self.nodes: dict[str, Node] = {}
        self.classes = Classes()
        self.moved = False
        """Whether pods may be placed otherwise since this was last cleared."""
        self._index = index
        self._shares: dict[str, tuple[Share, ...]] = {}
        self._rows: tuple[GpuNode, ...] | None = ()
        self._due: dict[str, float] = {}

    @property
    def shares(self) -> tuple[Share, ...] | None:
        """By name of the node; None where nodes may not be read."""
        if not self.classes.known:
            return None
        return tuple(share for name in sorted(self._shares) for share in self._shares[name])

    @property
    def rows(self) -> tuple[GpuNode, ...]:
        """The nodes with GPUs, as a snapshot has them."""
        if self._rows is None:
            self._rows = tuple(gpu_node(share) for share in self.shares or ())
        return self._rows

    @property
    def due(self) -> float | None:
        """When shares change by the clock alone."""
        return min(self._due.values(), default=None)

    def late(self, now: float) -> Collection[str]:
        """The nodes whose shares are to be counted anew by now."""
        return [name for name, due in self._due.items() if due <= now]

    def tell(self, *, known: bool) -> None:
        """Whether nodes may be read."""
        self.moved |= known is not self.classes.known
        self.classes.known = known
        self._rows = None

    def put(self, key: Key, raw: Object) -> None:
        """A node as it is now."""
        self._change(key[1], read_node(raw))

    def drop(self, key: Key) -> None:
        """A node that is gone."""
        self._change(key[1], None)

    def share(self, name: str, ours: Mapping[RevisionName, object], moments: Moments) -> bool:
        """Count anew who holds the GPUs of a node; whether that is other than before.

        `ours` are the revisions whose pods are replicas; `moments` say what time it is.
        """
        before = self._shares.pop(name, ())
        self._due.pop(name, None)
        node = self.nodes.get(name)
        if node is None:
            self._rows = None
            return bool(before)
        after = self._counted(node, ours, moments)
        if after:
            self._shares[name] = after
        if after == before:
            return False
        self._rows = None
        return True

    def _counted(
        self, node: Node, ours: Mapping[RevisionName, object], moments: Moments
    ) -> tuple[Share, ...]:
        counts: dict[str, dict[str, int]] = {
            resource: {} for resource, number in node.gpus.items() if number
        }
        for key in self._index.on(node.name):
            holder = self._holder(key, node.name, ours, moments)
            for resource, number in held(self._index.pods[key]).items():
                found = counts.setdefault(resource, {})
                found[holder] = found.get(holder, 0) + number
        return tuple(
            Share(
                node=node.name,
                gpu_class=node.class_of(resource),
                allocatable=node.gpus.get(resource, 0),
                usable=node.usable,
                ours=found.get("ours", 0),
                going=found.get("going", 0),
                others=found.get("others", 0),
            )
            for resource, found in sorted(counts.items())
        )

    def _holder(
        self, key: Key, node: str, ours: Mapping[RevisionName, object], moments: Moments
    ) -> str:
        deleted = text(self._index.pods[key], "metadata", "deletionTimestamp")
        end = moments.end(deleted)
        if end is not None:
            if moments.now >= end + STUCK:
                return "others"
            self._due[node] = min(end + STUCK, self._due.get(node, end + STUCK))
        if self._index.owner(key) in ours:
            return "ours"
        return "going" if deleted else "others"

    def _change(self, name: str, node: Node | None) -> None:
        if node == self.nodes.get(name):
            return
        self.moved |= self.classes.change(self.nodes.get(name), node)
        if node is None:
            del self.nodes[name]
        else:
            self.nodes[name] = node
        self._index.nodes.add(name)
        # Whether it is ready is told of the replicas there.
        for key in self._index.on(name):
            owner = self._index.owner(key)
            if owner is not None:
                self._index.revisions.add(owner)
