"""How long a failed replica waits before another takes its place. Pure.

Rule 1: 1 s after the first failure, then twice as long each time, 60 s at most.
Rule 2: a replica that was open for `STEADY` seconds, or another pod template, begins anew.
"""

from dataclasses import dataclass

__all__ = ["STEADY", "Backoff"]

_FIRST = 1.0
_LONGEST = 60.0
STEADY = 60.0
"""Seconds open after which a failure is the first one again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The failures in a row of one revision."""

    template: str
    failures: int = 0

    def after(self, *, template: str, open_for: float) -> "Backoff":
        """With one more failure, of a replica of `template` that was open for so long."""
        anew = template != self.template or open_for >= STEADY
        return Backoff(template=template, failures=1 if anew else self.failures + 1)

    @property
    def seconds(self) -> float:
        """The wait after the last failure."""
        if self.failures == 0:
            return 0.0
        return min(_LONGEST, _FIRST * 2.0 ** min(self.failures - 1, 16))
