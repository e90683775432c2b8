"""Clients and replicas that are gone, in each state a call can be in; nothing is left of any."""

import asyncio

import pytest

from fleet.model import Policy, WarmUp
from fleet.reasons import Reason
from tests.fakes.http2 import GOAWAY, Peer, Told, echo, message
from tests.wire.grpcstage import INFER, STREAM, calls, infer, named, refused
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

ONE = Policy(slots=1, warm_up=WarmUp.NONE)
CANCEL, REFUSED = 8, 7
HEAD = [(":status", "200"), ("content-type", "application/grpc")]


async def silent(peer: Peer, told: Told) -> None:
    """Never answers."""


async def begins(peer: Peer, told: Told) -> None:
    """Answers half a message and says no more."""
    await peer.until(lambda: told.data)
    peer.head(told.number, HEAD)
    peer.data(told.number, message(b"12345678")[:7])


@pytest.mark.parametrize("how", ["reset", "abort"])
async def test_a_client_gone_while_held_leaves_nothing_and_reaches_no_replica(how: str) -> None:
    async with calls(awake=False, start=60) as on:
        client, other = await on.client(), await on.client()
        numbers = [infer(client) for _ in range(20)]
        stays = infer(other)
        await on.waiting(21)
        if how == "reset":
            for number in numbers:
                client.reset(number)
        else:
            client.abort()
        await on.waiting(1)
        assert on.stage.front.requests == 1
        assert refused(on, Reason.CLIENT_LEFT) == 20
        other.reset(stays)
        await on.idle()
        assert not on.replica.calls


@pytest.mark.parametrize("how", ["reset", "abort"])
async def test_a_client_gone_while_sending_ends_the_call_at_the_replica(how: str) -> None:
    async with calls(policy=ONE) as on:
        client = await on.client()
        number = client.call(INFER)
        client.data(number, named("demo", b"\x12\x80\x01" + b"x" * 128)[:40])
        await on.replica.seen(1)
        if how == "reset":
            client.reset(number)
        else:
            client.abort()
        (told,) = on.replica.calls
        await on.replica.peers[0].until(lambda: told.reset is not None)
        assert told.reset == CANCEL
        assert not told.ended
        await on.idle()
        # The slot is free, and the connection to the replica is as good as before.
        client = await on.client()
        again = infer(client)
        assert (await client.over(again)).status == "0"
        assert len(on.replica.peers) == 1


@pytest.mark.parametrize("script", [silent, begins])
@pytest.mark.parametrize("how", ["reset", "abort"])
async def test_a_client_gone_while_it_waits_or_receives_frees_the_slot(script, how: str) -> None:
    async with calls(script, policy=ONE) as on:
        client = await on.client()
        number = infer(client)
        await on.replica.seen(1)
        if script is begins:
            await client.until(lambda: client.told[number].data)
        if how == "reset":
            client.reset(number)
        else:
            client.abort()
        (told,) = on.replica.calls
        await on.replica.peers[0].until(lambda: told.reset is not None)
        assert told.reset == CANCEL
        await on.idle()
        assert refused(on, Reason.CLIENT_LEFT) == 1


async def test_what_a_client_sends_on_a_stream_that_it_reset_breaks_nothing() -> None:
    async with calls(silent) as on:
        client = await on.client()
        number = infer(client)
        await on.replica.seen(1)
        client.reset(number)
        client.reset(number)
        await client.pinged()
        assert client.goaway is None
        await on.idle()


async def test_a_replica_gone_before_a_byte_of_the_answer_is_tried_once_more() -> None:
    lives: list[Peer] = []

    async def dies_once(peer: Peer, told: Told) -> None:
        await peer.until(lambda: told.ended or peer.lost)
        lives.append(peer)
        if len(lives) == 1:
            peer.abort()
        else:
            await echo(peer, told)

    async with calls(dies_once, policy=ONE) as on:
        client = await on.client()
        number = infer(client)
        told = await client.over(number)
        assert (told.status, bytes(told.data)) == ("0", named("demo"))
        assert 'retries;desc="1"' in told.head["server-timing"]
        assert len(lives) == 2
        await on.idle()


