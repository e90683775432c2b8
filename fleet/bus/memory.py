"""The bus of a single process: calls and a bounded deque."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from fleet.clock import Clock
from fleet.messages import Entry, Received, Sample
from fleet.names import GatewayName, RevisionName

__all__ = ["MemoryBus"]

_JOURNAL = 10_000


class MemoryBus:
    """A `Bus` for one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: dict[GatewayName, Received] = {}
        self._listeners: dict[object, Callable[[RevisionName], None]] = {}
        self._journal: deque[Entry] = deque(maxlen=_JOURNAL)

    def publish(self, sample: Sample) -> None:
        self._samples[sample.gateway] = Received(sample=sample, at=self._clock.now())

    def samples(self) -> Mapping[GatewayName, Received]:
        return dict(self._samples)

    def poke(self, revision: RevisionName) -> None:
        for listener in tuple(self._listeners.values()):
            listener(revision)

    def on_poke(self, listener: Callable[[RevisionName], None]) -> Callable[[], None]:
        key = object()
        self._listeners[key] = listener
        return lambda: self._listeners.pop(key, None) and None

    def append(self, entry: Entry) -> None:
        self._journal.append(entry)

    def tail(self, limit: int, *, revision: RevisionName | None = None) -> Sequence[Entry]:
        found = [e for e in self._journal if revision is None or e.revision == revision]
        return found[-limit:] if limit > 0 else []
