"""What signals tell a serving process: to stop, once to finish what runs, twice at once; to reload.

SIGTERM and SIGINT (Ctrl-C) stop it, SIGHUP has it read its settings again.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

__all__ = ["Stop", "signals"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether and how urgently the process is to stop."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        """Finish what runs, then stop."""
        self.urgent = asyncio.Event()
        """Stop now."""

    def ask(self) -> None:
        """The first time asks, the second time urges."""
        if self.asked.is_set():
            self.urgent.set()
        self.asked.set()

    async def unless_urgent(self, work: Awaitable[object]) -> None:
        """Wait for `work`, but no longer than until it is urgent."""
        waited = asyncio.ensure_future(work)
        urgent = asyncio.ensure_future(self.urgent.wait())
        await asyncio.wait((waited, urgent), return_when=asyncio.FIRST_COMPLETED)
        for task in (waited, urgent):
            task.cancel()


@contextmanager
def signals(stop: Stop, reload: Callable[[], None]) -> Iterator[None]:
    """Signals ask `stop` and call `reload`, for as long as this lasts."""
    loop = asyncio.get_running_loop()
    calls = {**dict.fromkeys(_SIGNALS, stop.ask), signal.SIGHUP: reload}
    for number, call in calls.items():
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number in calls:
            loop.remove_signal_handler(number)
