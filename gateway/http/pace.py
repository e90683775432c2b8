"""How long a client may take over a request body: for a pause, and on the whole.

Rule 1: only the time counts in which the body is being read; while the replica does not take more
        of it, its sender is not to blame.
Rule 2: every byte buys time at the least rate that is accepted, after a grace and never more ahead
        than a pause may last: so neither a byte now and then nor a fast start holds a slot for
        long. Looked at when its time is up, never per piece.
"""

from fleet.reasons import Reason
from gateway.core.limits import Limits

__all__ = ["Pace"]


class Pace:
    """One body that is coming in. Times are loop time."""

    __slots__ = ("_limits", "_paused", "_size", "_until", "heard")

    def __init__(self, limits: Limits, now: float) -> None:
        self.heard = now
        """When a piece last came, or reading last began."""
        self._limits = limits
        self._until = now + limits.body_grace
        self._paused: float | None = None
        self._size = 0

    def pause(self, now: float) -> None:
        """It is not read for now."""
        self._paused = now

    def resume(self, now: float) -> None:
        """It is read again."""
        if self._paused is not None:
            self._until += now - self._paused
            self._paused = None
        self.heard = now

    @property
    def due(self) -> float:
        """When to look whether it is late."""
        pause = self.heard + self._limits.body_timeout
        return min(pause, self._until) if self._limits.body_min_rate else pause

    def late(self, now: float, size: int) -> Reason | None:
        """Why it is ended now, with `size` bytes of it read; None: it goes on."""
        limits = self._limits
        if now >= self.heard + limits.body_timeout:
            return Reason.BODY_TIMEOUT
        if not limits.body_min_rate:
            return None
        paid = self._until + (size - self._size) / limits.body_min_rate
        self._until, self._size = min(paid, now + limits.body_timeout), size
        return Reason.BODY_TOO_SLOW if self._until <= now else None
