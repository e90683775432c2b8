"""The clock as an argument: the loop's own in production, a virtual one in tests.

`now` is monotonic seconds and what all decisions use; `wall` is Unix time and only ever shown.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "LoopClock", "machine_time", "rfc3339", "wall_ahead"]

_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


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


def machine_time() -> float:
    """Seconds since the machine started, those it slept included where the system counts them.

    Unlike `Clock.now`, which may be that of the loop's last step, it is read anew at each call: who
    was stopped in between sees that.
    """
    return time.clock_gettime(_BOOT)


def rfc3339(wall: float) -> str:
    """A Unix time as the API of Kubernetes writes it, in UTC and to the microsecond."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def wall_ahead(clock: Clock) -> float:
    """How far the machine's wall clock is ahead of `clock` now, in seconds; somebody may set it."""
    return time.time() - clock.now()
