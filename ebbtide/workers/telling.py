"""What a worker tells the process over it, of its own accord."""

from types import MappingProxyType

from activator.hall import Hall
from activator.line import Line
from ebbtide.workers.messages import LineReport, Report, Retiring
from fleet.channel.channel import Channel
from fleet.clock import Clock
from fleet.model import Fleet, Phase
from fleet.names import RevisionName
from gateway.core.sums import Figures, figures, size
from gateway.core.tally import Tally
from gateway.front import Front

__all__ = ["Telling"]

_EVERY_S = 1.0


class Telling:
    """Tells what was counted once a second, and at once who still uses a retiring replica."""

    def __init__(self, hall: Hall, front: Front, channel: Channel) -> None:
        self._hall, self._front, self._channel = hall, front, channel
        self._sizes: dict[RevisionName | None, tuple[int, ...]] = {}
        self._lines: dict[RevisionName, LineReport] = {}
        hall.subscribe(self._retiring)
        hall.on_quiet(lambda _: self._retiring(hall.fleet))

    async def run(self, clock: Clock) -> None:
        """Endless."""
        while True:
            if not self._channel.crowded:
                self.report()
            await clock.sleep(_EVERY_S)

    def report(self) -> None:
        """Tell what has changed since the last time."""
        lines = {name: _reported(line) for name, line in self._hall.lines.items()}
        changed = {name: told for name, told in lines.items() if self._lines.get(name) != told}
        self._lines = lines
        self._sizes = {n: s for n, s in self._sizes.items() if n is None or n in lines}
        tallies = {
            name: counted
            for name, tally in self._front.tallies.items()
            if (counted := self._news(name, tally)) is not None
        }
        report = Report(
            tallies=MappingProxyType(tallies),
            other=self._news(None, self._front.other),
            lines=MappingProxyType(changed),
        )
        if report.tallies or report.lines or report.other is not None:
            self._channel.send(report)

    def _news(self, name: RevisionName | None, tally: Tally) -> Figures | None:
        now = size(tally)
        if self._sizes.get(name) == now:
            return None
        self._sizes[name] = now
        return figures(tally)

    def _retiring(self, fleet: Fleet) -> None:
        going = [
            replica.name
            for replicas in fleet.replicas.values()
            for replica in replicas
            if replica.phase is Phase.DRAINING
        ]
        if going:
            running = {name: self._hall.running_on(name) for name in going}
            told = Retiring(number=fleet.number, running=MappingProxyType(running))
            self._channel.send(told)


def _reported(line: Line) -> LineReport:
    return LineReport(
        phase=line.phase(),
        cold_starts=line.cold_starts,
        last_cold_start_s=line.last_cold_start_s,
        cold_start_phases=line.cold_start_phases,
        last_failure=line.last_failure,
    )
