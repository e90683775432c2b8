"""What a process of several shows.

Rule 1: who waits and runs is what all gateways say, as the leader has seen it at its last look, or
        what is known here if that is more; while no leader is heard of, what is known here.
        Requests, errors and cold starts are those of this gateway.
Rule 2: `/metrics` has this process's own figures alone: whoever scrapes all of them adds them up.
        The bill is told there by the leader, and by nobody else.
"""

from collections.abc import Mapping
from dataclasses import replace

from activator.hall import Hall
from ebbtide.view import Own, Reports
from ebbtide.workers.sums import SummedLine, added_samples
from fleet.bus import Bus
from fleet.clock import Clock
from fleet.cluster import Cluster
from fleet.messages import CostReport, DecisionReport, RevisionSample
from fleet.model import Fleet, Phase
from fleet.names import RevisionName
from fleet.starts import Failure
from gateway.admin.ports import LineView
from gateway.core.tally import Tally
from gateway.front import Front

__all__ = ["Overseen", "Together", "Unbilled"]

_FRESH_S = 10.0
"""Seconds for which the leader's last look says how things stand."""


class Together:
    """A gateway's figures, and what the leader knows of the others'."""

    def __init__(self, hall: Hall, front: Front, reports: Reports, clock: Clock) -> None:
        self._hall, self._reports, self._clock = hall, reports, clock
        self._own = Own(hall, front)

    def fleet(self) -> Fleet:
        return self._own.fleet()

    def line(self, revision: RevisionName) -> LineView | None:
        own = self._own.line(revision)
        report = self._reports.decision(revision)
        if own is None or report is None or self._clock.wall() - report.at > _FRESH_S:
            return own
        return _Widened(own, report)

    def tally(self, revision: RevisionName | None) -> Tally | None:
        return self._own.tally(revision)


class _Widened:
    """A line, with what waits and runs at other gateways too."""

    def __init__(self, own: LineView, report: DecisionReport) -> None:
        self._own, self._report = own, report

    @property
    def cold_starts(self) -> int:
        return self._own.cold_starts

    @property
    def last_cold_start_s(self) -> float | None:
        return self._own.last_cold_start_s

    @property
    def cold_start_phases(self) -> Mapping[str, float]:
        return self._own.cold_start_phases

    @property
    def last_failure(self) -> Failure | None:
        return self._own.last_failure

    def phase(self) -> Phase:
        return self._own.phase()

    def sample(self, now: float) -> RevisionSample:
        own = self._own.sample(now)
        waiting = max(own.waiting, self._seen("waiting"))
        running = max(own.running, self._seen("running"))
        return replace(
            own,
            waiting=waiting,
            running=running,
            idle_for=None if waiting or running else self._idle(own.idle_for),
        )

    def _seen(self, what: str) -> int:
        found = self._report.inputs.get(what)
        return int(found) if isinstance(found, int | float) else 0

    def _idle(self, own: float | None) -> float | None:
        """Since the last request anywhere."""
        found = self._report.inputs.get("idle_s")
        known = [own, float(found) if isinstance(found, int | float) else None]
        return min((seconds for seconds in known if seconds is not None), default=None)


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

    def tally(self, revision: RevisionName | None) -> None:  # noqa: ARG002 - the port's
        return None


class Unbilled:
    """No decisions, and no bill."""

    def __init__(self, currency: str) -> None:
        self._cost = CostReport(currency=currency, seconds=0.0, lines=())

    def decision(
        self,
        revision: RevisionName,  # noqa: ARG002 - the port's
    ) -> DecisionReport | None:
        return None

    def cost(self) -> CostReport:
        return self._cost
