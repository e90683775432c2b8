"""Where everything stands: the places, who holds GPUs in which, and what is going. Pure.

Rule 1: the GPUs of what is being stopped, and does not hang, are on their way. So are those of
        replicas beyond the wanted ones: what was written and not carried out yet, and the old ones
        of a rollout whose new ones have not failed. A rollout takes nobody else's GPU.
Rule 2: all other GPUs that a replica of ours holds are held, whatever is wanted.
Rule 3: what waits for something else than a GPU holds none and is in nobody's way.
Rule 4: who wants GPUs where nodes are told apart is told which of them will do.
"""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from autoscaler.core.stock import Spot, Supply
from fleet.model import Fleet, Phase, Replica, Revision
from fleet.names import ReplicaName
from fleet.places import Place, PlaceKey, Places, place_of, waits_for_gpu
from fleet.reasons import Reason

__all__ = ["Ground"]


class Ground:
    """One snapshot, by place."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._places = Places(fleet)
        self._by_node: dict[str | None, list[Place]] = {}
        for place in self._places.every:
            self._by_node.setdefault(place.node, []).append(place)
        self._told_apart = bool(fleet.nodes)

    def supply(self, *, grow_first: bool) -> Supply:
        """The GPUs there are."""
        coming = Counter[PlaceKey]()
        for name, replicas in self._fleet.replicas.items():
            revision = self._fleet.revisions.get(name)
            for replica in _leaving(revision, replicas):
                place = self._of(revision, replica)
                if place is not None:
                    coming[place.key] += replica.gpus
        pools = self._fleet.gpus
        return Supply(
            totals={pool.name: pool.total for pool in pools},
            spots=tuple(
                Spot(key=place.key, free=place.free, coming=coming[place.key])
                for place in self._places.every
                if place.usable
            ),
            elastic={pool.name: pool.elastic for pool in pools if pool.elastic},
            growing=frozenset(pool.name for pool in pools if pool.grows),
            grow_first=grow_first,
        )

    def may(self, revision: Revision) -> frozenset[PlaceKey] | None:
        """The places that will do for its replicas; None: its class."""
        if not self._told_apart:
            return None
        return self._places.keys(revision)

    def vacant(self, revision: Revision) -> int:
        """Free GPUs that an activator may ask for: not where a node is bought for a pod."""
        return sum(
            place.free
            for place in self._places.usable(revision)
            if not self._fleet.pool(place.gpu_class).grows
        )

    def at(self, revision: Revision, held: int) -> Mapping[PlaceKey, int]:
        """Its replicas that hold GPUs and stay, by place; `held` of them are counted as held."""
        found = Counter(self.where(revision).values())
        if self._told_apart:
            return MappingProxyType(found)
        return MappingProxyType({key: min(count, held) for key, count in found.items()})

    def where(self, revision: Revision) -> Mapping[ReplicaName, PlaceKey]:
        """The places of its replicas that hold GPUs and stay."""
        replicas = self._fleet.of(revision.name)
        leaving = {replica.name for replica in _leaving(revision, replicas)}
        found: dict[ReplicaName, PlaceKey] = {}
        for replica in replicas:
            place = self._of(revision, replica) if replica.gpus else None
            if replica.phase is Phase.DRAINING or replica.name in leaving or place is None:
                continue
            found[replica.name] = place.key
        return MappingProxyType(found)

    def apart(self, revision: Revision) -> int:
        """Its replicas that wait, and not for a GPU."""
        return sum(
            replica.phase is Phase.PENDING and not waits_for_gpu(replica)
            for replica in self._fleet.of(revision.name)
        )

    def queue(self, revision: Revision) -> frozenset[ReplicaName]:
        """Its replicas that wait for a GPU."""
        waiting = filter(waits_for_gpu, self._fleet.of(revision.name))
        return frozenset(replica.name for replica in waiting)

    def _of(self, revision: Revision | None, replica: Replica) -> Place | None:
        there = self._by_node.get(replica.node, []) if replica.node else []
        there = [*there, *self._by_node.get(None, [])]
        if revision is None:
            # Its Deployment is gone: what it was is told by where it is, if only one will do.
            return there[0] if len(there) == 1 else None
        return place_of(revision, replica, there)


def _leaving(revision: Revision | None, replicas: tuple[Replica, ...]) -> list[Replica]:
    """Those that hold GPUs and are going."""
    stopping = [
        replica
        for replica in replicas
        if replica.phase is Phase.DRAINING and replica.reason is not Reason.STUCK_TERMINATING
    ]
    if revision is None:
        return stopping
    there = [
        replica
        for replica in replicas
        if replica.gpus and replica.phase not in (Phase.DRAINING, Phase.PENDING)
    ]
    surplus = len(there) - revision.replicas
    if surplus <= 0:
        return stopping
    old = [replica for replica in there if replica.template != revision.template]
    broken = any(replica.phase is Phase.FAILED for replica in there if replica not in old)
    if old and broken and revision.replicas:
        return stopping
    going = old if revision.enacted else there
    return [*stopping, *sorted(going, key=lambda one: _order(revision, one))[:surplus]]


def _order(revision: Revision, replica: Replica) -> tuple[bool, bool, float]:
    """The drained first, then the old, then the youngest."""
    drained = revision.drain is not None and replica.name in revision.drain.replicas
    return (not drained, replica.template == revision.template, -replica.since)
