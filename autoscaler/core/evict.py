"""Who gives up the GPU for a model that somebody waits for. Pure.

Rule 1: only an idle model: nothing waits or runs at any member gateway, its server queues nothing
        and its GPU does not work, it is not pinned, and has been ready for the minimum residency
        (`may_go`).
Rule 2: lowest priority first, then unused longest; whoever is marked already goes on going.
Rule 3: the cheapest set: no replica is taken that is not needed for the room.
Rule 4: the minimum does not protect, `pinned` does. A victim may have any priority.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from autoscaler.core.seen import Seen
from autoscaler.core.servers import busy
from autoscaler.core.window import Unknown
from fleet.model import Mode, Phase, Policy
from fleet.names import RevisionName

__all__ = ["Candidate", "Victim", "choose", "may_go"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An idle model that may be evicted."""

    revision: RevisionName
    gpu_class: str
    priority: int
    unused_since: float
    replicas: int
    """Replicas it can give."""
    gpus: int
    """GPUs per replica, at least 1."""
    marked: bool = False
    """Its drain has begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """Replicas to take from one model."""

    revision: RevisionName
    replicas: int


def may_go(seen: Seen, policy: Policy, *, min_residency: float, now: float) -> bool:
    """Whether a model is idle, and old enough, to be evicted."""
    if policy.mode is not Mode.AUTO or policy.pinned or seen.idle_since is None:
        return False
    if seen.count(Phase.LOADING) or not seen.servers_known:
        return False
    servers = [member.server for member in seen.ready]
    if any(isinstance(server, Unknown) or busy(server) for server in servers):
        return False
    youngest = max((member.ready_at or now for member in seen.ready), default=now)
    return now - youngest >= min_residency


def choose(need: int, candidates: Iterable[Candidate]) -> tuple[Victim, ...] | None:
    """The victims that free `need` GPUs; None when all candidates together do not."""
    units = [
        candidate
        for candidate in sorted(candidates, key=_order)
        for _ in range(candidate.replicas)
        if candidate.gpus > 0
    ]
    taken: list[Candidate] = []
    freed = 0
    for unit in units:
        if freed >= need:
            break
        taken.append(unit)
        freed += unit.gpus
    if freed < need:
        return None
    for unit in reversed(tuple(taken)):
        if freed - unit.gpus >= need:
            taken.remove(unit)
            freed -= unit.gpus
    names = dict.fromkeys(unit.revision for unit in taken)
    return tuple(
        Victim(revision=name, replicas=sum(unit.revision == name for unit in taken))
        for name in names
    )


def _order(candidate: Candidate) -> tuple[bool, int, float, RevisionName]:
    return (
        not candidate.marked,
        candidate.priority,
        candidate.unused_since,
        candidate.revision,
    )
