"""Connections to the admin port that say nothing, and those that never take their answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway.admin.app import make_app
from gateway.admin.connections import Bounded
from gateway.admin.server import AdminServer
from tests.fakes.adminview import busy_view

pytestmark = pytest.mark.anyio
HEALTH = ("/healthz", "/readyz", "/metrics")


@asynccontextmanager
async def serving(silence: float = 60.0) -> AsyncIterator[AdminServer]:
    server = AdminServer(make_app(busy_view()), host="127.0.0.1", port=0, silence=silence)
    running = asyncio.create_task(server.run())
    try:
        yield server
    finally:
        server.stop()
        async with asyncio.timeout(10):
            await running


async def silent(server: AdminServer, count: int, said: bytes = b"") -> list[asyncio.StreamReader]:
    readers = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(said)
        reader.writer = writer  # type: ignore[attr-defined]  # so that it stays open
        readers.append(reader)
    return readers


async def closed(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(10):
            await reader.read()
    except ConnectionError:
        return True
    return reader.at_eof()


async def end(readers: list[asyncio.StreamReader]) -> None:
    for reader in readers:
        reader.writer.transport.abort()  # type: ignore[attr-defined]
    await asyncio.sleep(0)


@pytest.mark.parametrize("said", [b"", b"GET /api/models HTT"])
async def test_very_many_silent_connections_leave_it_answering(said: bytes) -> None:
    async with serving() as server:
        readers = await silent(server, 600, said)
        where = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(base_url=where, trust_env=False) as client:
            for path in (*HEALTH, "/api/models"):
                assert (await client.get(path)).status_code == 200, path
        # Those that were silent longest have gone for them.
        assert await closed(readers[0])
        assert not readers[-1].at_eof()
        await end(readers)


@pytest.mark.parametrize(
    "said",
    [b"", b"GET /", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"POST / HTTP/1.1\r\nHo"],
)
async def test_a_silent_connection_is_closed(said: bytes) -> None:
    async with serving(silence=0.05) as server:
        (reader,) = await silent(server, 1, said)
        assert await closed(reader)
        await end([reader])


async def test_bytes_that_trickle_in_give_no_more_time() -> None:
    async with serving(silence=0.1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        async with asyncio.timeout(10):
            while not reader.at_eof():
                writer.write(b"a: b\r\n")
                try:
                    async with asyncio.timeout(0.02):
                        await reader.read(1)
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
        writer.transport.abort()
        await asyncio.sleep(0)


async def test_health_is_answered_while_others_are_too_many() -> None:
    hold, seen = asyncio.Event(), []

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        seen.append(scope["path"])
        if scope["path"] not in HEALTH:
            await hold.wait()

    async def asked(path: str) -> list[int]:
        told: list[int] = []

        async def send(message) -> None:  # type: ignore[no-untyped-def]
            told.append(message.get("status", 0))

        await bounded({"type": "http", "path": path}, None, send)  # type: ignore[arg-type]
        return told

    bounded = Bounded(app)
    waiting = [asyncio.create_task(asked("/api/models")) for _ in range(64)]
    while len(seen) < 64:
        await asyncio.sleep(0)
    assert (await asked("/api/models"))[0] == 503
    for path in HEALTH:
        assert await asked(path) == []
    assert seen[64:] == list(HEALTH)
    hold.set()
    await asyncio.gather(*waiting)
    assert await asked("/api/models") == []
