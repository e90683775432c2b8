"""What a replica that takes nothing new turns away goes to another one."""

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from activator.core.retries import Loss
from fleet.model import Drain, Policy, Retry, WarmUp
from tests.fakes.http2 import Peer, Replica, Script, Told, echo
from tests.wire.grpcstage import INFER, calls, infer, named
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

UNAVAILABLE = [
    (":status", "200"),
    ("content-type", "application/grpc"),
    ("grpc-status", "14"),
    ("grpc-message", "stopping"),
]


@asynccontextmanager
async def two(script: Script, *, retry: Retry = Retry.AUTO):
    """Two replicas, the first of which runs `script`."""
    policy = Policy(slots=4, warm_up=WarmUp.NONE, retry=retry)
    async with calls(script, policy=policy) as on:
        other = Replica(echo)
        await other.start(host="127.1.0.2", port=on.replica.port)
        try:
            found = on.line.revision
            version = str(int(found.version) + 1)
            on.stage.cluster.put(replace(found, replicas=2, version=version))
            seats = on.line.ledger.seats
            await on.stage.until(
                lambda: len(seats) == 2 and all(s.limit == s.slots for s in seats.values())
            )
            yield on, other
        finally:
            await other.stop()


@asynccontextmanager
async def turning_away(*, retry: Retry = Retry.AUTO, drains: bool = True):
    """Two replicas, the first of which is drained as it gets a call, and says UNAVAILABLE."""

    async def refuses(peer: Peer, told: Told) -> None:
        await peer.until(lambda: told.ended)
        if drains:
            found = on.line.revision
            seats = [seat for seat in on.line.ledger.seats.values() if seat.running]
            drain = Drain(number=1, replicas=frozenset(seat.name for seat in seats))
            on.stage.cluster.put(replace(found, drain=drain, version=str(int(found.version) + 1)))
            await on.stage.until(lambda: not any(seat.open for seat in seats))
        peer.head(told.number, UNAVAILABLE, end=True)

    async with two(refuses, retry=retry) as (on, other):
        yield on, other


async def asked(on):
    client = await on.client()
    number = client.call(INFER)
    client.data(number, named("demo"), end=True)
    return await client.over(number)


async def test_a_draining_replica_s_unavailable_is_not_the_answer() -> None:
    async with turning_away() as (on, other):
        told = await asked(on)
        assert (told.status, bytes(told.data)) == ("0", named("demo"))
        assert 'retries;desc="1"' in told.head["server-timing"]
        assert (len(on.replica.calls), len(other.calls)) == (1, 1)
        (tally,) = on.stage.front.tallies.values()
        assert tally.retried == {Loss.DRAINING: 1}
        await on.idle()


async def test_all_calls_on_a_replica_that_dies_are_sent_again() -> None:
    async def holds_all_but_the_first(peer: Peer, told: Told) -> None:
        if len(on.replica.calls) == 1:
            await echo(peer, told)

    async with two(holds_all_but_the_first) as (on, other):
        for seat in on.line.ledger.seats.values():
            seat.turn(draining=seat.host == "127.1.0.2")
        # They share one connection, and it carried an answer before.
        await asked(on)
        client = await on.client()
        numbers = [infer(client) for _ in range(4)]
        await on.replica.seen(5)
        for seat in on.line.ledger.seats.values():
            seat.turn(draining=False)
        on.stage.server.dead.add("127.1.0.1")
        await on.replica.stop()
        assert [(await client.over(number)).status for number in numbers] == ["0"] * 4
        assert len(other.calls) == 4
        (tally,) = on.stage.front.tallies.values()
        assert (tally.retried, tally.denied) == ({Loss.STALE: 4, Loss.RESET: 4}, {})
        await on.idle()


@pytest.mark.parametrize(("retry", "drains"), [(Retry.CONNECT, True), (Retry.AUTO, False)])
async def test_it_is_the_answer_of_one_that_is_open_and_where_nothing_may_be_sent_again(
    retry: Retry, *, drains: bool
) -> None:
    async with turning_away(retry=retry, drains=drains) as (on, other):
        told = await asked(on)
        assert (told.status, told.head["grpc-message"]) == ("14", "stopping")
        assert "ebbtide-reason" not in told.head
        assert (len(on.replica.calls), len(other.calls)) == (1, 0)
        await on.idle()
