"""One HTTP/2 connection, to a client or to a replica: takes frames off it and keeps its streams.

Rule 1: a broken rule of RFC 9113 ends what the RFC says: the stream, or the connection.
Rule 2: a block of fields is always read, whatever becomes of its stream: the table depends on it.
        The same bytes mean the same while the table stands, so they are read once.
Rule 3: the connection's window is given back as soon as bytes are here, each stream's only as they
        are sent on: a call that is held keeps nobody else's bytes away.
Rule 4: what the other side can make us do for nothing is counted, and too much ends it.
"""

import asyncio
from collections import deque
from struct import Struct
from typing import cast

from gateway.core.limits import WATER_MARK
from gateway.grpc.control import CONTROL
from gateway.grpc.core import frames
from gateway.grpc.core.floods import Floods
from gateway.grpc.core.frames import BrokenError, Code, StreamError
from gateway.grpc.core.hpack import Decoder, HpackError, ListTooLargeError
from gateway.grpc.outbox import Outbox
from gateway.grpc.sending import Sending
from gateway.grpc.side import Side
from gateway.grpc.stream import Stream

__all__ = ["Connection"]

_FRAME = 2**14
_WINDOW = 2**24
_AT_FIRST = 65_535
_MOST_KNOWN = 512
_LONGEST_KNOWN = 2048
_MOST_CUT = 1024
_MOST_OVER = 64
_MOST_CONTINUATIONS = 64
_MOST_OWED = 5000
_NUMBER = frames.MAX_WINDOW
_HEADERS = frames.HEADERS << 8
_PLAIN_HEAD = _HEADERS | frames.END_HEADERS
"""Kind and flags of a head in one frame, but for END_STREAM."""
_START = Struct(">HBHI").unpack_from
"""A frame's nine bytes: its length, in two parts; kind and flags; its stream."""


