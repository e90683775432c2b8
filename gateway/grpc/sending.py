"""What goes out on one connection: frames, under its windows, its stream limits and its socket.

Rule 1: data goes out only as far as the stream's window, the connection's and the socket let it;
        the rest waits in its stream's queue, and with it whatever comes behind it.
        Ends and trailers wait too, so that who reads nothing has no room for more streams.
Rule 2: those that wait take turns, so that a window that opens a little serves each of them.
Rule 3: header blocks hold nothing but the static table and literals: any block can go out on any
        connection, at any time.
"""

import asyncio
from collections import deque
from struct import Struct

from gateway.grpc.core.frames import END_HEADERS, END_STREAM, HEADERS, Code, headers
from gateway.grpc.outbox import Outbox
from gateway.grpc.stream import Piece, Stream

__all__ = ["Sending"]

_DEFAULT_WINDOW = 65_535
_DEFAULT_FRAME = 16_384
_LARGEST_WINDOW = 2**31 - 1
_FORGET_TABLE = b"\x20"
_BULKY = 4096
_MUCH = 256
_LAST_HEAD = END_HEADERS | END_STREAM
_START = Struct(">IBI").pack
"""A frame's nine bytes: its length and kind, its flags, its stream."""


class Sending:
    """The outgoing half of a connection."""

    __slots__ = (
        "_blocked",
        "_bulky",
        "_first",
        "_out",
        "_outbox",
        "choked",
        "most",
        "owed",
        "transport",
        "window",
        "window_at_first",
    )

    def __init__(self, outbox: Outbox) -> None:
        self.transport: asyncio.Transport | None = None
        self.choked = False
        """The socket takes no more for now."""
        self.owed = 0
        """Frames that were put while it took no more."""
        self.window = _DEFAULT_WINDOW
        """What may be sent on all streams together."""
        self.window_at_first = _DEFAULT_WINDOW
        """What may be sent on a new stream."""
        self.most = _DEFAULT_FRAME
        """The largest frame the other side takes."""
        self._outbox = outbox
        self._out: list[bytes] = []
        self._bulky = False
        self._blocked: dict[int, Stream] = {}
        self._first = b""

    @property
    def waiting(self) -> int:
        """Streams that have something to send and no room for it."""
        return len(self._blocked)

    def put(self, frame: bytes) -> None:
        """Send a frame that takes no window."""
        if not self._out:
            self._outbox.add(self)
        self._out.append(frame)
        if self.choked:
            self.owed += 1

    def head(self, stream: Stream, block: bytes, *, end: bool) -> None:
        """Send the first header block of a stream. `end`: the stream ends with it."""
        if self._first:
            block, self._first = self._first + block, b""
        size = len(block)
        if size > self.most:
            self.put(headers(stream.number, block, end=end, most=self.most))
        else:
            out = self._out
            if not out:
                self._outbox.add(self)
            flags = _LAST_HEAD if end else END_HEADERS
            out.append(_START(size << 8 | HEADERS, flags, stream.number) + block)
        if end:
            self._finish(stream)

    def data(
        self, stream: Stream, payload: bytes, end: int, source: Stream | None, credit: int
    ) -> None:
        """Send data when there is room for it, and then give back `credit` to `source`."""
        size = len(payload)
        if (
            stream.queue is not None
            or size > stream.window
            or size > self.window
            or size > self.most
            or self.choked
        ):
            self._wait(stream, Piece(payload, end, source, credit))
            self.drain(stream)
            return
        self.window -= size
        stream.window -= size
        self._data(stream.number, payload, size, end)
        if source is not None and not source.ended:
            # As `give_back` has it, which is called for every frame.
            source.owed += credit
            if source.owed >= source.grain:
                source.give_back(0)
        if end:
            self._finish(stream)

    def fits(self, stream: Stream, size: int, blocks: int) -> bool:
        """Whether `size` bytes of data, a stream's first, can go out at once with its blocks."""
        return (
            size <= stream.window
            and size <= self.window
            and size + blocks < _BULKY
            and not self.choked
            and not self._first
        )

    def request(self, stream: Stream, block: bytes, payload: bytes) -> None:
        """Send the head of a stream, and the data that it ends with."""
        size, number = len(payload), stream.number
        if not self.fits(stream, size, len(block)):
            self.head(stream, block, end=False)
            self.data(stream, payload, 1, None, 0)
            return
        self._spend(stream, size)
        head = _START(len(block) << 8 | HEADERS, END_HEADERS, number)
        self._out.append(head + block + _START(size << 8, END_STREAM, number) + payload)
        self._finish(stream)

    def answer(self, stream: Stream, block: bytes, payload: bytes, last: bytes) -> None:
        """Send the head of a stream, data and trailers. Only when it `fits`."""
        size, number = len(payload), stream.number
        self._spend(stream, size)
        head = _START(len(block) << 8 | HEADERS, END_HEADERS, number)
        end = _START(len(last) << 8 | HEADERS, _LAST_HEAD, number)
        self._out.append(head + block + _START(size << 8, 0, number) + payload + end + last)
        self._finish(stream)

    def trailers(self, stream: Stream, block: bytes) -> None:
        """Send the last header block of a stream, behind all its data."""
        if stream.queue is not None or self.choked:
            self._wait(stream, Piece(block, 1, None, 0, trailers=True))
        else:
            self.head(stream, block, end=True)

    def drain(self, stream: Stream) -> None:
        """Send what waits on a stream, as far as there is room."""
        queue = stream.queue
        if queue is None:
            return
        while queue:
            piece = queue[0]
            if piece.trailers:
                if not self.choked:
                    self.forget(stream)
                    self.head(stream, piece.payload, end=True)
                return
            if not self._part(stream, queue, piece):
                break
            if piece.end and not queue:
                self.forget(stream)
                self._finish(stream)
                return
        if not queue:
            self.forget(stream)

    def resume(self) -> None:
        """There is more room for all streams: let each of them have its turn."""
        blocked = self._blocked
        for stream in tuple(blocked.values()):
            if self.choked:
                return
            self.drain(stream)
            if stream.queue is not None:
                # Behind all the others next time.
                del blocked[stream.number]
                blocked[stream.number] = stream

    def forget(self, stream: Stream) -> None:
        """Drop what waits on a stream; it is given back to where it came from."""
        queue, stream.queue = stream.queue, None
        if queue is None:
            return
        self._blocked.pop(stream.number, None)
        for piece in queue:
            if piece.source is not None:
                piece.source.give_back(piece.credit)

    def shrink_table(self) -> None:
        """The other side keeps a smaller table than agreed on at first: say that we use none."""
        self._first = _FORGET_TABLE

    def relieve(self) -> None:
        """Write what there is if it is much, to learn whether the socket takes it."""
        if len(self._out) >= _MUCH:
            self.flush()

    def flush(self) -> None:
        """Write everything."""
        out, self._out = self._out, []
        transport = self.transport
        if not out or transport is None:
            return
        if self._bulky:
            self._bulky = False
            transport.writelines(out)
        else:
            transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _spend(self, stream: Stream, size: int) -> None:
        """So much data goes out now."""
        if not self._out:
            self._outbox.add(self)
        self.window -= size
        stream.window -= size

    def _data(self, number: int, payload: bytes, size: int, end: int) -> None:
        out = self._out
        if not out:
            self._outbox.add(self)
        head = _START(size << 8, end, number)
        if size < _BULKY:
            out.append(head + payload)
        else:
            self._bulky = True
            out.append(head)
            out.append(payload)

    def _wait(self, stream: Stream, piece: Piece) -> None:
        if stream.queue is None:
            stream.queue = deque()
            self._blocked[stream.number] = stream
        stream.queue.append(piece)

    def _part(self, stream: Stream, queue: deque[Piece], piece: Piece) -> bool:
        """Send of the first piece what there is room for; whether anything was sent."""
        size = len(piece.payload)
        room = min(self.window, stream.window, self.most)
        if self.choked or (size and room <= 0):
            return False
        if size > room:
            part, size, end = piece.payload[:room], room, 0
            queue[0] = piece._replace(payload=piece.payload[room:])
        else:
            part, end = piece.payload, piece.end
            queue.popleft()
        self.window -= size
        stream.window -= size
        self._data(stream.number, part, size, end)
        if part is piece.payload and piece.source is not None:
            piece.source.give_back(piece.credit)
        return True

    def _finish(self, stream: Stream) -> None:
        """All that we send on a stream has been sent."""
        stream.finished = True
        connection = stream.connection
        if stream.ended:
            connection.close(stream)
        elif not connection.side.client:
            # The answer is complete: what the client would still send is of no use.
            connection.cut(stream, Code.NO_ERROR)
