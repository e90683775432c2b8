"""What the admin port sees of one process: the parts, read through one object."""

from collections.abc import Sequence

from activator.hall import Hall
from activator.line import Line
from autoscaler.loop import Autoscaler
from fleet.bus import Bus
from fleet.clock import Clock
from fleet.messages import CostReport, DecisionReport, Entry
from fleet.model import Fleet
from fleet.names import RevisionName
from gateway.core.tally import Tally
from gateway.front import Front

__all__ = ["View"]


class View:
    """An `AdminView` over the parts of `ebbtide up`."""

    def __init__(
        self,
        *,
        hall: Hall,
        front: Front,
        autoscaler: Autoscaler,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._hall, self._front, self._autoscaler = hall, front, autoscaler
        self._bus, self._clock = bus, clock
        self.leaving = False
        """From SIGTERM on."""

    def fleet(self) -> Fleet:
        return self._hall.fleet

    def line(self, revision: RevisionName) -> Line | None:
        return self._hall.lines.get(revision)

    def tally(self, revision: RevisionName | None) -> Tally | None:
        return self._front.other if revision is None else self._front.tallies.get(revision)

    def journal(self, limit: int, *, revision: RevisionName | None = None) -> Sequence[Entry]:
        return self._bus.tail(limit, revision=revision)

    def decision(self, revision: RevisionName) -> DecisionReport | None:
        return self._autoscaler.decision(revision)

    def cost(self) -> CostReport:
        return self._autoscaler.cost()

    def ready(self) -> bool:
        return not self.leaving

    def now(self) -> float:
        return self._clock.now()
