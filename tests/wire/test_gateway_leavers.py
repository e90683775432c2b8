"""Clients that leave, in every state of their request, on both loops."""

import asyncio
import socket

import pytest

from fleet.model import RuntimeName
from fleet.reasons import Reason
from tests.wire.scripts import Gate
from tests.wire.stage import BOTH_LOOPS, CHUNKED, INFER, ONE, infer, model, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

COMPLETE = (
    b'POST /v1/completions HTTP/1.1\r\nHost: gw\r\nContent-Length: 16\r\n\r\n{"model":"demo"}'
)


def openai(port):
    return model(port=port, runtime=RuntimeName.OPENAI)


@pytest.mark.parametrize("how", ["close", "abort", "half-close"])
@pytest.mark.parametrize(
    "request_bytes",
    [
        infer(),
        INFER + b"Content-Length: 1000000\r\n\r\n" + b"x" * 20_000,
        CHUNKED + b"11170\r\n" + b"x" * 70_000 + b"\r\n",
    ],
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


async def test_a_client_that_leaves_before_its_model_is_woken_for_it_wakes_nothing():
    async with stage(awake=False) as s:
        client = await s.client()
        client.send(CHUNKED + b"1\r\nx\r\n")
        await s.until(lambda: s.front.requests == 1)
        client.abort()
        await s.until(s.idle)
        assert s.line.arrivals == 0
        assert not s.cluster.writes


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


async def test_a_client_that_leaves_in_the_moment_of_its_refusal_harms_nobody_else():
    async with stage(awake=False, start=1000.0) as s:
        sock = socket.create_connection(("127.0.0.1", s.port))
        sock.sendall(INFER + b"Content-Length: 1000000\r\n\r\nx")
        await s.until(lambda: s.line.waiting == 1)
        other = await s.client()
        other.send(infer())
        await s.until(lambda: s.line.waiting == 2)
        # No turn of the loop lies between: the gateway refuses somebody it still takes for there,
        # and its answer is what resets the connection.
        sock.close()
        s.line.refuse_waiting(Reason.WAIT_TIMEOUT)
        assert (await other.answer()).status == 504
        await s.until(s.idle)
        await s.until(lambda: s.front.connections == 1)
