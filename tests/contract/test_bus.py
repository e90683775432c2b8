"""What every `Bus` holds to: what one side reports, the other reads."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from types import MappingProxyType

import pytest

from fleet.bus import Bus, Reports
from fleet.bus.far import FarBus, share_bus
from fleet.bus.memory import MemoryBus
from fleet.bus.redis.link import Address, address_of
from fleet.channel.messages import Poked
from fleet.channel.samples import SampleNews
from fleet.clock import LoopClock
from fleet.codec import Codec
from fleet.messages import Entry, Look, Looked, RevisionSample, Sample
from fleet.names import GatewayName, ModelName, ReplicaName, RevisionName
from fleet.reasons import Reason
from tests.contract.channels import channels
from tests.contract.redis_buses import (
    TLS_URL,
    address,
    bus_of,
    named,
    running,
    soon,
    tls_server,
)
from tests.fakes.redis_server import RedisServer, redis_server
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

GATEWAY = GatewayName("g1")
A, B = RevisionName("default/a"), RevisionName("default/b")
SLACK_S = 0.5
"""By another host's clock, an age is known but for what the questions took."""
Open = Callable[[], contextlib.AbstractAsyncContextManager[tuple[Reports, Bus]]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A Redis that speaks TLS, where its user finds it."""
    with tls_server(tmp_path_factory.mktemp("secured") / "redis") as (server, authority):
        where = address_of(named(f"{TLS_URL}:{server.port}", ca=authority.trusted))
        assert where is not None
        yield where


@pytest.fixture(params=["memory", "far", "redis", "rediss"])
def sides(request: pytest.FixtureRequest) -> Open:
    """Opens the side of gateway `g1` and the side that reads."""

    @contextlib.asynccontextmanager
    async def memory() -> AsyncIterator[tuple[Reports, Bus]]:
        bus = MemoryBus(LoopClock())
        yield bus, bus

    @contextlib.asynccontextmanager
    async def far() -> AsyncIterator[tuple[Reports, Bus]]:
        bus = MemoryBus(LoopClock())
        async with channels(Codec(SampleNews, Entry, Poked, Look)) as (near, other):
            share_bus(bus, other, GATEWAY)
            yield FarBus(near, LoopClock()), bus

    @contextlib.asynccontextmanager
    async def redis() -> AsyncIterator[tuple[Reports, Bus]]:
        server: RedisServer = request.getfixturevalue("server")
        server.ask("FLUSHALL")
        gateway, reader = bus_of(address(server), GATEWAY), bus_of(address(server))
        async with running(gateway, reader):
            yield gateway, reader

    @contextlib.asynccontextmanager
    async def rediss() -> AsyncIterator[tuple[Reports, Bus]]:
        where: Address = request.getfixturevalue("secured")
        prefix = f"ebbtide:{request.node.name}:"
        gateway, reader = bus_of(where, GATEWAY, prefix=prefix), bus_of(where, prefix=prefix)
        async with running(gateway, reader):
            yield gateway, reader

    kinds: dict[str, Open] = {"memory": memory, "far": far, "redis": redis, "rediss": rediss}
    return kinds[request.param]


def sample(*, waiting: int, gateway: GatewayName = GATEWAY) -> Sample:
    one = RevisionSample(
        revision=A,
        waiting=waiting,
        running=0,
        waiting_s=0.5,
        running_s=0.0,
        arrivals=waiting,
        completions=0,
        service_s=0.0,
        oldest_wait=0.25,
        idle_for=None,
    )
    return Sample(gateway=gateway, revisions=MappingProxyType({A: one}))


def entry(revision: RevisionName, number: int) -> Entry:
    return Entry(
        at=float(number),
        revision=revision,
        model=ModelName("m"),
        event="woken",
        reason=Reason.DEMAND,
        message=f"entry\n{number}",
        before=0,
        after=1,
    )


class TestBus:
    async def test_the_newest_sample_of_a_gateway_replaces_the_one_before(self, sides: Open):
        async with sides() as (gateway, reader):
            before = LoopClock().now()
            gateway.publish(sample(waiting=1))
            gateway.publish(sample(waiting=2))
            await soon(lambda: GATEWAY in reader.samples())
            await soon(lambda: reader.samples()[GATEWAY].sample == sample(waiting=2))
            assert before - SLACK_S <= reader.samples()[GATEWAY].at <= LoopClock().now()
            assert list(reader.samples()) == [GATEWAY]

    async def test_pokes_reach_whoever_listens_until_that_is_ended(self, sides: Open):
        async with sides() as (gateway, reader):
            heard: list[RevisionName] = []
            end = reader.on_poke(heard.append)
            gateway.poke(A)
            await soon(lambda: heard == [A])
            end()
            again: list[RevisionName] = []
            reader.on_poke(again.append)
            gateway.poke(B)
            await soon(lambda: again == [B])
            assert heard == [A]

    async def test_the_journal_keeps_the_order_and_the_revisions_apart(self, sides: Open):
        async with sides() as (gateway, reader):
            for number in range(4):
                gateway.append(entry(A if number % 2 else B, number))
            await soon(lambda: len(reader.tail(10)) == 4)
            assert reader.tail(10) == [entry(A if n % 2 else B, n) for n in range(4)]
            assert reader.tail(1, revision=B) == [entry(B, 2)]
            assert reader.tail(0) == []

    async def test_what_every_gateway_tells_of_a_replica_is_in_it_once(self, sides: Open):
        async with sides() as (gateway, reader):
            ready = Entry(**{**_fields(entry(A, 1)), "replica": ReplicaName("r")})
            for one in (ready, ready, entry(A, 2), entry(A, 2)):
                gateway.append(one)
            await soon(lambda: len(reader.tail(10)) == 3)
            assert reader.tail(10) == [ready, entry(A, 2), entry(A, 2)]

    async def test_a_sample_is_read_before_the_poke_that_followed_it(self, sides: Open):
        async with sides() as (gateway, reader):
            seen: list[bool] = []
            reader.on_poke(lambda _: seen.append(GATEWAY in reader.samples()))
            gateway.publish(sample(waiting=1))
            gateway.poke(A)
            await soon(lambda: seen)
            assert seen == [True]

    async def test_a_gateway_hears_of_the_leaders_newest_look_and_when_it_began(self, sides: Open):
        async with sides() as (gateway, reader):
            assert gateway.last_look() is None
            before = LoopClock().now()
            reader.looked(Look(term=1, number=1))
            reader.looked(Look(term=1, number=2, seconds=0.5))
            await soon(lambda: (heard := gateway.last_look()) and heard.look.number == 2)
            heard = gateway.last_look()
            assert heard == Looked(look=Look(term=1, number=2, seconds=0.5), at=heard.at)
            assert before - SLACK_S <= heard.at <= LoopClock().now()
            assert heard.began == heard.at - 0.5


async def test_one_end_cannot_speak_for_another_gateway() -> None:
    bus = MemoryBus(LoopClock())
    async with channels(Codec(SampleNews, Entry, Poked, Look)) as (near, far):
        share_bus(bus, far, GATEWAY)
        FarBus(near, LoopClock()).publish(sample(waiting=1, gateway=GatewayName("other")))
        FarBus(near, LoopClock()).publish(sample(waiting=3))
        await soon(bus.samples)
        assert list(bus.samples()) == [GATEWAY]


async def test_an_end_that_does_not_keep_up_loses_samples_and_no_entry() -> None:
    bus = MemoryBus(LoopClock())
    async with channels(Codec(SampleNews, Entry, Poked, Look)) as (near, far):
        gateway = FarBus(near, LoopClock())
        # Nothing is read on the other side until this task lets go of the loop.
        big = "x" * 2**18
        for number in range(20):
            gateway.append(Entry(**{**_fields(entry(A, number)), "message": big}))
        assert near.crowded
        gateway.publish(sample(waiting=1))
        share_bus(bus, far, GATEWAY)
        await soon(lambda: len(bus.tail(100)) == 20)
        assert not bus.samples()
        await soon(lambda: not near.crowded)
        gateway.publish(sample(waiting=2))
        await soon(bus.samples)


def _fields(value: Entry) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__slots__}
