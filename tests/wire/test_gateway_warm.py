"""What a warm request leaves behind, and what it does not."""

import gc

import pytest

from tests.fakes.recorder import answer
from tests.wire.scripts import writes
from tests.wire.stage import BOTH_LOOPS, CHUNKED, infer, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


def left() -> set[int]:
    """What the garbage collector knows of requests, those of other tests included."""
    kinds = ("Exchange", "Ticket")
    return {id(one) for one in gc.get_objects() if type(one).__name__ in kinds}


async def test_a_request_that_is_over_is_no_work_for_the_garbage_collector():
    async with stage() as s:
        client = await s.client()
        client.send(infer())
        assert (await client.answer()).status == 200
        gc.collect()
        before = left()
        gc.disable()
        try:
            for _ in range(5):
                client.send(infer())
                assert (await client.answer()).status == 200
            after = left()
        finally:
            gc.enable()
        assert not after - before


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


async def test_many_small_chunks_of_one_read_go_on_as_few():
    async with stage() as s:
        client = await s.client()
        client.send(CHUNKED + b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n")
        assert (await client.answer()).status == 200
        (request,) = s.recorder.requests
        assert request.body == b"x" * 5000
        # Loopback cuts 30 kB into a read or a few.
        assert len(request.raw) < 5000 + 2000


async def test_large_chunks_keep_their_bytes_either_way():
    body = bytes(range(256)) * 2048
    framed = b"".join(
        b"%x\r\n%b\r\n" % (len(piece), piece)
        for piece in (body[:1], body[1:200_000], body[200_000:200_007], body[200_007:])
    )
    async with stage() as s:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        s.recorder.script = writes(head + framed + b"0\r\n\r\n")
        client = await s.client()
        for _ in range(2):
            client.send(CHUNKED + framed + b"0\r\n\r\n")
            assert (await client.answer()).body == body
        assert [one.body for one in s.recorder.requests] == [body, body]
