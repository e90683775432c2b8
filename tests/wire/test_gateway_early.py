"""Answers that come before the request has ended: relayed at once, and the end is a clean one."""

import asyncio

import pytest

from tests.fakes.recorder import answer
from tests.wire.stage import BOTH_LOOPS, CHUNKED, INFER, infer, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

HEADS = (INFER + b"Content-Length: 40000000\r\n\r\n", CHUNKED + b"2625a00\r\n")
PIECE = b"x" * 2**16


async def refuses(head, writer):
    """Answers on the head alone, as a server does that wants no such body."""
    writer.write(answer(b"no", status="413 Content Too Large"))
    return False


async def send_on(client, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            client.send(PIECE)
            await client.writer.drain()
        except ConnectionError:
            return
        await asyncio.sleep(0)


@pytest.mark.parametrize("head", HEADS)
async def test_a_client_that_is_still_sending_gets_the_answer_whole(head):
    async with stage() as s:
        s.recorder.early = refuses
        for _ in range(3):
            client = await s.client()
            client.send(head)
            stop = asyncio.Event()
            sending = asyncio.create_task(send_on(client, stop))
            found = await client.answer()
            assert (found.status, found.body) == (413, b"no")
            assert found.field("connection") == "close"
            assert await client.closed()
            stop.set()
            await sending
            await s.until(s.idle)
        assert s.recorder.connections == 3, "a connection in the middle of a body was used again"


@pytest.mark.parametrize("head", HEADS)
async def test_an_answer_may_run_beside_its_request(head):
    """The body goes on to the replica while its answer comes."""
    begun = asyncio.Event()

    async def echoes(_head, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        begun.set()
        return False

    async def ends(request, writer):
        writer.write(b"3\r\nbye\r\n0\r\n\r\n")

    async with stage() as s:
        s.recorder.early, s.recorder.script = echoes, ends
        client = await s.client()
        small = head.replace(b"40000000", b"5").replace(b"2625a00", b"5")
        client.send(small)
        await begun.wait()
        assert (await client.head())[0] == 200
        assert await client.chunk() == b"hi"
        client.send(b"hello" + (b"\r\n0\r\n\r\n" if small.startswith(CHUNKED) else b""))
        assert await client.chunked() == b"bye"
        assert s.recorder.requests[0].body == b"hello"
        assert await client.closed()
        await s.until(s.idle)


async def test_the_slot_is_free_for_the_next_at_once():
    async with stage() as s:
        s.recorder.early = refuses
        slow = await s.client()
        slow.send(HEADS[0] + b"x")
        assert (await slow.answer()).status == 413
        s.recorder.early = None
        assert (await s.call(infer())).status == 200


@pytest.mark.parametrize("who", ["client", "replica", "both"])
async def test_losses_while_both_send(who):
    """Whoever goes while a request and its answer are both under way, nothing is left."""
    at = {}

    async def streams(_head, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        at["writer"] = writer
        return False

    async with stage() as s:
        s.recorder.early = streams
        for _ in range(10):
            client = await s.client()
            client.send(HEADS[0] + PIECE)
            assert (await client.head())[0] == 200
            assert await client.chunk() == b"hi"
            if who != "client":
                at["writer"].transport.abort()
            if who != "replica":
                client.abort()
            else:
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await client.chunked()
            await s.until(s.idle)
            await s.until(lambda: not s.front.connections)
