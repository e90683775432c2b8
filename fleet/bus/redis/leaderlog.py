"""The leader's log: its looks, its decisions and the bill for people, the shares of slots. Pure.

Rule 1: what is told anew is what has changed; one that is told all has all of it.
Rule 2: decisions and bill are read by who shows them, when somebody asks: what comes in is kept
        as it is until then.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from types import MappingProxyType

from fleet.bus.redis.parcels import (
    Following,
    LeaderNews,
    OddParcelError,
    Parcel,
    Shares,
    read,
    written,
)
from fleet.messages import Allot, CostReport, DecisionReport, Looked
from fleet.names import GatewayName, ReplicaName, RevisionName

__all__ = ["LeaderHeard", "LeaderTold"]

_AT_ONCE = 128
"""Decisions or shares in a message."""


class LeaderTold:
    """The leader's side."""

    def __init__(self) -> None:
        self._look: Looked | None = None
        self._decisions: dict[RevisionName, DecisionReport] = {}
        self._decided_at: tuple[float, float] | None = None
        """On this process's clock, and Unix time."""
        self._cost: CostReport | None = None
        self._shares: dict[ReplicaName, Shares] = {}
        self.unsaid = 0
        """Decisions and bills that could not be written."""
        self._forget_told()

    def _forget_told(self) -> None:
        """Nothing of it is told yet."""
        self._look_told, self._cost_told = self._look is None, self._cost is None
        self._new_decisions = dict.fromkeys(self._decisions)
        self._new_shares = dict.fromkeys(self._shares)
        self._undecided: dict[RevisionName, None] = {}
        self._unshared: dict[ReplicaName, None] = {}

    @property
    def untold(self) -> bool:
        """Whether there is news."""
        pieces = (self._new_decisions, self._new_shares, self._undecided, self._unshared)
        return any(pieces) or not (self._look_told and self._cost_told)

    def looked(self, look: Looked) -> None:
        """The newest look."""
        self._look, self._look_told = look, False

    def decided(self, reports: Iterable[DecisionReport], at: float, wall: float) -> None:
        """All decisions; they held `at` this moment, which is `wall` in Unix time."""
        self._decided_at = at, wall
        gone = dict.fromkeys(self._decisions)
        for report in reports:
            name = report.revision
            gone.pop(name, None)
            if not _same(report, self._decisions.get(name)):
                self._new_decisions[name] = None
                self._undecided.pop(name, None)
            self._decisions[name] = report
        for name in gone:
            del self._decisions[name]
            self._new_decisions.pop(name, None)
            self._undecided[name] = None

    def billed(self, cost: CostReport) -> None:
        """The bill so far."""
        self._cost, self._cost_told = cost, False

    def allot(self, gateway: GatewayName, allot: Allot) -> None:
        """What a gateway may use from now on."""
        for name, slots in allot.slots.items():
            known = self._shares.get(name)
            others = {} if known is None else dict(known.slots)
            shared = MappingProxyType({**others, gateway: slots})
            self._shares[name] = Shares(number=allot.number, slots=shared)
            self._new_shares[name] = None
            self._unshared.pop(name, None)

    def drop(self, replicas: Iterable[ReplicaName], gateways: Iterable[GatewayName] = ()) -> None:
        """Replicas, or gateways, that are gone."""
        for name in replicas:
            if self._shares.pop(name, None) is not None:
                self._new_shares.pop(name, None)
                self._unshared[name] = None
        left = frozenset(gateways)
        for name, known in self._shares.items() if left else ():
            slots = {who: share for who, share in known.slots.items() if who not in left}
            if len(slots) < len(known.slots):
                self._shares[name] = replace(known, slots=MappingProxyType(slots))
                self._new_shares[name] = None

    def news(self, now: float, *, whole: bool) -> Iterator[LeaderNews]:
        """What is not told yet, or all; in one or more messages, none when there is nothing."""
        if whole:
            self._forget_told()
        look = None if self._look_told else self._look
        new = whole or self._new_decisions or not self._look_told
        decided = self._decided_at if new else None
        first = LeaderNews(
            look=None if look is None else look.look,
            look_age=0.0 if look is None else max(0.0, now - look.at),
            decided_age=None if decided is None else max(0.0, now - decided[0]),
            decided_at=None if decided is None else decided[1],
            undecided=tuple(self._undecided),
            cost=None if self._cost_told or self._cost is None else self._written(self._cost),
            unshared=tuple(self._unshared),
        )
        self._look_told = self._cost_told = True
        self._undecided, self._unshared = {}, {}
        told = first != LeaderNews()
        while self._new_decisions or self._new_shares or told or whole:
            yield replace(first, decisions=self._some_decisions(), shares=self._some_shares())
            first, told, whole = LeaderNews(), False, False

    def _some_decisions(self) -> Mapping[RevisionName, str]:
        names = list(islice(self._new_decisions, _AT_ONCE))
        for name in names:
            del self._new_decisions[name]
        told = {name: self._written(self._decisions[name]) for name in names}
        return MappingProxyType({name: text for name, text in told.items() if text is not None})

    def _written(self, value: DecisionReport | CostReport) -> str | None:
        try:
            return written(value).decode()
        except OddParcelError:
            self.unsaid += 1
            return None

    def _some_shares(self) -> Mapping[ReplicaName, Shares]:
        names = list(islice(self._new_shares, _AT_ONCE))
        for name in names:
            del self._new_shares[name]
        return MappingProxyType({name: self._shares[name] for name in names})


