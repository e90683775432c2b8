"""What HTTP/2 connections have to say, written once per connection and turn of the loop.

Many calls share a connection, and one read brings frames of many: a write for each would cost a
system call each. Whoever has something to send says so here, and all of it goes out together.
"""

import asyncio
from typing import Protocol

__all__ = ["Outbox", "Sender"]


class Sender(Protocol):
    """What has something to send."""

    def flush(self) -> None:
        """Write all of it."""
        ...


class Outbox:
    """The senders of one event loop that have something to send in this turn."""

    __slots__ = ("_flush", "_later", "_senders")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._senders: list[Sender] = []
        self._later = loop.call_soon
        self._flush = self.flush

    def add(self, sender: Sender) -> None:
        """`sender` has something to send; once is enough until its `flush` is called."""
        if not self._senders:
            self._later(self._flush)
        self._senders.append(sender)

    def flush(self) -> None:
        """Write everything now."""
        senders, self._senders = self._senders, []
        for sender in senders:
            sender.flush()
