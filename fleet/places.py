"""Where the GPUs are, who may have which, and who waits for one. Pure.

Rule 1: a place is one node's GPUs of one class; where nodes cannot be told apart, a whole class. A
        replica has all its GPUs in one place.
Rule 2: whole GPUs are asked for by their number: any class will do that is on a node where the
        pods may go. Parts of GPUs (MIG) are asked for by their class.
Rule 3: a replica that waits for something else than a GPU is in nobody's way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from fleet.model import Fleet, Phase, Replica, Revision
from fleet.reasons import Reason

__all__ = [
    "Place",
    "PlaceKey",
    "Places",
    "may_use",
    "place_of",
    "places",
    "unplaced",
    "waits_for_gpu",
]

PlaceKey: TypeAlias = tuple[str, str | None]
"""(class, node)."""

_Asked: TypeAlias = tuple[frozenset[str] | None, str]
_PART = "mig-"
_FOR_A_GPU = (None, Reason.NO_FREE_GPU, Reason.NODE_COMING, Reason.STARTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """GPUs of one class on one node, or of all nodes together."""

    gpu_class: str
    node: str | None
    total: int
    free: int
    """Held by nobody, not even by what is being stopped."""
    usable: bool = True
    """New pods may come."""

    @property
    def key(self) -> PlaceKey:
        return (self.gpu_class, self.node)


def places(fleet: Fleet) -> tuple[Place, ...]:
    """Every place there is."""
    by_node = [
        Place(
            gpu_class=node.gpu_class,
            node=node.name,
            total=node.total,
            free=node.free,
            usable=node.usable,
        )
        for node in fleet.nodes
    ]
    told_apart = {place.gpu_class for place in by_node}
    whole = [
        Place(gpu_class=pool.name, node=None, total=pool.total, free=pool.free)
        for pool in fleet.gpus
        if pool.name not in told_apart
    ]
    return (*by_node, *whole)


class Places:
    """The places of a snapshot, and who may use which; remembers what it was asked."""

    def __init__(self, fleet: Fleet) -> None:
        self.every = places(fleet)
        self._fleet = fleet
        self._usable: dict[_Asked, tuple[Place, ...]] = {}
        self._keys: dict[_Asked, frozenset[PlaceKey]] = {}

    def at(self, fleet: Fleet) -> "Places":
        """Those of another snapshot: the same where nothing about places is new."""
        old = self._fleet
        same = fleet is old or (fleet.nodes is old.nodes and fleet.gpus == old.gpus)
        return self if same else Places(fleet)

    def usable(self, revision: Revision) -> tuple[Place, ...]:
        """Where new replicas of a revision may have their GPUs."""
        asked = (revision.nodes, revision.gpu_class)
        if asked not in self._usable:
            self._usable[asked] = tuple(each for each in self.every if may_use(revision, each))
        return self._usable[asked]

    def keys(self, revision: Revision) -> frozenset[PlaceKey]:
        """The same, by their keys."""
        asked = (revision.nodes, revision.gpu_class)
        if asked not in self._keys:
            self._keys[asked] = frozenset(place.key for place in self.usable(revision))
        return self._keys[asked]

    def possible(self, revision: Revision) -> bool:
        """Whether some place has as many GPUs as a replica needs, held or not, or may come to."""
        usable, gpus = self.usable(revision), revision.gpus
        if not gpus:
            return True
        pools = {pool.name: pool for pool in self._fleet.gpus}
        classes = {revision.gpu_class, *(place.gpu_class for place in usable)}
        if any(pools[name].elastic >= gpus for name in classes if name in pools):
            return True
        return any(
            min(place.total, pools[place.gpu_class].total) >= gpus
            for place in usable
            if place.gpu_class in pools
        )

    def most_free(self, revision: Revision) -> int:
        """Free GPUs in one of the places that it may use, at most."""
        return max((place.free for place in self.usable(revision)), default=0)


def may_use(revision: Revision, place: Place) -> bool:
    """Whether its new replicas may have GPUs there."""
    if not (place.usable and _same_kind(revision, place)):
        return False
    return revision.nodes is None or place.node is None or place.node in revision.nodes


def place_of(revision: Revision, replica: Replica, there: Iterable[Place]) -> Place | None:
    """Which of the places `there` are a replica's GPUs are in; None while it has none."""
    if replica.phase is Phase.PENDING:
        return None
    for place in there:
        # Where it is counts, not where it might be by now.
        if place.node in (replica.node, None) and _same_kind(revision, place):
            return place
    return None


def _same_kind(revision: Revision, place: Place) -> bool:
    if place.gpu_class == revision.gpu_class:
        return True
    parts = place.gpu_class.startswith(_PART) or revision.gpu_class.startswith(_PART)
    return place.node is not None and not parts


def waits_for_gpu(replica: Replica) -> bool:
    """Whether a GPU is what it lacks, as far as is known."""
    return replica.phase is Phase.PENDING and replica.reason in _FOR_A_GPU


def unplaced(revision: Revision, replicas: Iterable[Replica]) -> int:
    """Replicas that will take a GPU as soon as they find one: waiting, or wanted and not made."""
    live = [replica for replica in replicas if replica.phase is not Phase.DRAINING]
    return sum(map(waits_for_gpu, live)) + max(0, revision.replicas - len(live))
