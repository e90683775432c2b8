"""What a gateway of several shows: the models as all gateways see them, the counts as its own.

Rule 1: who waits and runs, what is ready and since when nobody called is added up over the fresh
        samples of all gateways; requests, errors and cold starts are those of this gateway.
Rule 2: `/metrics` has this gateway's own figures alone: whoever scrapes all of them adds them up.
        The bill is told there by the leader, and by nobody else.
"""

from dataclasses import replace

from activator.hall import Hall
from ebbtide.view import Own
from ebbtide.workers.sums import SummedLine, added_samples
from ebbtide.workers.telling import reported
from fleet.bus import Bus
from fleet.clock import Clock
from fleet.cluster import Cluster
from fleet.messages import CostReport, DecisionReport, RevisionSample
from fleet.model import Fleet
from fleet.names import RevisionName
from gateway.admin.ports import LineView
from gateway.core.tally import Tally
from gateway.front import Front

__all__ = ["Overseen", "Together", "Unbilled"]

_FRESH_S = 3.0


class Together:
    """The figures of all gateways, as far as this one hears of the others."""

    def __init__(self, hall: Hall, front: Front, bus: Bus, clock: Clock) -> None:
        self._hall, self._bus, self._clock = hall, bus, clock
        self._own = Own(hall, front)

    def fleet(self) -> Fleet:
        return self._own.fleet()

    def line(self, revision: RevisionName) -> LineView | None:
        own = self._hall.lines.get(revision)
        if own is None:
            return None
        told = reported(own)
        samples = [own.sample(self._clock.now()), *self._others(revision)]
        return SummedLine(
            fleet=self.fleet(),
            sample=added_samples(revision, samples),
            newest=told,
            reports=[told],
            past_starts=0,
        )

    def tally(self, revision: RevisionName | None) -> Tally | None:
        return self._own.tally(revision)

    def _others(self, revision: RevisionName) -> list[RevisionSample]:
        oldest = self._clock.now() - _FRESH_S
        found = [
            got.sample.revisions.get(revision)
            for name, got in self._bus.samples().items()
            if name != self._hall.name and got.at >= oldest
        ]
        return [sample for sample in found if sample is not None]


class Overseen:
    """The models as all gateways see them, of a process through which no request goes."""

    def __init__(self, cluster: Cluster, bus: Bus) -> None:
        self._cluster, self._bus = cluster, bus

    def fleet(self) -> Fleet:
        return self._cluster.fleet()

    def line(self, revision: RevisionName) -> LineView:
        found = (got.sample.revisions.get(revision) for got in self._bus.samples().values())
        sample = added_samples(revision, (one for one in found if one is not None))
        return SummedLine(
            fleet=self.fleet(),
            sample=replace(sample, waiting=0, running=0),
            newest=None,
            reports=[],
            past_starts=0,
        )

    def tally(self, revision: RevisionName | None) -> None:  # noqa: ARG002
        return None


class Unbilled:
    """No decisions, and no bill."""

    def __init__(self, currency: str) -> None:
        self._cost = CostReport(currency=currency, seconds=0.0, lines=())

    def decision(self, revision: RevisionName) -> DecisionReport | None:  # noqa: ARG002
        return None

    def cost(self) -> CostReport:
        return self._cost
