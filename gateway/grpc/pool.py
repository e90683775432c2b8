"""The HTTP/2 connections to one replica: one, until it takes no more streams; then another.

Rule 1: making one is the only task here; calls wait for it in the order they came.
Rule 2: a connection counts only once the replica's settings have come over it: a port that accepts
        and says nothing is one that does not answer.
"""

import asyncio
from collections import OrderedDict
from typing import Protocol

from activator.core.ledger import Seat
from gateway.grpc.upstream import Upstream
from gateway.http.context import Context
from gateway.http.link import Link, link_of
from gateway.http.reaching import reach

__all__ = ["Caller", "Pool", "pool_of"]


class Caller(Protocol):
    """Who waits for a connection."""

    def attached(self, upstream: Upstream) -> None:
        """Here it is, with room for a stream."""
        ...

    def connect_failed(self) -> None:
        """There is none to be had."""
        ...


class Pool:
    """What the gateway keeps with a seat for gRPC."""

    __slots__ = (
        "_connecting",
        "_seat",
        "_settled",
        "_upstreams",
        "closed",
        "context",
        "waiting",
    )

    def __init__(self, context: Context, seat: Seat) -> None:
        self.context = context
        self.closed = False
        self._seat = seat
        self._upstreams: list[Upstream] = []
        self.waiting: OrderedDict[Caller, None] = OrderedDict()
        """Who waits for a connection."""
        self._connecting = False
        self._settled: asyncio.Future[None] | None = None

    def take(self) -> Upstream | None:
        """A connection with room for a stream."""
        if not self.waiting:
            for upstream in self._upstreams:
                if upstream.free:
                    return upstream
        return None

    def wait(self, caller: Caller) -> None:
        """Tell `caller` when there is one."""
        self.waiting[caller] = None
        self._connect()

    def leave(self, caller: Caller) -> None:
        """`caller` waits no more."""
        self.waiting.pop(caller, None)

    def serve(self) -> None:
        """Give what room there is to those who wait."""
        for upstream in tuple(self._upstreams):
            while upstream.free and self.waiting:
                self.waiting.popitem(last=False)[0].attached(upstream)

    def settled(self, upstream: Upstream) -> None:
        """Its settings have come, or changed; or it is over."""
        if upstream not in self._upstreams:
            if self._settled is not None and not self._settled.done():
                self._settled.set_result(None)
        elif self.waiting:
            self.serve()

    def forget(self, upstream: Upstream) -> None:
        """Begin nothing more on it."""
        if upstream in self._upstreams:
            self._upstreams.remove(upstream)

    def refresh(self) -> None:
        """Close what is idle: it may have been closed over there."""
        for upstream in tuple(self._upstreams):
            if not upstream.connection.streams:
                self._upstreams.remove(upstream)
                upstream.connection.hang_up()

    def close(self) -> None:
        """The seat is gone: what is idle closes now, what is busy when it is done."""
        self.closed = True
        upstreams, self._upstreams = self._upstreams, []
        for upstream in upstreams:
            upstream.away = True
            if not upstream.connection.streams:
                upstream.connection.hang_up()

    def _connect(self) -> None:
        if not self._connecting:
            self._connecting = True
            tasks = self.context.connecting
            task = self.context.loop.create_task(self._make())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _make(self) -> None:
        upstream = await self._made()
        self._connecting = False
        if upstream is None or self.closed:
            waiting, self.waiting = self.waiting, OrderedDict()
            for caller in waiting:
                caller.connect_failed()
        else:
            self._upstreams.append(upstream)
            self.serve()
            if self.waiting:
                self._connect()

    async def _made(self) -> Upstream | None:
        loop = self.context.loop
        upstream = Upstream(self)
        self._settled = loop.create_future()
        try:
            async with asyncio.timeout(self.context.limits.connect_timeout):
                await reach(self.context, self._seat, lambda: upstream.connection, grpc=True)
                await self._settled
        except (OSError, TimeoutError):
            upstream.connection.abort()
        if self.closed:
            upstream.connection.abort()
        return upstream if upstream.free else None


def pool_of(context: Context, seat: Seat) -> Pool:
    """The pool of a seat, made on first use."""
    link = seat.link
    if isinstance(link, Link) and link.grpc is not None:
        return link.grpc
    link = link_of(context, seat)
    link.grpc = Pool(context, seat)
    return link.grpc
