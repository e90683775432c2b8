"""A client's end: takes calls off its connection, many at a time, and keeps its time limits.

Rule 1: a call that is refused has its answer at once; so has one that is no gRPC, once it has been
        read: HTTP/2 carries gRPC here, all else comes over HTTP/1.1.
Rule 2: going away takes two words: that no new calls are welcome, and, when the client has heard
        that, which one was the last. So none is lost in between, and none is answered twice.
Rule 3: a client that is silent for long is let go when it has no calls; with calls it is asked
        whether it is still there, since whoever waits for a model has nothing to say.
"""

import asyncio
from math import inf
from typing import TYPE_CHECKING, Protocol, cast

from fleet.reasons import Reason
from gateway.core.forwarding import PLAIN_EDGE, Edge
from gateway.core.refused import RefusedError
from gateway.errors import ERRORS
from gateway.grpc.answering import NOBODY, refuse
from gateway.grpc.asking import ask
from gateway.grpc.call import Call
from gateway.grpc.connection import Connection
from gateway.grpc.core import frames
from gateway.grpc.core.floods import Floods
from gateway.grpc.core.frames import BrokenError, Code, StreamError
from gateway.grpc.core.heads import Answer, read_answer
from gateway.grpc.core.hops import look_for_loop
from gateway.grpc.core.hpack import Field, ListTooLargeError
from gateway.grpc.core.leads import lead_of
from gateway.grpc.core.seen import Seen
from gateway.grpc.foreign import Foreign
from gateway.grpc.noting import NotedCall, note_refused
from gateway.grpc.stream import Stream
from gateway.grpc.wholecall import take_call
from gateway.http.context import Context
from gateway.visitor import Visitor

if TYPE_CHECKING:
    from gateway.http.inbound import Inbound

__all__ = ["Downstream", "chose_http2", "speak_http2"]

_ROOM = 65_535
_PONG_S = 20.0
_SLACK_S = 0.002
_HEY = b"ebbtide?"
_COLON = b":"


class _Timed(Protocol):
    """A call, as far as its time is concerned."""

    due: float

    def expire(self) -> None:
        """Its time is up."""
        ...

    def heed(self) -> None:
        """Its connection is looked at."""
        ...


