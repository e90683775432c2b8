"""What a process has to say and has not said yet. Pure.

Rule 1: it is bounded, however long Redis is away: of samples the newest, of lines of the journal
        the newest thousand, of pokes each once.
Rule 2: a line is kept until it is known to be written; one that was written twice is read once.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from fleet.bus.journal import brief
from fleet.bus.redis.parcels import Line
from fleet.messages import Entry, Held, Sample
from fleet.names import RevisionName

__all__ = ["Outbox"]

_MOST_LINES = 1000
_MOST_POKES = 10_000


class Outbox:
    """One process's; `life` tells it from others."""

    def __init__(self, life: str) -> None:
        self._life = life
        self.sample: Sample | None = None
        """The newest."""
        self.made = 0.0
        """When it was."""
        self.held: Held | None = None
        self.news = False
        """One of them is not said yet."""
        self.lost = 0
        """Lines and pokes that were given up for newer ones."""
        self._lines: deque[Line] = deque()
        self._number = 0
        self._pokes: dict[RevisionName, None] = {}

    @property
    def full(self) -> bool:
        """There is something that is to be said now."""
        return bool((self.news and self.sample) or self._lines or self._pokes)

    def publish(self, sample: Sample, now: float) -> None:
        """The newest sample."""
        self.sample, self.made, self.news = sample, now, True

    def hold(self, held: Held) -> None:
        """What is taken up by now; when only its number is new, it goes with the next sample."""
        before, self.held = self.held, held
        told = None if before is None else (before.slots, before.leader)
        self.news = self.news or told != (held.slots, held.leader)

    def poke(self, revision: RevisionName) -> None:
        """A poke; several for one revision are one."""
        if len(self._pokes) < _MOST_POKES:
            self._pokes[revision] = None
        else:
            self.lost += 1

    def append(self, entry: Entry) -> None:
        """A line of the journal."""
        self._number += 1
        self._lines.append(Line(life=self._life, number=self._number, entry=brief(entry)))
        if len(self._lines) > _MOST_LINES:
            self._lines.popleft()
            self.lost += 1

    def lines(self, most: int) -> Sequence[Line]:
        """The oldest lines that are not known to be written."""
        return list(islice(self._lines, most))

    def wrote(self, number: int) -> None:
        """The lines up to this number are written."""
        while self._lines and self._lines[0].number <= number:
            self._lines.popleft()

    def pokes(self) -> Sequence[RevisionName]:
        """All pokes, which are said with this."""
        pokes, self._pokes = list(self._pokes), {}
        return pokes
