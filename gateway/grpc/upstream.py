"""A replica's end: a connection that many calls share, each on a stream of its own.

Rule 1: no stream is begun before the replica's settings have come, none beyond the number that
        they allow, and none after it said that it goes away.
Rule 2: a stream that the replica says it has not looked at is free to go elsewhere.
"""

from typing import TYPE_CHECKING

from gateway.core.refused import RefusedError
from gateway.grpc.connection import Connection
from gateway.grpc.core import frames
from gateway.grpc.core.floods import Floods
from gateway.grpc.core.frames import BrokenError, Code, StreamError
from gateway.grpc.core.heads import Answer, read_answer
from gateway.grpc.core.hpack import Field
from gateway.grpc.pulse import Pulse
from gateway.grpc.stream import Stream, Taker
from gateway.grpc.wholeanswer import take_answer

if TYPE_CHECKING:
    from gateway.grpc.pool import Pool

__all__ = ["Upstream"]

_ROOM = 256 * 2**10
_LIMIT = 64 * 2**10
_TRUSTED = 100.0
"""How much more a replica may send of what a client may send little of."""
_GREETING = frames.PREFACE + frames.settings(
    {
        frames.ENABLE_PUSH: 0,
        frames.INITIAL_WINDOW_SIZE: _ROOM,
        frames.MAX_HEADER_LIST_SIZE: _LIMIT,
    }
)
_LAST_NUMBER = frames.MAX_WINDOW - 2
_COLON = b":"


class Upstream:
    """The side of one connection to a replica."""

    __slots__ = ("_next", "_pool", "_pulse", "away", "connection", "ready", "used")

    client = True
    last = 0
    limit = _LIMIT

    def __init__(self, pool: "Pool") -> None:
        context = pool.context
        self.connection = Connection(
            self, context.outbox, Floods(context.now, times=_TRUSTED), room=_ROOM
        )
        self.ready = False
        """Its settings have come."""
        self.away = False
        """It takes no new streams."""
        self.used = False
        """It has brought an answer before."""
        self._pool = pool
        self._pulse = Pulse(self, context.deadlines)
        self._next = 1

    @property
    def free(self) -> bool:
        """Whether a stream may be begun on it."""
        connection = self.connection
        return (
            len(connection.streams) < connection.most_streams
            and self.ready
            and not (self.away or connection.closing)
        )

    def begin(self, taker: Taker, block: bytes, *, end: bool) -> Stream:
        """Begin a stream; `end`: nothing but its head is sent."""
        stream = self._stream(taker)
        stream.sending.head(stream, block, end=end)
        return stream

    def ask(self, taker: Taker, block: bytes, payload: bytes) -> Stream:
        """Begin a stream, and end it: head and data are all that is sent."""
        stream = self._stream(taker)
        stream.sending.request(stream, block, payload)
        return stream

    def retire(self) -> None:
        """Close it; it has no streams."""
        self._pool.forget(self)
        self.connection.hang_up()

    def abort(self) -> None:
        """Break the connection off."""
        self.connection.abort()

    # What the connection calls.

    def greeting(self) -> bytes:
        return _GREETING

    def made(self) -> None:
        context = self._pool.context
        context.outbounds.add(self)
        self._pulse.start(context.now())

    def read(self, fields: list[Field]) -> object:
        try:
            trailers = not (fields and fields[0][0].startswith(_COLON))
            return read_answer(fields, trailers=trailers)
        except (StreamError, RefusedError) as error:
            return error

    def head(self, number: int, found: object, *, end: int) -> None:
        stream = self.connection.streams.get(number)
        if stream is None:
            if self.idle(number):
                raise BrokenError(Code.PROTOCOL_ERROR, "an answer that nobody asked for")
            return
        if stream.ended:
            raise StreamError(Code.STREAM_CLOSED, "fields behind the end of the stream")
        if not isinstance(found, Answer):
            raise StreamError(Code.PROTOCOL_ERROR, str(found))
        self.used = True
        if end:
            stream.ended = True
        stream.taker.head(found, end)
        if end and stream.open and stream.finished:
            self.connection.close(stream)

    def whole(self, number: int, found: object, data: bytes, at: int) -> int:
        return take_answer(self, number, found, data, at)

    def idle(self, number: int) -> bool:
        return number >= self._next or not number & 1

    def closed(self, _stream: Stream) -> None:
        if self.away and not self.connection.streams and not self.connection.closing:
            self.connection.hang_up()
        elif self._pool.waiting:
            self._pool.serve()

    def settled(self) -> None:
        self.ready = True
        self._pool.settled(self)

    def went_away(self, last: int) -> None:
        self.away = True
        self._pool.forget(self)
        connection = self.connection
        for stream in [one for one in connection.streams.values() if one.number > last]:
            connection.sending.forget(stream)
            connection.close(stream)
            stream.taker.reset(Code.REFUSED_STREAM)
        if not connection.streams and not connection.closing:
            connection.hang_up()

    def ponged(self) -> None:
        """Whatever is heard tells `Pulse` enough."""

    def hanging_up(self) -> None:
        """Whoever closes the front sees to it."""

    def gone(self) -> None:
        self._pulse.stop()
        self._pool.context.outbounds.discard(self)
        self._pool.forget(self)
        self._pool.settled(self)

    # Its own.

    def _stream(self, taker: Taker) -> Stream:
        number = self._next
        self._next = number + 2
        if number >= _LAST_NUMBER:
            self.away = True
        connection = self.connection
        stream = connection.streams[number] = Stream(connection, number, taker)
        return stream
