"""What the admin port sees: the parts, read through one object."""

from collections.abc import Sequence
from typing import Protocol

from activator.hall import Hall
from autoscaler.loop import Autoscaler
from fleet.bus import Bus
from fleet.clock import Clock
from fleet.messages import CostReport, DecisionReport, Entry
from fleet.model import Fleet
from fleet.names import RevisionName
from fleet.reasons import Reason
from gateway.admin.ports import LineView, ProcessState, Unready
from gateway.core.tally import Tally
from gateway.front import Front

__all__ = ["LEAVING", "Figures", "Own", "View"]

LEAVING = Unready(reason=Reason.SHUTTING_DOWN, message="it takes no new requests: it is leaving")


class Figures(Protocol):
    """What the request path has to show."""

    def fleet(self) -> Fleet:
        """The newest snapshot."""
        ...

    def line(self, revision: RevisionName) -> LineView | None:
        """The line of a revision; None when it has none (yet)."""
        ...

    def tally(self, revision: RevisionName | None) -> Tally | None:
        """A revision's requests so far; with None those that named no model there is."""
        ...


class Own:
    """The figures of this process's own hall and front."""

    def __init__(self, hall: Hall, front: Front) -> None:
        self._hall, self._front = hall, front

    def fleet(self) -> Fleet:
        return self._hall.fleet

    def line(self, revision: RevisionName) -> LineView | None:
        return self._hall.lines.get(revision)

    def tally(self, revision: RevisionName | None) -> Tally | None:
        return self._front.other if revision is None else self._front.tallies.get(revision)


class View:
    """An `AdminView` over the parts of `ebbtide up`."""

    def __init__(
        self,
        figures: Figures,
        *,
        autoscaler: Autoscaler,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._figures, self._autoscaler = figures, autoscaler
        self._bus, self._clock = bus, clock
        self.leaving = False
        """From SIGTERM on."""

    def fleet(self) -> Fleet:
        return self._figures.fleet()

    def line(self, revision: RevisionName) -> LineView | None:
        return self._figures.line(revision)

    def tally(self, revision: RevisionName | None) -> Tally | None:
        return self._figures.tally(revision)

    def journal(self, limit: int, *, revision: RevisionName | None = None) -> Sequence[Entry]:
        return self._bus.tail(limit, revision=revision)

    def decision(self, revision: RevisionName) -> DecisionReport | None:
        return self._autoscaler.decision(revision)

    def cost(self) -> CostReport:
        return self._autoscaler.cost()

    def unready(self) -> Unready | None:
        return LEAVING if self.leaving else None

    def process(self) -> ProcessState:
        return ProcessState()

    def now(self) -> float:
        return self._clock.now()
