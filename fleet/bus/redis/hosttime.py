"""What another host's clock says now, known from the times it has told. Pure.

It is the one clock that all gateways and autoscalers share: what one of them stamps with it, the
others can tell the age of.

Rule 1: an answer that says T was made between the question and its coming in: the offset to the
        own clock lies in an interval, and what several answers leave of it is smaller.
Rule 2: clocks drift, so an interval gets wider with time; and they are set: one that an answer
        contradicts is given up for what that answer says.
Rule 3: whoever stamps says the earliest time it may be, whoever reads the latest: an age is never
        too low, and too high by no more than what the questions took.
"""

__all__ = ["HostTime"]

_DRIFT = 0.001
"""Seconds a second: more than a clock that is being slewed."""


class HostTime:
    """Nothing is known before the first answer."""

    __slots__ = ("_at", "_high", "_low")

    def __init__(self) -> None:
        self._low = self._high = 0.0
        self._at: float | None = None

    @property
    def known(self) -> bool:
        """Whether there was an answer."""
        return self._at is not None

    def hear(self, told: float, *, asked: float, answered: float) -> None:
        """It said `told`, in an answer to a question; both times on the own clock."""
        low, high = told - answered, told - asked
        if self._at is not None:
            drift = _DRIFT * max(0.0, answered - self._at)
            narrow = max(low, self._low - drift), min(high, self._high + drift)
            if narrow[0] <= narrow[1]:
                low, high = narrow
        self._low, self._high, self._at = low, high, answered

    def earliest(self, now: float) -> float:
        """The earliest it may say, when the own clock says `now`."""
        return now + self._low

    def latest(self, now: float) -> float:
        """The latest it may say."""
        return now + self._high

    def age(self, stamp: float, now: float) -> float:
        """Seconds since `stamp`, which somebody made by `earliest`; never too few."""
        return max(0.0, self.latest(now) - stamp)
