"""What a line at rest is spared: nobody waits or runs there, and no replica is known.

There may be a thousand of them, looked at and told about every second.

Rule 1: a sample is told again for as long as it holds; only its age moves, and is told again for
        at most half a second.
Rule 2: whatever could change it (an arrival, a replica, a new revision) ends the rest first.
"""

from dataclasses import replace

from activator.core.ledger import Ledger
from activator.report import sample_of
from fleet.messages import RevisionSample
from fleet.model import Fleet, Revision

__all__ = ["Resting"]

_AGE_S = 0.5


class Resting:
    """One line's rest: what was concluded and told since it began."""

    __slots__ = ("_at", "_ledger", "_looked", "_told")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._looked: Revision | None = None
        """What was looked at while at rest already."""
        self._told: RevisionSample | None = None
        self._at = 0.0

    def through(self, revision: Revision, fleet: Fleet) -> bool:
        """Whether it rests as it did when it was looked at last: there is nothing to do."""
        return revision is self._looked and self._ledger.rests and not fleet.of(revision.name)

    def looked(self, revision: Revision, fleet: Fleet) -> None:
        """All that could be concluded has been."""
        there = not self._ledger.rests or fleet.of(revision.name)
        self._looked = None if there else revision

    def sample(self, revision: Revision, now: float) -> RevisionSample:
        """The sample of a revision at `now`."""
        ledger, told = self._ledger, self._told
        if not ledger.rests or revision.drain is not None:
            self._told = None
            return sample_of(revision, ledger, now=now)
        if (
            told is None
            or told.arrivals != ledger.arrivals
            or told.completions != ledger.completions
        ):
            told = sample_of(revision, ledger, now=now)
        elif told.idle_for is None or now - self._at < _AGE_S:
            return told
        else:
            told = replace(told, idle_for=told.idle_for + now - self._at)
        self._told, self._at = told, now
        return told
