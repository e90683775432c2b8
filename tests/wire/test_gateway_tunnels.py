"""Upgrades: a request that becomes a WebSocket, or any other protocol, on its connection."""

import asyncio
from dataclasses import replace

import pytest

from fleet.model import AllowRule, Policy, Retry, RuntimeName, WarmUp
from fleet.settings import Settings
from tests.fakes.recorder import answer
from tests.wire.pair import replicas
from tests.wire.scripts import aborting, writes
from tests.wire.stage import BOTH_LOOPS, ONE, infer, model, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

ALL = (AllowRule(method="*", path="*"),)
AGAIN = replace(ONE, retry=Retry.REPLICA)
ASK = (
    b"GET /models/demo/chat?x=1 HTTP/1.1\r\nHost: gw\r\nConnection: keep-alive, Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n"
)
ACCEPT = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: b\r\n\r\n"
)


def plain(port: int, **changes):
    policy = changes.pop("policy", ONE)
    return model(port=port, runtime=RuntimeName.PLAIN, allow=ALL, policy=policy, **changes)


def asleep(port: int):
    return plain(port, awake=False)


class Echo:
    """Accepts, and sends back what it gets until the other side ends its stream."""

    def __init__(self, first: bytes = b"", accept: bytes = ACCEPT) -> None:
        self.first = accept + first
        self.ended = asyncio.Event()
        self.reader: asyncio.StreamReader | None = None

    async def __call__(self, request, writer):
        writer.write(self.first)
        protocol = writer.transport.get_protocol()
        reader = protocol._stream_reader
        try:
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
            if not writer.is_closing():
                writer.write(b"end")
        finally:
            self.ended.set()
            writer.close()


async def switched(client) -> list[tuple[str, str]]:
    status, fields = await client.head()
    assert status == 101
    return fields


async def test_a_websocket_is_tunnelled_and_runs_until_it_is_closed():
    async with stage(plain) as s:
        s.recorder.script = Echo(b"hello")
        client = await s.client()
        client.send(ASK)
        fields = dict(await switched(client))
        assert (fields["Connection"], fields["Upgrade"]) == ("Upgrade", "websocket")
        assert fields["Sec-WebSocket-Accept"] == "b"
        assert await client.reader.readexactly(5) == b"hello"
        for piece in (b"GET /v2 HTTP/1.1\r\nHost: gw\r\n\r\n", b"\x00" * 100_000):
            client.send(piece)
            assert await client.reader.readexactly(len(piece)) == piece
        (request,) = s.recorder.requests
        assert request.target == "/chat?x=1"
        assert (request.field("connection"), request.field("upgrade")) == ("Upgrade", "websocket")
        assert (s.line.running, s.front.requests) == (1, 1)
        client.writer.write_eof()
        assert await client.reader.read() == b"end"
        await s.until(s.idle)
        await s.until(lambda: not s.front.connections)


async def test_it_is_held_and_woken_for_like_any_request():
    async with stage(asleep, start=0.2) as s:
        s.recorder.script = Echo()
        client = await s.client()
        client.send(ASK)
        await s.until(lambda: s.line.waiting == 1)
        await switched(client)
        client.send(b"x")
        assert await client.reader.readexactly(1) == b"x"


async def test_what_comes_right_behind_the_request_is_for_the_tunnel_or_for_nobody():
    behind = infer(path=b"/models/demo/smuggled")
    async with stage(asleep, start=0.2) as s:
        s.recorder.script = Echo()
        client = await s.client()
        client.send(ASK + behind)
        await switched(client)
        assert await client.reader.readexactly(len(behind)) == behind
        assert len(s.recorder.requests) == 1
    async with stage(plain) as s:
        client = await s.client()
        client.send(ASK + behind)
        found = await client.answer()
        assert (found.status, found.field("connection")) == (200, "close")
        assert await client.closed()
        assert [request.target for request in s.recorder.requests] == ["/chat?x=1"]


