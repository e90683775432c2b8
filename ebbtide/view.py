"""What the admin port sees: the parts, read through one object."""

from collections.abc import Sequence
from typing import Protocol

from activator.hall import Hall
from fleet.bus import Bus
from fleet.clock import Clock
from fleet.messages import CostReport, DecisionReport, Entry
from fleet.model import Fleet
from fleet.names import RevisionName
from fleet.reasons import Reason
from gateway.admin.ports import LineView, ProcessState, Unready
from gateway.core.tally import Tally
from gateway.front import Front

__all__ = ["LEAVING", "Alone", "Figures", "Own", "Reports", "Standing", "View"]

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


class Reports(Protocol):
    """What whoever leads says of its decisions."""

    def decision(self, revision: RevisionName) -> DecisionReport | None:
        """Its last answer for a revision, with its inputs; None before the first."""
        ...

    def cost(self) -> CostReport:
        """The bill so far."""
        ...


class Standing(Protocol):
    """How the process stands."""

    def unready(self) -> Unready | None:
        """Why it is not ready; None while it is."""
        ...

    def process(self) -> ProcessState:
        """How it stands to others."""
        ...


class Alone:
    """The standing of a process that has nobody beside it."""

    def __init__(self) -> None:
        self.leaving = False
        """From SIGTERM on."""

    def unready(self) -> Unready | None:
        return LEAVING if self.leaving else None

    def process(self) -> ProcessState:
        return ProcessState()


class View:
    """An `AdminView` over the parts of a process."""

    def __init__(
        self, figures: Figures, *, reports: Reports, standing: Standing, bus: Bus, clock: Clock
    ) -> None:
        self._figures, self._reports, self._standing = figures, reports, standing
        self._bus, self._clock = bus, clock

    def fleet(self) -> Fleet:
        return self._figures.fleet()

    def line(self, revision: RevisionName) -> LineView | None:
        return self._figures.line(revision)

    def tally(self, revision: RevisionName | None) -> Tally | None:
        return self._figures.tally(revision)

    def journal(self, limit: int, *, revision: RevisionName | None = None) -> Sequence[Entry]:
        return self._bus.tail(limit, revision=revision)

    def decision(self, revision: RevisionName) -> DecisionReport | None:
        return self._reports.decision(revision)

    def cost(self) -> CostReport:
        return self._reports.cost()

    def unready(self) -> Unready | None:
        return self._standing.unready()

    def process(self) -> ProcessState:
        return self._standing.process()

    def now(self) -> float:
        return self._clock.now()
