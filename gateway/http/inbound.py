"""A client's connection: takes requests off it one at a time, in order, and answers them.

Rule 1: one request is served at a time; what a client sends on behind it stays in its socket, but
        for the part that came in the same read.
Rule 2: reading is paused whenever what would be read has nowhere to go: while a request is held,
        while the replica does not take more of a body, while the client does not take its answers.
        A paused connection is watched, so a client that leaves is seen all the same.
Rule 3: an end of the client's stream means that the client is gone; unless a setting says that a
        client may end its stream behind a whole request and wait for the answer.
Rule 4: a connection is kept only when both sides know where the next request begins. Else it is
        closed, and a client that is still sending is listened to for a moment: a reset would
        destroy the answer on its way.
"""

import asyncio
from math import inf
from typing import cast

from fleet.reasons import Reason
from gateway.core.forwarding import PLAIN_EDGE, Edge
from gateway.core.head import RequestHead
from gateway.core.limits import MOST_LINGERING, WATER_MARK
from gateway.core.refused import RefusedError
from gateway.grpc.downstream import chose_http2, speak_http2
from gateway.http.answering import Answering
from gateway.http.context import Context
from gateway.http.heartbeat import Beats
from gateway.http.noting import Noting
from gateway.http.pace import Pace
from gateway.http.parting import break_off, end_stream, leave
from gateway.http.reception import Reception
from gateway.http.relay import Exchange

__all__ = ["Inbound"]

# Where the connection stands: reading a head, reading a body, waiting for the answer's end, the
# same with nothing more to read; discarding what a refused client still sends, closing, closed.
_HEAD, _BODY, _ANSWER, _ENDED, _LINGER, _CLOSING, _LOST = range(7)
_SLACK_S = 0.002


