"""A model server that writes down every byte it gets, and answers as a test says.

It reads HTTP/1.1 on its own, strictly and slowly; what it cannot read goes to `faults`. The test
fails if front and back ever disagree on where a message ends.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Request:
    """One request as it came."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes
    raw: bytes
    connection: int

    def field(self, name: str) -> str | None:
        values = [value for key, value in self.fields if key.lower() == name]
        assert len(values) < 2, f"{name} came twice"
        return values[0] if values else None


Script = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes = b'{"ok":true}', *, status: str = "200 OK", extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{extra}"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def ok(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(answer())


@dataclass
class Recorder:
    """Listens on `host`; `script` answers each request, `early` may act on a head alone."""

    host: str = "127.1.0.1"
    tls: ssl.SSLContext | None = None
    script: Script = ok
    early: Callable[[str, asyncio.StreamWriter], Awaitable[bool]] | None = None
    """(head, writer) -> whether the connection is done with, before the body is read."""
    requests: list[Request] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    received: int = 0
    connections: int = 0
    port: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)
    pause: asyncio.Event | None = None
    """While set and not `is_set()`, bodies are not read."""

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._accept, self.host, self.port, limit=2**17, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """As a process that dies: the port closes, every connection is reset."""
        self._server.close()
        for writer in tuple(self.writers):
            writer.transport.abort()
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def seen(self, count: int) -> None:
        """Wait until `count` requests have come."""
        async with self.came:
            await self.came.wait_for(lambda: len(self.requests) >= count)

    async def heads_seen(self, count: int) -> None:
        async with self.came:
            await self.came.wait_for(lambda: len(self.heads) >= count)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._server.is_serving():
            # It was on its way when the port closed; a task made now might never begin.
            writer.transport.abort()
            return
        self.writers.add(writer)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer, number):
                    await writer.drain()
        finally:
            self.writers.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _one(self, reader, writer, number: int) -> bool:
        first = await reader.read(1)
        if not first:
            return False
        raw = first + await reader.readuntil(b"\r\n\r\n")
        self.received += len(raw)
        head = raw.decode("latin-1")
        async with self.came:
            self.heads.append(head)
            self.came.notify_all()
        line, *rest = head[:-4].split("\r\n")
        method, target, version = line.split(" ")
        fields = []
        for one in rest:
            name, colon, value = one.partition(":")
            if not colon or not name or name != name.strip():
                self.faults.append(f"field {one!r}")
            fields.append((name, value.strip()))
        if version != "HTTP/1.1":
            self.faults.append(line)
        if self.early is not None and await self.early(head, writer):
            return False
        if self.pause is not None:
            await self.pause.wait()
        body, spelled = await self._body(reader, fields)
        request = Request(method, target, fields, body, raw + spelled, number)
        async with self.came:
            self.requests.append(request)
            self.came.notify_all()
        await self.script(request, writer)
        return not writer.is_closing()

    async def _body(self, reader, fields) -> tuple[bytes, bytes]:
        lengths = [value for name, value in fields if name.lower() == "content-length"]
        codings = [value for name, value in fields if name.lower() == "transfer-encoding"]
        if len(lengths) + len(codings) > 1 or [c for c in codings if c != "chunked"]:
            self.faults.append(f"framing {lengths} {codings}")
        if lengths:
            body = await reader.readexactly(int(lengths[0]))
            self.received += len(body)
            return body, body
        if not codings:
            return b"", b""
        body, raw = bytearray(), bytearray()
        while True:
            line = await reader.readuntil(b"\r\n")
            raw += line
            size = int(line, 16)
            if not size:
                return bytes(body), bytes(raw) + await self._trailers(reader)
            piece = await reader.readexactly(size + 2)
            self.received += len(line) + len(piece)
            raw += piece
            if piece[-2:] != b"\r\n":
                self.faults.append(f"chunk {line!r}")
            body += piece[:-2]

    async def _trailers(self, reader) -> bytes:
        raw = b""
        while not raw.endswith(b"\r\n\r\n") and raw != b"\r\n":
            line = await reader.readuntil(b"\r\n")
            if line != b"\r\n" and (b":" not in line or line.strip() != line[:-2]):
                self.faults.append(f"trailer {line!r}")
            raw += line
        self.received += len(raw)
        return raw
