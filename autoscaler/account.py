"""Keeps the bill: takes in who holds what at every snapshot and every look.

Rule: snapshots come at the moment something changes, so what is accounted for is what was held, to
      the moment; looks in between bring the busy integrals.
"""

from collections.abc import Collection, Iterator, Mapping

from autoscaler.core.cost import Account, Bill, accrue, lines
from autoscaler.observe import account, hear, holdings
from fleet.messages import CostReport, Received
from fleet.model import Fleet, Revision
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.settings import Settings

__all__ = ["Accounts"]


class Accounts:
    """The bill of one autoscaler, since `now`."""

    def __init__(self, settings: Settings, now: float) -> None:
        self._settings = settings
        self._bill = Bill(since=now, until=now)
        self._known: dict[RevisionName, tuple[Revision, int, Account]] = {}

    def take(
        self,
        fleet: Fleet,
        received: Mapping[GatewayName, Received],
        members: Collection[GatewayName],
        *,
        now: float,
    ) -> None:
        """Account for the time until `now`, and note who holds GPUs from now on."""
        held = [
            holding
            for name, replicas in fleet.replicas.items()
            for holding in holdings(
                name,
                replicas,
                hear(name, received, members, now=now),
                _marked(fleet, name),
            )
        ]
        self._bill = accrue(self._bill, held, self._listed(fleet), now)

    def _listed(self, fleet: Fleet) -> Iterator[Account]:
        """What stands on the bill about every revision; made anew where it changed."""
        price, totals = self._settings.gpu_price, {pool.name: pool.total for pool in fleet.gpus}
        listed: dict[RevisionName, tuple[Revision, int, Account]] = {}
        for name, revision in fleet.revisions.items():
            total = totals.get(revision.gpu_class, 0)
            known = self._known.get(name)
            if known is None or known[0] is not revision or known[1] != total:
                known = (revision, total, account(revision, price=price, total=total))
            listed[name] = known
        self._known = listed
        return (made for _, _, made in listed.values())

    def report(self) -> CostReport:
        """The bill as far as it is accounted for."""
        return CostReport(
            currency=self._settings.currency,
            seconds=self._bill.until - self._bill.since,
            lines=lines(self._bill),
        )


def _marked(fleet: Fleet, name: RevisionName) -> frozenset[ReplicaName]:
    revision = fleet.revisions.get(name)
    return revision.drain.replicas if revision and revision.drain else frozenset()
