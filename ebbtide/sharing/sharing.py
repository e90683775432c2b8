"""Shares the slots of every replica out among the gateways. A shell around `activator.core.shares`.

Rule 1: it looks again whenever a gateway reports, lacks slots or says what it takes up; what
        changes is told.
Rule 2: whoever takes over from another does not know what that one has told. It counts a gateway
        of before it as holding everything until that says what it takes up, and so gives nobody
        more; but for replicas that got ready since, which nobody can have been told about.
Rule 3: a gateway that comes later begins with one slot on each replica.
Rule 4: a gateway that does not answer keeps what it was told; one that is gone gives it all back.
"""

import itertools
from collections.abc import Collection, Iterable, Mapping
from math import ceil, inf
from types import MappingProxyType
from typing import Protocol

from activator.core.shares import Claim, Holder, share_out
from fleet.messages import Allot, Held, RevisionSample
from fleet.names import GatewayName, ReplicaName, RevisionName

__all__ = ["Shares", "Sharing"]


class Shares(Protocol):
    """Where shares are told."""

    def tell(self, member: GatewayName, allot: Allot) -> bool:
        """Tell one its share. False: it is not there, and will begin with one slot each."""
        ...

    def drop(self, replicas: Collection[ReplicaName]) -> None:
        """These replicas are gone."""
        ...


