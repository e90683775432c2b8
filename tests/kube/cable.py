"""A cable between a client and a server that tests can pull out, and put back in."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

__all__ = ["Cable"]


class Cable:
    """Carries bytes to the server at `url`, from a port of its own."""

    def __init__(self, url: str) -> None:
        self._far = urlsplit(url)
        self._streams: set[asyncio.StreamWriter] = set()
        self.plugged = True
        self.url = ""

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncIterator["Cable"]:
        server = await asyncio.start_server(self._carry, self._far.hostname, 0)
        host, port = server.sockets[0].getsockname()[:2]
        self.url = f"{self._far.scheme}://{host}:{port}"
        try:
            yield self
        finally:
            server.close()
            self.pull()
            await server.wait_closed()

    def pull(self) -> None:
        """Cut every connection, and refuse new ones."""
        self.plugged = False
        for stream in self._streams:
            stream.transport.abort()

    def plug(self) -> None:
        self.plugged = True

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.plugged:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(
                self._far.hostname, self._far.port
            )
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self._streams |= both
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            self._streams -= both
            for stream in both:
                stream.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
