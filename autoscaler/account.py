"""Keeps the bill: takes in who holds what at every snapshot and every look.

Rule: snapshots come at the moment something changes, so what is accounted for is what was held, to
      the moment; looks in between bring the busy integrals.
"""

from collections.abc import Collection, Mapping

from autoscaler.core.cost import Bill, accrue, lines
from autoscaler.observe import account, hear, holdings
from fleet.messages import CostReport, Received
from fleet.model import Fleet
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.settings import Settings

__all__ = ["Accounts"]


class Accounts:
    """The bill of one autoscaler, since `now`."""

    def __init__(self, settings: Settings, now: float) -> None:
        self._settings = settings
        self._bill = Bill(since=now, until=now)

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
        accounts = [
            account(
                revision,
                price=self._settings.gpu_price,
                total=fleet.pool(revision.gpu_class).total,
            )
            for revision in fleet.revisions.values()
        ]
        self._bill = accrue(self._bill, held, accounts, now)

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
