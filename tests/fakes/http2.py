"""Either end of an HTTP/2 connection, as a test wants it: raw frames, independent of the gateway's.

Header blocks are read and written by python-hyper's hpack, windows are kept here; a test may send
any bytes whatever, and sees every frame that came.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END, ACK, WHOLE = 1, 1, 4

Fields = list[tuple[str, str]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
    )


def settings(**values: int) -> bytes:
    numbers = {"table": 1, "push": 2, "streams": 3, "window": 4, "frame": 5, "fields": 6}
    payload = b"".join(
        numbers[key].to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in values.items()
    )
    return frame(SETTINGS, payload=payload)


def message(body: bytes, *, flag: int = 0) -> bytes:
    """A gRPC message with its prefix."""
    return bytes((flag,)) + len(body).to_bytes(4, "big") + body


@dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


@dataclass
class Told:
    """What the other side said on one stream."""

    number: int
    head: dict[str, str] | None = None
    fields: Fields = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    trailers: dict[str, str] | None = None
    ended: bool = False
    reset: int | None = None
    taken: int = 0

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None

    @property
    def status(self) -> str | None:
        """The gRPC status, wherever it stands."""
        for found in (self.trailers, self.head):
            if found is not None and "grpc-status" in found:
                return found["grpc-status"]
        return None


class Peer:
    """One end of a connection; a task reads and keeps what the other end sends."""

    def __init__(self, reader, writer, *, client: bool, **announced: int) -> None:
        self.reader, self.writer = reader, writer
        self.client = client
        self.frames: list[Frame] = []
        self.told: dict[int, Told] = {}
        self.goaway: tuple[int, int] | None = None
        self.lost = False
        self.greedy = True
        """Give every window back at once."""
        self.window, self.first_window = 65_535, 65_535
        self.windows: dict[int, int] = {}
        self.theirs: dict[int, int] = {}
        """Their settings, by number."""
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.changed = asyncio.Condition()
        self.on_head: Callable[[Told], Awaitable[None]] | None = None
        self.tasks: set[asyncio.Task] = set()
        self._next = 1
        self._block = b""
        self.writer.write((PREFACE if client else b"") + settings(**announced))
        self.task = asyncio.get_running_loop().create_task(self._read())

    # Sending.

    def send(self, kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> None:
        self.writer.write(frame(kind, flags, stream, payload))

    def head(self, stream: int, fields: Fields, *, end: bool = False) -> None:
        self.send(HEADERS, WHOLE | (END if end else 0), stream, self.encoder.encode(fields))

    def call(
        self, path: str = "/test.Service/Do", *, end: bool = False, extra: Fields | None = None
    ) -> int:
        """Begin a call; returns its stream."""
        return self.begin(
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", path),
                (":authority", "gw"),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                *(extra or []),
            ],
            end=end,
        )

    def begin(self, fields: Fields, *, end: bool = False) -> int:
        """Begin a request; returns its stream."""
        number, self._next = self._next, self._next + 2
        self.told[number] = Told(number)
        self.head(number, fields, end=end)
        return number

    def data(self, stream: int, payload: bytes, *, end: bool = False) -> None:
        """As it is, in one frame; the windows must have room."""
        self.send(DATA, END if end else 0, stream, payload)
        self.window -= len(payload)
        self.windows[stream] = self.room(stream) - len(payload)

    async def pour(self, stream: int, payload: bytes, *, end: bool = False) -> None:
        """All of it, as windows let it."""
        at = 0
        while at < len(payload) or end:
            room = min(self.window, self.room(stream), 16_384)
            if room <= 0 and at < len(payload):
                async with self.changed:
                    await self.changed.wait_for(
                        lambda: min(self.window, self.room(stream)) > 0 or self.lost
                    )
                if self.lost:
                    return
                continue
            piece = payload[at : at + room]
            at += len(piece)
            last = at >= len(payload)
            self.data(stream, piece, end=end and last)
            await self.writer.drain()
            if last:
                return

    def room(self, stream: int) -> int:
        return self.windows.get(stream, self.first_window)

    def answer(
        self, stream: int, body: bytes = b"", *, status: str = "0", fields: Fields | None = None
    ) -> None:
        """A whole answer of one message."""
        self.head(stream, [(":status", "200"), ("content-type", "application/grpc")])
        self.data(stream, message(body))
        self.head(stream, [("grpc-status", status), *(fields or [])], end=True)

    def reset(self, stream: int, code: int = 8) -> None:
        self.send(RST, 0, stream, code.to_bytes(4, "big"))

    def give(self, stream: int, by: int) -> None:
        self.send(WINDOW, 0, stream, by.to_bytes(4, "big"))

    async def close(self) -> None:
        self.abort()
        self.task.cancel()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(self.task, *self.tasks, return_exceptions=True)

    def abort(self) -> None:
        self.writer.transport.abort()

    # Waiting.

    async def until(self, condition: Callable[[], object], *, seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(condition)

    async def over(self, stream: int, *, seconds: float = 5.0) -> Told:
        """What was said on a stream, once that is all."""
        await self.until(lambda: self.told[stream].over or self.lost, seconds=seconds)
        return self.told[stream]

    async def settled(self) -> None:
        await self.until(lambda: any(one.kind == SETTINGS for one in self.frames))

    async def pinged(self) -> None:
        """Wait until everything sent so far has been read over there."""
        seen = sum(one.kind == PING and one.flags & ACK for one in self.frames)
        self.send(PING, 0, 0, b"12345678")
        await self.until(
            lambda: sum(one.kind == PING and one.flags & ACK for one in self.frames) > seen
        )

    # Reading.

    async def _read(self) -> None:
        try:
            if not self.client:
                assert await self.reader.readexactly(24) == PREFACE
            while True:
                start = await self.reader.readexactly(9)
                payload = await self.reader.readexactly(int.from_bytes(start[:3], "big"))
                number = int.from_bytes(start[5:], "big") & 0x7FFFFFFF
                await self._take(Frame(start[3], start[4], number, payload))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.lost = True
            async with self.changed:
                self.changed.notify_all()

    async def _take(self, got: Frame) -> None:
        self.frames.append(got)
        if got.kind in (HEADERS, CONTINUATION):
            self._block += got.payload
            if got.flags & WHOLE:
                block, self._block = self._block, b""
                await self._fields(got, self.decoder.decode(block))
        elif got.kind == DATA:
            told = self.told[got.stream]
            told.data += got.payload
            told.ended = told.ended or bool(got.flags & END)
            told.taken += len(got.payload)
            if self.greedy and got.payload:
                self.give(0, len(got.payload))
                if not told.ended:
                    self.give(got.stream, len(got.payload))
        else:
            self._control(got)
        async with self.changed:
            self.changed.notify_all()

    def _control(self, got: Frame) -> None:
        if got.kind == SETTINGS and not got.flags & ACK:
            for at in range(0, len(got.payload), 6):
                key = int.from_bytes(got.payload[at : at + 2], "big")
                value = int.from_bytes(got.payload[at + 2 : at + 6], "big")
                self.theirs[key] = value
                if key == 4:
                    for stream in self.windows:
                        self.windows[stream] += value - self.first_window
                    self.first_window = value
            self.send(SETTINGS, ACK)
        elif got.kind == PING and not got.flags & ACK:
            self.send(PING, ACK, 0, got.payload)
        elif got.kind == WINDOW:
            by = int.from_bytes(got.payload, "big")
            if got.stream:
                self.windows[got.stream] = self.room(got.stream) + by
            else:
                self.window += by
        elif got.kind == RST and got.stream in self.told:
            self.told[got.stream].reset = int.from_bytes(got.payload, "big")
        elif got.kind == GOAWAY:
            self.goaway = (
                int.from_bytes(got.payload[:4], "big"),
                int.from_bytes(got.payload[4:8], "big"),
            )

    async def _fields(self, got: Frame, decoded) -> None:
        fields = [(str(name), str(value)) for name, value in decoded]
        told = self.told.get(got.stream)
        first = told is None or told.head is None
        if told is None:
            told = self.told[got.stream] = Told(got.stream)
        if first:
            told.head, told.fields = dict(fields), fields
        else:
            told.trailers = dict(fields)
        # The end is seen with the fields that bring it: priority flags never come from the gateway.
        self_ended = any(
            one.flags & END for one in self.frames if one.stream == got.stream and one.kind < 2
        )
        told.ended = told.ended or self_ended
        if first and not self.client and self.on_head is not None:
            task = asyncio.get_running_loop().create_task(self.on_head(told))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)


async def connect(
    port: int, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, **announced: int
) -> Peer:
    """A client."""
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    return Peer(reader, writer, client=True, **announced)


Script = Callable[[Peer, Told], Awaitable[None]]


async def echo(peer: Peer, told: Told) -> None:
    """Answers a complete request with what it said."""
    await peer.until(lambda: told.over or peer.lost)
    if told.ended and told.reset is None:
        peer.head(told.number, [(":status", "200"), ("content-type", "application/grpc")])
        await peer.pour(told.number, bytes(told.data))
        peer.head(told.number, [("grpc-status", "0"), ("grpc-message", "")], end=True)


class Replica:
    """A model server that speaks HTTP/2; `script` answers each call."""

    def __init__(self, script: Script = echo, **announced: int) -> None:
        self.script = script
        self.announced = announced
        self.peers: list[Peer] = []
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        self.came = asyncio.Condition()
        self.errors: list[BaseException] = []
        self.greedy = True
        """Whether its connections give every window back at once."""
        self.mute: asyncio.Event | None = None
        """While it is there and not set, connections are accepted and nothing is said."""

    @property
    def calls(self) -> list[Told]:
        return [told for peer in self.peers for told in peer.told.values()]

    async def start(self, *, host: str = "127.1.0.1", port: int = 0) -> None:
        self._server = await asyncio.start_server(
            self._accept, host, port or self.port, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """As a process that dies."""
        self._server.close()
        for peer in self.peers:
            await peer.close()

    async def seen(self, count: int) -> None:
        """Wait until `count` calls have come."""
        async with asyncio.timeout(5), self.came:
            await self.came.wait_for(lambda: len(self.calls) >= count)

    async def _accept(self, reader, writer) -> None:
        if self.mute is not None:
            await self.mute.wait()
        peer = Peer(reader, writer, client=False, **self.announced)
        peer.greedy = self.greedy
        self.peers.append(peer)

        async def on_head(told: Told) -> None:
            async with self.came:
                self.came.notify_all()
            with suppress(ConnectionError):
                try:
                    await self.script(peer, told)
                except (AssertionError, TimeoutError) as error:
                    self.errors.append(error)

        peer.on_head = on_head