async def test_an_upgrade_after_a_body():
    async with stage(plain) as s:
        s.recorder.script = Echo()
        client = await s.client()
        offer = b"Connection: upgrade\r\nUpgrade: tcp\r\n"
        s.recorder.script = Echo(accept=ACCEPT.replace(b"websocket", b"tcp"))
        client.send(infer(b"attach", offer, b"/models/demo/exec"))
        await switched(client)
        client.send(b"x")
        assert await client.reader.readexactly(1) == b"x"
        assert s.recorder.requests[0].body == b"attach"


async def test_what_was_kept_of_it_is_not_kept_for_a_tunnels_life():
    async with stage(plain) as s:
        s.recorder.script = Echo(accept=ACCEPT.replace(b"websocket", b"tcp"))
        client = await s.client()
        offer = b"Connection: upgrade\r\nUpgrade: tcp\r\n"
        client.send(infer(b"x" * 40_000, offer, b"/models/demo/exec"))
        await switched(client)
        assert (s.hall.room.held, s.line.running) == (0, 1)


async def test_a_101_tells_of_the_tries_before_it():
    async with replicas(2, lambda port: plain(port, policy=AGAIN)) as both:
        both.recorders[0].script = aborting
        both.recorders[1].script = Echo()
        client = await both.stage.client()
        client.send(ASK)
        timing = dict(await switched(client))["Server-Timing"]
        assert timing.endswith(', retries;desc="1"')


@pytest.mark.parametrize(
    "offer",
    [
        b"Upgrade: websocket\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n",
    ],
)
async def test_offers_that_mean_nothing_are_passed_over(offer):
    async with stage(plain) as s:
        client = await s.client()
        for _ in range(2):
            client.send(infer(extra=offer, path=b"/models/demo/x"))
            assert (await client.answer()).status == 200
        assert not any(b"pgrade" in request.raw for request in s.recorder.requests)


async def test_on_triton_and_from_an_old_client_it_is_an_ordinary_request():
    offer = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    async with stage() as s:
        assert (await s.call(infer(extra=offer))).status == 200
        old = infer(extra=offer).replace(b"HTTP/1.1", b"HTTP/1.0")
        assert (await s.call(old)).status == 200
        assert not any(b"pgrade" in request.raw for request in s.recorder.requests)


@pytest.mark.parametrize(
    "accept",
    [
        ACCEPT.replace(b"websocket", b"other"),
        ACCEPT.replace(b"Upgrade: websocket\r\n", b""),
        ACCEPT.replace(b"Upgrade: websocket", b"Upgrade: websocket, other"),
    ],
)
async def test_a_protocol_that_nobody_offered_is_no_answer(accept):
    async with stage(plain) as s:
        s.recorder.script = writes(accept)
        assert (await s.call(ASK)).field("ebbtide-reason") == "upstream_invalid"
        await s.until(s.idle)


