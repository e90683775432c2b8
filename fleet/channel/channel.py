"""One end of a channel: sends values, and calls whoever handles those that come.

Rule 1: messages arrive in the order in which they were sent, each once, until an end is gone.
Rule 2: a message that comes before anyone handles its kind waits for whoever will.
Rule 3: what is no message ends the channel: the other process is not what it should be.
Rule 4: `crowded` says that the other end does not keep up: what a later message will say better is
        then not sent.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

from fleet.channel.frames import Frames, framed
from fleet.codec import Codec, CodecError
from fleet.subscribers import Subscribers
from fleet.telemetry import log

__all__ = ["Channel"]

_log = log(__name__)
_T = TypeVar("_T")
_HIGH = 2**20
_EARLY = 1000


class Channel(asyncio.Protocol):
    """A protocol of asyncio's; `closed` is set when the other end is gone."""

    def __init__(self, codec: Codec) -> None:
        self.closed = asyncio.Event()
        self.crowded = False
        self.heard = 0
        """Messages received."""
        self._codec = codec
        self._frames = Frames()
        self._handlers: dict[type, Callable[[Any], None]] = {}
        self._early: dict[type, deque[Any]] = {}
        self._room = Subscribers[None]()
        self._transport: asyncio.Transport | None = None

    def handle(self, kind: type[_T], handler: Callable[[_T], None]) -> None:
        """Call `handler` with every message of `kind`."""
        self._handlers[kind] = handler
        for value in self._early.pop(kind, ()):
            handler(value)

    def on_room(self, listener: Callable[[], None]) -> None:
        """Call `listener` when it is `crowded` no more."""
        self._room.add(lambda _: listener())

    def send(self, value: object) -> None:
        """Send a value; nothing happens when the other end is gone."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(framed(self._codec.encode(value)))

    def close(self) -> None:
        """Send what was said, then end it."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A stream socket's; uvloop's has no such base class.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_HIGH)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.feed(data):
                self.heard += 1
                value = self._codec.decode(message)
                self._handle(value)
        except CodecError as error:
            _log("channel_broken", level=logging.ERROR, why=str(error))
            self.abort()

    def _handle(self, value: object) -> None:
        handler = self._handlers.get(type(value))
        if handler is not None:
            handler(value)
        elif value is not None:
            self._early.setdefault(type(value), deque(maxlen=_EARLY)).append(value)

    def pause_writing(self) -> None:
        self.crowded = True

    def resume_writing(self) -> None:
        self.crowded = False
        self._room.tell(None)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self.closed.set()
