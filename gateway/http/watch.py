"""Sees clients leave while nothing is read from them: one epoll for all such connections.

Neither uvloop nor asyncio reports FIN or RST on a transport whose reading is paused. An epoll with
EPOLLRDHUP does, and is itself one descriptor that the loop watches. With `halves` an end of the
other side's stream is none of its business: only a reset is, which epoll always reports.

Rule: a descriptor is taken out before it is closed; its number may be another connection's next.
"""

import asyncio
import select
from collections.abc import Callable

__all__ = ["Watch"]


class Watch:
    """The connections that are watched now."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, halves: bool = False) -> None:
        self._loop = loop
        self._events = 0 if halves else select.EPOLLRDHUP
        self._epoll = select.epoll()
        self._gone: dict[int, Callable[[], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._look)

    def __len__(self) -> int:
        return len(self._gone)

    def add(self, descriptor: int, gone: Callable[[], None]) -> None:
        """Call `gone` once, when the other side has closed or reset the connection."""
        self._gone[descriptor] = gone
        self._epoll.register(descriptor, self._events)

    def remove(self, descriptor: int) -> None:
        """Watch it no more; doing so twice is doing so once."""
        if self._gone.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Watch nothing any more; doing so twice is doing so once."""
        if self._epoll.closed:
            return
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._gone.clear()

    def _look(self) -> None:
        for descriptor, _ in self._epoll.poll(0):
            gone = self._gone.get(descriptor)
            if gone is not None:
                self.remove(descriptor)
                gone()
