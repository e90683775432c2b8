"""How long until a sleeping model answers: learned from its own cold starts. Pure.

Source: the design's policy 5, in its plain form: the last starts, no tiers.
"""

from collections import deque
from math import ceil

__all__ = ["Eta"]

_KEPT = 20
_GUESS = 10.0
_LEAST = 1.0


class Eta:
    """The times to ready of one revision, seconds."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=_KEPT)

    def learn(self, seconds: float) -> None:
        """A start took this long."""
        self._seen.append(seconds)

    @property
    def late(self) -> float:
        """What nine in ten starts stay within; a guess before the first."""
        if not self._seen:
            return _GUESS
        ordered = sorted(self._seen)
        return ordered[ceil(0.9 * len(ordered)) - 1]

    def retry_after(self, spent: float) -> float:
        """Seconds after which trying again makes sense, when `spent` have gone into the start."""
        return max(_LEAST, self.late - spent)
