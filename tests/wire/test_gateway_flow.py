"""Clients and replicas that leave, break or stall: in every state, on both loops."""

import asyncio
import hashlib
from dataclasses import replace

import pytest

from fleet.model import AllowRule, Policy, RuntimeName, WarmUp
from tests.fakes.recorder import answer
from tests.wire.stage import INFER, LOOPS, infer, model, stage

pytestmark = pytest.mark.anyio

CHUNKED = INFER + b"Transfer-Encoding: chunked\r\n\r\n"
ONE = Policy(slots=1, warm_up=WarmUp.NONE)


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return request.param


def plain(port):
    rule = AllowRule(method="POST", path="/predict")
    return model(port=port, runtime=RuntimeName.PLAIN, allow=(rule,))


def openai(port):
    return model(port=port, runtime=RuntimeName.OPENAI)


PREDICT = (
    b"POST /predict HTTP/1.1\r\nHost: gw\r\nEbbtide-Model: demo\r\nContent-Length: 2\r\n\r\n{}"
)
COMPLETE = (
    b'POST /v1/completions HTTP/1.1\r\nHost: gw\r\nContent-Length: 16\r\n\r\n{"model":"demo"}'
)


class Gate:
    """A script that answers when it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, request, writer):
        await self.open.wait()
        writer.write(answer())


async def aborting(request, writer):
    writer.transport.abort()


# A client that leaves.


@pytest.mark.parametrize("how", ["close", "abort", "half-close"])
@pytest.mark.parametrize(
    "request_bytes",
    [infer(), INFER + b"Content-Length: 1000000\r\n\r\n" + b"x" * 20_000, CHUNKED + b"1\r\nx\r\n"],
    ids=["complete", "in the middle of its body", "in the middle of a chunked body"],
)
async def test_a_client_that_leaves_while_held_is_never_dispatched(how, request_bytes):
    async with stage(awake=False, start=1000.0) as s:
        client = await s.client()
        client.send(request_bytes)
        await s.until(lambda: s.line.waiting == 1)
        if how == "close":
            client.writer.close()
        elif how == "abort":
            client.abort()
        else:
            client.writer.write_eof()
        await s.until(s.idle)
        await s.until(lambda: s.front.connections == 0)
        assert len(s.front._context.watch) == 0
        assert s.front.tallies["default/demo"].refused.popitem()[0].value == "client_left"
        for replica in s.cluster.fleet().of(s.line.revision.name):
            s.cluster.open(replica.name)
        assert (await s.call(infer(b"next"))).status == 200
        assert [one.body for one in s.recorder.requests] == [b"next"]


async def test_many_that_give_up_leave_nothing_behind():
    async with stage(awake=False, start=1000.0) as s:
        for _ in range(3):
            clients = [await s.client() for _ in range(50)]
            for client in clients:
                client.send(infer())
            await s.until(lambda: s.line.waiting == 50)
            for client in clients:
                client.abort()
            await s.until(s.idle)
        assert s.front.connections == 0
        assert not s.recorder.heads


async def test_a_client_that_leaves_while_running_keeps_its_slot_until_the_server_is_done():
    async with stage(policy=ONE) as s:
        s.recorder.script = gate = Gate()
        client = await s.client()
        client.send(infer(b"first"))
        await s.recorder.seen(1)
        client.abort()
        await s.until(lambda: s.front.connections == 0)
        second = await s.client()
        second.send(infer(b"second"))
        await s.until(lambda: s.line.waiting == 1)
        await asyncio.sleep(0.05)
        assert (s.line.running, len(s.recorder.requests)) == (1, 1)
        gate.open.set()
        assert (await second.answer()).status == 200
        assert s.recorder.connections == 1
        await s.until(s.idle)


async def test_a_client_that_leaves_in_the_middle_of_an_answer_has_it_drained():
    async with stage(policy=ONE) as s:
        go = asyncio.Event()

        async def stream(request, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3000010\r\n\r\n0123456789")
            await go.wait()
            writer.write(b"x" * 3_000_000)

        s.recorder.script = stream
        client = await s.client()
        client.send(infer())
        await client.head()
        client.abort()
        await s.until(lambda: s.front.connections == 0)
        assert s.line.running == 1
        go.set()
        await s.until(s.idle)
        s.recorder.script = Gate()
        s.recorder.script.open.set()
        assert (await s.call(infer())).status == 200
        assert s.recorder.connections == 1


async def test_where_closing_cancels_the_slot_is_free_at_once():
    async with stage(openai) as s:
        s.recorder.script = Gate()
        client = await s.client()
        client.send(COMPLETE)
        await s.recorder.seen(1)
        assert s.line.running == 1
        client.abort()
        await s.until(s.idle)
        s.recorder.script.open.set()
        await s.until(lambda: not s.recorder.writers)


@pytest.mark.parametrize("head", [INFER + b"Content-Length: 500000\r\n\r\n", CHUNKED + b"5\r\n"])
async def test_a_client_that_leaves_in_the_middle_of_its_body_takes_the_connection_with_it(head):
    async with stage() as s:
        client = await s.client()
        client.send(head + b"xx")
        await s.recorder.heads_seen(1)
        client.abort()
        await s.until(s.idle)
        await s.until(lambda: not s.recorder.writers)
        assert not s.recorder.requests
        assert (await s.call(infer())).status == 200


async def test_a_client_that_leaves_while_the_server_does_not_read_is_seen():
    async with stage() as s:
        await s.call(infer())
        s.recorder.requests.clear()
        s.recorder.pause = asyncio.Event()
        client = await s.client()
        client.send(INFER + b"Content-Length: 500000000\r\n\r\n")
        while not len(s.front._context.watch):
            client.send(b"x" * 20_000)
            await client.writer.drain()
            await asyncio.sleep(0)
        client.abort()
        await s.until(s.idle)
        s.recorder.pause.set()
        await s.until(lambda: not s.recorder.writers)


# A replica that breaks.


async def test_a_replica_that_resets_before_a_byte_gets_it_again_and_not_a_third_time():
    async with stage() as s:
        s.recorder.script = aborting
        found = await s.call(infer(b"{}"))
        assert (found.status, found.field("ebbtide-reason")) == (502, "replica_lost")
        assert [one.body for one in s.recorder.requests] == [b"{}", b"{}"]
        await s.until(s.idle)


async def test_what_was_kept_is_sent_again_byte_for_byte():
    async with stage() as s:
        tries = []

        async def second_time_lucky(request, writer):
            tries.append(request.body)
            if len(tries) == 1:
                writer.transport.abort()
            else:
                writer.write(answer())

        s.recorder.script = second_time_lucky
        body = b"b" * 1_000_000
        assert (await s.call(infer(body))).status == 200
        assert tries == [body, body]
        tries.clear()
        assert (await s.call(CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")).status == 200
        assert tries == [b"abcde", b"abcde"]
        await s.until(s.idle)


async def test_a_request_whose_body_is_still_coming_is_sent_again():
    async with stage() as s:
        tries = []

        async def early(head, writer):
            tries.append(head)
            if len(tries) == 1:
                writer.transport.abort()
                return True
            return False

        s.recorder.early = early
        client = await s.client()
        client.send(CHUNKED + b"3\r\nabc\r\n")
        await s.until(lambda: len(tries) == 2)
        client.send(b"2\r\nde\r\n0\r\n\r\n")
        assert (await client.answer()).status == 200
        assert s.recorder.requests[0].body == b"abcde"


async def test_a_body_too_large_to_keep_is_not_sent_again():
    async with stage() as s:
        s.recorder.script = aborting
        found = await s.call(infer(b"b" * 1_500_000))
        assert (found.status, found.field("ebbtide-reason")) == (502, "replica_lost")
        assert len(s.recorder.requests) == 1
        await s.until(s.idle)


async def test_a_plain_request_of_which_something_was_sent_is_not_sent_again():
    async with stage(plain) as s:
        s.recorder.script = aborting
        found = await s.call(PREDICT)
        assert (found.status, found.field("ebbtide-reason")) == (502, "replica_lost")
        assert len(s.recorder.requests) == 1
        await s.until(s.idle)


@pytest.mark.parametrize("make", [plain, lambda port: model(port=port)], ids=["plain", "triton"])
async def test_a_refused_connection_is_tried_again_since_nothing_was_sent(make):
    async with stage(make) as s:
        port = s.recorder.port
        await s.recorder.stop()
        s.server.dead.add("127.1.0.1")
        client = await s.client()
        client.send(PREDICT if make is plain else infer())
        await s.until(lambda: s.line.waiting == 1)
        s.recorder.port = port
        await s.recorder.start()
        s.server.dead.clear()
        assert (await client.answer()).status == 200
        await s.until(s.idle)


async def test_a_connection_that_went_stale_is_replaced_and_no_crash_is_counted():
    async with stage() as s:
        await s.call(infer(b"1"))

        async def reset_once(request, writer):
            s.recorder.script = Gate()
            s.recorder.script.open.set()
            writer.transport.abort()

        for count in range(2):
            s.recorder.script = reset_once
            before = len(s.recorder.requests)
            assert (await s.call(infer(b"2"))).status == 200
            assert len(s.recorder.requests) == before + 2, count
        assert all(seat.open for seat in s.line.ledger.seats.values())


async def test_an_idle_connection_that_the_server_closes_leaves_the_pool():
    async with stage() as s:

        async def once(request, writer):
            writer.write(answer())
            await writer.drain()
            writer.close()

        s.recorder.script = once
        for count in range(3):
            assert (await s.call(infer())).status == 200
            await s.until(lambda: not s.recorder.writers)
            assert s.recorder.connections == count + 1
        (seat,) = s.line.ledger.seats.values()
        await s.until(lambda: seat.link.idle == 0)


async def test_bytes_nobody_asked_for_end_a_connection():
    async with stage() as s:

        async def chatty(request, writer):
            writer.write(answer() + answer(b"unasked"))

        s.recorder.script = chatty
        for count in range(3):
            assert (await s.call(infer())).body == b'{"ok":true}'
            assert s.recorder.connections == count + 1


INVALID = {
    "not http": b"garbage\r\n\r\n",
    "http/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "bare lf": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
    "switched": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw",
}


@pytest.mark.parametrize("name", INVALID)
async def test_an_answer_that_is_not_proper_http_is_not_passed_on(name):
    async with stage() as s:

        async def invalid(request, writer):
            writer.write(INVALID[name])

        s.recorder.script = invalid
        found = await s.call(infer())
        assert (found.status, found.field("ebbtide-reason")) == (502, "upstream_invalid")
        assert len(s.recorder.requests) == 1
        await s.until(s.idle)


HALVES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
}


@pytest.mark.parametrize(
    ("name", "end"),
    [(name, end) for name in HALVES for end in ("abort", "close")] + [("chunked", "nonsense")],
)
async def test_half_an_answer_never_looks_like_a_whole_one(name, end):
    async with stage() as s:
        go = asyncio.Event()

        async def half(request, writer):
            writer.write(HALVES[name])
            await go.wait()
            if end == "nonsense":
                writer.write(b"xyz\r\n")
            elif end == "abort":
                writer.transport.abort()
            else:
                writer.close()

        s.recorder.script = half
        client = await s.client()
        client.send(infer())
        await client.head()
        go.set()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await client.reader.readexactly(100)
        await s.until(s.idle)


async def test_a_replica_that_breaks_in_the_middle_of_its_head():
    async with stage() as s:

        async def partial(request, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nConte")
            await writer.drain()
            writer.close()

        s.recorder.script = partial
        found = await s.call(infer())
        assert (found.status, found.field("ebbtide-reason")) == (502, "replica_lost")
        assert len(s.recorder.requests) == 1


async def test_both_leave_at_once():
    async with stage() as s:
        s.recorder.script = Gate()
        clients = [await s.client() for _ in range(4)]
        for client in clients:
            client.send(infer())
        await s.recorder.seen(4)
        for client in clients:
            client.abort()
        for writer in tuple(s.recorder.writers):
            writer.transport.abort()
        await s.until(s.idle)
        await s.until(lambda: s.front.connections == 0)


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