class Connection(asyncio.Protocol):
    """The frames of one connection."""

    __slots__ = (
        "_block",
        "_block_flags",
        "_block_number",
        "_cut",
        "_decoder",
        "_expected",
        "_rest",
        "_usual",
        "closing",
        "floods",
        "heard",
        "known",
        "most_streams",
        "over",
        "room",
        "sending",
        "side",
        "streams",
        "taken",
        "transport",
    )

    def __init__(self, side: Side, outbox: Outbox, floods: Floods, *, room: int) -> None:
        self.side = side
        self.floods = floods
        self.transport: asyncio.Transport
        self.sending = Sending(outbox)
        self.streams: dict[int, Stream] = {}
        """By number: those that are open on either side."""
        self.room = room
        """What the other side may send on a new stream."""
        self.most_streams = frames.MAX_WINDOW
        """How many streams the other side lets us have open."""
        self.closing = False
        """It takes nothing any more."""
        self.heard = 0
        """How often something was read."""
        self.over: deque[int] = deque(maxlen=_MOST_OVER)
        """Streams that were open not long ago."""
        self.taken = 0
        """Bytes of data that were taken and not given back yet."""
        self.known: dict[bytes, object] = {}
        """What blocks were read to, while the table stands."""
        self._decoder = Decoder()
        self._cut: dict[int, None] = {}
        self._rest = b""
        self._expected = b"" if side.client else frames.PREFACE
        self._usual = False
        self._block: list[bytes] | None = None
        self._block_number = self._block_flags = 0

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = self.sending.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WATER_MARK)
        self.sending.put(self.side.greeting() + frames.window_update(0, _WINDOW - _AT_FIRST))
        self.side.made()

    def data_received(self, data: bytes) -> None:
        self.heard += 1
        if self._rest:
            data = self._rest + data
        try:
            at = self._read(data)
        except BrokenError as error:
            self.fail(error.code, error.detail)
            return
        self._rest = data[at:] if at < len(data) else b""

    def pause_writing(self) -> None:
        self.sending.choked = True

    def resume_writing(self) -> None:
        self.sending.choked = False
        self.sending.owed = 0
        self.sending.resume()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.closing = True
        self.sending.transport = None
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            stream.open = False
            self.sending.forget(stream)
        for stream in streams.values():
            stream.taker.lost()
        self.side.gone()

    # What sides and calls call.

    @property
    def begun(self) -> bool:
        """The other side's settings have come."""
        return self._usual or self._block is not None

    def spares(self, size: int) -> bool:
        """Whether so much data can be taken with nothing to give back and no rule to break."""
        return size <= _FRAME and self.taken + size <= _WINDOW >> 1

    def cut(self, stream: Stream, code: int) -> None:
        """End a stream from our side; its taker hears no more of it."""
        if stream.open:
            self.sending.forget(stream)
            self.close(stream)
            self.refuse(stream.number, code)

    def refuse(self, number: int, code: int) -> None:
        """End a stream that is not open with us; what may still come of it is passed over."""
        self.sending.put(frames.reset(number, code))
        if len(self._cut) >= _MOST_CUT:
            del self._cut[next(iter(self._cut))]
        self._cut[number] = None

    def is_cut(self, number: int) -> bool:
        """Whether we ended this stream not long ago."""
        return number in self._cut

    def close(self, stream: Stream) -> None:
        """A stream is over; calling it again does nothing."""
        if stream.open:
            stream.open = False
            del self.streams[stream.number]
            self.over.append(stream.number)
            self.side.closed(stream)

    def fail(self, code: int, detail: str) -> None:
        """The other side broke the rules: say so and end the connection."""
        if not self.closing:
            self.closing = True
            self.sending.put(frames.goaway(self.side.last, code, detail))
            self.hang_up()

    def abort(self) -> None:
        """Break it off."""
        self.closing = True
        if self.sending.transport is not None:
            self.sending.transport.abort()

    def hang_up(self) -> None:
        """Close once everything is sent."""
        self.closing = True
        self.sending.flush()
        self.transport.close()
        self.side.hanging_up()

    # Its own.

    def _read(self, data: bytes) -> int:
        """Take the whole frames off `data`; returns where they end. Raises `BrokenError`."""
        at = self._take_preface(data) if self._expected else 0
        size = len(data)
        while size - at >= 9 and not self.closing:
            high, low, word, number = _START(data, at)
            length = high << 8 | low
            end = at + 9 + length
            if length > _FRAME:
                raise BrokenError(Code.FRAME_SIZE_ERROR, f"at most {_FRAME} bytes a frame")
            if end > size:
                break
            number &= _NUMBER
            payload = data[at + 9 : end]
            try:
                if not (number and self._usual):
                    self._unusual(word, number, payload)
                elif word < _HEADERS:
                    self._data(word, number, payload)
                elif word & ~frames.END_STREAM == _PLAIN_HEAD:
                    end = self._plain_head(word, number, payload, data, end)
                else:
                    self._unusual(word, number, payload)
            except StreamError as error:
                self._stream_error(number, error)
            at = end
        return size if self.closing else at

    def _take_preface(self, data: bytes) -> int:
        got = data[: len(self._expected)]
        if not self._expected.startswith(got):
            raise BrokenError(Code.PROTOCOL_ERROR, "not the preface of HTTP/2")
        self._expected = self._expected[len(got) :]
        return len(got)

    def _unusual(self, word: int, number: int, payload: bytes) -> None:
        """A frame that is neither data nor a plain head, or comes out of turn.

        `word`: its kind and flags.
        """
        kind, flags = word >> 8, word & 0xFF
        if self.sending.owed > _MOST_OWED:
            raise BrokenError(Code.ENHANCE_YOUR_CALM, "it asks much and reads nothing")
        if not self._usual:
            self._in_turn(kind, flags, number)
        frames.check(kind, flags, number, len(payload))
        if kind == frames.DATA:
            self._data(flags, number, payload)
        elif kind == frames.HEADERS:
            self._fragment(flags, number, payload)
        elif kind == frames.CONTINUATION:
            self._continue(flags, payload)
        elif kind in CONTROL:
            CONTROL[kind](self, flags, number, payload)

    def _in_turn(self, kind: int, flags: int, number: int) -> None:
        """Hold a frame to what must come now. Raises `BrokenError`."""
        if self._block is not None:
            if (kind, number) != (frames.CONTINUATION, self._block_number):
                raise BrokenError(Code.PROTOCOL_ERROR, "a header block is cut off")
        elif kind != frames.SETTINGS or flags & frames.ACK:
            raise BrokenError(Code.PROTOCOL_ERROR, "the first frame must be SETTINGS")
        else:
            self._usual = True

    def _stream_error(self, number: int, error: StreamError) -> None:
        # Else a client has us reset its streams, and what a reset of its own costs it is free.
        self.floods.misplaced()
        stream = self.streams.get(number)
        if stream is None and self.side.idle(number):
            # One that nobody began cannot be reset: whoever began it then would hear of it twice.
            raise BrokenError(error.code, error.detail) from error
        if stream is None:
            self.refuse(number, error.code)
        else:
            self.cut(stream, error.code)
            stream.taker.broken(error.detail)

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        length = len(payload)
        taken = self.taken = self.taken + length
        if taken > _WINDOW >> 1:
            self.taken = 0
            self.sending.put(frames.window_update(0, taken))
        stream = self.streams.get(number)
        if stream is None or stream.ended or length > stream.room:
            self._unwelcome(number, stream)
            if not (length or flags & frames.END_STREAM):
                self.floods.empty()
            return
        stream.room -= length
        end = flags & frames.END_STREAM
        if flags != end or stream.left is not None or not length:
            payload = self._weighed(stream, flags, payload)
        if end:
            stream.ended = True
        stream.taker.data(payload, length, end)
        if end and stream.open and stream.finished:
            self.close(stream)

    def _unwelcome(self, number: int, stream: Stream | None) -> None:
        """Data that may not come. Raises `BrokenError`, `StreamError`."""
        if stream is not None:
            if stream.ended:
                raise StreamError(Code.STREAM_CLOSED, "data behind the end of the stream")
            raise StreamError(Code.FLOW_CONTROL_ERROR, "more than the window")
        if self.side.idle(number):
            raise BrokenError(Code.PROTOCOL_ERROR, "data on a stream that nobody began")
        if number not in self._cut:
            raise StreamError(Code.STREAM_CLOSED, "data on a closed stream")

    def _weighed(self, stream: Stream, flags: int, payload: bytes) -> bytes:
        """What a frame holds that is padded, empty or counted.

        Raises `BrokenError`, `StreamError`.
        """
        if flags & frames.PADDED:
            payload = frames.unpadded(payload)
        end = flags & frames.END_STREAM
        if not (payload or end):
            self.floods.empty()
        if stream.left is not None:
            left = stream.left = stream.left - len(payload)
            if left < 0 or (end and left):
                raise StreamError(Code.PROTOCOL_ERROR, "not as much as content-length says")
        return payload

    def _fragment(self, flags: int, number: int, payload: bytes) -> None:
        block = frames.fragment(flags, payload)
        if flags & frames.END_HEADERS:
            self._head(flags, number, block)
            frames.check_priority(frames.HEADERS, flags, number, payload)
        else:
            self._usual = False
            self._block, self._block_number, self._block_flags = [block], number, flags
            if not block:
                self.floods.empty()

    def _continue(self, flags: int, payload: bytes) -> None:
        pieces = self._block
        if pieces is None:
            raise BrokenError(Code.PROTOCOL_ERROR, "nothing to be continued")
        pieces.append(payload)
        if not payload:
            self.floods.empty()
        if len(pieces) > _MOST_CONTINUATIONS or sum(map(len, pieces)) > self.side.limit:
            raise BrokenError(Code.ENHANCE_YOUR_CALM, "a header block without end")
        if flags & frames.END_HEADERS:
            self._block, self._usual = None, True
            self._head(self._block_flags, self._block_number, b"".join(pieces))

    def _plain_head(self, word: int, number: int, block: bytes, data: bytes, at: int) -> int:
        """A head in one frame, which ends at `at` in `data`; returns where to go on."""
        found = self.known.get(block)
        if found is None:
            found = self._read_block(block)
        last = word & frames.END_STREAM
        end = 0 if last else self.side.whole(number, found, data, at)
        if not end:
            self.side.head(number, found, end=last)
        return end or at

    def _head(self, flags: int, number: int, block: bytes) -> None:
        found = self.known.get(block)
        if found is None:
            found = self._read_block(block)
        self.side.head(number, found, end=flags & frames.END_STREAM)

    def _read_block(self, block: bytes) -> object:
        decoder = self._decoder
        found: object
        try:
            found = self.side.read(decoder.decode(block, limit=self.side.limit))
        except ListTooLargeError as error:
            found = error
        except HpackError as error:
            raise BrokenError(Code.COMPRESSION_ERROR, str(error)) from error
        if decoder.changed:
            self.known.clear()
        elif len(block) <= _LONGEST_KNOWN and not isinstance(found, Exception):
            if len(self.known) >= _MOST_KNOWN:
                self.known.clear()
            self.known[block] = found
        return found
