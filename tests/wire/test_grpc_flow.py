"""Held and woken, windows and limits, deadlines, farewells, and what the gateway answers itself."""

import asyncio
import gzip
from dataclasses import replace

import pytest

from fleet.model import Policy, Served, WarmUp
from fleet.names import ModelName
from fleet.settings import Settings
from tests.fakes.http2 import PING, SETTINGS, WINDOW, Peer, Told, echo, frame, message
from tests.wire.grpcstage import (
    CONFIG,
    INFER,
    METADATA,
    READY,
    STATISTICS,
    STREAM,
    calls,
    named,
)
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

MIB = 2**20
ONE = Policy(slots=1, warm_up=WarmUp.NONE)
HEAD = [(":status", "200"), ("content-type", "application/grpc")]


async def silent(peer: Peer, told: Told) -> None:
    """Never answers."""


def infer(client: Peer, **extra: str) -> int:
    fields = [(key.replace("_", "-"), value) for key, value in extra.items()]
    number = client.call(INFER, extra=fields)
    client.data(number, named("demo"), end=True)
    return number


async def test_calls_are_held_until_the_model_is_awake_and_then_all_served() -> None:
    async with calls(awake=False, policy=Policy(slots=4, warm_up=WarmUp.NONE)) as on:
        client = await on.client()
        numbers = [infer(client, grpc_timeout="20S") for _ in range(320)]
        for number in numbers:
            told = await client.over(number, seconds=10)
            assert (told.status, bytes(told.data)) == ("0", named("demo"))
        assert "cold;dur=" in client.told[numbers[0]].head["server-timing"]
        assert len(on.replica.peers) == 1
        await on.idle()


async def test_a_client_s_own_deadline_counts_while_its_call_is_held() -> None:
    async with calls(awake=False, start=60) as on:
        client = await on.client()
        number = infer(client, grpc_timeout="200m")
        told = await client.over(number)
        assert told.status == "4"
        assert told.head["ebbtide-reason"] == "wait_timeout"
        await on.idle()
        assert not on.replica.calls


async def test_a_deadline_that_passes_at_the_replica_ends_the_call_there_too() -> None:
    async with calls(silent, policy=ONE) as on:
        client = await on.client()
        told = await client.over(infer(client, grpc_timeout="200m"))
        assert told.status == "4"
        (seen,) = on.replica.calls
        await on.replica.peers[0].until(lambda: seen.reset == 8)
        await on.idle()


async def test_the_model_s_own_time_limit_holds_without_a_deadline() -> None:
    policy = replace(ONE, request_timeout=0.2)
    async with calls(silent, policy=policy) as on:
        client = await on.client()
        told = await client.over(infer(client))
        assert (told.status, told.head["ebbtide-reason"]) == ("4", "request_timeout")
        await on.idle()


async def test_a_large_message_passes_both_ways_with_windows_full() -> None:
    async with calls() as on:
        client = await on.client()
        body = b"\x3a" + b"\x80\x80\x80\x01" + bytes(2 * MIB)
        sent = named("demo", body)
        number = client.call(INFER)
        await client.pour(number, sent, end=True)
        told = await client.over(number, seconds=20)
        assert (told.status, bytes(told.data)) == ("0", sent)
        given = [int.from_bytes(one.payload, "big") for one in client.frames if one.kind == WINDOW]
        assert 2**19 - 2**16 + 2 in given, "the window opens as the call is sent on"
        await on.idle()


