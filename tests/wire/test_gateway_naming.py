"""Bodies that name their model are read whole first: how much that may take."""

import pytest

from gateway.core.limits import NAMING_BODY_BYTES
from gateway.http import reception
from tests.wire.stage import BOTH_LOOPS, stage
from tests.wire.test_gateway_leavers import openai

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n"


async def test_one_such_body_is_bounded():
    async with stage(openai) as s:
        client = await s.client()
        client.send(CHAT % (NAMING_BODY_BYTES + 1))
        found = await client.answer()
        assert (found.status, found.field("ebbtide-reason")) == (413, "body_too_large")
    assert NAMING_BODY_BYTES == 64 * 2**20


async def test_all_of_them_together_are_bounded_and_given_back(monkeypatch):
    monkeypatch.setattr(reception, "NAMING_BODIES_BYTES", 100_000)
    async with stage(openai) as s:
        context = s.front._context
        first, second = await s.client(), await s.client()
        first.send(CHAT % 90_000 + b" " * 60_000)
        await s.until(lambda: context.naming_bytes == 60_000)
        second.send(CHAT % 90_000 + b" " * 60_000)
        found = await second.answer()
        assert (found.status, found.field("ebbtide-reason")) == (503, "queue_bytes_full")
        assert found.field("retry-after") is not None
        body = b'{"model": "demo"}'
        first.send(b" " * (30_000 - len(body)) + body)
        assert (await first.answer()).status == 200
        assert context.naming_bytes == 0
        third = await s.client()
        third.send(CHAT % 90_000 + b" " * 60_000)
        await s.until(lambda: context.naming_bytes == 60_000)
        third.abort()
        await s.until(lambda: context.naming_bytes == 0)
