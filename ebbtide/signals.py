"""How a serving process is told to stop: once to finish what runs, twice to stop at once."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Stop", "stop_signals"]

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


@contextmanager
def stop_signals(stop: Stop) -> Iterator[None]:
    """SIGTERM and SIGINT (Ctrl-C) ask `stop`, for as long as this lasts."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.ask)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
