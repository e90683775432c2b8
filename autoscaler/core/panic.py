"""The stable and the panic window: which count of replicas the load of late asks for. Pure.

As in Knative's autoscaler (pkg/autoscaler/scaling/autoscaler.go), with one change: replicas still
loading count as capacity, since loading a model takes longer than the window.

Rule 1: panic starts, or goes on, while the short window asks for twice the capacity or more.
Rule 2: it ends a full stable window after that stopped; within it nothing is taken away.
"""

import math
from dataclasses import dataclass

__all__ = ["Panic", "Wanted"]

_THRESHOLD = 2.0
_DOWN_RATE = 2
_UP_RATE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the two windows ask for, and the capacity there is or comes."""

    stable: int
    panic: int
    capacity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Panic:
    """Whether there is panic, and the most that was asked for in it."""

    over_at: float | None = None
    """When the threshold was last passed."""
    highest: int = 0

    def on(self, now: float, window: float) -> bool:
        """Whether there is panic at `now`."""
        return self.over_at is not None and now - self.over_at < window

    def step(self, wanted: Wanted, *, now: float, window: float) -> "Panic":
        """With what the windows ask for now."""
        over = wanted.panic >= _THRESHOLD * max(1, wanted.capacity)
        over_at = now if over else self.over_at
        if over_at is None or now - over_at >= window:
            return Panic()
        return Panic(over_at=over_at, highest=max(self.highest, self.wish(wanted), wanted.capacity))

    def wish(self, wanted: Wanted) -> int:
        """The replicas asked for: the stable window's, or the most of all while in panic."""
        capacity = max(1, wanted.capacity)
        low, high = capacity // _DOWN_RATE, math.ceil(_UP_RATE * capacity)
        stable = min(max(wanted.stable, low), high)
        if self.over_at is None:
            return stable
        return max(stable, min(max(wanted.panic, low), high), self.highest)