class Inbound(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_descriptor",
        "_later",
        "_pace",
        "_pumping",
        "_reader",
        "_since",
        "_state",
        "answering",
        "choked",
        "context",
        "edge",
        "exchange",
        "filed",
        "plain",
        "reading",
        "reception",
        "transport",
    )

    def __init__(self, context: Context) -> None:
        self.context = context
        self.transport: asyncio.Transport
        self.exchange: Exchange | None = None
        """The request that is relayed now."""
        self.edge: Edge = PLAIN_EDGE
        """By which hop its requests come in, and whether that may speak for others."""
        self.choked = False
        """The client does not take what was sent."""
        self.filed = inf
        self.reading = True
        """What it sends is taken in now."""
        self._reader = context.request_reader()
        self.plain = Noting(self) if context.settings.access_log else Answering(self)
        self.answering: Answering | Noting | Beats = self.plain
        """Who writes the answer: `plain`, but for a request that is kept alive by heartbeats."""
        self.reception = Reception(self, context)
        self._state = _HEAD
        self._later = b""
        self._pumping = False
        self._descriptor = -1
        self._since = 0.0
        self._pace: Pace | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        context = self.context
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WATER_MARK)
        self._descriptor = transport.get_extra_info("socket").fileno()
        self.edge = context.hops.of(transport)
        welcome = self.reception.visitor.arrive(transport, trusted=self.edge.trusted)
        self._since = context.now()
        over = len(context.inbounds) - context.limits.max_connections
        context.inbounds.add(self)
        if over < 0 and welcome:
            self.file(self._since + context.limits.http_keepalive)
            if context.secured and chose_http2(transport):
                speak_http2(self, b"")
        elif over < MOST_LINGERING:
            full = Reason.TOO_MANY_CONNECTIONS if welcome else Reason.ADDRESS_CONNECTIONS_FULL
            self.answering.refuse(full)
        else:
            self._state = _CLOSING
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._state <= _BODY:
            self._pump(data)
        elif self._state == _ANSWER:
            self._later += data
            self.settle()

    def pause_writing(self) -> None:
        self.choked = True
        if self.exchange is not None and self.exchange.outbound is not None:
            self.exchange.outbound.pause()

    def resume_writing(self) -> None:
        self.choked = False
        if self.exchange is not None and self.exchange.outbound is not None:
            self.exchange.outbound.resume()
        elif self._state == _HEAD:
            self._next()

    def eof_received(self) -> bool:
        """The client has ended its stream."""
        if self._state != _ANSWER or self.exchange is None or not self.context.serves_half:
            self._gone()
            return False
        self._state = _ENDED
        self.reception.is_last()
        self.settle()
        return True

    def _gone(self) -> None:
        """The client has left."""
        if self.exchange is not None:
            self.exchange.client_left()
            self.transport.abort()
        else:
            self.transport.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        context = self.context
        self._state = _LOST
        context.watch.remove(self._descriptor)
        context.inbounds.discard(self)
        if self.exchange is not None:
            self.exchange.client_left()
        if self.exchange is None:
            context.deadlines.drop(self)
        self._later = b""
        self.answering.left()
        self.reception.close()
        if context.closing:
            context.changed()

    # What reception and exchange call.

    def send(self, data: bytes) -> None:
        """Write to the client."""
        if self._state < _CLOSING:
            self.transport.write(data)

    def keeps(self) -> bool:
        """Whether another request may follow on this connection."""
        head = self.reception.head
        complete = head is not None and self.reception.complete and head.keep_alive
        return complete and not self.context.closing

    def done(self, *, keep: bool) -> None:
        """The answer has been given; the next request, or the end."""
        keep = keep and self.keeps()
        self.exchange = None
        self.reception.clear()
        self.answering.clear()
        if not keep:
            self._close()
            return
        self._state = _HEAD
        self._since = self.context.now()
        due = self._since + self.context.limits.http_keepalive
        if due < self.filed:
            self.file(due)
        if self._later or not self.reading:
            self._next()

    def hand_over(self) -> bytes:
        """Leave the connection to a tunnel; returns what the client has sent for it already."""
        self.exchange = None
        self.context.watch.remove(self._descriptor)
        if not self.reading:
            self.reading = True
            self.transport.resume_reading()
        later, self._later = self._later, b""
        return later

    def over(self, exchange: Exchange) -> None:
        """An exchange has ended, here or after its client had left."""
        if self.exchange is exchange:
            self.exchange = None
            if self._state == _LOST:
                self.context.deadlines.drop(self)

    def reset(self) -> None:
        """Break the connection off, so that the client does not take what it got for the whole."""
        self._state = _CLOSING
        break_off(self.transport)

    def settle(self) -> None:
        """Read from the client if what it sends has somewhere to go."""
        wants = self._wants()
        if wants is self.reading or self._state >= _CLOSING:
            return
        self.reading = wants
        if not wants:
            if self._pace is not None:
                self._pace.pause(self.context.now())
            self.transport.pause_reading()
            self.context.watch.add(self._descriptor, self._gone)
            return
        self.context.watch.remove(self._descriptor)
        self.transport.resume_reading()
        if self._state == _BODY:
            self._listen()

    # What the front and the deadlines call.

    def shut(self) -> None:
        """Close if nothing is being served."""
        if self._state == _HEAD and not self._reader.begun:
            self._state = _CLOSING
            leave(self.transport, self.context.loop, secured=self.context.secured)

    def file(self, due: float) -> None:
        """Look at the deadlines at `due`, loop time, or before."""
        if due < self.filed:
            self.context.deadlines.file(self, due)

    def overdue(self, now: float) -> float:
        """See `Timed`."""
        due = self._due()
        if due - now > _SLACK_S:
            return due
        self._expire(now)
        return self._due()

    # Its own.

    def _due(self) -> float:
        limits = self.context.limits
        exchange = self.exchange
        due = inf if exchange is None else exchange.due
        if self._state == _HEAD:
            whole = limits.header_timeout if self._reader.begun else limits.http_keepalive
            return self._since + whole
        if self._state == _BODY and self.reading and self._pace is not None:
            return min(due, self._pace.due)
        if self._state == _LINGER:
            return self._since + limits.linger
        return self._since + limits.http_keepalive if self._state == _CLOSING else due

    def _expire(self, now: float) -> None:
        now += _SLACK_S
        exchange = self.exchange
        if exchange is not None and now >= exchange.due:
            exchange.give_up(Reason.REQUEST_TIMEOUT)
        elif self._state == _BODY:
            reason = None if self._pace is None else self._pace.late(now, self.reception.size)
            if reason is not None:
                self.reception.fail(reason)
        elif self._state == _HEAD and self._reader.begun:
            self.answering.refuse(Reason.HEADER_TIMEOUT)
        else:
            self.transport.abort()

    def _wants(self) -> bool:
        exchange = self.exchange
        if self._state == _BODY:
            return exchange is None or exchange.reads
        if self._state == _ANSWER:
            # A TLS stream's end stands within it: only who reads on sees a client leave.
            reads = self.context.secured or exchange is None or exchange.outbound is not None
            return reads and not self._later
        if self._state == _HEAD:
            return not (self.choked or self._later)
        return self._state != _ENDED

    def _next(self) -> None:
        if self._later and not self._pumping and not self.choked:
            data, self._later = self._later, b""
            self._pump(data)
        elif not self.reading:
            self.settle()

    def _pump(self, data: bytes) -> None:
        """Serve what is in `data`, as far as it can be served now."""
        self._pumping = True
        while data and self._state <= _BODY:
            if self._state == _BODY:
                data = self._take_body(data)
            elif self.choked:
                break
            else:
                data = self._take_head(data)
        self._pumping = False
        if self._state > _ANSWER:
            return
        self._later = data
        exchange = self.exchange
        if data or not self.reading or (exchange is not None and exchange.outbound is None):
            self.settle()

    def _take_head(self, data: bytes) -> bytes:
        reader = self._reader
        try:
            head = reader.read(data)
            if head is not None:
                self.reception.open(head)
        except RefusedError as error:
            if reader.preface:
                speak_http2(self, reader.preface)
                return b""
            self.reception.complete = False
            self.answering.refuse(error.reason, error.detail)
            return b""
        if head is not None:
            return self._take_rest(head, reader.rest)
        if not reader.resumed:
            self._since = self.context.now()
            self.file(self._since + self.context.limits.header_timeout)
        return b""

    def _take_rest(self, head: RequestHead, rest: bytes) -> bytes:
        """What came behind a head in one read: its body, or a part of that, and more."""
        reception, size = self.reception, head.length or 0
        if self.exchange is not None and 0 < size <= len(rest):
            self._state = _ANSWER
            reception.whole(self.exchange, rest[:size])
            return rest[size:]
        if reception.complete:
            self._state = _ANSWER
        else:
            self._state = _BODY
            if rest:
                rest = self._take_body(rest)
        if self._state <= _ANSWER:
            reception.begin()
            if self._state == _BODY:
                self._listen()
        return rest

    def _take_body(self, data: bytes) -> bytes:
        reception = self.reception
        try:
            used = reception.take(data)
        except RefusedError as error:
            self.reception.fail(error.reason, error.detail)
            return b""
        if reception.complete:
            self._state = _ANSWER
            self._pace = None
            if reception.begun and self.exchange is None:
                reception.completed()
        elif self._pace is not None:
            self._pace.heard = self.context.now()
        return data[used:]

    def _listen(self) -> None:
        """More of a body is to come."""
        now = self.context.now()
        if self._pace is None:
            self._pace = Pace(self.context.limits, now)
        self._pace.resume(now)
        self.file(self._pace.due)

    def _close(self) -> None:
        """Close once all is sent; hear out a client that may still be sending."""
        if self._state >= _CLOSING:
            return
        limits = self.context.limits
        self._since = self.context.now()
        if self._state in (_ANSWER, _ENDED) and not self._later and not self._pumping:
            self._state = _CLOSING
            self.context.watch.remove(self._descriptor)
            self.transport.close()
            self.file(self._since + limits.http_keepalive)
            return
        self._state = _LINGER
        self._later = b""
        self.settle()
        end_stream(self.transport, secured=self.context.secured)
        self.file(self._since + limits.linger)
