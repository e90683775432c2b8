"""Which GPUs there were a moment ago, where there are fewer now. Pure.

A node that is not ready for a moment, or whose driver starts anew, has no GPUs meanwhile: whoever
calls a model that could go nowhere else is held, as for any other GPU that is not free.

Rule 1: what was possible within the last `GRACE` seconds is worth waiting for. After that it is as
        if it had never been.
Rule 2: what a model needs counts: so many GPUs, on nodes such as its template asks for. One that
        asks for other nodes than it did then has no past; whatever else its template says is free.
"""

from collections import deque
from dataclasses import dataclass, replace

from fleet.model import Fleet, Revision
from fleet.places import Places

__all__ = ["GRACE", "Lately"]

GRACE = 300.0
_MOST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """Before some GPUs went."""

    fleet: Fleet
    places: Places
    until: float


class Lately:
    """One for all models of a gateway."""

    def __init__(self) -> None:
        self._fleet = Fleet()
        self._past: deque[_Past] = deque(maxlen=_MOST)

    def take(self, fleet: Fleet, now: float) -> None:
        """Another snapshot."""
        before, self._fleet = self._fleet, fleet
        if not _fewer(before, fleet):
            return
        for past in self._past:
            if past.fleet.nodes == before.nodes and past.fleet.gpus == before.gpus:
                # A node that comes and goes takes no room from what others lost.
                self._past.remove(past)
                break
        self._past.append(_Past(fleet=before, places=Places(before), until=now + GRACE))

    def possible(self, revision: Revision, now: float) -> bool:
        """Whether it could have had its GPUs within the last `GRACE` seconds."""
        while self._past and self._past[0].until <= now:
            self._past.popleft()
        return any(_was_possible(past, revision) for past in self._past)


def _was_possible(past: _Past, revision: Revision) -> bool:
    # Its classes and nodes are those of then: a node that is gone is none of today's.
    known = past.fleet.revisions.get(revision.name)
    if known is None or known.placement != revision.placement:
        return False
    return past.places.possible(replace(known, gpus=revision.gpus))


def _fewer(before: Fleet, after: Fleet) -> bool:
    """Whether GPUs that were there are not."""
    if before.nodes is not after.nodes:
        there = {(node.name, node.gpu_class): node.total for node in after.nodes if node.usable}
        for node in before.nodes:
            if node.usable and node.total > there.get((node.name, node.gpu_class), 0):
                return True
    if before.gpus == after.gpus:
        return False
    pools = {pool.name: pool.total + pool.elastic for pool in after.gpus}
    return any(pool.total + pool.elastic > pools.get(pool.name, 0) for pool in before.gpus)