async def test_what_waited_for_a_replica_that_broke_is_no_longer_owed_to_the_client() -> None:
    async def dies_once(peer: Peer, told: Told) -> None:
        if peer is on.replica.peers[0]:
            await peer.until(lambda: told.taken == 65_535)
            # What the client may send waits here, all of it.
            await on.stage.until(lambda: client.room(number) == 0)
            peer.abort()
        else:
            peer.greedy = True
            peer.give(0, 2**20)
            peer.give(told.number, 2**20)
            await echo(peer, told)

    async with calls(dies_once, policy=ONE) as on:
        on.replica.greedy = False
        client = await on.client()
        number = client.call(INFER)
        whole = named("demo", b"\x3a" + b"\x80\xa0\x38" + bytes(0x0E1000))
        await client.pour(number, whole, end=True)
        told = await client.over(number)
        assert (told.status, bytes(told.data) == whole) == ("0", True)
        await on.idle()


async def test_a_call_present_at_two_crashes_is_not_sent_a_third_time() -> None:
    async def dies(peer: Peer, told: Told) -> None:
        peer.abort()

    async with calls(dies, policy=ONE) as on:
        client = await on.client()
        number = infer(client)
        told = await client.over(number)
        assert told.status == "14"
        assert told.head["ebbtide-reason"] == "replica_lost"
        assert len(on.replica.peers) == 2
        await on.idle()


async def test_a_plain_call_that_was_sent_is_not_sent_twice() -> None:
    async def dies(peer: Peer, told: Told) -> None:
        peer.abort()

    async with calls(dies, plain=True, policy=ONE) as on:
        client = await on.client()
        number = client.call("/a.B/C", extra=[("ebbtide-model", "demo")])
        client.data(number, message(b"x"), end=True)
        assert (await client.over(number)).status == "14"
        assert len(on.replica.peers) == 1
        await on.idle()


@pytest.mark.parametrize("how", ["reset", "abort"])
async def test_a_replica_gone_within_its_answer_never_makes_it_look_whole(how: str) -> None:
    async def breaks(peer: Peer, told: Told) -> None:
        await begins(peer, told)
        await peer.writer.drain()
        await peer.pinged()
        if how == "reset":
            peer.reset(told.number, 2)
        else:
            peer.abort()

    async with calls(breaks, policy=ONE) as on:
        client = await on.client()
        told = await client.over(infer(client))
        assert told.head[":status"] == "200"
        assert "grpc-status" not in told.head
        assert told.trailers["grpc-status"] == "14"
        assert told.trailers["ebbtide-reason"] == "replica_lost"
        await on.idle()
        assert len(on.replica.calls) == 1


async def test_both_gone_at_once_leave_nothing() -> None:
    async with calls(begins, policy=ONE) as on:
        client = await on.client()
        number = infer(client)
        await client.until(lambda: client.told[number].data)
        client.abort()
        on.replica.peers[0].abort()
        await on.idle()


async def test_an_idle_connection_that_the_replica_closed_costs_nobody_a_call() -> None:
    async with calls(policy=ONE) as on:
        client = await on.client()
        assert (await client.over(infer(client))).status == "0"
        first = on.replica.peers[0]
        first.abort()
        # Sent before the gateway can have heard of it.
        assert (await client.over(infer(client))).status == "0"
        assert len(on.replica.peers) == 2
        await on.idle()


async def test_a_replica_that_goes_away_gets_no_new_calls_and_loses_none() -> None:
    async def leaves(peer: Peer, told: Told) -> None:
        if peer is not on.replica.peers[0]:
            await echo(peer, told)
        elif told.number == 3:
            # The first goes on here, the second was never looked at.
            peer.send(GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4))
            await on.replica.seen(3)
            await echo(peer, peer.told[1])

    async with calls(leaves, policy=Policy(slots=2, warm_up=WarmUp.NONE)) as on:
        client = await on.client()
        one, two = infer(client), infer(client)
        assert (await client.over(two)).status == "0"
        assert (await client.over(one)).status == "0"
        assert len(on.replica.peers) == 2
        assert len(on.replica.calls) == 3
        await on.replica.peers[0].until(lambda: on.replica.peers[0].lost)
        await on.idle()


