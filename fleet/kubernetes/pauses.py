"""How long to wait after failures before the API server is asked again. Pure.

Rule: each wait is about twice the last, and never the same for two: those who were cut off together
do not come back together. A server that is back is found within `LONGEST` seconds, and what it says
in passing (one that has just started may refuse all) is no more than that: only failures alike, one
after the other, lead to longer waits.
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
    alike: int = 0
    """How many of the last were of the same kind."""
    kind: object = None

    def more(self, kind: object = None) -> "Pauses":
        """With one more failure, of some kind."""
        alike = self.alike + 1 if kind == self.kind else 1
        return Pauses(failures=self.failures + 1, alike=alike, kind=kind)

    def seconds(self, luck: float, *, longest: float = LONGEST) -> float:
        """The wait after the last failure; `luck` is anything from 0 to 1."""
        if self.failures == 0:
            return 0.0
        whole = max(_doubled(self.failures, min(longest, LONGEST)), _doubled(self.alike, longest))
        return whole * (0.5 + luck / 2)


def _doubled(failures: int, longest: float) -> float:
    return min(longest, _FIRST * 2.0 ** min(failures - 1, 16))
