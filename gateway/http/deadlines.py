"""One timer for all deadlines of the request path, in buckets of a tenth of a second.

Rule 1: filing is cheap because it is lazy: a connection stands in the bucket of the *earliest*
        deadline it has had since it was last looked at, and says its real one when looked at. So a
        warm request, whose deadlines only move on, costs one comparison.
Rule 2: a deadline is never met early, and at most about a tick late.
"""

import asyncio
from heapq import heappop, heappush
from itertools import chain
from math import inf
from typing import Protocol

__all__ = ["Deadlines", "Timed"]

_PER_SECOND = 10


class Timed(Protocol):
    """What has deadlines."""

    filed: float
    """When its bucket begins, loop time; infinity: it stands in none. Written here alone."""

    def overdue(self, now: float) -> float:
        """Act if its time is up; returns when to look again, infinity for never."""
        ...


class Deadlines:
    """The buckets of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, set[Timed]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def file(self, item: Timed, due: float) -> None:
        """Look at `item` at `due` (loop time) or before; only if `due < item.filed`."""
        number = int(due * _PER_SECOND) + 1
        begin = (number - 1) / _PER_SECOND
        if begin >= item.filed:
            return
        self.drop(item)
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = set()
            heappush(self._order, number)
            if self._order[0] == number:
                self._set_timer()
        bucket.add(item)
        item.filed = begin

    def drop(self, item: Timed) -> None:
        """Forget `item`."""
        if item.filed != inf:
            bucket = self._buckets.get(round(item.filed * _PER_SECOND) + 1)
            if bucket is not None:
                bucket.discard(item)
            item.filed = inf

    def close(self) -> None:
        """Forget everything."""
        if self._timer is not None:
            self._timer.cancel()
        self._buckets.clear()
        self._order.clear()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._order[0] / _PER_SECOND, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        due: list[set[Timed]] = []
        # A timer may fire a little early: what is due within a hundredth is due.
        while self._order and self._order[0] <= now * _PER_SECOND + 0.1:
            due.append(self._buckets.pop(heappop(self._order)))
        # Only then looked at: what is due a moment later goes back into the bucket it came from.
        for item in chain.from_iterable(due):
            item.filed = inf
            when = max(now, item.overdue(now))
            if when < item.filed:
                self.file(item, when)
        if self._order:
            self._set_timer()
