"""When the leader is poked again, and when it is given up for the time being. Pure.

Rule 1: a look that began after a poke answers it: whatever the leader could do for it is done.
Rule 2: a leader that has not answered for `PATIENCE` seconds is silent, until it is heard again.
"""

__all__ = ["PATIENCE", "Pokes"]

PATIENCE = 5.0
_AGAIN_S = 1.0
_SLACK_S = 0.001
"""Two ways to add up the same times."""


class Pokes:
    """The pokes for one revision."""

    __slots__ = ("_last", "_unanswered")

    def __init__(self) -> None:
        self._last: float | None = None
        self._unanswered: float | None = None
        """When the first poke was sent that no look has answered."""

    def due(self, now: float) -> bool:
        """Whether it is time for another."""
        return self._last is None or now - self._last >= _AGAIN_S

    def sent(self, now: float) -> None:
        """One was."""
        self._last = now
        if self._unanswered is None:
            self._unanswered = now

    def heard(self, began: float) -> None:
        """The newest look there is began at this moment."""
        if self._unanswered is not None and began >= self._unanswered - _SLACK_S:
            self._unanswered = None

    def over(self) -> None:
        """Nobody needs the leader any more."""
        self._unanswered = None

    def silent(self, now: float) -> bool:
        """Whether the leader has not answered for too long."""
        return self._unanswered is not None and now - self._unanswered >= PATIENCE
