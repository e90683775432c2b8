"""Replicas that break, and answers that are none: what is sent again, and what is passed on."""

import asyncio

import pytest

from fleet.model import AllowRule, RuntimeName
from tests.fakes.recorder import answer
from tests.wire.scripts import Gate, aborting
from tests.wire.stage import BOTH_LOOPS, CHUNKED, infer, model, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

PREDICT = (
    b"POST /predict HTTP/1.1\r\nHost: gw\r\nEbbtide-Model: demo\r\nContent-Length: 2\r\n\r\n{}"
)


def plain(port):
    rule = AllowRule(method="POST", path="/predict")
    return model(port=port, runtime=RuntimeName.PLAIN, allow=(rule,))


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


async def test_breaking_while_idle_does_not_count_as_one_of_the_two_crashes():
    async with stage() as s:
        await s.call(infer(b"warm"))
        tries = []

        async def third_time_lucky(request, writer):
            tries.append(request.connection)
            if len(tries) < 3:
                writer.transport.abort()
            else:
                writer.write(answer())

        s.recorder.script = third_time_lucky
        assert (await s.call(infer())).status == 200
        assert tries == [1, 2, 3]


async def test_only_one_loss_of_a_request_is_put_down_to_an_idle_connection():
    async with stage() as s:
        gate, sent = Gate(), []

        async def breaking(request, writer):
            if request.body == b"breaks":
                sent.append(request.connection)
                s.server.dead.add("127.1.0.1")
                writer.transport.abort()
            elif request.body == b"other":
                await gate(request, writer)
            else:
                writer.write(answer())

        s.recorder.script = breaking
        other, client = await s.client(), await s.client()
        other.send(infer(b"other"))
        await s.until(lambda: s.line.running == 1)
        await s.call(infer(b"leaves an idle connection"))
        client.send(infer(b"breaks"))
        await s.until(lambda: s.line.waiting == 1)
        assert sent == [2, 3]
        gate.open.set()
        await other.answer()
        s.server.dead.clear()
        assert (await client.answer()).status == 502
        assert sent == [2, 3, 1], "two crashes, and one connection that may have been stale"
        await s.until(s.idle)


async def test_an_idle_connection_that_speaks_unasked_is_not_used_again():
    async with stage() as s:
        await s.call(infer())
        (writer,) = s.recorder.writers
        writer.write(answer(b"unasked"))
        await s.until(lambda: not s.recorder.writers)
        assert (await s.call(infer())).body == b'{"ok":true}'
        assert s.recorder.connections == 2


async def test_a_connection_to_a_seat_that_is_gone_closes_when_its_request_is_done():
    async with stage() as s:
        s.recorder.script = gate = Gate()
        client = await s.client()
        client.send(infer())
        await s.recorder.seen(1)
        line = s.line
        s.cluster.remove(line.revision.name)
        assert line.peek() is None
        gate.open.set()
        assert (await client.answer()).status == 200
        await s.until(lambda: not s.recorder.writers)


async def test_half_an_answer_to_an_old_client_is_a_reset():
    async with stage() as s:
        go = asyncio.Event()

        async def half(request, writer):
            writer.write(HALVES["chunked"])
            await go.wait()
            writer.close()

        s.recorder.script = half
        client = await s.client()
        client.send(b"POST /v2/models/demo/infer HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
        await client.head()
        assert await client.reader.readexactly(4) == b"half"
        go.set()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