class Sharing:
    """The shares of the `members`.

    `strangers`: those of them who may hold what somebody else has told them before `began`.
    """

    def __init__(
        self,
        members: Collection[GatewayName],
        shares: Shares,
        *,
        strangers: Collection[GatewayName] = (),
        began: float = -inf,
    ) -> None:
        self._members = tuple(sorted(members))
        self._strangers = set(strangers)
        self._shares, self._began = shares, began
        self._numbers = itertools.count(1)
        self._samples: dict[RevisionName, dict[GatewayName, RevisionSample]] = {}
        self._replicas: dict[RevisionName, frozenset[ReplicaName]] = {}
        """Those that somebody knows."""
        self._revisions: dict[ReplicaName, RevisionName] = {}
        """Whose they are."""
        self._ready_at: dict[ReplicaName, float] = {}
        """When they got ready, or before."""
        self._holders: dict[ReplicaName, dict[GatewayName, Holder]] = {}
        self._gone: set[ReplicaName] = set()
        """Replicas that nobody knows any more, and somebody may still use."""

    # What is heard.

    def report(
        self,
        member: GatewayName,
        samples: Mapping[RevisionName, RevisionSample],
        *,
        gone: Iterable[RevisionName] = (),
        at: float = 0.0,
    ) -> None:
        """What is new at a member, by `at`; `gone`: revisions that it knows no more."""
        for name in gone:
            found = self._samples.get(name)
            if found is not None and found.pop(member, None) is not None:
                self._know(name)
        for name, sample in samples.items():
            self._samples.setdefault(name, {})[member] = sample
            for replica in sample.replicas:
                ready_at = at - (replica.ready_for or 0.0)
                self._ready_at[replica.name] = min(
                    ready_at, self._ready_at.get(replica.name, ready_at)
                )
            self._know(name)
        self._tidy()
        self._look([name for name, sample in samples.items() if sample.replicas])

    def report_all(
        self,
        member: GatewayName,
        samples: Mapping[RevisionName, RevisionSample],
        *,
        at: float = 0.0,
    ) -> None:
        """What a member says of all its revisions."""
        known = [name for name, found in self._samples.items() if member in found]
        self.report(member, samples, gone=[n for n in known if n not in samples], at=at)

    def held(self, member: GatewayName, held: Held) -> None:
        """What a member takes up."""
        if member in self._strangers:
            self._strangers.discard(member)
            for replica, slots in held.slots.items():
                self._holder(replica, member).adopt(slots)
                if replica not in self._revisions:
                    self._gone.add(replica)
            self._look(tuple(self._samples))
            return
        changed: dict[RevisionName, None] = {}
        for replica, holders in self._holders.items():
            holder = holders.get(member)
            if holder is None:
                continue
            before = holder.held
            holder.hear(held.number, held.slots.get(replica, 1))
            if holder.held != before and replica in self._revisions:
                changed[self._revisions[replica]] = None
        self._tidy()
        self._look(tuple(changed))

    # Who there is.

    def members(self) -> frozenset[GatewayName]:
        """Those that slots are shared out among."""
        return frozenset(self._members)

    def held_by(self, member: GatewayName, replica: ReplicaName) -> float:
        """The most that a member may be using of a replica; infinite when that is not known."""
        return inf if member in self._strangers else self._holder(replica, member).held

    def meet(
        self, members: Collection[GatewayName], *, strangers: Collection[GatewayName] = ()
    ) -> None:
        """These are the members now; `strangers` of the new ones may hold they say not what."""
        if set(members) == set(self._members):
            return
        for gone in set(self._members) - set(members):
            self.forget(gone)
        self._strangers |= set(strangers) - set(self._members)
        self._members = tuple(sorted(members))
        self._look(tuple(self._samples))

    def forget(self, member: GatewayName) -> None:
        """What a member had is free: it is gone, or the one after it begins with one slot each."""
        self._strangers.discard(member)
        for holders in self._holders.values():
            holders.pop(member, None)
        for name, samples in tuple(self._samples.items()):
            if samples.pop(member, None) is not None:
                self._know(name)
        self._tidy()

    # What is concluded.

    def _know(self, name: RevisionName) -> None:
        """Which replicas a revision has by now."""
        samples = self._samples.get(name, {})
        known = frozenset(replica.name for one in samples.values() for replica in one.replicas)
        before = self._replicas.get(name, frozenset())
        for replica in known - before:
            self._revisions[replica] = name
            self._gone.discard(replica)
        for replica in before - known:
            del self._revisions[replica]
            self._ready_at.pop(replica, None)
            self._gone.add(replica)
        if known:
            self._replicas[name] = known
        else:
            self._replicas.pop(name, None)
        if not samples:
            self._samples.pop(name, None)

    def _tidy(self) -> None:
        """Forget the replicas that are gone, once nobody may use them."""
        for replica in tuple(self._gone):
            holders = self._holders.get(replica, {})
            if all(holder.held <= 1 for holder in holders.values()):
                self._gone.discard(replica)
                self._holders.pop(replica, None)
                self._shares.drop([replica])

    def _holder(self, replica: ReplicaName, member: GatewayName) -> Holder:
        return self._holders.setdefault(replica, {}).setdefault(member, Holder())

    def _look(self, revisions: Collection[RevisionName]) -> None:
        """Each member is told at once all that changes for it."""
        news: dict[GatewayName, dict[ReplicaName, int]] = {}
        for revision in revisions:
            self._share(revision, news)
        for member, slots in news.items():
            number = next(self._numbers)
            if self._shares.tell(member, Allot(number=number, slots=MappingProxyType(slots))):
                for replica, share in slots.items():
                    self._holder(replica, member).tell(number, share)

    def _share(
        self, revision: RevisionName, news: dict[GatewayName, dict[ReplicaName, int]]
    ) -> None:
        samples = self._samples.get(revision, {})
        totals: dict[ReplicaName, int] = {}
        for sample in samples.values():
            for known in sample.replicas:
                totals[known.name] = max(totals.get(known.name, 0), known.slots)
        for replica, total in totals.items():
            claims = [self._claim(replica, m, samples.get(m), total) for m in self._members]
            shares = share_out(total, claims)
            for member, share, claim in zip(self._members, shares, claims, strict=True):
                if self._is_news(replica, member, share, claim):
                    news.setdefault(member, {})[replica] = share

    def _is_news(self, replica: ReplicaName, member: GatewayName, share: int, claim: Claim) -> bool:
        if member in self._strangers:
            # What it holds is not known: it is told when it has said that.
            return False
        return share != claim.granted or (share > 1 and not self._holder(replica, member).told)

    def _claim(
        self, replica: ReplicaName, member: GatewayName, sample: RevisionSample | None, total: int
    ) -> Claim:
        demand = 0
        if sample is not None and sample.replicas:
            running = sum(known.running for known in sample.replicas if known.name == replica)
            demand = running + ceil(sample.waiting / len(sample.replicas))
        if member in self._strangers:
            young = self._ready_at.get(replica, -inf) > self._began
            return Claim(demand=demand, held=1 if young else total)
        holder = self._holder(replica, member)
        return Claim(demand=demand, granted=holder.granted, held=holder.held)
