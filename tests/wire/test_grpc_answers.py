"""Answers of replicas, usual and not: trailers alone, details, large metadata, and none at all."""

import asyncio
import zlib

import pytest

from fleet.model import Policy, WarmUp
from fleet.reasons import Reason
from tests.fakes.http2 import Peer, Told, echo, message
from tests.wire.grpcstage import INFER, calls, infer, named, refused
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

ONE = Policy(slots=1, warm_up=WarmUp.NONE)
HEAD = [(":status", "200"), ("content-type", "application/grpc")]


async def test_trailers_alone_and_their_details_come_as_they_are() -> None:
    said = [
        *HEAD,
        ("grpc-status", "9"),
        ("grpc-message", "not%20now"),
        ("grpc-status-details-bin", "CAkSB25vdCBub3c"),
        ("x-own-bin", "AAEC"),
    ]

    async def refuses(peer: Peer, told: Told) -> None:
        peer.head(told.number, said, end=True)

    async with calls(refuses, policy=ONE) as on:
        client = await on.client()
        told = await client.over(infer(client))
        assert told.trailers is None or told.trailers == told.head
        assert [field for field in told.fields if field[0] != "server-timing"] == said
        await on.idle()


async def test_details_behind_messages_come_in_their_order() -> None:
    last = [("grpc-status", "8"), ("x-b", "1"), ("grpc-status-details-bin", "CAg"), ("x-a", "2")]

    async def answers(peer: Peer, told: Told) -> None:
        peer.answer(told.number, b"part", status="8", fields=last[1:])

    async with calls(answers, policy=ONE) as on:
        client = await on.client()
        told = await client.over(infer(client))
        assert list(told.trailers.items()) == last
        assert told.data == message(b"part")


async def test_metadata_of_many_frames_passes_both_ways() -> None:
    large = "x" * 40_000

    async def answers(peer: Peer, told: Told) -> None:
        await peer.until(lambda: told.ended)
        block = peer.encoder.encode([*HEAD, ("x-large", large)], huffman=False)
        peer.send(1, 0, told.number, block[:16_384])
        peer.send(9, 0, told.number, block[16_384:32_768])
        peer.send(9, 4, told.number, block[32_768:])
        peer.head(told.number, [("grpc-status", "0")], end=True)

    async with calls(answers, policy=ONE) as on:
        client = await on.client()
        number, client._next = client._next, client._next + 2
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", INFER),
            (":authority", "gw"),
            ("content-type", "application/grpc"),
            ("x-large", large),
        ]
        client.told[number] = Told(number)
        block = client.encoder.encode(fields, huffman=False)
        client.send(1, 0, number, block[:16_384])
        client.send(9, 0, number, block[16_384:32_768])
        client.send(9, 4, number, block[32_768:])
        client.data(number, named("demo"), end=True)
        told = await client.over(number)
        assert (told.status, told.head["x-large"]) == ("0", large)
        (seen,) = on.replica.calls
        assert seen.head["x-large"] == large


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
async def test_an_encoding_that_not_every_message_uses_passes(encoding: str) -> None:
    async with calls(policy=ONE) as on:
        client = await on.client()
        number = client.call(INFER, extra=[("grpc-encoding", encoding)])
        client.data(number, named("demo"), end=True)
        told = await client.over(number)
        assert (told.status, bytes(told.data)) == ("0", named("demo"))
        (seen,) = on.replica.calls
        assert seen.head["grpc-encoding"] == encoding


@pytest.mark.parametrize("encoding", [None, "identity", "br"])
async def test_a_compressed_message_without_an_encoding_that_is_known_is_refused(encoding) -> None:
    async with calls(policy=ONE) as on:
        client = await on.client()
        extra = [] if encoding is None else [("grpc-encoding", encoding)]
        number = client.call(INFER, extra=extra)
        packed = zlib.compress(named("demo")[5:])
        client.data(number, message(packed, flag=1), end=True)
        told = await client.over(number)
        assert told.status == ("12" if encoding == "br" else "3")
        assert not on.replica.calls


async def test_the_deadline_goes_on_counting_when_a_call_is_sent_again() -> None:
    async def refuses_once(peer: Peer, told: Told) -> None:
        await peer.until(lambda: told.ended)
        if told is on.replica.calls[0]:
            await asyncio.sleep(0.3)
            peer.reset(told.number, 7)
        else:
            await echo(peer, told)

    async with calls(refuses_once, policy=ONE) as on:
        client = await on.client()
        number = client.call(INFER, extra=[("grpc-timeout", "20S")])
        client.data(number, named("demo"), end=True)
        assert (await client.over(number)).status == "0"
        first, second = (int(told.head["grpc-timeout"][:-1]) for told in on.replica.calls)
        assert 20_000_000 >= first >= second + 300_000


async def test_a_deadline_that_passes_is_counted_as_time_that_ran_out() -> None:
    async with calls(awake=False, start=60.0, policy=ONE) as on:
        client = await on.client()
        number = client.call(INFER, extra=[("grpc-timeout", "100m")])
        client.data(number, named("demo"), end=True)
        assert (await client.over(number)).status == "4"
        (tally,) = on.stage.front.tallies.values()
        assert refused(on, Reason.WAIT_TIMEOUT) == 1
        assert refused(on, Reason.CLIENT_LEFT) == 0
        assert tally.codes == {504: 1}


@pytest.mark.parametrize(
    "fields",
    [
        [("content-type", "application/grpc")],
        [(":status", "2000")],
        [(":status", "200"), ("Grpc-Status", "0")],
        [(":status", "200"), ("connection", "close")],
        [(":status", "200"), ("x-large", "x" * 65_480)],
    ],
)
async def test_an_answer_that_is_none_is_refused_and_not_asked_for_again(fields) -> None:
    async def answers(peer: Peer, told: Told) -> None:
        if len(on.replica.calls) > 1:
            await echo(peer, told)
            return
        block = peer.encoder.encode(fields, huffman=False)
        peer.send(1, 0, told.number, block[:16_384])
        for at in range(16_384, len(block), 16_384):
            peer.send(9, 0, told.number, block[at : at + 16_384])
        peer.send(9, 4, told.number, b"")

    async with calls(answers, policy=ONE) as on:
        client = await on.client()
        told = await client.over(infer(client))
        assert (told.status, told.head["ebbtide-reason"]) == ("13", "upstream_invalid")
        assert refused(on, Reason.UPSTREAM_INVALID) == 1
        await on.idle()
        # Its connection goes on.
        assert (await client.over(infer(client))).status == "0"
        assert len(on.replica.peers) == 1


async def test_an_answer_that_breaks_a_rule_in_its_midst_ends_with_why() -> None:
    async def answers(peer: Peer, told: Told) -> None:
        peer.head(told.number, HEAD)
        peer.data(told.number, message(b"12345678")[:7])
        peer.head(told.number, HEAD)

    async with calls(answers, policy=ONE) as on:
        client = await on.client()
        told = await client.over(infer(client))
        assert told.trailers["ebbtide-reason"] == "upstream_invalid"
        await on.idle()
        (seen,) = on.replica.calls
        await on.replica.peers[0].until(lambda: seen.reset == 1)