async def test_a_client_that_does_not_read_is_sent_its_window_and_loses_nothing() -> None:
    answer = message(bytes(4 * MIB))

    async def talks(peer: Peer, told: Told) -> None:
        peer.head(told.number, HEAD)
        await peer.pour(told.number, answer)
        peer.head(told.number, [("grpc-status", "0")], end=True)

    async with calls(talks) as on:
        client = await on.client()
        client.greedy = False
        slow, number = infer(client), None
        await client.until(lambda: client.told[slow].taken == 65_535)
        # Neither the replica's connection nor anybody else's call is kept up by that.
        peer = on.replica.peers[0]
        await peer.pinged()
        assert 4 * MIB - sum(-w for w in peer.windows.values() if w < 0) > 0
        other = await on.client()
        number = infer(other)
        assert len((await other.over(number)).data) == len(answer)
        assert not client.told[slow].over
        client.greedy = True
        client.give(0, 8 * MIB)
        client.give(slow, 8 * MIB)
        told = await client.over(slow)
        assert (told.status, len(told.data)) == ("0", len(answer))
        await on.idle()


async def test_a_replica_that_does_not_read_stops_its_client() -> None:
    async def waits(peer: Peer, told: Told) -> None:
        peer.greedy = False

    async with calls(waits) as on:
        client = await on.client()
        number = client.call(INFER)
        body = b"\x3a" + b"\x80\x80\xc0\x03" + bytes(7 * MIB)
        pour = asyncio.get_running_loop().create_task(
            client.pour(number, named("demo", body), end=True)
        )
        await on.replica.seen(1)
        (told,) = on.replica.calls
        await on.replica.peers[0].until(lambda: told.taken == 65_535)
        await client.pinged()
        sent = -client.room(number) + sum(
            int.from_bytes(one.payload, "big")
            for one in client.frames
            if one.kind == WINDOW and one.stream == number
        )
        assert sent + 65_535 < 2 * MIB
        on.replica.peers[0].greedy = True
        on.replica.peers[0].give(0, MIB)
        on.replica.peers[0].give(told.number, MIB)
        await pour
        await on.replica.peers[0].until(lambda: told.ended, seconds=10)
        assert len(told.data) == len(named("demo", body))
        client.reset(number)
        await on.idle()


async def test_a_replica_s_limit_of_streams_is_kept_by_another_connection() -> None:
    announced = {"streams": 2}
    policy = Policy(slots=6, warm_up=WarmUp.NONE)
    async with calls(silent, announced=announced, policy=policy) as on:
        client = await on.client()
        numbers = [infer(client) for _ in range(6)]
        await on.replica.seen(6)
        assert [len(peer.told) for peer in on.replica.peers] == [2, 2, 2]
        for number in numbers:
            client.reset(number)
        await on.idle()


async def test_settings_that_change_midway_hold_for_open_streams() -> None:
    async with calls(silent) as on:
        client = await on.client(window=10)
        number = infer(client)
        await on.replica.seen(1)
        peer = on.replica.peers[0]
        (seen,) = on.replica.calls
        peer.head(seen.number, HEAD)
        peer.data(seen.number, message(bytes(95)))
        await client.until(lambda: client.told[number].taken == 10)
        client.greedy = False
        client.writer.write(
            frame(SETTINGS, payload=(4).to_bytes(2, "big") + (30).to_bytes(4, "big"))
        )
        await client.until(lambda: client.told[number].taken >= 30)
        client.give(number, 1000)
        peer.head(seen.number, [("grpc-status", "0")], end=True)
        told = await client.over(number)
        assert (len(told.data), told.status) == (100, "0")


@pytest.mark.parametrize(
    ("path", "model", "status", "reason"),
    [
        (INFER, "nobody", "5", "unknown_model"),
        ("/inference.GRPCInferenceService/RepositoryIndex", "demo", "12", "not_allowed"),
        ("/inference.GRPCInferenceService/TraceSetting", "demo", "12", "not_allowed"),
        ("/pkg.Service/Do", "demo", "5", "no_model"),
    ],
)
async def test_what_may_not_pass_is_refused_with_a_status(path, model, status, reason) -> None:
    async with calls() as on:
        client = await on.client()
        number = client.call(path)
        client.data(number, named(model), end=True)
        told = await client.over(number)
        assert (told.status, told.head["ebbtide-reason"]) == (status, reason)
        assert not on.replica.calls
        assert on.stage.front.requests == 0


