"""How long to wait after failures before the API server is asked again. Pure.

Rule: each wait is about twice the last, and never the same for two: those who were cut off together
do not come back together. A server that is back is found within `LONGEST` seconds.
"""

from dataclasses import dataclass

__all__ = ["LONGEST", "SELDOM", "Pauses"]

_FIRST = 0.1
LONGEST = 3.0
"""Seconds between tries that might succeed any moment."""
SELDOM = 15.0
"""Seconds between tries that somebody must first do something for: grant it, or install it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """Failures in a row."""

    failures: int = 0

    def more(self) -> "Pauses":
        """With one more failure."""
        return Pauses(failures=self.failures + 1)

    def seconds(self, luck: float, *, longest: float = LONGEST) -> float:
        """The wait after the last failure; `luck` is anything from 0 to 1."""
        if self.failures == 0:
            return 0.0
        whole = min(longest, _FIRST * 2.0 ** min(self.failures - 1, 16))
        return whole * (0.5 + luck / 2)
