"""Shares the slots of every replica out among the workers. A shell around `activator.core.shares`.

Rule: it looks again whenever a worker reports or says that it lacks slots; what changes is told.
"""

import itertools
from collections.abc import Callable, Collection, Mapping
from math import ceil
from types import MappingProxyType

from activator.core.shares import Claim, Holder, share_out
from ebbtide.workers.messages import Allot, Held
from fleet.messages import RevisionSample
from fleet.names import GatewayName, ReplicaName, RevisionName

__all__ = ["Sharing"]


class Sharing:
    """The shares of `members`; `send` tells one of them, and whether it is there to be told."""

    def __init__(
        self, members: Collection[GatewayName], send: Callable[[GatewayName, Allot], bool]
    ) -> None:
        self._members = tuple(members)
        self._send = send
        self._numbers = itertools.count(1)
        self._samples: dict[RevisionName, dict[GatewayName, RevisionSample]] = {}
        self._holders: dict[ReplicaName, dict[GatewayName, Holder]] = {}

    def report(self, member: GatewayName, samples: Mapping[RevisionName, RevisionSample]) -> None:
        """What a member says of all its revisions."""
        for name in [name for name in self._samples if name not in samples]:
            self._samples[name].pop(member, None)
            if not self._samples[name]:
                del self._samples[name]
        for sample in samples.values():
            self._keep(member, sample)
        self._drop_gone()
        self._look([name for name, sample in samples.items() if sample.replicas])

    def lacks(self, member: GatewayName, sample: RevisionSample) -> None:
        """A member could use more slots."""
        self._keep(member, sample)
        self._look([sample.revision])

    def held(self, member: GatewayName, held: Held) -> None:
        """What a member takes up."""
        for replica, slots in held.slots.items():
            self._holder(replica, member).hear(held.number, slots)
        self._look(
            [
                name
                for name, samples in self._samples.items()
                if any(r.name in held.slots for s in samples.values() for r in s.replicas)
            ]
        )

    def forget(self, member: GatewayName) -> None:
        """A member is gone: the one after it begins with one slot on each replica."""
        for samples in self._samples.values():
            samples.pop(member, None)
        for holders in self._holders.values():
            holders.pop(member, None)

    def _keep(self, member: GatewayName, sample: RevisionSample) -> None:
        self._samples.setdefault(sample.revision, {})[member] = sample

    def _holder(self, replica: ReplicaName, member: GatewayName) -> Holder:
        return self._holders.setdefault(replica, {}).setdefault(member, Holder())

    def _look(self, revisions: Collection[RevisionName]) -> None:
        """Each member is told at once all that changes for it."""
        news: dict[GatewayName, dict[ReplicaName, int]] = {}
        for revision in revisions:
            self._share(self._samples[revision], news)
        for member, slots in news.items():
            number = next(self._numbers)
            if self._send(member, Allot(number=number, slots=MappingProxyType(slots))):
                for replica, share in slots.items():
                    self._holder(replica, member).tell(number, share)

    def _share(
        self,
        samples: Mapping[GatewayName, RevisionSample],
        news: dict[GatewayName, dict[ReplicaName, int]],
    ) -> None:
        totals: dict[ReplicaName, int] = {}
        for sample in samples.values():
            for known in sample.replicas:
                totals[known.name] = max(totals.get(known.name, 0), known.slots)
        for replica, total in totals.items():
            claims = [self._claim(replica, m, samples.get(m)) for m in self._members]
            for member, share, claim in zip(
                self._members, share_out(total, claims), claims, strict=True
            ):
                if share != claim.granted:
                    news.setdefault(member, {})[replica] = share

    def _claim(
        self, replica: ReplicaName, member: GatewayName, sample: RevisionSample | None
    ) -> Claim:
        holder = self._holder(replica, member)
        demand = 0
        if sample is not None and sample.replicas:
            running = sum(known.running for known in sample.replicas if known.name == replica)
            demand = running + ceil(sample.waiting / len(sample.replicas))
        return Claim(demand=demand, granted=holder.granted, held=holder.held)

    def _drop_gone(self) -> None:
        """Forget replicas that nobody knows any more."""
        known = {
            replica.name
            for samples in self._samples.values()
            for sample in samples.values()
            for replica in sample.replicas
        }
        if len(self._holders) > len(known):
            for gone in self._holders.keys() - known:
                del self._holders[gone]
