"""Clients that end their stream behind a request and wait: served where a setting says so."""

import asyncio
import socket
import struct

import pytest

from fleet.settings import Settings
from tests.fakes.recorder import answer
from tests.wire.scripts import Gate
from tests.wire.stage import BOTH_LOOPS, CHUNKED, INFER, infer, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

SERVE = Settings(half_close="serve")


@pytest.mark.parametrize("held", [True, False])
async def test_the_end_of_its_stream_does_not_end_its_request(held):
    async with stage(settings=SERVE, awake=not held, start=0.3) as s:
        gate = s.recorder.script = Gate()
        client = await s.client()
        client.send(infer(b"whole"))
        client.writer.write_eof()
        if held:
            await s.until(lambda: s.line.waiting == 1)
            await asyncio.sleep(0.05)
            assert s.line.waiting == 1
        await s.recorder.seen(1)
        await asyncio.sleep(0.05)
        gate.open.set()
        found = await client.answer()
        assert (found.status, found.body) == (200, b'{"ok":true}')
        assert await client.closed()
        await s.until(lambda: not s.front.connections)
        await s.until(s.idle)


async def test_the_requests_before_it_are_served_too():
    async with stage(settings=SERVE) as s:
        client = await s.client()
        client.send(infer(b"1") + infer(b"22") + infer(b"333"))
        client.writer.write_eof()
        for _ in range(3):
            assert (await client.answer()).status == 200
        assert await client.closed()
        assert [request.body for request in s.recorder.requests] == [b"1", b"22", b"333"]
        await s.until(lambda: not s.front.connections)


async def test_the_same_head_without_an_end_still_keeps_its_connection():
    async with stage(settings=SERVE) as s:
        gate = s.recorder.script = Gate()
        ended, kept = await s.client(), await s.client()
        ended.send(infer())
        ended.writer.write_eof()
        await s.recorder.seen(1)
        await asyncio.sleep(0.02)
        gate.open.set()
        assert (await ended.answer()).field("connection") == "close"
        for _ in range(2):
            kept.send(infer())
            assert (await kept.answer()).field("connection") is None


@pytest.mark.parametrize("held", [True, False])
async def test_a_client_that_breaks_off_after_that_is_gone(held):
    async with stage(settings=SERVE, awake=not held, start=60.0 if held else 0.01) as s:
        gate = s.recorder.script = Gate()
        client = await s.client()
        client.send(infer())
        client.writer.write_eof()
        if held:
            await s.until(lambda: s.line.waiting == 1)
        else:
            await s.recorder.seen(1)
        await asyncio.sleep(0.05)
        # Having ended its stream, it sends nothing more by merely closing: only a reset tells.
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.abort()
        await s.until(lambda: not s.front.connections)
        gate.open.set()
        await s.until(s.idle)
        if held:
            assert not s.recorder.heads


@pytest.mark.parametrize("part", [INFER, INFER + b"Content-Length: 9\r\n\r\nx", CHUNKED + b"5\r\n"])
async def test_half_a_request_is_nobodys(part):
    async with stage(settings=SERVE) as s:
        client = await s.client()
        client.send(part)
        client.writer.write_eof()
        assert await client.closed()
        await s.until(s.idle)
        assert not s.recorder.requests


async def test_an_idle_client_that_ends_its_stream_is_gone():
    async with stage(settings=SERVE) as s:
        client = await s.client()
        client.send(infer())
        assert (await client.answer()).status == 200
        client.writer.write_eof()
        assert await client.closed()
        await s.until(lambda: not s.front.connections)


async def test_a_long_answer_reaches_it_whole():
    size = 8 * 2**20

    async def large(request, writer):
        writer.write(answer(b"x" * size))

    async with stage(settings=SERVE) as s:
        s.recorder.script = large
        client = await s.client(limit=2**16)
        client.send(infer())
        client.writer.write_eof()
        assert len((await client.answer()).body) == size


async def test_by_default_it_is_gone():
    async with stage(awake=False, start=60.0) as s:
        client = await s.client()
        client.send(infer())
        await s.until(lambda: s.line.waiting == 1)
        client.writer.write_eof()
        await s.until(s.idle)
        assert await client.closed()
