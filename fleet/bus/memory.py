"""The bus of a single process: calls, and a bounded journal."""

from collections.abc import Callable, Mapping, Sequence

from fleet.bus.journal import Journal
from fleet.clock import Clock
from fleet.messages import Entry, Look, Looked, Received, Sample
from fleet.names import GatewayName, RevisionName
from fleet.subscribers import Subscribers

__all__ = ["MemoryBus"]


class MemoryBus:
    """A `Bus` for one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: dict[GatewayName, Received] = {}
        self._pokes = Subscribers[RevisionName]()
        self._looks = Subscribers[Look]()
        self._looked: Looked | None = None
        self._journal = Journal()

    def publish(self, sample: Sample) -> None:
        self._samples[sample.gateway] = Received(sample=sample, at=self._clock.now())

    def samples(self) -> Mapping[GatewayName, Received]:
        return dict(self._samples)

    def poke(self, revision: RevisionName) -> None:
        self._pokes.tell(revision)

    def on_poke(self, listener: Callable[[RevisionName], None]) -> Callable[[], None]:
        return self._pokes.add(listener)

    def looked(self, look: Look) -> None:
        self._looked = Looked(look=look, at=self._clock.now())
        self._looks.tell(look)

    def last_look(self) -> Looked | None:
        return self._looked

    def on_look(self, listener: Callable[[Look], None]) -> Callable[[], None]:
        return self._looks.add(listener)

    def append(self, entry: Entry) -> None:
        self._journal.add(entry)

    def tail(self, limit: int, *, revision: RevisionName | None = None) -> Sequence[Entry]:
        return self._journal.tail(limit, revision)
