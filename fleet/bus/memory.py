"""The bus of a single process: calls and a bounded deque."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from fleet.clock import Clock
from fleet.messages import Entry, Look, Looked, Received, Sample
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.subscribers import Subscribers

__all__ = ["MemoryBus"]

_JOURNAL = 10_000


class MemoryBus:
    """A `Bus` for one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: dict[GatewayName, Received] = {}
        self._pokes = Subscribers[RevisionName]()
        self._looks = Subscribers[Look]()
        self._looked: Looked | None = None
        self._journal: deque[Entry] = deque(maxlen=_JOURNAL)
        self._told: dict[tuple[ReplicaName, str], None] = {}
        """What several gateways may tell, in order."""

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
        if entry.replica is not None:
            told = (entry.replica, entry.event)
            if told in self._told:
                return
            self._told[told] = None
            if len(self._told) > _JOURNAL:
                del self._told[next(iter(self._told))]
        self._journal.append(entry)

    def tail(self, limit: int, *, revision: RevisionName | None = None) -> Sequence[Entry]:
        found = [e for e in self._journal if revision is None or e.revision == revision]
        return found[-limit:] if limit > 0 else []