async def test_metadata_and_message_that_disagree_are_refused() -> None:
    async with calls() as on:
        client = await on.client()
        number = client.call(INFER, extra=[("ebbtide-model", "demo")])
        client.data(number, named("other"), end=True)
        told = await client.over(number)
        assert (told.status, told.head["ebbtide-reason"]) == ("3", "model_conflict")
        assert not on.replica.calls


async def test_a_client_s_own_name_is_replaced_in_every_message() -> None:
    models = (Served(name=ModelName("demo"), served="double"),)
    async with calls(models=models) as on:
        client = await on.client()
        number = client.call(STREAM)
        client.data(number, named("demo", b"\x1a\x01a") + named("demo", b"\x1a\x01b"))
        await on.replica.seen(1)
        client.data(number, named("demo", b"\x1a\x01c")[:8])
        client.data(number, named("demo", b"\x1a\x01c")[8:], end=True)
        told = await client.over(number)
        wanted = b"".join(named("double", b"\x1a\x01" + one) for one in (b"a", b"b", b"c"))
        assert bytes(told.data) == wanted
        one = infer(client)
        assert bytes((await client.over(one)).data) == named("double")


async def test_a_message_over_the_model_s_limit_is_refused_before_it_wakes() -> None:
    policy = replace(ONE, max_body=100)
    async with calls(awake=False, policy=policy) as on:
        client = await on.client()
        for cut in (False, True):
            number = client.call(INFER)
            whole = named("demo", b"\x3a\xc8\x01" + bytes(200))
            client.data(number, whole[:50] if cut else whole, end=not cut)
            told = await client.over(number)
            assert (told.status, told.head["ebbtide-reason"]) == ("8", "body_too_large")
        assert on.line.revision.replicas == 0


async def test_readiness_of_a_sleeping_model_is_ours_and_of_one_that_runs_its_own() -> None:
    async with calls(awake=False) as on:
        client = await on.client()
        number = client.call(READY)
        client.data(number, named("demo"), end=True)
        told = await client.over(number)
        assert (told.status, bytes(told.data)) == ("0", message(b"\x08\x01"))
        assert not on.replica.calls
        number = client.call(STATISTICS)
        client.data(number, named("demo"), end=True)
        told = await client.over(number)
        assert (told.status, told.head["ebbtide-reason"]) == ("14", "asleep")
    async with calls() as on:
        client = await on.client()
        number = client.call(READY)
        client.data(number, named("demo"), end=True)
        assert bytes((await client.over(number)).data) == named("demo")
        assert len(on.replica.calls) == 1


@pytest.mark.parametrize("path", [METADATA, CONFIG])
async def test_metadata_of_a_sleeping_model_is_the_last_copy_else_it_wakes(path: str) -> None:
    async with calls(awake=False) as on:
        client = await on.client()
        number = client.call(path)
        client.data(number, named("demo"), end=True)
        assert bytes((await client.over(number)).data) == named("demo")
        await on.idle()
        found = on.line.revision
        on.stage.cluster.put(replace(found, replicas=0, version="99"))
        await on.stage.until(lambda: on.line.peek() is None)
        number = client.call(path)
        client.data(number, named("demo"), end=True)
        told = await client.over(number)
        assert (told.status, bytes(told.data)) == ("0", named("demo"))
        assert len(on.replica.calls) == 1


async def test_a_front_that_stops_says_so_twice_and_finishes_what_runs() -> None:
    gate = asyncio.Event()

    async def waits(peer: Peer, told: Told) -> None:
        await gate.wait()
        await echo(peer, told)

    async with calls(waits) as on:
        client, idle = await on.client(), await on.client()
        await idle.settled()
        number = infer(client)
        await on.replica.seen(1)
        on.stage.front.stop_accepting()
        await client.until(lambda: client.goaway == (number, 0))
        await idle.until(lambda: idle.lost)
        # Too late: it may try elsewhere.
        late = infer(client)
        gate.set()
        assert (await client.over(number)).status == "0"
        await client.until(lambda: client.lost)
        assert client.told[late].head is None
        loop = asyncio.get_running_loop()
        assert await on.stage.front.drained(loop.time() + 5)


