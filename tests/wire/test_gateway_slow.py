"""Request bodies that come in too slowly, and those that are held up by somebody else."""

import asyncio
from dataclasses import replace

import pytest

from tests.wire.stage import CHUNKED, INFER, stage

pytestmark = pytest.mark.anyio


def impatient(s) -> None:
    context = s.front._context
    context.limits = replace(context.limits, body_grace=0.2)


@pytest.mark.parametrize("head", [INFER + b"Content-Length: 1000\r\n\r\n", CHUNKED + b"3e8\r\n"])
async def test_a_body_that_trickles_gives_its_slot_back(head):
    async with stage() as s:
        impatient(s)
        client = await s.client()
        client.send(head + b"x")
        await s.until(lambda: s.line.running == 1)
        answered = asyncio.create_task(client.answer())
        while not answered.done():
            await asyncio.sleep(0.1)
            client.send(b"x")
        found = await answered
        assert (found.status, found.field("ebbtide-reason")) == (408, "body_too_slow")
        await s.until(s.idle)


async def test_a_slow_replica_is_not_put_down_to_the_client():
    async with stage() as s:
        impatient(s)
        s.recorder.pause = asyncio.Event()
        client = await s.client()
        size = 16 * 2**20
        client.send(INFER + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
        await s.recorder.heads_seen(1)
        await asyncio.sleep(1.0)
        s.recorder.pause.set()
        assert (await client.answer()).status == 200
        assert len(s.recorder.requests[0].body) == size


async def test_the_time_in_which_a_request_is_held_does_not_count():
    async with stage(awake=False, start=0.8) as s:
        context = s.front._context
        context.limits = replace(context.limits, body_grace=0.5)
        client = await s.client()
        client.send(INFER + b"Content-Length: 1000\r\n\r\nx")
        await s.recorder.heads_seen(1)
        await asyncio.sleep(0.25)
        client.send(b"x" * 999)
        assert (await client.answer()).status == 200
