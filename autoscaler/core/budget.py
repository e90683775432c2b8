"""Who gets the GPUs there are. Pure.

Rule 1: what is granted, together with what is held, never exceeds the GPUs of a class. What does
        not fit is said (`short`), not asked for.
Rule 2: newcomers come first: a model that somebody waits for, or a pinned one, without a single
        replica. Highest priority first, then the oldest waiting request. Only they may evict, and
        only for their first replica.
Rule 3: then minimums, then more replicas for models that have some; from free GPUs alone. So an
        evicted model comes back to its minimum only when a GPU is free.
Rule 4: a replica that waits for its GPU holds none; neither does one between two tries.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from types import MappingProxyType

from autoscaler.core.evict import Candidate, Victim, choose
from fleet.names import RevisionName

__all__ = ["Rank", "Share", "Wish", "share"]


class Rank(IntEnum):
    """Who is served first."""

    NEWCOMER = 0
    MINIMUM = 1
    MORE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What one model holds and wants, in replicas."""

    revision: RevisionName
    gpu_class: str
    gpus: int
    """GPUs per replica; 0 is always granted."""
    held: int
    """Replicas that hold GPUs, or are about to."""
    wanted: int
    rank: Rank
    priority: int = 0
    oldest_wait: float = 0.0
    """Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one model gets, in replicas."""

    replicas: int
    short: bool = False
    """It wanted more than there was room for."""
    victims: tuple[Victim, ...] = ()
    """Whose GPUs it gets."""


def share(
    wishes: Iterable[Wish], candidates: Iterable[Candidate], totals: Mapping[str, int]
) -> Mapping[RevisionName, Share]:
    """A share for every wish; `totals` are the GPUs there are, by class."""
    wishes = sorted(wishes, key=_order)
    room = dict(totals)
    for wish in wishes:
        room[wish.gpu_class] = room.get(wish.gpu_class, 0) - wish.held * wish.gpus
    shares: dict[RevisionName, Share] = {}
    left = {candidate.revision: candidate for candidate in candidates}
    for wish in wishes:
        if wish.rank is Rank.NEWCOMER and wish.wanted > wish.held:
            shares[wish.revision] = _first(wish, room, left)
    gone = {victim.revision for got in shares.values() for victim in got.victims}
    for wish in wishes:
        got = shares.get(wish.revision, Share(replicas=wish.held))
        if wish.revision in gone or got.short:
            shares[wish.revision] = got
        else:
            shares[wish.revision] = _more(wish, got, room)
    return MappingProxyType(shares)


def _order(wish: Wish) -> tuple[int, int, float, RevisionName]:
    return (wish.rank, -wish.priority, -wish.oldest_wait, wish.revision)


def _first(wish: Wish, room: dict[str, int], left: dict[RevisionName, Candidate]) -> Share:
    """One replica for a newcomer, from free GPUs, or else from the idle."""
    there = room[wish.gpu_class]
    if wish.gpus == 0 or there >= wish.gpus:
        room[wish.gpu_class] -= wish.gpus
        return Share(replicas=wish.held + 1)
    able = [
        candidate
        for candidate in left.values()
        if candidate.gpu_class == wish.gpu_class and candidate.revision != wish.revision
    ]
    victims = choose(wish.gpus - there, able)
    if victims is None:
        return Share(replicas=wish.held, short=True)
    for victim in victims:
        candidate = left.pop(victim.revision)
        room[wish.gpu_class] += victim.replicas * candidate.gpus
        if candidate.replicas > victim.replicas:
            rest = replace(candidate, replicas=candidate.replicas - victim.replicas)
            left[victim.revision] = rest
    room[wish.gpu_class] -= wish.gpus
    return Share(replicas=wish.held + 1, victims=victims)


def _more(wish: Wish, got: Share, room: dict[str, int]) -> Share:
    """As many further replicas as fit, from free GPUs alone."""
    lacking = max(0, wish.wanted - got.replicas)
    fit = lacking if wish.gpus == 0 else min(lacking, max(0, room[wish.gpu_class]) // wish.gpus)
    room[wish.gpu_class] -= fit * wish.gpus
    return replace(got, replicas=got.replicas + fit, short=fit < lacking)