async def test_a_silent_client_is_asked_whether_it_is_there_and_an_idle_one_let_go() -> None:
    async with calls(silent, settings=Settings(http_keepalive=0.2)) as on:
        client, idle = await on.client(), await on.client()
        infer(client)
        await idle.until(lambda: idle.lost)
        assert idle.goaway == (0, 0)
        await client.until(lambda: any(one.kind == PING for one in client.frames))
        assert not client.lost


async def test_floods_end_the_connection() -> None:
    async with calls() as on:
        client = await on.client()
        await client.settled()
        client.writer.write(frame(SETTINGS) * 1000)
        await client.until(lambda: client.lost)
        assert client.goaway[1] == 0xB


async def test_rapid_resets_end_the_connection_and_leave_nothing() -> None:
    async with calls(awake=False, start=60) as on:
        client = await on.client()
        await client.settled()
        for _ in range(3000):
            client.reset(infer(client))
        await client.until(lambda: client.lost, seconds=15)
        await on.idle()
        assert not on.replica.calls


async def test_one_more_stream_than_allowed_is_refused_alone() -> None:
    async with calls(awake=False, start=60, policy=Policy(queue_limit=2000)) as on:
        client = await on.client()
        numbers = [infer(client) for _ in range(1001)]
        told = await client.over(numbers[-1])
        assert told.reset == 7
        await on.waiting(1000)
        assert not client.told[numbers[0]].over


async def test_a_client_that_pauses_within_a_message_is_given_up_unless_it_has_to() -> None:
    async def slow(peer: Peer, told: Told) -> None:
        peer.greedy = False

    limits = Settings(body_timeout=0.2)
    async with calls(slow, policy=Policy(slots=3, warm_up=WarmUp.NONE), settings=limits) as on:
        client = await on.client()
        stalled, stream, full = client.call(INFER), client.call(STREAM), client.call(INFER)
        whole = named("demo", b"\x3a" + b"\x80\x80\x80\x01" + bytes(2 * MIB))
        client.data(stalled, whole[:100])
        client.data(stream, named("demo"))
        pour = asyncio.get_running_loop().create_task(client.pour(full, whole, end=True))
        told = await client.over(stalled)
        assert (told.status, told.head["ebbtide-reason"]) == ("4", "body_timeout")
        seen = next(one for one in on.replica.calls if len(one.data) == 100)
        await on.replica.peers[0].until(lambda: seen.reset == 8)
        # The one waits for its replica, the other for its client's next message.
        await asyncio.sleep(0.5)
        assert not client.told[full].over
        assert not client.told[stream].over
        pour.cancel()
        client.reset(full)
        client.reset(stream)
        await on.idle()


@pytest.mark.parametrize("cut", [None, 60], ids=["whole", "in two"])
async def test_a_message_that_inflates_to_more_than_the_model_s_limit_is_refused(cut) -> None:
    squeezed = gzip.compress(named("demo", b"\x3a\xa0\x8d\x06" + bytes(100_000))[5:])
    both = message(squeezed, flag=1)
    async with calls(policy=replace(ONE, max_body=5000)) as on:
        client = await on.client()
        number = client.call(INFER, extra=[("grpc-encoding", "gzip")])
        if cut is not None:
            client.data(number, both[:cut])
            await client.pinged()
        client.data(number, both[cut or 0 :], end=True)
        told = await client.over(number)
        assert (told.status, told.head["ebbtide-reason"]) == ("8", "body_too_large")
        assert not any(one.ended for one in on.replica.calls)
        await on.idle()
