"""What costs us much and its sender little ends the connection, and leaves nothing behind."""

import asyncio
from dataclasses import replace

import hpack
import pytest

from fleet.model import Policy, WarmUp
from gateway.core.limits import WATER_MARK
from tests.fakes.http2 import (
    CONTINUATION,
    DATA,
    END,
    HEADERS,
    PING,
    PRIORITY,
    RST,
    SETTINGS,
    WHOLE,
    WINDOW,
    Peer,
    Told,
    frame,
    message,
)
from tests.wire.grpcstage import INFER, Calls, calls, named
from tests.wire.stage import BOTH_LOOPS, Stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

CALM = 0xB


def block(path: str = INFER, *extra: tuple[str, str]) -> bytes:
    """The head of a call that leaves the table as it is."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "gw"),
        ("content-type", "application/grpc"),
        *extra,
    ]
    return bytes(hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*one) for one in fields]))


BLOCK = block()


def begun(number: int, data: bytes = b"") -> bytes:
    """A call on its way, with a message cut off."""
    return frame(HEADERS, WHOLE, number, BLOCK) + (data and frame(DATA, 0, number, data))


THREE = block(INFER, ("content-length", "3"))
HALF = named("demo", bytes(50))[:20]
ATTACKS = {
    "rapid reset": lambda n: begun(n, HALF) + frame(RST, 0, n, bytes(4)),
    "reset by us: window of nothing": lambda n: begun(n, HALF) + frame(WINDOW, 0, n, bytes(4)),
    "reset by us: window too large": lambda n: begun(n) + frame(WINDOW, 0, n, b"\x7f\xff\xff\xff"),
    "reset by us: data behind the end": lambda n: (
        begun(n) + frame(DATA, END, n, named("demo")) + frame(DATA, 0, n, b"x")
    ),
    "reset by us: a stream that depends on itself": lambda n: (
        begun(n) + frame(PRIORITY, 0, n, n.to_bytes(4, "big") + b"\x10")
    ),
    "reset by us: trailers that are none": lambda n: begun(n) + frame(HEADERS, WHOLE, n, BLOCK),
    "reset by us: a head that is none": lambda n: frame(HEADERS, WHOLE, n, b"\x82\x82"),
    "reset by us: a length that is not kept": lambda n: (
        frame(HEADERS, WHOLE, n, THREE) + frame(DATA, 0, n, HALF)
    ),
    "PING": lambda _: frame(PING, 0, 0, bytes(8)) * 30,
    "SETTINGS": lambda _: frame(SETTINGS),
    "PRIORITY": lambda n: frame(PRIORITY, 0, n, bytes(5)),
    "empty DATA": lambda n: (begun(n) if n == 1 else b"") + frame(DATA, 0, 1),
    "empty DATA behind an answer": lambda n: (
        frame(HEADERS, WHOLE, 1, block("/no.Such/Method")) if n == 1 else frame(DATA, 0, 1)
    ),
    "empty HEADERS and CONTINUATION": lambda n: (
        frame(HEADERS, END, n)
        + frame(CONTINUATION, 0, n) * 20
        + frame(CONTINUATION, WHOLE, n, BLOCK)
    ),
    "windows in crumbs": lambda n: (
        (begun(n) if n == 1 else b"") + frame(WINDOW, 0, 1, (1).to_bytes(4, "big")) * 50
    ),
    "CONTINUATION without end": lambda n: (
        frame(HEADERS, 0, 1, b"") if n == 1 else frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b")
    ),
    "more streams than there may be": lambda n: begun(n),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_an_attack_ends_its_connection_and_leaves_nothing(attack) -> None:
    policy = Policy(queue_limit=5000)
    async with calls(awake=False, start=60, policy=policy) as on:
        client = await on.client()
        await client.settled()
        for start in range(1, 8000, 100):
            if client.lost or client.writer.transport.is_closing():
                break
            client.writer.write(b"".join(map(attack, range(start, start + 100, 2))))
            await asyncio.sleep(0)
        await client.until(lambda: client.lost)
        # It may be too late to hear why: whoever goes on sending is cut off.
        assert client.goaway is None or client.goaway[1] == CALM
        await on.idle()
        await on.stage.until(lambda: on.stage.front.connections == 0)
        assert on.stage.hall.room.held == 0
        assert not on.replica.calls


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"x-http-method", 0x6), ((3).to_bytes(4, "big") + b"\x10", 0x1)],
    ids=["of a wrong length", "by which it depends on itself"],
)
async def test_a_stream_that_nobody_began_is_not_reset(payload, code) -> None:
    """It could be begun the next moment, and would then hear of its end twice."""
    async with calls() as on:
        client = await on.client()
        await client.settled()
        client.writer.write(
            frame(PRIORITY, 0, 3, payload) + begun(3) + frame(DATA, END, 3, named("demo"))
        )
        await client.until(lambda: client.lost)
        assert client.goaway == (0, code)
        assert not [one for one in client.frames if one.stream == 3]
        await on.idle()


def unsent(s: Stage) -> int:
    """What the gateway keeps for clients that do not read."""
    return sum(one.transport.get_write_buffer_size() for one in s.front._context.inbounds)


NO_METHOD = block("/no.Such/Method")
METADATA = block("/inference.GRPCInferenceService/ServerMetadata")
CALLS = {
    "refused": lambda n: frame(HEADERS, WHOLE | END, n, NO_METHOD),
    "failed by the replica": lambda n: begun(n) + frame(DATA, END, n, named("demo")),
    "answered by us": lambda n: (
        frame(HEADERS, WHOLE, n, METADATA) + frame(DATA, END, n, message(b""))
    ),
}


async def pours(peer: Peer, told: Told) -> None:
    """Much to the first call, errors to all others."""
    if told.number == 1:
        peer.head(told.number, [(":status", "200")])
        await peer.pour(told.number, bytes(2**24))
    else:
        fields = [(":status", "200"), ("grpc-status", "3"), ("grpc-message", "x" * 300)]
        peer.head(told.number, fields, end=True)


async def choked(on: Calls) -> Peer:
    """A client that does not read, and to which much is on its way."""
    context = on.stage.front._context
    context.limits = replace(context.limits, linger=0.1)
    client = await on.client(window=2**30)
    client.give(0, 2**30)
    await client.settled()
    client.writer.transport.pause_reading()
    client.writer.write(begun(1) + frame(DATA, END, 1, named("demo")))
    await on.stage.until(lambda: unsent(on.stage) > WATER_MARK)
    return client


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_answers_wait_for_a_client_that_reads_none_and_keep_their_streams(call) -> None:
    policy = Policy(slots=64, queue_limit=5000, warm_up=WarmUp.NONE)
    async with calls(pours, policy=policy) as on:
        client = await choked(on)
        front, before, most = on.stage.front, unsent(on.stage), 0
        for start in range(3, 20_000, 600):
            if not front.connections:
                break
            if not client.writer.transport.is_closing():
                client.writer.write(b"".join(map(call, range(start, start + 600, 2))))
            # As fast as they are answered.
            await asyncio.sleep(0.001)
            await on.stage.until(lambda: front.requests <= 1)
            most = max(most, unsent(on.stage) - before)
        # Its streams are taken by answers that wait, and more of them are a flood.
        await on.stage.until(lambda: not front.connections)
        assert most < 2**16
        await on.idle()


async def test_a_client_that_asks_and_does_not_read_is_not_owed_without_end() -> None:
    pings = frame(PING, 0, 0, bytes(8)) * 6000
    async with calls(pours) as on:
        reader = await on.client()
        await reader.settled()
        reader.writer.write(pings)
        await reader.until(lambda: sum(one.kind == PING for one in reader.frames) == 6000)
        client = await choked(on)
        client.writer.write(pings)
        await on.stage.until(lambda: on.stage.front.connections == 1)
        assert not reader.lost
        await on.idle()
