"""Keeps the bill: takes in who holds what at every snapshot and every look.

Rule 1: snapshots come at the moment something changes, so what is accounted for is what was held,
        to the moment; looks in between bring the busy integrals.
Rule 2: only models of which something was said anew are looked at: what the others hold goes on.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from autoscaler.core.cost import Bill, Change, accrue, lines
from autoscaler.observe import FRESH, account, hear, holdings
from fleet.aged import as_made
from fleet.messages import CostReport, Received, RevisionSample
from fleet.model import Fleet, Replica, Revision
from fleet.names import GatewayName, RevisionName
from fleet.settings import Settings

__all__ = ["Accounts"]

_Samples = tuple[RevisionSample | None, ...]


@dataclass(frozen=True, slots=True)
class _Said:
    """What a change is made of, for one model."""

    revision: Revision | None
    replicas: tuple[Replica, ...]
    total: int
    """GPUs of its class."""
    samples: _Samples
    """Of the members that are heard, in one order."""

    def still(self, before: "_Said | None") -> bool:
        """Whether it was said so before already, by these very values."""
        return (
            before is not None
            and self.revision is before.revision
            and self.replicas is before.replicas
            and self.total == before.total
            and len(self.samples) == len(before.samples)
            and all(one is other for one, other in zip(self.samples, before.samples, strict=True))
        )


class Accounts:
    """The bill of one autoscaler, since `now`."""

    def __init__(self, settings: Settings, now: float) -> None:
        self._settings = settings
        self._bill = Bill(since=now, until=now)
        self._said: dict[RevisionName, _Said] = {}

    def take(
        self,
        fleet: Fleet,
        received: Mapping[GatewayName, Received],
        members: Collection[GatewayName],
        *,
        now: float,
    ) -> None:
        """Account for the time until `now`, and note who holds GPUs from now on."""
        changes: dict[RevisionName, Change] = {}
        for name, said in self._all_said(fleet, received, members, now):
            if said.still(self._said.get(name)):
                continue
            self._said[name] = said
            drain = said.revision.drain if said.revision else None
            heard = hear(name, received, members, now=now)
            marked = drain.replicas if drain else frozenset()
            changes[name] = Change(
                holdings=holdings(name, said.replicas, heard, marked),
                account=account(said.revision, price=self._settings.gpu_price, total=said.total)
                if said.revision
                else None,
            )
        for name in self._said.keys() - fleet.revisions.keys() - fleet.replicas.keys():
            changes[name] = Change()
            del self._said[name]
        self._bill = accrue(self._bill, changes, now)

    def _all_said(
        self,
        fleet: Fleet,
        received: Mapping[GatewayName, Received],
        members: Collection[GatewayName],
        now: float,
    ) -> Iterator[tuple[RevisionName, _Said]]:
        found = [received.get(member) for member in sorted(members)]
        heard = [got.sample.revisions for got in found if got and now - got.at <= FRESH]
        totals = {pool.name: pool.total for pool in fleet.gpus}
        for name in {**fleet.revisions, **fleet.replicas}:
            revision = fleet.revisions.get(name)
            total = totals.get(revision.gpu_class, 0) if revision else 0
            samples = tuple([as_made(one, name) for one in heard])
            yield name, _Said(revision, fleet.of(name), total, samples)

    def report(self) -> CostReport:
        """The bill as far as it is accounted for."""
        return CostReport(
            currency=self._settings.currency,
            seconds=self._bill.until - self._bill.since,
            lines=lines(self._bill),
        )
