"""Heartbeats: comments for a held reader of an event stream, and what can follow them."""

import asyncio
import json

import pytest

from fleet.model import AllowRule, Policy, RuntimeName, WarmUp
from fleet.reasons import Reason
from gateway.errors import ERRORS
from tests.fakes.recorder import answer
from tests.wire.scripts import Gate, aborting, writes
from tests.wire.stage import BOTH_LOOPS, CHUNKED, infer, model, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

READS = b"Accept: application/json;q=0.5, text/event-stream\r\nAccept-Encoding: gzip\r\n"
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n1\r\n\n\r\n0\r\n\r\n"
)


def policy(**changes) -> Policy:
    return Policy(**{"slots": 1, "warm_up": WarmUp.NONE, "heartbeat": 0.1, **changes})


def held(start: float = 0.45, **changes):
    return stage(awake=False, start=start, policy=policy(**changes))


async def streamed(client) -> tuple[int, bytes, list[bytes]]:
    """How many comments came, what the last one said, and the events behind them."""
    status, fields = await client.head()
    assert status == 200
    assert ("Content-Type", "text/event-stream") in fields
    lines = [line for line in (await client.chunked()).split(b"\n\n") if line]
    comments = [line for line in lines if line.startswith(b": waiting")]
    assert lines[: len(comments)] == comments
    return len(comments), comments[-1], lines[len(comments) :]


async def test_a_held_reader_is_told_what_it_waits_for_and_then_gets_the_stream():
    async with held() as s:
        s.recorder.script = writes(STREAM)
        client = await s.client()
        client.send(infer(extra=READS))
        count, last, events = await streamed(client)
        assert 2 <= count <= 6
        assert last == b": waiting for the model to be loaded (loading)"
        assert events == [b"data: 1"]
        (request,) = s.recorder.requests
        assert request.field("accept-encoding") is None
        assert request.field("accept") == "application/json;q=0.5, text/event-stream"
        await s.until(s.idle)
        s.recorder.script = writes(answer())
        client.send(infer(extra=READS))
        found = await client.answer()
        assert (found.status, found.field("content-type")) == (200, "application/json")
        assert s.recorder.requests[1].field("accept-encoding") == "gzip"
        assert s.front.tallies["default/demo"].codes == {200: 2}


async def test_who_does_not_wait_that_long_gets_the_answer_as_it_is():
    async with held(start=0.01, heartbeat=5.0) as s:
        client = await s.client()
        client.send(infer(extra=READS))
        assert (await client.answer()).field("content-type") == "application/json"


async def test_who_is_dispatched_before_the_first_of_them_gets_none():
    async with held(start=0.05, heartbeat=0.6) as s:
        gate = s.recorder.script = Gate()
        client = await s.client()
        client.send(infer(extra=READS))
        await s.recorder.seen(1)
        await asyncio.sleep(0.8)
        gate.open.set()
        assert (await client.answer()).field("content-type") == "application/json"


async def test_waiting_on_a_slow_model_that_is_awake_is_no_reason():
    async with stage(policy=policy()) as s:
        gate = s.recorder.script = Gate()
        client = await s.client()
        client.send(infer(extra=READS))
        await s.recorder.seen(1)
        await asyncio.sleep(0.3)
        gate.open.set()
        assert (await client.answer()).field("content-type") == "application/json"


