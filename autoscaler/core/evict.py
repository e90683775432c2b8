"""Who gives up the GPU for a model that somebody waits for. Pure.

Rule 1: only an idle model: nothing waits or runs at any member gateway, its server queues nothing
        and its GPU does not work, it is not pinned, and has been ready for the minimum residency
        (`may_go`).
Rule 2: lowest priority first, then unused longest; whoever is marked already goes on going. One
        that would lose more than is needed, since it is rolled out, goes last; and after all others
        one that the cluster lets nobody write.
Rule 3: the cheapest set: no replica is taken that is not needed for the room. Where room must come
        about in one place, only replicas there are taken; of several such sets the one whose last
        victim would go first, then the smaller one.
Rule 4: the minimum does not protect, `pinned` does. A victim may have any priority.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from autoscaler.core.seen import Seen, ServerSeen
from autoscaler.core.servers import busy
from autoscaler.core.stock import Need
from fleet.model import Mode, Phase, Policy
from fleet.names import ReplicaName, RevisionName
from fleet.places import PlaceKey

__all__ = ["Candidate", "Victim", "choose", "choose_any", "may_go", "without"]


_Order: TypeAlias = tuple[bool, bool, bool, int, float, RevisionName]


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
    refused: bool = False
    """The cluster would not let it be written, a moment ago."""
    whole: bool = False
    """It loses all its replicas, or none."""
    going: frozenset[ReplicaName] = frozenset()
    """The replicas that its drain names."""
    at: tuple[tuple[ReplicaName, PlaceKey], ...] = ()
    """These replicas and their places, those that go first first; empty: anywhere in its class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """Replicas to take from one model."""

    revision: RevisionName
    replicas: int
    at: tuple[tuple[ReplicaName, PlaceKey], ...] = ()
    """Which, where it matters which."""


def may_go(seen: Seen, policy: Policy, *, min_residency: float, now: float) -> bool:
    """Whether a model is idle, and old enough, to be evicted."""
    if policy.mode is not Mode.AUTO or policy.pinned or seen.idle_since is None:
        return False
    if seen.count(Phase.LOADING) or seen.servers_silent:
        return False
    servers = [member.server for member in seen.ready]
    if any(isinstance(server, ServerSeen) and busy(server) for server in servers):
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
    counts = {unit.revision: (unit, taken.count(unit)) for unit in taken}
    return tuple(
        Victim(revision=name, replicas=count, at=unit.at[:count])
        for name, (unit, count) in counts.items()
    )


def choose_any(needs: Iterable[Need], candidates: Iterable[Candidate]) -> tuple[Victim, ...] | None:
    """The victims that meet one of the needs; None when none can be met."""
    by_name = {candidate.revision: candidate for candidate in candidates}
    sets: list[tuple[Victim, ...]] = []
    for need in needs:
        able = [_within(candidate, need.where) for candidate in by_name.values()]
        victims = choose(need.gpus, able)
        if victims is not None:
            sets.append(victims)

    return min(sets, key=lambda victims: _cost(victims, by_name), default=None)


def without(candidate: Candidate, victim: Victim) -> Candidate:
    """What is left of it."""
    return replace(
        candidate,
        replicas=candidate.replicas - victim.replicas,
        at=tuple(one for one in candidate.at if one not in victim.at),
    )


def _within(candidate: Candidate, where: frozenset[PlaceKey]) -> Candidate:
    """What it can give in these places."""
    if not candidate.at:
        there = any(gpu_class == candidate.gpu_class for gpu_class, _ in where)
        return replace(candidate, replicas=candidate.replicas if there else 0)
    at = tuple((name, key) for name, key in candidate.at if key in where)
    marked = candidate.marked and any(name in candidate.going for name, _ in at)
    return replace(candidate, replicas=len(at), at=at, marked=marked)


def _cost(
    victims: tuple[Victim, ...], by_name: Mapping[RevisionName, Candidate]
) -> tuple[list[_Order], int, list[ReplicaName]]:
    """The last victim's place in the order, how many there are, and their names."""
    taken = [replace(by_name[victim.revision], at=victim.at) for victim in victims]
    orders = [_order(_within(one, frozenset(key for _, key in one.at))) for one in taken if one.at]
    orders = orders or [_order(one) for one in taken]
    names = [name for victim in victims for name, _ in victim.at]
    return (sorted(orders)[-1:], sum(victim.replicas for victim in victims), names)


def _order(candidate: Candidate) -> _Order:
    return (
        candidate.refused,
        not candidate.marked,
        candidate.whole,
        candidate.priority,
        candidate.unused_since,
        candidate.revision,
    )
