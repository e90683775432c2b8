"""Bodies that name their model are read whole first: how much that may take."""

import pytest

from fleet.settings import Settings
from gateway.core.limits import NAMING_BODY_BYTES
from tests.wire.stage import BOTH_LOOPS, stage
from tests.wire.test_gateway_leavers import openai

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n"


async def test_one_such_body_is_bounded():
    async with stage(openai, settings=Settings(naming_body=70_000)) as s:
        client = await s.client()
        client.send(CHAT % 70_001)
        found = await client.answer()
        assert (found.status, found.field("ebbtide-reason")) == (413, "body_too_large")
        body = b'{"model": "demo"}'
        assert (await s.call(CHAT % 70_000 + b" " * (70_000 - len(body)) + body)).status == 200
    assert NAMING_BODY_BYTES == 64 * 2**20


async def test_all_of_them_together_are_bounded_and_given_back():
    settings = Settings(held_bodies=100_000)
    async with stage(openai, settings=settings) as s:
        room = s.hall.room
        first, second = await s.client(), await s.client()
        first.send(CHAT % 90_000 + b" " * 60_000)
        await s.until(lambda: room.held == 60_000)
        second.send(CHAT % 90_000 + b" " * 60_000)
        found = await second.answer()
        assert (found.status, found.field("ebbtide-reason")) == (503, "held_bodies_full")
        assert found.field("retry-after") is not None
        body = b'{"model": "demo"}'
        first.send(b" " * (30_000 - len(body)) + body)
        assert (await first.answer()).status == 200
        await s.until(lambda: room.held == 0)
        third = await s.client()
        third.send(CHAT % 90_000 + b" " * 60_000)
        await s.until(lambda: room.held == 60_000)
        third.abort()
        await s.until(lambda: room.held == 0)
