"""A server that goes on computing keeps its slot, though its client has left or its time is up."""

import asyncio
from dataclasses import replace

import pytest

from fleet.model import Policy, WarmUp
from fleet.reasons import Reason
from tests.fakes.http2 import Peer, Told, message
from tests.wire.grpcstage import INFER, STREAM, Calls, calls, named
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

ONE = Policy(slots=1, warm_up=WarmUp.NONE)
HEAD = [(":status", "200"), ("content-type", "application/grpc")]


class Server:
    """Answers each call when it is told to, whatever becomes of the call."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, peer: Peer, told: Told) -> None:
        await self.go.wait()
        await peer.until(lambda: told.ended)
        peer.answer(told.number, b"late" * 1000)


def infer(client: Peer, **extra: str) -> int:
    fields = [(key.replace("_", "-"), value) for key, value in extra.items()]
    number = client.call(INFER, extra=fields)
    client.data(number, named("demo"), end=True)
    return number


def left(on: Calls) -> int:
    (tally,) = on.stage.front.tallies.values()
    return tally.refused.get(Reason.CLIENT_LEFT, 0)


@pytest.mark.parametrize("how", ["reset", "abort", "deadline"])
async def test_the_slot_is_free_with_the_replica_s_last_word(how: str) -> None:
    server = Server()
    async with calls(server, policy=ONE, cancels=None) as on:
        client, other = await on.client(), await on.client()
        number = infer(client, **({"grpc_timeout": "200m"} if how == "deadline" else {}))
        await on.replica.seen(1)
        if how == "reset":
            client.reset(number)
        elif how == "abort":
            client.abort()
        else:
            assert (await client.over(number)).status == "4"
        second = infer(other)
        await on.waiting(1)
        await on.stage.until(lambda: left(on) == (how != "deadline"))
        assert on.stage.front.requests == 2
        # It is not reset, its deadline is not told, and the next one is not there yet.
        (seen,) = on.replica.calls
        (peer,) = on.replica.peers
        await peer.pinged()
        assert seen.reset is None
        assert how != "deadline" or int(seen.head["grpc-timeout"].removesuffix("m")) > 590_000
        assert (on.line.running, on.line.waiting) == (1, 1)
        server.go.set()
        assert (await other.over(second)).status == "0"
        await on.idle()
        assert on.stage.front.requests == 0
        assert len(on.replica.calls) == 2
        await peer.pinged()
        assert seen.reset is None


async def test_a_server_that_stops_when_reset_says_so_and_has_its_slot_free_at_once() -> None:
    server = Server()
    async with calls(server, policy=ONE, cancels=True) as on:
        client = await on.client()
        number = infer(client)
        await on.replica.seen(1)
        client.reset(number)
        await on.idle()
        (seen,) = on.replica.calls
        await on.replica.peers[0].until(lambda: seen.reset == 8)


async def test_its_slot_is_free_too_when_the_replica_breaks_or_its_time_is_up() -> None:
    async with calls(Server(), policy=replace(ONE, request_timeout=0.4), cancels=None) as on:
        client = await on.client()
        for gone in (False, True):
            number = infer(client)
            await on.replica.seen(1 + gone)
            client.reset(number)
            await on.stage.until(lambda gone=gone: left(on) == 1 + gone)
            if gone:
                on.replica.peers[0].abort()
            await on.idle()
            if not gone:
                (seen,) = on.replica.calls
                await on.replica.peers[0].until(lambda seen=seen: seen.reset == 8)
        assert on.stage.front.requests == 0


async def test_what_the_replica_has_not_got_whole_is_reset() -> None:
    async with calls(Server(), policy=ONE, cancels=None) as on:
        client = await on.client()
        number = client.call(INFER)
        client.data(number, named("demo", b"\x12\x80\x01" + b"x" * 128)[:40])
        await on.replica.seen(1)
        client.reset(number)
        await on.idle()
        (seen,) = on.replica.calls
        await on.replica.peers[0].until(lambda: seen.reset == 8)


@pytest.mark.parametrize("within", [False, True])
async def test_a_stream_is_ended_between_messages_and_reset_within_one(*, within: bool) -> None:
    server = Server()
    async with calls(server, policy=ONE, cancels=None) as on:
        client = await on.client()
        number = client.call(STREAM)
        client.data(number, named("demo") + (named("demo")[:3] if within else b""))
        await on.replica.seen(1)
        (seen,) = on.replica.calls
        (peer,) = on.replica.peers
        await peer.until(lambda: seen.data)
        client.reset(number)
        await peer.until(lambda: seen.over)
        assert (seen.ended, seen.reset) == ((False, 8) if within else (True, None))
        if not within:
            assert on.line.running == 1
            server.go.set()
        await on.idle()


async def test_an_answer_that_nobody_reads_any_more_is_taken_to_its_end() -> None:
    begun = asyncio.Event()

    async def talks(peer: Peer, told: Told) -> None:
        peer.head(told.number, HEAD)
        begun.set()
        await peer.pour(told.number, message(bytes(2**20)))
        peer.head(told.number, [("grpc-status", "0")], end=True)

    async with calls(talks, policy=ONE, cancels=None) as on:
        client = await on.client()
        client.greedy = False
        number = infer(client)
        await begun.wait()
        await client.until(lambda: client.told[number].taken == 65_535)
        client.reset(number)
        await on.idle()
        client.greedy = True
        # The connection is as good as before.
        client.give(0, 2**20)
        again = infer(client)
        assert len((await client.over(again)).data) == 5 + 2**20
        assert len(on.replica.peers) == 1