def _same(report: DecisionReport, before: DecisionReport | None) -> bool:
    """Whether it says the same, be it of another moment."""
    return report is before or (before is not None and replace(before, at=report.at) == report)


class LeaderHeard:
    """A reader's side."""

    def __init__(self, term: int) -> None:
        self.term = term
        self.following = Following()
        self.at = 0.0
        """When it was heard last."""
        self.looked: Looked | None = None
        self.news = False
        """It has said something since its user was told."""
        self.life: str | None = None
        """Of the leader that is believed: all that it says was in at least once."""
        self._number = 0
        """Of its newest shares."""
        self._decided_at = self._decided_wall = 0.0
        self._decisions: dict[RevisionName, str | DecisionReport] = {}
        self._cost: str | CostReport | None = None
        self._shares: dict[ReplicaName, Shares] = {}
        self._changed: dict[ReplicaName, None] = {}
        self._given: dict[ReplicaName, int] = {}
        """What `allot` has answered."""
        self._coming: list[LeaderNews] = []
        """What is not all in yet."""
        self._anew = False
        """It says all there is."""

    def take(self, parcel: Parcel, at: float) -> None:
        """Read a message, stamped `at` on the reader's own clock."""
        news = parcel.leader
        if news is None or not self.following.take(parcel):
            return
        self.at = at
        if parcel.whole:
            self._coming, self._anew = [], True
        self._coming.append(news)
        if not parcel.more:
            self._all_in(parcel.life)

    def _all_in(self, life: str) -> None:
        self.news = True
        coming, self._coming = self._coming, []
        if self._anew:
            self._anew = False
            self._changed.update(dict.fromkeys(self._shares))
            self._decisions, self._shares = {}, {}
            if life != self.life:
                # What another has told holds until this one tells something else.
                self._number, self._changed, self._given = 0, {}, {}
                self.life = life
        for news in coming:
            if news.look is not None:
                # One that is still to come would answer every poke there will ever be.
                self.looked = Looked(look=news.look, at=self.at - max(0.0, news.look_age))
            self._take_reports(news)
            self._take_shares(news)

    def _take_reports(self, news: LeaderNews) -> None:
        for revision in news.undecided:
            self._decisions.pop(revision, None)
        self._decisions.update(news.decisions)
        if news.decided_age is not None:
            self._decided_at = self.at - news.decided_age
            self._decided_wall = news.decided_at or 0.0
        self._cost = self._cost if news.cost is None else news.cost

    def _take_shares(self, news: LeaderNews) -> None:
        for replica in news.unshared:
            self._shares.pop(replica, None)
            self._changed[replica] = None
        for replica, shares in news.shares.items():
            self._shares[replica] = shares
            self._changed[replica] = None
            self._number = max(self._number, shares.number)

    def begin_anew(self) -> None:
        """It counts from now on: another one may have told something else meanwhile."""
        self._changed.update(dict.fromkeys(self._shares))
        self._given = {}

    def allot(self, gateway: GatewayName) -> Allot:
        """What has changed of a gateway's shares since this was asked last; all at first."""
        changed, self._changed = self._changed, {}
        slots: dict[ReplicaName, int] = {}
        for name in changed:
            known = self._shares.get(name)
            share = None if known is None else known.slots.get(gateway)
            # Every gateway has one at least, whoever says what.
            share = None if share is None else max(1, share)
            if share is not None and share != self._given.get(name):
                slots[name] = self._given[name] = share
            elif share is None and self._given.pop(name, 1) > 1:
                slots[name] = 1
        return Allot(number=self._number, slots=MappingProxyType(slots), leader=self.life or "")

    def decision(self, revision: RevisionName) -> DecisionReport | None:
        """The newest decision for a revision. Raises `OddParcelError`, once.

        Its time is on the reader's own clock.
        """
        found = self._decisions.get(revision)
        if isinstance(found, str):
            del self._decisions[revision]
            found = read(DecisionReport, found.encode())
            if found.revision != revision:
                msg = f"a decision for {found.revision} in the place of {revision}"
                raise OddParcelError(msg)
            self._decisions[revision] = found
        if found is None:
            return None
        return found.later(max(0.0, self._decided_wall - found.at), at=self._decided_at)

    def cost(self) -> CostReport | None:
        """The bill so far. Raises `OddParcelError`, once."""
        if isinstance(self._cost, str):
            told, self._cost = self._cost, None
            self._cost = read(CostReport, told.encode())
        return self._cost

    def revisions(self) -> Sequence[RevisionName]:
        """Those that a decision is known for."""
        return tuple(self._decisions)
