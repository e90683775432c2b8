"""Two connections made one: what either side sends goes to the other as it is.

A request whose Upgrade the replica accepted (101) is over as HTTP; its connection to the client and
its connection to the replica get new protocols, and their old ones hear only of the end.

Rule 1: a side is read no faster than the other takes it.
Rule 2: the end of the client's stream is passed on, and the replica may go on; over TLS, which has
        no such half, it ends both. The replica's end, or the loss of a side, ends both: what was
        sent before it is still delivered, if the other side takes it within the linger time.
Rule 3: it is over when both connections are; only then is its slot free.
Rule 4: with nothing sent either way for the idle time it is ended.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.http.context import Context

__all__ = ["Tunnel"]


class _Owner(Protocol):
    """Who had the connection before."""

    transport: asyncio.Transport
    choked: bool

    def connection_lost(self, exc: Exception | None, /) -> None: ...


class Tunnel:
    """One pair of connections; `over` is called once, when both are closed."""

    __slots__ = ("_client", "_context", "_ending", "_moved", "_over", "_replica", "filed")

    def __init__(
        self, context: "Context", client: _Owner, replica: _Owner, *, over: Callable[[], None]
    ) -> None:
        self.filed = inf
        self._context = context
        self._over = over
        self._moved = context.now()
        self._ending = inf
        self._client = _End(self, client, halves=True)
        self._replica = _End(self, replica, halves=False)
        self._client.other, self._replica.other = self._replica, self._client

    def open(self, from_client: bytes, from_replica: bytes) -> None:
        """Begin, with what both sides had sent already."""
        for end in (self._client, self._replica):
            end.take_over()
        self._client.data_received(from_client)
        self._replica.data_received(from_replica)
        self._context.deadlines.file(self, self._moved + self._context.settings.tunnel_idle)

    def overdue(self, now: float) -> float:
        """See `Timed`."""
        due = min(self._ending, self._moved + self._context.settings.tunnel_idle)
        if due > now:
            return due
        for end in (self._client, self._replica):
            end.transport.abort()
        return inf

    def moved(self) -> None:
        """Something was sent."""
        self._moved = self._context.now()

    def ended(self) -> None:
        """A connection has closed."""
        if self._client.lost and self._replica.lost:
            self._context.deadlines.drop(self)
            self._over()
        elif self._ending == inf:
            self._ending = self._context.now() + self._context.limits.linger
            self._context.deadlines.file(self, self._ending)


class _End(asyncio.Protocol):
    """One side of a tunnel."""

    __slots__ = ("_halves", "_owner", "_tunnel", "lost", "other", "transport")

    def __init__(self, tunnel: Tunnel, owner: _Owner, *, halves: bool) -> None:
        self.transport = owner.transport
        self.other: _End
        self.lost = False
        self._tunnel = tunnel
        self._owner = owner
        self._halves = halves

    def take_over(self) -> None:
        """Hear of this connection from now on."""
        self.transport.set_protocol(self)
        if self._owner.choked:
            self.other.transport.pause_reading()

    # What the loop calls.

    def data_received(self, data: bytes) -> None:
        if data and not self.other.transport.is_closing():
            self._tunnel.moved()
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        mine, other = self.transport, self.other.transport
        if other.is_closing():
            return False
        if self._halves and mine.can_write_eof() and other.can_write_eof():
            other.write_eof()
            return True
        other.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._owner.connection_lost(exc)
        if not self.other.lost:
            # Closing sends what is still to be sent, and reads no more.
            self.other.transport.close()
        self._tunnel.ended()
