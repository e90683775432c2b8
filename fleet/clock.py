"""The clock as an argument: the loop's own in production, a virtual one in tests.

`now` is monotonic seconds and what all decisions use; `wall` is Unix time and only ever shown.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "LoopClock"]


class Clock(Protocol):
    """Time, and waiting for it."""

    def now(self) -> float:
        """Seconds, monotonic, from an arbitrary start."""
        ...

    def wall(self) -> float:
        """Unix time in seconds, to be shown to people."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class LoopClock:
    """The running event loop's clock. Must be made inside the loop."""

    def __init__(self) -> None:
        # The loop's own method, not one around it: every request asks several times.
        self.now: Callable[[], float] = asyncio.get_running_loop().time
        self._offset = time.time() - self.now()

    def wall(self) -> float:
        return self.now() + self._offset

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
