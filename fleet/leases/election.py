"""Who leads: what one candidate concludes from a Lease as it reads it, and on its own clock. Pure.

The shell (`fleet.leases.leader`) reads and writes; every step here returns another value.

Rule 1: no two clocks are compared. How old a renewal is, is measured from when this process first
        saw it, or, if it is its own, from before it was sent.
Rule 2: a leader counts itself out `RENEW_WITHIN` seconds after the sending of its last renewal that
        was accepted; another takes the Lease no sooner than its whole duration after having seen
        that renewal. The seconds between are what two clocks may differ in meanwhile.
Rule 3: a write whose fate is unknown renews nothing.
Rule 4: the turn is the Lease's count of transitions. It grows with every holder, also where
        somebody has deleted the Lease meanwhile and it starts anew.
"""

from dataclasses import dataclass, replace
from math import inf

from fleet.leases.record import Record

__all__ = ["RENEW_WITHIN", "RETRY", "Election", "Move"]

RENEW_WITHIN = 10.0
"""Seconds from the sending of a renewal for which whoever is renewed may go on."""
RETRY = 2.0
"""Seconds between two looks at the Lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What to write now: the Lease with me as its holder, in this turn."""

    record: Record | None
    """What it is decided on; None: it is not there, and is to be made."""
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Election:
    """What one candidate knows. Times are seconds of its own clock."""

    me: str
    """Of this process alone: one that is started anew is another."""
    seen: Record | None = None
    """The Lease as last read; None: it was not there, or has not been read."""
    seen_at: float = -inf
    """When its newest renewal was seen first."""
    read: bool = False
    renewed_at: float = -inf
    """When the last renewal of mine that was accepted was sent."""
    term: int = 0
    """The highest turn ever seen."""
    over: bool = False
    """I have given up, for good."""

    def held(self, now: float) -> bool:
        """Whether I may write at `now`."""
        mine = self.seen is not None and self.seen.holder == self.me and not self.over
        return mine and now < self.until

    @property
    def until(self) -> float:
        """When I stop being the leader if nothing else is accepted."""
        return self.renewed_at + RENEW_WITHIN

    def saw(self, record: Record | None, now: float) -> "Election":
        """The Lease was read; None: it is not there. `now`: when the answer was here."""
        same = self.read and _stamp(self.seen) == _stamp(record)
        return replace(
            self,
            seen=record,
            seen_at=self.seen_at if same else now,
            read=True,
            term=max(self.term, 0 if record is None else record.turns),
        )

    def wrote(self, record: Record, *, sent: float, now: float) -> "Election":
        """A write of mine, sent at `sent`, was accepted: `record` is what came of it."""
        return replace(self.saw(record, now), renewed_at=sent)

    def move(self, now: float) -> Move | None:
        """What to write at `now`; None: nothing yet."""
        if self.over or not self.read:
            return None
        seen = self.seen
        if seen is None:
            return Move(record=None, turn=self.term + 1)
        if seen.holder == self.me:
            return Move(record=seen, turn=seen.turns)
        if not seen.holder or now >= self.seen_at + seen.lasts:
            return Move(record=seen, turn=self.term + 1)
        return None

    def gives_up(self) -> "Election":
        """From now on nothing is mine, whatever was; the shell then says so in the Lease."""
        return replace(self, over=True)


def _stamp(record: Record | None) -> tuple[str, str, int] | None:
    return None if record is None else record.stamp
