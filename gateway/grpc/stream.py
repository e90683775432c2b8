"""One side of one call: a stream of a connection, its two windows, and what waits for room.

Rule 1: what came in on a stream is given back to its sender's window only once it has been sent on:
        a call whose other side does not take its bytes costs at most one window, and nobody else
        anything (the connection's window is given back at once).
Rule 2: the end, and trailers, queue behind the data that came before them.
"""

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gateway.grpc.core.frames import window_update
from gateway.grpc.core.heads import Answer

if TYPE_CHECKING:
    from gateway.grpc.connection import Connection

__all__ = ["Piece", "Stream", "Taker"]


class Taker(Protocol):
    """Who takes what comes in on a stream."""

    def data(self, payload: bytes, length: int, end: int) -> None:
        """Bytes; `length`: what they took of the window; `end` is 1 with the last of them."""
        ...

    def head(self, found: Answer, end: int) -> None:
        """Fields behind its first; `end` is 1 when nothing follows them. Raises `StreamError`."""
        ...

    def reset(self, code: int) -> None:
        """The stream is over: the other side reset it."""
        ...

    def broken(self, detail: str) -> None:
        """The stream is over: the other side broke its rules."""
        ...

    def lost(self) -> None:
        """The connection is gone."""
        ...


class Piece(NamedTuple):
    """Something that waits for room."""

    payload: bytes
    end: int
    """1: the stream ends with it."""
    source: "Stream | None"
    """Where it came from; None where nothing is to be given back."""
    credit: int
    """What to give back there, once all of it is sent."""
    trailers: bool = False
    """`payload` is a block of header fields."""


class Stream:
    """A stream that is open on either side."""

    __slots__ = (
        "connection",
        "ended",
        "finished",
        "grain",
        "left",
        "number",
        "open",
        "owed",
        "queue",
        "room",
        "sending",
        "taker",
        "window",
    )

    def __init__(self, connection: "Connection", number: int, taker: Taker) -> None:
        sending, room = connection.sending, connection.room
        self.connection = connection
        self.sending = sending
        self.number = number
        self.taker = taker
        self.open = True
        """It is among its connection's streams."""
        self.ended = False
        """The other side sends no more on it."""
        self.finished = False
        """All that we send on it has been sent."""
        self.window: int = sending.window_at_first
        """What we may send."""
        self.room: int = room
        """What the other side may send."""
        self.grain: int = room >> 1
        """From how many bytes on they are given back."""
        self.owed = 0
        """What was sent on and is not given back yet."""
        self.left: int | None = None
        """What a content-length has still to come; None without one."""
        self.queue: deque[Piece] | None = None

    def give_back(self, size: int) -> None:
        """`size` of the bytes that came in have been sent on."""
        owed = self.owed = self.owed + size
        if owed >= self.grain and self.open and not self.ended:
            self.owed = 0
            self.room += owed
            self.sending.put(window_update(self.number, owed))

    def widen(self, size: int) -> None:
        """Let the other side have `size` bytes under way instead of its first window."""
        more = size - 2 * self.grain
        if more > 0 and self.open and not self.ended:
            self.grain = size >> 1
            self.room += more
            self.sending.put(window_update(self.number, more))
