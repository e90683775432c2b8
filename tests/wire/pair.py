"""A stage with more than one replica: a recorder for each."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from activator.core.seats import Seat
from tests.fakes.recorder import Recorder
from tests.wire.stage import Stage, stage


@dataclass
class Replicas:
    """A stage, and what listens at each replica: `recorders[0]` is the stage's own."""

    stage: Stage
    recorders: list[Recorder]

    @property
    def seats(self) -> list[Seat]:
        return list(self.stage.line.ledger.seats.values())

    def seat(self, recorder: Recorder) -> Seat:
        """The seat of what listens there."""
        (found,) = [seat for seat in self.seats if seat.host == recorder.host]
        return found

    @property
    def counts(self) -> list[int]:
        """Requests that each has got."""
        return [len(recorder.requests) for recorder in self.recorders]


@asynccontextmanager
async def replicas(count: int, *models, **changes):
    """`count` ready replicas of one model."""
    async with stage(*models, **changes) as s:
        recorders = [s.recorder]
        try:
            for number in range(2, count + 1):
                more = Recorder(host=f"127.1.0.{number}", port=s.recorder.port)
                await more.start()
                recorders.append(more)
            found = s.line.revision
            version = str(int(found.version) + 1)
            s.cluster.put(replace(found, replicas=count, version=version))
            ledger = s.line.ledger
            await s.until(
                lambda: (
                    len(ledger.seats) == count
                    and all(seat.limit == seat.slots for seat in ledger.seats.values())
                )
            )
            yield Replicas(s, recorders)
            assert not [fault for one in recorders for fault in one.faults]
        finally:
            for more in recorders[1:]:
                await more.stop()
