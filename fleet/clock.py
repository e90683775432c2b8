"""The clock as an argument: the loop's own in production, a virtual one in tests.

`now` is monotonic seconds and what all decisions use; `wall` is Unix time and only ever shown.
"""

import asyncio
import time
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
        self._loop = asyncio.get_running_loop()
        self._offset = time.time() - self._loop.time()

    def now(self) -> float:
        return self._loop.time()

    def wall(self) -> float:
        return self._loop.time() + self._offset

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
