"""What an end of calls is to its connection: the client's (`downstream`), a replica's (`upstream`).

The connection knows frames, windows and streams; what a head means, and what becomes of a call, is
the side's affair.
"""

from typing import Protocol

from gateway.grpc.core.hpack import Field
from gateway.grpc.stream import Stream

__all__ = ["Side"]


class Side(Protocol):
    """The owner of one connection."""

    client: bool
    """We are the client here."""
    last: int
    """The last stream that the other side has begun."""
    limit: int
    """The most bytes of one list of fields."""

    def greeting(self) -> bytes:
        """The frames that we begin with."""
        ...

    def made(self) -> None:
        """The connection is there."""
        ...

    def read(self, fields: list[Field]) -> object:
        """What a list of fields means, or the exception that says what is wrong with it.

        Remembered for its bytes, so it depends on nothing else.
        """
        ...

    def head(self, number: int, found: object, *, end: int) -> None:
        """What `read` found on a stream. Raises `BrokenError`, `StreamError`."""
        ...

    def whole(self, number: int, found: object, data: bytes, at: int) -> int:
        """The same, and something follows it in `data`, at `at`: take what belongs to it, too.

        Returns where that ends; 0: nothing was taken, and `head` is to be called.
        """
        ...

    def idle(self, number: int) -> bool:
        """Whether nobody has begun this stream yet, or nobody may."""
        ...

    def closed(self, stream: Stream) -> None:
        """A stream is over: there is room for another one."""
        ...

    def settled(self) -> None:
        """The other side's settings have come."""
        ...

    def went_away(self, last: int) -> None:
        """The other side takes no new streams, and has not looked at those beyond `last`."""
        ...

    def ponged(self) -> None:
        """A PING of ours has been answered."""
        ...

    def hanging_up(self) -> None:
        """The connection closes as soon as everything is sent."""
        ...

    def gone(self) -> None:
        """The connection is over, and all its streams have been told."""
        ...
