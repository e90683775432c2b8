"""What a warm request leaves behind, and what it does not."""

import gc

import pytest

from tests.fakes.recorder import answer
from tests.wire.scripts import writes
from tests.wire.stage import BOTH_LOOPS, infer, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


async def test_a_request_that_is_over_is_no_work_for_the_garbage_collector():
    async with stage() as s:
        client = await s.client()
        client.send(infer())
        assert (await client.answer()).status == 200
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                client.send(infer())
                assert (await client.answer()).status == 200
            kinds = [type(one).__name__ for one in gc.get_objects()]
        finally:
            gc.enable()
        assert "Exchange" not in kinds
        assert "Ticket" not in kinds


async def test_the_same_head_is_forwarded_with_each_body_and_query():
    async with stage() as s:
        client = await s.client()
        for path in (b"/v2/models/demo/infer?a=1", b"/v2/models/demo/infer?a=2"):
            for body in (b'{"n":1}', b'{"n":2}'):
                s.recorder.script = writes(answer(body[::-1]))
                client.send(infer(body, path=path))
                assert (await client.answer()).body == body[::-1]
        sent = [(one.target[-3:], one.body) for one in s.recorder.requests]
        assert sent == [(f"a={query}", b'{"n":%d}' % n) for query in (1, 2) for n in (1, 2)]
