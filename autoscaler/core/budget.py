"""Who gets the GPUs there are. Pure.

Rule 1: what is granted, together with what is held, never exceeds the GPUs of a class, nor those of
        a node. What does not fit is said (`short`), not asked for.
Rule 2: newcomers come first: a model that somebody waits for, or a pinned one, without a single
        replica. One whose pod waits already goes before all others: whatever is freed is its,
        whoever else may want it. Then highest priority first, then the oldest waiting request. Only
        they may evict, and only for their first replica.
Rule 3: then minimums, then more replicas for models that have some; from free GPUs alone. So an
        evicted model comes back to its minimum only when a GPU is free, and not while its pod could
        be put on one that a newcomer, which waits for more in that place, is to have.
Rule 4: a replica that waits for its GPU holds none; neither does one between two tries.
Rule 5: where more GPUs may be asked for, a newcomer evicts first and asks where that does not help
        (or the other way round, `Supply.grow_first`), and not at once: who is busy now may be idle
        in a second. Others ask when nothing is free.
Rule 6: where a pod that waits makes somebody buy a node, none is written for GPUs that are only
        being freed (`coming`). Since whoever waits gets what is freed, those that are to wait for a
        new node are the first in order, and those for whom GPUs are freed the last.
Rule 7: a pod that waits for a GPU, and that nobody waits for any more, gets the next one that is
        freed. Where that leaves a newcomer without any although somebody is idle, the pod of a
        model without a replica is treated as a newcomer's (a wake is carried to its end), and a
        model that has others gives up those that wait (`Share.aside`): it is no newcomer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType

from autoscaler.core.evict import Candidate, Victim, choose_any, without
from autoscaler.core.stock import Asker, Kind, Stock, Supply
from fleet.names import RevisionName
from fleet.places import PlaceKey

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
    queued: int = 0
    """Of those: pods that wait for a GPU, whoever waits for them."""
    yields: bool = False
    """They may be given up, if there are others."""
    wanted: int
    rank: Rank
    priority: int = 0
    oldest_wait: float = 0.0
    """Seconds."""
    first: bool = False
    """Its pod waits already, or GPUs are being freed for it."""
    asks: bool = True
    """It may ask for a new node by now, where no eviction helps."""
    evicts: bool = True
    """An idle model may be put to sleep for it."""
    may: frozenset[PlaceKey] | None = None
    """The places that will do; None: its class, wherever."""
    at: Mapping[PlaceKey, int] = field(default_factory=lambda: MappingProxyType({}))
    """The replicas that have their place; there may be more than `held` says."""

    @property
    def asker(self) -> Asker:
        return Asker(gpu_class=self.gpu_class, gpus=self.gpus, may=self.may)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one model gets, in replicas."""

    replicas: int
    short: bool = False
    """It wanted more than there was room for."""
    victims: tuple[Victim, ...] = ()
    """Whose GPUs it gets."""
    coming: int = 0
    """Of `replicas`: those that must not be written before their GPUs are free."""
    aside: tuple[RevisionName, ...] = ()
    """Who gives up the pods that wait for a GPU, so that this one gets it."""
    at_once: bool = field(default=False, compare=False)
    """Free GPUs were there for the first it gets."""


@dataclass(slots=True)
class _Got:
    """What one wish has got so far."""

    wish: Wish
    kinds: list[tuple[Kind, str]] = field(default_factory=list)
    """Of each replica beyond those held; and the class its GPUs are of."""
    short: bool = False
    victims: tuple[Victim, ...] = ()
    deferred: int = 0

    @property
    def replicas(self) -> int:
        return self.wish.held + len(self.kinds)

    def of(self, kind: Kind, gpu_class: str) -> int:
        return self.kinds.count((kind, gpu_class))

    def share(self) -> Share:
        return Share(
            replicas=self.replicas,
            short=self.short,
            victims=self.victims,
            coming=self.deferred,
            at_once=bool(self.kinds) and self.kinds[0][0] is Kind.FREE,
        )


def share(
    wishes: Iterable[Wish], candidates: Iterable[Candidate], supply: Supply
) -> Mapping[RevisionName, Share]:
    """A share for every wish."""
    wishes, candidates = tuple(wishes), tuple(candidates)
    shares = _shared(wishes, candidates, supply)
    without = [wish for wish in wishes if _goes_without(wish, shares)]
    queue = {wish.revision: wish for wish in wishes if wish.queued and _in_the_way(wish, without)}
    if not queue:
        return shares
    turned = [_turned(wish) if wish.revision in queue else wish for wish in wishes]
    anew = dict(_shared(turned, candidates, supply))
    served = [wish for wish in without if not _goes_without(wish, anew)]
    for wish in served:
        aside = [n for n, one in queue.items() if _gives_up(one) and _in_the_way(one, [wish])]
        anew[wish.revision] = replace(anew[wish.revision], aside=tuple(aside))
    carried = any(anew[name].victims for name in queue)
    return MappingProxyType(anew) if served or carried else shares


def _goes_without(wish: Wish, shares: Mapping[RevisionName, Share]) -> bool:
    """Whether it is a newcomer for whom there is nothing."""
    newcomer = wish.rank is Rank.NEWCOMER and wish.evicts and wish.wanted > wish.held
    return newcomer and shares[wish.revision].replicas <= wish.held