@pytest.mark.parametrize(
    "request_bytes",
    [
        infer(),
        infer(extra=b"Accept: */*\r\n"),
        infer(extra=b"Accept: text/event-stream;q=0\r\n"),
        infer(extra=READS).replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_who_reads_no_event_stream_gets_none(request_bytes):
    async with held() as s:
        client = await s.client()
        client.send(request_bytes)
        assert (await client.answer()).field("content-type") == "application/json"


async def test_head_gets_none_and_a_1xx_that_comes_behind_them_goes_no_further():
    rules = (AllowRule(method="*", path="*"),)

    def made(port):
        wants = policy(heartbeat=0.1)
        return model(port=port, awake=False, policy=wants, runtime=RuntimeName.PLAIN, allow=rules)

    trailed = STREAM.replace(b"0\r\n\r\n", b"0\r\nX-Sum: 1\r\n\r\n")
    async with stage(made, start=0.4) as s:
        s.recorder.script = writes(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + trailed)
        both = await s.client(), await s.client()
        for client, method in zip(both, (b"HEAD", b"GET"), strict=True):
            client.send(b"%b /models/demo/x HTTP/1.1\r\nHost: gw\r\n%b\r\n" % (method, READS))
        found = await both[0].answer(method="HEAD")
        assert (found.interim, found.field("content-type")) == (
            (103,),
            "text/event-stream; charset=utf-8",
        )
        count, _, events = await streamed(both[1])
        assert (count >= 1, events) == (True, [b"data: 1"])
        assert both[1].trailers == b"X-Sum: 1\r\n"


async def test_a_client_that_is_still_sending_gets_none():
    async with held() as s:
        client = await s.client()
        client.send(CHUNKED.replace(b"\r\n\r\n", b"\r\n" + READS + b"\r\n"))
        size = 2**17
        client.send(b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n")
        assert (await client.answer()).field("content-type") == "application/json"


async def test_they_go_on_until_the_answer_begins():
    async with held(start=0.2) as s:
        gate = s.recorder.script = Gate()
        client = await s.client()
        client.send(infer(extra=READS))
        await s.recorder.seen(1)
        status, _ = await client.head()
        assert status == 200
        while await client.chunk() != b": waiting for the answer\n\n":
            pass
        gate.open.set()
        rest = await client.chunked()
        assert rest.endswith(b'data: {"ok":true}\n\n')


async def test_an_error_of_the_model_becomes_an_event():
    async with held() as s:
        s.recorder.script = writes(answer(b'{"error":"no\xe2\x80\xa8"}', status="400 Bad Request"))
        client = await s.client()
        client.send(infer(extra=READS))
        *_, events = await streamed(client)
        assert events == [b'event: error\ndata: {"error":"no\xe2\x80\xa8"}']
        assert s.front.tallies["default/demo"].codes == {400: 1}
        await s.until(s.idle)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"x" * 70_000])
async def test_an_answer_that_can_be_no_event_is_an_error(body):
    async with held() as s:
        s.recorder.script = writes(answer(body))
        client = await s.client()
        client.send(infer(extra=READS))
        *_, (event,) = await streamed(client)
        assert event.startswith(b"event: error\ndata: ")
        assert b"no event stream" in event


async def test_a_refusal_becomes_an_event_in_the_callers_shape():
    async with held(start=60.0, wait_timeout=0.6) as s:
        client = await s.client()
        client.send(infer(extra=READS))
        count, _, (event,) = await streamed(client)
        assert count >= 2
        name, retry, data = event.split(b"\n")
        assert (name, retry[:7]) == (b"event: error", b"retry: ")
        tally = s.front.tallies["default/demo"]
        # Which of the two it is depends on how far the start has come.
        (reason,) = tally.refused
        assert reason in (Reason.WAIT_TIMEOUT, Reason.NO_FREE_GPU)
        assert tally.codes == {ERRORS[reason].status: 1}
        assert json.loads(data.removeprefix(b"data: "))["error"] == ERRORS[reason].text
        await s.until(s.idle)
        assert not s.recorder.heads


async def test_a_request_is_sent_again_with_the_status_given_away():
    async with held() as s:
        tries = []

        async def script(request, writer):
            tries.append(request.raw)
            await (aborting if len(tries) == 1 else writes(STREAM))(request, writer)

        s.recorder.script = script
        client = await s.client()
        client.send(infer(extra=READS))
        *_, events = await streamed(client)
        assert events == [b"data: 1"]
        assert tries[0] == tries[1]


async def test_who_waits_again_since_its_replica_broke_is_told_so():
    async with held(start=0.02, heartbeat=0.3) as s:

        async def breaks(request, writer):
            # A heartbeat would have been due by now.
            await asyncio.sleep(0.5)
            (seat,) = s.line.ledger.seats.values()
            s.server.dead.add(seat.host)
            writer.transport.abort()

        s.recorder.script = breaks
        client = await s.client()
        client.send(infer(extra=READS))
        status, _ = await client.head()
        assert status == 200
        assert (await client.chunk()).startswith(b": waiting for")
        s.recorder.script = writes(STREAM)
        s.server.dead.clear()
        assert b"data: 1" in await client.chunked()


async def test_a_replica_that_breaks_for_good_is_an_event():
    async with held() as s:
        s.recorder.script = aborting
        client = await s.client()
        client.send(infer(extra=READS))
        *_, events = await streamed(client)
        assert events[-1].startswith(b"event: error\n")
        await s.until(s.idle)


async def test_half_a_stream_never_looks_like_a_whole_one():
    async def breaks(request, writer):
        writer.write(STREAM[: STREAM.index(b"1\r\n\n")])
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    async with held() as s:
        s.recorder.script = breaks
        client = await s.client()
        client.send(infer(extra=READS))
        status, _ = await client.head()
        assert status == 200
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.chunked()
        await s.until(s.idle)


async def test_a_client_that_leaves_between_them_is_never_dispatched():
    async with held(start=0.5) as s:
        client = await s.client()
        client.send(infer(extra=READS))
        await client.head()
        await client.chunk()
        client.abort()
        await s.until(s.idle)
        await s.until(lambda: s.line.peek() is not None)
        assert not s.recorder.heads


async def test_openai_and_plain_callers_get_their_shapes():
    rules = (AllowRule(method="*", path="*"),)
    for runtime, key in ((RuntimeName.OPENAI, "error"), (RuntimeName.PLAIN, "reason")):

        def made(port, runtime=runtime):
            allow = rules if runtime is RuntimeName.PLAIN else ()
            wants = policy(wait_timeout=0.25)
            return model(port=port, awake=False, policy=wants, runtime=runtime, allow=allow)

        async with stage(made, start=60.0) as s:
            client = await s.client()
            path = b"/v1/completions" if runtime is RuntimeName.OPENAI else b"/models/demo/x"
            client.send(infer(b'{"model":"demo"}', READS, path))
            *_, (event,) = await streamed(client)
            told = json.loads(event.rpartition(b"data: ")[2])
            given = told["error"]["code"] if key == "error" else told[key]
            assert given in (Reason.WAIT_TIMEOUT.value, Reason.NO_FREE_GPU.value)
