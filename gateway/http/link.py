"""The connections to one replica: pooled, made when none is idle.

Rule 1: the connection used last is used next, so that few are kept warm.
Rule 2: no more are kept than its slots and a few use; calls that take no slot may have needed many.
Rule 3: making one is the only task of the request path, and only on a pool miss.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Protocol

from activator.core.ledger import Seat
from gateway.http.context import Context
from gateway.http.outbound import Outbound
from gateway.http.reaching import reach

if TYPE_CHECKING:
    from gateway.grpc.pool import Pool

__all__ = ["MOST_IDLE", "Caller", "Link", "link_of"]

MOST_IDLE = 64
"""So many idle connections are kept, or as many as there are slots."""


class Caller(Protocol):
    """Who waits for a connection."""

    def attached(self, outbound: Outbound) -> None:
        """Here it is."""
        ...

    def connect_failed(self) -> None:
        """There is none to be had."""
        ...


class Link:
    """What the gateway keeps with a seat."""

    __slots__ = ("_idle", "_most", "_seat", "closed", "context", "grpc", "host_line", "known")

    def __init__(self, context: Context, seat: Seat) -> None:
        name = f"[{seat.host}]" if ":" in seat.host else seat.host
        self.host_line = f"Host: {name}:{seat.port}".encode()
        """The Host field of what is sent there, without CRLF."""
        self.known = context.response_heads
        """Heads that a model server has sent before."""
        self.closed = False
        self.context = context
        self.grpc: Pool | None = None
        """Those that carry gRPC, once there was a call."""
        self._idle: list[Outbound] = []
        self._most = max(MOST_IDLE, seat.slots)
        self._seat = seat

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    def take(self) -> Outbound | None:
        """An idle connection."""
        while self._idle:
            outbound = self._idle.pop()
            if not outbound.transport.is_closing():
                return outbound
        return None

    def put(self, outbound: Outbound) -> None:
        """A connection is idle."""
        if self.closed or len(self._idle) >= self._most:
            outbound.transport.close()
        else:
            self._idle.append(outbound)

    def forget(self, outbound: Outbound) -> None:
        """An idle connection has closed."""
        if outbound in self._idle:
            self._idle.remove(outbound)

    def connect(self, caller: Caller) -> None:
        """Make a connection for `caller`."""
        connecting = self.context.connecting
        task = self.context.loop.create_task(self._connect(caller))
        connecting.add(task)
        task.add_done_callback(connecting.discard)

    def close(self) -> None:
        """The seat is gone: what is idle closes now, what is busy when it is done."""
        self.closed = True
        self.drop_idle()
        if self.grpc is not None:
            self.grpc.close()

    def drop_idle(self) -> None:
        """Close what is idle."""
        idle, self._idle = self._idle, []
        for outbound in idle:
            outbound.transport.close()

    async def _connect(self, caller: Caller) -> None:
        try:
            async with asyncio.timeout(self.context.limits.connect_timeout):
                outbound = await reach(
                    self.context, self._seat, partial(Outbound, self), grpc=False
                )
        except (OSError, TimeoutError):
            caller.connect_failed()
            return
        caller.attached(outbound)


def link_of(context: Context, seat: Seat) -> Link:
    """The link of a seat, made on first use."""
    link = seat.link
    if isinstance(link, Link):
        return link
    made = Link(context, seat)
    seat.link = made
    return made
