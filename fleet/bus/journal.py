"""The journal's newest lines, in memory. Pure.

Rule 1: it is bounded: the oldest lines go.
Rule 2: what several gateways tell of one replica is in it once: as the first of them told it.
Rule 3: between processes a line is short: what is said there may come from an annotation, which
        anybody who has a namespace may write, again and again.
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, takewhile

from fleet.messages import Entry
from fleet.names import ReplicaName, RevisionName

__all__ = ["MOST_LINES", "Journal", "brief"]

MOST_LINES = 10_000
_MOST_TEXT = 2000
"""Of a message, as it is written between processes: there `\\u00e9` is one letter."""


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


def brief(entry: Entry) -> Entry:
    """A line with the beginning of its message, where that is long."""
    text = entry.message
    if _size(text) <= _MOST_TEXT:
        return entry
    sizes = accumulate(map(_size, text))
    end = sum(1 for _ in takewhile(lambda size: size <= _MOST_TEXT, sizes))
    return replace(entry, message=f"{text[:end]}...")


def _size(text: str) -> int:
    return len(json.dumps(text)) - len('""')