def _in_the_way(wish: Wish, newcomers: Iterable[Wish]) -> bool:
    """Whether it waits for a GPU that one of these may have."""
    if wish.may is None:
        return any(wish.gpu_class == other.gpu_class for other in newcomers)
    may = wish.may
    return any(other.may is not None and not may.isdisjoint(other.may) for other in newcomers)


def _gives_up(wish: Wish) -> bool:
    return wish.yields and wish.queued < wish.held


def _turned(wish: Wish) -> Wish:
    """One that is in the way of a newcomer."""
    if wish.queued == wish.held:
        return replace(wish, held=wish.held - 1, rank=Rank.NEWCOMER, first=True)
    if not _gives_up(wish):
        return wish
    placed = wish.held - wish.queued
    return replace(wish, held=placed, wanted=placed)


def _shared(
    wishes: Iterable[Wish], candidates: Iterable[Candidate], supply: Supply
) -> Mapping[RevisionName, Share]:
    stock = Stock(supply)
    got = [_Got(wish) for wish in sorted(wishes, key=_order)]
    for one in got:
        stock.hold(one.wish.asker, one.wish.held, one.wish.at)
    idle = _Idle({candidate.revision: candidate for candidate in candidates})
    for one in got:
        if one.wish.rank is Rank.NEWCOMER and one.wish.wanted > one.wish.held:
            _first(one, stock, idle, grow_first=supply.grow_first)
    gone = {victim.revision for one in got for victim in one.victims}
    for one in got:
        if one.wish.revision not in gone and not one.short:
            _more(one, stock)
    for gpu_class in supply.growing:
        _defer(got, gpu_class, owed=stock.owed[gpu_class])
    return MappingProxyType({one.wish.revision: one.share() for one in got})


def _order(wish: Wish) -> tuple[int, bool, int, float, RevisionName]:
    return (wish.rank, not wish.first, -wish.priority, -wish.oldest_wait, wish.revision)


@dataclass(slots=True)
class _Idle:
    """Who may be evicted still."""

    left: dict[RevisionName, Candidate]
    in_vain: set[Asker] = field(default_factory=set)
    """For whom nobody's eviction helps, until somebody is evicted: others who ask the same."""

    def victims(self, wish: Wish, stock: Stock) -> tuple[Victim, ...] | None:
        if not wish.evicts or wish.asker in self.in_vain:
            return None
        able = [one for one in self.left.values() if one.revision != wish.revision]
        found = choose_any(stock.needs(wish.asker), able)
        if found is None and wish.revision not in self.left:
            self.in_vain.add(wish.asker)
        return found


def _first(got: _Got, stock: Stock, idle: _Idle, *, grow_first: bool) -> None:
    """One replica for a newcomer: from free GPUs, from the idle, or from a new node."""
    wish = got.wish
    if wish.gpus == 0:
        got.kinds.append((Kind.FREE, wish.gpu_class))
        return
    found = stock.take(wish.asker)
    if found is None and grow_first:
        found = stock.grow(wish.asker)
    if found is None:
        victims = idle.victims(wish, stock)
        if victims is not None:
            _evict(victims, stock, idle)
            got.victims = victims
            found = stock.take(wish.asker)
    if found is None and wish.asks:
        found = stock.grow(wish.asker)
    if found is None:
        got.short = True
    else:
        got.kinds.append(found)


def _evict(victims: Iterable[Victim], stock: Stock, idle: _Idle) -> None:
    idle.in_vain.clear()
    for victim in victims:
        candidate = idle.left.pop(victim.revision)
        for _, key in victim.at:
            stock.free_up(key, candidate.gpus)
        stock.free_up(
            (candidate.gpu_class, None), (victim.replicas - len(victim.at)) * candidate.gpus
        )
        if candidate.replicas > victim.replicas:
            idle.left[victim.revision] = without(candidate, victim)


def _more(got: _Got, stock: Stock) -> None:
    """As many further replicas as fit, from free GPUs or a new node."""
    wish = got.wish
    if wish.rank is Rank.MINIMUM and wish.gpus and stock.could_take_what_is_kept(wish.asker):
        # Rule 3: else it takes that, is evicted for it, and comes back, for ever.
        got.short = got.replicas < wish.wanted
        return
    while got.replicas < wish.wanted:
        if wish.gpus == 0:
            found: tuple[Kind, str] | None = (Kind.FREE, wish.gpu_class)
        else:
            found = stock.take(wish.asker) or stock.grow(wish.asker)
        if found is None:
            got.short = True
            return
        got.kinds.append(found)


def _defer(got: Iterable[_Got], gpu_class: str, *, owed: int) -> None:
    """Let the last in order wait for what is being freed, and the first for what is bought.

    `owed`: the GPUs that pods wait for already that are not bought for them.
    """
    waiting = [one for one in got if one.kinds and one.wish.gpus]
    bought = max(0, sum(one.of(Kind.NEW, gpu_class) * one.wish.gpus for one in waiting) - owed)
    for one in waiting:
        those = one.of(Kind.NEW, gpu_class) + one.of(Kind.COMING, gpu_class)
        now = min(those, bought // one.wish.gpus)
        bought -= now * one.wish.gpus
        one.deferred += those - now
