"""The journal's newest lines, in memory. Pure.

Rule 1: it is bounded: the oldest lines go.
Rule 2: what several gateways tell of one replica is in it once: as the first of them told it.
"""

from collections import deque
from collections.abc import Sequence

from fleet.messages import Entry
from fleet.names import ReplicaName, RevisionName

__all__ = ["MOST_LINES", "Journal"]

MOST_LINES = 10_000


class Journal:
    """Lines in the order in which they were added."""

    def __init__(self, most: int = MOST_LINES) -> None:
        self._lines: deque[Entry] = deque(maxlen=most)
        self._told: dict[tuple[ReplicaName, str], None] = {}
        """What several gateways may tell, in order."""
        self._most = most

    def add(self, entry: Entry) -> bool:
        """Add a line; False when it is in it already."""
        if entry.replica is not None:
            told = (entry.replica, entry.event)
            if told in self._told:
                return False
            self._told[told] = None
            if len(self._told) > self._most:
                del self._told[next(iter(self._told))]
        self._lines.append(entry)
        return True

    def tail(self, limit: int, revision: RevisionName | None = None) -> Sequence[Entry]:
        """The newest `limit` lines, oldest first, of one revision or of all."""
        found = [e for e in self._lines if revision is None or e.revision == revision]
        return found[-limit:] if limit > 0 else []
