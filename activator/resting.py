"""What a line at rest is spared: nobody waits or runs there, and its replicas, if any, are ready.

There may be a thousand of them, looked at and told about every second.

Rule 1: a sample is told again for as long as it holds but for its ages, with when it was made.
Rule 2: whatever could change it (an arrival, a replica, a new revision, a seat that opens or gets
        other slots) ends the rest first.
Rule 3: a replica that is not ready, or not proved, or that takes nothing new, lets nobody rest:
        what is concluded of it may change by the clock alone.
"""

from dataclasses import dataclass
from operator import attrgetter

from activator.core.ledger import Ledger, Seat
from activator.report import sample_of
from fleet.messages import RevisionSample
from fleet.model import Fleet, Replica, Revision

__all__ = ["Resting"]

_Marks = tuple[tuple[object, ...], ...]
"""All of each seat that a sample tells, but for ages."""
_mark = attrgetter("name", "ready_at", "ready_after", "slots", "warming", "open")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What there was when it was looked at."""

    revision: Revision
    replicas: tuple[Replica, ...]
    marks: _Marks


class Resting:
    """One line's rest: what was concluded and told since it began."""

    __slots__ = ("_at", "_ledger", "_looked", "_marks", "_told")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._looked: _Look | None = None
        """What was looked at while at rest already."""
        self._told: RevisionSample | None = None
        self._marks: _Marks = ()
        self._at = 0.0

    @property
    def lasts(self) -> bool:
        """Whether it was at rest when it was looked at last, and nobody has come since it told."""
        looked, told = self._looked, self._told
        return looked is not None and told is not None and told.arrivals == self._ledger.arrivals

    def through(self, revision: Revision, fleet: Fleet) -> bool:
        """Whether it rests as it did when it was looked at last: there is nothing to do."""
        looked = self._looked
        return (
            looked is not None
            and revision is looked.revision
            and fleet.of(revision.name) is looked.replicas
            and self._ledger.quiet
            and self._marked() == looked.marks
        )

    def looked(self, revision: Revision, fleet: Fleet, now: float) -> None:
        """All that could be concluded has been; what will be told is made, and not all at once."""
        replicas, seats = fleet.of(revision.name), self._ledger.seats
        ready = seats.keys() == {replica.name for replica in replicas}
        self._looked = None
        if self._ledger.quiet and ready and all(map(_settled, seats.values())):
            # First what is told: at rest it is not compared any more.
            self.sample(revision, now)
            self._looked = _Look(revision=revision, replicas=replicas, marks=self._marked())

    def end(self) -> None:
        """What is told of a seat may be something else now."""
        self._looked = None

    def sample(self, revision: Revision, now: float) -> tuple[RevisionSample, float]:
        """The sample of a revision, and when it was made: by `now` only its ages have moved."""
        ledger, told = self._ledger, self._told
        if not ledger.quiet or revision.drain is not None:
            self._told = None
            return sample_of(revision, ledger, now=now), now
        if told is None or not self._holds(told):
            told = self._told = sample_of(revision, ledger, now=now)
            self._marks, self._at = self._marked(), now
        return told, self._at

    def _holds(self, told: RevisionSample) -> bool:
        """Whether all of it but ages is as it was."""
        ledger = self._ledger
        return (
            told.arrivals == ledger.arrivals
            and told.completions == ledger.completions
            and (self._looked is not None or self._marks == self._marked())
        )

    def _marked(self) -> _Marks:
        return tuple(map(_mark, self._ledger.seats.values()))


def _settled(seat: Seat) -> bool:
    """Whether it stays as it is until something happens to it."""
    return seat.open and seat.proved and not seat.warming
