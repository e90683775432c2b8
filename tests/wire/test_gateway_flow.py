"""No faster than it is taken, in both directions; and how it ends, on both loops."""

import asyncio
import hashlib
from dataclasses import replace

import pytest

from gateway.http.link import MOST_IDLE
from tests.fakes.recorder import answer
from tests.wire.scripts import Gate
from tests.wire.stage import BOTH_LOOPS, GET, INFER, ONE, infer, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

# Back-pressure.

BIG = 100 * 2**20
PIECE = bytes(range(256)) * 256


async def test_an_upload_is_read_no_faster_than_it_is_taken():
    async with stage() as s:
        s.recorder.pause = asyncio.Event()
        client = await s.client()
        client.send(INFER + b"Content-Length: %d\r\n\r\n" % BIG)

        async def upload():
            for _ in range(BIG // len(PIECE)):
                client.send(PIECE)
                await client.writer.drain()

        uploading = asyncio.get_running_loop().create_task(upload())
        await s.recorder.heads_seen(1)
        await s.until(lambda: len(s.front._context.watch) == 1)
        inbound = next(iter(s.front._context.inbounds))
        assert inbound.exchange.outbound.transport.get_write_buffer_size() < 2**20
        s.recorder.pause.set()
        assert (await client.answer()).status == 200
        await uploading
        (request,) = s.recorder.requests
        assert len(request.body) == BIG
        assert (
            hashlib.blake2b(request.body).digest()
            == hashlib.blake2b(PIECE * (BIG // len(PIECE))).digest()
        )
        client.send(infer())
        assert (await client.answer()).status == 200
        assert s.recorder.connections == 1


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_is_read_no_faster_than_it_is_taken(chunked):
    sent = 0

    async def download(request, writer):
        nonlocal sent
        coding = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % BIG
        writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % coding)
        framed = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE
        for _ in range(BIG // len(PIECE)):
            writer.write(framed)
            await writer.drain()
            sent += len(PIECE)
        if chunked:
            writer.write(b"0\r\n\r\n")

    async with stage() as s:
        s.recorder.script = download
        client = await s.client(limit=2**16)
        client.send(infer())
        await client.head()
        inbound = next(iter(s.front._context.inbounds))
        await s.until(lambda: inbound.choked)
        await asyncio.sleep(0.05)
        assert inbound.transport.get_write_buffer_size() < 2**20
        assert sent < BIG // 2
        got = hashlib.blake2b()
        if chunked:
            while piece := await client.chunk():
                got.update(piece)
        else:
            left = BIG
            while left:
                piece = await client.reader.read(min(left, 2**16))
                left -= len(piece)
                got.update(piece)
        assert got.digest() == hashlib.blake2b(PIECE * (BIG // len(PIECE))).digest()
        s.recorder.script = Gate()
        s.recorder.script.open.set()
        client.send(infer())
        assert (await client.answer()).status == 200
        assert s.recorder.connections == 1


async def test_what_is_held_is_not_read_on():
    async with stage(awake=False, start=1000.0) as s:
        client = await s.client()
        client.writer.transport.set_write_buffer_limits(high=10**9)
        client.send(INFER + b"Content-Length: 50000000\r\n\r\n" + b"x" * 50_000_000)
        await s.until(lambda: s.line.waiting == 1)
        await asyncio.sleep(0.05)
        assert s.line.ledger.waiting_bytes < 2**19
        for replica in s.cluster.fleet().of(s.line.revision.name):
            s.cluster.open(replica.name)
        assert (await client.answer()).status == 200
        assert len(s.recorder.requests[0].body) == 50_000_000


# The end.


async def test_a_removed_model_refuses_who_waits():
    async with stage(awake=False, start=1000.0) as s:
        client = await s.client()
        client.send(infer())
        line = s.line
        await s.until(lambda: line.waiting == 1)
        s.cluster.remove(line.revision.name)
        found = await client.answer()
        assert (found.status, found.field("ebbtide-reason")) == (404, "model_removed")
        client.send(infer())
        assert (await client.answer()).field("ebbtide-reason") == "unknown_model"


async def test_who_is_turned_away_by_health_is_served_all_the_same():
    async with stage() as s:
        client = await s.client()
        client.send(GET % b"/v2/health/ready")
        assert (await client.answer(method="GET")).status == 200
        s.front.turn_away()
        client.send(GET % b"/v2/health/ready")
        found = await client.answer(method="GET")
        assert (found.status, found.field("ebbtide-reason")) == (503, "shutting_down")
        client.send(GET % b"/v2/health/live")
        assert (await client.answer(method="GET")).status == 200
        found = await s.call(infer())
        assert (found.status, found.field("connection")) == (200, None)


async def test_shutting_down():
    async with stage(awake=False, start=1000.0) as s:
        loop = asyncio.get_running_loop()
        s.wake()
        idle, waiting = await s.client(), await s.client()
        waiting.send(infer())
        await s.until(lambda: s.line.waiting == 1 and s.front.connections == 2)
        s.front.stop_accepting()
        assert await idle.closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", s.port)
        assert not await s.front.drained(loop.time() + 0.1)
        for replica in s.cluster.fleet().of(s.line.revision.name):
            s.cluster.open(replica.name)
        found = await waiting.answer()
        assert (found.status, found.field("connection")) == (200, "close")
        assert await s.front.drained(loop.time() + 5)
        assert (s.front.requests, s.front.connections) == (0, 0)


async def test_shutting_down_with_nothing_to_do_is_done_at_once():
    async with stage() as s:
        await s.client()
        s.front.stop_accepting()
        assert await s.front.drained(asyncio.get_running_loop().time() + 5)


async def test_a_changed_template_goes_on_with_the_same_connection():
    async with stage() as s:
        client = await s.client()
        client.send(infer())
        assert (await client.answer()).status == 200
        s.cluster.put(replace(s.line.revision, policy=replace(ONE, max_body=1)))
        client.send(infer())
        assert (await client.answer()).status == 413


async def test_a_connection_is_never_left_paused_for_its_next_user():
    async with stage() as s:
        size = 0

        async def sized(request, writer):
            writer.write(answer(b"x" * size if request.body == b"big" else b"small"))

        s.recorder.script = sized
        for size in range(2**18, 8 * 2**20, 3 * 2**16):
            # It reads nothing: some size ends just where the gateway pauses.
            stuck = await s.client(limit=2**10)
            stuck.send(infer(b"big"))
            await s.recorder.seen(1)
            s.recorder.requests.clear()
            await asyncio.sleep(0.003)
            async with asyncio.timeout(2):
                assert (await s.call(infer())).body == b"small", size
            stuck.abort()


async def test_the_first_byte_of_an_answer_opens_the_other_slots():
    async with stage(awake=False, start=1000.0) as s:

        async def first_streams(request, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsome")
            await asyncio.Event().wait()

        s.recorder.script = first_streams
        clients = [await s.client() for _ in range(3)]
        for client in clients:
            client.send(infer())
        await s.until(lambda: s.line.waiting == 3)
        for replica in s.cluster.fleet().of(s.line.revision.name):
            s.cluster.open(replica.name)
        # Without it the slots open after a second.
        await s.until(lambda: len(s.recorder.requests) == 3, seconds=0.8)


async def test_a_burst_of_calls_without_slots_leaves_few_connections():
    async with stage() as s:
        s.recorder.script = gate = Gate()
        clients = [await s.client() for _ in range(MOST_IDLE + 8)]
        for client in clients:
            client.send(GET % b"/v2/models/demo/stats")
        await s.recorder.seen(len(clients))
        assert len(s.front._context.outbounds) == len(clients)
        gate.open.set()
        for client in clients:
            assert (await client.answer()).status == 200
        await s.until(lambda: len(s.front._context.outbounds) == MOST_IDLE)
