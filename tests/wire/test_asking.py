"""The client that asks model servers leaves nothing behind that would keep one from stopping."""

import asyncio

import pytest

from fleet.runtimes.asking import asking_client

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.anyio
async def test_no_connection_stays_open_after_an_answer() -> None:
    """Triton, told to stop, waits up to 30 s for its HTTP connections to be closed."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_ANSWER)
        await reader.read()
        ended.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asking_client() as ask:
        port = server.sockets[0].getsockname()[1]
        assert (await ask.get(f"http://127.0.0.1:{port}/v2")).status_code == 200
        async with asyncio.timeout(2.0):
            await ended.wait()