async def test_a_stream_that_the_replica_refuses_to_look_at_is_sent_again() -> None:
    async def refuses_once(peer: Peer, told: Told) -> None:
        if told is on.replica.calls[0]:
            peer.reset(told.number, REFUSED)
        else:
            await echo(peer, told)

    async with calls(refuses_once, plain=True, policy=ONE) as on:
        client = await on.client()
        number = client.call("/a.B/C", extra=[("ebbtide-model", "demo")])
        client.data(number, message(b"x"), end=True)
        assert (await client.over(number)).status == "0"
        await on.idle()


async def test_a_replica_that_takes_no_connection_is_waited_for() -> None:
    async with calls(policy=ONE) as on:
        port = on.replica.port
        await on.replica.stop()
        client = await on.client()
        number = client.call(INFER, extra=[("grpc-timeout", "300m")])
        client.data(number, named("demo"), end=True)
        told = await client.over(number)
        assert told.status == "4"
        await on.replica.start(port=port)
        assert (await client.over(infer(client))).status == "0"
        await on.idle()


async def test_answers_and_streams_of_one_client_are_apart() -> None:
    """One that breaks its own rules ends alone."""
    async with calls(silent, policy=Policy(slots=4, warm_up=WarmUp.NONE)) as on:
        client = await on.client()
        bad = client.call(INFER)
        good = infer(client)
        client.data(bad, named("demo", b"\x0a\x05other"), end=True)
        told = await client.over(bad)
        assert told.status == "3"
        assert told.head["ebbtide-reason"] == "model_conflict"
        assert not client.told[good].over
        client.reset(good)
        await on.idle()


async def test_a_stream_whose_messages_name_another_model_ends_there() -> None:
    async with calls(silent, policy=ONE) as on:
        client = await on.client()
        number = client.call(STREAM)
        client.data(number, named("demo"))
        await on.replica.seen(1)
        client.data(number, named("other"))
        told = await client.over(number)
        assert told.status == "3"
        (seen,) = on.replica.calls
        await on.replica.peers[0].until(lambda: seen.reset == CANCEL)
        assert bytes(seen.data) == named("demo")
        await on.idle()


async def test_a_client_gone_while_a_connection_is_made_is_not_sent_on() -> None:
    async with calls(policy=ONE) as on:
        on.replica.mute = asyncio.Event()
        client = await on.client()
        number = infer(client)
        await on.running(1)
        client.reset(number)
        await on.idle()
        on.replica.mute.set()
        # The connection is there now, and serves the next call.
        assert (await client.over(infer(client))).status == "0"
        assert len(on.replica.calls) == 1


async def test_an_answer_before_the_request_s_end_ends_both() -> None:
    async def hasty(peer: Peer, told: Told) -> None:
        peer.answer(told.number, b"enough", status="9")

    async with calls(hasty, policy=ONE) as on:
        client = await on.client()
        for _ in range(2):
            number = client.call(INFER)
            client.data(number, named("demo", b"\x12\x80\x01" + b"x" * 128)[:40])
            told = await client.over(number)
            assert (told.status, told.data) == ("9", message(b"enough"))
            await client.until(lambda told=told: told.reset == 0)
            # What was under way already is passed over.
            client.data(number, b"x" * 20, end=True)
            await client.pinged()
            assert client.goaway is None
            await on.idle()
        (peer,) = on.replica.peers
        await peer.until(lambda: all(one.reset == CANCEL for one in peer.told.values()))


async def test_who_sends_more_than_its_window_ends_that_stream() -> None:
    async with calls(awake=False, start=60) as on:
        client = await on.client()
        number, other = client.call(INFER), infer(client)
        client.data(number, named("demo", b"\x3a" + b"\x80\x80\x40" + bytes(2**20))[:16_384])
        for _ in range(4):
            client.data(number, bytes(16_384))
        told = await client.over(number)
        assert told.reset == 3
        await on.waiting(1)
        assert not client.told[other].over