async def test_switching_unasked_or_before_the_request_has_ended_is_no_answer():
    async with stage(plain) as s:

        async def early(_head, writer):
            writer.write(ACCEPT)
            return False

        s.recorder.script = writes(ACCEPT)
        assert (await s.call(infer(path=b"/models/demo/x"))).status == 502
        s.recorder.early = early
        client = await s.client()
        client.send(ASK.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n"))
        assert (await client.answer()).field("ebbtide-reason") == "upstream_invalid"
        await s.until(s.idle)


async def test_the_request_timeout_ends_with_the_101_and_the_idle_time_begins():
    policy = Policy(slots=1, warm_up=WarmUp.NONE, request_timeout=0.2)
    settings = Settings(tunnel_idle=0.6)
    async with stage(lambda port: plain(port, policy=policy), settings=settings) as s:
        echo = s.recorder.script = Echo()
        client = await s.client()
        client.send(ASK)
        await switched(client)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for _ in range(3):
            await asyncio.sleep(0.3)
            client.send(b"x")
            assert await client.reader.readexactly(1) == b"x"
        assert await client.closed()
        assert 1.4 < loop.time() - begun < 3.0
        await echo.ended.wait()
        await s.until(s.idle)


@pytest.mark.parametrize("how", ["leave", "abort"])
async def test_a_client_that_goes_frees_the_slot_once_the_replica_has_gone_too(how):
    async with stage(plain) as s:
        echo = s.recorder.script = Echo()
        client = await s.client()
        client.send(ASK)
        await switched(client)
        if how == "leave":
            await client.leave()
        else:
            client.abort()
        await echo.ended.wait()
        await s.until(s.idle)
        await s.until(lambda: not s.front.connections)


async def test_a_replica_that_breaks_ends_the_tunnel():
    async def breaks(request, writer):
        writer.write(ACCEPT + b"last words")
        await writer.drain()
        writer.transport.abort()

    async def closes(request, writer):
        writer.write(ACCEPT + b"last words")
        writer.close()

    async with stage(plain) as s:
        for script in (closes, breaks):
            s.recorder.script = script
            client = await s.client()
            client.send(ASK)
            await switched(client)
            if script is closes:
                assert await client.reader.readexactly(10) == b"last words"
            client.writer.write_eof()
            await s.until(s.idle)
            await s.until(lambda: not s.front.connections)


async def test_both_go_at_once():
    async with stage(plain) as s:
        for _ in range(20):
            s.recorder.script = Echo()
            client = await s.client()
            client.send(ASK)
            await switched(client)
            client.abort()
            for writer in tuple(s.recorder.writers):
                writer.transport.abort()
            await s.until(s.idle)
            await s.until(lambda: not s.front.connections)


async def test_a_client_that_leaves_before_the_101_is_not_tunnelled():
    seen, go = asyncio.Event(), asyncio.Event()

    async def late(request, writer):
        seen.set()
        await go.wait()
        writer.write(ACCEPT)

    async with stage(plain) as s:
        s.recorder.script = late
        client = await s.client()
        client.send(ASK)
        await seen.wait()
        client.abort()
        await s.until(lambda: not s.front.connections)
        assert s.line.running == 1
        go.set()
        await s.until(s.idle)


async def test_each_side_is_read_no_faster_than_the_other_takes_it():
    total = 24 * 2**20
    piece = b"x" * 2**16
    stop = asyncio.Event()

    async def floods(request, writer):
        writer.write(ACCEPT)
        sent = 0
        while sent < total:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
            floods.sent = sent
        await stop.wait()

    floods.sent = 0
    async with stage(plain) as s:
        s.recorder.script = floods
        client = await s.client(limit=2**16)
        client.send(ASK)
        await switched(client)
        before = -1
        while before != floods.sent:
            before = floods.sent
            await asyncio.sleep(0.1)
        assert floods.sent < total, "nothing held it back"
        taken = len(await client.reader.readexactly(total))
        assert taken == total
        # The other way: the replica reads nothing while it is sending nothing.
        sent = 0
        while sent < total:
            client.send(piece)
            sent += len(piece)
            try:
                async with asyncio.timeout(0.3):
                    await client.writer.drain()
            except TimeoutError:
                break
        assert sent < total, "nothing held it back"
        stop.set()


async def test_what_one_side_sent_last_is_still_delivered():
    total = 4 * 2**20

    async def script(request, writer):
        writer.write(ACCEPT + b"y" * total)
        writer.close()

    async with stage(plain) as s:
        s.recorder.script = script
        client = await s.client(limit=2**16)
        client.send(ASK)
        await switched(client)
        assert len(await client.reader.read(-1)) == total
        await s.until(s.idle)


async def test_an_ordinary_answer_to_an_offer_is_relayed():
    async with stage(plain) as s:
        s.recorder.script = writes(answer(b"no", status="426 Upgrade Required"))
        found = await s.call(ASK)
        assert (found.status, found.body) == (426, b"no")
        assert s.front.tallies["default/demo"].codes == {426: 1}
        await s.until(s.idle)


async def test_a_tunnel_is_closed_at_the_end_of_the_grace_time_and_is_no_loss():
    async with stage(plain) as s:
        echo = s.recorder.script = Echo()
        client = await s.client()
        client.send(ASK)
        await switched(client)
        s.front.stop_accepting()
        client.send(b"still here")
        assert await client.reader.readexactly(10) == b"still here"
        assert not await s.front.drained(asyncio.get_running_loop().time() + 0.1)
        s.front.close()
        assert await client.closed()
        await echo.ended.wait()
        await s.until(s.idle)
        tally = s.front.tallies[s.line.revision.name]
        assert (tally.codes, tally.refused) == ({101: 1}, {})
