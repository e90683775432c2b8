"""Which GPUs a gateway may ask for by itself, with others asking at the same time. Pure.

Rule 1: a GPU is vacant that nobody holds and nobody waits for: replicas that are wanted and have no
        place yet get theirs first, and so do this gateway's own wakes from the moment they are
        decided. One that waits in vain keeps all places where it may go.
Rule 2: the other gateways see the same GPUs and do not know of these wakes yet. So of those that
        are vacant each takes its part at a time, at least one replica's; whatever is more is the
        leader's to write. A wake counts until its replica is seen in its place: by then what the
        others took is seen too.
Rule 3: a wake that is decided again, since the Deployment had changed meanwhile, keeps its place
        for a moment: it was this gateway's, and what the others have taken by then was theirs.
Rule 4: where a pod that waits makes a cluster autoscaler buy a node, only the leader knows which
        GPUs are kept for whom.
"""

from dataclasses import dataclass
from math import inf

from fleet.model import Fleet, Phase, Revision
from fleet.names import RevisionName
from fleet.places import Place, PlaceKey, Places, unplaced

__all__ = ["Vacancy"]

_AGAIN_S = 2.0
_SETTLED_S = 30.0
"""A wake whose replica is nowhere by then is like anybody else's."""


@dataclass(slots=True)
class _Wake:
    revision: Revision
    at: float
    written: bool = False
    again_by: float = inf
    """Until when it keeps its place while it is decided again."""


class Vacancy:
    """The GPUs of the newest snapshot less what is spoken for. One for all models of a gateway."""

    def __init__(self) -> None:
        self._fleet: Fleet | None = None
        self._places = Places(Fleet())
        self._left: dict[PlaceKey, int] = {}
        self._pools: dict[str, int] = {}
        self._growing: frozenset[str] = frozenset()
        self._wakes: dict[RevisionName, _Wake] = {}
        self._kept: set[RevisionName] = set()
        """Those of them that have a place in the newest snapshot."""
        self._over_at = inf
        """When the first of them keeps its place no more."""
        self._said: dict[tuple[object, ...], bool] = {}
        """What was answered since anything changed: many models ask the same."""

    def places(self, fleet: Fleet) -> Places:
        """The places of a snapshot."""
        self._places = self._places.at(fleet)
        return self._places

    def has(self, revision: Revision, fleet: Fleet, *, gateways: int, now: float) -> bool:
        """Whether this gateway, one of so many, may ask for a first replica."""
        if revision.gpus == 0:
            return True
        if fleet is not self._fleet or now >= self._over_at:
            self._count(fleet, now)
        if revision.name in self._kept and self._wakes[revision.name].again_by < inf:
            return True
        asked = (revision.nodes, revision.gpu_class, revision.gpus, gateways)
        if asked not in self._said:
            self._said[asked] = self._has(revision, max(1, gateways))
        return self._said[asked]

    def begin(self, revision: Revision, now: float) -> None:
        """Its first replica is being asked for."""
        self._wakes[revision.name] = _Wake(revision, now)
        if self._fleet is not None and revision.name not in self._kept:
            self._claim(revision)
            self._said.clear()

    def end(self, revision: RevisionName, *, written: bool) -> None:
        """It was asked for, or that failed."""
        wake = self._wakes.get(revision)
        if wake is None:
            return
        if written:
            wake.written = True
        else:
            del self._wakes[revision]
            self._fleet = None

    def again(self, revision: RevisionName, now: float) -> None:
        """It is to be decided again, on what has become of its Deployment meanwhile."""
        wake = self._wakes.get(revision)
        if wake is not None:
            wake.again_by = now + _AGAIN_S
            self._fleet = None

    def _has(self, revision: Revision, gateways: int) -> bool:
        place = self._best(revision, growing=self._growing)
        if place is None:
            return False
        mine = sum(
            wake.revision.gpus
            for wake in self._wakes.values()
            if wake.revision.gpu_class == revision.gpu_class
        )
        usable = self._places.usable(revision)
        vacant = mine + sum(max(0, self._left[each.key]) for each in usable)
        return mine + revision.gpus <= max(revision.gpus, vacant // gateways)

    def _count(self, fleet: Fleet, now: float) -> None:
        self._fleet = fleet
        self._said.clear()
        self._left = {place.key: place.free for place in self.places(fleet).every}
        self._pools = {pool.name: pool.free for pool in fleet.gpus}
        self._growing = frozenset(pool.name for pool in fleet.gpus if pool.grows)
        self._wakes = {
            name: wake for name, wake in self._wakes.items() if not _settled(wake, fleet, now)
        }
        self._kept.clear()
        self._over_at = min((wake.again_by for wake in self._wakes.values()), default=inf)
        for name, revision in fleet.revisions.items():
            if revision.gpus == 0:
                continue
            begun = name in self._wakes and revision.replicas == 0
            places = range(unplaced(revision, fleet.of(name)) + begun)
            if all(self._claim(revision) for _ in places) and begun:
                self._kept.add(name)

    def _claim(self, revision: Revision) -> bool:
        """Take its GPUs where there are some; else whatever is there is kept for it."""
        if revision.gpus == 0:
            return True
        place = self._best(revision)
        if place is None:
            for each in self._places.usable(revision):
                self._left[each.key] = 0
            return False
        self._left[place.key] -= revision.gpus
        self._pools[place.gpu_class] -= revision.gpus
        return True

    def _best(self, revision: Revision, *, growing: frozenset[str] = frozenset()) -> Place | None:
        """The place that has room for one replica and least beyond it."""
        found = [
            place
            for place in self._places.usable(revision)
            if self._room(place) >= revision.gpus and place.gpu_class not in growing
        ]
        return min(found, key=lambda place: self._left[place.key], default=None)

    def _room(self, place: Place) -> int:
        """None in a place that has come since the last count."""
        return min(self._left.get(place.key, 0), self._pools.get(place.gpu_class, 0))


def _settled(wake: _Wake, fleet: Fleet, now: float) -> bool:
    """Whether it is over, or its replica is where everybody sees it."""
    name = wake.revision.name
    revision = fleet.revisions.get(name)
    if revision is None or now - wake.at >= _SETTLED_S or now >= wake.again_by:
        return True
    if not wake.written:
        return False
    placed = any(replica.phase not in (Phase.PENDING, Phase.DRAINING) for replica in fleet.of(name))
    return placed or revision.replicas == 0
