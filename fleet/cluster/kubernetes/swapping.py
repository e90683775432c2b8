"""When the next snapshot is made: changes that come together make one, and a write waits for it.

Rule: making snapshots takes a fifth of the time at most, or half while writes wait for them.
"""

import asyncio
from collections.abc import Callable

__all__ = ["Swapping"]

_TOGETHER_S = 0.003
"""How long the first change of several waits for the others."""
_SHARE = 4.0
_URGENT = 1.0
"""A snapshot that took a second to make is followed by so many without one."""


class Swapping:
    """Calls `swap` after changes, and when it said itself that it should be called again.

    Must be made inside the loop.
    """

    def __init__(self, swap: Callable[[], float | None]) -> None:
        self._swap = swap
        self._loop = asyncio.get_running_loop()
        self._due: asyncio.TimerHandle | None = None
        self._late: asyncio.TimerHandle | None = None
        self._go = asyncio.Event()
        self._told: asyncio.Future[None] | None = None
        """Done when what has changed by now was swapped in; None: all of it was."""
        self._ended, self._took = 0.0, 0.0
        """When the last swap was over, and how long it took."""

    def changed(self) -> None:
        """There is something new."""
        if self._told is None:
            self._told = self._loop.create_future()
            self._plan(max(_TOGETHER_S, self._pause(_SHARE)))

    async def seen(self) -> None:
        """Returns once all that is new by now was swapped in, soon."""
        if self._told is not None:
            self._plan(max(0.0, self._pause(_URGENT)))
            # Shared: whoever stops waiting must not stop it for the others.
            await asyncio.shield(self._told)

    async def run(self) -> None:
        """Endless."""
        try:
            while True:
                await self._go.wait()
                self._go.clear()
                told, self._told = self._told, None
                began = self._loop.time()
                later = self._swap()
                self._ended = self._loop.time()
                self._took = self._ended - began
                if told is not None:
                    told.set_result(None)
                self._come_back(later)
        finally:
            for timer in (self._due, self._late):
                if timer is not None:
                    timer.cancel()

    def _come_back(self, seconds: float | None) -> None:
        """What changes by the clock alone."""
        if self._late is not None:
            self._late.cancel()
        self._late = None
        if seconds is not None:
            self._late = self._loop.call_later(max(0.0, seconds), self.changed)

    def _plan(self, seconds: float) -> None:
        if self._due is not None:
            self._due.cancel()
        self._due = self._loop.call_later(seconds, self._go.set)

    def _pause(self, share: float) -> float:
        return self._ended + self._took * share - self._loop.time()
