"""How many models one caller may wake in an hour. Pure.

Rule 1: what counts is a request that finds nothing ready and nothing coming, and is let in to wait;
        whoever waits behind a wake that somebody else began spends nothing.
Rule 2: the hour slides: each wake is forgotten an hour after it began, and a caller with its last.
"""

from collections import OrderedDict, deque

__all__ = ["Wakes"]

_HOUR_S = 3600.0


class Wakes:
    """The wakes of the last hour, by caller. `budget` 0: no limit, and nothing is kept."""

    __slots__ = ("_begun", "budget")

    def __init__(self, budget: int = 0) -> None:
        self.budget = budget
        self._begun: OrderedDict[str, deque[float]] = OrderedDict()
        """When each wake began, by caller; who woke last is last."""

    def __len__(self) -> int:
        return len(self._begun)

    def wait(self, caller: str, now: float) -> float | None:
        """After how many seconds this caller may wake a model; None: now."""
        if not self.budget:
            return None
        begun = self._begun.get(caller)
        if begun is None or len(begun) < self.budget:
            return None
        free_at = begun[-self.budget] + _HOUR_S
        return free_at - now if free_at > now else None

    def spend(self, caller: str, now: float) -> None:
        """It wakes one."""
        if not self.budget:
            self._begun.clear()
            return
        begun = self._begun.setdefault(caller, deque())
        begun.append(now)
        while len(begun) > self.budget:
            begun.popleft()
        self._begun.move_to_end(caller)
        self._forget(now - _HOUR_S)

    def _forget(self, before: float) -> None:
        while self._begun:
            caller, begun = next(iter(self._begun.items()))
            if begun[-1] > before:
                break
            del self._begun[caller]