class Downstream:
    """The side of one client connection."""

    __slots__ = (
        "_check",
        "_final",
        "_going",
        "_heard",
        "_pinged",
        "calls",
        "connection",
        "context",
        "edge",
        "filed",
        "last",
        "limit",
        "most",
        "noted",
        "visitor",
    )

    client = False

    def __init__(self, context: Context) -> None:
        self.context = context
        self.connection = Connection(self, context.outbox, Floods(context.now), room=_ROOM)
        self.edge: Edge = PLAIN_EDGE
        self.visitor = Visitor(context.door)
        """Whose the calls are."""
        self.last = 0
        self.limit = context.limits.max_head
        self.most = context.settings.max_calls_per_connection
        """Calls that may be open at once."""
        self.filed: float = inf
        self.noted = context.settings.access_log
        """What comes here has lines in the log."""
        self.calls = NotedCall if self.noted else Call
        self._check = inf
        self._heard = 0
        self._pinged = self._going = False
        self._final: int | None = None

    # What the front calls.

    @property
    def transport(self) -> asyncio.Transport:
        return self.connection.transport

    def shut(self) -> None:
        """Take no new calls; close when the last is answered."""
        connection = self.connection
        if self._going or connection.closing:
            return
        self._going = True
        connection.sending.put(frames.goaway(frames.MAX_WINDOW, Code.NO_ERROR))
        connection.sending.put(frames.ping(_HEY, ack=False))
        self._look_again(self.context.now() + self.context.limits.linger)

    def overdue(self, now: float) -> float:
        """See `gateway.http.deadlines.Timed`."""
        due = inf
        looks = self._check - now <= _SLACK_S
        for stream in tuple(self.connection.streams.values()):
            taker = cast(_Timed, stream.taker)
            if looks:
                taker.heed()
            if taker.due - now <= _SLACK_S:
                taker.expire()
            elif taker.due < due:
                due = taker.due
        if looks:
            self._check = inf
            self._check = min(self._check, self._silent(now))
        return min(due, self._check)

    def takes(self, number: int) -> bool:
        """Whether a call may begin there, and need not be asked whose it is."""
        return (
            number > self.last
            and number & 1 == 1
            and self._final is None
            and not self.visitor.asked
            and len(self.connection.streams) < self.most
        )

    # What the connection calls.

    def greeting(self) -> bytes:
        return frames.settings(
            {
                frames.MAX_CONCURRENT_STREAMS: self.most,
                frames.MAX_HEADER_LIST_SIZE: self.limit,
            }
        )

    def made(self) -> None:
        context, transport = self.context, self.connection.transport
        context.inbounds.add(self)
        # It was counted with its address before, when it was taken for HTTP/1.1.
        self.edge = context.hops.of(transport)
        self.visitor.arrive(transport, trusted=self.edge.trusted)
        limits = context.limits
        self._look_again(context.now() + min(limits.header_timeout, limits.http_keepalive))

    def read(self, fields: list[Field]) -> object:
        try:
            if fields and fields[0][0].startswith(_COLON):
                seen = self.context.call_heads.read(fields)
                if seen.head.vias:
                    look_for_loop(seen.head, self.edge)
                return seen
            return read_answer(fields, trailers=True)
        except (StreamError, RefusedError) as error:
            return error

    def head(self, number: int, found: object, *, end: int) -> None:
        connection = self.connection
        stream = connection.streams.get(number)
        if stream is not None:
            self._trailers(stream, found, end)
            return
        if number <= self.last or not number & 1:
            self._behind(number)
            return
        self.last = number
        if self._final is not None:
            # It was told that these are not looked at, and asks somebody else.
            return
        if len(connection.streams) >= self.most:
            connection.floods.misplaced()
            connection.refuse(number, Code.REFUSED_STREAM)
            return
        stream = Stream(connection, number, NOBODY)
        stream.ended = bool(end)
        connection.streams[number] = stream
        try:
            self._open(stream, found, end)
        except RefusedError as error:
            tally = self.context.other
            tally.refuse(error.reason)
            tally.count(ERRORS[error.reason].status)
            if self.noted:
                note_refused(error)
            refuse(stream, error)

    def whole(self, number: int, found: object, data: bytes, at: int) -> int:
        return take_call(self, number, found, data, at)

    def idle(self, number: int) -> bool:
        return number > self.last or not number & 1

    def closed(self, _stream: Stream) -> None:
        if self._final is not None and not self.connection.streams:
            self.connection.hang_up()

    def settled(self) -> None:
        """What a client sets is the connection's affair."""

    def went_away(self, _last: int) -> None:
        """It begins no more calls; those there are go on."""

    def ponged(self) -> None:
        if self._going and self._final is None:
            self._farewell()

    def hanging_up(self) -> None:
        self._look_again(self.context.now() + self.context.limits.linger)

    def gone(self) -> None:
        context = self.context
        context.inbounds.discard(self)
        self.visitor.leave()
        context.deadlines.drop(self)
        if context.closing:
            context.changed()

    # Its own.

    def _open(self, stream: Stream, found: object, end: int) -> None:
        if not isinstance(found, Seen):
            if isinstance(found, RefusedError):
                raise RefusedError(found.reason, found.detail)
            if isinstance(found, ListTooLargeError):
                raise RefusedError(Reason.HEAD_TOO_LARGE, str(found))
            raise StreamError(Code.PROTOCOL_ERROR, str(found))
        head = found.head
        stream.left = head.length
        if end and head.length:
            raise StreamError(Code.PROTOCOL_ERROR, "not as many bytes as content-length says")
        if not head.grpc:
            stream.taker = foreign = Foreign(self, stream, head)
            foreign.start(end)
            return
        context, visitor = self.context, self.visitor
        if visitor.asked:
            mine, head = ask(visitor, head)
            table = context.tables.seen(mine.models)
        else:
            mine, table = visitor.unasked(), context.tables.now
        lead = lead_of(table, head, context.settings.host_suffix)
        stream.taker = call = self.calls(self, stream, lead, mine, found.timeout)
        call.start(end)

    def _trailers(self, stream: Stream, found: object, end: int) -> None:
        if stream.ended:
            raise StreamError(Code.STREAM_CLOSED, "fields behind the end of the stream")
        if not isinstance(found, Answer) or not end or stream.left:
            raise StreamError(Code.PROTOCOL_ERROR, "these are no trailers")
        stream.ended = True
        stream.taker.head(found, end)

    def _behind(self, number: int) -> None:
        """A head on a stream that is over, or was passed over."""
        connection = self.connection
        if connection.is_cut(number):
            return
        if number & 1 and number in connection.over:
            raise BrokenError(Code.STREAM_CLOSED, "a head on a closed stream")
        raise BrokenError(Code.PROTOCOL_ERROR, "the number of a stream must be odd, and grow")

    def _look_again(self, at: float) -> None:
        self._check = min(self._check, at)
        self.context.deadlines.file(self, self._check)

    def _silent(self, now: float) -> float:
        """Look whether the client is still there; returns when to look again."""
        connection, keepalive = self.connection, self.context.limits.http_keepalive
        heard, self._heard = self._heard, connection.heard
        if connection.closing or not connection.begun:
            connection.abort()
            return inf
        if self._going and self._final is None:
            self._farewell()
        elif heard != connection.heard:
            self._pinged = False
        elif self._pinged:
            connection.abort()
        elif connection.streams:
            self._pinged = True
            connection.sending.put(frames.ping(_HEY, ack=False))
            return now + _PONG_S
        else:
            self.shut()
            return now + self.context.limits.linger
        return now + keepalive

    def _farewell(self) -> None:
        connection = self.connection
        self._final = self.last
        connection.sending.put(frames.goaway(self.last, Code.NO_ERROR))
        if not connection.streams:
            connection.hang_up()


def speak_http2(inbound: "Inbound", data: bytes) -> None:
    """Take over a client's connection that began with `data`, or is about to begin."""
    inbound.connection_lost(None)
    transport = inbound.transport
    connection = Downstream(inbound.context).connection
    transport.set_protocol(connection)
    connection.connection_made(transport)
    if data:
        connection.data_received(data)


def chose_http2(transport: asyncio.BaseTransport) -> bool:
    """Whether a client has agreed to nothing but HTTP/2 (ALPN) while it spoke TLS."""
    secured = transport.get_extra_info("ssl_object")
    return secured is not None and secured.selected_alpn_protocol() == "h2"
