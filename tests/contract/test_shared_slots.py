"""Slots of one replica among gateways that speak over a real Redis, as a cluster's do."""

import asyncio
import contextlib
from dataclasses import replace
from types import MappingProxyType, SimpleNamespace

import pytest

from ebbtide.sharing.allotment import Allotment
from ebbtide.sharing.overbus import BusSharer, SlotLeader
from fleet.clock import LoopClock
from fleet.messages import ReplicaSample, Sample
from fleet.names import GatewayName, ReplicaName, RevisionName
from tests.contract.redis_buses import address, bus_of, running, soon
from tests.fakes.adminview import sample
from tests.fakes.leases import ScriptedLease, ScriptedMembers
from tests.fakes.redis_server import redis_server

pytestmark = pytest.mark.anyio

A, R = RevisionName("default/a"), ReplicaName("r")
SLOTS = 8


class Gateway:
    """One with a replica of 8 slots and a queue; it runs what it may, until a test ends some."""

    def __init__(self, server, name: str) -> None:
        self.name = GatewayName(name)
        self.bus = bus_of(address(server), self.name)
        self.waiting = 0
        self.allotment = Allotment(BusSharer(self.bus), LoopClock())
        self.seat = SimpleNamespace(name=R, slots=SLOTS, room=1, running=[])
        self.fleet = SimpleNamespace(replicas={A: (self.seat,)})
        self.lines = {A: SimpleNamespace(ledger=SimpleNamespace(seats={R: self.seat}))}
        self.allotment.use(self)

    def allot(self) -> None:
        """Shares have changed."""
        self.seat.room = min(SLOTS, self.allotment.of(R))
        self.work()

    def work(self, *, comes: int = 0, ends: int = 0) -> None:
        """Some come, some end, others are dispatched while there is room; then it says so."""
        self.waiting += comes
        del self.seat.running[:ends]
        while self.waiting and len(self.seat.running) < self.seat.room:
            self.waiting -= 1
            self.seat.running.append(object())
        running = len(self.seat.running)
        replica = ReplicaSample(name=R, running=running, busy_s=0.0, slots=SLOTS, ready_for=9.0)
        made = sample(A, waiting=self.waiting, running=running)
        told = MappingProxyType({A: replace(made, replicas=(replica,))})
        self.bus.publish(Sample(gateway=self.name, revisions=told))

    def end_over(self) -> None:
        """What runs beyond its share ends."""
        over = len(self.seat.running) - self.seat.room
        if over > 0:
            self.work(ends=over)

    @property
    def uses(self) -> int:
        return max(self.seat.room, len(self.seat.running))


class Leader:
    """An autoscaler's half, which may lead."""

    def __init__(self, server, *gateways: Gateway) -> None:
        self.bus = bus_of(address(server))
        self.lease, self.members = ScriptedLease(), ScriptedMembers(*(g.name for g in gateways))
        self.slots = SlotLeader(self.bus, self.lease, self.members, LoopClock())

    def meet(self, *gateways: Gateway) -> None:
        self.members.known = {gateway.name for gateway in gateways}


@contextlib.asynccontextmanager
async def at_work(leader: Leader, *gateways: Gateway):
    """All of them run, and the leader leads."""
    async with running(leader.bus, *(gateway.bus for gateway in gateways)):
        loop = asyncio.ensure_future(leader.slots.run())
        for gateway in gateways:
            gateway.work()
        await soon(lambda: len(leader.bus.samples()) == len(gateways))
        leader.lease.give(1)
        try:
            yield
            assert not loop.done(), loop
        finally:
            loop.cancel()
            await asyncio.wait([loop])
            for gateway in gateways:
                gateway.allotment.close()


@pytest.fixture
def server(tmp_path):
    with redis_server(tmp_path / "redis") as made:
        yield made


def rooms(*gateways: Gateway) -> tuple[int, ...]:
    return tuple(gateway.seat.room for gateway in gateways)


async def test_all_have_one_the_rest_follows_what_waits_and_shrinks_before_it_grows(server):
    one, two = Gateway(server, "g1"), Gateway(server, "g2")
    most = 0
    for gateway in (one, two):
        plain = gateway.allot

        def watched(plain=plain):
            nonlocal most
            plain()
            most = max(most, one.uses + two.uses)

        gateway.allot = watched
    async with at_work(Leader(server, one, two), one, two):
        await soon(lambda: rooms(one, two) == (4, 4))
        one.work(comes=20)
        await soon(lambda: rooms(one, two) == (7, 1))
        assert (len(one.seat.running), one.waiting) == (7, 13)
        # The queue is another's now; what runs is not taken away, and not given twice.
        one.waiting = 0
        two.work(comes=20)
        await soon(lambda: one.seat.room < 7)
        before = len(two.seat.running)
        assert one.uses + len(two.seat.running) <= SLOTS
        one.work(ends=5)
        await soon(lambda: len(two.seat.running) > before)
        one.work(ends=2)
        await soon(lambda: rooms(one, two) == (1, 7))
    assert most <= SLOTS


async def test_without_redis_shares_stay_a_newcomer_uses_one_and_who_is_gone_gives_back(server):
    one, two, late = Gateway(server, "g1"), Gateway(server, "g2"), Gateway(server, "g3")
    leader = Leader(server, one, two)
    async with at_work(leader, one, two):
        one.work(comes=20)
        await soon(lambda: rooms(one, two) == (7, 1))
        server.end()
        await soon(lambda: not one.bus.state().connected and not leader.bus.state().connected)
        async with running(late.bus, connected=False):
            late.work(comes=5)
            leader.meet(one, two, late)
            two.work(comes=20)
            await soon(lambda: late.bus.state().why)
            assert rooms(one, two, late) == (7, 1, 1)
            assert (len(one.seat.running), len(late.seat.running)) == (7, 1)
            # It comes back, and knows nothing.
            server.start()
            one.waiting = 0
            one.work(ends=7)
            # Who is heard first may be given more for a moment: what it runs beyond its share ends.
            await soon(lambda: two.end_over() or late.end_over() or min(rooms(two, late)) > 2)
            assert sum(rooms(one, two, late)) <= SLOTS
        leader.meet(one, two)
        late.allotment.close()
        await soon(lambda: rooms(one, two) == (1, 7))
